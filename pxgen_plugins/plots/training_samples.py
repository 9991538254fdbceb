"""Training samples that methods call most representative, a strip for each."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pxgen_plugins.plots._layout import array_of, sheet, write
from pxgen_plugins.plots._style import MUTED, TINY
from pxgen_plugins.plots._text import clean

__all__ = ["plot_training_samples"]

_CELL, _GAP, _SIDE = 0.62, 0.06, 2.3  # inches


def plot_training_samples(samples: Any, *, ax: Axes | None = None) -> NDArray[Any]:
    """Draw the picks of each method, most representative first, with their diversity.

    Args:
        samples: What :func:`pxgen_plugins.evaluation.compare_training_samples` returned; its images
            are (k, h, w), (k, 1, h, w), (k, 3, h, w) or (k, h, w, 3).
        ax: Axes to draw in; a new figure by default.

    Returns:
        One Axes.
    """
    most = max((len(images) for images in samples.images.values()), default=1)
    width = _SIDE + most * (_CELL + _GAP) + 0.1
    height = 0.15 + len(samples.images) * (_CELL + 0.28)
    page = sheet(ax, width, height, "plot_training_samples")
    for row, (method, images) in enumerate(samples.images.items()):
        top = 0.1 + row * (_CELL + 0.28)
        write(page, 0.05, top + 0.2, clean(method, 40), TINY + 1, ha="left", weight="bold")
        own = [r for r in samples.rows if r["method"] == method]
        for line, found in enumerate(own[:2]):
            apart = found["mean_pairwise_distance"]
            said = f"{clean(found['features'], 20)}: "
            said += "one pick" if apart is None else f"{apart:.3g} apart"
            said += f", covers {found['covered']:.0%}"
            write(page, 0.05, top + 0.38 + 0.16 * line, said, ha="left", color=MUTED)
        for column, image in enumerate(np.asarray(images, dtype=float)):
            left = _SIDE + column * (_CELL + _GAP)
            if image.ndim == 3 and image.shape[0] in (1, 3):
                image = np.moveaxis(image, 0, -1)
            low, high = float(image.min()), float(image.max())
            shown = (image - low) / (high - low) if high > low else image * 0.0
            extent = (left, left + _CELL, top + _CELL, top)
            squeezed = shown[..., 0] if shown.ndim == 3 and shown.shape[-1] == 1 else shown
            page.imshow(squeezed, cmap="gray", vmin=0, vmax=1, extent=extent, aspect="equal")
    return array_of(page)
