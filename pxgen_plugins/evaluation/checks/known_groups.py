"""Anchors whose group is known beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np

from pxgen_plugins.evaluation.checks import register
from pxgen_plugins.evaluation.checks.agreement import Codes
from pxgen_plugins.evaluation.checks.calibration_coverage import promised
from pxgen_plugins.evaluation.checks.context import Context
from pxgen_plugins.evaluation.checks.row import Row
from pxgen_plugins.evaluation.checks.transformed_anchors import Change, Rows, draws
from pxgen_plugins.models.base import capabilities
from pxgen_plugins.utils.seeds import derive

NAME = "planted"
_SAMPLES = 1_000  # of the model
_TRAINED = 0.8  # of the training data in HIHE, at least
_FOREIGN = 0.1  # of what the model cannot know in HIHE, at most
_MEASURE = "share in HIHE"
_HIHE = 0


@register(NAME)
def planted(context: Context) -> list[Row]:
    """Plant anchors of known kinds and see where they fall.

    The model's own fresh samples must be HIHE, but for the share that the threshold rule gives up
    (see :func:`.promise.promised`): if they are not, the thresholds are not this model's. Of the
    training data 80% must be, else HIHE does not mean "like what the model learnt". Uniform noise
    in the place of each anchor, anchors with their elements permuted, and the given out-of-domain
    sets must not be (10% at most). Both limits are conventions. Constant images are reported: a
    model may rebuild them well, and then they are no error.
    """
    rows = [_own_samples(context)]
    if context.training is not None:
        rows.append(_share(context, "training data", context.group(context.training), low=_TRAINED))
    for name, X in context.out_of_domain.items():
        found = context.group(X)
        rows.append(_share(context, f"out of domain: {name}", found, high=_FOREIGN))
    shape = context.model.sample_shape
    if shape is None or hasattr(context.model, "render"):
        why = "the instances are no arrays of one shape"
        return [*rows, Row.skipped(NAME, "made-up anchors", why)]
    seed = derive(context.seed, NAME)
    if np.prod(shape) > 1:
        mixed = context.group(context.changed(_permuted(seed)))
        rows.append(_share(context, "anchors with permuted elements", mixed, high=_FOREIGN))
    low, high = context.bounds
    noise = context.group(context.changed(_replaced(low, high, seed)))
    rows.append(_share(context, "uniform noise", noise, high=_FOREIGN))
    for name, level in (("lowest", low), ("middle", (low + high) / 2), ("highest", high)):
        found = context.group(np.full((1, *shape), level, dtype=np.float32))
        (group,) = context.shares(found)
        case = f"constant, {name} value"
        rows.append(Row.judged(NAME, case, _MEASURE, float(found[0] == _HIHE), note=group))
    return rows


def _own_samples(context: Context) -> Row:
    case = "the model's own samples"
    if "sample" not in capabilities(context.model):
        return Row.skipped(NAME, case, "the model cannot sample")
    values = context.scorer.score_samples(_SAMPLES, derive(context.seed, NAME, "samples"))
    values = values[np.isfinite(values).all(axis=1)]  # as calibration does
    several = len(context.kinds) > 2
    rule, calibration = context.explainer.threshold, context.calibration
    expected = promised(rule, calibration, max(len(values), 1), several=several)
    if expected is None:
        note = "fixed thresholds promise no share"
        return _share(context, case, context.codes_of(values), note=note)
    return _share(context, case, context.codes_of(values), low=expected[0], high=expected[1])


def _share(context: Context, case: str, found: Codes, note: str = "", **bounds: Any) -> Row:
    if not len(found):
        return Row.skipped(NAME, case, "there are none")
    shares = ", ".join(f"{name} {share:.1%}" for name, share in context.shares(found).items())
    note = f"{shares}; {note}" if note else shares
    return Row.share(NAME, case, _MEASURE, found == _HIHE, note=note, **bounds)


def _permuted(seed: int) -> Change:
    """Return a change that permutes the elements of each row."""

    def change(rows: Rows) -> Rows:
        flat = rows.reshape(len(rows), -1)
        mixed = [g.permutation(row) for row, g in zip(flat, draws(rows, seed), strict=True)]
        return np.reshape(mixed, rows.shape)

    return change


def _replaced(low: float, high: float, seed: int) -> Change:
    """Return a change that puts uniform noise in the place of each row."""

    def change(rows: Rows) -> Rows:
        noise = [g.uniform(low, high, rows.shape[1:]) for g in draws(rows, seed)]
        return np.reshape(noise, rows.shape).astype(rows.dtype)

    return change
