"""Anchors that have no group, by why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["unscored"]


def unscored(data: Mapping[str, Any], most: int = 5) -> list[tuple[str, int, int]]:
    """Return why anchors have no group: the reason, how many share it, the first one's index.

    The most common reason first.

    Args:
        data: Data of an explanation.
        most: Most reasons.

    Example:
        >>> unscored({"invalid": [3, 5, 9], "reasons": ["too long", "NaN", "too long"]})
        [('too long', 2, 3), ('NaN', 1, 5)]
    """
    found: dict[str, list[int]] = {}
    indices, reasons = data.get("invalid"), data.get("reasons")
    if indices is None or reasons is None:
        return []
    for index, why in zip(indices, reasons, strict=False):
        found.setdefault(str(why), []).append(int(index))
    rows = [(why, len(held), held[0]) for why, held in found.items()]
    return sorted(rows, key=lambda row: (-row[1], row[2]))[:most]
