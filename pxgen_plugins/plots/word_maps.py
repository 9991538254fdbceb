"""Where each word of a prompt is looked at, and what changes without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._layout import AnyFigure
from pxgen_plugins.plots._strips import choose_rows, picture_of
from pxgen_plugins.plots._text import clean
from pxgen_plugins.plots.style import INK, MUTED, SMALL, TINY
from pxgen_plugins.utils.errors import ParameterError, caller
from pxgen_plugins.utils.text import number

__all__ = ["plot_word_maps"]

_PICTURE = 1.05  # inches
_MOST = 3  # pictures drawn by default


@caller("plot_word_maps")
@layout.panels_only
def plot_word_maps(
    explanation: Any,
    which: Sequence[int] | int | None = None,
    *,
    figure: AnyFigure | None = None,
) -> NDArray[np.object_]:
    """Draw a picture, the attention to each word, and below it what changes without the word.

    Maps of a picture share one scale, its changes another. Above each word stands how far the two
    correlate over all pictures, and in brackets the same for all other tokens.

    Args:
        explanation: What ``CrossAttentionMaps.explain`` returned, or the same from JSON.
        which: Pictures, by position; None takes the first three.
        figure: An empty figure or subfigure to draw in; a new figure by default.

    Returns:
        Axes, row by row: the picture and its maps, then an empty one and the changes.

    Raises:
        ParameterError: The explanation holds no maps of words, or no picture at that position.
    """
    data = getattr(explanation, "data", None)
    if not isinstance(data, Mapping) or data.get("control_agreement") is None:
        hint = "Pass what CrossAttentionMaps.explain returned."
        raise ParameterError("explanation", "maps of words", type(explanation).__name__, hint)
    words = [str(word) for word in data["words"]]
    images = np.asarray(data["images"], dtype=np.float64)
    rows = choose_rows(which, len(images), _MOST)
    shape = (len(words), len(images), *images.shape[-2:])
    maps, changes = (
        np.asarray(data[key], dtype=np.float64).reshape(shape)
        for key in ("attributions", "changes")
    )
    columns = 1 + len(words)
    figure = layout.figure_or_new(figure, _PICTURE * columns + 0.4, 2 * _PICTURE * len(rows) + 0.9)
    grid = figure.add_gridspec(2 * len(rows), columns)
    axes: list[Axes] = []
    for at, row in enumerate(rows):
        for half, tables in enumerate((maps, changes)):
            line = [figure.add_subplot(grid[2 * at + half, column]) for column in range(columns)]
            for ax in line:
                ax.set(xticks=[], yticks=[])
                ax.spines[:].set_visible(False)
            if half == 0:
                picture = picture_of(images[row])
                line[0].imshow(images[row].mean(0) if picture is None else picture, cmap="gray")
            most = float(tables[:, row].max()) or 1.0
            for word, ax in enumerate(line[1:]):
                ax.imshow(tables[word, row], cmap="magma" if half == 0 else "viridis",
                          vmin=0.0, vmax=most)  # fmt: skip
            line[1].set_ylabel(("attention", "change")[half], fontsize=TINY, color=MUTED)
            axes += line
    own, other = (np.asarray(data[k], dtype=np.float64) for k in ("agreement", "control_agreement"))
    for word, text in enumerate(words):
        title = f"{clean(text, 14)}\n{number(own[word], 2)} ({number(other[word], 2)})"
        axes[1 + word].set_title(title, fontsize=SMALL, color=INK)
    layout.footnote(figure, [
        f"“{clean(data['prompt'], 60)}”. Above: mean attention to the word; below: mean absolute "
        "change when the network reads the prompt without it. Numbers: their correlation over "
        f"{int(data['n_seeds'])} pictures, and of the other tokens' attention with that change."
    ])  # fmt: skip
    return layout.array_of(*axes)
