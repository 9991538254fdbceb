"""Where panels go: a new figure, or the room inside the Axes that the caller gave."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from matplotlib.transforms import offset_copy
from numpy.typing import NDArray

from pxgen_plugins.plots._style import BASE, FAINT, INK, MUTED, TINY
from pxgen_plugins.plots._text import wrap
from pxgen_plugins.utils.errors import ParameterError, short_repr

__all__ = [
    "LINE",
    "array_of",
    "axis_text",
    "canvas",
    "caption",
    "check",
    "inches",
    "sheet",
    "shifted",
    "shortened",
    "text_width",
    "tidy",
    "write",
]

LINE = 1.22  # height of a line of text over its font size


def check(ax: Any, where: str) -> None:
    """Raise unless ``ax`` is None or one Axes that belongs to a figure."""
    if ax is not None and not (isinstance(ax, Axes) and ax.figure is not None):
        hint = "Pass one Axes, as in ax=axes[0], or leave it out for a new figure."
        raise ParameterError("ax", where, "a matplotlib Axes or None", short_repr(ax), hint)


def canvas(ax: Axes | None, width: float, height: float, where: str) -> Axes:
    """Return the caller's Axes, or those of a new figure of this size in inches.

    The new figure is made through pyplot, so that notebooks show it and ``plt.close`` finds it.
    """
    check(ax, where)
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt  # only here, so that a given ax never touches global state

    return plt.figure(figsize=(width, height), layout="constrained").add_subplot()


def sheet(ax: Axes | None, width: float, height: float, where: str) -> Axes:
    """Return Axes whose data unit is one inch, y downwards, without frame.

    A new figure is exactly as large as the sheet. Inside given Axes the sheet keeps its
    proportions and is scaled to the room there is.
    """
    check(ax, where)
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.figure(figsize=(width, height)).add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set(xlim=(0.0, width), ylim=(height, 0.0), aspect="equal", anchor="C")
    ax.set_autoscale_on(False)
    ax.set_axis_off()
    return ax


def inches(ax: Axes) -> tuple[float, float]:
    """Return width and height of the Axes in inches, as they are now."""
    figure: Any = ax.get_figure(root=True)
    box = ax.get_window_extent()
    return float(box.width / figure.dpi), float(box.height / figure.dpi)


def text_width(text: str, size: float = TINY, weight: str = "normal") -> float:
    """Return the width of one line of text in inches, as the configured font draws it."""
    font = FontProperties(size=size, weight=weight)
    shown = text.replace(r"\$", "$")
    width, _, _ = text_to_path.get_text_width_height_descent(shown, font, ismath=False)
    return float(width) / 72.0


def shortened(text: str, size: float, width: float) -> str:
    """Return text cut until it is at most ``width`` inches wide, with an ellipsis where cut."""
    kept = text
    while len(kept) > 1 and text_width(kept if kept == text else kept + "…", size) > width:
        kept = kept[:-1].rstrip("\\")
    return kept if kept == text else kept + "…"


def write(ax: Axes, x: float, y: float, text: str, size: float = TINY, **look: Any) -> Text:
    """Write text at a data position; anything that :class:`matplotlib.text.Text` takes is taken."""
    look = {"color": INK, "ha": "center", "va": "center", **look}
    return ax.text(x, y, text, fontsize=size, **look)


def caption(ax: Axes, parts: list[str], width: float, frame: Axes | None = None) -> Text | None:
    """Write small sentences under the label of the x axis, broken to ``width`` inches.

    They are centred under ``ax``, or under the ``frame`` that holds it.
    """
    text = wrap(parts, max(24, int(width / text_width("n") * 1.08)))
    if not text:
        return None
    below: Any = ax.xaxis.label
    note = ax.annotate(
        text,
        xy=(0.5, 0.0),
        xycoords=((ax if frame is None else frame).transAxes, below),
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
    return note


def axis_text(kind: str, title: str, width: float) -> str:
    """Return the label of an axis: kind, name and unit, or less where ``width`` inches are few."""
    short = title.split(" (")[0].split(" = ")[0]
    for text in (f"{kind}: {title}", title):
        if text_width(text, BASE) <= width:
            return text
    return short


def shifted(ax: Axes, x: float, y: float) -> Any:
    """Return the transform of axes fractions, moved by so many points."""
    figure: Any = ax.get_figure(root=True)
    return offset_copy(ax.transAxes, fig=figure, x=x, y=y, units="points")


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
