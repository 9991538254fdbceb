"""Training samples that methods call most representative, a row for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._layout import AnyFigure
from pxgen_plugins.plots._picture_rows import Column, Row, draw_rows
from pxgen_plugins.plots._pictures import Gallery, unit_range
from pxgen_plugins.plots._protocols import Training
from pxgen_plugins.plots._text import clean
from pxgen_plugins.utils.errors import caller
from pxgen_plugins.utils.text import number, percent

__all__ = ["plot_training_samples"]


@caller("plot_training_samples")
@layout.panels_only
def plot_training_samples(
    samples: Training, *, figure: AnyFigure | None = None
) -> NDArray[np.object_]:
    """Draw the picks of each method, most representative first, with their diversity.

    Args:
        samples: What :func:`pxgen_plugins.evaluation.compare_training_samples` returned; its images
            are (k, h, w), (k, 1, h, w), (k, 3, h, w) or (k, h, w, 3).
        figure: An empty figure or subfigure to draw in; a new figure by default.

    Returns:
        One Axes for each method, more where its picks take several lines.
    """
    pictures, rows = [], []
    for method, images in samples.images.items():
        pictures += [_picture(image) for image in np.asarray(images, dtype=float)]
        words = [_diversity(row) for row in samples.rows if row["method"] == method]
        heading = "; ".join([clean(method, 40), *words[:2]])
        rows.append(Row([Column()] * len(images), "no training samples", heading=heading))
    shape = pictures[0].shape if pictures else (1, 1)
    gallery = Gallery(pictures, None, 0.0, 1.0, shape[0] / shape[1], "")
    return layout.array_of(*draw_rows(figure, rows, gallery, [], [], picture_heads=[]))


def _diversity(row: Mapping[str, Any]) -> str:
    apart = row["mean_pairwise_distance"]
    distance = "one pick" if apart is None else f"{number(apart, 3)} apart"
    return f"{clean(row['features'], 20)}: {distance}, covers {percent(row['covered'])}"


def _picture(image: NDArray[Any]) -> NDArray[Any]:
    """Return an image as matplotlib takes it, (h, w) or (h, w, 3), on [0, 1]."""
    if image.ndim == 3 and image.shape[0] in (1, 3):
        image = np.moveaxis(image, 0, -1)
    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    return unit_range(image)
