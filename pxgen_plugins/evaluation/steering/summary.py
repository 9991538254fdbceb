"""The measures of one representation, with intervals over questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.evaluation.steering.trial import MEASURES, Trial
from pxgen_plugins.groups.binomial import mid_p_interval
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError
from pxgen_plugins.utils.html import sections_card
from pxgen_plugins.utils.invisible import escape_invisible
from pxgen_plugins.utils.seeds import derive
from pxgen_plugins.utils.text import MarkdownText, markdown_table, number

__all__ = ["SteeringSummary", "bootstrap", "measure_text", "safe", "summarise"]

_LONGEST = 80
_NOTE = (
    "Means over questions; 95% intervals by resampling questions, of the share solved by mid-P. "
    "Questions that were not solved count with what was done until they were given up."
)
_SIMULATED = "A simulated user tests the task; its numbers are no claim about people."

Floats = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class SteeringSummary(MarkdownText):
    """What one or several logs of a representation say.

    Attributes:
        measures: A row per measure (see
            :data:`~pxgen_plugins.evaluation.steering.trial.MEASURES`): ``measure``, ``mean``,
            ``low``, ``high``, ``median``, ``n`` questions.
        per_axis: A row per slider: ``axis``, ``drags`` and ``distance`` (means over questions),
            ``share`` of the whole distance, ``change`` of the picture, ``active``.
        questions: A row per question in the order in which they were asked: ``number``,
            ``question``, ``status``, and the measures, so that learning shows.
        answers: Mean answers of people, where there are any.
        about: ``label``, ``goal``, ``user``, ``unit``, ``n_logs``.
    """

    measures: list[dict[str, Any]]
    per_axis: list[dict[str, Any]]
    questions: list[dict[str, Any]]
    answers: dict[str, float] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    def value(self, measure: str) -> float:
        """Return the mean of a measure."""
        validation.choice(measure, "measure", MEASURES)
        return float(next(row["mean"] for row in self.measures if row["measure"] == measure))

    def table(self) -> list[dict[str, Any]]:
        """Return a row per measure."""
        return self.measures

    def to_markdown(self) -> str:
        """Return the tables of measures and sliders."""
        title, head, rows, axes_head, axes = self._cells()
        lines = [f"{title}:", "", *markdown_table(head, rows, n_left=1), ""]
        lines += [*markdown_table(axes_head, axes, n_left=1), "", *self._notes()]
        return "\n".join(lines) + "\n"

    def _repr_html_(self) -> str:
        title, head, rows, axes_head, axes = self._cells(escape=False)
        sections = [("Measures", head, rows, None), ("Sliders", axes_head, axes, None)]
        return sections_card(title, sections, self._notes())

    def _cells(self, *, escape: bool = True) -> tuple[str, Any, Any, Any, Any]:
        name = safe if escape else str
        label = name(self.about["label"])
        title = f"Steering {label}, by {name(self.about['user'])}, goal {self.about['goal']:.3g}"
        unit = self.about["unit"]
        rows = [
            [measure_text(row["measure"], unit), number(row["mean"], 3), _interval(row),
             number(row["median"], 3)]
            for row in self.measures
        ]  # fmt: skip
        axes = [
            [name(row["axis"]), number(row["drags"], 3), number(row["distance"], 3),
             f"{row['share']:.2f}", f"{row['change']:.3f}", "yes" if row["active"] else "no"]
            for row in self.per_axis
        ]  # fmt: skip
        axes_head = ["slider", "drags", "distance", "share", "change", "active"]
        return title, ["measure", "mean", "95%", "median"], rows, axes_head, axes

    def _notes(self) -> list[str]:
        active = sum(bool(row["active"]) for row in self.per_axis)
        words = f"{active} of {len(self.per_axis)} sliders change the picture by 1% or more."
        own = [_SIMULATED] if self.about["unit"] == "steps" else []
        answers = [f"{name} {value:.1f}" for name, value in self.answers.items()]
        return [words, _NOTE, *own, *(["Answers: " + ", ".join(answers) + "."] if answers else [])]


def summarise(logs: Sequence[Any], n_draws: int, seed: int) -> SteeringSummary:
    """Return the summary of logs of one representation; several are averaged by question.

    Raises:
        ParameterError: When no question was begun.
    """
    n_draws = validation.integer(n_draws, "n_draws", minimum=1)
    seed = validation.integer(seed, "seed", minimum=0)
    trials: list[list[Trial]] = [log.trials for log in logs]
    if not any(trials):
        hint = "Play or simulate a question first."
        raise ParameterError("log", "of a question at least", "none", hint)
    tables: list[dict[str, Any]] = [
        {"number": at + 1, "question": t.question, "status": t.status, **t.measures()}
        for one in trials
        for at, t in enumerate(one)
    ]
    by_question = _by_question(tables)
    rows = []
    for column, measure in enumerate(MEASURES):
        values = by_question[:, column]
        low, high = bootstrap(values, n_draws, derive(seed, measure))
        if measure == "solved":
            low, high = mid_p_interval(sum(r["solved"] for r in tables), len(tables)).tolist()
        rows.append(
            {"measure": measure, "mean": float(values.mean()), "low": low, "high": high,
             "median": float(np.median(values)), "n": len(values)}
        )  # fmt: skip
    about = logs[0].about
    chosen = {name: about[name] for name in ("label", "goal", "user", "unit")}
    return SteeringSummary(
        rows, _axes(trials, about), tables, _answers(logs), {**chosen, "n_logs": len(logs)}
    )


def bootstrap(values: Floats, n_draws: int, seed: int) -> tuple[float | None, float | None]:
    """Return the 95% percentile interval of the mean (Efron 1979); None for one value.

    Example:
        >>> low, high = bootstrap(np.arange(100.0), 1000, 0)
        >>> 40 < low < 46 < 53 < high < 59
        True
    """
    if len(values) < 2:
        return None, None
    rng = np.random.default_rng(seed)
    means = values[rng.integers(len(values), size=(n_draws, len(values)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def safe(text: Any) -> str:
    r"""Return a name as inert text of Markdown: no tag, no link, nothing invisible.

    Example:
        >>> print(safe("<b>[x](y)\u202e"))
        &lt;b>\[x](y)\u202e
    """
    line = escape_invisible(str(text)[: _LONGEST + 1])
    line = line if len(line) <= 2 * _LONGEST else line[: 2 * _LONGEST] + "…"
    for sign in "`*_[":
        line = line.replace(sign, f"\\{sign}")
    return line.replace("&", "&amp;").replace("<", "&lt;")


def _by_question(tables: Sequence[dict[str, Any]]) -> Floats:
    """Return the measures (q, m), averaged over the logs of each question."""
    order = sorted({row["question"] for row in tables})
    means = [
        np.mean([[r[m] for m in MEASURES] for r in tables if r["question"] == q], axis=0)
        for q in order
    ]
    return np.array(means, dtype=np.float64)


def _axes(trials: Sequence[Sequence[Trial]], about: dict[str, Any]) -> list[dict[str, Any]]:
    found = [trial.per_axis() for one in trials for trial in one]
    drags, distance = (np.mean([pair[i] for pair in found], axis=0) for i in (0, 1))
    whole = float(distance.sum()) or 1.0
    return [
        {
            "axis": label,
            "drags": float(drags[j]),
            "distance": float(distance[j]),
            "share": float(distance[j]) / whole,
            "change": float(about["change"][j]),
            "active": bool(about["active"][j]),
        }
        for j, label in enumerate(about["axes"])
    ]


def _answers(logs: Sequence[Any]) -> dict[str, float]:
    given: dict[str, list[int]] = {}
    for log in logs:
        for name, value in log.answers.items():
            given.setdefault(name, []).append(value)
    return {name: float(np.mean(values)) for name, values in given.items()}


def measure_text(measure: str, unit: str) -> str:
    """Return the words for a measure in tables."""
    names = {
        "solved": "share solved",
        "seconds": "active seconds" if unit == "seconds" else "pictures seen",
        "distance": "distance, slider lengths",
        "error_auc": "mean error over time",
        "turns": "changes of direction",
        "switches": "changes of slider",
    }
    return names.get(measure, measure)


def _interval(row: dict[str, Any]) -> str:
    return "" if row["low"] is None else f"{number(row['low'], 3)} to {number(row['high'], 3)}"
