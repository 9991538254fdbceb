"""One typed object for what an explanation holds; everything that reads one reads this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.groups import GROUPS, INVALID, DrawnCodes, GroupShares, codes_of, foremost
from pxgen_plugins.result._entries import (
    Floats,
    Indices,
    Texts,
    as_float,
    as_floats,
    as_indices,
    as_texts,
)
from pxgen_plugins.result.calibration_summary import CalibrationSummary
from pxgen_plugins.utils.errors import ParameterError
from pxgen_plugins.utils.large_arrays import from_blocks
from pxgen_plugins.utils.validation import choice

__all__ = ["Examples", "Group", "Result"]

Interval = list[float]

_NEEDED = ("criteria", "kinds", "values", "thresholds", "group", "groups")


@dataclass(frozen=True, eq=False)
class Group:
    """One of the four groups.

    Attributes:
        count: Number of anchors.
        fraction: Share of the anchor set; None for an empty set.
        interval: 95% interval of the share, for other anchors and another calibration
            (:class:`pxgen_plugins.groups.GroupShares`); for other anchors alone where there are
            fewer than two repeats. None for an empty set.
        indices: The members, (count,).
        statistics: Median, mean, std, min and max by criterion.
        labels: How often each label occurs.
        representatives: Indices of anchors by selector.
        selection: Objective and lower bound by selector.
    """

    count: int = 0
    fraction: float | None = None
    interval: Interval | None = None
    indices: Indices = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    statistics: dict[str, dict[str, float | None]] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    representatives: dict[str, Indices] = field(default_factory=dict)
    selection: dict[str, dict[str, float | None]] = field(default_factory=dict)

    @property
    def share_interval(self) -> tuple[float, float]:
        """The interval of the share; NaN where there is none."""
        low, high = (None, None) if self.interval is None else self.interval
        return as_float(low), as_float(high)

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Group:
        """Return the group that an explanation's data holds, live or read back from JSON."""
        fraction = entry.get("fraction")
        return cls(
            count=int(entry.get("count") or 0),
            fraction=None if fraction is None else float(fraction),
            interval=entry.get("interval"),
            indices=as_indices(entry.get("indices")),
            statistics=dict(entry.get("statistics") or {}),
            labels=dict(entry.get("labels") or {}),
            representatives={
                str(name): as_indices(rows)
                for name, rows in (entry.get("representatives") or {}).items()
            },
            selection=dict(entry.get("selection") or {}),
        )


@dataclass(frozen=True, eq=False)
class Examples:
    """Pixels, or texts, of the anchors that the figures show.

    Attributes:
        indices: Which anchors, rising, (e,).
        anchors: Their pixels, (e, ...), uint8 where the range is known; None for texts.
        reconstructions: Likewise; None where the model rebuilds nothing.
        data_range: Lowest and highest value of the model's instances.
        texts: The anchors as texts, where the model renders them.
        reconstructed_texts: Likewise.
    """

    indices: Indices
    anchors: NDArray[Any] | None = None
    reconstructions: NDArray[Any] | None = None
    data_range: tuple[float, float] | None = None
    texts: list[str] | None = None
    reconstructed_texts: list[str] | None = None

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Examples:
        """Return the examples that an explanation's data holds."""
        pixels, rebuilt, bounds = (
            entry.get(name) for name in ("anchors", "reconstructions", "data_range")
        )
        return cls(
            indices=as_indices(entry.get("indices")),
            anchors=None if pixels is None else np.asarray(pixels),
            reconstructions=None if rebuilt is None else np.asarray(rebuilt),
            data_range=None if bounds is None else (float(bounds[0]), float(bounds[1])),
            texts=entry.get("texts"),
            reconstructed_texts=entry.get("reconstructed_texts"),
        )

    def to_data(self) -> dict[str, Any]:
        """Return the entry of an explanation's data."""
        if self.texts is not None:
            return {
                "indices": self.indices,
                "texts": self.texts,
                "reconstructed_texts": self.reconstructed_texts,
            }
        return {
            "indices": self.indices,
            "anchors": self.anchors,
            "reconstructions": self.reconstructions,
            "data_range": self.data_range,
        }


@dataclass(frozen=True, eq=False)
class Result:
    """What PXGen finds out about n anchors under m criteria.

    Attributes:
        criteria: Names of the criteria; ``kinds`` and ``units`` run along.
        kinds: ``"intrinsic"`` or ``"extrinsic"``.
        units: Units of the values.
        rule: How several criteria of a kind decide together.
        values: Criterion values, (n, m); NaN or infinite for invalid anchors.
        thresholds: One per criterion, (m,), in its unit; NaN where there is no finite one.
        threshold_std: Standard deviation over calibration repeats, (m,); NaN where unknown.
        affinity: Where a value is strictly below its threshold, bool (n, m).
        group: "HIHE", "HILE", "LIHE", "LILE" or "invalid", (n,).
        group_stability: Probability that another calibration keeps the group, (n,): its share
            among draws of the expected thresholds (:func:`pxgen_plugins.groups.threshold_draws`).
        distance: (value - threshold) / threshold_std, (n, m).
        p_value: Conformal p-value against the calibration's samples or reference data, (n, m).
        anchor_value: Sum of the values, (n,); lower = more representative.
        groups: The four groups, by name.
        invalid: Indices of the anchors in no group.
        reasons: Why, for each of them.
        labels: Labels as text, (n,), or None.
        ids: Names as text, (n,), or None.
        strips: Indices of the anchors with the lowest values, the paper's "delusion" and
            "alignment"; those of the groups themselves are :meth:`foremost`.
        examples: Pixels or texts of the anchors that the figures show, or None.
        calibration: What is kept of the calibration; None when unknown.
        notes: What a reader must know of how the numbers came about, in sentences: a scale that
            looks wrong, what was done to the pictures, thresholds on which values tie.
    """

    criteria: list[str]
    kinds: list[str]
    units: list[str]
    rule: str
    values: Floats
    thresholds: Floats
    threshold_std: Floats
    affinity: NDArray[np.bool_]
    group: Texts
    group_stability: Floats
    distance: Floats
    p_value: Floats
    anchor_value: Floats
    groups: dict[str, Group]
    invalid: Indices
    reasons: list[str]
    labels: Texts | None = None
    ids: Texts | None = None
    strips: dict[str, Indices] = field(default_factory=dict)
    examples: Examples | None = None
    calibration: CalibrationSummary | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def n(self) -> int:
        """Number of anchors."""
        return len(self.group)

    @property
    def is_invalid(self) -> NDArray[np.bool_]:
        """Where an anchor is in no group, (n,)."""
        return from_blocks(lambda rows: self.group[rows] == INVALID, self.n, bool)

    @cached_property
    def counts(self) -> dict[str, int]:
        """Number of anchors in each group, and of the invalid ones."""
        found = DrawnCodes.fixed(codes_of(self.group)).counts()[0].tolist()
        return dict(zip((*GROUPS, INVALID), found, strict=True))

    @cached_property
    def shares(self) -> GroupShares:
        """The groups' shares with their intervals, of any anchors and confidence."""
        calibration = self.calibration
        floor = None if calibration is None else calibration.floor
        return GroupShares(
            self.values,
            self.thresholds,
            np.empty((0, len(self.criteria))) if calibration is None else calibration.repeats,
            self.kinds,
            self.rule,
            None if calibration is None else calibration.scale,
            floor=floor,
            resampled=calibration is not None and calibration.resampled,
            group=self.group,
        )

    def foremost(self, name: str, n: int | None = None) -> Indices:
        """Return the members of a group, those that show best what it stands for first.

        For HILE: sure and wrong first (:func:`pxgen_plugins.groups.foremost`).

        Args:
            name: The group.
            n: At most so many.
        """
        return foremost(name, self.values, self.kinds, self.group, self.group_stability, n)

    @property
    def interval_source(self) -> str:
        """What the 95% intervals of the groups' shares cover, in words."""
        return "other anchors" if self.calibration is None else self.calibration.interval_source

    def first(self, kind: str) -> int | None:
        """Return the column of the first criterion of a kind, or None."""
        return self.kinds.index(kind) if kind in self.kinds else None

    def column(self, name: str, parameter: str = "criterion") -> int:
        """Return the column of the criterion ``name``.

        Raises:
            ParameterError: When there is none; the nearest name is proposed.
        """
        return self.criteria.index(choice(name, parameter, self.criteria))

    @classmethod
    def of(cls, source: Any) -> Result:
        """Return the result inside an explanation, live or read back from JSON.

        Args:
            source: An explanation of PXGen, its data, or a Result.

        Raises:
            ParameterError: When it is something else.
        """
        if isinstance(source, Result):
            return source
        data = getattr(source, "data", source)
        missing = list(_NEEDED)
        if isinstance(data, Mapping):
            missing = [key for key in _NEEDED if key not in data]
        if missing or not isinstance(data, Mapping):
            got = type(source).__name__ + " without data " + ", ".join(map(repr, missing))
            hint = "Pass what PXGen.explain returned, or Explanation.from_json of its JSON."
            raise ParameterError("explanation", "an explanation of PXGen", got, hint)
        criteria = [str(name) for name in data["criteria"]]
        n, m = len(data["group"]), len(criteria)
        std, affinity, calibration = (
            data.get(key) for key in ("threshold_std", "affinity", "calibration")
        )
        affinity = np.zeros((n, m)) if affinity is None else affinity
        examples = data.get("examples")

        def table(key: str) -> Floats:
            return as_floats(data.get(key), (n, m))

        return cls(
            criteria=criteria,
            kinds=[str(kind) for kind in data["kinds"]],
            units=[str(unit) for unit in data.get("units") or [""] * m],
            rule=str(data.get("rule") or "all"),
            values=table("values"),
            thresholds=np.array([as_float(data["thresholds"].get(name)) for name in criteria]),
            threshold_std=np.array([as_float((std or {}).get(name)) for name in criteria]),
            affinity=np.asarray(np.zeros((n, m)) if affinity is None else affinity, bool).reshape(
                n, m
            ),
            group=np.asarray(data["group"], dtype=np.str_).reshape(n),
            group_stability=as_floats(data.get("group_stability"), (n,)),
            distance=table("distance"),
            p_value=table("p_value"),
            anchor_value=as_floats(data.get("anchor_value"), (n,)),
            groups={name: Group.of(data["groups"].get(name) or {}) for name in GROUPS},
            invalid=as_indices(data.get("invalid")),
            reasons=[str(reason) for reason in data.get("reasons") or []],
            labels=as_texts(data.get("labels")),
            ids=as_texts(data.get("ids")),
            strips={str(k): as_indices(rows) for k, rows in (data.get("strips") or {}).items()},
            examples=None if examples is None else Examples.of(examples),
            calibration=CalibrationSummary.of(calibration, m) if calibration else None,
            notes=[str(note) for note in data.get("notes") or []],
        )

    def to_data(self) -> dict[str, Any]:
        """Return the data of Alibi's explanation, whose keys are the attributes' names.

        Thresholds and their deviations are dictionaries there, by criterion. Arrays are not copied.
        """
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        data["thresholds"] = dict(zip(self.criteria, self.thresholds.tolist(), strict=True))
        data["threshold_std"] = dict(zip(self.criteria, self.threshold_std.tolist(), strict=True))
        data["groups"] = {name: dict(vars(group)) for name, group in self.groups.items()}
        data["examples"] = None if self.examples is None else self.examples.to_data()
        data["calibration"] = {} if self.calibration is None else self.calibration.to_data()
        return data
