"""Autoencoders and diffusion models of diffusers."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pxgen_plugins.models.autoencoder import Autoencoder
from pxgen_plugins.models.diffusion import Diffusion
from pxgen_plugins.models.files import check_folder
from pxgen_plugins.models.runtime import EvaluationMode
from pxgen_plugins.models.sources.base import Source, is_of, register
from pxgen_plugins.models.vae import VAE
from pxgen_plugins.models.vqvae import VQVAE
from pxgen_plugins.utils import optional
from pxgen_plugins.utils.errors import ModelError, ParameterError, caller, short_repr
from pxgen_plugins.utils.json_files import read_json

__all__ = ["from_diffusers"]

_CLASSES = (
    "AutoencoderKL", "AsymmetricAutoencoderKL", "AutoencoderKLFlux2", "AutoencoderTiny",
    "AutoencoderDC", "VQModel", "UNet2DModel", "DDPMPipeline", "DDIMPipeline",
)  # fmt: skip
_PREDICTIONS = {"epsilon": "epsilon", "v_prediction": "v", "sample": "x0"}
_RANGE = (-1.0, 1.0)  # in which all of them take their images


@caller("from_diffusers")
def from_diffusers(
    obj: Any,
    *,
    scheduler: Any = None,
    sample_shape: tuple[int, ...] | None = None,
    prior: Any = None,
    class_label: int | None = None,
    **settings: Any,
) -> VAE | Autoencoder | VQVAE | Diffusion:
    """Return a model of diffusers, behind the protocol of this package.

    ``AutoencoderKL`` and its kin become a :class:`~pxgen_plugins.models.VAE`, ``AutoencoderTiny``
    and ``AutoencoderDC``, which give codes alone, an :class:`~pxgen_plugins.models.Autoencoder`.
    Codes are normalised as the diffusion model in front takes them, by ``latents_mean`` and
    ``latents_std``, ``shift_factor`` and ``scaling_factor``, or the statistics of FLUX.2: only then
    is N(0, I) near their distribution. Slicing and tiling stay as they are
    set; tiles make the results of one large image differ a little from those without. ``VQModel``
    becomes a :class:`~pxgen_plugins.models.VQVAE`; a ``UNet2DModel`` with its scheduler, or a
    pipeline of both, a :class:`~pxgen_plugins.models.Diffusion`, with our own sampling and
    inversion; of the scheduler the schedule, the kind of prediction and ``clip_sample`` are used.

    Args:
        obj: The model or the pipeline, or the path of a folder that ``save_pretrained`` wrote. A
            folder is read without network access, and only if its weights are safetensors.
        scheduler: The scheduler of a UNet alone.
        sample_shape: Shape of one image, (channels, height, width); None takes the
            configuration's ``sample_size``.
        prior: Prior of a ``VQModel`` (see :class:`~pxgen_plugins.models.VQVAE`).
        class_label: The class of a class-conditional UNet that is explained.
        settings: Further arguments of the family, such as ``steps`` or ``device``.

    Raises:
        ParameterError: When ``obj`` is none of these, or the scheduler is missing.
        ModelError: When a folder cannot be read, or the model is of a kind that is not supported.
        MissingDependencyError: When a folder is given and diffusers is not installed.
    """
    if isinstance(obj, (str, os.PathLike)):
        obj = _load(Path(obj))
    if hasattr(obj, "unet") and hasattr(obj, "scheduler"):
        if getattr(obj, "vae", None) is not None or hasattr(obj, "vqvae"):
            hint = "Wrap its autoencoder, pipe.vae, or its UNet with functions of your own."
            got = f"{type(obj).__name__}, whose UNet works on latents"
            raise ModelError("obj", "a model of images", got, hint)
        obj, scheduler = obj.unet, scheduler or obj.scheduler
    if hasattr(obj, "quantize"):
        model: VAE | Autoencoder | VQVAE | Diffusion = _vqvae(obj, sample_shape, prior, settings)
    elif hasattr(obj, "encode") and hasattr(obj, "decode"):
        model = _autoencoder(obj, sample_shape, settings)
    elif is_of(obj, "diffusers") and hasattr(getattr(obj, "config", None), "in_channels"):
        model = _diffusion(obj, scheduler, sample_shape, class_label, settings)
    else:
        hint = "For others, use a family of pxgen_plugins.models with functions of your own."
        allowed = "one of " + ", ".join(_CLASSES)
        raise ParameterError("obj", allowed, short_repr(obj), hint)
    model.origin = f"diffusers {type(obj).__name__}, images {model.sample_shape} in [-1, 1]"
    return model


def _autoencoder(net: Any, sample_shape: Any, settings: dict[str, Any]) -> VAE | Autoencoder:
    parts = net.modules() if isinstance(net, nn.Module) else ()
    if any(isinstance(part, nn.Conv3d) for part in parts):
        hint = "Use a VAE with functions of your own, for frames of one size."
        raise ModelError(
            "obj", "an autoencoder of images", f"{type(net).__name__}, of videos", hint
        )
    shape = _shape(net.config, sample_shape)
    shift, factor = _normalisation(net)

    def encode(x: Any) -> Any:
        encoded = net.encode(x)
        posterior = getattr(encoded, "latent_dist", None)
        if posterior is None:  # AutoencoderTiny and AutoencoderDC give codes alone
            code = encoded.latents if hasattr(encoded, "latents") else encoded.latent
            return (code - _as_map(shift, code)) * _as_map(factor, code)
        mean, scale = posterior.mean, _as_map(factor, posterior.mean)
        log_var = posterior.logvar + 2.0 * scale.log()
        return (mean - _as_map(shift, mean)) * scale, log_var.expand_as(mean)

    def decode(z: Any) -> Any:
        return net.decode(z / _as_map(factor, z) + _as_map(shift, z)).sample.clamp(*_RANGE)

    common: dict[str, Any] = {"sample_shape": shape, "data_range": _RANGE, "modules": ()}
    try:
        asked = Autoencoder(net, encode=_first(encode), decode=decode, check=False, **common)
    except AttributeError as error:
        hint = "Use a VAE or an Autoencoder with functions of your own."
        got = f"{type(net).__name__} ({error})"
        raise ModelError("obj", "one of " + ", ".join(_CLASSES), got, hint) from error
    family = VAE if hasattr(_result(net, asked), "latent_dist") else Autoencoder
    return family(
        net, encode=encode, decode=decode, latent_shape=asked.latent_shape, **common, **settings
    )


def _first(encode: Any) -> Any:
    """Return a function that gives the codes alone."""

    def codes(x: Any) -> Any:
        returned = encode(x)
        return returned[0] if isinstance(returned, tuple) else returned

    return codes


def _result(net: Any, asked: Autoencoder) -> Any:
    """Return what the network's own ``encode`` gives for seeded noise."""
    with torch.no_grad(), EvaluationMode([net])():
        return net.encode(asked._noise(1))


def _normalisation(net: Any) -> tuple[Tensor, Tensor]:
    """Return what pipelines subtract from codes, and then multiply them by, each (channels, ...).

    ``(z - latents_mean) * scaling_factor / latents_std`` where both are configured, as the SDXL
    pipelines compute it; else ``(z - shift_factor) * scaling_factor``. FLUX.2 keeps statistics of
    patches of 2 x 2 in a batch normalisation without weights, ``net.bn``.
    """
    config = net.config
    mean, std = (getattr(config, name, None) for name in ("latents_mean", "latents_std"))
    factor = float(getattr(config, "scaling_factor", None) or 1.0)
    norm = getattr(net, "bn", None)
    if isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None:
        side = math.isqrt(norm.num_features // int(config.latent_channels))
        shape = (int(config.latent_channels), side, side)
        assert norm.running_var is not None
        spread = (norm.running_var.double() + norm.eps).sqrt()
        return norm.running_mean.double().reshape(shape), factor / spread.reshape(shape)
    if mean is not None and std is not None:
        centre, spread = (torch.tensor(one, dtype=torch.float64).reshape(-1) for one in (mean, std))
        return centre[:, None, None], factor / spread[:, None, None]
    shift = float(getattr(config, "shift_factor", None) or 0.0)
    return torch.tensor([[[shift]]], dtype=torch.float64), torch.tensor([[[factor]]])


def _as_map(values: Tensor, like: Tensor) -> Tensor:
    """Return values (channels, side, side), repeated over the positions of codes ``like``."""
    pairs = zip(like.shape[2:], values.shape[1:], strict=True)
    sides = [max(1, size // side) for size, side in pairs]
    repeats = [side if values.shape[1] > 1 else 1 for side in sides]
    return values.to(like.device, like.dtype).repeat(1, *repeats)


def _vqvae(net: Any, sample_shape: Any, prior: Any, settings: dict[str, Any]) -> VQVAE:
    config = net.config
    shape = _shape(config, sample_shape)
    book = net.quantize.embedding
    return VQVAE(
        net,
        modules=(),
        encode=lambda x: net.encode(x).latents,
        decode=lambda z: net.decode(z, force_not_quantize=True).sample.clamp(*_RANGE),
        codebook=book,
        latent_shape=(book.weight.shape[1], *_down(config, shape)),
        sample_shape=shape,
        data_range=_RANGE,
        prior=prior,
        **settings,
    )


def _diffusion(
    net: Any, scheduler: Any, sample_shape: Any, class_label: Any, settings: dict[str, Any]
) -> Diffusion:
    if scheduler is None or not hasattr(scheduler, "alphas_cumprod"):
        allowed = "given, with alphas_cumprod, beside a UNet alone"
        hint = "Pass scheduler=DDPMScheduler.from_config(...), the one it was trained with."
        raise ParameterError("scheduler", allowed, short_repr(scheduler), hint)
    if net.config.out_channels != net.config.in_channels:
        hint = "Use a Diffusion with a function that returns the mean prediction alone."
        got = f"{net.config.in_channels} channels in and {net.config.out_channels} out"
        raise ModelError("obj", "a UNet that predicts no variance", got, hint)
    kind = scheduler.config.prediction_type
    if kind not in _PREDICTIONS:
        hint = "Use a Diffusion with a function of your own."
        allowed = "a prediction_type of " + ", ".join(_PREDICTIONS)
        raise ModelError("scheduler", allowed, repr(kind), hint)

    def network(x: Any, t: Any) -> Any:
        if class_label is None:
            return net(x, t).sample
        return net(x, t, class_labels=t.new_full((len(x),), class_label)).sample

    settings = {"clip": bool(getattr(scheduler.config, "clip_sample", True))} | settings
    return Diffusion(
        network,
        sample_shape=_shape(net.config, sample_shape),
        data_range=_RANGE,
        schedule=scheduler.alphas_cumprod.double(),
        prediction=_PREDICTIONS[kind],
        modules=net,
        **settings,
    )


def _shape(config: Any, given: Any) -> tuple[int, ...]:
    if given is not None:
        return tuple(given)
    size = config.sample_size
    if size is None:
        hint = "Pass sample_shape=(channels, height, width)."
        allowed = "given where the configuration has no sample_size"
        raise ParameterError("sample_shape", allowed, "None", hint)
    height, width = size if isinstance(size, Sequence) else (size, size)
    return (int(config.in_channels), int(height), int(width))


def _down(config: Any, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width of the latents: halved by every block but the last."""
    factor = 2 ** (len(config.block_out_channels) - 1)
    return shape[1] // factor, shape[2] // factor


def _class_name(folder: Path) -> str | None:
    for name in ("model_index.json", "config.json"):
        try:
            config = read_json(folder / name)
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(config, dict) and "_diffusers_version" in config:
            return str(config.get("_class_name"))
    return None


def _load(folder: Path) -> Any:
    name = _class_name(folder)
    if name not in _CLASSES:
        allowed = "a folder written by save_pretrained of " + ", ".join(_CLASSES)
        hint = "Check the path; load other models yourself and pass them."
        raise ModelError("obj", allowed, f"{folder.name!r}, of {name}", hint)
    check_folder(folder)
    kind = getattr(optional.load("diffusers", "diffusers"), name)
    try:
        return kind.from_pretrained(str(folder), use_safetensors=True, local_files_only=True)
    except Exception as error:
        hint = "Save the model anew by save_pretrained, which writes safetensors."
        got = f"{type(error).__name__}: {str(error)[:200]}"
        raise ModelError("obj", "a complete folder with safetensors", got, hint) from error


@register("diffusers")
class Diffusers(Source):
    """Autoencoders, UNets and pipelines of diffusers, and folders of them."""

    order = 20
    what = "a diffusers autoencoder, UNet or pipeline, or the folder of one"
    families = (VAE, Autoencoder, VQVAE, Diffusion)
    build = staticmethod(from_diffusers)

    @classmethod
    def matches(cls, obj: Any) -> bool:
        """Return whether ``obj`` is of diffusers, or the folder of a model of it."""
        if isinstance(obj, (str, os.PathLike)):
            return _class_name(Path(obj)) is not None
        return is_of(obj, "diffusers")
