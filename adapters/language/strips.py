"""Strips of instances along an axis, as films, and whether anything changes in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.adapters._codes import draw_codes, has_normal_prior
from pxgen_plugins.axes import Axis
from pxgen_plugins.describers import film
from pxgen_plugins.describers.base import Picture
from pxgen_plugins.utils.seeds import derive
from pxgen_plugins.utils.thumbnails import drawable

__all__ = ["Strips", "pictures", "spans_of"]

Floats = NDArray[np.float64]
_DRAWN = 2_000  # codes that quantiles come from where the prior is not known in closed form


def spans_of(
    model: Any, axes: Sequence[Axis], span: tuple[float, float], codes: Tensor | None, seed: int
) -> Floats:
    """Return where codes lie along every axis, as quantiles in steps from the origin, (u, 2).

    Args:
        model: A model that can decode.
        axes: u axes.
        span: Lower and upper quantile.
        codes: Codes of instances, (n, *latent_shape); None takes the model's prior.
        seed: Seed of codes drawn from it, where it is not normal.
    """
    if codes is None and has_normal_prior(model):
        from scipy.stats import norm

        both = norm.ppf(span)  # of a unit vector's coordinate, whatever the vector
        return np.array([both / axis.scale for axis in axes]).reshape(-1, 2)
    if codes is None:
        codes = draw_codes(model, _DRAWN, derive(seed, "span"))
    along = np.stack([_coordinates(codes, axis) for axis in axes]) if axes else np.empty((0, 1))
    ends: Floats = np.quantile(along, span, axis=1).T.reshape(-1, 2)
    return ends


def _coordinates(z: Tensor, axis: Axis) -> Floats:
    """Return how many steps along an axis codes lie from the origin, (n,)."""
    vector = torch.as_tensor(axis.vector, dtype=torch.float64).flatten()
    coordinates: Floats = (z.flatten(1).double() @ vector / axis.scale).numpy()
    return coordinates


def pictures(
    instances: NDArray[np.float32], data_range: tuple[float, float] | None
) -> list[Picture]:
    """Return instances (s, *sample_shape) as bytes (h, w) or (h, w, 3), all on one scale."""
    values = np.nan_to_num(instances.astype(np.float64))
    low, high = data_range or (float(values.min()), float(values.max()))
    unit = (values - low) / ((high - low) or 1.0)
    drawn = drawable(np.rint(255.0 * np.clip(unit, 0.0, 1.0)).astype(np.uint8))
    return [one[..., 0] if one.shape[-1] == 1 else one for one in drawn]


@dataclass(frozen=True)
class Strips:
    """Walks along axes from anchors, decoded when they are looked at.

    The way is between quantiles of what codes have along an axis, wherever the anchor itself lies:
    the frames are of places that the decoder knows.

    Attributes:
        model: A model that can decode.
        axes: u axes.
        spans: First and last place along each, in steps from the origin, (u, 2).
        n_steps: Frames of a strip.
        batch_size: Codes per model call.
    """

    model: Any
    axes: Sequence[Axis]
    spans: Floats
    n_steps: int
    batch_size: int

    def instances(self, axis: int, z: Tensor) -> NDArray[np.float32]:
        """Return the strips along an axis from codes ``z`` (a, *latent_shape), (a, s, *shape)."""
        way, (low, high) = self.axes[axis], self.spans[axis]
        amounts = np.linspace(low, high, self.n_steps)[None] - _coordinates(z, way)[:, None]
        codes = z.repeat_interleave(self.n_steps, dim=0)
        moved = way.move(codes, torch.as_tensor(amounts.ravel(), dtype=z.dtype))
        decoded = self.decode(moved)
        return decoded.reshape(len(z), self.n_steps, *decoded.shape[1:])

    def end(self, axis: int, z: Tensor) -> Tensor:
        """Return codes moved to the last place along an axis."""
        amounts = self.spans[axis, 1] - _coordinates(z, self.axes[axis])
        return self.axes[axis].move(z, torch.as_tensor(amounts, dtype=z.dtype))

    def decode(self, z: Tensor) -> NDArray[np.float32]:
        """Return what codes decode to, (n, *sample_shape)."""
        with torch.no_grad():
            parts = [
                self.model.decode(part.to(self.model.device, self.model.dtype)).float().cpu()
                for part in torch.split(z, self.batch_size)
            ]
        decoded: NDArray[np.float32] = torch.cat(parts).numpy()
        return decoded

    def change(self, axis: int, z: Tensor) -> float:
        """Return how much an axis changes instances: 1 is the whole data range.

        For every code the largest mean absolute change of a frame from the first one, so that an
        axis on which instances come back to where they were counts too; then the mean over codes.
        Without a data range, the range of the frames themselves stands for it.
        """
        strips = self.instances(axis, z).astype(np.float64)
        low, high = self.model.data_range or (float(strips.min()), float(strips.max()))
        moved = np.abs(strips - strips[:, :1]).reshape(*strips.shape[:2], -1).mean(axis=2)
        return float(moved.max(axis=1).mean() / ((high - low) or 1.0))

    def film(self, frames: NDArray[np.float32], letter: str = "", turned: bool = False) -> Picture:
        """Return frames (s, *sample_shape) as a film, in reversed order where ``turned``."""
        shown = pictures(frames, self.model.data_range)
        return film(shown[::-1] if turned else shown, letter)
