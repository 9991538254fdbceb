"""Latents of an autoencoder of diffusers, as the diffusion model in front takes them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["as_map", "normalisation"]


def normalisation(net: Any) -> tuple[Tensor, Tensor]:
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


def as_map(values: Tensor, like: Tensor) -> Tensor:
    """Return values (channels, side, side), repeated over the positions of codes ``like``."""
    pairs = zip(like.shape[2:], values.shape[1:], strict=True)
    sides = [max(1, size // side) for size, side in pairs]
    repeats = [side if values.shape[1] > 1 else 1 for side in sides]
    return values.to(like.device, like.dtype).repeat(1, *repeats)
