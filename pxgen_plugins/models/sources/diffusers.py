"""Autoencoders and diffusion models of diffusers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pxgen_plugins.models.autoencoder import Autoencoder
from pxgen_plugins.models.diffusion import Diffusion
from pxgen_plugins.models.files import check_folder
from pxgen_plugins.models.runtime import EvaluationMode
from pxgen_plugins.models.sources._latents import as_map, normalisation
from pxgen_plugins.models.sources._prompts import reads_prompts, text_to_image
from pxgen_plugins.models.sources._unets import RANGE, expect_no_variance, image_shape, scheduler_of
from pxgen_plugins.models.sources.base import Source, is_of, register
from pxgen_plugins.models.text_to_image import TextToImage
from pxgen_plugins.models.vae import VAE
from pxgen_plugins.models.vqvae import VQVAE
from pxgen_plugins.utils import optional
from pxgen_plugins.utils.errors import ModelError, ParameterError, caller, short_repr
from pxgen_plugins.utils.json_files import read_json

__all__ = ["from_diffusers"]

_CLASSES = (
    "AutoencoderKL", "AsymmetricAutoencoderKL", "AutoencoderKLFlux2", "AutoencoderTiny",
    "AutoencoderDC", "VQModel", "UNet2DModel", "DDPMPipeline", "DDIMPipeline",
    "StableDiffusionPipeline",
)  # fmt: skip


@caller("from_diffusers")
def from_diffusers(
    obj: Any,
    *,
    scheduler: Any = None,
    sample_shape: tuple[int, ...] | None = None,
    prior: Any = None,
    class_label: int | None = None,
    vae: Any = None,
    **settings: Any,
) -> VAE | Autoencoder | VQVAE | Diffusion | TextToImage:
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

    A ``StableDiffusionPipeline``, or a ``UNet2DConditionModel``, its scheduler, its text encoder
    and its tokenizer in a tuple, or with a function from prompts to states in the place of the last
    two, become a :class:`~pxgen_plugins.models.TextToImage`. Of the scheduler the timesteps are
    used, too, and samples are those of DDIM. Networks that attend to text and picture at once, as
    those of FLUX and Stable Diffusion 3, are refused, and so are UNets that want more than a
    prompt, as SDXL's.

    Args:
        obj: The model or the pipeline, or the path of a folder that ``save_pretrained`` wrote. A
            folder is read without network access, and only if its weights are safetensors.
        scheduler: The scheduler of a UNet alone.
        sample_shape: Shape of one image, (channels, height, width); None takes the
            configuration's ``sample_size``.
        prior: Prior of a ``VQModel`` (see :class:`~pxgen_plugins.models.VQVAE`).
        class_label: The class of a class-conditional UNet that is explained.
        vae: The autoencoder beside a tuple whose UNet works on latents.
        settings: Further arguments of the family, such as ``steps`` or ``device``.

    Raises:
        ParameterError: When ``obj`` is none of these, or the scheduler is missing.
        ModelError: When a folder cannot be read, or the model is of a kind that is not supported.
        MissingDependencyError: When a folder is given and diffusers is not installed.
    """
    if isinstance(obj, (str, os.PathLike)):
        obj = _load(Path(obj))
    if reads_prompts(obj):
        return text_to_image(obj, sample_shape, settings, scheduler=scheduler, vae=vae)
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
    shape = image_shape(net.config, sample_shape)
    shift, factor = normalisation(net)

    def encode(x: Any) -> Any:
        encoded = net.encode(x)
        posterior = getattr(encoded, "latent_dist", None)
        if posterior is None:  # AutoencoderTiny and AutoencoderDC give codes alone
            code = encoded.latents if hasattr(encoded, "latents") else encoded.latent
            return (code - as_map(shift, code)) * as_map(factor, code)
        mean, scale = posterior.mean, as_map(factor, posterior.mean)
        log_var = posterior.logvar + 2.0 * scale.log()
        return (mean - as_map(shift, mean)) * scale, log_var.expand_as(mean)

    def decode(z: Any) -> Any:
        return net.decode(z / as_map(factor, z) + as_map(shift, z)).sample.clamp(*RANGE)

    common: dict[str, Any] = {"sample_shape": shape, "data_range": RANGE, "modules": ()}
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


def _vqvae(net: Any, sample_shape: Any, prior: Any, settings: dict[str, Any]) -> VQVAE:
    config = net.config
    shape = image_shape(config, sample_shape)
    book = net.quantize.embedding
    return VQVAE(
        net,
        modules=(),
        encode=lambda x: net.encode(x).latents,
        decode=lambda z: net.decode(z, force_not_quantize=True).sample.clamp(*RANGE),
        codebook=book,
        latent_shape=(book.weight.shape[1], *_down(config, shape)),
        sample_shape=shape,
        data_range=RANGE,
        prior=prior,
        **settings,
    )


def _diffusion(
    net: Any, scheduler: Any, sample_shape: Any, class_label: Any, settings: dict[str, Any]
) -> Diffusion:
    kind = scheduler_of(scheduler)
    expect_no_variance(net)

    def network(x: Any, t: Any) -> Any:
        if class_label is None:
            return net(x, t).sample
        return net(x, t, class_labels=t.new_full((len(x),), class_label)).sample

    settings = {"clip": bool(getattr(scheduler.config, "clip_sample", True))} | settings
    return Diffusion(
        network,
        sample_shape=image_shape(net.config, sample_shape),
        data_range=RANGE,
        schedule=scheduler.alphas_cumprod.double(),
        prediction=kind,
        modules=net,
        **settings,
    )


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
    families = (VAE, Autoencoder, VQVAE, Diffusion, TextToImage)
    build = staticmethod(from_diffusers)

    @classmethod
    def matches(cls, obj: Any) -> bool:
        """Return whether ``obj`` is of diffusers, or the folder of a model of it."""
        if isinstance(obj, (str, os.PathLike)):
            return _class_name(Path(obj)) is not None
        parts = obj if isinstance(obj, tuple) and len(obj) > 2 else (obj,)
        return is_of(parts[0], "diffusers")
