"""The anchors of an explanation as a table, one row each, and its Parquet file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from pxgen_plugins.result.result import Result
from pxgen_plugins.utils.files import open_atomic
from pxgen_plugins.utils.large_arrays import give_back

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["anchor_table", "write_parquet"]

# a criterion of one of these names, as a black box may have, stands as "criterion_<name>"
_OWN = {"index", "id", "label", "group", "group_stability", "anchor_value", "reason",
        "representative_of"}  # fmt: skip
_ROWS = 10_000  # per row group, so that readers need little memory
_PIECE = 10 * _ROWS  # that are in memory as a table at once


def anchor_table(explanation: Any) -> pa.Table:
    """Return one row per anchor: what was measured of it and where it belongs.

    Columns: ``index``, ``id`` and ``label`` (where known), ``group``, ``group_stability``,
    ``anchor_value``, and for every criterion its value (under the criterion's name),
    ``<name>_high_affinity``, ``<name>_distance`` and ``<name>_p_value``; ``representative_of``
    names the selectors that picked the anchor. Where anchors are in no group, ``reason`` says why.
    A number that is not finite is null.

    Args:
        explanation: As PXGen returns it, or read back from JSON, or a Result.

    Returns:
        A pyarrow table of n rows. Cost: O(n m).
    """
    result = Result.of(explanation)
    return _table(result, 0, result.n)


def write_parquet(explanation: Any, path: str | os.PathLike[str]) -> None:
    """Write :func:`anchor_table` as a Parquet file; it appears whole or not at all.

    The table is made and written in pieces of 100,000 anchors: with all of them it would take as
    much memory as the explanation itself.

    Args:
        explanation: As for :func:`anchor_table`.
        path: The file.

    Raises:
        OSError: When it cannot be written; nothing is left behind then.
    """
    import pyarrow.parquet as pq

    result = Result.of(explanation)
    with (
        open_atomic(path) as file,
        pq.ParquetWriter(file, _table(result, 0, 0).schema) as writer,
    ):
        for low in range(0, max(result.n, 1), _PIECE):
            piece = _table(result, low, min(low + _PIECE, result.n))
            writer.write_table(piece, row_group_size=_ROWS)
            give_back()


def _table(result: Result, low: int, high: int) -> pa.Table:
    """Return the rows of some anchors, one after the other."""
    import pyarrow as pa

    rows = slice(low, high)
    columns: dict[str, Any] = {"index": pa.array(np.arange(low, high, dtype=np.int64))}
    for name, texts in (("id", result.ids), ("label", result.labels)):
        if texts is not None:
            columns[name] = pa.array(texts[rows].tolist(), pa.string())
    columns["group"] = pa.array(result.group[rows].tolist(), pa.string())
    columns["group_stability"] = _floats(result.group_stability[rows])
    columns["anchor_value"] = _floats(result.anchor_value[rows])
    for j, criterion in enumerate(result.criteria):
        name = f"criterion_{criterion}" if criterion in _OWN else criterion
        columns[name] = _floats(result.values[rows, j])
        columns[f"{name}_high_affinity"] = pa.array(result.affinity[rows, j])
        columns[f"{name}_distance"] = _floats(result.distance[rows, j])
        columns[f"{name}_p_value"] = _floats(result.p_value[rows, j])
    if len(result.invalid):
        here = np.flatnonzero((result.invalid >= low) & (result.invalid < high)).tolist()
        reasons = {int(result.invalid[k]): result.reasons[k] for k in here}
        columns["reason"] = pa.array([reasons.get(i) for i in range(low, high)], pa.string())
    selectors: dict[int, list[str]] = {}
    for group in result.groups.values():
        for selector, picked in group.representatives.items():
            for row in picked.tolist():
                selectors.setdefault(row, []).append(selector)
    columns["representative_of"] = pa.array(
        [selectors.get(i, []) for i in range(low, high)], pa.list_(pa.string())
    )
    return pa.table(columns)


def _floats(values: Any) -> pa.Array:
    import pyarrow as pa

    return pa.array(values, mask=~np.isfinite(values))
