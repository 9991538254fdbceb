"""The reconstruction task as a session of the explorer asks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from pxgen_plugins.evaluation.steering import ReconstructionTask
from pxgen_plugins.evaluation.steering.session import TaskSession
from pxgen_plugins.utils.errors import ParameterError, short_repr

__all__ = ["Steering", "Task", "task_of"]


@runtime_checkable
class Task(Protocol):
    """A task: each method returns what the page shows.

    Arrays under ``"target"`` and ``"picture"``, of an instance's shape, are sent as pictures.
    """

    def start(self) -> Mapping[str, Any]:
        """Begin, or go on with the next question where the present one is over."""

    def step(self, z: list[float], axis: int | None = None) -> Mapping[str, Any]:
        """Note where the sliders are now."""

    def skip(self) -> Mapping[str, Any]:
        """Leave the present question out."""


class Steering:
    """One person at the questions of a :class:`~pxgen_plugins.evaluation.ReconstructionTask`.

    Args:
        session: The person's session, not begun yet.

    Attributes:
        session: See above.
        consent: What the page shows before it begins; who begins has agreed.
        done: Whether the last question is over.
    """

    def __init__(self, session: TaskSession) -> None:
        self.session, self.done = session, False
        self.consent = str(session.task.consent)
        self._begun = False

    def start(self) -> Mapping[str, Any]:
        """Begin, or go on with the next question where the present one is over."""
        if not self._begun:
            state = self.session.start(consent=True)
            self._begun = True
            return self._noted(state)
        return self._noted(self.session.next() if self.session.over else self.session.state())

    def step(self, z: list[float], axis: int | None = None) -> Mapping[str, Any]:
        """Note where the sliders are now: ``z`` are their positions.

        ``axis`` is the slider that a hand lets go, which ends a drag; None while one is held.
        """
        return self._noted(self.session.step(z, release=axis is not None))

    def skip(self) -> Mapping[str, Any]:
        """Leave the present question out."""
        return self._noted(self.session.skip())

    def _noted(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        self.done = bool(state["done"])
        return state


def task_of(given: Any) -> Task | None:
    """Return the task behind what users pass.

    Args:
        given: A ReconstructionTask, a session of one, an object with the methods of :class:`Task`,
            or None.

    Raises:
        ParameterError: When it is something else.
    """
    if isinstance(given, ReconstructionTask):
        return Steering(given.session())
    if isinstance(given, TaskSession):
        return Steering(given)
    if given is None or isinstance(given, Task):
        return given
    hint = "Pass ReconstructionTask(model, X)."
    raise ParameterError("task", "a reconstruction task", short_repr(given), hint)
