"""From scores and thresholds to the result of an explanation."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pxgen_plugins import groups as grouping
from pxgen_plugins.anchors import Anchors
from pxgen_plugins.models.base import CHEAP, capabilities, passes
from pxgen_plugins.representatives import Choice, select
from pxgen_plugins.result.calibration_summary import CalibrationSummary
from pxgen_plugins.result.result import Examples, Group, Result
from pxgen_plugins.scoring import Scorer, Scores
from pxgen_plugins.thresholds import Calibration
from pxgen_plugins.thresholds.overlap import count_shared
from pxgen_plugins.thresholds.ties import atom_shares
from pxgen_plugins.utils.errors import warn
from pxgen_plugins.utils.large_arrays import from_blocks, take
from pxgen_plugins.utils.seeds import derive
from pxgen_plugins.utils.sequences import even_positions
from pxgen_plugins.utils.text import percent

__all__ = ["assemble", "examples_of"]

logger = logging.getLogger(__name__)

_REFERENCE_ROWS = 10_000  # of reference values kept in an explanation, for the figures
_STRIP = 20  # HILE and LIHE anchors that the figures of delusion and alignment can show
_EXAMPLE_ELEMENTS = 2**22  # above this, examples are kept only on request


def assemble(
    scores: Scores,
    calibration: Calibration,
    scorer: Scorer,
    anchors: Anchors,
    *,
    rule: str,
    choices: Sequence[Choice],
    k: int,
    examples: bool | None,
    combine: grouping.Combine,
) -> Result:
    """Return the result; no array of it is held by anyone else.

    Args:
        scores: Values of the n anchors.
        calibration: Thresholds of the same criteria.
        scorer: Model and criteria.
        anchors: The anchor set.
        rule: How several criteria of a kind decide.
        choices: The selectors.
        k: Representatives per group and selector.
        examples: Whether to keep pixels; None keeps them while they are small.
        combine: How the thresholds of repeats become the reported ones.

    Cost: that of :class:`pxgen_plugins.groups.GroupShares`, and the selectors'.
    """
    values, thresholds = scores.values, calibration.thresholds
    kinds = [str(criterion.kind) for criterion in scorer.criteria]
    ruled = (kinds, rule, calibration.scale)
    group = grouping.assign(values, thresholds, *ruled)
    anchor_value = grouping.anchor_value(values)
    invalid = grouping.members(group, grouping.INVALID)
    _warn_invalid(invalid, len(values), scores.reasons)
    seed = derive(scorer.seed, "calibration_noise")
    noise = grouping.calibration_noise(
        values, calibration.repeats, combine, *ruled, seed=seed, resampled=calibration.resampled
    )
    summary = _summary(calibration, noise)
    shares = grouping.GroupShares(
        values,
        thresholds,
        calibration.repeats,
        *ruled,
        floor=summary.floor,
        resampled=calibration.resampled,
    )
    intervals = shares.intervals()
    groups: dict[str, Group] = {}
    for place, name in enumerate(grouping.GROUPS):
        members = grouping.members(group, name)
        representatives, quality = select(
            choices,
            members,
            k,
            values=values,
            anchor_value=anchor_value,
            scorer=scorer,
            anchors=anchors,
        )
        groups[name] = _group(
            members, values, intervals[place], representatives, quality, scorer, anchors
        )
    strips = grouping.strips(values, kinds)
    stability = shares.stability()
    picks = [rows for one in groups.values() for rows in one.representatives.values()]
    picks += [
        grouping.foremost(name, values, kinds, group, stability, _STRIP)
        for name in ("HILE", "LIHE")
    ]
    return Result(
        criteria=[criterion.name for criterion in scorer.criteria],
        kinds=kinds,
        units=[criterion.unit for criterion in scorer.criteria],
        rule=rule,
        values=values,
        thresholds=thresholds.copy(),
        threshold_std=calibration.std,
        affinity=from_blocks(
            lambda rows: grouping.affinity(values[rows], thresholds), len(values), bool, len(kinds)
        ),
        group=group,
        group_stability=stability,
        distance=calibration.distance(values),
        p_value=calibration.p_values(values),
        anchor_value=anchor_value,
        groups=groups,
        invalid=invalid,
        reasons=[scores.reasons[int(index)] for index in invalid],
        labels=None if anchors.labels is None else anchors.labels.copy(),
        ids=None if anchors.ids is None else anchors.ids.copy(),
        strips=strips,
        examples=examples_of(
            scorer, anchors, [*picks, *strips.values()], examples, costly=bool(examples)
        ),
        calibration=summary,
        notes=_notes(scores, calibration, scorer, anchors),
    )


def examples_of(
    scorer: Scorer,
    anchors: Anchors,
    picks: Sequence[NDArray[np.int64]],
    keep: bool | None = True,
    costly: bool = False,
) -> Examples | None:
    """Return pixels and reconstructions of anchors, or their texts where the model renders them.

    Anchors that the model cannot reconstruct are left out.

    Args:
        scorer: Model and criteria.
        anchors: The anchor set.
        picks: Indices of the anchors, which may repeat.
        keep: False for none, None for them only while they are small.
        costly: Whether reconstructions of many passes are made for pictures alone, where no
            criterion asked for them.
    """
    index = np.unique(np.concatenate(picks))
    if keep is False or not len(index):
        return None
    size = int(np.prod(anchors.read(index[:1])[0].shape[1:]))
    if keep is None and size * len(index) > _EXAMPLE_ELEMENTS:
        logger.info("%d examples of %d values are not kept; examples=True does", len(index), size)
        return None
    bounds = scorer.model.data_range
    able = "reconstruct" in capabilities(scorer.model)
    asked = any(c.requires & {"decode", "reconstruct"} for c in scorer.criteria)
    if able and not asked and not costly:
        able = passes(scorer.model, "reconstruct") <= CHEAP
    rebuilt = scorer.reconstruct(anchors, index) if able else None
    if rebuilt is not None:
        given = ~np.isnan(rebuilt.reshape(len(index), -1)).all(1)
        index, rebuilt = index[given], rebuilt[given]
        if not len(index):
            return None
    render = getattr(scorer.model, "render", None)
    if render is not None:  # the numbers inside mean nothing to a reader
        batches = scorer.batches(anchors, index, {})  # in the model's own precision
        return Examples(
            index,
            texts=[text for _, x in batches for text in render(x)],
            reconstructed_texts=None if rebuilt is None else render(torch.from_numpy(rebuilt)),
        )
    return Examples(
        index,
        anchors=_compact(scorer.inputs(anchors, index), bounds),
        reconstructions=None if rebuilt is None else _compact(rebuilt, bounds),
        data_range=bounds,
    )


def _group(
    members: NDArray[np.int64],
    values: NDArray[np.float64],
    interval: NDArray[np.float64],
    representatives: dict[str, NDArray[np.int64]],
    quality: dict[str, dict[str, float | None]],
    scorer: Scorer,
    anchors: Anchors,
) -> Group:
    labels = None if anchors.labels is None else anchors.labels[members]
    return Group(
        count=len(members),
        fraction=len(members) / len(values) if len(values) else None,
        interval=interval.tolist() if len(values) else None,
        indices=members,
        statistics=grouping.statistics(take(values, members), [c.name for c in scorer.criteria]),
        labels=grouping.label_counts(labels),
        representatives=representatives,
        selection=quality,
    )


def _notes(scores: Scores, calibration: Calibration, scorer: Scorer, anchors: Anchors) -> list[str]:
    stated = anchors.anchors_range
    doubt = scores.span.doubt(scorer.model.data_range, stated, scorer.drawn_range)
    scale = None if stated is None else f"anchors are given within [{stated[0]:g}, {stated[1]:g}]"
    shares = atom_shares(calibration.thresholds, calibration.reference)
    whose = "reference data" if calibration.source == "reference" else "model's own samples"
    ties = [
        f"the threshold of {name} is on a value that {percent(share)} of the {whose} have; "
        "an anchor with this very value counts as close, elsewhere only one strictly below"
        for name, share in zip(calibration.names, shares, strict=True)
        if share
    ]
    shared = _shared(scores, calibration)
    return [text for text in (doubt, scale, shared, *anchors.notes, *ties) if text is not None]


def _shared(scores: Scores, calibration: Calibration) -> str | None:
    """Return a warning where anchors are in the reference data, which promises nothing of them."""
    if calibration.source != "reference" or calibration.reference is None:
        return None
    n, count = len(scores.values), count_shared(scores.values, calibration.reference)
    if not count:
        return None
    text = (
        f"{count:,} of {n:,} anchors have the values of an instance of the reference data: hold "
        "anchors and reference data apart, as thresholds promise nothing of the data they come from"
    )
    warn(f"PXGen: {text}")
    return text


def _warn_invalid(invalid: NDArray[np.int64], n: int, reasons: Mapping[int, str]) -> None:
    if len(invalid):
        first = ", ".join(f"{i} ({reasons[int(i)]})" for i in invalid[:3])
        warn(
            f"PXGen: {len(invalid)} of {n} anchors are in no group (see invalid, reasons): {first}"
        )


def _compact(pixels: NDArray[np.float32], bounds: tuple[float, float] | None) -> NDArray[Any]:
    """Return pixels of a known range as bytes, a quarter of the size."""
    if bounds is None:
        return pixels
    unit = (np.nan_to_num(pixels) - bounds[0]) / (bounds[1] - bounds[0])
    compact: NDArray[np.uint8] = np.clip(np.rint(unit * 255.0), 0, 255).astype(np.uint8)
    return compact


def _summary(calibration: Calibration, noise: dict[str, float | None]) -> CalibrationSummary:
    reference = calibration.reference
    if reference is not None:
        reference = reference[even_positions(len(reference), _REFERENCE_ROWS)]  # a copy
    return CalibrationSummary(
        method=calibration.method,
        params=calibration.params,
        n_samples=calibration.n_samples,
        n_repeats=calibration.n_repeats,
        n_invalid=calibration.n_invalid,
        seed=calibration.seed,
        repeats=calibration.repeats.copy(),
        reference=reference,
        scale=None if reference is None else calibration.scale,
        share_std=noise,
        source=calibration.source,
        n_learning=calibration.n_learning,
        resampled=calibration.resampled,
    )
