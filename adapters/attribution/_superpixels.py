"""Images whose superpixels are hidden at random, and how often an answer survives it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.groups import exact_interval

__all__ = [
    "all_channels_last",
    "channels_first",
    "channels_last",
    "hidden_at_random",
    "survival",
]

Image = NDArray[np.float32]
_HIDDEN = 0.5  # probability that a superpixel which is not kept is hidden, as in alibi
_LEVEL = 0.95


def survival(
    answers: Callable[[Image], NDArray[np.bool_]],
    image: Image,
    segments: NDArray[np.int64],
    kept: list[int],
    background: Image | None,
    rng: np.random.Generator,
    n: int,
) -> tuple[float, tuple[float, float]]:
    """Return the share of ``n`` perturbed images with the same answer, and its 95% interval.

    The interval is exact (Clopper and Pearson 1934): it holds for independent draws, which those of
    a search that picked the superpixels by them are not.

    Args:
        answers: From images (n, H, W, C) to answers (n,).
        image: The image, (H, W, C).
        segments: Superpixel of each pixel, (H, W), 0 to K - 1.
        kept: Superpixels that always stay.
        background: Images (m, H, W, C) whose pieces show instead; None shows mean colours.
        rng: Where the draws come from.
        n: Draws.

    Example:
        >>> image, segments = np.ones((1, 2, 1), "f4"), np.array([[0, 1]])
        >>> rng = np.random.default_rng(0)
        >>> share, interval = survival(
        ...     lambda x: x[:, 0, 0, 0] > 0, image, segments, [0], 0 * image[None], rng, 100)
        >>> share, round(interval[0], 3), interval[1]
        (1.0, 0.964, 1.0)
    """
    images = hidden_at_random(image, segments, kept, background, rng, n)
    same = answers(images) == answers(image[None])
    return float(same.mean()), exact_interval(int(same.sum()), n, _LEVEL)


def hidden_at_random(
    image: Image,
    segments: NDArray[np.int64],
    kept: list[int],
    background: Image | None,
    rng: np.random.Generator,
    n: int,
) -> Image:
    """Return ``n`` perturbed images, (n, H, W, C); arguments as for :func:`survival`."""
    shown = rng.random((n, int(segments.max()) + 1)) >= _HIDDEN
    shown[:, kept] = True
    if background is None:
        mean = np.empty_like(image)
        for segment in range(shown.shape[1]):
            inside = segments == segment
            mean[inside] = image[inside].mean(axis=0)
        others = np.broadcast_to(mean, (n, *image.shape))
    else:
        others = background[rng.integers(len(background), size=n)]
    return np.where(shown[:, segments][..., None], image, others)


def channels_last(x: Image) -> Image:
    """Return an image (H, W) or (C, H, W) as (H, W, C)."""
    return x[..., None] if x.ndim == 2 else np.ascontiguousarray(np.moveaxis(x, 0, -1))


def all_channels_last(x: Image) -> Image:
    """Return a batch of such images, one by one."""
    return np.stack([channels_last(image) for image in x])


def channels_first(images: Image, shape: tuple[int, ...]) -> Image:
    """Return images (n, H, W, C) in the ``shape`` of the model's instances."""
    moved = images[..., 0] if len(shape) == 2 else np.moveaxis(images, -1, 1)
    return np.ascontiguousarray(moved)
