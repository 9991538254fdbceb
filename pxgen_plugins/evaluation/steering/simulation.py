"""Simulated users: a smoke test of the task and its measures, and no claim about people."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.evaluation.steering.agreement import measure
from pxgen_plugins.evaluation.steering.log import TaskLog
from pxgen_plugins.evaluation.steering.session import TaskSession
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.seeds import derive

__all__ = ["USERS", "Hand", "User", "simulate"]

_STOPS = 11  # pictures seen along a sweep
_SHORT = 0.11  # of a slider, each way: the correction after a long drag
_STRIDES = (0.4, 0.2, 0.1, 0.05, 0.025, 0.01, 0.005)  # of a slider, tried by the gradient user
_PROBE = 0.005  # of a slider, each way: difference quotient

Floats = NDArray[np.float64]


class _OverError(Exception):
    """The question is over: solved, or the budget is spent."""


class Hand:
    """What a simulated user has: sliders, eyes that misjudge, and random numbers.

    Attributes:
        low, high: Ends of the sliders, (k,).
        positions: Where they stand, (k,).
        rng: The user's random numbers.
    """

    def __init__(self, session: TaskSession, noise: float, budget: int, seed: int) -> None:
        state = session.state()
        self.low, self.high = np.array(state["low"]), np.array(state["high"])
        self.positions: Floats = np.array(state["positions"])
        self.rng = np.random.default_rng(seed)
        self._session, self._noise, self._budget = session, noise, budget
        self._index = int(state["index"])
        self._drags, self._slider, self._free = 0, -1, True

    def move(self, path: Any, *, release: bool = True) -> Floats:
        """Drag along positions (m, k), and return the agreement as it looked at each, (m,).

        When the question is over this does not return: the user's function ends here.

        Args:
            path: Positions.
            release: Whether the hand leaves the slider at the end.
        """
        way = self._session.require_positions(np.atleast_2d(path))
        slider = int((np.abs(way - self.positions) / (self.high - self.low)).max(0).argmax())
        if self._free or slider != self._slider:
            if self._drags == self._budget:
                raise _OverError
            self._drags += 1
        self._slider, self._free = slider, release
        found = self._session.walk(way, release=release)
        if self._session.over:
            raise _OverError
        self.positions = way[-1]
        return self._misjudge(found)

    def look(self, positions: Any) -> Floats:
        """Return how the agreement would look at positions (m, k), without going there."""
        task = self._session.task
        x = task.pictures(np.atleast_2d(positions), self._index)
        target = task.questions[self._index].picture
        return self._misjudge(measure(task.agreement, x, target))

    def _misjudge(self, agreement: Floats) -> Floats:
        looks: Floats = agreement + self._noise * self.rng.normal(size=len(agreement))
        return looks


User: TypeAlias = Callable[[Hand], Any]


def sweeper(hand: Hand) -> None:
    """Drag one slider after the other, in random order, and leave it where it looked best.

    Each is dragged along its whole length, then once more around where it was left.
    """
    while True:
        for j in hand.rng.permutation(len(hand.low)):
            for reach in (1.0, _SHORT):
                width = reach * (hand.high[j] - hand.low[j])
                low = max(hand.low[j], hand.positions[j] - width)
                high = min(hand.high[j], hand.positions[j] + width)
                # to the nearer end first, as a hand would
                ends = (low, high) if hand.positions[j] - low < high - hand.positions[j] else (
                    high, low
                )  # fmt: skip
                path = np.repeat(hand.positions[None], _STOPS, axis=0)
                path[:, j] = np.linspace(*ends, _STOPS)
                looks = hand.move(path, release=False)
                hand.move(path[looks.argmax()])


def random_walker(hand: Hand) -> None:
    """Put random sliders at random positions."""
    while True:
        _put_anywhere(hand)


def gradient(hand: Hand) -> None:
    """Drag the slider along which the agreement rises fastest, as far as it rises.

    Knows what no person sees: slopes of all sliders. Where the steepest gives nothing the next one
    is tried; where none does, a random slider is put anywhere.
    """
    span = hand.high - hand.low
    k, strides = len(span), np.array(_STRIDES)
    while True:
        probes = hand.positions + _PROBE * np.concatenate([np.diag(span), -np.diag(span)])
        looks = hand.look(np.clip(probes, hand.low, hand.high))
        slope = looks[:k] - looks[k:]
        ways = np.sign(slope)[:, None] * strides * span[:, None]  # (k, strides)
        paths = np.repeat(hand.positions[None], ways.size, axis=0).reshape(k, len(strides), k)
        paths[np.arange(k), :, np.arange(k)] += ways
        paths = np.clip(paths, hand.low, hand.high)
        there = hand.look(paths.reshape(-1, k)).reshape(k, -1)
        rising = there.max(1) > hand.look(hand.positions)[0]
        if rising.any():
            j = int(np.where(rising, np.abs(slope), -1.0).argmax())
            hand.move(paths[j, there[j].argmax()])
        else:
            _put_anywhere(hand)


def _put_anywhere(hand: Hand) -> None:
    target = hand.positions.copy()
    j = hand.rng.integers(len(target))
    target[j] = hand.rng.uniform(hand.low[j], hand.high[j])
    hand.move(target)


USERS: dict[str, User] = {"gradient": gradient, "random": random_walker, "sweeper": sweeper}


def simulate(task: Any, user: Any, *, noise: float, budget: int, seed: int) -> TaskLog:
    """Return the log of a simulated user, its pictures included (see ``ReconstructionTask``)."""
    if callable(user):
        act, name = user, str(getattr(user, "__name__", type(user).__name__))
    else:
        name = validation.choice(user, "user", tuple(USERS))
        act = USERS[name]
    steps = itertools.count()  # each reading of the clock is one picture seen
    session = TaskSession(
        task, None, participant=0, clock=lambda: float(next(steps)), user=name, unit="steps"
    )
    state = session.start()
    while not state["done"]:
        hand = Hand(session, noise, budget, derive(seed, "user", int(state["index"])))
        status = "skipped"
        try:
            act(hand)
        except _OverError:
            status = "budget"
        session.give_up(status)  # nothing happens where it was solved
        state = session.next()
    return task.illustrate(session.log)  # type: ignore[no-any-return]
