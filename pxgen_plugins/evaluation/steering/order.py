"""The order in which people meet representations: a Latin square, so that learning cancels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller

__all__ = ["counterbalance"]

T = TypeVar("T")


@caller("counterbalance")
def counterbalance(items: Sequence[T], participant: int) -> list[T]:
    """Return the order in which a participant gets the items.

    Over n participants (2 n where n is odd) every item stands in every place equally often, and
    follows every other one equally often: a balanced Latin square (Williams 1949).

    Args:
        items: n tasks, models or names.
        participant: A number, >= 0.

    Raises:
        ParameterError: When there is no item, or the number is not allowed.

    Example:
        >>> [counterbalance("abcd", p) for p in range(2)]
        [['a', 'b', 'd', 'c'], ['b', 'c', 'a', 'd']]
    """
    n = len(items)
    p = validation.integer(participant, "participant", minimum=0)
    if n == 0:
        raise ParameterError("items", "one at least", "none", "Give the tasks of the study.")
    # 0, 1, n-1, 2, n-2, ...: neighbours differ by every amount once, and rows are shifts of it
    first = [(at + 1) // 2 if at % 2 else (n - at // 2) % n for at in range(n)]
    row = [(place + p) % n for place in first]
    if n % 2 and p // n % 2:  # for an odd n the mirrored rows balance who follows whom
        row.reverse()
    return [items[place] for place in row]
