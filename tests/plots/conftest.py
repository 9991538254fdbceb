"""Synthetic explanations for the figures."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.text import Text

GROUPS = ("HIHE", "HILE", "LIHE", "LILE")


def wilson_interval(count: int, total: int) -> list[float]:
    """The roots of (p - share)^2 = z^2 p (1 - p) / total, by definition of the score interval."""
    if total == 0:
        return [0.0, 1.0]
    z2, share = 1.959963984540054**2, count / total
    low, high = sorted(np.roots([1 + z2 / total, -2 * share - z2 / total, share**2]).real)
    return [max(0.0, float(low)), min(1.0, float(high))]


def build(
    values: Any = None,
    thresholds: tuple[float, ...] = (2.0, 1.5),
    deviations: tuple[float | None, ...] = (0.2, 0.1),
    *,
    n: int = 60,
    criteria: tuple[str, ...] = ("kld", "mse"),
    kinds: tuple[str, ...] = ("intrinsic", "extrinsic"),
    units: tuple[str, ...] = ("nats", "squared value"),
    labels: Any = None,
    ids: Any = None,
    shape: tuple[int, ...] | None = (1, 6, 5),
    data_range: tuple[float, float] | None = (0.0, 1.0),
    reconstructions: bool = True,
    n_samples: int | None = 500,
    n_repeats: int = 7,
    k: int = 4,
) -> Any:
    """An explanation laid out as ``PXGen.explain`` lays it out."""
    from alibi.api.interfaces import Explanation

    rng = np.random.default_rng(0)
    m = len(criteria)
    values = np.exp(rng.normal(0.5, 0.6, (n, m))) if values is None else np.asarray(values, float)
    n = len(values)
    valid = np.isfinite(values).all(axis=1)
    affinity = values < np.asarray(thresholds)
    high = [
        affinity[:, [j for j in range(m) if kinds[j] == kind]].all(axis=1)
        for kind in ("intrinsic", "extrinsic")
    ]
    group = np.where(
        high[0], np.where(high[1], "HIHE", "HILE"), np.where(high[1], "LIHE", "LILE")
    ).astype("<U7")
    group[~valid] = "invalid"
    groups = {}
    for name in GROUPS:
        members = np.flatnonzero(group == name)
        counts: dict[str, int] = {}
        for row in members if labels is not None else []:
            counts[str(labels[row])] = counts.get(str(labels[row]), 0) + 1
        groups[name] = {
            "count": len(members),
            "fraction": len(members) / int(valid.sum()) if valid.any() else None,
            "interval": wilson_interval(len(members), int(valid.sum())),
            "indices": members,
            "statistics": {},
            "labels": counts,
            "representatives": {"k_center": members[:k], "top": members[::-1][:k]},
            "selection": {},
        }
    strips = {}
    for strip, held, rising in (
        ("delusion", "intrinsic", "extrinsic"),
        ("alignment", "extrinsic", "intrinsic"),
    ):
        held_at, rising_at = kinds.index(held), kinds.index(rising)
        rows = np.flatnonzero(valid)
        rows = rows[np.argsort(values[rows, held_at], kind="stable")][:20]
        strips[strip] = rows[np.argsort(values[rows, rising_at], kind="stable")]
    examples = None
    if shape is not None:
        picked = [found for g in groups.values() for found in g["representatives"].values()]
        wrong = [np.flatnonzero(group == name) for name in ("HILE", "LIHE")]
        wanted = np.unique(np.concatenate([*strips.values(), *picked, *wrong])).astype(np.int64)
        size = (2, len(wanted), *shape)
        arrays = rng.integers(0, 256, size).astype(np.uint8)
        if data_range is None:
            arrays = rng.normal(size=size).astype(np.float32)
        examples = {
            "indices": wanted,
            "anchors": arrays[0],
            "reconstructions": arrays[1] if reconstructions else None,
            "data_range": None if data_range is None else list(data_range),
        }
    centre = [t if math.isfinite(t) else 1.0 for t in thresholds]
    data = {
        "criteria": list(criteria),
        "kinds": list(kinds),
        "units": list(units),
        "rule": "all",
        "values": values,
        "thresholds": dict(zip(criteria, thresholds, strict=True)),
        "threshold_std": dict(zip(criteria, deviations, strict=True)),
        "affinity": affinity,
        "group": group,
        "group_stability": np.ones(n),
        "distance": np.zeros((n, m)),
        "p_value": np.zeros((n, m)),
        "anchor_value": values.sum(axis=1),
        "groups": groups,
        "invalid": np.flatnonzero(~valid),
        "reasons": ["a value is not finite"] * int((~valid).sum()),
        "labels": None if labels is None else np.asarray(labels, dtype=str),
        "ids": None if ids is None else np.asarray(ids, dtype=str),
        "strips": strips,
        "examples": examples,
        "calibration": {
            "method": "MeanMax",
            "n_samples": n_samples or 100,
            "n_repeats": n_repeats,
            "seed": 0,
            "params": {},
            "repeats": np.asarray(centre) * rng.uniform(0.9, 1.1, (n_repeats, m)),
            "reference": None
            if n_samples is None
            else np.asarray(centre) * rng.beta(2, 4, (n_samples, m)),
            "scale": None,
        },
    }
    meta = {"name": "PXGen", "type": ["blackbox"], "explanations": ["global"], "params": {}}
    return Explanation(meta={**meta, "version": "0"}, data=data)


def strict(value: Any) -> Any:
    """Lists for arrays and None for what is not finite, as the strict JSON form has it."""
    if isinstance(value, dict):
        return {key: strict(part) for key, part in value.items()}
    if isinstance(value, np.ndarray):
        return strict(value.tolist())
    if isinstance(value, (list, tuple)):
        return [strict(part) for part in value]
    if isinstance(value, np.generic):
        return strict(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def from_json(explanation: Any) -> Any:
    """The explanation after its way through JSON."""
    from alibi.api.interfaces import Explanation

    return Explanation.from_json(
        json.dumps({"meta": strict(explanation.meta), "data": strict(explanation.data)})
    )


def by_gid(ax: Any, gid: str) -> list[Any]:
    """The artists with this id; a trailing star stands for any ending."""
    star = gid.endswith("*")
    return [
        artist
        for artist in ax.findobj(lambda one: one.get_gid() is not None)
        if artist.get_gid() == gid or (star and artist.get_gid().startswith(gid[:-1]))
    ]


def texts(ax: Any) -> str:
    """All text in the figure."""
    found = [one.get_text() for one in ax.get_figure(root=True).findobj(Text)]
    ours = [text for text in found if "\\mathdefault" not in text]  # ticks of logarithmic axes
    return "\n".join(ours).replace("\u00a0", " ")


def draw(axes: np.ndarray) -> np.ndarray:
    """Render the figure, coarsely, as only its being drawn and its equality matter."""
    figure = axes[0].get_figure(root=True)
    figure.set_dpi(50)
    figure.set_layout_engine("none")  # three quarters of the time, and tested apart
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba()).copy()


@pytest.fixture(name="build", scope="session")
def _build() -> Callable[..., Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import alibi.api.interfaces  # noqa: F401  # its own dependencies warn
    return build


@pytest.fixture(name="from_json")
def _from_json() -> Callable[[Any], Any]:
    return from_json


@pytest.fixture(name="by_gid")
def _by_gid() -> Callable[[Any, str], list[Any]]:
    return by_gid


@pytest.fixture(name="texts")
def _texts() -> Callable[[Any], str]:
    return texts


@pytest.fixture(name="draw")
def _draw() -> Callable[[Any], Any]:
    return draw


@pytest.fixture(autouse=True)
def _no_figures() -> Iterator[None]:
    yield
    plt.close("all")
