"""The log of a session: rows of JSON Lines, and what is read off them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.evaluation.steering.summary import SteeringSummary, summarise
from pxgen_plugins.evaluation.steering.trial import Trial
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.files import read_regular, write_atomic
from pxgen_plugins.utils.html import line
from pxgen_plugins.utils.json_files import parse_json
from pxgen_plugins.utils.limits import JSON_FILE
from pxgen_plugins.utils.text import MarkdownText

__all__ = ["FORMAT", "LIKERT", "STATES", "TaskLog", "parse_rows", "row_line"]

FORMAT = "pxgen steering 1"
STATES = ("solved", "skipped", "budget")
LIKERT = {
    "plan": "I had a plan.",
    "experiment": "I moved sliders at random.",
    "understanding": "I understood what many of the sliders do.",
}
"""Statements that a person agrees with from 1 (not at all) to 5 (fully)."""

_NOTHING = "No question was begun."
_SAME = ("label", "seed", "agreement", "axes", "targets")
_CLOSE = ("goal", "low", "high")


@dataclass(repr=False, eq=False)
class TaskLog(MarkdownText):
    """What one person or simulated user did, of which everything is computed.

    Attributes:
        about: The task (see :attr:`ReconstructionTask.about
            <pxgen_plugins.evaluation.ReconstructionTask.about>`), and ``user``, ``participant`` and
            ``unit``, ``"seconds"`` or ``"steps"``.
        rows: Events: ``start``, ``step`` and ``end`` with the ``question``, the time ``t``,
            ``positions`` and ``agreement``; ``consent``, ``resume`` and ``answers``.
        pictures: Target, start and end of each question, (q, 3, *sample_shape); None where they
            have not been made (``task.illustrate(log)`` makes them). They are not written.
    """

    about: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)
    pictures: NDArray[np.float32] | None = None

    @property
    def label(self) -> str:
        """Name of the representation."""
        return str(self.about["label"])

    @property
    def trials(self) -> list[Trial]:
        """The questions that were begun, in their order."""
        span = np.asarray(self.about["high"], dtype=np.float64) - np.asarray(self.about["low"])
        parts: dict[int, list[dict[str, Any]]] = {}
        for row in self.rows:
            if "question" in row:
                parts.setdefault(int(row["question"]), []).append(row)
        return [Trial.of(rows, span) for rows in parts.values()]

    @property
    def answers(self) -> dict[str, int]:
        """What the person answered at the end; the last answer counts."""
        found: dict[str, int] = {}
        for row in self.rows:
            if row["event"] == "answers":
                found.update({name: row[name] for name in ("ease", *LIKERT) if name in row})
        return found

    @caller("TaskLog.summary")
    def summary(self, n_draws: int = 2000, seed: int = 0) -> SteeringSummary:
        """Return the measures with 95% intervals over questions.

        Args:
            n_draws: Bootstrap draws.
            seed: Their seed.

        Raises:
            ParameterError: When no question was begun.
        """
        return summarise([self], n_draws, seed)

    def plot(self, **options: Any) -> NDArray[np.object_]:
        """Draw the error over time (see :func:`pxgen_plugins.plots.plot_steering`)."""
        from pxgen_plugins.plots import plot_steering

        return plot_steering([self], **options)

    def require_task(self, about: Mapping[str, Any]) -> None:
        """Raise ParameterError unless the log is of the task that ``about`` describes."""
        differences = different(self.about, about)
        if differences:
            hint = "Make the task with the arguments that the log was written with."
            got = f"one that differs in {', '.join(differences)}"
            raise ParameterError("log", "of this task", got, hint)

    def to_markdown(self) -> str:
        """Return the summary as Markdown; a sentence where nothing was begun yet."""
        return self.summary().to_markdown() if self.rows else _NOTHING + "\n"

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_() if self.rows else str(line(_NOTHING))

    def to_jsonl(self) -> str:
        """Return the log as JSON Lines; :meth:`read` takes a file of them."""
        return "".join(map(row_line, [head_row(self.about), *self.rows]))

    @caller("TaskLog.write")
    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the log to a ``.jsonl`` file, which appears whole."""
        write_atomic(path, self.to_jsonl().encode())

    @classmethod
    @caller("TaskLog.read")
    def read(cls, path: str | os.PathLike[str]) -> TaskLog:
        """Return the log in a file; a last line that was cut short by a kill is left out.

        Raises:
            ParameterError: When it is no log.
            OSError: When it cannot be read.
        """
        about, rows, _ = parse_rows(read_regular(path, JSON_FILE))
        return cls(about, rows)


def row_line(row: Mapping[str, Any]) -> str:
    """Return a row as one line of strict JSON."""
    return json.dumps(row, allow_nan=False, separators=(",", ":")) + "\n"


def head_row(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first row of a log."""
    return {"event": "task", "format": FORMAT, **about}


def different(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return in what two descriptions of tasks differ; numbers may by rounding."""
    names = [name for name in _SAME if one.get(name) != other.get(name)]
    for name in _CLOSE:
        a, b = (np.atleast_1d(np.asarray(task[name], dtype=np.float64)) for task in (one, other))
        if a.shape != b.shape or not np.allclose(a, b, rtol=1e-4, atol=1e-6):
            names.append(name)
    return names


def parse_rows(content: bytes) -> tuple[dict[str, Any], list[dict[str, Any]], int]:
    """Return the head, the rows and the length in bytes of the whole lines of a log.

    Raises:
        ParameterError: When it is no log.
    """
    length = content.rfind(b"\n") + 1  # what follows was cut short
    first, *others = content[:length].split(b"\n")
    rows: list[dict[str, Any]] = []
    order: list[int] = []
    number = 1
    try:
        head = dict(parse_json(first, to_constant=_refuse))
        if head.pop("event", None) != "task" or head.pop("format", None) != FORMAT:
            raise ValueError(f"it is not that of {FORMAT!r}")
        _check_head(head)
        for text in others[:-1]:
            number += 1
            row = parse_json(text, to_constant=_refuse)
            _check_row(row, len(head["axes"]), len(head["targets"]), order)
            rows.append(row)
    except (ValueError, TypeError, KeyError, RecursionError, AttributeError) as error:
        why = short_repr(str(error) or type(error).__name__)
        hint = f"Name another file; line {number} is wrong: {why}."
        raise ParameterError("path", "a log of the task", "something else", hint) from error
    return head, rows, length


def _check_head(head: Mapping[str, Any]) -> None:
    k = len(head["axes"])
    texts = [head["label"], head["agreement"], head["user"], *head["axes"], *head["targets"]]
    numbers = [head["goal"], *head["low"], *head["high"], *head["change"]]
    good = (
        all(isinstance(text, str) for text in texts)
        and all(map(_finite, numbers))
        and all(len(head[name]) == k for name in ("low", "high", "change", "active"))
        and all(low < high for low, high in zip(head["low"], head["high"], strict=True))
        and head["unit"] in ("seconds", "steps")
        and isinstance(head["participant"], int)
        and k > 0
    )
    if not good:
        raise ValueError("its description of the task has wrong types or lengths")


def _check_row(row: Any, k: int, n: int, order: list[int]) -> None:
    """Raise ValueError for a row that cannot follow those of the questions in ``order``."""
    event = row["event"]
    if event == "answers":
        if any(not isinstance(row[name], int) for name in ("ease", *LIKERT) if name in row):
            raise ValueError("answers are no integers")
        return
    if not _finite(row["t"]):
        raise ValueError("a time is no number")
    if event in ("consent", "resume"):
        return
    question = row["question"]
    if type(question) is not int or not 0 <= question < n:
        raise ValueError("there is no such question")
    if event == "start":
        if question in order:
            raise ValueError("a question begins twice")
        order.append(question)
    elif event not in ("step", "end") or order[-1:] != [question]:
        raise ValueError("rows do not follow each other")
    if event == "end":
        if row["status"] not in STATES:
            raise ValueError("the end has no known status")
        return
    positions = row["positions"]
    if len(positions) != k or not all(map(_finite, positions)):
        raise ValueError("positions are not one number for each slider")
    if not _finite(row["agreement"]) or not 0 <= row["agreement"] <= 1:
        raise ValueError("an agreement is not in [0, 1]")


def _finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
