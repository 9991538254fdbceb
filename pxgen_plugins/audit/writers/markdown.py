"""An audit in Markdown, short enough for the comment on a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pxgen_plugins.audit.escaping import code
from pxgen_plugins.audit.invalid import unscored
from pxgen_plugins.audit.writers.shared import STATES, interval_text, number, read, verdict
from pxgen_plugins.groups import GROUPS, INVALID
from pxgen_plugins.utils.text import markdown_table

__all__ = ["summary"]

_MOST = 50  # rows of conditions: GitHub takes comments of 65,536 characters
_MOST_ANCHORS = 10
_WORDS = {
    "failed": "failed",
    "error": "not judged: an error",
    "warning": "passed with warnings",
    "skipped": "not judged: nothing was checked",
    "passed": "passed",
}


def summary(
    data: Mapping[str, Any],
    judgements: Iterable[Mapping[str, Any]],
    name: str,
    changes: Any = None,
) -> str:
    """Return the verdict, the conditions (the worst first), the groups and what changed.

    Text from users stands in code spans, where no Markdown, HTML, link or mention works.

    Args:
        data: Data of the run's explanation.
        judgements: Dicts as ``Judgement.as_dict`` returns them.
        name: Of the audit.
        changes: What :func:`~pxgen_plugins.audit.changes.compare_runs` found, or None.

    Returns:
        GitHub Flavored Markdown that ends with a newline.

    Raises:
        ParameterError: When a judgement lacks a key or has an unknown state.

    Example:
        >>> groups = {"HIHE": {"count": 3, "fraction": 0.75, "interval": [0.3, 0.95]}}
        >>> print(summary({"group": ["HIHE"] * 3 + ["invalid"], "groups": groups}, [], "digits"))
        ## PXGen audit `digits`: not judged: nothing was checked
        <BLANKLINE>
        No conditions.
        <BLANKLINE>
        | group | anchors | share | 95% interval |
        |---|--:|--:|--:|
        | HIHE | 3 | 75.0% | 30.0% to 95.0% |
        | HILE | 0 | n/a | n/a |
        | LIHE | 0 | n/a | n/a |
        | LILE | 0 | n/a | n/a |
        | invalid | 1 | 25.0% | n/a |
        <BLANKLINE>
    """
    found = read(judgements, "summary")
    state, counts = verdict(found)
    lines = [f"## PXGen audit {code(name)}: {_WORDS[state]}", ""]
    lines += _conditions(found, counts)
    lines += ["", *_groups(data)]
    if changes is not None:
        lines += ["", "### What changed", "", changes.to_markdown().rstrip("\n")]
    return "\n".join(lines) + "\n"


def _conditions(found: list[Mapping[str, Any]], counts: Mapping[str, int]) -> list[str]:
    if not found:
        return ["No conditions."]
    said = ", ".join(f"{count:,} {state}" for state, count in counts.items())
    ordered = sorted(found, key=lambda one: STATES.index(one["state"]))
    head = ["state", "condition", "reason", "which anchors", "observed", "limit", "n"]
    lines = [f"{len(found):,} conditions: {said}.", ""]
    lines += markdown_table(head, [_row(one) for one in ordered[:_MOST]], n_left=4)
    if len(ordered) > _MOST:
        lines += ["", f"{len(ordered) - _MOST:,} more conditions are left out here."]
    return lines


def _row(one: Mapping[str, Any]) -> list[str]:
    state = one["state"]
    named = f"{code(one['name'])}: " if one.get("name") and one["name"] != one["text"] else ""
    return [
        f"**{state}**" if state in ("failed", "error") else str(state),
        named + code(one["text"], 100),
        code(one["reason"], 160) if one["reason"] else "",
        _anchors(one.get("anchors") or ()),
        interval_text(one),
        number(one["limit"]),
        number(one["n"]),
    ]


def _anchors(indices: Any) -> str:
    shown = ", ".join(f"#{int(index)}" for index in indices[:_MOST_ANCHORS])
    return f"{shown}, ..." if len(indices) > _MOST_ANCHORS else shown


def _groups(data: Mapping[str, Any]) -> list[str]:
    n = len(data["group"])
    rows = []
    for name in GROUPS:
        entry = data["groups"].get(name) or {}
        ends = entry.get("interval")
        spread = "n/a" if ends is None else f"{ends[0]:.1%} to {ends[1]:.1%}"
        rows.append([name, f"{entry.get('count') or 0:,}", _share(entry.get("fraction")), spread])
    bad = int(np.count_nonzero(np.asarray(data["group"], dtype=np.str_) == INVALID))
    if bad:
        rows.append([INVALID, f"{bad:,}", _share(bad / n), "n/a"])
    table = markdown_table(["group", "anchors", "share", "95% interval"], rows, n_left=1)
    for why, count, first in unscored(data):
        table += ["", f"Not scored: {count:,}, {code(why, 160)}, the first #{first}."]
    return table


def _share(fraction: float | None) -> str:
    return "n/a" if fraction is None else f"{fraction:.1%}"
