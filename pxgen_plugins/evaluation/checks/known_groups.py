"""Check that anchors of known kinds fall into the groups where they belong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pxgen_plugins.evaluation.checks.agreement import Codes
from pxgen_plugins.evaluation.checks.base import register
from pxgen_plugins.evaluation.checks.calibration_coverage import coverage_bounds
from pxgen_plugins.evaluation.checks.context import Context
from pxgen_plugins.evaluation.checks.row import Row
from pxgen_plugins.evaluation.checks.transformed_anchors import Rows, Transformation, generators
from pxgen_plugins.groups import GROUPS, wilson_interval
from pxgen_plugins.models.base import capabilities
from pxgen_plugins.thresholds import MeanMax
from pxgen_plugins.utils.seeds import derive
from pxgen_plugins.utils.text import percent

NAME = "known_groups"
_PATH = "planted"  # of the seeds: another word would give other draws
_SAMPLES = 1_000  # of the model
_FOREIGN = 0.9  # of what the model cannot know in its groups, at least
_OUTSIDE = ("HILE", "LIHE", "LILE")
_FAR = ("HILE", "LILE")


@dataclass(frozen=True)
class _Stranger:
    """What the model cannot know: its groups, those where it belongs, and the share there."""

    case: str
    codes: Codes
    belongs: tuple[str, ...]
    low: float


@register(NAME)
def known_groups(context: Context) -> list[Row]:
    """Score anchors of known kinds and see whether they fall into the group where they belong.

    | case | group | share there, at least |
    |---|---|---|
    | the model's own samples | HIHE | what the rule promises of samples |
    | training data | HIHE | what the rule promises of data, else more than of any stranger |
    | out-of-domain sets | not HIHE | 90% |
    | anchors with permuted elements, uniform noise | HILE or LILE | 90% |
    | constant instances | not HIHE | all of each |

    What a rule promises follows from the rule (see :func:`.coverage_bounds`), of what its
    thresholds come from: of samples with ``source="samples"``, of data with
    ``source="reference"``, where samples are only reported. Thresholds from samples promise
    nothing of data, so training data must then have a larger share in HIHE than the upper end of
    every stranger's 95% interval. The 90% are a convention: no rule promises that strangers are
    kept out. Constant instances fail where the criteria ask too little: squared errors of plain
    images are small, "fvu" and "ssim" tell them.
    """
    strangers = [
        _Stranger(f"out of domain: {name}", context.group(X), _OUTSIDE, _FOREIGN)
        for name, X in context.out_of_domain.items()
    ]
    rows = []
    if context.model.sample_shape is None or hasattr(context.model, "render"):
        rows = [Row.skip(NAME, "made-up anchors", "the instances are no arrays of one shape")]
    else:
        strangers += _made_up(context, context.model.sample_shape)
    judged = [_row(context, s.case, s.codes, s.belongs, low=s.low) for s in strangers]
    return [_own_samples(context), *_training(context, strangers), *judged, *rows]


def _made_up(context: Context, shape: tuple[int, ...]) -> list[_Stranger]:
    """Return instances that are made from the anchors, or from nothing."""
    made = []
    seed = derive(context.seed, _PATH)
    if np.prod(shape) > 1:
        mixed = context.group(context.transform(_permutation(seed)))
        made.append(_Stranger("anchors with permuted elements", mixed, _FAR, _FOREIGN))
    low, high = context.bounds
    noise = context.group(context.transform(_uniform_noise(low, high, seed)))
    made.append(_Stranger("uniform noise", noise, _FAR, _FOREIGN))
    for name, level in (("lowest", low), ("middle", (low + high) / 2), ("highest", high)):
        codes = context.group(np.full((1, *shape), level, dtype=np.float32))
        made.append(_Stranger(f"constant, {name} value", codes, _OUTSIDE, 1.0))
    return made


def _own_samples(context: Context) -> Row:
    case = "the model's own samples"
    if "sample" not in capabilities(context.model):
        return Row.skip(NAME, case, "the model cannot sample")
    values = context.scorer.score_samples(_SAMPLES, derive(context.seed, _PATH, "samples"))
    values = values[np.isfinite(values).all(axis=1)]  # as calibration does
    codes = context.codes_of(values)
    if context.calibration.source == "reference":
        return _row(context, case, codes, note="thresholds from reference data promise none")
    limits = _promise(context, len(values))
    if limits is None:
        return _row(context, case, codes, note="fixed thresholds promise no share")
    is_max = isinstance(context.explainer.threshold, MeanMax)
    note = "MeanMax promises no share: the limit is that of a maximum" if is_max else ""
    return _row(context, case, codes, low=limits[0], high=limits[1], note=note)


def _training(context: Context, strangers: list[_Stranger]) -> list[Row]:
    if context.training is None:
        return []
    case, codes = "training data", context.group(context.training)
    if context.calibration.source == "reference":
        limits = _promise(context, len(codes))
        # what was trained on may be nearer than what was held out, so nothing is too high
        low, note = None if limits is None else limits[0], "the rule's promise of held-out data"
        return [_row(context, case, codes, low=low, note=note)]
    # a constant instance is one anchor, whose interval says next to nothing
    sets = [s.codes == GROUPS.index("HIHE") for s in strangers if len(s.codes) > 1]
    ends = [wilson_interval(int(inside.sum()), len(inside)) for inside in sets]
    highest = max((end[1] for end in ends if end is not None), default=None)
    note = "thresholds from samples promise none of data: more than strangers"
    return [_row(context, case, codes, low=highest, note=note)]


def _promise(context: Context, k: int) -> tuple[float | None, float | None] | None:
    several = len(context.kinds) > 2
    rule, calibration = context.explainer.threshold, context.calibration
    return coverage_bounds(rule, calibration, max(k, 1), several=several)


def _row(
    context: Context,
    case: str,
    codes: Codes,
    belongs: tuple[str, ...] = ("HIHE",),
    note: str = "",
    **bounds: Any,
) -> Row:
    """Return the share of the codes that lies in the groups where the case belongs."""
    if not len(codes):
        return Row.skip(NAME, case, "there are none")
    where = "outside HIHE" if belongs == _OUTSIDE else "in " + " or ".join(belongs)
    shares = ", ".join(f"{name} {percent(share)}" for name, share in context.shares(codes).items())
    hits = np.isin(codes, [GROUPS.index(name) for name in belongs])
    note = f"{shares}; {note}" if note else shares
    return Row.share(NAME, case, f"share {where}", hits, note=note, **bounds)


def _permutation(seed: int) -> Transformation:
    """Return a transformation that permutes the elements of each row."""

    def transform(rows: Rows) -> Rows:
        flat = rows.reshape(len(rows), -1)
        mixed = [g.permutation(row) for row, g in zip(flat, generators(rows, seed), strict=True)]
        return np.reshape(mixed, rows.shape)

    return transform


def _uniform_noise(low: float, high: float, seed: int) -> Transformation:
    """Return a transformation that puts uniform noise in the place of each row."""

    def transform(rows: Rows) -> Rows:
        noise = [g.uniform(low, high, rows.shape[1:]) for g in generators(rows, seed)]
        return np.reshape(noise, rows.shape).astype(rows.dtype)

    return transform
