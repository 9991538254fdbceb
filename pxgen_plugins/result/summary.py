"""What an explanation says in a few lines: PXGen's here, that of other methods in evidence.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pxgen_plugins.groups import GROUPS, INVALID
from pxgen_plugins.result.calibration_summary import FEWEST, CalibrationSummary
from pxgen_plugins.result.result import Group, Result
from pxgen_plugins.result.style import STYLES, criterion_text
from pxgen_plugins.utils.invisible import escape_invisible
from pxgen_plugins.utils.text import number, percent, percent_interval

__all__ = ["HEAD", "facts", "group_rows", "lines", "next_steps", "plain_word"]

HEAD = ("group", "", "anchors", "share", "95 % interval", "commonest labels")

_MOST = 6  # criteria, notes
_LABELS = 3
_LABEL, _WORD = 16, 60  # characters
_LITTLE = 0.001  # a share's standard deviation over calibrations that is not worth a number
_MUCH = 0.5  # share of HILE from which its cause may be the thresholds


def plain_word(value: Any, longest: int = _WORD) -> str:
    """Return a name or label as one line of visible characters, cut."""
    text = escape_invisible(str(value)[: longest + 1])
    return text if len(text) <= longest else text[: longest - 1] + "…"


def lines(title: str, pairs: list[tuple[str, str]]) -> list[str]:
    """Return a title and (name, text) pairs as aligned lines; those of one name stand below it."""
    width = max((len(name) for name, _ in pairs), default=0)
    return [title, *(f"  {name:<{width}}  {text}".rstrip() for name, text in pairs)]


def facts(meta: Mapping[str, Any], result: Result) -> list[tuple[str, str]]:
    """Return what the groups rest on, as (name, text): model, criteria, thresholds, anchors."""
    params = meta.get("params") or {}
    family = (params.get("model") or {}).get("family", "")
    pairs = [("model", plain_word(family))] if family else []
    pairs += _criteria(result)
    if result.calibration is not None:
        pairs.append(("thresholds", _origin(result.calibration)))
    if max(result.kinds.count(kind) for kind in ("intrinsic", "extrinsic")) > 1:
        pairs.append(("rule", f"{plain_word(result.rule)}: how several criteria of a kind decide"))
    pairs.append(("anchors", _anchors(result)))
    pairs.append(("intervals", f"95 %, for {result.interval_source}"))
    pairs.append(("noise", _noise(result.calibration, result.n)))
    picks = next((g.representatives for g in result.groups.values() if g.representatives), {})
    if picks and result.n:
        most = max(len(rows) for g in result.groups.values() for rows in g.representatives.values())
        names = ", ".join(plain_word(name, 24) for name in list(picks)[:_MOST])
        pairs.append(("representatives", f"at most {most} of a group by {names}"))
    pairs += [("note", plain_word(note, 200)) for note in result.notes[:_MOST]]
    return pairs


def _criteria(result: Result) -> list[tuple[str, str]]:
    named = list(zip(result.criteria, result.units, result.kinds, result.thresholds, strict=True))
    pairs = []
    for name, unit, kind, threshold in named[:_MOST]:
        limit = f"below {number(float(threshold))}" if np.isfinite(threshold) else "never"
        title = criterion_text(plain_word(name), plain_word(unit, 24))
        pairs.append((kind, f"{title}, high affinity {limit}"))
    left = len(named) - len(pairs)
    return [*pairs, ("", f"and {left:,} more criteria")] if left else pairs


def _origin(source: CalibrationSummary) -> str:
    name = plain_word(source.method)
    if source.source == "reference":
        return f"{name}, {source.n_samples:,} instances of reference data"
    if source.method == "Fixed" or not source.n_samples:
        return name
    return f"{name}, {source.n_samples:,} samples of the model x {max(source.n_repeats, 1):,}"


def _anchors(result: Result) -> str:
    parts = [f"{result.n:,}"]
    if result.labels is not None:
        parts.append(f"{len(np.unique(result.labels)):,} labels")
    if len(result.invalid):
        parts.append(f"{len(result.invalid):,} invalid, in no group (see invalid and reasons)")
    return ", ".join(parts)


def _noise(source: CalibrationSummary | None, n: int) -> str:
    if not n:
        return "unknown: there are no anchors"
    known = {} if source is None else {k: v for k, v in source.share_std.items() if v is not None}
    if not known:
        return "unknown: one calibration repeat, or none, tells nothing of another"
    if source is not None and source.has_few_repeats:
        return f"hardly known: {source.n_repeats} calibration repeats; {FEWEST} are the fewest"
    most = max(known, key=lambda name: known[name])
    if known[most] < _LITTLE:
        return "another calibration moves no share by 0.1 points (standard deviation)"
    points = number(100 * known[most], 2)
    return f"another calibration moves {most} by {points} points (standard deviation), others less"


def group_rows(result: Result) -> list[tuple[str, ...]]:
    """Return a row for each group, cells as in :data:`HEAD`; a last one where anchors are invalid.

    The last column is there only where anchors have labels.
    """
    labelled = result.labels is not None
    rows: list[tuple[str, ...]] = []
    for name in GROUPS:
        group = result.groups[name]
        interval = percent_interval(*group.share_interval)
        cells = (name, STYLES[name].words, f"{group.count:,}", percent(group.fraction), interval)
        rows.append((*cells, _labels(group)) if labelled else cells)
    if len(result.invalid):
        n = len(result.invalid)
        cells = (INVALID, "could not be scored", f"{n:,}", percent(n / result.n), "")
        rows.append((*cells, "") if labelled else cells)
    return rows


def _labels(group: Group) -> str:
    common = sorted(group.labels.items(), key=lambda pair: -pair[1])[:_LABELS]
    return ", ".join(f"{plain_word(label, _LABEL)} ({count:,})" for label, count in common)


def next_steps(result: Result) -> list[str]:
    """Return what to look at next, the most telling first."""
    counts = {name: result.groups[name].count for name in GROUPS}
    if not sum(counts.values()):  # there is nothing to draw
        reason = f", as {plain_word(result.reasons[0])}" if result.reasons else ""
        return [f"No anchor could be scored{reason}: mend the anchors."] if result.n else []
    source, steps = result.calibration, []
    sampled = source is not None and source.source == "samples" and source.n_samples > 0
    if sampled and result.n and counts["HILE"] > _MUCH * result.n:
        steps.append(
            "Over half are HILE. If the anchors have the scale of the training data, the model is "
            'blurry: compare Conformal(0.05, source="reference") on held-out data.'
        )
    if source is not None and source.noise:
        more = "reference data" if source.source == "reference" else "repeats"
        steps.append(f"{source.noise}: calibrate with more {more}.")
    steps.append("plot_groups(explanation) draws all anchors, plot_representatives(...) a few.")
    for name, plot in (("HILE", "plot_delusion"), ("LIHE", "plot_alignment")):
        if counts[name]:
            words = "sure and wrong first" if name == "HILE" else "the clearest first"
            many = (
                f"{counts[name]:,} {name} anchors, {words}"
                if counts[name] > 1
                else f"{name} anchor"
            )
            steps.append(f"{plot}(explanation) shows the {many}.")
    if result.labels is not None:
        steps.append("plot_label_shares(explanation) splits the groups by label.")
    steps.append("pxgen_plugins.result.anchor_table(explanation) has one row per anchor.")
    return steps
