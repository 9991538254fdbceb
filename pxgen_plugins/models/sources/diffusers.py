"""Autoencoders and diffusion models of diffusers."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pxgen_plugins.models.diffusion import Diffusion
from pxgen_plugins.models.sources.base import Source, is_of, register
from pxgen_plugins.models.vae import VAE
from pxgen_plugins.models.vqvae import VQVAE
from pxgen_plugins.utils import optional
from pxgen_plugins.utils.contents import read_json
from pxgen_plugins.utils.errors import ModelError, ParameterError, caller, short_repr

__all__ = ["from_diffusers"]

_CLASSES = ("AutoencoderKL", "VQModel", "UNet2DModel", "DDPMPipeline", "DDIMPipeline")
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
) -> VAE | VQVAE | Diffusion:
    """Return a model of diffusers, behind the protocol of this package.

    ``AutoencoderKL`` becomes a :class:`~pxgen_plugins.models.VAE` whose codes are scaled by its
    ``scaling_factor`` (and shifted by its ``shift_factor``), as the diffusion model in front of it
    takes them: only then is N(0, I) near their distribution. Slicing and tiling stay as they are
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
        model: VAE | VQVAE | Diffusion = _vqvae(obj, sample_shape, prior, settings)
    elif hasattr(obj, "encode") and hasattr(obj, "decode"):
        model = _vae(obj, sample_shape, settings)
    elif is_of(obj, "diffusers") and hasattr(getattr(obj, "config", None), "in_channels"):
        model = _diffusion(obj, scheduler, sample_shape, class_label, settings)
    else:
        hint = "For others, use a family of pxgen_plugins.models with functions of your own."
        allowed = "one of " + ", ".join(_CLASSES)
        raise ParameterError("obj", allowed, short_repr(obj), hint)
    model.origin = f"diffusers {type(obj).__name__}, images {model.sample_shape} in [-1, 1]"
    return model


def _vae(net: Any, sample_shape: Any, settings: dict[str, Any]) -> VAE:
    config = net.config
    shape = _shape(config, sample_shape)
    factor = float(config.scaling_factor or 1.0)
    shift = float(getattr(config, "shift_factor", None) or 0.0)

    def encode(x: Any) -> tuple[Any, Any]:
        posterior = net.encode(x).latent_dist
        log_var = posterior.logvar + 2.0 * math.log(factor)
        return (posterior.mean - shift) * factor, log_var.expand_as(posterior.mean)

    def decode(z: Any) -> Any:
        return net.decode(z / factor + shift).sample.clamp(*_RANGE)

    latent = (int(config.latent_channels), *_down(config, shape))
    return VAE(
        net, modules=(), encode=encode, decode=decode, latent_shape=latent, sample_shape=shape,
        data_range=_RANGE, **settings,
    )  # fmt: skip


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
        except (OSError, ValueError):
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
    families = (VAE, VQVAE, Diffusion)
    build = staticmethod(from_diffusers)

    @classmethod
    def matches(cls, obj: Any) -> bool:
        """Return whether ``obj`` is of diffusers, or the folder of a model of it."""
        if isinstance(obj, (str, os.PathLike)):
            return _class_name(Path(obj)) is not None
        return is_of(obj, "diffusers")
