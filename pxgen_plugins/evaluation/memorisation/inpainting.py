"""A picture's hidden part, as a model fills it in."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.adapters.base import draw_codes, has_prior, traceless
from pxgen_plugins.models.base import capabilities
from pxgen_plugins.utils.seeds import derive

__all__ = ["fill"]

_DRAWN = 1_000  # codes that searches start from
_STARTS = 4
_STEPS = 100
_RATE = 0.05


def fill(model: Any, x: Tensor, mask: Tensor, seed: int, first: int = 0) -> Tensor | None:
    """Return instances whose hidden elements the model filled in; None where it cannot.

    A diffusion model does so while it denoises (its ``inpaint``). Another model that decodes codes
    of a prior is searched for the code whose instance fits the known elements best, as GANs are
    inverted: of 1,000 draws the best four, then 100 steps of Adam (Kingma and Ba 2015) on their
    squared error, and the best of the four.

    Args:
        model: Any model.
        x: Instances, (b, *sample_shape), of which only the known elements are looked at.
        mask: True where an element is known, bool (*sample_shape).
        seed: Seed of noise and draws.
        first: Place of the first instance among all, by which its noise is drawn.

    Cost: as a sample; or 1,000 passes of the decoder, and 400 of it and its gradient an instance.
    """
    if callable(getattr(model, "inpaint", None)):
        with torch.no_grad():
            return torch.as_tensor(model.inpaint(x, mask, seed, first))
    if "decode" not in capabilities(model) or not has_prior(model):
        return None
    with traceless(model):
        return _search(model, x, mask, seed)


def _search(model: Any, x: Tensor, mask: Tensor, seed: int) -> Tensor | None:
    codes = draw_codes(model, _DRAWN, derive(seed, "fill")).to(x.device, x.dtype)
    known = mask.flatten()
    wanted = x.flatten(1)[:, known]
    with torch.no_grad():
        drawn = torch.cat(
            [model.decode(part).flatten(1)[:, known] for part in torch.split(codes, 100)]
        )
        places = torch.cdist(wanted, drawn).topk(_STARTS, largest=False).indices
    z = codes[places.flatten()].clone().requires_grad_()
    wanted = wanted.repeat_interleave(_STARTS, 0)
    with torch.enable_grad():
        optimiser = torch.optim.Adam([z], lr=_RATE)
        for _ in range(_STEPS):
            optimiser.zero_grad()
            error = (model.decode(z).flatten(1)[:, known] - wanted).square().sum()
            if not error.requires_grad:
                return None  # it gives no gradient
            error.backward(inputs=[z])
            optimiser.step()
    with torch.no_grad():
        made = model.decode(z)
        errors = (made.flatten(1)[:, known] - wanted).square().sum(1).reshape(-1, _STARTS)
        best = torch.arange(len(x), device=x.device) * _STARTS + errors.argmin(1)
        return torch.where(mask, x, made[best])
