"""What changed between two runs, as Markdown."""

from __future__ import annotations

from typing import Any

from pxgen_plugins.audit.escaping import code
from pxgen_plugins.groups import GROUPS, INVALID, wilson_interval
from pxgen_plugins.utils.text import markdown_table

__all__ = ["markdown"]

_MOST_LABELS = 10
_MOST_IDS = 5
_HEAD = ("n", "before", "after", "change in points", "interval")


def markdown(changes: Any) -> str:
    """Return the tables of a :class:`~pxgen_plugins.audit.changes.Changes`; names are inert."""
    lines = [_moved(changes)]
    lines += [text for text in (_unmatched(changes), _relabelled(changes)) if text]
    lines += ["", *_matrix(changes), "", *_groups(changes), "", *_thresholds(changes)]
    lines += _labels(changes)
    return "\n".join(lines) + "\n"


def _moved(changes: Any) -> str:
    count = len(changes.moved)
    interval = wilson_interval(count, changes.n, changes.confidence)
    if interval is None:
        return "No anchors were compared."
    share = f"{count / changes.n:.1%}, {100 * changes.confidence:.4g}% interval"
    ends = f"{interval[0]:.1%} to {interval[1]:.1%}"
    return (
        f"{changes.n:,} anchors compared by {changes.matched_by}; "
        f"{count:,} changed their group ({share} {ends})."
    )


def _unmatched(changes: Any) -> str:
    parts = []
    for word, ids in (("before", changes.ids_only_before), ("after", changes.ids_only_after)):
        if ids:
            named = ", ".join(code(one, 30) for one in ids[:_MOST_IDS])
            more = ", ..." if len(ids) > _MOST_IDS else ""
            parts.append(f"{len(ids):,} only {word} ({named}{more})")
    return f"Not compared: {'; '.join(parts)}." if parts else ""


def _relabelled(changes: Any) -> str:
    n = changes.n_relabelled
    return f"{n:,} anchors have another label than before; the new one counts." if n else ""


def _matrix(changes: Any) -> list[str]:
    matrix = changes.matrix
    states = [*GROUPS, INVALID]
    if not (matrix[-1].any() or matrix[:, -1].any()):
        states.pop()
    used = range(len(states))
    rows = [[states[i], *(f"{matrix[i, j]:,}" for j in used), f"{matrix[i].sum():,}"] for i in used]
    rows.append(["all", *(f"{matrix[:, j].sum():,}" for j in used), f"{changes.n:,}"])
    return markdown_table(["before \\ after", *states, "all"], rows, n_left=1)


def _groups(changes: Any) -> list[str]:
    shown = {**changes.groups}
    if not (shown[INVALID].before or shown[INVALID].after):
        del shown[INVALID]
    rows = [[name, *_cells(one)] for name, one in shown.items()]
    return markdown_table(["group", *_HEAD], rows, n_left=1)


def _thresholds(changes: Any) -> list[str]:
    rows = [[code(name), *map(_number, shift)] for name, shift in changes.thresholds.items()]
    return markdown_table(["threshold", "before", "after", "ratio"], rows, n_left=1)


def _labels(changes: Any) -> list[str]:
    if not changes.labels and not changes.n_small_labels:
        return []
    head = ["HIHE of label", *_HEAD]
    shown = changes.labels[:_MOST_LABELS]
    lines = ["", *markdown_table(head, [[code(one.name), *_cells(one)] for one in shown], 1)]
    more = len(changes.labels) - len(shown)
    notes = [f"{more:,} labels that changed less are left out."] if more else []
    if changes.n_small_labels:
        few = f"{changes.n_small_labels:,} labels with fewer than {changes.min_label:,} anchors"
        notes.append(f"{few} are not compared.")
    notes.append("Each interval holds for its label alone.")
    return [*lines, "", " ".join(notes)]


def _cells(one: Any) -> list[str]:
    if one.change is None:
        return ["0", "n/a", "n/a", "n/a", "n/a"]
    ends = f"{100 * one.low:+.1f} to {100 * one.high:+.1f}"
    return [f"{one.n:,}", f"{one.before:.1%}", f"{one.after:.1%}", _points(one.change), ends]


def _points(change: float) -> str:
    return f"{100 * change:+.1f}"


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4g}"
