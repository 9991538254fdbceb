"""Check that groups change little when anchors change little, and more when they change more."""

from __future__ import annotations

import itertools

import numpy as np

from pxgen_plugins.evaluation.checks.agreement import RAND, SAME_GROUP, Agreement
from pxgen_plugins.evaluation.checks.base import register
from pxgen_plugins.evaluation.checks.context import Context, Floats
from pxgen_plugins.evaluation.checks.row import Row
from pxgen_plugins.evaluation.checks.transformed_anchors import Rows, Transformation, generators
from pxgen_plugins.utils.seeds import derive

NAME = "perturbations"
STRENGTHS = (0.0, 0.005, 0.01, 0.05, 0.1, 0.2)  # standard deviations, in units of the range
SHIFTS = (1, 2, 3)  # pixels
_TINY = 2  # place of the strength whose effect is predicted from half of it
_SPARED = 0.99  # of the anchors, for each criterion, must change no more than predicted


@register(NAME)
def perturbations(context: Context) -> list[Row]:
    """Add noise, shift images, change one pixel; labels play no part.

    Noise is Gaussian, cut to the range, and the same for an anchor at all strengths but for its
    size. Three things must hold. Strength 0 changes no group. Noise of 0.01 of the range spares the
    anchors that lie farther from the thresholds than half that noise predicts: a criterion that is
    smooth there changes at most four times as much when noise doubles (a linear term doubles, a
    quadratic one quadruples); bounds are taken at the 99th percentile of the change, so that 1% of
    the anchors may break them for each criterion. And the share that keeps its group does not rise
    with the strength by more than both 95% intervals allow. Shifts (images, the edge is repeated)
    and one pixel set to the far end of the range are reported.
    """
    if context.model.sample_shape is None or hasattr(context.model, "render"):
        return [Row.skip(NAME, "noise", "the instances are no arrays of one shape")]
    low, high = context.bounds
    seed = derive(context.seed, NAME)
    values = [
        context.score(context.transform(_noise(strength, low, high, seed)))
        for strength in STRENGTHS
    ]
    rows, shares = [], []
    for place, strength in enumerate(STRENGTHS):
        floor = {0: 1.0, _TINY: _least_share(context, values[_TINY - 1])}.get(place)
        noise_rows = _compare(context, f"noise of {strength:g} of the range", values[place], floor)
        rows += noise_rows
        shares.append(noise_rows[0])
    rows.append(_rise(shares[1:]))
    others: dict[str, Transformation] = {"one pixel": _one_pixel(low, high, seed)}
    shape = context.model.sample_shape
    if len(shape) in (2, 3) and min(shape[-2:]) > 2 * max(SHIFTS):
        others |= {f"shifted by {by} px": _random_shift(by, seed) for by in SHIFTS}
    for case, change in others.items():
        rows += _compare(context, case, context.score(context.transform(change)), None)
    return rows


def _compare(context: Context, case: str, values: Floats, floor: float | None) -> list[Row]:
    agreement = Agreement.of(context.codes, context.codes_of(values))
    rows = [Row.share(NAME, case, SAME_GROUP, agreement.same, low=floor)]
    return rows if np.isnan(agreement.rand) else [*rows, Row.of(NAME, case, RAND, agreement.rand)]


def _least_share(context: Context, half: Floats) -> float | None:
    """Return the least share that noise spares, from the values under half of it.

    None under the rule "mean", where a group may change though no value crosses its threshold.
    """
    if context.explainer.rule == "mean" and len(context.kinds) > 2:
        return None
    change = np.abs(half - context.values)
    finite = np.isfinite(change).all(axis=1)
    if not finite.any():
        return 0.0
    reach = 4.0 * np.quantile(change[finite], _SPARED, axis=0)
    near = (np.abs(context.values - context.calibration.thresholds) <= reach).any(axis=1)
    broken = (1.0 - _SPARED) * len(context.kinds) + float((~finite).mean())
    return max(0.0, 1.0 - float(near.mean()) - broken)


def _rise(shares: list[Row]) -> Row:
    """Return that rise of the share that keeps its group which chance explains least."""
    worst = (-np.inf, 0.0, 0.0, "")
    for weaker, stronger in itertools.combinations(shares, 2):
        (share, _, top), (later, bottom, _) = (
            (row.value or 0.0, *(row.interval or (0.0, 0.0))) for row in (weaker, stronger)
        )
        rise, room = later - share, (later - bottom) + (top - share)
        worst = max(worst, (rise - room, rise, room, f"{weaker.case} to {stronger.case}"))
    _, rise, room, pair = worst
    measure = "largest rise of that share"
    return Row.of(NAME, "noise, rising strength", measure, rise, high=room, note=pair)


def _noise(strength: float, low: float, high: float, seed: int) -> Transformation:
    def transform(rows: Rows) -> Rows:
        draws = [g.standard_normal(rows.shape[1:]) for g in generators(rows, seed)]
        noise = np.reshape(draws, rows.shape).astype(rows.dtype)
        # anchors may overshoot the range a little, and must not be cut back by no noise
        ends = np.minimum(rows, low), np.maximum(rows, high)
        moved: Rows = np.clip(rows + strength * (high - low) * noise, *ends).astype(rows.dtype)
        return moved

    return transform


def _one_pixel(low: float, high: float, seed: int) -> Transformation:
    def transform(rows: Rows) -> Rows:
        flat = rows.reshape(len(rows), -1).copy()
        place = np.array(
            [g.integers(flat.shape[1]) for g in generators(rows, seed)], dtype=np.int64
        )
        at = np.arange(len(rows))
        flat[at, place] = np.where(flat[at, place] < (low + high) / 2, high, low)
        return flat.reshape(rows.shape)

    return transform


def _random_shift(by: int, seed: int) -> Transformation:
    def transform(rows: Rows) -> Rows:
        moved = rows.copy()
        way = np.array([g.integers(4) for g in generators(rows, seed)], dtype=np.int64)
        for direction in range(4):
            some = way == direction
            moved[some] = shift(rows[some], by * (1 - 2 * (direction % 2)), -1 - direction // 2)
        return moved

    return transform


def shift(rows: Rows, by: int, axis: int) -> Rows:
    """Return rows moved by ``by`` places along ``axis``, forwards where positive, edge repeated.

    Example:
        >>> shift(np.array([[1, 2, 3]]), 1, -1).tolist()
        [[1, 1, 2]]
    """
    size = rows.shape[axis]
    moved: Rows = np.take(rows, np.clip(np.arange(size) - by, 0, size - 1), axis=axis)
    return moved
