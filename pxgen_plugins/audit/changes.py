"""What changed between two runs, as numbers, as JSON and as tables in Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.audit.escaping import code
from pxgen_plugins.audit.group_pairs import in_cell
from pxgen_plugins.audit.paired_shares import PairedShares
from pxgen_plugins.groups import GROUPS, INVALID
from pxgen_plugins.utils.errors import caller
from pxgen_plugins.utils.files import plain
from pxgen_plugins.utils.large_arrays import take
from pxgen_plugins.utils.text import (
    MarkdownText,
    markdown_table,
    number,
    percent,
    percent_interval,
    points,
)
from pxgen_plugins.utils.validation import choice

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["STATES", "AnchorChanges", "Changes", "ShareChange", "ThresholdShift", "finite"]

STATES = (*GROUPS, INVALID)
"""Rows and columns of the migration matrix."""

_MOST_LABELS = 10
_MOST_IDS = 5
_HEAD = ("n", "before", "after", "change in points", "interval", "calibration alone")
_SHARES = ("before", "after", "change", "low", "high", "calibration")

Integers = NDArray[np.int64]


class ThresholdShift(NamedTuple):
    """A criterion's threshold in both runs, None where it is not finite.

    ``ratio`` is after / before, None where one is missing or the first is zero.
    """

    before: float | None
    after: float | None
    ratio: float | None


@dataclass(frozen=True)
class ShareChange:
    """A share of the same n anchors in both runs.

    Attributes:
        name: Of the group, or of the label.
        n: Anchors of which the share is taken; invalid ones are among them, as in an explanation.
        before: Share before, None without anchors.
        after: Share after.
        change: After less before.
        low: Low end of the interval of the change, for other anchors and other calibrations.
        high: Its high end.
        calibration: Half the width of the interval for other calibrations alone: what part of the
            interval is the noise of the thresholds.
    """

    name: str
    n: int
    before: float | None
    after: float | None
    change: float | None
    low: float | None
    high: float | None
    calibration: float | None = None

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ShareChange:
        """Return the share that a file of changes holds."""
        shares = (finite(content[key]) for key in _SHARES)
        return cls(str(content["name"]), int(content["n"]), *shares)

    @property
    def certainty(self) -> float:
        """How far the interval of the change keeps from 0; 0 when it holds it."""
        if self.low is None or self.high is None:
            return 0.0
        return max(self.low, -self.high, 0.0)


@dataclass(frozen=True, eq=False, repr=False)
class Changes(MarkdownText):
    """How the same anchors fared under two models, as ``changes.json`` holds it.

    Attributes:
        n: Anchors compared.
        matched_by: ``"ids"`` or ``"position"``.
        confidence: Of every interval, each for itself.
        matrix: Counts, int64 (5, 5); rows are the groups before, columns after, as in ``STATES``.
        intervals: Of each cell's share of the n anchors, (5, 5, 2), for other anchors and other
            calibrations; each holds for itself. NaN without anchors.
        moved_interval: Of the share of anchors that moved, likewise; None without anchors.
        by_calibration: Expected share of anchors in another group if the second model is calibrated
            again with another seed; nothing else differs.
        paired: Whether both runs were calibrated on samples of the same seeds (common random
            numbers), so that the noise of the samples cancels in the changes.
        ways: Positions in the second run of those that moved, rising, by way as in
            ``"HIHE->HILE"``, the commonest way first.
        groups: Change of each group's share, by group.
        labels: Change of the HIHE share of each label that has ``min_label`` anchors, the surest
            first: by how far the interval keeps from 0, then by the size of the change.
        min_label: Anchors a label must have.
        n_small_labels: Labels that have fewer.
        n_relabelled: Anchors whose label differs; the second run's counts.
        thresholds: Shift of each criterion's threshold.
        ids_only_before: Ids of anchors that the second run lacks.
        ids_only_after: Ids of anchors that the first run lacks.
        calibrations: How the two calibrations are related, as a clause; empty where not known.
        notes: What readers must know before they take the changes for the model's.
    """

    n: int
    matched_by: str
    confidence: float
    matrix: Integers
    intervals: NDArray[np.float64] = field(repr=False)
    moved_interval: tuple[float, float] | None
    by_calibration: float
    paired: bool
    ways: dict[str, Integers] = field(repr=False)
    groups: dict[str, ShareChange] = field(repr=False)
    labels: tuple[ShareChange, ...] = field(repr=False)
    min_label: int
    n_small_labels: int
    n_relabelled: int
    thresholds: dict[str, ThresholdShift]
    ids_only_before: tuple[str, ...] = field(repr=False)
    ids_only_after: tuple[str, ...] = field(repr=False)
    calibrations: str = ""
    notes: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Changes:
        """Return the changes that :meth:`to_dict` gave, read from a file.

        Raises:
            KeyError: When a part is missing.
            TypeError: When one is of another type.
            ValueError: When one is of another shape.
        """
        groups = {one["name"]: ShareChange.from_dict(one) for one in content["groups"]}
        counts = ("n", "min_label", "n_small_labels", "n_relabelled")
        return Changes(
            matched_by=str(content["matched_by"]),
            confidence=float(content["confidence"]),
            matrix=np.array(content["matrix"], dtype=np.int64).reshape(len(STATES), len(STATES)),
            intervals=np.array(content["intervals"], dtype=np.float64).reshape(
                len(STATES), len(STATES), 2
            ),
            moved_interval=_pair(content["moved_interval"]),
            by_calibration=float(content["by_calibration"]),
            paired=bool(content["paired"]),
            ways={way: np.array(at, dtype=np.int64) for way, at in content["moved"].items()},
            groups={name: groups[name] for name in STATES},
            labels=tuple(map(ShareChange.from_dict, content["labels"])),
            thresholds={
                name: ThresholdShift(*(finite(shift[key]) for key in ThresholdShift._fields))
                for name, shift in content["thresholds"].items()
            },
            ids_only_before=tuple(map(str, content["ids_only_before"])),
            ids_only_after=tuple(map(str, content["ids_only_after"])),
            calibrations=str(content.get("calibrations", "")),
            notes=tuple(map(str, content.get("notes", ()))),
            **{name: int(content[name]) for name in counts},
        )

    @property
    def moved(self) -> Integers:
        """Positions in the second run of the anchors whose group changed, rising."""
        return np.sort(np.concatenate([np.empty(0, np.int64), *self.ways.values()]))

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as strict JSON holds it; anchors are named by position after."""
        content: dict[str, Any] = plain(
            {
                "n": self.n,
                "matched_by": self.matched_by,
                "confidence": self.confidence,
                "states": STATES,
                "matrix": self.matrix,
                "intervals": self.intervals,
                "moved_interval": self.moved_interval,
                "by_calibration": self.by_calibration,
                "paired": self.paired,
                "moved": self.ways,
                "groups": [asdict(one) for one in self.groups.values()],
                "labels": [asdict(one) for one in self.labels],
                "min_label": self.min_label,
                "n_small_labels": self.n_small_labels,
                "n_relabelled": self.n_relabelled,
                "thresholds": {name: one._asdict() for name, one in self.thresholds.items()},
                "ids_only_before": self.ids_only_before,
                "ids_only_after": self.ids_only_after,
                "calibrations": self.calibrations,
                "notes": self.notes,
            }
        )
        return content

    def to_markdown(self) -> str:
        """Return tables of the moves, groups, thresholds and most changed labels.

        Names of users stand in code spans, where no Markdown works.
        """
        lines = [line for note in self.notes for line in (f"**Note:** {code(note, 800)}.", "")]
        lines.append(_moves(self))
        lines += [text for text in (_missing(self), _new_labels(self)) if text]
        lines += ["", *_matrix(self), "", *_groups(self), "", *_thresholds(self)]
        lines += _labels(self)
        return "\n".join(lines) + "\n"

    def plot(self, *, ax: Axes | None = None) -> NDArray[Any]:
        """Draw where the anchors went; see :func:`pxgen_plugins.plots.plot_migration`."""
        from pxgen_plugins.plots import plot_migration

        return plot_migration(self, ax=ax)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class AnchorChanges(Changes):
    """Changes with both groups of every anchor.

    Attributes:
        index_before: Position in the first run of each anchor compared, int64 (n,).
        index_after: Position in the second run, rising, int64 (n,).
        code_before: Place in ``STATES`` of each one's group before, int8 (n,).
        code_after: The same after.
        shares: The shares under draws of both runs' thresholds.
    """

    index_before: Integers = field(repr=False)
    index_after: Integers = field(repr=False)
    code_before: NDArray[np.int8] = field(repr=False)
    code_after: NDArray[np.int8] = field(repr=False)
    shares: PairedShares = field(repr=False)

    def with_notes(self, *notes: str) -> AnchorChanges:
        """Return the changes with further notes; empty ones are left out."""
        return replace(self, notes=(*self.notes, *filter(None, notes)))

    @caller("moved_between")
    def moved_between(self, before: str, after: str) -> Integers:
        """Return the positions in the second run of those that went from one group to another.

        Args:
            before: A group, or ``"invalid"``.
            after: A group, or ``"invalid"``; the same one gives those that stayed.
        """
        start = STATES.index(choice(before, "before", STATES))
        end = STATES.index(choice(after, "after", STATES))
        return take(self.index_after, in_cell(self.code_before, self.code_after, start, end))


def _moves(changes: Changes) -> str:
    count, interval = len(changes.moved), changes.moved_interval
    if interval is None:
        return "No anchors were compared."
    share = f"{percent(count / changes.n)}, {100 * changes.confidence:.4g}% interval"
    ends = percent_interval(*interval)
    calibrations = f"; {changes.calibrations}" if changes.calibrations else ""
    return (
        f"{changes.n:,} anchors compared by {changes.matched_by}; "
        f"{count:,} changed their group ({share} {ends}). Calibrating the second model again would "
        f"move {percent(changes.by_calibration)} by itself{calibrations}."
    )


def _missing(changes: Changes) -> str:
    parts = []
    for word, ids in (("before", changes.ids_only_before), ("after", changes.ids_only_after)):
        if ids:
            named = ", ".join(code(one, 30) for one in ids[:_MOST_IDS])
            more = ", ..." if len(ids) > _MOST_IDS else ""
            parts.append(f"{len(ids):,} only {word} ({named}{more})")
    return f"Not compared: {'; '.join(parts)}." if parts else ""


def _new_labels(changes: Changes) -> str:
    n = changes.n_relabelled
    return f"{n:,} anchors have another label than before; the new one counts." if n else ""


def _matrix(changes: Changes) -> list[str]:
    matrix = changes.matrix
    states = [*GROUPS, INVALID]
    if not (matrix[-1].any() or matrix[:, -1].any()):
        states.pop()
    used = range(len(states))
    rows = [[states[i], *(f"{matrix[i, j]:,}" for j in used), f"{matrix[i].sum():,}"] for i in used]
    rows.append(["all", *(f"{matrix[:, j].sum():,}" for j in used), f"{changes.n:,}"])
    return markdown_table(["before \\ after", *states, "all"], rows, n_left=1)


def _groups(changes: Changes) -> list[str]:
    groups = {**changes.groups}
    if not (groups[INVALID].before or groups[INVALID].after):
        del groups[INVALID]
    rows = [[name, *_cells(one)] for name, one in groups.items()]
    return markdown_table(["group", *_HEAD], rows, n_left=1)


def _thresholds(changes: Changes) -> list[str]:
    rows = [[code(name), *map(number, shift)] for name, shift in changes.thresholds.items()]
    return markdown_table(["threshold", "before", "after", "ratio"], rows, n_left=1)


def _labels(changes: Changes) -> list[str]:
    if not changes.labels and not changes.n_small_labels:
        return []
    head = ["HIHE of label", *_HEAD]
    first = changes.labels[:_MOST_LABELS]
    lines = ["", *markdown_table(head, [[code(one.name), *_cells(one)] for one in first], 1)]
    more = len(changes.labels) - len(first)
    notes = [f"{more:,} labels that changed less are left out."] if more else []
    if changes.n_small_labels:
        few = f"{changes.n_small_labels:,} labels with fewer than {changes.min_label:,} anchors"
        notes.append(f"{few} are not compared.")
    notes.append("Each interval holds for its label alone, for other anchors and calibrations.")
    return [*lines, "", " ".join(notes)]


def _cells(share: ShareChange) -> list[str]:
    if share.before is None or share.after is None:
        return ["0", *["n/a"] * (len(_HEAD) - 1)]
    ends = f"{points(share.low)} to {points(share.high)}"
    shares = [percent(share.before), percent(share.after)]
    alone = "n/a" if share.calibration is None else f"± {100 * share.calibration:.1f}"
    return [f"{share.n:,}", *shares, points(share.change), ends, alone]


def _pair(ends: Any) -> tuple[float, float] | None:
    return None if ends is None else (float(ends[0]), float(ends[1]))


def finite(value: Any) -> float | None:
    """Return a number as a float, None where it is none or not finite."""
    number = math.nan if value is None else float(value)
    return number if math.isfinite(number) else None
