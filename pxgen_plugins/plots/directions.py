"""Directions: instances along each axis, and how an assessor responds beside random ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._layout import AnyFigure
from pxgen_plugins.plots._strips import choose_rows, draw_strip, label_strip
from pxgen_plugins.plots._text import clean
from pxgen_plugins.plots.style import FAINT, INK, MUTED, TINY
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller
from pxgen_plugins.utils.text import number, percent

__all__ = ["plot_directions"]

_MOST = 6  # directions drawn by default
_FRAME, _CURVE, _ROW = 0.72, 2.0, 1.05  # inches
_OWN, _RANDOM = "#004F80", "#BDBDBD"


@caller("plot_directions")
@layout.panels_only
def plot_directions(
    explanation: Any,
    which: Sequence[int] | int | None = None,
    *,
    assessor: str | None = None,
    code: int = 0,
    figure: AnyFigure | None = None,
) -> NDArray[np.object_]:
    """Draw each direction as a strip of instances with its response curve.

    The curve is the mean response of an assessor over codes, in standard deviations over the
    model's instances; the dark band holds 80% of the codes, the grey one 90% of the mean responses
    along random directions of the same length. Above stand slope and p-value, the share of codes
    whose value at the end lies beyond that at the start (``ends``), and the share of those whose
    value rises or falls strictly at every step (``monotone``), which few do where a number has a
    floor. Without assessors: the mean change of the instance, and for random directions its mean.

    Args:
        explanation: What a direction adapter's ``explain`` returned, or the same from JSON.
        which: Directions, by position; None takes the first six.
        assessor: Its label; None takes the one that the direction was made for, else the first.
        code: Which of the codes that are kept as images.
        figure: An empty figure or subfigure to draw in; a new figure by default.

    Returns:
        Axes: strip and curve of each direction in turn.

    Raises:
        ParameterError: The explanation holds no directions, or nothing of that name.

    Example:
        >>> from pxgen_plugins.adapters import AssessorDirection
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> adapter = AssessorDirection(LinearModel(), "pixel[0, 4, 4]", n_steps=5, n_codes=20)
        >>> len(plot_directions(adapter.explain(None)))
        2
    """
    data = getattr(explanation, "data", None)
    if not isinstance(data, Mapping) or data.get("evidence") != "directions":
        hint = "Pass what explain of a direction adapter returned, as of AssessorDirection."
        got = type(explanation).__name__
        raise ParameterError("explanation", "directions", got, hint)
    if not data["n_codes"]:
        hint = "Explain anchors that can be read and are finite, or None."
        raise ParameterError("explanation", "measured on codes", "one of no usable anchor", hint)
    k = len(data["labels"])
    rows = choose_rows(which, k, _MOST)
    names = [str(name) for name in data["assessors"] or []]
    if assessor is not None:
        validation.choice(assessor, "assessor", names)
    amounts = np.asarray(data["amounts"], dtype=np.float64)
    images = None if data["images"] is None else np.asarray(data["images"], dtype=np.float64)
    code = validation.integer(code, "code", minimum=0)
    kept = 0 if images is None else images.shape[1]
    if images is not None and code >= kept:
        hint = "Raise n_shown of the adapter."
        raise ParameterError("code", f"below {kept}, the codes kept as images", str(code), hint)
    width = _FRAME * len(amounts) + _CURVE + 1.2
    figure = layout.figure_or_new(figure, width, _ROW * len(rows) + 0.6)
    ratio = [_FRAME * len(amounts), _CURVE]
    grid = figure.add_gridspec(len(rows), 2, width_ratios=ratio)
    axes: list[Axes] = []
    for at, row in enumerate(rows):
        strip, curve = (figure.add_subplot(grid[at, column]) for column in (0, 1))
        if images is None:
            strip.axis("off")
        else:
            heads = [f"{a:+.2g}" if a else "0" for a in amounts] if at == 0 else None
            draw_strip(strip, images[row, code], heads)
        label_strip(strip, data["labels"][row])
        _draw_curve(curve, data, names, row, assessor, amounts, last=at == len(rows) - 1)
        axes += [strip, curve]
    layout.footnote(figure, _notes(data, names))
    return layout.array_of(*axes)


def _draw_curve(
    ax: Axes,
    data: Mapping[str, Any],
    names: list[str],
    row: int,
    assessor: str | None,
    amounts: NDArray[np.float64],
    *,
    last: bool,
) -> None:
    """Draw the response, or the change where nothing is read off the instances."""
    layout.tidy(ax)
    ax.axhline(0.0, color=FAINT, linewidth=0.6, zorder=1)
    if not names:
        ax.plot(amounts, np.asarray(data["control_change"])[row], color=_RANDOM, linewidth=2.0)
        ax.plot(amounts, np.asarray(data["change"])[row], color=_OWN, linewidth=1.4)
        title = "change of the instance"
    else:
        own = int(np.asarray(data["own"])[row])
        column = names.index(assessor) if assessor is not None else max(own, 0)
        band = np.asarray(data["control_response"], dtype=np.float64)[row, column]
        spread = np.asarray(data["response_spread"], dtype=np.float64)[row, column]
        mean = np.asarray(data["response"], dtype=np.float64)[row, column]
        ax.fill_between(amounts, band[:, 0], band[:, 1], color=_RANDOM, alpha=0.7, linewidth=0)
        ax.fill_between(amounts, spread[:, 0], spread[:, 1], color=_OWN, alpha=0.2, linewidth=0)
        (line,) = ax.plot(amounts, mean, color=_OWN, linewidth=1.4)
        line.set_gid(f"response:{row}")
        slope, p_value, ends, monotone = (
            float(np.asarray(data[key], dtype=np.float64)[row, column])
            for key in ("slope", "p_value", "ends", "monotone")
        )
        title = (
            f"{clean(names[column], 20)}: slope {number(slope, 2)}, p {number(p_value, 2)}\n"
            f"ends {percent(ends)}, monotone {percent(monotone)}"
        )
    ax.set_title(title, fontsize=TINY, color=MUTED, pad=3)
    if last:
        ax.set_xlabel("steps along the direction", fontsize=TINY, color=INK)
    else:
        ax.tick_params(labelbottom=False)


def _notes(data: Mapping[str, Any], names: list[str]) -> list[str]:
    n, r = int(data["n_codes"]), np.asarray(data["control_slope"]).shape[1]
    if not names:
        return [
            f"Blue: mean over {n:,} codes; grey: mean of {r} random directions of equal length."
        ]
    return [
        f"Blue: mean of {n:,} codes and 80% of them, in standard deviations; "
        f"grey: 90% of {r} random directions of equal length, with which p is at least "
        f"{number(1 / (1 + r), 2)}. Ends: share of codes whose last value lies beyond the first; "
        "monotone: of codes whose value moves that way at every step."
    ]
