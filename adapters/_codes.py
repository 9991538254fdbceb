"""Latent codes that directions are fitted and measured on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.adapters._anchors import AnchorReader, Indices, can_embed
from pxgen_plugins.criteria import Batch
from pxgen_plugins.models import capabilities
from pxgen_plugins.models.callables import as_tensor, expect_shape
from pxgen_plugins.utils.errors import CapabilityError
from pxgen_plugins.utils.seeds import derive, normal_rows

__all__ = ["can_draw", "codes_of", "draw_codes", "has_normal_prior", "has_prior"]


def has_prior(model: Any) -> bool:
    """Return whether codes come from a prior, and not from samples that the model embeds."""
    return hasattr(model, "prior") or not getattr(model, "autoencodes", False)


def has_normal_prior(model: Any) -> bool:
    """Return whether codes come from N(0, I)."""
    prior: Any = getattr(model, "prior", "normal")
    return has_prior(model) and isinstance(prior, str) and prior == "normal"


def can_draw(model: Any) -> bool:
    """Return whether a model has a prior of codes, or samples that it can embed."""
    return has_prior(model) or "sample" in capabilities(model)


def draw_codes(model: Any, n: int, seed: int) -> Tensor:
    """Return ``n`` codes as the model itself draws them, float32 (n, *latent_shape), on the CPU.

    From its prior where that is known; else the codes of its samples.

    Raises:
        CapabilityError: When the model has neither a prior nor samples that it can embed.
    """
    shape, prior = tuple(model.latent_shape), getattr(model, "prior", "normal")
    seed = derive(seed, "codes")
    if callable(prior):
        hint = "Return one code per sample asked for."
        return expect_shape(as_tensor(prior(n, seed)), (n, *shape), "prior's result", hint).float()
    if prior == "uniform":
        generator = torch.Generator().manual_seed(seed)
        return 2 * torch.rand(n, *shape, generator=generator) - 1
    if has_prior(model):
        return normal_rows(0, n, shape, seed)
    if "sample" in capabilities(model):
        with torch.no_grad():
            return Batch(model, model.sample(n, seed)).code.float().cpu()
    hint = "Call fit(X) with instances, whose codes are taken then."
    raise CapabilityError("model", "able to draw codes", f"a {type(model).__name__}", hint)


def codes_of(
    X: Any, model: Any, batch_size: int, limit: int | None = None
) -> tuple[Tensor, Indices, AnchorReader]:
    """Return the codes of anchors, which anchors they are, and how these were read.

    The codes are float32 (n, *latent_shape), on the CPU.

    Args:
        X: Anything that :func:`~pxgen_plugins.anchors.open_anchors` reads.
        model: A model that can encode or embed.
        batch_size: Anchors per model call.
        limit: Most anchors, the first usable ones; None takes all.

    Raises:
        CapabilityError: When the model cannot embed.
    """
    if not can_embed(model):
        hint = "Give None: codes are drawn from the model's prior then."
        got = f"a {type(model).__name__} that cannot encode instances"
        raise CapabilityError("X", "None for this model", got, hint)
    reader = AnchorReader(X, model, batch_size)
    usable = reader.usable()[:limit]
    parts = [torch.empty(0, *model.latent_shape)]
    for start in range(0, len(usable), batch_size):
        with torch.no_grad():
            code = Batch(model, reader.inputs(usable[start : start + batch_size])).code
        parts.append(code.float().cpu())
    codes = torch.cat(parts)
    finite = codes.flatten(1).isfinite().all(1).numpy()
    for row in usable[~finite]:
        reader.errors[int(row)] = "its code is not finite"
    return codes[torch.from_numpy(finite)], usable[finite], reader
