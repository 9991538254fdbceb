"""Questions: a target that the sliders can reach, and a start that differs in every slider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from pxgen_plugins.evaluation.steering.agreement import TOLERANCE, Agreement, measure
from pxgen_plugins.evaluation.steering.sliders import Floats, Sliders, decode
from pxgen_plugins.utils.errors import ParameterError

__all__ = ["APART", "Question", "apart", "make_questions"]

APART = 0.1
"""Least difference of target and start in every slider, in shares of its length."""


@dataclass(frozen=True, eq=False)
class Question:
    """One target, and where the sliders stand at first.

    Attributes:
        anchor: Index of the anchor that the target was made of.
        base: Its flat code, (d,): what no slider moves stays as it is there.
        target: Positions of the target, (k,).
        start: Positions at first, (k,).
        picture: The decoded target, (*sample_shape).
    """

    anchor: int
    base: Floats
    target: Floats
    start: Floats
    picture: Tensor


def apart(start: Floats, target: Floats, low: Floats, high: Floats) -> Floats:
    """Return the start, moved where it is less than 10% of a slider away from the target.

    It goes to the nearest position that is far enough: on its own side of the target, or on the
    other where the slider ends before.

    Args:
        start: Positions of the start, (k,).
        target: Those of the target.
        low: Lower ends of the sliders.
        high: Upper ends.

    Example:
        >>> start, target = np.array([0.5, 0.02, 0.3]), np.array([0.52, 0.0, 0.9])
        >>> apart(start, target, np.zeros(3), np.ones(3)).round(2).tolist()
        [0.42, 0.1, 0.3]
    """
    gap = APART * (high - low) * (1 + 1e-9)  # rounding must not undercut it
    near = np.abs(start - target) < gap
    side = np.where(start < target, -1.0, 1.0)
    wanted = target + side * gap
    outside = (wanted < low) | (wanted > high)
    return np.where(near, np.where(outside, target - side * gap, wanted), start)


def make_questions(
    model: Any,
    sliders: Sliders,
    codes: Floats,
    anchors: Any,
    agreement: Agreement,
    goal: float,
    n: int,
    seed: int,
    batch_size: int,
) -> list[Question]:
    """Return n questions: targets and starts are codes of distinct anchors, in seeded order.

    Which anchors become targets depends on their number and the seed alone, so that other axes and
    other models get the same ones. A start that reaches the goal already is replaced by another.

    Args:
        model: The model.
        sliders: Its sliders.
        codes: Flat codes of the anchors, (m, d), m >= 2 n.
        anchors: Index of each.
        agreement: The measure.
        goal: Agreement to be reached.
        n: Number of questions.
        seed: Seed of the order.
        batch_size: Codes per call.

    Raises:
        ParameterError: When every start reaches the goal.
    """
    order = np.random.default_rng(seed).permutation(len(codes))
    others = order[n:]
    positions = np.clip(sliders.positions(codes), sliders.low, sliders.high)
    questions = []
    for at, row in enumerate(order[:n]):
        target, base = positions[row], codes[row]
        picture = decode(model, sliders.codes(target[None], base), batch_size)[0]
        for trial in range(-(-len(others) // n)):
            other = others[(at + trial * n) % len(others)]
            start = apart(positions[other], target, sliders.low, sliders.high)
            x = decode(model, sliders.codes(start[None], base), batch_size)
            if measure(agreement, x, picture)[0] < goal - TOLERANCE:
                questions.append(Question(int(anchors[row]), base, target, start, picture))
                break
        else:
            got = f"{goal:.3g}, which every start reaches for anchor {int(anchors[row])}"
            hint = "Ask for more, as in goal=0.95, or take a measure that is stricter."
            raise ParameterError("goal", "above the agreement of the starts", got, hint)
    return questions
