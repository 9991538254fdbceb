"""A session, step by step: plain Python that a page, a notebook or a test calls."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.evaluation.steering.agreement import TOLERANCE, measure
from pxgen_plugins.evaluation.steering.log import LIKERT, TaskLog
from pxgen_plugins.evaluation.steering.log_file import LogFile
from pxgen_plugins.evaluation.steering.trial import IDLE
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr

__all__ = ["TaskSession"]

Floats = NDArray[np.float64]

_ROUNDING = 1e-6  # of a slider's length, by which a page may leave it


class TaskSession:
    """One person, or simulated user, at the questions of a task.

    :meth:`start` begins, or goes on where a killed session was; :meth:`step` moves sliders;
    :meth:`next` asks the next question once this one is solved or skipped. Each returns a dict:

    - ``question``: checksum of the target's anchor; ``index`` and ``n``: which of how many;
    - ``target`` and ``picture``: float32 arrays (*sample_shape), what is wanted and what is there;
    - ``z``: the code, nested lists; ``positions``: of the sliders, with their ends ``low`` and
      ``high`` and their ``labels``;
    - ``agreement``, ``goal``, ``solved``;
    - ``active``: seconds of active time in this question, those gaps between two calls that are
      shorter than 3 s; ``may_skip``: whether they are enough; ``over``: solved or skipped, so that
      sliders are locked; ``done``: no question is left.

    Calls must not overlap: who serves several threads takes a lock.

    Args:
        task: A :class:`~pxgen_plugins.evaluation.ReconstructionTask`.
        path: Where the log is kept; None for memory.
        participant: A number.
        clock: Returns seconds.
        user: ``"person"``, or the name of a simulated one.
        unit: ``"seconds"`` or ``"steps"``, what the clock counts.

    Attributes:
        log: What happened so far.

    Raises:
        ParameterError: When the file is another task's, or is in use.

    Example:
        >>> from pxgen_plugins.evaluation import ReconstructionTask
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> model = LinearModel()
        >>> task = ReconstructionTask(model, model.sample(20, seed=0), n_questions=2, goal=0.97)
        >>> with task.session() as session:
        ...     state = session.start(consent=True)
        ...     state = session.step(task.questions[0].target)
        >>> state["solved"], session.next()["index"]
        (True, 1)
    """

    def __init__(
        self,
        task: Any,
        path: str | os.PathLike[str] | None,
        *,
        participant: int,
        clock: Callable[[], float],
        user: str = "person",
        unit: str = "seconds",
    ) -> None:
        self.task = task
        about = {**task.about, "user": user, "participant": participant, "unit": unit}
        self._file = None if path is None else LogFile(path, about)
        self.log = TaskLog(about, [] if self._file is None else self._file.rows)
        self._clock, self._origin, self._time = clock, 0.0, 0.0
        self._index, self._status = -1, "open"
        self._positions: Floats = np.empty(0)
        self._picture: Any = None  # a tensor (*sample_shape) from the first question on
        self._agreement = self._active = 0.0

    def __enter__(self) -> TaskSession:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    @caller("TaskSession.start")
    def start(self, *, consent: bool = False) -> dict[str, Any]:
        """Begin with the first question, or go on where the log ends.

        Args:
            consent: Whether the person agreed to ``task.consent``.

        Raises:
            ParameterError: When they did not, or the session has begun.
        """
        if self._index >= 0:
            hint = "Make a new session for another one."
            raise ParameterError("start", "called once", "a second call", hint)
        if self.log.about["user"] == "person" and consent is not True:
            hint = "Show task.consent, and pass consent=True once the person has agreed."
            raise ParameterError("consent", "True", short_repr(consent), hint)
        if not self.log.trials:
            self._origin = self._clock()
            if consent is True:
                self._append({"event": "consent", "t": 0.0})
            return self._begin(0)
        self._resume()
        return self.state()

    @caller("TaskSession.step")
    def step(self, positions: Any, *, release: bool = False) -> dict[str, Any]:
        """Move the sliders; where the question is over, nothing happens.

        Args:
            positions: Of all sliders, (k,).
            release: Whether the hand leaves the slider: what follows is another drag.

        Raises:
            ParameterError: When they are not k numbers inside the limits.
        """
        self.walk([positions], release=release)
        return self.state()

    def walk(self, path: Any, *, release: bool = False) -> Floats:
        """Move the sliders along positions (m, k), decoded at once; stop at the goal.

        Returns:
            The agreement at each position that was reached, (<= m,).
        """
        self._require_begun()
        if self._status != "open":
            return np.empty(0)
        way = self.require_positions(path)
        pictures = self.task.pictures(way, self._index)
        target = self.task.questions[self._index].picture
        agreement = measure(self.task.agreement, pictures, target)
        reached = np.flatnonzero(agreement >= self.task.goal - TOLERANCE)
        last = int(reached[0]) if len(reached) else len(way) - 1
        for at in range(last + 1):
            self._tick()
            self._write(
                "step",
                positions=way[at].tolist(),
                agreement=float(agreement[at]),
                release=bool(release and at == len(way) - 1),
            )
        self._positions, self._picture = way[last], pictures[last]
        self._agreement = float(agreement[last])
        if len(reached):
            self._end("solved")
        return agreement[: last + 1]

    @caller("TaskSession.skip")
    def skip(self) -> dict[str, Any]:
        """Give the question up; allowed after ``skip_after`` seconds of active time.

        Raises:
            ParameterError: When it is too early.
        """
        self._require_begun()
        if self._status == "open":
            self._tick()
            if not self._may_skip():
                got = f"after {self._active:.0f} s of active time"
                allowed = f"called after {self.task.skip_after:g} s of active time"
                raise ParameterError("skip", allowed, got, "Look at may_skip first.")
            self._end("skipped")
        return self.state()

    def give_up(self, status: str) -> None:
        """End the question of a simulated user: ``"budget"`` or ``"skipped"``."""
        if self._status == "open":
            self._end(status)

    @caller("TaskSession.next")
    def next(self) -> dict[str, Any]:
        """Ask the next question; after the last one the state says ``done``.

        Raises:
            ParameterError: When this question is neither solved nor skipped.
        """
        self._require_begun()
        if self._status == "open":
            hint = "Go on, or skip it."
            raise ParameterError("next", "called when the question is over", "before", hint)
        if self._index + 1 == len(self.task.questions):
            return self.state()
        self._tick()
        return self._begin(self._index + 1)

    @caller("TaskSession.answer")
    def answer(self, ease: int | None = None, **statements: int) -> None:
        """Keep what the person says of the task afterwards; all of it may be left out.

        Args:
            ease: How easy it was, from 1 (very difficult) to 7 (very easy).
            statements: Agreement from 1 to 5 with the statements of
                :data:`~pxgen_plugins.evaluation.steering.log.LIKERT`: ``plan``, ``experiment``,
                ``understanding``.

        Raises:
            ParameterError: When a number or a name is not allowed.
        """
        given: dict[str, int] = {}
        if ease is not None:
            given["ease"] = validation.integer(ease, "ease", minimum=1, maximum=7)
        for name, value in statements.items():
            validation.choice(name, "statement", tuple(LIKERT))
            given[name] = validation.integer(value, name, minimum=1, maximum=5)
        if given:
            self._append({"event": "answers", **given})

    @property
    def over(self) -> bool:
        """Whether the question is solved or was given up."""
        return self._status != "open"

    def state(self) -> dict[str, Any]:
        """Return what a page shows."""
        self._require_begun()
        task, question = self.task, self.task.questions[self._index]
        over = self.over
        return {
            "question": task.targets[self._index],
            "index": self._index,
            "n": len(task.questions),
            "target": question.picture.numpy(),
            "picture": self._picture.numpy(),
            "z": task.code(self._positions, self._index).tolist(),
            "positions": self._positions.tolist(),
            "low": task.sliders.low.tolist(),
            "high": task.sliders.high.tolist(),
            "labels": task.sliders.labels,
            "agreement": self._agreement,
            "goal": task.goal,
            "solved": self._status == "solved",
            "active": self._active,
            "may_skip": not over and self._may_skip(),
            "over": over,
            "done": over and self._index + 1 == len(task.questions),
        }

    def _begin(self, index: int) -> dict[str, Any]:
        self._index, self._status, self._active = index, "open", 0.0
        self._show(self.task.questions[index].start)
        self._write("start", positions=self._positions.tolist(), agreement=self._agreement)
        return self.state()

    def _show(self, positions: Any) -> None:
        """Put the sliders somewhere without a row in the log."""
        self._positions = np.asarray(positions, dtype=np.float64)
        x = self.task.pictures(self._positions[None], self._index)
        target = self.task.questions[self._index].picture
        self._picture = x[0]
        self._agreement = float(measure(self.task.agreement, x, target)[0])

    def _resume(self) -> None:
        rows = [row for row in self.log.rows if "t" in row]
        self._time = max(row["t"] for row in rows)
        self._origin = self._clock() - self._time  # nobody looked while no session was there
        trial = self.log.trials[-1]
        self._index, self._status = trial.question, trial.status
        self._active = trial.measures()["seconds"]
        self._show(trial.positions[-1])
        self._append({"event": "resume", "t": self._time})
        if self._status == "open" and self._agreement >= self.task.goal - TOLERANCE:
            self._end("solved")  # killed between this step and its end

    def _tick(self) -> None:
        """Read the clock; a gap of 3 s or more is no active time."""
        now = max(self._time, float(self._clock()) - self._origin)
        gap = now - self._time
        self._active += gap if gap < IDLE else 0.0
        self._time = now

    def _end(self, status: str) -> None:
        self._write("end", status=status)
        self._status = status

    def _write(self, event: str, **content: Any) -> None:
        self._append({"event": event, "t": self._time, "question": self._index, **content})

    def _append(self, row: Mapping[str, Any]) -> None:
        if self._file is not None:
            self._file.append(row)
        self.log.rows.append(dict(row))

    def _may_skip(self) -> bool:
        return self._active >= float(self.task.skip_after)

    def _require_begun(self) -> None:
        if self._index < 0:
            raise ParameterError("session", "begun", "one that is not", "Call start() first.")

    def require_positions(self, path: Any) -> Floats:
        """Return positions (m, k) as an array.

        Raises:
            ParameterError: When they are something else, or outside the limits.
        """
        low, high = self.task.sliders.low, self.task.sliders.high
        try:
            way = np.array(path, dtype=np.float64)
        except (TypeError, ValueError):
            way = np.empty(0)
        slack = _ROUNDING * (high - low)
        good = way.ndim == 2 and way.shape[1] == len(low) and len(way) > 0
        if not good or not ((way >= low - slack) & (way <= high + slack)).all():
            hint = "Send all sliders at each step, within low and high."
            allowed = f"{len(low)} numbers inside the limits"
            raise ParameterError("positions", allowed, short_repr(path), hint)
        return np.clip(way, low, high)
