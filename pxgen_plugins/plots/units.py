"""Units: what they fire on, what they match, and what goes without them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._layout import AnyFigure
from pxgen_plugins.plots._strips import picture_of
from pxgen_plugins.plots._text import clean
from pxgen_plugins.plots.style import BASE, FAINT, INK, MUTED, SMALL, TINY
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller
from pxgen_plugins.utils.text import number, percent

__all__ = ["plot_units"]

_CELL, _PANEL = 0.8, 3.2  # inches
_SURE, _OTHER, _MAP = "#004F80", "#BDBDBD", "#D55E00"
_RATE = 0.05
_LEVEL = 0.5  # of a map's largest value, where its outline is drawn
_GAP = 0.06
_WHOLE = 1.05  # top of the axis of a share that ends at 1
_LEAST = 0.1  # height of the panel of insertions, of 1


@caller("plot_units")
@layout.panels_only
def plot_units(
    explanation: Any, concept: str | None = None, *, figure: AnyFigure | None = None
) -> NDArray[np.object_]:
    """Draw what a dissection or a set of units says.

    A dissection: the units that match best with the instances on which they fire most, their map
    outlined; beside it, for one concept, the effect of switching each unit off against its match.
    A unit that matches and has no effect is no cause. A set of units: removal and insertion curves
    beside those of random sets, and instances before and after.

    Args:
        explanation: What ``UnitDissection.explain`` or ``UnitEffects.explain`` returned, or the
            same from JSON.
        concept: The concept of the right panel of a dissection; None takes the one with the
            best match.
        figure: An empty figure or subfigure to draw in; a new figure by default.

    Returns:
        Axes, pictures first.

    Raises:
        ParameterError: The explanation holds no units, or no such concept.

    Example:
        >>> from torch import nn
        >>> from pxgen_plugins.adapters import UnitEffects
        >>> from pxgen_plugins.concepts import Threshold
        >>> from pxgen_plugins.models import VAE
        >>> net = nn.Sequential(nn.Unflatten(1, (2, 1, 1)), nn.ConvTranspose2d(2, 4, 4), nn.ReLU(),
        ...                     nn.Conv2d(4, 1, 1), nn.Sigmoid())
        >>> model = VAE(encode=lambda x: (x.flatten(1)[:, :2],) * 2, decode=net.forward,
        ...             latent_shape=(2,), sample_shape=(1, 4, 4), modules=net, check=False)
        >>> found = UnitEffects(model, Threshold(0.1), n_codes=20, n_random=2).explain(None)
        >>> len(plot_units(found))
        3
    """
    data = getattr(explanation, "data", None)
    if not isinstance(data, Mapping) or data.get("evidence") != "units":
        hint = "Pass what explain of UnitDissection or UnitEffects returned."
        raise ParameterError("explanation", "units", type(explanation).__name__, hint)
    if "removal" in data:
        return _draw_set(data, figure)
    return _draw_dissection(data, concept, figure)


def _draw_dissection(
    data: Mapping[str, Any], concept: str | None, figure: AnyFigure | None
) -> NDArray[np.object_]:
    names = [str(name) for name in data["concepts"]]
    iou = np.asarray(data["iou"], dtype=np.float64)
    best = int(iou.max(axis=0).argmax())
    column = best if concept is None else names.index(validation.choice(concept, "concept", names))
    units = [] if data["units"] is None else np.asarray(data["units"]).tolist()
    columns = 0 if not units else np.asarray(data["top_images"]).shape[1]
    width = _CELL * 1.06 * columns + 1.6 + _PANEL
    height = max(_CELL * 1.06 * len(units) + 0.4, _PANEL)
    figure = layout.figure_or_new(figure, width, height)
    # the panel on the right does not grow with the rows of pictures on the left
    below = max(height - 1.5 * _PANEL, 0.0)
    grid = figure.add_gridspec(
        1 + (below > 0), 2, width_ratios=[max(width - _PANEL, 0.1), _PANEL],
        height_ratios=[height - below, below][: 1 + (below > 0)],
    )  # fmt: skip
    left, right = figure.add_subplot(grid[:, 0]), figure.add_subplot(grid[0, 1])
    _draw_tops(left, data, units, iou, names)
    layout.tidy(right)
    q = np.asarray(data["q_value"], dtype=np.float64)[:, column]
    known = data["effect"] is not None
    effect = np.asarray(data["effect"], dtype=np.float64)[:, column] if known else np.zeros(len(q))
    for sure, colour in ((False, _OTHER), (True, _SURE)):
        rows = (q <= _RATE) == sure
        dots = right.scatter(iou[rows, column], effect[rows], s=16, color=colour, linewidths=0)
        dots.set_gid(f"units:{sure}")
    strongest = np.argsort(-np.abs(effect), kind="stable")[:3].tolist()
    for unit in sorted({*strongest, int(iou[:, column].argmax())}):
        right.annotate(
            str(unit), (iou[unit, column], effect[unit]), xytext=(4, 2),
            textcoords="offset points", fontsize=TINY, color=MUTED,
        )  # fmt: skip
    right.axhline(0.0, color=FAINT, linewidth=0.6, zorder=1)
    right.set_xlabel(f"match with {clean(names[column], 24)} (IoU)", fontsize=BASE)
    right.set_ylabel("share that goes when the unit is off", fontsize=BASE)
    null = float(np.asarray(data["null_iou"])[:, column].max())
    right.axvline(null, color=MUTED, linewidth=0.8, linestyle=":")
    notes = [
        f"Layer {clean(data['layer'])}, {int(data['n_units'])} units, {int(data['n_codes']):,} "
        f"instances. Blue: q-value at most {_RATE:g}; dotted: highest match with masks of other "
        "instances."
    ]
    if not known:
        notes.append("Effects were not measured.")
    layout.footnote(figure, notes)
    return layout.array_of(left, right)


def _draw_tops(
    ax: Axes, data: Mapping[str, Any], units: list[int], iou: NDArray[np.float64], names: list[str]
) -> None:
    pitch = 1.0 + _GAP
    images = np.asarray(data["top_images"], dtype=np.float64) if units else np.empty((0, 0))
    maps = np.asarray(data["top_maps"], dtype=np.float64) if units else images
    for row, unit in enumerate(units):
        low, high = float(images[row].min()), float(images[row].max())
        for column, values in enumerate(images[row]):
            picture = picture_of(values)
            if picture is None:
                continue
            box = (column * pitch, column * pitch + 1, row * pitch + 1, row * pitch)
            shown = (picture - low) / ((high - low) or 1.0)
            ax.imshow(shown, cmap="gray", vmin=0, vmax=1, extent=box, aspect="equal", zorder=2)
            own = maps[row, column]
            if min(own.shape) > 1 and own.max() > 0:
                centres = [(np.arange(side) + 0.5) / side for side in own.shape]
                ax.contour(
                    box[0] + centres[1], box[3] + centres[0], own, levels=[_LEVEL * own.max()],
                    colors=_MAP, linewidths=0.8, zorder=3,
                )  # fmt: skip
        label = str(data["label"][unit])
        best = names.index(label) if label else int(iou[unit].argmax())
        what = clean(label, 26) if label else f"no concept, best:\n{clean(names[best], 26)}"
        text = f"unit {unit}\n{what}\nIoU {number(float(iou[unit, best]), 2)}"
        ax.annotate(
            text, (0.0, row * pitch + 0.5), xytext=(-5, 0), textcoords="offset points",
            ha="right", va="center", fontsize=TINY, color=INK, annotation_clip=False,
        )  # fmt: skip
    columns = images.shape[1] if units else 1
    ax.set(xlim=(0, columns * pitch), ylim=(max(len(units), 1) * pitch, 0), xticks=[], yticks=[])
    ax.set_aspect("equal", anchor="NE")
    ax.spines[:].set_visible(False)


def _draw_set(data: Mapping[str, Any], figure: AnyFigure | None) -> NDArray[np.object_]:
    figure = layout.figure_or_new(figure, 8.4, _PANEL)
    grid = figure.add_gridspec(1, 3, width_ratios=[1.0, 1.2, 1.2])
    pairs, removal, insertion = (figure.add_subplot(grid[0, place]) for place in range(3))
    images = np.asarray(data["images"], dtype=np.float64)
    pitch = 1.0 + _GAP
    low, high = (float(images.min()), float(images.max())) if images.size else (0.0, 1.0)
    for row, pair in enumerate(images):
        for column, values in enumerate(pair):
            picture = picture_of(values)
            if picture is not None:
                box = (column * pitch, column * pitch + 1, row * pitch + 1, row * pitch)
                shown = (picture - low) / ((high - low) or 1.0)
                pairs.imshow(shown, cmap="gray", vmin=0, vmax=1, extent=box, aspect="equal")
    pairs.set(xlim=(0, 2 * pitch), ylim=(max(len(images), 1) * pitch, 0), xticks=[], yticks=[])
    pairs.set_aspect("equal", anchor="N")
    pairs.spines[:].set_visible(False)
    pairs.set_title("before, after removal", fontsize=SMALL, color=INK)
    own = np.asarray(data["removal"], dtype=np.float64)
    sizes = np.arange(len(own))
    _curve(removal, sizes, own, data["removal_interval"])
    band = np.asarray(data["random_removal_band"], dtype=np.float64)
    removal.fill_between(sizes, band[:, 0], band[:, 1], color=_OTHER, alpha=0.6, linewidth=0)
    removal.plot(sizes, data["random_removal"], color=MUTED, linewidth=1.0)
    removal.set_title("removal: share that goes", fontsize=SMALL, color=INK)
    removal.set_ylim(top=min(removal.get_ylim()[1], _WHOLE))
    if data["insertion"] is None:
        insertion.text(0.5, 0.5, "no cell without the concept", fontsize=TINY, color=MUTED,
                       ha="center", transform=insertion.transAxes)  # fmt: skip
    else:
        came = np.asarray(data["insertion"], dtype=np.float64)
        around = np.asarray(data["insertion_interval"], dtype=np.float64)
        _curve(insertion, sizes, came, around)
        insertion.plot(sizes, data["random_insertion"], color=MUTED, linewidth=1.0)
        most = data.get("insertion_all")
        if most is not None:
            line = insertion.axhline(float(most), color=INK, linewidth=0.8, linestyle=":")
            line.set_gid("units:all")
        # what hardly appears must not look as if it filled the panel
        lowest = min(float(np.nanmin([came, around[:, 0]])), -0.005)
        insertion.set_ylim(1.1 * lowest, max(insertion.get_ylim()[1], _LEAST))
    patch = data.get("patch")  # not in explanations of before there was one
    where = "where it was not" if patch is None else f"at the middle of {patch} x {patch} cells"
    insertion.set_title(f"insertion: what appears\n{where}", fontsize=SMALL, color=INK)
    for ax in (removal, insertion):
        layout.tidy(ax)
        ax.set_xlabel("units of the set", fontsize=BASE)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    order = ", ".join(str(unit) for unit in np.asarray(data["order"]).tolist()[:8])
    layout.footnote(figure, [
        f"{clean(data['concept'], 30)} in layer {clean(data['layer'])}; "
        f"{clean(data['method'])} set: {order or 'none'}. Blue: the set, with 95% over instances; "
        f"grey: random sets; dotted: all units of the layer. The whole set takes "
        f"{percent(float(own[-1]))}."
    ])  # fmt: skip
    return layout.array_of(pairs, removal, insertion)


def _curve(ax: Axes, sizes: NDArray[Any], values: NDArray[np.float64], interval: Any) -> None:
    around = np.asarray(interval, dtype=np.float64)
    ax.fill_between(sizes, around[:, 0], around[:, 1], color=_SURE, alpha=0.2, linewidth=0)
    ax.plot(sizes, values, color=_SURE, linewidth=1.4, marker="o", markersize=2.5)
