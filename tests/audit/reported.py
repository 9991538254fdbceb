"""What the tests of the report build reports from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.audit.verdicts import Judgement
from pxgen_plugins.audit.writers.report import build_report
from pxgen_plugins.groups import assign
from pxgen_plugins.result import Result

PAYLOADS = [
    "</script><img src=x onerror=alert(1)>", "<svg onload=alert(1)>",
    "'\"><script>alert(1)</script>", "<!--<script>", "]]><b>x</b>",
    "{{ 7*7 }}{% raw %}", "javascript:alert(1)", "\x1b[31mred\x00",
    "\u202egnp.exe", "\ud800", "\u2028line", "&lt;b&gt;", "</style><style>*{display:none}", "a\nb",
]  # fmt: skip
KINDS = ["intrinsic", "extrinsic"]


def data_of(
    values: NDArray[np.float64],
    thresholds: tuple[float, ...] = (10.5, 10.5),
    labels: list[str] | None = None,
) -> dict[str, Any]:
    """Data of an explanation with two criteria."""
    group = assign(values, np.array(thresholds), KINDS)
    n = len(values)
    each = None if labels is None else np.array([labels[i % len(labels)] for i in range(n)])
    some = np.flatnonzero(group == "HILE")[:3]
    return {
        "criteria": ["kld", "mse"],
        "kinds": KINDS,
        "units": ["nats", "squared value"],
        "rule": "all",
        "values": values,
        "thresholds": dict(zip(["kld", "mse"], thresholds, strict=True)),
        "group": group,
        "group_stability": np.where(group == "invalid", np.nan, 1.0),
        "labels": each,
        "ids": None,
        "groups": {"HILE": {"representatives": {"k_center": some}}},
        "strips": {"delusion": some, "alignment": some[::-1]},
        "calibration": {"method": "MeanMax", "n_samples": 100, "seed": 0},
    }


def grid(side: int = 20) -> NDArray[np.float64]:
    """Values (side^2 + 1, 2): all pairs of 1 to side, and one far from all."""
    pairs = [(x, y) for x in range(1, side + 1) for y in range(1, side + 1)]
    return np.array([*pairs, (2 * side, 2 * side)], dtype=np.float64)


def pictures_of(indices: list[int], shape: tuple[int, ...] = (1, 12, 12)) -> dict[str, Any]:
    """Random pixels."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, len(indices), *shape)).astype(np.uint8)
    return {
        "indices": np.array(indices),
        "anchors": pixels[0],
        "reconstructions": pixels[1],
        "data_range": (0.0, 1.0),
    }


def report(
    manifest: dict[str, Any], data: dict[str, Any], pictures: Any = None, *rest: Any, **options: Any
) -> str:
    """The report of an explanation's data, and of pictures as an explanation holds them."""
    return build_report(manifest, Result.of(data | {"examples": pictures}), *rest, **options)


def judgement(state: str = "failed", **other: Any) -> Judgement:
    """A judgement on the share of HILE."""
    return Judgement(
        **{
            "name": "",
            "text": "HILE.fraction <= 0.02",
            "severity": "error",
            "state": state,
            "observed": 0.3,
            "low": 0.25,
            "high": 0.36,
            "bound": 0.36,
            "limit": 0.02,
            "n": 401,
            "reason": "above the limit",
            "anchors": (10, 11, 12),
            "n_against": 0,
            "confidence": 0.95,
            "min_count": 1,
            **other,
        }
    )
