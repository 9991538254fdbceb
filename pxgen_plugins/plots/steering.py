"""The reconstruction task: pictures of each question, and the error over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from pxgen_plugins.plots import _layout as layout
from pxgen_plugins.plots._layout import AnyFigure
from pxgen_plugins.plots._protocols import SteeringLog, SteeringTrial, require
from pxgen_plugins.plots._strips import draw_strip
from pxgen_plugins.plots._text import clean
from pxgen_plugins.plots.style import FAINT, INK, MUTED, SMALL, TINY
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr

__all__ = ["plot_steering"]

_MOST = 4  # questions drawn by default
_FRAME, _CURVE, _ROW = 0.78, 3.4, 1.15  # inches
# Okabe and Ito (2008); the dashes tell them apart in black and white
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_DASHES: tuple[Any, ...] = ("-", "--", "-.", ":")
_HINT = "Pass [log, ...] of play or simulate, or call plot() of what compare_representations gave."


@caller("plot_steering")
@layout.panels_only
def plot_steering(
    logs: Sequence[SteeringLog],
    questions: Sequence[int] | int | None = None,
    *,
    figure: AnyFigure | None = None,
) -> NDArray[np.object_]:
    """Draw, for each question, its pictures and the error over time under each representation.

    The error is 1 - agreement. The thin line is what was on the screen, the thick one joins the
    places where a slider was left; a disc at the end says solved, a cross that it was given up.

    Args:
        logs: One log for each representation, up to four, of the same task.
        questions: Which, by index; None takes the first four.
        figure: An empty figure or subfigure to draw in; a new figure by default.

    Returns:
        Axes: pictures, where logs hold some, and curves, for each question in turn.

    Raises:
        ParameterError: When these are no logs, or there is no such question.

    Example:
        >>> from pxgen_plugins.evaluation import ReconstructionTask
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> model = LinearModel()
        >>> task = ReconstructionTask(model, model.sample(20, seed=0), n_questions=2, goal=0.97)
        >>> len(plot_steering([task.simulate()]))
        4
    """
    if not isinstance(logs, Sequence) or isinstance(logs, str) or not 1 <= len(logs) <= 4:
        got = short_repr(logs) if not isinstance(logs, Sequence) else f"{len(logs)} things"
        raise ParameterError("logs", "one to four logs of the reconstruction task", got, _HINT)
    for log in logs:
        allowed = "logs of the reconstruction task"
        require(log, "logs", ("label", "trials", "about", "pictures"), allowed, _HINT)
    trials = [{trial.question: trial for trial in log.trials} for log in logs]
    chosen = _chosen(questions, sorted(set().union(*trials)))
    with_pictures = all(log.pictures is not None for log in logs)
    n_frames = 1 + 2 * len(logs) if with_pictures else 0
    width = _FRAME * n_frames + _CURVE + 0.8
    figure = layout.figure_or_new(figure, width, _ROW * len(chosen) + 0.9)
    ratios = [_FRAME * n_frames, _CURVE] if n_frames else [_CURVE]
    grid = figure.add_gridspec(len(chosen), len(ratios), width_ratios=ratios)
    axes: list[Axes] = []
    for at, question in enumerate(chosen):
        if n_frames:
            strip = figure.add_subplot(grid[at, 0])
            _draw_pictures(strip, logs, trials, question, heads=at == 0)
            axes.append(strip)
        curve = figure.add_subplot(grid[at, len(ratios) - 1])
        _draw_curves(curve, logs, trials, question)
        if at < len(chosen) - 1:
            curve.set_xlabel("")
        axes.append(curve)
    _legend(axes[-1] if not n_frames else axes[1], logs)
    layout.footnote(figure, _notes(logs))
    return layout.array_of(*axes)


def _chosen(questions: Any, known: list[int]) -> list[int]:
    if questions is None:
        rows = known[:_MOST]
    else:
        given = np.atleast_1d(questions).tolist()
        rows = [validation.integer(q, "questions", minimum=0) for q in given]
    if not rows or not set(rows) <= set(known):
        hint = "Questions that somebody began: " + ", ".join(map(str, known[:20])) + "."
        got = short_repr(questions)
        raise ParameterError("questions", "indices of questions in the logs", got, hint)
    return rows


def _draw_pictures(
    ax: Axes,
    logs: Sequence[SteeringLog],
    trials: Sequence[dict[int, SteeringTrial]],
    question: int,
    *,
    heads: bool,
) -> None:
    """Draw the target, and start and end under each representation; blank where not begun."""
    frames, names = [], ["target"]
    for number, (log, known) in enumerate(zip(logs, trials, strict=True)):
        place = list(known).index(question) if question in known else None
        assert log.pictures is not None  # looked at before
        shown = np.asarray(log.pictures, dtype=np.float64)
        three = shown[place] if place is not None else np.full_like(shown[0], shown.min())
        frames += [*([three[0]] if number == 0 else []), three[1], three[2]]
        sign = "" if len(logs) == 1 else f" {number + 1}"
        names += [f"start{sign}", f"end{sign}"]
    draw_strip(ax, np.stack(frames), names if heads else None)
    ax.set_ylabel(
        f"question {question + 1}", fontsize=SMALL, color=INK, rotation=0, ha="right", va="center"
    )


def _draw_curves(
    ax: Axes,
    logs: Sequence[SteeringLog],
    trials: Sequence[dict[int, SteeringTrial]],
    question: int,
) -> None:
    layout.tidy(ax)
    ax.axhline(1.0 - float(logs[0].about["goal"]), color=FAINT, linewidth=0.8, zorder=1)
    for number, known in enumerate(trials):
        if question not in known:
            continue
        trial, colour, dashes = known[question], _COLOURS[number], _DASHES[number]
        time, error = trial.elapsed, 1.0 - trial.agreement
        ax.plot(time, error, color=colour, linewidth=0.5, alpha=0.45, drawstyle="steps-post")
        rest = np.flatnonzero(trial.release)
        rest = np.unique(np.concatenate([[0], rest, [len(error) - 1]]))
        (line,) = ax.plot(time[rest], error[rest], color=colour, linestyle=dashes, linewidth=1.5)
        line.set_gid(f"error:{question}:{number}")
        marker = "o" if trial.status == "solved" else "x"
        ax.plot([time[-1]], [error[-1]], color=colour, marker=marker, markersize=4.5, zorder=4)
    ax.set_ylim(-0.02, 1.02)
    ax.set_xlim(left=0.0)
    unit = "pictures seen" if logs[0].about["unit"] == "steps" else "active seconds"
    ax.set_xlabel(unit, fontsize=TINY, color=INK)
    ax.set_ylabel("error", fontsize=TINY, color=INK)


def _legend(ax: Axes, logs: Sequence[SteeringLog]) -> None:
    lines = []
    for number, log in enumerate(logs):
        colour, dashes = _COLOURS[number], _DASHES[number]
        sign = "" if len(logs) == 1 else f"{number + 1}: "
        label = f"{sign}{clean(log.label, 28)}"
        lines.append(Line2D([], [], color=colour, linestyle=dashes, linewidth=1.5, label=label))
    ax.legend(
        handles=lines,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=2,
        fontsize=TINY,
        frameon=False,
        labelcolor=MUTED,
        borderaxespad=0.2,
        handlelength=2.4,
    )


def _notes(logs: Sequence[SteeringLog]) -> list[str]:
    simulated = any(log.about["unit"] == "steps" for log in logs)
    notes = [
        f"Error: 1 - agreement; grey line: the goal, {float(logs[0].about['goal']):.3g}.",
        "Thin: what was on the screen; thick: where a slider was left.",
        "Disc: solved; cross: given up.",
    ]
    if simulated:
        user = clean(str(logs[0].about["user"]), 20)
        notes.append(f"A simulated user ({user}): no claim about people.")
    return notes
