"""The reconstruction task on the explorer's page: what people do there reaches a task's log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["SteeringTask"]


class SteeringTask:
    """A :class:`~pxgen_plugins.evaluation.steering.session.TaskSession` as a session asks it.

    The page shows the consent text before it says ``start``; its sliders are those of the task.

    Args:
        session: Of one person, not begun.

    Example:
        >>> from pxgen_plugins.evaluation import ReconstructionTask
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> model = LinearModel()
        >>> task = ReconstructionTask(model, model.sample(20, seed=0), n_questions=2, goal=0.97)
        >>> with task.session() as session:
        ...     steering = SteeringTask(session)
        ...     steering.start()["index"], steering.step(task.questions[0].target.tolist())["solved"]
        ...     steering.start()["index"]
        (0, True)
        1
    """

    def __init__(self, session: Any) -> None:
        self.session = session
        self.consent: str = session.task.consent
        self._begun = False

    def start(self) -> Mapping[str, Any]:
        """Begin, or ask the next question once the present one is solved or skipped."""
        if not self._begun:
            state: Mapping[str, Any] = self.session.start(consent=True)
            self._begun = True
            return state
        state = self.session.state()
        return self.session.next() if state["over"] and not state["done"] else state

    def step(self, z: list[float], axis: int | None = None) -> Mapping[str, Any]:
        """Move the sliders to positions; ``axis`` is the slider that a hand has let go."""
        state: Mapping[str, Any] = self.session.step(z, release=axis is not None)
        return state

    def skip(self) -> Mapping[str, Any]:
        """Give the question up."""
        state: Mapping[str, Any] = self.session.skip()
        return state
