"""The match test: a sentence is worth something if it finds its film among others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pxgen_plugins.describers.base import Picture
from pxgen_plugins.groups import exact_interval

__all__ = ["LETTERS", "NOBODY", "Choices", "MatchRate", "match_rate", "places"]

LETTERS = "ABCDEFGH"
NOBODY = -1  # in the place of a subject, for a film of none


@dataclass(frozen=True)
class Choices:
    """The films of a match question.

    Attributes:
        pictures: The films, under letters.
        of: For each the position of the subject that it shows, or :data:`NOBODY`.
    """

    pictures: list[Picture]
    of: list[int]


@dataclass(frozen=True)
class MatchRate:
    """How often a sentence found its film.

    Attributes:
        rate: Share of the questions; NaN without any.
        low, high: Exact interval of 95% (Clopper and Pearson 1934).
        n: Questions.
    """

    rate: float
    low: float
    high: float
    n: int


def match_rate(hits: Sequence[bool]) -> MatchRate:
    """Return the rate of hits with its exact interval.

    Example:
        >>> found = match_rate([True, True, False])
        >>> round(found.rate, 3), round(found.low, 3), round(found.high, 3)
        (0.667, 0.094, 0.992)
    """
    if not hits:
        return MatchRate(np.nan, 0.0, 1.0, 0)
    count = sum(hits)
    return MatchRate(count / len(hits), *exact_interval(count, len(hits)), len(hits))


def places(n: int, k: int, seed: int) -> list[int]:
    """Return where the right film stands in each of n questions: every place about equally often.

    Who always names the same letter then hits as often as by chance.

    Example:
        >>> sorted(places(8, 4, seed=0))
        [0, 0, 1, 1, 2, 2, 3, 3]
    """
    rng = np.random.default_rng(seed)
    rounds = [rng.permutation(k) for _ in range(-(-n // k))]
    return [int(place) for place in np.concatenate(rounds)[:n]] if n else []
