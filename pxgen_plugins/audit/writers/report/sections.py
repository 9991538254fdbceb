"""What the template shows besides pictures: numbers and words, none of them escaped yet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.audit.conditions import parse
from pxgen_plugins.audit.escaping import visible
from pxgen_plugins.audit.invalid import unscored
from pxgen_plugins.audit.writers.shared import STATES, title
from pxgen_plugins.groups import GROUPS, INVALID, wilson_interval
from pxgen_plugins.plots.style import STYLES
from pxgen_plugins.utils.errors import ParameterError
from pxgen_plugins.utils.text import number, percent

__all__ = [
    "LABEL",
    "Detail",
    "changes_section",
    "conditions_section",
    "evidence_section",
    "groups_section",
    "labels_section",
    "provenance_section",
]

_MOST_SELECTORS, _MOST_REPRESENTATIVES = 4, 12
_MOST_MOVED = 12
_MOST_CHANGED_LABELS = 40
_MOST_TABLES, _MOST_COLUMNS = 20, 12
_MOST_FACTS, _FACT = 100, 300
LABEL = 80
"""Longest label or id in characters."""
_BAR = 160.0  # width of the drawn interval, and of a stacked bar

_STATE_WORDS = {
    "failed": "failed",
    "error": "error",
    "warning": "warning",
    "skipped": "skipped",
    "passed": "passed",
}
_WRONG = ("failed", "error", "warning")


@dataclass(frozen=True)
class Detail:
    """How much of what may be long is shown.

    Attributes:
        conditions: Most conditions.
        anchors: Most anchors behind one condition.
        labels: Most labels.
        rows: Most rows of one adapter's table.
        cell: Most characters of a cell in it.
    """

    conditions: int = 200
    anchors: int = 24
    labels: int = 200
    rows: int = 100
    cell: int = 300


def conditions_section(judgements: Sequence[Mapping[str, Any]], detail: Detail) -> dict[str, Any]:
    """Return the rows of the conditions, the worst first, each with its anchors."""
    ordered = sorted(judgements, key=lambda one: STATES.index(one["state"]))
    rows = []
    for one in ordered[: detail.conditions]:
        share = _is_share(one["text"])
        anchors = [int(index) for index in one.get("anchors") or ()]
        rows.append(
            {
                "title": title(one),
                "text": one["text"],
                "state": one["state"],
                "word": _STATE_WORDS[one["state"]],
                "severity": one["severity"],
                "observed": _value(one["observed"], share),
                "low": _value(one.get("low"), share),
                "high": _value(one.get("high"), share),
                "limit": _limit(one, share),
                "n": _count(one["n"]),
                "reason": one["reason"] or "",
                "bar": _interval_bar(one),
                "anchors": anchors[: detail.anchors] if one["state"] in _WRONG else [],
                "n_anchors": max(len(anchors), int(one.get("n_against") or 0)),
            }
        )
    return {"rows": rows, "n_left": len(ordered) - len(rows)}


def _is_share(text: str) -> bool:
    try:
        return parse(text).measure in {"fraction", "mean"}
    except ParameterError:
        return False


def _value(value: Any, share: bool) -> str:
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return "n/a"
    if isinstance(value, int) and not share:
        return f"{value:,}"
    return percent(value) if share else number(value, 3)


def _limit(one: Mapping[str, Any], share: bool) -> str:
    limit = one["limit"]
    whole = isinstance(one["observed"], int) and float(limit).is_integer()
    return _value(int(limit) if whole else limit, share)


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else "n/a"


def _interval_bar(one: Mapping[str, Any]) -> dict[str, float] | None:
    """Return where to draw the interval, the observed value and the limit, 0 to ``_BAR``."""
    observed, limit = one["observed"], one["limit"]
    ends = [one.get("low"), one.get("high"), observed, limit]
    finite = [float(end) for end in ends if isinstance(end, (int, float)) and math.isfinite(end)]
    if observed is None or limit is None or len(finite) < 2 or min(finite) == max(finite):
        return None
    if not (math.isfinite(observed) and math.isfinite(limit)):
        return None
    low, high = min(finite), max(finite)

    def place(value: Any) -> float:
        given = isinstance(value, (int, float)) and math.isfinite(value)
        share = (float(value if given else observed) - low) / (high - low)
        return round(6 + (_BAR - 12) * share, 1)

    return {
        "low": place(one.get("low")),
        "high": place(one.get("high")),
        "observed": place(observed),
        "limit": place(limit),
    }


def unscored_section(data: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return why anchors have no group, each reason with its count and the first such anchor."""
    ids = data.get("ids")
    return [
        {
            "why": visible(why, 200),
            "count": f"{count:,}",
            "first": f"#{first}" + ("" if ids is None else f", {visible(ids[first], 80)}"),
        }
        for why, count, first in unscored(data)
    ]


def groups_section(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return count, share and interval of each group, and its representatives by selector."""
    group = np.asarray(data["group"])
    n = len(group)
    found = []
    for name in (*GROUPS, INVALID):
        count = int((group == name).sum())
        if name == INVALID and not count:
            continue
        held = (data.get("groups") or {}).get(name) or {}
        representatives = held.get("representatives") or {}
        found.append(
            {
                "name": name,
                "words": STYLES[name].words if name in STYLES else "could not be scored",
                "count": f"{count:,}",
                "share": percent(count / n) if n else "n/a",
                "interval": interval_words(held.get("interval") or wilson_interval(count, n)),
                "bootstrap": interval_words(held.get("bootstrap")),
                "representatives": [
                    _picked(str(selector), np.asarray(picked).reshape(-1))
                    for selector, picked in list(representatives.items())[:_MOST_SELECTORS]
                ],
                "n_selectors_left": max(0, len(representatives) - _MOST_SELECTORS),
            }
        )
    return found


def _picked(selector: str, picked: NDArray[np.int64]) -> dict[str, Any]:
    shown = [int(index) for index in picked[:_MOST_REPRESENTATIVES]]
    return {"selector": selector, "anchors": shown, "n_left": len(picked) - len(shown)}


def interval_words(interval: Any) -> str:
    """Return an interval of a share in words; empty when there is none.

    Example:
        >>> interval_words([0.1, 0.25]), interval_words(None)
        ('10.0 % to 25.0 %', '')
    """
    if interval is None or any(end is None or not math.isfinite(end) for end in interval):
        return ""
    return f"{percent(interval[0])} to {percent(interval[1])}"


def labels_section(data: Mapping[str, Any], detail: Detail) -> dict[str, Any]:
    """Return the shares of every group by label, the most frequent labels in their own order."""
    if data.get("labels") is None:
        return {"rows": [], "n_left": 0}
    names, codes = np.unique(np.asarray(data["labels"]), return_inverse=True)
    group = np.asarray(data["group"])
    counts = np.stack(
        [np.bincount(codes[group == name], minlength=len(names)) for name in (*GROUPS, INVALID)],
        axis=1,
    )
    totals = counts.sum(axis=1)
    most = np.sort(np.argsort(-totals, kind="stable")[: detail.labels])
    rows = []
    for k in most:
        n, left, shares = int(totals[k]), 0.0, []
        for j, name in enumerate((*GROUPS, INVALID)):
            count = int(counts[k, j])
            width = round(_BAR * count / n, 2)
            shares.append(
                {
                    "name": name,
                    "share": percent(count / n),
                    "interval": interval_words(wilson_interval(count, n)),
                    "x": round(left, 2),
                    "width": width,
                }
            )
            left += width
        rows.append({"label": visible(names[k], LABEL), "n": f"{n:,}", "shares": shares})
    return {"rows": rows, "n_left": len(names) - len(rows)}


def changes_section(changes: Mapping[str, Any] | None, pictured: Set[int]) -> dict[str, Any] | None:
    """Return the migration matrix and the shifts for the template.

    Args:
        changes: ``Changes.to_dict()``, or None.
        pictured: Anchors that there are pictures of; of those that moved they are shown first.
    """
    if changes is None:
        return None
    matrix = np.asarray(changes["matrix"], dtype=np.int64)
    states = [*GROUPS, INVALID]
    if not (matrix[-1].any() or matrix[:, -1].any()):
        states.pop()
    used = range(len(states))
    n = int(changes["n"])
    moved = n - int(np.trace(matrix))
    intervals = changes.get("intervals")
    cells = [
        [
            {
                "count": f"{int(matrix[i, j]):,}",
                "share": percent(matrix[i, j] / n) if n else "n/a",
                "interval": interval_words(intervals[i][j]) if intervals is not None else "",
                # shades in five steps by the share of the row that went there
                "shade": math.ceil(5 * matrix[i, j] / max(1, matrix[i].sum())),
                "stayed": i == j,
            }
            for j in used
        ]
        for i in used
    ]
    ways = sorted((changes.get("moved") or {}).items(), key=lambda item: -len(item[1]))
    return {
        "n": f"{n:,}",
        "moved": f"{moved:,}",
        "moved_share": percent(moved / n) if n else "n/a",
        "moved_interval": interval_words(wilson_interval(moved, n)),
        "states": states,
        "cells": cells,
        "ways": [
            {
                "name": way.replace("->", " → "),
                "count": f"{len(indices):,}",
                "anchors": sorted(map(int, indices), key=lambda index: index not in pictured)[
                    :_MOST_MOVED
                ],
            }
            for way, indices in ways[:4]
        ],
        "groups": [
            _share_row(one)
            for one in _listed(changes.get("groups"))
            if one["name"] != INVALID or one["before"] or one["after"]
        ],
        "labels": [_share_row(one) for one in _listed(changes.get("labels"))][
            :_MOST_CHANGED_LABELS
        ],
        "n_labels": len(_listed(changes.get("labels"))),
        "thresholds": [
            {
                "name": name,
                "before": _value(one["before"], False),
                "after": _value(one["after"], False),
                "ratio": _value(one["ratio"], False),
            }
            for name, one in (changes.get("thresholds") or {}).items()
        ],
        "only_before": f"{len(changes.get('ids_only_before') or ()):,}",
        "only_after": f"{len(changes.get('ids_only_after') or ()):,}",
    }


def _listed(rows: Any) -> list[Mapping[str, Any]]:
    return list(rows.values()) if isinstance(rows, Mapping) else list(rows or ())


def _share_row(one: Mapping[str, Any]) -> dict[str, str]:
    ends = [_points(one.get(key)) for key in ("low", "high")]
    return {
        "name": one["name"],
        "n": f"{int(one['n']):,}",
        "before": percent(one["before"]),
        "after": percent(one["after"]),
        "change": _points(one["change"]),
        "interval": "" if "n/a" in ends else f"{ends[0]} to {ends[1]}",
    }


def _points(change: Any) -> str:
    if change is None or not math.isfinite(change):
        return "n/a"
    return f"{100 * change:+.1f}"


def evidence_section(evidence: Sequence[tuple[str, Any]], detail: Detail) -> list[dict[str, Any]]:
    """Return the tables of the adapters; the first row of each is its head."""
    tables = []
    for title_, rows in evidence[:_MOST_TABLES]:
        listed = [[row] if isinstance(row, str) else list(row) for row in rows]
        shown = [
            [visible(cell, detail.cell) for cell in row[:_MOST_COLUMNS]]
            for row in listed[: detail.rows + 1]
        ]
        tables.append(
            {
                "title": str(title_),
                "head": shown[0] if shown else [],
                "rows": shown[1:],
                "n_left": max(0, len(listed) - len(shown)),
            }
        )
    return tables


def provenance_section(
    manifest: Mapping[str, Any], data: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Return what was run, as (name, value), nested names joined by a dot."""
    calibration = data.get("calibration") or {}
    kept = ("method", "params", "n_samples", "n_repeats", "n_invalid", "seed")
    told = {key: calibration[key] for key in kept if calibration.get(key) is not None}
    rows = [*_flat("", manifest), *_flat("calibration", told)]
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
