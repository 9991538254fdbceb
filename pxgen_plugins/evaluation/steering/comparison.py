"""Representations beside each other: the same targets, paired differences, a randomisation test."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.evaluation.steering.log import TaskLog
from pxgen_plugins.evaluation.steering.summary import (
    SteeringSummary,
    measure_text,
    safe,
    summarise,
)
from pxgen_plugins.evaluation.steering.task import ReconstructionTask
from pxgen_plugins.evaluation.steering.trial import MEASURES
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr, warn
from pxgen_plugins.utils.html import rows_card
from pxgen_plugins.utils.seeds import derive
from pxgen_plugins.utils.text import MarkdownText, markdown_table, number

__all__ = ["RepresentationComparison", "compare_representations", "randomisation_test"]

_EXACT = 12  # pairs up to which every assignment of signs is counted
_GOALS = 0.01  # difference of goals that makes questions unequally hard
_NOTE = (
    "The same targets under each representation. Ratios are of means; 95% intervals resample pairs "
    "of questions; p by random signs of the paired differences, not adjusted for their number."
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class RepresentationComparison(MarkdownText):
    """What two or more representations ask of whoever steers them.

    Attributes:
        logs: The logs of each representation, by label; the first is what others are compared with.
        summaries: Their summaries.
        rows: A row per other representation and measure: ``representation``, ``baseline``,
            ``measure``, ``mean`` and ``baseline_mean``, ``difference`` with ``difference_low`` and
            ``difference_high``, ``ratio`` with ``ratio_low`` and ``ratio_high`` (None where a mean
            is 0), ``p_value``, ``n`` pairs.
    """

    logs: Mapping[str, Sequence[TaskLog]]
    summaries: Mapping[str, SteeringSummary]
    rows: list[dict[str, Any]] = field(default_factory=list)

    def table(self) -> list[dict[str, Any]]:
        """Return the rows."""
        return self.rows

    def row(self, measure: str, representation: str | None = None) -> dict[str, Any]:
        """Return the row of a measure, of the last representation by default."""
        validation.choice(measure, "measure", MEASURES)
        label = list(self.logs)[-1] if representation is None else representation
        validation.choice(label, "representation", list(self.logs)[1:])
        return next(
            r for r in self.rows if r["measure"] == measure and r["representation"] == label
        )

    def plot(self, **options: Any) -> NDArray[np.object_]:
        """Draw error over time and pictures (see :func:`pxgen_plugins.plots.plot_steering`)."""
        from pxgen_plugins.plots import plot_steering

        return plot_steering([logs[0] for logs in self.logs.values()], **options)

    def to_markdown(self) -> str:
        """Return the rows as a Markdown table."""
        cells = [[safe(cell) for cell in row] for row in self._cells()]
        return "\n".join([*markdown_table(_HEAD, cells, n_left=2), "", *self._notes()]) + "\n"

    def _repr_html_(self) -> str:
        return rows_card("Representations", self._cells(), self._notes(), _HEAD)

    def _cells(self) -> list[list[str]]:
        return [
            [
                f"{row['representation']} against {row['baseline']}",
                measure_text(row["measure"], self.summaries[row["baseline"]].about["unit"]),
                number(row["mean"], 3),
                number(row["baseline_mean"], 3),
                _interval(row, "difference"),
                _interval(row, "ratio"),
                number(row["p_value"], 2),
            ]
            for row in self.rows
        ]

    def _notes(self) -> list[str]:
        simulated = any(s.about["unit"] == "steps" for s in self.summaries.values())
        words = "Simulated users test the task; their numbers are no claim about people."
        return [_NOTE, words] if simulated else [_NOTE]


_HEAD = ["representations", "measure", "mean", "first", "difference (95%)", "ratio (95%)", "p"]


@caller("compare_representations")
def compare_representations(
    tasks: Sequence[ReconstructionTask | TaskLog],
    *,
    user: Any = "sweeper",
    noise: float = 0.02,
    budget: int = 200,
    n_draws: int = 4000,
    seed: int = 0,
) -> RepresentationComparison:
    """Compare representations on the same targets, question by question.

    Args:
        tasks: Tasks, which a simulated user solves, or logs of people; logs of one label are
            averaged by question. The first label is what the others are compared with.
        user: As for :meth:`ReconstructionTask.simulate
            <pxgen_plugins.evaluation.ReconstructionTask.simulate>`.
        noise: Likewise.
        budget: Likewise.
        n_draws: Bootstrap draws, and random signs where there are more than 12 pairs.
        seed: Seed of all draws, and of the simulated user.

    Raises:
        ParameterError: When there are fewer than two labels, or the targets differ.

    Warns where the goals differ: questions are not equally hard then; give tasks the same
    ``goal=``.

    Example:
        >>> from pxgen_plugins.evaluation.steering import RotatedCodes
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> model = LinearModel()
        >>> x = model.sample(60, seed=0)
        >>> one, other = (ReconstructionTask(m, x, n_questions=9, goal=0.97, label=name)
        ...               for name, m in (("own", model), ("rotated", RotatedCodes(model))))
        >>> compare_representations([one, other]).row("solved")["n"]
        9
    """
    if isinstance(tasks, (str, Mapping)) or not isinstance(tasks, Sequence):
        hint = "Pass a list, as in [task_a, task_b]."
        raise ParameterError("tasks", "a sequence of tasks or logs", short_repr(tasks), hint)
    n_draws = validation.integer(n_draws, "n_draws", minimum=1)
    seed = validation.integer(seed, "seed", minimum=0)
    logs: dict[str, list[TaskLog]] = {}
    for task in tasks:
        if isinstance(task, ReconstructionTask):
            log = task.simulate(user, noise=noise, budget=budget, seed=seed)
        elif isinstance(task, TaskLog):
            log = task
        else:
            hint = "Pass ReconstructionTask objects, or the logs that play returned."
            raise ParameterError("tasks", "tasks or logs", short_repr(task), hint)
        logs.setdefault(log.label, []).append(log)
    _check(logs)
    summaries = {label: summarise(own, n_draws, seed) for label, own in logs.items()}
    base, *others = logs
    rows = []
    for label, measure in itertools.product(others, MEASURES):
        pairs = _pairs(summaries[label], summaries[base], measure)
        rows.append(_row(label, base, measure, *pairs, n_draws, seed))
    return RepresentationComparison(logs, summaries, rows)


def randomisation_test(differences: Floats, n_draws: int, seed: int) -> float:
    """Return the two-sided p-value of a mean paired difference by random signs (Fisher 1935).

    All 2^n assignments are counted for up to 12 pairs, else ``n_draws`` random ones beside that
    observed.

    Example:
        >>> randomisation_test(np.ones(5), 100, 0)
        0.0625
    """
    n = len(differences)
    if n <= _EXACT:
        signs = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    else:
        drawn = np.random.default_rng(seed).integers(2, size=(n_draws, n))
        signs = np.concatenate([np.ones((1, n), dtype=np.int64), 1 - 2 * drawn])
    means = np.abs(signs @ differences) / n
    # sums in another order differ by rounding, and must count as equal
    return float((means >= abs(differences.mean()) - 1e-12).mean())


def _check(logs: Mapping[str, Sequence[TaskLog]]) -> None:
    """Raise unless there are two labels with the same targets; warn of unequal goals."""
    if len(logs) < 2:
        hint = "Give tasks of two representations, each with a label= of its own."
        got = f"only {short_repr(next(iter(logs), None))}"
        raise ParameterError("tasks", "of at least two labels", got, hint)
    every = [log for own in logs.values() for log in own]
    for log in every[1:]:
        if log.about["targets"] != every[0].about["targets"]:
            hint = "Make all tasks with the same anchors, seed and number of questions."
            got = f"other ones for {short_repr(log.label)}"
            raise ParameterError("tasks", "of the same targets", got, hint)
    goals = [float(log.about["goal"]) for log in every]
    if max(goals) - min(goals) > _GOALS:
        text = f"goals from {min(goals):.3g} to {max(goals):.3g} make questions unequally hard"
        warn(f"compare_representations: {text}; pass the same goal= to every task")


def _pairs(one: SteeringSummary, other: SteeringSummary, measure: str) -> tuple[Floats, Floats]:
    """Return the values of both by question, averaged over logs, of questions that both have."""
    means = []
    for summary in (one, other):
        values: dict[int, list[float]] = {}
        for row in summary.questions:
            values.setdefault(row["question"], []).append(row[measure])
        means.append({question: float(np.mean(v)) for question, v in values.items()})
    both = sorted(set(means[0]) & set(means[1]))
    if not both:
        hint = "Let both be played to the end."
        raise ParameterError("tasks", "with a question in common", "none", hint)
    return np.array([means[0][q] for q in both]), np.array([means[1][q] for q in both])


def _row(
    label: str, base: str, measure: str, one: Floats, other: Floats, n_draws: int, seed: int
) -> dict[str, Any]:
    n = len(one)
    differences = one - other
    rng = np.random.default_rng(derive(seed, "pairs", label, measure))
    drawn = rng.integers(n, size=(n_draws, n))
    a, b = one[drawn].mean(axis=1), other[drawn].mean(axis=1)
    row: dict[str, Any] = {
        "representation": label,
        "baseline": base,
        "measure": measure,
        "mean": float(one.mean()),
        "baseline_mean": float(other.mean()),
        "difference": float(differences.mean()),
        "ratio": float(one.mean() / other.mean()) if other.mean() > 0 else None,
        "p_value": randomisation_test(differences, n_draws, derive(seed, "signs", measure)),
        "n": n,
    }
    for name, values, there in (
        ("difference", a - b, n > 1),
        ("ratio", a / np.where(b > 0, b, 1.0), n > 1 and bool((b > 0).all())),
    ):
        ends = np.quantile(values, (0.025, 0.975)).tolist() if there else [None, None]
        row[f"{name}_low"], row[f"{name}_high"] = ends
    return row


def _interval(row: Mapping[str, Any], name: str) -> str:
    if row[name] is None:
        return ""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    ends = "" if low is None else f" ({number(low, 3)} to {number(high, 3)})"
    return f"{number(row[name], 3)}{ends}"
