"""Torch modules that say by their methods what they are."""

from __future__ import annotations

from typing import Any

from torch import nn

from pxgen_plugins.models.autoencoder import Autoencoder
from pxgen_plugins.models.gan import GAN
from pxgen_plugins.models.sources.base import Source, register
from pxgen_plugins.models.sources.roles import from_roles
from pxgen_plugins.models.vae import VAE

__all__ = ["from_module"]


def from_module(obj: Any, **settings: Any) -> Any:
    """Return the model that a module is.

    With methods ``encode`` and ``decode`` it is a :class:`~pxgen_plugins.models.VAE` when
    ``encode`` returns (mean, log_var, ...), an :class:`~pxgen_plugins.models.Autoencoder` when it
    returns codes alone; with ``encoding_dims``, as torchgan's generators have, the generator of a
    :class:`~pxgen_plugins.models.GAN`.

    Args:
        obj: The module; anything else with these methods will do.
        settings: Arguments of the family, such as ``sample_shape``; ``modules`` where the object
            itself is none.

    Raises:
        ParameterError: When an argument is missing.
        ModelError: When the methods do not give what they should.
    """
    if isinstance(obj, nn.Module):
        settings.setdefault("modules", obj)
    if hasattr(obj, "encode") and hasattr(obj, "decode"):
        model = from_roles({"encode": _two(obj.encode), "decode": obj.decode}, **settings)
    else:
        model = from_roles({"generator": obj}, **settings)
    model.origin = f"{type(obj).__name__}, by its methods"
    return model


def _two(encode: Any) -> Any:
    """Return ``encode`` without what comes after mean and log variance, such as a drawn code."""

    def first_two(x: Any, *y: Any) -> Any:
        returned = encode(x, *y)
        longer = isinstance(returned, (tuple, list)) and len(returned) > 2
        return tuple(returned[:2]) if longer else returned

    return first_two


@register("modules")
class Modules(Source):
    """Modules with ``encode`` and ``decode``, and generators with ``encoding_dims``."""

    order = 70
    what = "a module with encode and decode, or a generator with encoding_dims"
    families = (VAE, Autoencoder, GAN)
    build = staticmethod(from_module)

    @classmethod
    def matches(cls, obj: Any) -> bool:
        """Return whether ``obj`` has such methods, and is no model of this package."""
        if hasattr(obj, "capabilities"):
            return False
        coder = callable(getattr(obj, "encode", None)) and callable(getattr(obj, "decode", None))
        return coder or (callable(obj) and hasattr(obj, "encoding_dims"))
