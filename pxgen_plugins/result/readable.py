"""Alibi's Explanation with a summary, HTML for notebooks, and an equality that knows arrays."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from pxgen_plugins import host
from pxgen_plugins.result.evidence import evidence_facts
from pxgen_plugins.result.notebook import evidence_card, groups_card
from pxgen_plugins.result.result import Result
from pxgen_plugins.result.summary import HEAD, facts, group_rows, lines, next_steps, plain_word
from pxgen_plugins.utils.errors import ParameterError

__all__ = ["Explanation"]


class Explanation(host.Explanation):
    """Alibi's explanation: ``meta`` and ``data``, whose keys are attributes too.

    It adds :meth:`summary`, which ``print`` shows, and the same as HTML in a notebook. ``repr`` is
    Alibi's, of everything that is inside.

    Example:
        >>> one = Explanation(meta={"name": "Saliency"}, data={"attributions": np.zeros((2, 3))})
        >>> print(one)
        Explanation by Saliency
          attributions  2 x 3, 0 to 0
        >>> one == Explanation.from_json(one.to_json())
        True
    """

    def summary(self) -> str:
        """Return what was explained and what came out, in a few lines."""
        title = _title(self.meta)
        result = _groups(self.data)
        if result is None:
            return "\n".join(lines(title, evidence_facts(self.meta, self.data)))
        head = HEAD if result.labels is not None else HEAD[:-1]
        rows = [head, *group_rows(result)]
        return "\n".join(
            [
                *lines(title, facts(self.meta, result)),
                "",
                *_aligned(rows),
                "",
                *(textwrap.fill(f"Next: {step}", 100) for step in next_steps(result)),
            ]
        )

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        result = _groups(self.data)
        if result is None:
            return evidence_card(_title(self.meta), self.meta, self.data)
        return groups_card(_title(self.meta), self.meta, result)

    def __eq__(self, other: object) -> bool:
        """Return whether both hold the same, arrays and lists of the same values included."""
        if not isinstance(other, host.Explanation):
            return NotImplemented
        return _same(self.meta, other.meta) and _same(self.data, other.data)


def _title(meta: Mapping[str, Any]) -> str:
    return f"Explanation by {plain_word(meta.get('name') or 'an unknown method')}"


def _groups(data: Mapping[str, Any]) -> Result | None:
    """Return PXGen's result where the data hold one."""
    try:
        return Result.of(data)
    except ParameterError:
        return None


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Return rows as lines: words to the left, counts and shares to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            f"{cell:>{width}}" if column in (2, 3) else f"{cell:<{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping):
        return (
            isinstance(other, Mapping)
            and one.keys() == other.keys()
            and all(_same(value, other[key]) for key, value in one.items())
        )
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        nan = one.dtype.kind == other.dtype.kind == "f"
        return bool(np.array_equal(one, other, equal_nan=nan))
    one, other = _as_list(one), _as_list(other)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _as_list(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value
