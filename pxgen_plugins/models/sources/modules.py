"""Torch modules that say by their methods what they are."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pxgen_plugins.models._global_rng import with_seed
from pxgen_plugins.models.autoencoder import Autoencoder
from pxgen_plugins.models.gan import GAN
from pxgen_plugins.models.outputs import of_role
from pxgen_plugins.models.sources.base import Source, register
from pxgen_plugins.models.sources.roles import from_roles
from pxgen_plugins.models.vae import VAE

__all__ = ["from_module"]

_DRAWS = 4


def from_module(obj: Any, **settings: Any) -> Any:
    """Return the model that a module is.

    With methods ``encode`` and ``decode`` it is a :class:`~pxgen_plugins.models.VAE` when
    ``encode`` returns (mean, log_var, ...), an :class:`~pxgen_plugins.models.Autoencoder` when it
    returns codes alone; with ``encoding_dims``, as torchgan's generators have, the generator of a
    :class:`~pxgen_plugins.models.GAN`. A generator's attribute ``prior``, a distribution of torch,
    is what its codes are drawn from. Where the module's own ``sample(n)`` gives something else than
    decoded draws from N(0, I) under the same seed, samples are drawn by it, and ``origin`` says so.

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
        prior = getattr(obj, "prior", None)
        if isinstance(prior, torch.distributions.Distribution):
            settings.setdefault("prior", with_seed(lambda n: prior.sample((n,))))
        model = from_roles({"generator": obj}, **settings)
    model.origin = f"{type(obj).__name__}, by its methods"
    if isinstance(model, (VAE, GAN)) and settings.get("prior") is None:
        model.origin += _sample_by_itself(obj, model)
    return model


def _sample_by_itself(obj: Any, model: VAE | GAN) -> str:
    """Let a model sample as its module does, where that is another way; return what to say."""
    own = getattr(obj, "sample", None)
    if not callable(own):
        return ""
    draw = with_seed(own)
    model.own_sample = draw
    try:
        theirs = model.sample(_DRAWS, 0)
        repeatable = torch.equal(theirs, model.sample(_DRAWS, 0))
        good = bool(theirs.isfinite().all()) and repeatable
    except Exception:  # it takes other arguments, or gives something else
        good = False
    if not good:
        model.own_sample = None
        return "; its own sample is not used, as sample(n) gives no n instances that a seed repeats"
    try:
        with torch.no_grad():
            ours = with_seed(lambda n: model.decode(torch.randn(n, *model.latent_shape)))
            same = torch.allclose(ours(_DRAWS, 0), theirs, rtol=1e-4, atol=1e-5)
    except Exception:  # a conditional generator decodes no code alone
        same = False
    if same:
        model.own_sample = None
        return ""
    model.prior = "own"  # type: ignore[union-attr]  # so that criteria of N(0, I) are not offered
    return "; samples are drawn by its own sample(n)"


def _two(encode: Any) -> Any:
    """Return ``encode`` without what comes after mean and log variance, such as a drawn code."""

    def first_two(x: Any, *y: Any) -> Any:
        returned = of_role("encode", encode(x, *y))  # names tell more than places
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
