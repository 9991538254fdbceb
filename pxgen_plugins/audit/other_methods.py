"""Evidence of other methods on the representatives: a table and a figure for the report."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from pxgen_plugins.audit.run_folder import NO_EVIDENCE, Evidence
from pxgen_plugins.audit.settings import Config
from pxgen_plugins.audit.shards import Work
from pxgen_plugins.comparison import compare
from pxgen_plugins.groups import GROUPS
from pxgen_plugins.result import Result

__all__ = ["evidence_of"]

_DPI = 100
_HEAD = ("method", "kind of evidence", "what it looks into", "repeatable", "quality", "not run")


def evidence_of(config: Config, work: Work, result: Result) -> Evidence:
    """Run the adapters of the settings on representatives of the chosen groups.

    Args:
        config: The settings.
        work: Model, explainer and anchors.
        result: What PXGen found out.

    Returns:
        The table and the figure. Times are left out: the same run gives the same bytes. A method
        that fails is a row with its error.
    """
    settings = config["adapters"]
    if settings is None or not settings["names"]:
        return NO_EVIDENCE
    groups = settings["groups"] or list(GROUPS)
    representatives = [
        members[: settings["per_group"]]
        for name in groups
        for members in list(result.groups[name].representatives.values())[:1]
    ]
    index = np.unique(np.concatenate([np.empty(0, np.int64), *representatives]))
    if not len(index):
        return NO_EVIDENCE
    X = work.explainer.scorer().inputs(work.anchors, index)
    labels = None if work.anchors.labels is None else work.anchors.labels[index]
    comparison = compare(
        work.explainer.predictor,
        X,
        labels,
        settings["names"],
        work.explainer,
        target=config["extrinsic"][0],
        n_anchors=min(4, len(index)),
        seed=config["seed"],
    )
    rows = [_HEAD, *(_row(outcome.row()) for outcome in comparison.outcomes[1:])]
    title = f"{len(index)} representatives of {', '.join(groups)} under other methods"
    return Evidence([(title, rows)], _figure(comparison))


def _figure(comparison: Any) -> bytes:
    """Return the figure of a comparison as PNG, the same bytes for the same content."""
    import matplotlib.pyplot as plt

    figure = np.ravel(comparison.plot())[0].figure
    file = io.BytesIO()
    figure.savefig(file, dpi=_DPI, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return file.getvalue()


def _row(row: Mapping[str, Any]) -> tuple[str, ...]:
    quality = row.get("quality") or {}
    numbers = {name: value for name, value in quality.items() if isinstance(value, int | float)}
    values = [f"{name} {value:.3g}" for name, value in numbers.items()]
    values += [f"{name}: {text}" for name, text in quality.items() if isinstance(text, str)]
    same = row.get("repeatable")
    repeatable = "" if same is None else "yes" if same else "no"
    return (
        str(row["method"]), str(row.get("evidence") or ""), str(row.get("access") or ""),
        repeatable, ", ".join(values), str(row.get("error") or row.get("reason") or ""),
    )  # fmt: skip
