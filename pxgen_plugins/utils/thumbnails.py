"""Arrays as small pictures: what of them can be drawn, and PNG files in ``data:`` addresses."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["bytes_of", "diverging", "drawable", "png_url"]

_BAR_HEIGHT, _BAR_WIDTH = 48, 96
_RED, _BLUE = np.array([178.0, 24.0, 43.0]), np.array([33.0, 102.0, 172.0])

Pixels = NDArray[np.uint8]


def bytes_of(values: NDArray[Any]) -> Pixels:
    """Return values as bytes: bytes as they are, others from the lowest (0) to the highest (255).

    NaN is drawn as the lowest, infinity as the end that it lies beyond.
    """
    if values.dtype == np.uint8:
        return values
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    unit = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) / ((high - low) or 1.0)
    rounded: Pixels = np.rint(255 * np.clip(unit, 0, 1)).astype(np.uint8)
    return rounded


def drawable(pixels: NDArray[Any]) -> Pixels:
    """Return instances as pictures; those that are flat, or of odd channels, as bars.

    Args:
        pixels: (n, *shape), bytes or numbers, which are stretched to their own range.

    Returns:
        Bytes (n, h, w, c) with c 1 or 3.

    Example:
        >>> drawable(np.zeros((2, 1, 8, 8))).shape, drawable(np.zeros((2, 5))).shape
        ((2, 8, 8, 1), (2, 48, 45, 1))
    """
    pixels = bytes_of(pixels)
    shape = pixels.shape[1:]
    if len(shape) == 2 and min(shape) > 3:
        return pixels[..., None]
    if len(shape) == 3 and shape[0] in (1, 3) and min(shape[1:]) > 3:
        return np.moveaxis(pixels, 1, -1)
    if len(shape) == 3 and shape[2] in (1, 3, 4) and min(shape[:2]) > 3:
        return pixels[..., :3] if shape[2] == 4 else pixels
    return _bars(pixels.reshape(len(pixels), -1))


def _bars(flat: Pixels) -> Pixels:
    """Draw (n, d) as bars from below, bright on dark; neighbours share a bar."""
    width = min(flat.shape[-1], _BAR_WIDTH)
    edges = np.linspace(0, flat.shape[-1], width + 1).astype(int)[:-1]
    sizes = np.diff([*edges, flat.shape[-1]])
    means = np.add.reduceat(flat.astype(np.float64), edges, axis=-1) / sizes
    means = np.repeat(means, max(1, _BAR_HEIGHT // width), axis=-1)
    level = _BAR_HEIGHT * (1 - means / 255)
    lit = np.arange(_BAR_HEIGHT)[:, None] >= level[..., None, :]
    bars: Pixels = np.where(lit, 220, 40).astype(np.uint8)[..., None]
    return bars


def diverging(maps: NDArray[Any], full: float | None = None) -> Pixels | None:
    """Return signed maps as colours: red raises, blue lowers, white is 0, each on its own scale.

    Args:
        maps: (n, h, w), (n, c, h, w) or (n, h, w, c); channels are summed.
        full: Size that has the full colour; None takes each map's largest.

    Returns:
        Bytes (n, h, w, 3); None for what is no map in a plane.
    """
    plane = np.nan_to_num(np.asarray(maps, dtype=np.float64), posinf=0.0, neginf=0.0)
    if plane.ndim == 4:
        plane = plane.sum(axis=1 if plane.shape[1] <= 4 else 3)
    if plane.ndim != 3 or min(plane.shape) < 1 or max(plane.shape[1:]) < 2:
        return None
    most = np.abs(plane).max(axis=(1, 2), keepdims=True)
    if full is not None:
        most = np.full_like(most, full)
    strength = np.clip(plane / np.where(most > 0, most, 1.0), -1.0, 1.0)[..., None]
    colour = np.where(strength > 0, _RED, _BLUE)
    mixed: Pixels = np.rint(255.0 + np.abs(strength) * (colour - 255.0)).astype(np.uint8)
    return mixed


def png_url(pixels: Pixels, side: int, colours: int = 256) -> tuple[str, int, int]:
    """Return a picture as the ``data:`` address of a PNG, with its width and height.

    Args:
        pixels: (h, w, c) with c 1 or 3.
        side: Longest side in pixels; a smaller picture is enlarged by a whole factor.
        colours: Most colours or greys; fewer make a smaller file.
    """
    from PIL import Image

    grey = pixels.shape[2] == 1
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if grey else pixels))
    longest = max(image.size)
    if longest > side:
        size = [max(1, round(length * side / longest)) for length in image.size]
        image = image.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    elif 2 * longest <= side:
        size = [length * (side // longest) for length in image.size]
        image = image.resize((size[0], size[1]), Image.Resampling.NEAREST)
    if colours < 256:
        image = image.quantize(colours)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode(), *image.size
