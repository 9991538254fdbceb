"""Points of the report's plot: values on a grid of 16 bits, a sample when they are many."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.audit.escaping import visible
from pxgen_plugins.audit.intervals import Threshold
from pxgen_plugins.groups import GROUPS, INVALID, codes_of
from pxgen_plugins.plots.style import criterion_name, criterion_text
from pxgen_plugins.result import Result
from pxgen_plugins.utils.large_arrays import compress, empty
from pxgen_plugins.utils.seeds import derive

__all__ = ["INVALID_CODE", "Axis", "choose_points", "pack_points"]

INVALID_CODE = 65535
"""The code of a value that is not finite."""

_LEVELS = 65_530  # below INVALID_CODE, with room for the threshold's shift
_SPAN = 1e-12  # what is smaller than this part of the largest value counts as near zero
_LABELS = 1_000  # labels that a point can name; the others are "other"
_LABEL_LENGTH = 60

Integers = NDArray[np.int64]


class Axis:
    """A grid for one criterion: equal steps of asinh(value / scale), a threshold between two.

    Steps are even near zero and relative far from it (a symmetric logarithm), so one grid serves a
    linear and a logarithmic view. A value lies below the threshold exactly when its code is below
    ``cut``.

    Args:
        values: Array (n,).
        threshold: The criterion's threshold, or None.

    Attributes:
        scale: Where the steps turn from even to relative.
        origin: asinh(value / scale) at code 0.
        step: Width of a code.
        cut: The threshold's code.

    Example:
        >>> axis = Axis(np.array([1.0, 2.0, np.nextafter(2.0, 0.0), np.nan]), 2.0)
        >>> (axis.codes(np.array([1.0, 2.0, np.nextafter(2.0, 0.0)])) < axis.cut).tolist()
        [True, False, True]
        >>> int(axis.codes(np.array([np.nan]))[0])
        65535
    """

    def __init__(self, values: NDArray[np.float64], threshold: float | None) -> None:
        self.threshold = None if threshold is None or not np.isfinite(threshold) else threshold
        finite = compress(values, np.isfinite)
        ends = empty(len(finite) + (self.threshold is not None), np.float64)
        ends[: len(finite)], ends[len(finite) :] = finite, self.threshold
        sizes = compress(ends, lambda end: end != 0)
        np.abs(sizes, out=sizes)
        self.scale = 1.0
        if len(sizes):
            most = _SPAN * sizes.max()
            self.scale = float(max(np.quantile(sizes, 0.05, overwrite_input=True), most))
        self.origin, self.step, self.cut = 0.0, 1.0, 0
        if not len(ends):
            return
        low, high = (float(np.arcsinh(end / self.scale)) for end in (ends.min(), ends.max()))
        self.step = (high - low) / _LEVELS or 1.0
        at = low if self.threshold is None else float(np.arcsinh(self.threshold / self.scale))
        self.cut = int((at - low) / self.step) + 1
        self.origin = at - self.cut * self.step

    def codes(self, values: NDArray[np.float64]) -> NDArray[np.uint16]:
        """Return the code of each value, uint16 (n,)."""
        with np.errstate(invalid="ignore", over="ignore"):
            steps = np.floor((np.arcsinh(values / self.scale) - self.origin) / self.step)
        codes = np.clip(np.nan_to_num(steps), 0, INVALID_CODE - 1).astype(np.int64)
        if self.threshold is not None:  # rounding must not carry a value across
            below = values < self.threshold
            codes = np.where(below, np.minimum(codes, self.cut - 1), np.maximum(codes, self.cut))
        codes[~np.isfinite(values)] = INVALID_CODE
        packed: NDArray[np.uint16] = codes.astype(np.uint16)
        return packed


def choose_points(n: int, limit: int, seed: int, always: Integers) -> tuple[Integers, int]:
    """Return the anchors to draw and how many of them, the first, are a random sample.

    Args:
        n: Anchors.
        limit: Most anchors to sample.
        seed: Seed of the sample; the same n, limit and seed give the same one.
        always: Anchors that come after the sample, where it lacks them.

    Example:
        >>> points, n_sample = choose_points(10, 4, 0, np.array([3]))
        >>> n_sample, 3 in points.tolist()
        (4, True)
        >>> choose_points(3, 4, 0, np.array([1]))[0].tolist()
        [0, 1, 2]
    """
    if n <= limit:
        return np.arange(n), n
    rng = np.random.default_rng(derive(seed, "report", "points"))
    sample = np.sort(rng.choice(n, limit, replace=False))
    return np.concatenate([sample, np.setdiff1d(always, sample)]).astype(np.int64), limit


def pack_points(result: Result, always: Integers, seed: int, budget: int) -> dict[str, Any]:
    """Return the points for the page's script, arrays little-endian in base64.

    Args:
        result: Of n anchors and m criteria.
        always: Anchors that are drawn in any case, those with pictures.
        seed: Seed of the sample.
        budget: Most bytes of the sample before base64.

    Returns:
        A dict for strict JSON. Cost: O(n m); at most ``budget / (2 m + 8)`` of n anchors are in it,
        and those of ``always``.
    """
    n, values = result.n, result.values
    limit = max(1, budget // (2 * len(result.criteria) + 8))
    index, n_sample = choose_points(n, limit, seed, always)
    criteria = []
    scales = None if result.calibration is None else result.calibration.scale
    for j, name in enumerate(result.criteria):
        axis = Axis(values[:, j], float(result.thresholds[j]))
        spread = None if scales is None else float(scales[j])
        criteria.append(
            {
                "name": visible(name, 80),
                "title": visible(criterion_name(name), 80),
                "text": visible(criterion_text(name, result.units[j]), 100),
                "kind": result.kinds[j],
                "threshold": axis.threshold,
                "slack": _slack(result, j, axis.threshold),
                "spread": spread if spread is not None and np.isfinite(spread) else None,
                "cut": axis.cut,
                "origin": axis.origin,
                "step": axis.step,
                "scale": axis.scale,
                "codes": _base64(axis.codes(values[index, j]), "<u2"),
            }
        )
    codes = codes_of(result.group[index])
    labels, label = _labels(result.labels)
    return {
        "n": n,
        "n_sample": n_sample,
        "groups": [*GROUPS, INVALID],
        "rule": result.rule,
        "index": None if n_sample == n else _base64(index, "<u4"),
        "criteria": criteria,
        "group": _base64(np.where(codes < 0, len(GROUPS), codes), "u1"),
        "stability": _stability(result.group_stability[index]),
        "labels": labels,
        "label": None if label is None else _base64(label[index], "<u2"),
        **_intervals(result),
    }


def _intervals(result: Result) -> dict[str, Any]:
    """Return the intervals of the groups at the audit's thresholds, and calibration's part of them.

    ``calibration`` says how far calibration alone reaches below and above each share; the page
    takes it along when thresholds are moved.
    """
    if not result.n:
        return {"intervals": [[0, 1]] * 5, "safe": [[0, 1]] * 5, "calibration": [[0, 0]] * 5}
    shares = np.array(list(result.counts.values())) / result.n
    ends = result.shares.calibration_intervals()
    reach = np.maximum(np.stack([shares - ends[:, 0], ends[:, 1] - shares], axis=1), 0.0)
    safe = result.shares.intervals(unknown=result.counts[INVALID])
    return {
        "intervals": result.shares.intervals().tolist(),
        "safe": safe.tolist(),
        "calibration": reach.tolist(),
    }


def _slack(result: Result, j: int, threshold: float | None) -> float:
    """Return how far a threshold's interval, by which conditions are judged, reaches above it."""
    if threshold is None:
        return 0.0
    interval = Threshold.of(result, j).interval(0.95)
    return 0.0 if interval is None or not np.isfinite(interval[1]) else interval[1] - threshold


def _stability(share: NDArray[Any]) -> str:
    """Percent, 255 where there is none."""
    percent = np.where(np.isfinite(share), np.rint(100 * np.nan_to_num(share)), 255)
    return _base64(percent, "u1")


def _labels(labels: NDArray[np.str_] | None) -> tuple[list[str], Integers | None]:
    if labels is None:
        return [], None
    names, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    most = np.sort(np.argsort(-counts, kind="stable")[:_LABELS])
    place = np.full(len(names), len(most))
    place[most] = np.arange(len(most))
    texts = [visible(names[k], _LABEL_LENGTH) for k in most]
    return [*texts, "(another label)"], place[codes.reshape(-1)]


def _base64(array: NDArray[Any], dtype: str) -> str:
    return base64.b64encode(array.astype(dtype).tobytes()).decode()
