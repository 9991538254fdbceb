"""What an explanation of PXGen holds, put together from scores and thresholds."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pxgen_plugins import groups as grouping
from pxgen_plugins.anchors import Anchors
from pxgen_plugins.groups.intervals import Combine, bootstrap
from pxgen_plugins.models.base import capabilities
from pxgen_plugins.representatives import Choice, select
from pxgen_plugins.scoring import Scorer, Scores
from pxgen_plugins.thresholds.calibration import Calibration
from pxgen_plugins.utils.errors import PXGenWarning
from pxgen_plugins.utils.seeds import derive

__all__ = ["assemble", "examples_of"]

logger = logging.getLogger(__name__)

_REFERENCE_ROWS = 5_000  # of the model's samples' values kept in an explanation, for the figures
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
    combine: Combine,
) -> dict[str, Any]:
    """Return the data of an explanation (see ``explanation.DEFAULT_DATA_PXGEN``).

    No array of it is held by anyone else.

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

    Cost: O(n m r) for r calibration repeats, and the selectors'.
    """
    values, cut = scores.values, calibration.thresholds
    names = [criterion.name for criterion in scorer.criteria]
    kinds = [str(criterion.kind) for criterion in scorer.criteria]
    ruled = (kinds, rule, calibration.scale)
    group = grouping.assign(values, cut, *ruled)
    anchor_value = grouping.anchor_value(values)
    invalid = np.flatnonzero(group == grouping.INVALID).astype(np.int64)
    _warn_invalid(invalid, len(values), scores.reasons)
    resampled = bootstrap(
        values, calibration.repeats, combine, *ruled, seed=derive(scorer.seed, "bootstrap")
    )
    described: dict[str, Any] = {}
    shown: list[NDArray[np.int64]] = []
    for name in grouping.GROUPS:
        members = np.flatnonzero(group == name).astype(np.int64)
        chosen, quality = select(
            choices,
            members,
            k,
            values=values,
            anchor_value=anchor_value,
            scorer=scorer,
            anchors=anchors,
        )
        shown += chosen.values()
        labels = None if anchors.labels is None else anchors.labels[members]
        described[name] = {
            "count": len(members),
            "fraction": len(members) / len(values) if len(values) else None,
            "interval": grouping.wilson_interval(len(members), len(values)),
            "bootstrap": resampled[name],
            "indices": members,
            "statistics": grouping.statistics(values[members], names),
            "labels": grouping.label_counts(labels),
            "representatives": chosen,
            "selection": quality,
        }
    strips = grouping.strips(values, kinds)
    return {
        "criteria": names,
        "kinds": kinds,
        "units": [criterion.unit for criterion in scorer.criteria],
        "rule": rule,
        "values": values,
        "thresholds": dict(zip(names, cut.tolist(), strict=True)),
        "threshold_std": dict(zip(names, calibration.std.tolist(), strict=True)),
        "affinity": grouping.affinity(values, cut),
        "group": group,
        "group_stability": grouping.stability(values, cut, calibration.repeats, *ruled),
        "distance": calibration.distance(values),
        "p_value": calibration.p_values(values),
        "anchor_value": anchor_value,
        "groups": described,
        "invalid": invalid,
        "reasons": [scores.reasons[int(index)] for index in invalid],
        "labels": None if anchors.labels is None else anchors.labels.copy(),
        "ids": None if anchors.ids is None else anchors.ids.copy(),
        "strips": strips,
        "examples": examples_of(scorer, anchors, [*shown, *strips.values()], examples),
        "calibration": _calibration_data(calibration),
    }


def examples_of(
    scorer: Scorer,
    anchors: Anchors,
    shown: Sequence[NDArray[np.int64]],
    wanted: bool | None = True,
) -> dict[str, Any] | None:
    """Return pixels and reconstructions of anchors, or their texts where the model renders them.

    Args:
        scorer: Model and criteria.
        anchors: The anchor set.
        shown: Indices of the anchors, which may repeat.
        wanted: False for none, None for them only while they are small.

    Returns:
        ``indices``, rising, with ``anchors``, ``reconstructions`` and ``data_range``, or with
        ``texts`` and ``reconstructed_texts``; None without any.
    """
    index = np.unique(np.concatenate(shown))
    if wanted is False or not len(index):
        return None
    size = int(np.prod(anchors.read(index[:1])[0].shape[1:]))
    if wanted is None and size * len(index) > _EXAMPLE_ELEMENTS:
        logger.info("%d examples of %d values are not kept; examples=True does", len(index), size)
        return None
    bounds = scorer.model.data_range
    able = "reconstruct" in capabilities(scorer.model)
    rebuilt = scorer.reconstruct(anchors, index) if able else None
    render = getattr(scorer.model, "render", None)
    if render is not None:  # the numbers inside mean nothing to a reader
        batches = scorer.batches(anchors, index, {})  # in the model's own precision
        return {
            "indices": index,
            "texts": [text for _, x in batches for text in render(x)],
            "reconstructed_texts": None if rebuilt is None else render(torch.from_numpy(rebuilt)),
        }
    return {
        "indices": index,
        "anchors": _compact(scorer.inputs(anchors, index), bounds),
        "reconstructions": None if rebuilt is None else _compact(rebuilt, bounds),
        "data_range": bounds,
    }


def _warn_invalid(invalid: NDArray[np.int64], n: int, reasons: Mapping[int, str]) -> None:
    if len(invalid):
        first = ", ".join(f"{i} ({reasons[int(i)]})" for i in invalid[:3])
        warnings.warn(
            f"PXGen: {len(invalid)} of {n} anchors are in no group (see invalid, reasons): {first}",
            PXGenWarning,
            stacklevel=4,
        )


def _at(labels: NDArray[np.str_] | None, index: NDArray[np.int64]) -> NDArray[np.str_] | None:
    return None if labels is None else labels[index]


def _compact(pixels: NDArray[np.float32], bounds: tuple[float, float] | None) -> NDArray[Any]:
    if bounds is None:
        return pixels
    unit = (np.nan_to_num(pixels) - bounds[0]) / (bounds[1] - bounds[0])
    compact: NDArray[np.uint8] = np.clip(np.rint(unit * 255.0), 0, 255).astype(np.uint8)
    return compact


def _calibration_data(calibration: Calibration) -> dict[str, Any]:
    reference = calibration.reference
    if reference is not None and len(reference) > _REFERENCE_ROWS:
        rows = np.linspace(0, len(reference) - 1, _REFERENCE_ROWS).round().astype(np.int64)
        reference = reference[rows]
    return {
        "method": calibration.method,
        "params": calibration.params,
        "n_samples": calibration.n_samples,
        "n_repeats": calibration.n_repeats,
        "n_invalid": calibration.n_invalid,
        "seed": calibration.seed,
        "repeats": calibration.repeats.copy(),
        "reference": None if reference is None else reference.copy(),
        "scale": None if reference is None else calibration.scale.tolist(),
    }
