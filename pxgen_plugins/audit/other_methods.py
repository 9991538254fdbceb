"""Evidence of other methods on the same anchors: a table and a figure for the report."""

from __future__ import annotations

import copy
import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.adapters.base import REGISTRY
from pxgen_plugins.anchors import Anchors, Subset
from pxgen_plugins.anchors.sampling import stratified_positions
from pxgen_plugins.audit.descriptions import description_method, description_tables
from pxgen_plugins.audit.run_folder import NO_EVIDENCE, NOT_RUN, Evidence
from pxgen_plugins.audit.settings import Config
from pxgen_plugins.audit.work import Work
from pxgen_plugins.comparison import compare
from pxgen_plugins.groups import GROUPS
from pxgen_plugins.result import Group, Result
from pxgen_plugins.result.assembly import assemble
from pxgen_plugins.result.explanation import build
from pxgen_plugins.scoring import Scores

__all__ = ["evidence_of"]

_DPI = 100
_HEAD = ("method", "kind of evidence", "what it looks into", "repeatable", "quality", NOT_RUN)
_PICTURED = 4  # representatives that local methods explain
_ENOUGH = 30  # anchors; of fewer, neighbourhoods and coverage say nothing of a method
_OF_SETS = ("prototypes", "embedding")


def evidence_of(config: Config, work: Work, result: Result) -> Evidence:
    """Run the adapters of the settings on anchors of the chosen groups.

    Local methods explain representatives. Global ones explain a sample of the anchors, stratified
    by label, in which the representatives are. Nothing is scored again.

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
    names = [str(name) for name in settings["names"]]
    groups = settings["groups"] or list(GROUPS)
    members = np.flatnonzero(np.isin(result.group, groups)).astype(np.int64)
    if not len(members):
        return NO_EVIDENCE
    picks = {name: _first(result.groups[name], settings["per_group"]) for name in groups}
    shown = np.unique(np.concatenate([np.empty(0, np.int64), *picks.values()]))
    index = np.union1d(_sample(result, members, settings["sample"], config["seed"]), shown)
    anchors = Subset(work.anchors, index)
    comparison = compare(
        work.explainer.predictor,
        anchors,
        methods=[_method(name, config, work.explainer.predictor) for name in names],
        groups=_explanation(work, result, index, anchors, picks),
        explainer=work.explainer,
        # the explainer's own knows what it learned; chosen by no clock, so that bytes are the same
        target=next(c for c in work.explainer.criteria if c.kind == "extrinsic"),
        n_anchors=max(1, min(_PICTURED, len(shown))),
        seed=config["seed"],
    )
    table = [row for row in comparison.table() if row["method"] in names]
    title = (
        f"{len(shown)} representatives of {', '.join(groups)} under local methods, "
        f"{len(index):,} of {len(members):,} anchors under global ones"
    )
    methods = (title, [_HEAD, *(_row(row, len(index)) for row in table)])
    return Evidence([methods, *description_tables(comparison)], _figure(comparison))


def _method(name: str, config: Config, model: Any) -> Any:
    """Return a method of the comparison; one that describes is given the describer, if any."""
    describes = REGISTRY.get(name).evidence == "description"
    if describes and config["adapters"]["describer"] is not None:
        return description_method(name, config, model)
    return name


def _first(group: Group, most: int) -> NDArray[np.int64]:
    """Return the representatives of a group by its first selector, so many at most."""
    picks = next(iter(group.representatives.values()), np.empty(0, np.int64))
    return np.asarray(picks[:most], dtype=np.int64)


def _sample(result: Result, members: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    labels = None if result.labels is None else result.labels[members]
    return members[stratified_positions(labels, len(members), most, seed)]


def _explanation(
    work: Work,
    result: Result,
    index: NDArray[np.int64],
    anchors: Anchors,
    picks: Mapping[str, NDArray[np.int64]],
) -> Any:
    """Return what PXGen says of some anchors, from values that are there already.

    Args:
        work: The explainer, whose calibration counts.
        result: Of all anchors.
        index: Which anchors, sorted.
        anchors: These anchors.
        picks: Positions of the representatives to keep among all anchors, by group.
    """
    explainer, calibration = work.explainer, work.explainer.calibration
    assert calibration is not None  # the shards were scored by it
    whys = dict(zip(result.invalid.tolist(), result.reasons, strict=True))
    reasons = {at: whys[row] for at, row in enumerate(index.tolist()) if row in whys}
    part = assemble(
        Scores(result.values[index], reasons),
        calibration,
        explainer.scorer(),
        anchors,
        rule=explainer.rule,
        choices=explainer.choices[:1],
        k=1,
        examples=False,
        combine=explainer.threshold.combine,
    )
    selector = next(iter(part.groups[GROUPS[0]].representatives), "selector")
    groups = {
        name: replace(
            group,
            representatives={selector: np.searchsorted(index, picks.get(name, index[:0]))},
        )
        for name, group in part.groups.items()
    }
    return build(copy.deepcopy(explainer.meta), replace(part, groups=groups).to_data())


def _figure(comparison: Any) -> bytes:
    """Return the figure of a comparison as PNG, the same bytes for the same content."""
    import matplotlib.pyplot as plt

    figure = np.ravel(comparison.plot())[0].figure
    file = io.BytesIO()
    figure.savefig(file, dpi=_DPI, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return file.getvalue()


def _row(row: Mapping[str, Any], n: int) -> tuple[str, ...]:
    same, evidence = row.get("repeatable"), str(row.get("evidence") or "")
    repeatable = "" if same is None else "yes" if same else "no"
    return (
        str(row["method"]), evidence, str(row.get("access") or ""), repeatable,
        _quality(row.get("quality") or {}, evidence, n),
        str(row.get("error") or row.get("reason") or ""),
    )  # fmt: skip


def _quality(quality: Mapping[str, Any], evidence: str, n: int) -> str:
    """Return the measures in words; why there are none, where the anchors are too few for them."""
    if evidence in _OF_SETS and n < _ENOUGH:
        return f"not measured: {n} anchors are fewer than {_ENOUGH}"
    numbers = {name: value for name, value in quality.items() if isinstance(value, int | float)}
    others = {name: value for name, value in quality.items() if isinstance(value, str)}
    texts = [f"{name} {value:.3g}" for name, value in numbers.items()]
    return ", ".join([*texts, *(f"{name}: {value}" for name, value in others.items())])
