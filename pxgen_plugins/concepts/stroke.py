"""Parts of a drawing: strokes, their ends, holes, and the largest piece."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.concepts.base import RangedConcept, intensity
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import caller

__all__ = ["Stroke"]

Masks = NDArray[np.bool_]
PARTS = {"end": "stroke end", "hole": "hole", "largest": "largest piece"}


class Stroke(RangedConcept):
    """A part of what is drawn in ink, by morphology.

    ``"end"``: pixels near the ends of the drawing's skeleton (pixels of it with one neighbour;
    Zhang and Suen 1984). ``"hole"``: background that ink encloses. ``"largest"``: the largest
    connected piece of ink. Ink are pixels above ``value``.

    Args:
        part: ``"end"``, ``"hole"`` or ``"largest"``.
        value: Luminance above which a pixel is ink, in units of the data; None takes the middle of
            the range.
        radius: Around an end, pixels, >= 0.
        data_range: Lowest and highest value of an instance, where ``value`` is None; None takes the
            model's, where an adapter knows it, else (0, 1), and refuses instances outside.
        label: Name; None makes one.

    Cost: O(pixels) per instance, on the CPU.

    Example:
        >>> ring = torch.zeros(1, 1, 5, 5)
        >>> ring[:, :, 1:4, 1:4] = 1.0
        >>> ring[:, :, 2, 2] = 0.0
        >>> Stroke("hole")(ring).nonzero().tolist()
        [[0, 2, 2]]
    """

    def __init__(
        self,
        part: str = "end",
        value: float | None = None,
        *,
        radius: int = 2,
        data_range: tuple[float, float] | None = None,
        label: str | None = None,
    ) -> None:
        with caller("Stroke"):
            self.part = validation.choice(part, "part", list(PARTS))
            self.value = None if value is None else validation.real(value, "value")
            super().__init__(data_range)
            self.radius = validation.integer(radius, "radius", minimum=0)
        self.label = label or PARTS[part]

    def __call__(self, x: Tensor) -> Tensor:
        """Return masks (n, height, width)."""
        value = sum(self.range_of(x)) / 2 if self.value is None else self.value
        ink = (intensity(x.detach()) > value).cpu().numpy()
        find = {"end": self._ends, "hole": _hole, "largest": _largest}[self.part]
        masks = np.stack([find(one) for one in ink]) if len(ink) else ink
        return torch.from_numpy(masks.astype(np.float32)).to(x.device, x.dtype)

    def _ends(self, ink: Masks) -> Masks:
        from scipy import ndimage

        thin = thinned(ink)
        block = ndimage.convolve(thin.astype(int), np.ones((3, 3), int), mode="constant")
        ends = thin & (block == 2)  # itself and one neighbour
        side = slice(-self.radius, self.radius + 1)
        around = np.hypot(*np.ogrid[side, side])
        mask: Masks = ndimage.binary_dilation(ends, around <= self.radius)
        inside: Masks = mask & ndimage.binary_dilation(ink)
        return inside


def _hole(ink: Masks) -> Masks:
    from scipy import ndimage

    filled: Masks = ndimage.binary_fill_holes(ink)
    hole: Masks = filled & ~ink
    return hole


def _largest(ink: Masks) -> Masks:
    from scipy import ndimage

    pieces, count = ndimage.label(ink, np.ones((3, 3)))
    if not count:
        return ink
    largest: Masks = pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()
    return largest


def thinned(ink: Masks) -> Masks:
    """Return the skeleton of ink, (h, w) of bools, by the rule of Zhang and Suen (1984).

    Two half steps take border pixels away, of the south-east and of the north-west, that have two
    to six neighbours and one passage from background to ink around them, until none is left.

    Example:
        >>> int(thinned(np.ones((3, 7), dtype=bool)).sum(axis=0).max())
        1
    """
    image = np.pad(ink.astype(np.uint8), 1)
    while True:
        changed = False
        for odd in (0, 1):
            inner = image[1:-1, 1:-1]
            # clockwise from the north
            p = [image[:-2, 1:-1], image[:-2, 2:], image[1:-1, 2:], image[2:, 2:],
                 image[2:, 1:-1], image[2:, :-2], image[1:-1, :-2], image[:-2, :-2]]  # fmt: skip
            count = sum(one.astype(int) for one in p)
            passages = sum(((p[i] == 0) & (p[(i + 1) % 8] == 1)).astype(int) for i in range(8))
            north, east, south, west = p[0], p[2], p[4], p[6]
            if odd:
                free = (north * east * west == 0) & (north * south * west == 0)
            else:
                free = (north * east * south == 0) & (east * south * west == 0)
            gone = (inner == 1) & (count >= 2) & (count <= 6) & (passages == 1) & free
            if gone.any():
                image[1:-1, 1:-1] = np.where(gone, 0, inner)
                changed = True
        if not changed:
            skeleton: Masks = image[1:-1, 1:-1].astype(bool)
            return skeleton
