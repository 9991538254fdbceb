"""What other methods say of the anchors that PXGen picked: rows for the report."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from pxgen_plugins.audit.settings import Config
from pxgen_plugins.audit.shards import Work
from pxgen_plugins.comparison import compare
from pxgen_plugins.groups import GROUPS

__all__ = ["Evidence", "evidence"]

_DPI = 100
_HEAD = ("method", "kind of evidence", "what it looks into", "repeatable", "quality", "not run")


class Evidence(NamedTuple):
    """What other methods say.

    Attributes:
        tables: A title and rows of text, the head first; empty without adapters.
        figure: PNG of what they show, None without adapters.
    """

    tables: list[tuple[str, Any]]
    figure: bytes | None


def evidence(config: Config, work: Work, data: Mapping[str, Any]) -> Evidence:
    """Run the adapters of the settings on representatives of the chosen groups.

    Args:
        config: The settings.
        work: Model, explainer and anchors.
        data: The explanation's data.

    Returns:
        The table and the figure. Times are left out: the same run gives the same bytes. A method
        that fails is a row with its error.
    """
    wanted = config["adapters"]
    if wanted is None or not wanted["names"]:
        return Evidence([], None)
    groups = wanted["groups"] or list(GROUPS)
    picked = [
        np.asarray(found, dtype=np.int64)[: wanted["per_group"]]
        for name in groups
        for found in list(data["groups"][name]["representatives"].values())[:1]
    ]
    index = np.unique(np.concatenate([np.empty(0, np.int64), *picked]))
    if not len(index):
        return Evidence([], None)
    X = work.explainer.scorer().inputs(work.anchors, index)
    labels = None if work.anchors.labels is None else work.anchors.labels[index]
    found = compare(
        work.explainer.predictor,
        X,
        labels,
        wanted["names"],
        work.explainer,
        target=config["extrinsic"][0],
        n_anchors=min(4, len(index)),
        seed=config["seed"],
    )
    rows = [_HEAD, *(_row(row) for row in found.table()[1:])]
    title = f"{len(index)} representatives of {', '.join(groups)} under other methods"
    return Evidence([(title, rows)], _drawn(found))


def _drawn(found: Any) -> bytes:
    """Return the figure of a comparison as PNG, the same bytes for the same content."""
    import matplotlib.pyplot as plt

    figure = np.ravel(found.plot())[0].figure
    file = io.BytesIO()
    figure.savefig(file, dpi=_DPI, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return file.getvalue()


def _row(row: Mapping[str, Any]) -> tuple[str, ...]:
    quality = row.get("quality") or {}
    shown = ", ".join(f"{name} {value:.3g}" for name, value in quality.items() if value is not None)
    again = row.get("repeatable")
    repeatable = "" if again is None else "yes" if again else "no"
    return (
        str(row["method"]), str(row.get("evidence") or ""), str(row.get("access") or ""),
        repeatable, shown, str(row.get("error") or ""),
    )  # fmt: skip
