"""Functions given by role, as ``{"encode": f, "decode": g}``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from pxgen_plugins.models._callables import Call
from pxgen_plugins.models._device import bounds, modules_behind, placement
from pxgen_plugins.models._eval_mode import EvaluationMode
from pxgen_plugins.models.autoencoder import Autoencoder
from pxgen_plugins.models.blackbox import BlackBox
from pxgen_plugins.models.diffusion import Diffusion
from pxgen_plugins.models.gan import GAN
from pxgen_plugins.models.sources.base import REGISTRY, Source
from pxgen_plugins.models.vae import VAE
from pxgen_plugins.models.vqvae import VQVAE
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError, short_repr

__all__ = ["encoder_results", "from_roles"]

# which family a set of roles is, the most telling role first
_FAMILIES: dict[str, tuple[type[Any], set[str]]] = {
    "generator": (GAN, {"generator", "discriminator", "encoder"}),
    "network": (Diffusion, {"network"}),
    "codebook": (VQVAE, {"encode", "decode", "codebook", "prior"}),
    "predictor": (BlackBox, {"predictor", "sampler"}),
    "encode": (VAE, {"encode", "decode"}),
}


def from_roles(obj: Mapping[str, Any], **settings: Any) -> Any:
    """Return the model that functions by role make.

    ``generator`` (with ``discriminator``, ``encoder``) makes a :class:`~pxgen_plugins.models.GAN`;
    ``network`` a :class:`~pxgen_plugins.models.Diffusion`; ``encode`` and ``decode`` with a
    ``codebook`` a :class:`~pxgen_plugins.models.VQVAE`; without one a
    :class:`~pxgen_plugins.models.VAE` when ``encode`` returns two results and an
    :class:`~pxgen_plugins.models.Autoencoder` when it returns one; ``predictor`` a
    :class:`~pxgen_plugins.models.BlackBox`.

    Args:
        obj: The functions by role.
        settings: Arguments of the family. ``sample_shape`` is needed by most.

    Raises:
        ParameterError: When the roles make no family.
        ModelError: When the functions do not give what they should.
    """
    found = next((_FAMILIES[role] for role in _FAMILIES if role in obj), None)
    if found is None:
        allowed = "functions by role, one of them " + ", ".join(_FAMILIES)
        hint = "Name them as in {'encode': f, 'decode': g}."
        raise ParameterError("obj", "wrap", allowed, short_repr(dict(obj)), hint)
    family, roles = found
    unknown = [name for name in obj if name not in roles]
    if unknown:
        allowed = f"roles of a {family.__name__}: " + ", ".join(sorted(roles))
        hint = validation.nearest(str(unknown[0]), roles)
        raise ParameterError("obj", "wrap", allowed, f"a role {unknown[0]!r}", hint)
    if family is not BlackBox and settings.get("sample_shape") is None:
        hint = "Pass sample_shape=(1, 28, 28), say, without the batch axis."
        raise ParameterError("sample_shape", "wrap", "given", "None", hint)
    if family is VAE:
        settings.setdefault("latent_shape", None)
        results, latent_shape = encoder_results(obj["encode"], settings)
        settings["latent_shape"] = settings["latent_shape"] or latent_shape
        if results == 1:
            family = Autoencoder
    _check_settings(family, settings)
    model = family(**obj, **settings)
    model.origin = "functions by role: " + ", ".join(obj)
    return model


def _check_settings(family: type[Any], settings: Mapping[str, Any]) -> None:
    """Raise for a setting that another family has."""
    parameters = inspect.signature(family).parameters
    for name in settings:
        if name not in parameters:
            allowed = f"an option of {family.__name__}, which these roles make"
            hint = validation.nearest(name, parameters)
            raise ParameterError(name, "wrap", allowed, "one of another family", hint)


def encoder_results(encode: Any, settings: Mapping[str, Any]) -> tuple[int, tuple[int, ...] | None]:
    """Return how many tensors an encoder gives, and the shape of a code, by calling it once.

    Args:
        encode: Callable on a batch, torch or numpy.
        settings: Those of the family; ``sample_shape``, ``data_range``, ``modules``, ``condition``
            and ``device`` are used.

    Raises:
        ModelError: When it raises, or returns something else.
    """
    shape = validation.shape(settings["sample_shape"], "sample_shape", "wrap")
    low, high = bounds(settings.get("data_range", (0.0, 1.0)), "wrap") or (-1.0, 1.0)
    modules = modules_behind(settings.get("modules"), encode)
    device, dtype = placement(modules, settings.get("device"), "wrap")
    x = torch.full((2, *shape), 0.5 * (low + high), device=device, dtype=dtype)
    condition = settings.get("condition")
    classes = []
    if isinstance(condition, int):  # of another kind, the family says what is wrong
        classes.append(torch.full((2,), condition, device=device))
    with torch.no_grad(), EvaluationMode(modules)():
        returned = Call(encode, "encode", "wrap").probe(x, *classes)
    if isinstance(returned, (tuple, list)):
        first = returned[0] if len(returned) else None
        return len(returned), _row(first)
    if _row(returned) is None:
        hint = (
            "Wrap it: encode=lambda x: (q.mean, 2 * q.stddev.log()) with q = net.encode(x), say, "
            "where it returns a normal distribution."
        )
        allowed = "a callable that returns (mean, log_var), or codes"
        raise ModelError("encode", "wrap", allowed, short_repr(returned), hint)
    return 1, _row(returned)


def _row(codes: Any) -> tuple[int, ...] | None:
    shape = getattr(codes, "shape", None)
    return tuple(int(size) for size in shape[1:]) if shape is not None and len(shape) > 1 else None


@REGISTRY.register("roles")
class Roles(Source):
    """Functions by role."""

    order = 60
    what = "functions by role, as in {'encode': f, 'decode': g}"
    families = (VAE, Autoencoder, VQVAE, GAN, Diffusion, BlackBox)
    build = staticmethod(from_roles)

    @classmethod
    def matches(cls, obj: Any) -> bool:
        """Return whether ``obj`` is a mapping of callables with a known role."""
        return isinstance(obj, Mapping) and bool(obj) and any(role in obj for role in _FAMILIES)
