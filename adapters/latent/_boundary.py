"""What a contrast has to cross: the border of a group, or a classifier's decision."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.criteria import Batch, Criterion, make
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError, short_repr

__all__ = ["Border", "ClassBorder", "GroupBorder", "border_of", "parse_goal"]

KINDS = ("intrinsic", "extrinsic")


class Border(Protocol):
    """A border between decisions, as a function of the code.

    What ``goals`` returns is opaque to callers: it goes back into ``violation``.
    """

    def scores(self, batch: Batch) -> Tensor:
        """Return what decides, (b, s), with gradient."""

    def decide(self, scores: Tensor) -> NDArray[np.int64]:
        """Return the decision of each row, (b,)."""

    def goals(self, decisions: NDArray[np.int64], keep: bool) -> NDArray[np.int64]:
        """Return the goal of rows with these decisions: to keep them, or to reach another."""

    def violation(self, scores: Tensor, goals: NDArray[np.int64]) -> Tensor:
        """Return how far each row is from its goal, (b,); below 0 when it is there."""

    def name(self, decision: int) -> str:
        """Return a decision in words."""


class GroupBorder:
    """Thresholds on criteria, as PXGen has them.

    Args:
        criteria: The m criteria.
        thresholds: Array (m,).
        goal: "HIHE" and so on, or one kind alone ("HE"); the other is then free. None is any group
            but the one that a row is in.
        rule: How several criteria of a kind decide, as in PXGen.
        scale: Array (m,), for the rule "mean".
        seed: Seed of the criteria's noise with which the thresholds were found; None for any.
        precision: In which the model ran then, as PXGen has it.

    Raises:
        ParameterError: When the goal names a kind that no criterion has.
    """

    def __init__(
        self,
        criteria: Sequence[Criterion],
        thresholds: NDArray[np.float64],
        goal: str | None,
        rule: str = "all",
        scale: NDArray[np.float64] | None = None,
        seed: int | None = None,
        precision: str = "float32",
    ) -> None:
        self.criteria = list(criteria)
        self.thresholds = np.asarray(thresholds, dtype=np.float64)
        self.rule, self.seed, self.precision = rule, seed, precision
        # violations are in units of the threshold, so that kinds can be compared
        size = np.abs(self.thresholds)
        self.scale = np.where(size > 0, size, 1.0) if scale is None or rule != "mean" else scale
        self.kinds = [kind for kind in KINDS if any(c.kind == kind for c in self.criteria)]
        self.goal = None if goal is None else parse_goal(goal, self.kinds)

    def scores(self, batch: Batch) -> Tensor:
        """Return (value - threshold) / scale joined per kind, (b, kinds); below 0 is high."""
        columns = [
            (criterion(batch) - float(threshold)) / float(scale)
            for criterion, threshold, scale in zip(
                self.criteria, self.thresholds, self.scale, strict=True
            )
        ]
        joined = []
        for kind in self.kinds:
            own = [c for c, one in zip(columns, self.criteria, strict=True) if one.kind == kind]
            stacked = torch.stack(own, dim=1)
            if self.rule == "mean":
                joined.append(stacked.mean(1))
            else:
                joined.append(stacked.amax(1) if self.rule == "all" else stacked.amin(1))
        return torch.stack(joined, dim=1)

    def decide(self, scores: Tensor) -> NDArray[np.int64]:
        """Return the group as bits, (b,): bit j is set where kind j is low."""
        low = (~(scores < 0)).cpu().numpy().astype(np.int64)
        bits: NDArray[np.int64] = (low << np.arange(low.shape[1])).sum(1)
        return bits

    def goals(self, decisions: NDArray[np.int64], keep: bool) -> NDArray[np.int64]:
        """Return per row and kind 1 (high), -1 (low) or 0 (free), (b, kinds).

        2 and -2 ask for one kind out of all, where any other group will do.
        """
        if not keep and self.goal is not None:
            return np.tile(np.array(self.goal, dtype=np.int64), (len(decisions), 1))
        bits = (decisions[:, None] >> np.arange(len(self.kinds))) & 1
        signs: NDArray[np.int64] = 1 - 2 * bits
        return signs if keep else -2 * signs

    def violation(self, scores: Tensor, goals: NDArray[np.int64]) -> Tensor:
        """Return the largest distance to the right side of a threshold, (b,).

        The least one where any other group will do.
        """
        goal = torch.as_tensor(goals, device=scores.device)
        distances = goal.sign() * scores
        free = torch.full_like(scores, -torch.inf)
        largest = torch.where(goal == 0, free, distances).amax(1)
        return torch.where((goal.abs() == 2).all(1), distances.amin(1), largest)

    def name(self, decision: int) -> str:
        """Return the group, "HIHE" as a rule."""
        return "".join(
            ("L" if decision >> j & 1 else "H") + kind[0].upper()
            for j, kind in enumerate(self.kinds)
        )


class ClassBorder:
    """The decision of a classifier on decoded instances.

    Args:
        classifier: From instances (b, *sample_shape) to logits (b, c), c >= 2.
        goal: A class, or None for any other than the anchor's.
    """

    def __init__(self, classifier: Callable[[Tensor], Tensor], goal: int | None) -> None:
        self.classifier = classifier
        self.goal = goal

    def scores(self, batch: Batch) -> Tensor:
        """Return the logits of the decoded codes, (b, c).

        Raises:
            ModelError: When the classifier returns anything else.
        """
        logits = self.classifier(batch.model.decode(batch.mean))
        good = isinstance(logits, Tensor) and logits.ndim == 2 and len(logits) == len(batch)
        if not good or logits.shape[1] < 2:
            hint = "Return one row of logits per instance, as a torch tensor."
            allowed = f"of shape ({len(batch)}, c) with c >= 2"
            got = short_repr(logits)
            raise ModelError("the classifier's result", allowed, got, hint)
        if self.goal is not None and self.goal >= logits.shape[1]:
            hint = "Pass the number of a class, or None for any other class."
            allowed = f"below {logits.shape[1]}"
            raise ParameterError("goal", allowed, str(self.goal), hint)
        return logits

    def decide(self, scores: Tensor) -> NDArray[np.int64]:
        """Return the class with the largest logit, (b,)."""
        classes: NDArray[np.int64] = scores.argmax(1).cpu().numpy().astype(np.int64)
        return classes

    def goals(self, decisions: NDArray[np.int64], keep: bool) -> NDArray[np.int64]:
        """Return the class to reach; ~class where any other than that one will do."""
        if keep:
            return decisions
        return ~decisions if self.goal is None else np.full_like(decisions, self.goal)

    def violation(self, scores: Tensor, goals: NDArray[np.int64]) -> Tensor:
        """Return how far the logit of the goal lies below the best other, (b,)."""
        away = goals < 0
        named = torch.as_tensor(np.where(away, ~goals, goals), device=scores.device)[:, None]
        own = scores.gather(1, named)[:, 0]
        best = scores.scatter(1, named, -torch.inf).amax(1)
        return torch.where(torch.as_tensor(away, device=scores.device), own - best, best - own)

    def name(self, decision: int) -> str:
        """Return the number of the class."""
        return str(decision)


def parse_goal(goal: Any, kinds: Sequence[str]) -> list[int]:
    """Return per kind 1 (high), -1 (low) or 0 (free).

    Raises:
        ParameterError: When ``goal`` is no group, or names a kind that has no criterion.

    Example:
        >>> parse_goal("HILE", ["intrinsic", "extrinsic"]), parse_goal("HE", ["extrinsic"])
        ([1, -1], [1])
    """
    match = re.fullmatch(r"(?:([HL])I)?(?:([HL])E)?", goal) if isinstance(goal, str) else None
    letters = dict(zip(KINDS, match.groups(), strict=True)) if match else {}
    missing = [kind for kind, letter in letters.items() if letter and kind not in kinds]
    if not any(letters.values()) or missing:
        hint = (
            "Pass 'HIHE', 'HILE', 'LIHE' or 'LILE', or one half, such as 'HE', for one kind alone."
        )
        allowed = "a group, out of " + " and ".join(kinds) + " affinity"
        raise ParameterError("goal", allowed, short_repr(goal), hint)
    return [{"H": 1, "L": -1, None: 0}[letters[kind]] for kind in kinds]


def border_of(boundary: Any, goal: str | None) -> GroupBorder:
    """Return the border of a fitted PXGen, with its settings, or of {criterion: threshold}.

    Raises:
        ParameterError: When it is neither, the explainer is not fitted, or it scores drawn
            reconstructions, whose draws belong to an anchor's position.
    """
    calibration = getattr(boundary, "calibration", None)
    if calibration is not None:
        if boundary.reconstruction != "mean":
            got = f"one with reconstruction={boundary.reconstruction!r}"
            hint = "A code is moved without noise: fit a PXGen with reconstruction='mean'."
            raise ParameterError("boundary", "a PXGen of mean reconstructions", got, hint)
        return GroupBorder(
            list(boundary.criteria),
            calibration.thresholds.copy(),
            goal,
            boundary.rule,
            calibration.scale if boundary.rule == "mean" else None,
            boundary.seed,
            boundary.precision,
        )
    if isinstance(boundary, Mapping) and boundary:
        names = list(boundary)
        values = [validation.real(boundary[name], f"boundary[{name!r}]") for name in names]
        return GroupBorder([make(name, "boundary") for name in names], np.array(values), goal)
    hint = "Pass PXGen(model).fit(), or a mapping like {'kld': 30.0, 'mse': 0.02}."
    allowed = "a fitted PXGen or a mapping from criteria to thresholds"
    got = "one that is not fitted" if hasattr(boundary, "calibration") else short_repr(boundary)
    raise ParameterError("boundary", allowed, got, hint)
