"""summary.md: an audit in Markdown, short enough for the comment on a pull request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pxgen_plugins.audit.changes import Changes
from pxgen_plugins.audit.escaping import Ids, anchor_name, code
from pxgen_plugins.audit.run_folder import NO_EVIDENCE, Evidence, Run
from pxgen_plugins.audit.verdicts import NO_CONDITIONS, STATES, Judgement, overall_verdict
from pxgen_plugins.audit.writers.base import Writer, register
from pxgen_plugins.groups import GROUPS, INVALID
from pxgen_plugins.result import Result
from pxgen_plugins.utils.files import write_atomic
from pxgen_plugins.utils.text import markdown_table, number, percent, percent_interval

if TYPE_CHECKING:
    from pxgen_plugins.evaluation import Copies

__all__ = ["invalid_by_reason", "summary"]

_MOST = 50  # rows of conditions: GitHub takes comments of 65,536 characters
_MOST_ANCHORS = 10
_WORDS = {
    "failed": "failed",
    "error": "not judged: an error",
    "warning": "passed with warnings",
    "skipped": "not judged: nothing was checked",
    "passed": "passed",
}


@register("markdown")
class MarkdownWriter(Writer):
    """A summary for a pull request."""

    files = ("summary.md",)

    def write(self, folder: Path, run: Run) -> None:
        """Write ``summary.md``."""
        parts = run.changes, run.copies, run.evidence
        text = summary(run.result, run.judgements, run.manifest["name"], *parts)
        write_atomic(folder / "summary.md", text.encode())


def summary(
    result: Result,
    judgements: Sequence[Judgement],
    name: str,
    changes: Changes | None = None,
    copies: Copies | None = None,
    evidence: Evidence = NO_EVIDENCE,
) -> str:
    """Return the verdict, the conditions (the worst first), the groups and what changed.

    Text from users stands in code spans, where no Markdown, HTML, link or mention works.

    Args:
        result: Of the run.
        judgements: Of the conditions.
        name: Of the audit.
        changes: From :func:`~pxgen_plugins.audit.compare_runs`, or None.
        copies: What the search for training data found, or None.
        evidence: Of other methods; those that did not run are named.

    Returns:
        GitHub Flavored Markdown that ends with a newline.

    Example:
        >>> result = Result.of({
        ...     "criteria": ["kld"], "kinds": ["intrinsic"], "thresholds": {"kld": 20.0},
        ...     "values": [[1.0], [2.0], [3.0], [None]], "group": ["HIHE"] * 3 + ["invalid"],
        ...     "groups": {"HIHE": {"count": 3, "fraction": 0.75, "interval": [0.3, 0.95]}},
        ... })
        >>> print(summary(result, [], "digits"))
        ## PXGen audit `digits`: not judged: nothing was checked
        <BLANKLINE>
        Nothing was judged: the settings have no conditions.
        <BLANKLINE>
        | group | anchors | share | 95% interval |
        |---|--:|--:|--:|
        | HIHE | 3 | 75.0 % | 30.0 % to 95.0 % |
        | HILE | 0 | n/a | n/a |
        | LIHE | 0 | n/a | n/a |
        | LILE | 0 | n/a | n/a |
        | invalid | 1 | 25.0 % | n/a |
        <BLANKLINE>
    """
    state, counts = overall_verdict(judgements)
    lines = [f"## PXGen audit {code(name)}: {_WORDS[state]}", ""]
    lines += _conditions(judgements, counts, result.ids)
    lines += ["", *_groups(result)]
    if result.calibration is not None and result.calibration.noise:
        lines += ["", result.calibration.noise + "."]
    if changes is not None:
        lines += ["", "### What changed", "", changes.to_markdown().rstrip("\n")]
    if copies is not None:
        lines += ["", "### Copies of training data", "", copies.sentence()]
        head, *rows = copies.measures()
        shown = [[code(row[0], 100), *row[1:]] for row in rows]  # names of criteria are the user's
        lines += ["", *markdown_table(head, shown, n_left=1)]
        lines += [line for note in copies.notes for line in ("", f"Note: {code(note, 400)}")]
    for method, why in evidence.not_run:
        lines += ["", f"Method not run: {code(method, 80)}: {code(why, 400)}"]
    return "\n".join(lines) + "\n"


def invalid_by_reason(result: Result, most: int = 5) -> list[tuple[str, int, int]]:
    """Count invalid anchors by reason.

    Args:
        result: Of the run.
        most: Most reasons.

    Returns:
        For each reason, the commonest first: the reason, the number of anchors, the first's index.
    """
    anchors: dict[str, list[int]] = {}
    for index, reason in zip(result.invalid.tolist(), result.reasons, strict=False):
        anchors.setdefault(reason, []).append(index)
    rows = [(reason, len(among), among[0]) for reason, among in anchors.items()]
    return sorted(rows, key=lambda row: (-row[1], row[2]))[:most]


def _conditions(
    judgements: Sequence[Judgement], counts: Mapping[str, int], ids: Ids | None
) -> list[str]:
    if not judgements:
        return [NO_CONDITIONS.capitalize() + "."]
    states = ", ".join(f"{count:,} {state}" for state, count in counts.items())
    ordered = sorted(judgements, key=lambda one: STATES.index(one.state))
    head = ["state", "condition", "reason", "which anchors", "observed", "limit", "n"]
    lines = [f"{len(judgements):,} conditions: {states}.", ""]
    lines += markdown_table(head, [_row(one, ids) for one in ordered[:_MOST]], n_left=4)
    if len(ordered) > _MOST:
        lines += ["", f"{len(ordered) - _MOST:,} more conditions are left out here."]
    return lines


def _row(judgement: Judgement, ids: Ids | None) -> list[str]:
    state, name = judgement.state, judgement.name
    return [
        f"**{state}**" if state in ("failed", "error") else state,
        (f"{code(name)}: " if name not in ("", judgement.text) else "") + code(judgement.text, 100),
        code(judgement.reason, 160) if judgement.reason else "",
        _anchors(judgement.anchors, ids),
        judgement.observed_text,
        number(judgement.limit, 6),
        number(judgement.n),
    ]


def _anchors(indices: Sequence[int], ids: Ids | None) -> str:
    # in code, as a bare #12 links an issue
    listed = ", ".join(code(anchor_name(at, ids), 60) for at in indices[:_MOST_ANCHORS])
    return f"{listed}, ..." if len(indices) > _MOST_ANCHORS else listed


def _groups(result: Result) -> list[str]:
    rows = []
    for name in GROUPS:
        group = result.groups[name]
        low, high = group.share_interval
        interval = percent_interval(low, high) or "n/a"
        rows.append([name, f"{group.count:,}", percent(group.fraction), interval])
    n_invalid = result.counts[INVALID]
    if n_invalid:
        rows.append([INVALID, f"{n_invalid:,}", percent(n_invalid / result.n), "n/a"])
    table = markdown_table(["group", "anchors", "share", "95% interval"], rows, n_left=1)
    if result.calibration is not None:
        table += ["", f"Intervals: for {result.calibration.interval_source}."]
    for reason, count, first in invalid_by_reason(result):
        name = code(anchor_name(first, result.ids))
        table += ["", f"Not scored: {count:,}, {code(reason, 160)}, the first {name}."]
    for note in result.notes:
        table += ["", f"Note: {code(note, 400)}."]
    return table
