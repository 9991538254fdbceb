"""Concepts for pictures of which nothing is known but their range."""

from __future__ import annotations

from collections.abc import Sequence

from pxgen_plugins.concepts.base import Concept
from pxgen_plugins.concepts.edge import Edge
from pxgen_plugins.concepts.threshold import Threshold

__all__ = ["default_concepts"]

_EDGE = 0.3  # of the range per pixel
_SOFT = 0.05  # of the range: differentiable, and close to hard
_SMALLEST = 4  # pixels of a side, below which there are no pictures


def default_concepts(
    sample_shape: Sequence[int] | None, data_range: tuple[float, float] | None
) -> dict[str, Concept]:
    """Return bright, dark, and horizontal and vertical edges; empty for what is no picture.

    Bright is the upper half of the range, dark the lower quarter; an edge is a step of 30% of it.
    Borders are soft by 5% of the range, so that all are differentiable.

    Args:
        sample_shape: Shape of an instance.
        data_range: Lowest and highest value; None, when unbounded, gives none.

    Example:
        >>> list(default_concepts((1, 28, 28), (0.0, 1.0)))
        ['bright', 'dark', 'horizontal edge', 'vertical edge']
        >>> default_concepts((10,), (0.0, 1.0))
        {}
    """
    shape = tuple(sample_shape or ())
    if data_range is None or len(shape) not in (2, 3) or sorted(shape)[-2] < _SMALLEST:
        return {}
    low, high = data_range
    size = high - low
    soft = _SOFT * size
    concepts: list[Concept] = [
        Threshold(low + 0.5 * size, width=soft, label="bright"),
        Threshold(low + 0.25 * size, below=True, width=soft, label="dark"),
        Edge("horizontal", _EDGE * size, width=soft),
        Edge("vertical", _EDGE * size, width=soft),
    ]
    return {one.label: one for one in concepts}
