"""Torch modules that show by methods, sub-modules or results what they are."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pxgen_plugins.models._coders import (
    DECODERS,
    ENCODERS,
    Coder,
    find_coder,
    fits_together,
    parts_of,
)
from pxgen_plugins.models._global_rng import with_seed
from pxgen_plugins.models._networks import row_shape
from pxgen_plugins.models._probe import ConstantNoise, close, probing
from pxgen_plugins.models.autoencoder import Autoencoder
from pxgen_plugins.models.diffusion import Diffusion
from pxgen_plugins.models.flow import Flow
from pxgen_plugins.models.gan import GAN
from pxgen_plugins.models.outputs import of_role
from pxgen_plugins.models.runtime import EvaluationMode, device_and_dtype
from pxgen_plugins.models.sources._appearance import code_shape, line_for, outline
from pxgen_plugins.models.sources._flows import ways
from pxgen_plugins.models.sources.base import Source, register
from pxgen_plugins.models.sources.roles import from_roles
from pxgen_plugins.models.vae import VAE
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError

__all__ = ["from_module"]

_DRAWS = 4
_GENERATORS = ("generator", "netG", "G", "gen")
_DISCRIMINATORS = ("discriminator", "netD", "D", "disc", "critic")
_OF_DIFFUSION = {"schedule", "n_timesteps", "prediction", "steps", "refinements", "eta"}


def from_module(obj: Any, **settings: Any) -> Any:
    """Return the model that a module is.

    With methods ``encode`` and ``decode`` it is a :class:`~pxgen_plugins.models.VAE` when
    ``encode`` returns (mean, log_var, ...), an :class:`~pxgen_plugins.models.Autoencoder` when it
    returns codes alone. Sub-modules ``encoder`` and ``decoder``, heads behind an encoder, and a
    ``forward`` that gives reconstruction, mean and log variance in any order are taken where
    ``forward`` proves them (see :func:`~pxgen_plugins.models._coders.find_coder`).

    With ``latent_shape``, ``encoding_dims`` as torchgan's generators have, or a sub-module
    ``generator`` it is the generator of a :class:`~pxgen_plugins.models.GAN`; with ``log_prob`` a
    :class:`~pxgen_plugins.models.Flow`; with ``schedule`` or ``n_timesteps`` given the network of a
    :class:`~pxgen_plugins.models.Diffusion`.

    Where the module's own ``sample(n)``, or else its ``prior``, a distribution of torch, gives
    something else than decoded draws from N(0, I) under the same seed, samples are drawn by it, and
    ``origin`` says so.

    Args:
        obj: The module; anything else with these methods will do.
        settings: Arguments of the family, such as ``sample_shape``; ``modules`` where the object
            itself is none.

    Raises:
        ParameterError: When an argument is missing, or it cannot be found out what the module is.
        ModelError: When its parts do not give what they should.
    """
    if isinstance(obj, nn.Module):
        settings.setdefault("modules", obj)
    model, words = _build(obj, settings)
    model.origin = f"{type(obj).__name__}, by {words}"
    if isinstance(model, (VAE, Autoencoder, GAN)) and settings.get("prior") is None:
        model.origin += _sample_by_itself(obj, model)
    if isinstance(model, GAN) and "score" in model.capabilities:
        model.origin += f"; its discriminator gives {model.discriminator_output}"
    return model


def _build(obj: Any, settings: dict[str, Any]) -> tuple[Any, str]:
    """Return the model, and what it was recognised by."""
    if callable(obj) and _OF_DIFFUSION & settings.keys():
        return from_roles({"network": obj}, **settings), "the settings of a diffusion model"
    encoders, decoders = parts_of(obj, ENCODERS), parts_of(obj, DECODERS)
    if "encode" in encoders and "decode" in decoders:
        return _of_methods(obj, settings)
    if callable(getattr(obj, "log_prob", None)) and not (encoders and decoders):
        return _flow(obj, settings), "its log_prob"
    generates = hasattr(obj, "encoding_dims") or settings.get("latent_shape") is not None
    if isinstance(obj, nn.Module) and (decoders or not generates):
        found = _of_parts(obj, settings)
        if found is not None:
            return found
    return _gan(obj, settings)


def _of_methods(obj: Any, settings: dict[str, Any]) -> tuple[Any, str]:
    """Return the model of ``encode`` and ``decode``, read as forward proves, else as usual."""
    plain = {"encode": _two(obj.encode), "decode": obj.decode}
    if not isinstance(obj, nn.Module) or settings.get("sample_shape") is None:
        return from_roles(plain, **settings), "its methods"
    with _probe(obj, settings) as probe:
        coder = None if "condition" in settings else find_coder(probe)
        line = line_for(obj, probe, settings) if not probe.still else ""
    if coder is not None and not coder.plain:
        return _coded(coder, settings)
    try:
        return from_roles(plain, **settings), "its methods"
    except ModelError as error:
        if "takes flat" in line and error.parameter == "encode":
            error.hint = line
            error.args = (error.parameter, error.allowed, error.got, line)
        raise


def _of_parts(net: nn.Module, settings: dict[str, Any]) -> tuple[Any, str] | None:
    """Return the model of sub-modules and forward; None where the module may be a generator."""
    encoders, decoders = parts_of(net, ENCODERS), parts_of(net, DECODERS)
    coded = bool(encoders and decoders)
    if settings.get("sample_shape") is None and coded:
        settings["sample_shape"] = _decoded_shape(net, decoders[0], settings)
    if settings.get("sample_shape") is None:
        return None
    with _probe(net, settings) as probe:
        conditional = "condition" in settings  # forward wants classes then
        coder = None if conditional else find_coder(probe)
        alone = coded and not probe.pairs()  # forward proves nothing
        alone = alone and fits_together(probe, encoders[0], decoders[0])
        if coder is None and not alone and not (coded and conditional):
            if parts_of(net, _GENERATORS):
                return None
            raise _refusal(outline(net, probe), line_for(net, probe, settings))
    if coder is not None:
        return _coded(coder, settings)
    roles = {"encode": _two(getattr(net, encoders[0])), "decode": getattr(net, decoders[0])}
    return from_roles(roles, **settings), f"its sub-modules {encoders[0]} and {decoders[0]}"


def _coded(coder: Coder, settings: dict[str, Any]) -> tuple[Any, str]:
    roles = {"encode": coder.encode, "decode": coder.decode}
    if coder.scale is not None:
        settings.setdefault("scale", coder.scale)
    return from_roles(roles, **settings), coder.words


def _gan(obj: Any, settings: dict[str, Any]) -> tuple[Any, str]:
    """Return the GAN of a generator, or of a module that holds one."""
    generator, words, roles = obj, "the shape of its codes", {}
    inner = next(iter(parts_of(obj, _GENERATORS)), None)
    if inner is not None:
        generator, words = getattr(obj, inner), f"its {inner}"
        other = next(iter(parts_of(obj, _DISCRIMINATORS)), None)
        if other is not None and "discriminator" not in settings:
            roles["discriminator"] = getattr(obj, other)
            words += f" and {other}"
        if settings.get("latent_shape") is None and isinstance(generator, nn.Module):
            settings["latent_shape"] = code_shape(generator)
            words += f", codes of shape {settings['latent_shape']} by its first layer"
    known = settings.get("latent_shape") is not None or hasattr(generator, "encoding_dims")
    if not known and settings.get("encoder") is None:
        if parts_of(obj, ENCODERS) and parts_of(obj, DECODERS):
            hint = "Pass sample_shape=(1, 28, 28), say, without the batch axis."
            raise ParameterError("sample_shape", "given, or latent_shape", "None for both", hint)
        raise _refusal(outline(obj), line_for(obj, None, settings))
    prior = getattr(obj, "prior", None)
    if isinstance(prior, torch.distributions.Distribution):
        settings.setdefault("prior", with_seed(lambda n: prior.sample((n,))))
    return from_roles({"generator": generator, **roles}, **settings), words


def _flow(obj: Any, settings: dict[str, Any]) -> Flow:
    """Return the flow of a module with ``log_prob``, which samples as the module does."""
    if settings.get("sample_shape") is None:
        hint = "Pass sample_shape=(2,), say, without the batch axis."
        raise ParameterError("sample_shape", "given, for a flow", "None", hint)
    own = getattr(obj, "sample", None)
    settings.setdefault("data_range", None)
    if isinstance(obj, nn.Module):
        with _probe(obj, settings) as probe:
            settings |= ways(probe)
    if callable(own) and "decode" not in settings:
        settings["sample"] = with_seed(lambda n: _instances(own(n)))
    return Flow(log_prob=obj.log_prob, **settings)


def _instances(drawn: Any) -> Any:
    """Return what a flow drew without the density that some give beside it."""
    return drawn[0] if isinstance(drawn, (tuple, list)) else drawn


def _refusal(seen: str, line: str) -> ParameterError:
    return ParameterError("obj", "a module whose parts prove what it is", seen, line)


def _probe(net: nn.Module, settings: dict[str, Any]) -> Any:
    shape = validation.shape(settings["sample_shape"], "sample_shape")
    bounds = validation.data_range(settings.get("data_range", (0.0, 1.0)))
    return probing(net, shape, bounds)


def _decoded_shape(net: nn.Module, decoder: str, settings: dict[str, Any]) -> Any:
    """Return the shape of what a decoder makes of codes of the given shape; None without one."""
    if settings.get("latent_shape") is None:
        return None
    shape = validation.shape(settings["latent_shape"], "latent_shape")
    device, dtype = device_and_dtype([net], settings.get("device"))
    with torch.no_grad(), EvaluationMode([net])():
        made = getattr(net, decoder)(torch.zeros(2, *shape, device=device, dtype=dtype))
    return row_shape(of_role("decode", made), "decode")


def _sample_by_itself(obj: Any, model: VAE | Autoencoder | GAN) -> str:
    """Let a model sample as its module does, where that is another way; return what to say."""
    own, words = _own_draw(obj, model)
    if own is None:
        return ""
    model.own_sample = with_seed(own)
    able = model.capabilities
    model.capabilities = able | {"sample"}
    try:
        theirs = model.sample(_DRAWS, 0)
        repeatable = torch.equal(theirs, model.sample(_DRAWS, 0))
        good = bool(theirs.isfinite().all()) and repeatable
    except Exception:  # it takes other arguments, or gives something else
        good = False
    if not good:
        model.own_sample, model.capabilities = None, able
        return f"; its own {words} is not used, as it gives no n instances that a seed repeats"
    if isinstance(model, Autoencoder):
        return f"; samples are drawn by its own {words}"
    try:
        with torch.no_grad():
            ours = with_seed(lambda n: model.decode(torch.randn(n, *model.latent_shape)))
            same = torch.allclose(ours(_DRAWS, 0), theirs, rtol=1e-4, atol=1e-5)
            same = same or _is_standard_noise(model)
    except Exception:  # a conditional generator decodes no code alone
        same = False
    if same:
        model.own_sample = None
        return ""
    model.prior = "own"  # type: ignore[union-attr]  # so that criteria of N(0, I) are not offered
    return f"; samples are drawn by its own {words}"


def _is_standard_noise(model: Any) -> bool:
    """Return whether the codes behind a model's own samples are N(0, I), whoever draws them."""
    for value in (0.0, 1.0):
        with ConstantNoise(value) as noise:
            drawn = model.sample(_DRAWS, 0)
        codes = torch.full((_DRAWS, *model.latent_shape), value)
        if not noise.draws or not close(drawn, model.decode(codes.to(model.device, model.dtype))):
            return False
    return True


def _own_draw(obj: Any, model: Any) -> tuple[Callable[[int], Any] | None, str]:
    """Return how a module draws n instances by itself, and what that is called."""
    own, prior = getattr(obj, "sample", None), getattr(obj, "prior", None)
    if callable(own):
        if _takes_device(own):
            return lambda n: own(n, model.device), "sample(n, device)"
        return own, "sample(n)"
    if isinstance(prior, torch.distributions.Distribution) and not isinstance(model, GAN):
        return lambda n: model.decode(_codes(prior, n, model.latent_shape)), "prior"
    return None, ""


def _codes(prior: Any, n: int, shape: tuple[int, ...]) -> Tensor:
    whole = tuple(prior.batch_shape) + tuple(prior.event_shape)
    size = (n,) if whole == shape else (n, *shape)  # a distribution of single numbers
    codes: Tensor = prior.sample(size)
    return codes


def _takes_device(own: Any) -> bool:
    try:
        names = list(inspect.signature(own).parameters)
    except (TypeError, ValueError):
        return False
    return len(names) == 2 and "device" in names[1]


def _two(encode: Any) -> Any:
    """Return ``encode`` without what comes after mean and log variance, such as a drawn code."""

    def first_two(x: Any, *y: Any) -> Any:
        returned = encode(x, *y)
        if isinstance(returned, torch.distributions.Distribution):
            return returned
        returned = of_role("encode", returned)  # names tell more than places
        longer = isinstance(returned, (tuple, list)) and len(returned) > 2
        return tuple(returned[:2]) if longer else returned

    return first_two


@register("modules")
class Modules(Source):
    """Modules that show what they are, and other objects with ``encode`` and ``decode``."""

    order = 70
    what = "a module"
    families = (VAE, Autoencoder, GAN, Flow, Diffusion)
    build = staticmethod(from_module)

    @classmethod
    def matches(cls, obj: Any) -> bool:
        """Return whether ``obj`` is a module or has such methods, and is no model of ours."""
        if hasattr(obj, "capabilities"):
            return False
        coder = callable(getattr(obj, "encode", None)) and callable(getattr(obj, "decode", None))
        generates = callable(obj) and hasattr(obj, "encoding_dims")
        holds = isinstance(getattr(obj, "generator", None), nn.Module)
        return isinstance(obj, nn.Module) or coder or generates or holds
