"""How noisy the groups are against the samples per repeat, at a fixed number of samples in all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from numpy.typing import NDArray

from pxgen_plugins.groups import GROUPS
from pxgen_plugins.plots._layout import array_of, axes_or_new, tidy
from pxgen_plugins.plots._protocols import Study
from pxgen_plugins.plots._text import clean
from pxgen_plugins.plots.style import BASE, FAINT, INK, MUTED, SMALL, TINY
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.validation import choice

__all__ = ["plot_calibration_noise"]

_FIRM = 0.5  # points: what a default may move by
_COLOURS = ("#004F80", "#D55E00", "#009E73", "#8A6410", "#CC79A7", "#56B4E9", "#1A1A1A")
_MARKERS = "o^sDvP*"
_USUAL = (None, False, "samples")  # parameters that a label leaves out


@caller("plot_calibration_noise")
def plot_calibration_noise(
    studies: Study | Mapping[str, Study], *, group: str = "HIHE", ax: Axes | None = None
) -> NDArray[Any]:
    """Draw the standard deviation of a group's share over calibrations against the sample size.

    Args:
        studies: What :func:`~pxgen_plugins.evaluation.calibration_study` returned: one, with a line
            for each rule and its parameters, or several by name, as of several models. A line joins
            the settings of equal cost, up to what the division by the sample size leaves; the
            commonest cost of a study is drawn.
        group: A group, or ``"largest"`` for the largest of the four groups' deviations.
        ax: Axes to draw in; a new figure by default.

    Returns:
        One Axes, both scales logarithmic. A deviation of 0 is not drawn.

    Raises:
        ParameterError: When the group is unknown, or a study is of something else.

    Example:
        >>> from types import SimpleNamespace
        >>> rows = [
        ...     {"rule": "MeanMax", "params": {}, "n_samples": n, "n_repeats": 900 // n,
        ...      "cost": 900, "deviations": {"HIHE": d}, "noise": d}
        ...     for n, d in ((30, 0.001), (300, 0.02))
        ... ]
        >>> (axes,) = plot_calibration_noise({"a model": SimpleNamespace(rows=rows)})
        >>> axes.lines[0].get_ydata().tolist()
        [0.1, 2.0]
    """
    choice(group, "group", (*GROUPS, "largest"))
    by_name = dict(studies) if isinstance(studies, Mapping) else {"": studies}
    lines = {
        label: points
        for name, study in by_name.items()
        for label, points in _lines(name, study, group).items()
    }
    axes = axes_or_new(ax, 6.0, 3.6)
    for k, (label, points) in enumerate(lines.items()):
        colour, marker = _COLOURS[k % len(_COLOURS)], _MARKERS[k % len(_MARKERS)]
        (line,) = axes.plot(
            [n for n, _ in points], [d for _, d in points], color=colour, marker=marker,
            markersize=4, linewidth=1.1, label=clean(label, 60),
        )  # fmt: skip
        line.set_gid("noise")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.axhline(_FIRM, color=FAINT, linewidth=0.8, linestyle="--", zorder=0).set_gid("half")
    axes.annotate(
        "half a point", (1.0, _FIRM), xycoords=("axes fraction", "data"), xytext=(-2, 2),
        textcoords="offset points", ha="right", fontsize=TINY, color=MUTED,
    )  # fmt: skip
    tidy(axes)
    axes.set_xlabel("samples per repeat, at a fixed number in all", fontsize=BASE, color=INK)
    words = "largest of the groups' shares" if group == "largest" else f"share in {group}"
    axes.set_ylabel(f"sd of the {words} (points)", fontsize=BASE, color=INK)
    if lines:
        axes.legend(fontsize=SMALL, frameon=False)
    return array_of(axes)


def _lines(name: str, study: Study, group: str) -> dict[str, list[tuple[int, float]]]:
    """Return (samples per repeat, points) by label, rising, for the commonest cost of a study."""
    lines: dict[str, list[tuple[int, float]]] = {}
    try:
        rows = [row for row in study.rows if row["n_repeats"]]
        costs = [row["cost"] for row in rows]
        common = max(costs, key=lambda cost: sum(abs(c / cost - 1) < 0.05 for c in costs))
        for row in rows:
            deviation = row["noise"] if group == "largest" else row["deviations"][group]
            if not deviation or abs(row["cost"] / common - 1) > 0.1:
                continue
            own = {k: v for k, v in row["params"].items() if k not in ("n_samples", "n_repeats")}
            rule = " ".join(
                [str(row["rule"]), *(f"{k}={v}" for k, v in own.items() if v not in _USUAL)]
            )
            label = ", ".join(part for part in (name, rule) if part)
            lines.setdefault(f"{label}, {common:,} samples", []).append(
                (int(row["n_samples"]), 100.0 * float(deviation))
            )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        hint = f"Pass what calibration_study returned ({type(error).__name__})."
        got = short_repr(study)
        raise ParameterError("studies", "calibration studies", got, hint) from error
    return {label: sorted(points) for label, points in lines.items()}
