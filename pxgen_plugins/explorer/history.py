"""What is shown now, and what was before: undo, reset, state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pxgen_plugins.explorer.messages import State, StrokeMessage

__all__ = ["History", "Place"]

_MOST = 200  # steps that can be undone


@dataclass(frozen=True)
class Place:
    """Where the explorer is.

    Attributes:
        z: A code, flattened.
        amounts: Steps along axes, by position; none of them is 0.
        strokes: What was painted.
        model: Which of the models.
    """

    z: tuple[float, ...] = ()
    amounts: dict[int, float] = field(default_factory=dict)
    strokes: tuple[StrokeMessage, ...] = ()
    model: int = 0

    @classmethod
    def of(cls, message: Any) -> Place:
        """Return the place that a message, or a state, is about."""
        amounts = {index: amount for index, amount in sorted(message.amounts.items()) if amount}
        return cls(tuple(message.z), amounts, tuple(message.strokes), message.model)

    def to_data(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return {
            "z": list(self.z),
            "amounts": {str(index): amount for index, amount in self.amounts.items()},
            "strokes": [stroke.model_dump() for stroke in self.strokes],
            "model": self.model,
        }


class History:
    """The places of a session, the present one last."""

    def __init__(self) -> None:
        self._places = [Place()]
        self.seed: int | None = None
        self.selected: list[int] = []

    @property
    def present(self) -> Place:
        """Where the explorer is now."""
        return self._places[-1]

    def go(self, place: Place) -> None:
        """Go to another place; the same again is no step."""
        if place != self.present:
            self._places = [*self._places[-_MOST:], place]

    def undo(self) -> Place:
        """Go back to the place before; at the first one, stay."""
        if len(self._places) > 1:
            self._places.pop()
        return self.present

    def reset(self, axis: int | None) -> Place:
        """Put one axis back to where the code is, or, for None, all of them and the painting."""
        now = self.present
        if axis is None:
            self.go(Place(now.z, model=now.model))
        else:
            kept = {index: amount for index, amount in now.amounts.items() if index != axis}
            self.go(Place(now.z, kept, now.strokes, now.model))
        return self.present

    def state(self, labels: Sequence[str]) -> dict[str, Any]:
        """Return the present state as JSON-able data."""
        return {
            "version": 1,
            **self.present.to_data(),
            "seed": self.seed,
            "selected": list(self.selected),
            "axes": list(labels),
        }

    def restore(self, state: State) -> Place:
        """Put a state back."""
        self.seed, self.selected = state.seed, list(state.selected)
        self.go(Place.of(state))
        return self.present
