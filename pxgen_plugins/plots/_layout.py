"""Where panels go: a new figure, or the Axes or figure that the caller gave."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeAlias, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from numpy.typing import NDArray

from pxgen_plugins.plots._text import wrap
from pxgen_plugins.plots.style import BASE, FAINT, INK, MUTED, TINY
from pxgen_plugins.utils.errors import ParameterError, short_repr

__all__ = [
    "LINE",
    "AnyFigure",
    "array_of",
    "axes_or_new",
    "axis_text",
    "caption",
    "figure_or_new",
    "figure_width",
    "footnote",
    "inches",
    "panels_only",
    "text_width",
    "tidy",
]

LINE = 1.22  # height of a line of text over its font size

AnyFigure: TypeAlias = Figure | SubFigure

P = ParamSpec("P")
R = TypeVar("R")


def axes_or_new(ax: Axes | None, width: float, height: float) -> Axes:
    """Return the caller's Axes, or those of a new figure of this size in inches.

    Raises:
        ParameterError: ``ax`` is neither None nor one Axes of a figure.
    """
    if ax is None:
        return figure_or_new(None, width, height).add_subplot()
    if not isinstance(ax, Axes) or ax.figure is None:
        hint = "Pass one Axes, as in ax=axes[0], or leave it out for a new figure."
        raise ParameterError("ax", "a matplotlib Axes or None", short_repr(ax), hint)
    return ax


def figure_or_new(figure: AnyFigure | None, width: float, height: float) -> AnyFigure:
    """Return the caller's figure, or a new one of this size in inches, in constrained layout.

    The new figure is made through pyplot, so that notebooks show it and ``plt.close`` finds it. A
    given figure without any layout engine gets the constrained one, which keeps the texts of
    neighbouring panels apart.

    Raises:
        ParameterError: ``figure`` is neither None nor an empty Figure or SubFigure.
    """
    if figure is None:
        import matplotlib.pyplot as plt  # only here: what is given never touches global state

        return plt.figure(figsize=(width, height), layout="constrained")
    allowed = "an empty matplotlib Figure or SubFigure, or None"
    if not isinstance(figure, Figure | SubFigure):
        hint = "Pass figure=plt.figure(layout='constrained'), or leave it out for a new figure."
        raise ParameterError("figure", allowed, short_repr(figure), hint)
    if figure.axes or figure.subfigs:
        hint = "Call its clear(), or pass one of its subfigures."
        raise ParameterError("figure", allowed, "one with panels in it", hint)
    root = figure.get_figure(root=True)
    if root is not None and root.get_layout_engine() is None:
        root.set_layout_engine("constrained")
    return figure


def figure_width(figure: AnyFigure | None, width: float) -> float:
    """Return the width of the caller's figure in inches, or that of a new one."""
    return width if figure is None else inches(figure_or_new(figure, width, width))[0]


def panels_only(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function whose figure has several panels refuse ``ax=`` and say what to pass."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if "ax" in kwargs:
            hint = "Pass figure=, a matplotlib Figure or SubFigure, to choose the place."
            allowed = "left out, as this figure has several panels"
            raise ParameterError("ax", allowed, short_repr(kwargs["ax"]), hint)
        return function(*args, **kwargs)

    return call


def inches(part: Axes | AnyFigure) -> tuple[float, float]:
    """Return width and height of Axes or a figure in inches, as they are now."""
    root: Any = part.get_figure(root=True)
    box = part.bbox
    return float(box.width / root.dpi), float(box.height / root.dpi)


def text_width(text: str, size: float = TINY, weight: str = "normal") -> float:
    """Return the width of one line of text in inches, as the configured font draws it."""
    font = FontProperties(size=size, weight=weight)
    shown = text.replace(r"\$", "$")
    width, _, _ = text_to_path.get_text_width_height_descent(shown, font, ismath=False)
    return float(width) / 72.0


def caption(ax: Axes, parts: list[str], width: float) -> None:
    """Write small sentences under the label of the x axis, broken to ``width`` inches."""
    text = _sentences(parts, width)
    if not text:
        return
    below: Any = ax.xaxis.label
    note = ax.annotate(
        text,
        xy=(0.5, 0.0),
        xycoords=(ax.transAxes, below),
        xytext=(0.0, -3.0),
        textcoords="offset points",
        ha="center",
        va="top",
        fontsize=TINY,
        color=MUTED,
        linespacing=LINE,
        annotation_clip=False,
    )
    note.set_gid("caption")


def footnote(figure: AnyFigure, parts: list[str]) -> Text | None:
    """Write small sentences below all panels of a figure, broken to its width."""
    text = _sentences(parts, inches(figure)[0])
    if not text:
        return None
    note = figure.supxlabel(text, fontsize=TINY, color=MUTED, linespacing=LINE)
    note.set_gid("caption")
    return note


def axis_text(kind: str, title: str, width: float) -> str:
    """Return the label of an axis: kind, name and unit, or less where ``width`` inches are few."""
    short = title.split(" (")[0].split(" = ")[0]
    for text in (f"{kind}: {title}", title):
        if text_width(text, BASE) <= width:
            return text
    return short


def tidy(ax: Axes) -> None:
    """Give the Axes thin spines at the left and bottom only, and small tick labels."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(FAINT)
    ax.tick_params(labelsize=TINY, color=FAINT, labelcolor=INK, length=3, pad=2)
    ax.tick_params(which="minor", color=FAINT, length=1.5, labelsize=TINY)


def array_of(*axes: Axes) -> NDArray[np.object_]:
    """Return Axes as a numpy array of objects."""
    out = np.empty(len(axes), dtype=object)
    out[:] = axes
    return out


def _sentences(parts: list[str], width: float) -> str:
    return wrap(parts, max(24, int(width / text_width("n") * 1.08)))
