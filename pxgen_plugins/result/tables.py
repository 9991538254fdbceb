"""The anchors of an explanation as a table, one row each, and its Parquet file."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from pxgen_plugins.utils.files import write_atomic

if TYPE_CHECKING:
    import pyarrow as pa
    from alibi.api.interfaces import Explanation

__all__ = ["anchor_table", "write_parquet"]

# a criterion of one of these names, as a black box may have, stands as "criterion_<name>"
_OWN = {"index", "id", "label", "group", "group_stability", "anchor_value", "reason",
        "representative_of"}  # fmt: skip
_ROWS = 10_000  # per row group, so that readers need little memory


def anchor_table(explanation: Explanation) -> pa.Table:
    """Return one row per anchor: what was measured of it and where it belongs.

    Columns: ``index``, ``id`` and ``label`` (where known), ``group``, ``group_stability``,
    ``anchor_value``, and for every criterion its value (under the criterion's name),
    ``<name>_high_affinity``, ``<name>_distance`` and ``<name>_p_value``; ``representative_of``
    names the selectors that picked the anchor. Where anchors are in no group, ``reason`` says why.
    A number that is not finite is null.

    Args:
        explanation: As PXGen returns it, or read back from JSON.

    Returns:
        A pyarrow table of n rows. Cost: O(n m).
    """
    import pyarrow as pa

    n = len(explanation.group)
    columns: dict[str, Any] = {"index": pa.array(np.arange(n, dtype=np.int64))}
    for name, values in (("id", explanation.ids), ("label", explanation.labels)):
        if values is not None:
            columns[name] = pa.array([str(value) for value in values], pa.string())
    columns["group"] = pa.array([str(g) for g in explanation.group], pa.string())
    columns["group_stability"] = _floats(explanation.group_stability)
    columns["anchor_value"] = _floats(explanation.anchor_value)
    m = len(explanation.criteria)
    affinity = np.asarray(explanation.affinity, dtype=bool).reshape(n, m)
    for j, criterion in enumerate(explanation.criteria):
        name = f"criterion_{criterion}" if criterion in _OWN else criterion
        columns[name] = _floats(_table(explanation.values, n, m)[:, j])
        columns[f"{name}_high_affinity"] = pa.array(affinity[:, j])
        columns[f"{name}_distance"] = _floats(_table(explanation.distance, n, m)[:, j])
        columns[f"{name}_p_value"] = _floats(_table(explanation.p_value, n, m)[:, j])
    if len(explanation.invalid):
        reasons = dict(zip(map(int, explanation.invalid), explanation.reasons, strict=True))
        columns["reason"] = pa.array([reasons.get(i) for i in range(n)], pa.string())
    picked: dict[int, list[str]] = {}
    for group in explanation.groups.values():
        for selector, indices in group["representatives"].items():
            for index in indices:
                picked.setdefault(int(index), []).append(selector)
    columns["representative_of"] = pa.array(
        [picked.get(i, []) for i in range(n)], pa.list_(pa.string())
    )
    return pa.table(columns)


def write_parquet(explanation: Explanation, path: str | os.PathLike[str]) -> None:
    """Write :func:`anchor_table` as a Parquet file; it appears whole or not at all."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(anchor_table(explanation), buffer, row_group_size=_ROWS)
    write_atomic(path, buffer.getvalue())


def _table(values: Any, n: int, m: int) -> Any:
    return np.asarray(values, dtype=np.float64).reshape(n, m)


def _floats(values: Any) -> pa.Array:
    import pyarrow as pa

    numbers = np.asarray(values, dtype=np.float64)
    return pa.array(numbers, mask=~np.isfinite(numbers))
