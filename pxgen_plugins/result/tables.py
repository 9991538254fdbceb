"""The anchors of an explanation as a table, one row each, and its Parquet file."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from pxgen_plugins.result.result import Result
from pxgen_plugins.utils.files import write_atomic

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["anchor_table", "write_parquet"]

# a criterion of one of these names, as a black box may have, stands as "criterion_<name>"
_OWN = {"index", "id", "label", "group", "group_stability", "anchor_value", "reason",
        "representative_of"}  # fmt: skip
_ROWS = 10_000  # per row group, so that readers need little memory


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
    import pyarrow as pa

    result = Result.of(explanation)
    columns: dict[str, Any] = {"index": pa.array(np.arange(result.n, dtype=np.int64))}
    for name, texts in (("id", result.ids), ("label", result.labels)):
        if texts is not None:
            columns[name] = pa.array(texts.tolist(), pa.string())
    columns["group"] = pa.array(result.group.tolist(), pa.string())
    columns["group_stability"] = _floats(result.group_stability)
    columns["anchor_value"] = _floats(result.anchor_value)
    for j, criterion in enumerate(result.criteria):
        name = f"criterion_{criterion}" if criterion in _OWN else criterion
        columns[name] = _floats(result.values[:, j])
        columns[f"{name}_high_affinity"] = pa.array(result.affinity[:, j])
        columns[f"{name}_distance"] = _floats(result.distance[:, j])
        columns[f"{name}_p_value"] = _floats(result.p_value[:, j])
    if len(result.invalid):
        reasons = dict(zip(map(int, result.invalid), result.reasons, strict=True))
        columns["reason"] = pa.array([reasons.get(i) for i in range(result.n)], pa.string())
    selectors: dict[int, list[str]] = {}
    for group in result.groups.values():
        for selector, rows in group.representatives.items():
            for row in rows.tolist():
                selectors.setdefault(row, []).append(selector)
    columns["representative_of"] = pa.array(
        [selectors.get(i, []) for i in range(result.n)], pa.list_(pa.string())
    )
    return pa.table(columns)


def write_parquet(explanation: Any, path: str | os.PathLike[str]) -> None:
    """Write :func:`anchor_table` as a Parquet file; it appears whole or not at all."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(anchor_table(explanation), buffer, row_group_size=_ROWS)
    write_atomic(path, buffer.getvalue())


def _floats(values: Any) -> pa.Array:
    import pyarrow as pa

    return pa.array(values, mask=~np.isfinite(values))
