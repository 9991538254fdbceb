"""Functions given by role, as ``{"encode": f, "decode": g}``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from pxgen_plugins.models._networks import row_shape
from pxgen_plugins.models.autoencoder import Autoencoder
from pxgen_plugins.models.blackbox import BlackBox
from pxgen_plugins.models.diffusion import Diffusion
from pxgen_plugins.models.gan import GAN
from pxgen_plugins.models.sources.base import Source, register
from pxgen_plugins.models.vae import VAE
from pxgen_plugins.models.vqvae import VQVAE
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr

__all__ = ["from_roles"]

# which family a set of roles is, the most telling role first
_FAMILIES: dict[str, tuple[type[Any], set[str]]] = {
    "generator": (GAN, {"generator", "discriminator", "encoder"}),
    "network": (Diffusion, {"network"}),
    "codebook": (VQVAE, {"encode", "decode", "codebook", "prior"}),
    "predictor": (BlackBox, {"predictor", "sampler"}),
    "encode": (VAE, {"encode", "decode"}),
}
_COMMON = ("sample_shape", "latent_shape", "data_range", "condition", "modules", "device")


@caller("wrap")
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
        settings: Arguments of the family. Most need ``sample_shape``, and ``modules`` where a
            function is neither a module nor a method of one.

    Raises:
        ParameterError: When the roles make no family.
        ModelError: When the functions do not give what they should.
    """
    known = next((_FAMILIES[role] for role in _FAMILIES if role in obj), None)
    if known is None:
        allowed = "functions by role, one of them " + ", ".join(_FAMILIES)
        hint = "Name them as in {'encode': f, 'decode': g}."
        raise ParameterError("obj", allowed, short_repr(dict(obj)), hint)
    family, roles = known
    unknown = [name for name in obj if name not in roles]
    if unknown:
        allowed = f"roles of a {family.__name__}: " + ", ".join(sorted(roles))
        hint = validation.nearest(str(unknown[0]), roles)
        raise ParameterError("obj", allowed, f"a role {unknown[0]!r}", hint)
    if family is VAE:
        # asked before the self-check, which an autoencoder would not pass as a VAE
        coder = VAE(**obj, check=False, **{k: settings[k] for k in _COMMON if k in settings})
        settings |= {"latent_shape": coder.latent_shape, "sample_shape": coder.sample_shape}
        family = VAE if _has_posterior(coder) else Autoencoder
    _check_settings(family, obj, settings)
    model = family(**obj, **settings)
    model.origin = "functions by role: " + ", ".join(obj)
    return model


def _check_settings(
    family: type[Any], roles: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    """Raise for a setting that another family has, and for one that is missing."""
    parameters = inspect.signature(family).parameters
    for name in settings:
        if name not in parameters:
            allowed = f"an option of {family.__name__}, which these roles make"
            hint = validation.nearest(name, parameters)
            raise ParameterError(name, allowed, "one of another family", hint)
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in roles and name not in settings:
            hint = f"Pass {name}=... to wrap."
            raise ParameterError(name, f"given, for a {family.__name__}", "nothing", hint)


def _has_posterior(coder: VAE) -> bool:
    """Return whether the encoder gives several results, as mean and log variance are."""
    returned = coder._ask("encode", coder._noise(2))
    row_shape(returned, "encode")
    return isinstance(returned, (tuple, list)) and len(returned) > 1


@register("roles")
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
