"""The report's texts and numbers, section by section; the template escapes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.audit.changes import Changes, ShareChange
from pxgen_plugins.audit.conditions import parse
from pxgen_plugins.audit.escaping import visible
from pxgen_plugins.audit.verdicts import STATES, Judgement
from pxgen_plugins.audit.writers.markdown import invalid_by_reason
from pxgen_plugins.groups import GROUPS, INVALID
from pxgen_plugins.plots.style import STYLES
from pxgen_plugins.result import Group, Result
from pxgen_plugins.utils.errors import ParameterError
from pxgen_plugins.utils.text import number, percent, percent_interval, points

__all__ = [
    "LABEL",
    "Detail",
    "changes_section",
    "conditions_section",
    "evidence_section",
    "groups_section",
    "invalid_section",
    "labels_section",
    "provenance_section",
]

_MOST_SELECTORS, _MOST_REPRESENTATIVES = 4, 12
_MOST_WAYS, _MOST_MOVED = 4, 12
_MOST_CHANGED_LABELS = 40
_MOST_TABLES, _MOST_COLUMNS = 20, 12
_MOST_FACTS, _FACT = 100, 300
LABEL = 80
"""Longest label or id in characters."""
_BAR = 160.0  # width of the drawn interval, and of a stacked bar

_WRONG = ("failed", "error", "warning")
_DIGITS = 3  # of a number in a table


@dataclass(frozen=True)
class Detail:
    """How much of what may be long is shown.

    Attributes:
        conditions: Most conditions.
        anchors: Most anchors behind one condition.
        labels: Most labels.
        rows: Most rows of one adapter's table.
        cell: Most characters of a cell in it.
        pairs: Most pairs of a training instance and the sample that shows it.
    """

    conditions: int = 200
    anchors: int = 24
    labels: int = 200
    rows: int = 100
    cell: int = 300
    pairs: int = 24


def conditions_section(judgements: Sequence[Judgement], detail: Detail) -> dict[str, Any]:
    """Return the rows of the conditions, the worst first, each with its anchors."""
    ordered = sorted(judgements, key=lambda one: STATES.index(one.state))
    rows = []
    for one in ordered[: detail.conditions]:
        share = _is_share(one.text)
        rows.append(
            {
                "title": one.title,
                "text": one.text,
                "state": one.state,
                "observed": _value(one.observed, share),
                "low": _value(one.low, share),
                "high": _value(one.high, share),
                "limit": _value(one.limit, share),
                "n": number(one.n),
                "reason": one.reason,
                "bar": _interval_bar(one),
                "anchors": one.anchors[: detail.anchors] if one.state in _WRONG else (),
                "n_anchors": max(len(one.anchors), one.n_against),
            }
        )
    return {"rows": rows, "n_left": len(ordered) - len(rows)}


def _is_share(text: str) -> bool:
    try:
        return parse(text).measure in {"fraction", "mean"}
    except ParameterError:
        return False


def _value(value: float | None, share: bool = False) -> str:
    if value is None or not math.isfinite(value):
        return "n/a"
    if share:
        return percent(value)
    whole = float(value).is_integer()  # counts in full
    return number(int(value) if whole else value, _DIGITS)


def _interval_bar(judgement: Judgement) -> dict[str, float] | None:
    """Return where to draw the interval, the observed value and the limit, 0 to ``_BAR``."""
    observed, limit = judgement.observed, judgement.limit
    if observed is None or not (math.isfinite(observed) and math.isfinite(limit)):
        return None
    ends = [
        end if end is not None and math.isfinite(end) else observed
        for end in (judgement.low, judgement.high)
    ]
    low, high = min(*ends, observed, limit), max(*ends, observed, limit)
    if low == high:
        return None
    places = zip(("low", "high", "observed", "limit"), (*ends, observed, limit), strict=True)
    return {
        name: round(6 + (_BAR - 12) * (value - low) / (high - low), 1) for name, value in places
    }


def invalid_section(result: Result) -> list[dict[str, str]]:
    """Return why anchors have no group, each reason with its count and the first such anchor."""
    ids = result.ids
    return [
        {
            "reason": visible(reason, 200),
            "count": f"{count:,}",
            "first": f"#{first}" + ("" if ids is None else f", {visible(ids[first], 80)}"),
        }
        for reason, count, first in invalid_by_reason(result)
    ]


def intervals_note(result: Result) -> str:
    """Return what the intervals are for, and how far another calibration would move shares."""
    noise = "" if result.calibration is None else result.calibration.noise
    text = f"Intervals are at 95 %, for {result.interval_source}."
    return f"{text} {noise}." if noise else text


def groups_section(result: Result) -> list[dict[str, Any]]:
    """Return count, share and interval of each group, and its representatives by selector."""
    n = result.n
    intervals = result.shares.intervals()
    sections = []
    for k, name in enumerate((*GROUPS, INVALID)):
        count = result.counts[name]
        if name == INVALID and not count:
            continue
        group = result.groups.get(name, Group())
        sections.append(
            {
                "name": name,
                "words": STYLES[name].words if name in STYLES else "could not be scored",
                "count": f"{count:,}",
                "share": percent(count / n) if n else "n/a",
                "interval": interval_words(intervals[k]),
                "representatives": [
                    _representatives(selector, indices)
                    for selector, indices in list(group.representatives.items())[:_MOST_SELECTORS]
                ],
                "n_selectors_left": max(0, len(group.representatives) - _MOST_SELECTORS),
            }
        )
    return sections


def _representatives(selector: str, indices: NDArray[np.int64]) -> dict[str, Any]:
    first = indices[:_MOST_REPRESENTATIVES].tolist()
    return {"selector": selector, "anchors": first, "n_left": len(indices) - len(first)}


def interval_words(interval: Any) -> str:
    """Return an interval of a share in words; empty when there is none.

    Example:
        >>> interval_words([0.1, 0.25]), interval_words(None)
        ('10.0 % to 25.0 %', '')
    """
    return "" if interval is None else percent_interval(*interval)


def labels_section(result: Result, detail: Detail) -> dict[str, Any]:
    """Return the shares of every group by label, the most frequent labels in their own order."""
    if result.labels is None:
        return {"rows": [], "n_left": 0}
    names, codes = np.unique(result.labels, return_inverse=True)
    members = [result.group == name for name in (*GROUPS, INVALID)]
    counts = np.stack([np.bincount(codes[mask], minlength=len(names)) for mask in members], axis=1)
    totals = counts.sum(axis=1)
    most = np.sort(np.argsort(-totals, kind="stable")[: detail.labels])
    rows = []
    for k in most:
        n, left, shares = int(totals[k]), 0.0, []
        intervals = result.shares.intervals(codes.reshape(-1) == k)
        for j, name in enumerate((*GROUPS, INVALID)):
            count = int(counts[k, j])
            width = round(_BAR * count / n, 2)
            shares.append(
                {
                    "name": name,
                    "share": percent(count / n),
                    "interval": interval_words(intervals[j]),
                    "x": round(left, 2),
                    "width": width,
                }
            )
            left += width
        rows.append({"label": visible(names[k], LABEL), "n": f"{n:,}", "shares": shares})
    return {"rows": rows, "n_left": len(names) - len(rows)}


def changes_section(changes: Changes | None, with_picture: Set[int]) -> dict[str, Any] | None:
    """Return the migration matrix and the shifts for the template.

    Args:
        changes: Since the baseline, or None.
        with_picture: Anchors that there are pictures of; of those that moved they come first.
    """
    if changes is None:
        return None
    matrix, n = changes.matrix, changes.n
    states = [*GROUPS, INVALID]
    if not (matrix[-1].any() or matrix[:, -1].any()):
        states.pop()
    used = range(len(states))
    n_moved = n - int(np.trace(matrix))
    intervals = changes.intervals
    cells = [
        [
            {
                "count": f"{matrix[i, j]:,}",
                "share": percent(matrix[i, j] / n) if n else "n/a",
                "interval": interval_words(intervals[i, j]),
                # shades in five steps by the share of the row that went there
                "shade": math.ceil(5 * matrix[i, j] / max(1, matrix[i].sum())),
                "stayed": i == j,
            }
            for j in used
        ]
        for i in used
    ]
    groups = [
        share
        for share in changes.groups.values()
        if share.name != INVALID or share.before or share.after
    ]
    return {
        "n": f"{n:,}",
        "moved": f"{n_moved:,}",
        "moved_share": percent(n_moved / n) if n else "n/a",
        "moved_interval": interval_words(changes.moved_interval),
        "by_calibration": percent(changes.by_calibration),
        "calibrations": changes.calibrations,
        "notes": changes.notes,
        "states": states,
        "cells": cells,
        "ways": [
            {
                "name": way.replace("->", " → "),
                "count": f"{len(indices):,}",
                "anchors": sorted(indices.tolist(), key=lambda at: at not in with_picture)[
                    :_MOST_MOVED
                ],
            }
            for way, indices in list(changes.ways.items())[:_MOST_WAYS]
        ],
        "groups": [_share_row(share) for share in groups],
        "labels": [_share_row(share) for share in changes.labels[:_MOST_CHANGED_LABELS]],
        "n_labels": len(changes.labels),
        "thresholds": [
            {"name": name, **{key: _value(value) for key, value in shift._asdict().items()}}
            for name, shift in changes.thresholds.items()
        ],
        "only_before": f"{len(changes.ids_only_before):,}",
        "only_after": f"{len(changes.ids_only_after):,}",
    }


def _share_row(share: ShareChange) -> dict[str, str]:
    ends = [points(share.low), points(share.high)]
    return {
        "name": share.name,
        "n": f"{share.n:,}",
        "before": percent(share.before),
        "after": percent(share.after),
        "change": points(share.change),
        "interval": "" if "n/a" in ends else f"{ends[0]} to {ends[1]}",
        "calibration": "" if share.calibration is None else f"± {100 * share.calibration:.1f}",
    }


def evidence_section(
    tables: Sequence[tuple[str, Sequence[Any]]], detail: Detail
) -> list[dict[str, Any]]:
    """Return the tables of the adapters; the first row of each is its head."""
    sections = []
    for title, rows in tables[:_MOST_TABLES]:
        cells = [
            [visible(cell, detail.cell) for cell in list(row)[:_MOST_COLUMNS]]
            for row in rows[: detail.rows + 1]
        ]
        sections.append(
            {
                "title": str(title),
                "head": cells[0] if cells else [],
                "rows": cells[1:],
                "n_left": max(0, len(rows) - len(cells)),
            }
        )
    return sections


def provenance_section(manifest: Mapping[str, Any], result: Result) -> list[tuple[str, str]]:
    """Return what was run, as (name, value), nested names joined by a dot."""
    kept = (
        "method",
        "params",
        "source",
        "n_samples",
        "n_learning",
        "n_repeats",
        "n_invalid",
        "seed",
        "share_std",
    )
    facts = {name: getattr(result.calibration, name, None) for name in kept}
    rows = [*_flat("", manifest), *_flat("calibration", facts)]
    return [(name, value[:_FACT]) for name, value in rows[:_MOST_FACTS]]


def _flat(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [
            row
            for key, inner in value.items()
            for row in _flat(f"{name}.{key}" if name else str(key), inner)
        ]
    if isinstance(value, (list, tuple)):
        value = ", ".join(map(str, value))
    return [] if value is None else [(name, "; ".join(str(value).splitlines()))]
