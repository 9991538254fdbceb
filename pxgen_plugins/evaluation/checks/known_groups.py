"""Check that anchors of known kinds fall into the groups where they belong."""

from __future__ import annotations

from typing import Any

import numpy as np

from pxgen_plugins.evaluation.checks.agreement import Codes
from pxgen_plugins.evaluation.checks.base import register
from pxgen_plugins.evaluation.checks.calibration_coverage import coverage_bounds
from pxgen_plugins.evaluation.checks.context import Context
from pxgen_plugins.evaluation.checks.row import Row
from pxgen_plugins.evaluation.checks.transformed_anchors import Rows, Transformation, generators
from pxgen_plugins.models.base import capabilities
from pxgen_plugins.utils.seeds import derive

NAME = "known_groups"
_PATH = "planted"  # of the seeds: another word would give other draws
_SAMPLES = 1_000  # of the model
_TRAINING = 0.8  # of the training data in HIHE, at least
_FOREIGN = 0.1  # of what the model cannot know in HIHE, at most
_MEASURE = "share in HIHE"
_HIHE = 0


@register(NAME)
def known_groups(context: Context) -> list[Row]:
    """Score anchors of known kinds and see where they fall.

    The model's own fresh samples must be HIHE, but for the share that the threshold rule gives up
    (see :func:`.coverage_bounds`): if they are not, the thresholds are not this model's. Of the
    training data 80% must be, else HIHE does not mean "like what the model learnt". Uniform noise
    in the place of each anchor, anchors with their elements permuted, and the given out-of-domain
    sets must not be (10% at most). Both limits are conventions. Constant images are reported: a
    model may rebuild them well, and then they are no error.
    """
    rows = [_own_samples(context)]
    if context.training is not None:
        rows.append(
            _share(context, "training data", context.group(context.training), low=_TRAINING)
        )
    for name, X in context.out_of_domain.items():
        codes = context.group(X)
        rows.append(_share(context, f"out of domain: {name}", codes, high=_FOREIGN))
    shape = context.model.sample_shape
    if shape is None or hasattr(context.model, "render"):
        why = "the instances are no arrays of one shape"
        return [*rows, Row.skip(NAME, "made-up anchors", why)]
    seed = derive(context.seed, _PATH)
    if np.prod(shape) > 1:
        mixed = context.group(context.transform(_permutation(seed)))
        rows.append(_share(context, "anchors with permuted elements", mixed, high=_FOREIGN))
    low, high = context.bounds
    noise = context.group(context.transform(_uniform_noise(low, high, seed)))
    rows.append(_share(context, "uniform noise", noise, high=_FOREIGN))
    for name, level in (("lowest", low), ("middle", (low + high) / 2), ("highest", high)):
        codes = context.group(np.full((1, *shape), level, dtype=np.float32))
        (group,) = context.shares(codes)
        case = f"constant, {name} value"
        rows.append(Row.of(NAME, case, _MEASURE, float(codes[0] == _HIHE), note=group))
    return rows


def _own_samples(context: Context) -> Row:
    case = "the model's own samples"
    if "sample" not in capabilities(context.model):
        return Row.skip(NAME, case, "the model cannot sample")
    values = context.scorer.score_samples(_SAMPLES, derive(context.seed, _PATH, "samples"))
    values = values[np.isfinite(values).all(axis=1)]  # as calibration does
    several = len(context.kinds) > 2
    rule, calibration = context.explainer.threshold, context.calibration
    limits = coverage_bounds(rule, calibration, max(len(values), 1), several=several)
    if limits is None:
        note = "fixed thresholds promise no share"
        return _share(context, case, context.codes_of(values), note=note)
    return _share(context, case, context.codes_of(values), low=limits[0], high=limits[1])


def _share(context: Context, case: str, codes: Codes, note: str = "", **bounds: Any) -> Row:
    if not len(codes):
        return Row.skip(NAME, case, "there are none")
    shares = ", ".join(f"{name} {share:.1%}" for name, share in context.shares(codes).items())
    note = f"{shares}; {note}" if note else shares
    return Row.share(NAME, case, _MEASURE, codes == _HIHE, note=note, **bounds)


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
