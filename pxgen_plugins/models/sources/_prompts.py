"""Text-to-image models of diffusers: pipelines, and tuples of their parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from pxgen_plugins.models.sources._latents import as_map, normalisation
from pxgen_plugins.models.sources._token_offsets import check_length, longest, offsets_of, padded
from pxgen_plugins.models.sources._unets import (
    RANGE,
    expect_no_variance,
    image_shape,
    scheduler_of,
)
from pxgen_plugins.models.sources.base import is_of
from pxgen_plugins.models.text_to_image import TextToImage
from pxgen_plugins.utils.errors import ModelError, ParameterError

__all__ = ["reads_prompts", "text_to_image"]

_STEPS = 50
_TUPLES = "(UNet, scheduler, text encoder, tokenizer) or (UNet, scheduler, embed_text)"
_TUPLE_HINT = "embed_text takes a list of n prompts and returns states (n, n_tokens, width)."
_FURTHER = {
    "addition_embed_type": "pooled states and sizes, as SDXL",
    "class_embed_type": "a class",
    "encoder_hid_dim_type": "states of images",
    "time_cond_proj_dim": "the strength of guidance, as latent consistency models",
}


def reads_prompts(obj: Any) -> bool:
    """Return whether ``obj`` is a pipeline or a tuple of parts that reads prompts."""
    if isinstance(obj, tuple) or getattr(obj, "text_encoder", None) is not None:
        return True
    config = getattr(obj, "config", None)
    return any(hasattr(config, f"{kind}_attention_dim") for kind in ("cross", "joint"))


def text_to_image(
    obj: Any, sample_shape: Any, settings: dict[str, Any], *, scheduler: Any, vae: Any
) -> TextToImage:
    """Return the model of a pipeline or a tuple; see ``from_diffusers``."""
    name = type(obj[0] if isinstance(obj, tuple) else obj).__name__
    unet, own_scheduler, embed_text, offsets, own_vae, modules = _parts(obj, name)
    _expect_cross_attention(unet, name)
    scheduler, vae = scheduler or own_scheduler, vae if own_vae is None else own_vae
    kind = scheduler_of(scheduler)
    steps = settings.get("steps", _STEPS)
    if isinstance(steps, int):
        steps = _timesteps(scheduler, steps)
    if vae is None:
        settings = {"clip": bool(getattr(scheduler.config, "clip_sample", True))} | settings
        spaces: dict[str, Any] = {"sample_shape": image_shape(unet.config, sample_shape)}
    else:
        spaces = _latent_space(unet, vae, sample_shape)
        modules = [*modules, vae]
    given = settings.pop("modules", ())
    modules += [given] if isinstance(given, nn.Module) else list(given or ())

    model = TextToImage(
        unet,  # and no function around it: a deep copy of the model has a network of its own
        embed_text,
        **spaces,
        **{
            "data_range": RANGE,
            "schedule": scheduler.alphas_cumprod.double(),
            "prediction": kind,
            "end": _end(scheduler),
            "offsets": offsets,
            "modules": [unet, *modules],
        }
        | settings
        | {"steps": steps},
    )
    model.origin = f"diffusers {name}, images {model.sample_shape} in [-1, 1]"
    if getattr(obj, "safety_checker", None) is not None:
        model.origin += "; its safety checker is not asked"
    return model


def _parts(obj: Any, name: str) -> tuple[Any, Any, Any, Any, Any, list[Any]]:
    """Return UNet, scheduler, embedding, offsets, autoencoder and the modules behind the text."""
    if not isinstance(obj, tuple):
        if not hasattr(obj, "text_encoder"):
            _expect_cross_attention(obj, name)
            raise ParameterError("obj", _TUPLES, f"a {name} alone", _TUPLE_HINT)
        if not hasattr(obj, "unet"):
            _refuse(name, getattr(obj, "transformer", None))
        for role in ("text_encoder_2", "text_encoder_3", "image_encoder"):
            if getattr(obj, role, None) is not None:
                hint = "Use a TextToImage with functions of your own."
                got = f"{name}, with a {role}"
                raise ModelError("obj", "a model of one text encoder", got, hint)
        embed, offsets = _embedding(obj.text_encoder, obj.tokenizer, obj)
        return obj.unet, obj.scheduler, embed, offsets, obj.vae, [obj.text_encoder]
    if len(obj) == 4:
        unet, scheduler, encoder, tokenizer = obj
        embed, offsets = _embedding(encoder, tokenizer)
        return unet, scheduler, embed, offsets, None, [encoder]
    if len(obj) == 3 and callable(obj[2]):
        unet, scheduler, embed_text = obj
        module = [embed_text] if isinstance(embed_text, nn.Module) else []
        return unet, scheduler, embed_text, getattr(embed_text, "offsets", None), None, module
    raise ParameterError("obj", _TUPLES, f"a tuple of {len(obj)}", _TUPLE_HINT)


def _expect_cross_attention(unet: Any, name: str) -> None:
    config = getattr(unet, "config", None)
    if not is_of(unet, "diffusers") or not hasattr(config, "cross_attention_dim"):
        _refuse(name, unet)
    for setting, what in _FURTHER.items():
        if getattr(config, setting, None) is not None:
            hint = "Use a TextToImage with a function of your own around the UNet."
            got = f"{type(unet).__name__} that wants {what} ({setting})"
            raise ModelError("obj", "a UNet that wants a prompt and nothing else", got, hint)
    expect_no_variance(unet)


def _refuse(name: str, network: Any) -> None:
    """Raise for a network that does not read the prompt in layers of its own."""
    kind = name if network is None else type(network).__name__
    got = f"{name}, whose {kind}" if kind != name else name
    got += (
        " attends to text and picture at once" if "Transformer" in kind else " is another network"
    )
    hint = "Use a TextToImage with functions of your own, which then has no such layers."
    allowed = "a model that reads prompts by cross-attention, as a UNet2DConditionModel does"
    raise ModelError("obj", allowed, got, hint)


def _embedding(
    encoder: Any, tokenizer: Any, pipeline: Any = None
) -> tuple[Callable[[list[str]], Tensor], Callable[[str], list[tuple[int, int]]]]:
    n = longest(tokenizer, encoder)

    def embed_text(prompts: list[str]) -> Tensor:
        device = next(encoder.parameters()).device
        if hasattr(pipeline, "encode_prompt"):
            check_length(tokenizer, prompts, n)
            return pipeline.encode_prompt(prompts, device, 1, False)[0]  # type: ignore[no-any-return]
        tokens = padded(tokenizer, prompts, n, return_tensors="pt").to(device)
        masked = getattr(encoder.config, "use_attention_mask", False)
        mask = {"attention_mask": tokens.attention_mask} if masked else {}
        states: Tensor = encoder(tokens.input_ids, **mask)[0]
        return states

    return embed_text, offsets_of(tokenizer, n)


def _latent_space(unet: Any, vae: Any, sample_shape: Any) -> dict[str, Any]:
    channels, height, width = image_shape(unet.config, None) if sample_shape is None else (
        int(unet.config.in_channels), 0, 0
    )  # fmt: skip
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    if sample_shape is None:
        sample_shape = (int(vae.config.out_channels), factor * height, factor * width)
    else:
        height, width = (side // factor for side in tuple(sample_shape)[1:])
    shift, scale = normalisation(vae)

    def decode(z: Any) -> Any:
        return vae.decode(z / as_map(scale, z) + as_map(shift, z)).sample.clamp(*RANGE)

    def encode(x: Any) -> Any:
        encoded = vae.encode(x)
        code = encoded.latent_dist.mean if hasattr(encoded, "latent_dist") else encoded.latents
        return (code - as_map(shift, code)) * as_map(scale, code)

    return {
        "sample_shape": tuple(sample_shape),
        "latent_shape": (channels, height, width),
        "decode_latent": decode,
        "encode_latent": encode,
    }


def _timesteps(scheduler: Any, steps: int) -> int | list[int]:
    """Return the timesteps that a scheduler spaces as it is configured, highest first."""
    config, n = scheduler.config, len(scheduler.alphas_cumprod)
    spacing = getattr(config, "timestep_spacing", "linspace")
    if steps > n:
        return steps  # which the family refuses
    if spacing == "leading":
        first = int(getattr(config, "steps_offset", 0))
        at = [k * (n // steps) + first for k in range(steps)]
        return [t for t in at if t < n]
    if spacing == "trailing":
        return [round(n - k * n / steps) - 1 for k in range(steps)]
    return steps


def _end(scheduler: Any) -> float:
    """Return the signal left after the last step."""
    to_one = getattr(scheduler.config, "set_alpha_to_one", True)
    return 1.0 if to_one else float(scheduler.alphas_cumprod[0])
