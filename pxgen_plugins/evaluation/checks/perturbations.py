"""Groups must follow what happens to the anchors: little for little, much for much."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.evaluation.checks import register
from pxgen_plugins.evaluation.checks.context import Agreement, Context, Row
from pxgen_plugins.seeds import derive

NAME = "perturbations"
STRENGTHS = (0.0, 0.001, 0.01, 0.05, 0.2)  # standard deviations, in units of the range
SHIFTS = (1, 2, 3)  # pixels
_SLACK = 0.02  # by which agreement may rise with the strength, by chance

Images = NDArray[np.float32]


@register(NAME)
def perturbations(context: Context) -> list[Row]:
    """Add noise, shift images, change one pixel; labels play no part.

    Noise of strength 0 must change nothing, the faintest must leave 95% of the anchors in their
    group, and agreement must fall as noise grows. Shifts (images only, the edge is repeated) and
    the one pixel (set to the far end of the range) are reported.
    """
    x = context.inputs()
    if not len(x):
        return [Row.skipped(NAME, "noise", "there are no anchors")]
    low, high = context.bounds
    rng = np.random.default_rng(derive(context.seed, NAME))
    noise = rng.standard_normal(x.shape).astype(np.float32)
    kept, rows = [], []
    for strength in STRENGTHS:
        moved = np.clip(x + strength * (high - low) * noise, low, high)
        case = f"noise of {strength:g} of the range"
        agreement = Agreement.of(context.codes, context.group(moved))
        kept.append(agreement.kept)
        # from float32 inputs and uint8 anchors the same values come out, up to rounding
        floor = {0.0: 0.999, STRENGTHS[1]: 0.95}.get(strength)
        measure = "anchors that keep their group"
        if floor is None:
            rows.append(Row(NAME, case, measure, agreement.kept))
        else:
            rows.append(Row.judged(NAME, case, measure, agreement.kept, low=floor))
    rise = float(np.diff(kept).max())
    measure = "largest rise of the kept share with the strength"
    rows.append(Row.judged(NAME, "noise", measure, rise, high=_SLACK))
    variants = {"one pixel": _one_pixel(x, low, high, rng)}
    if x.ndim == 4 and min(x.shape[-2:]) > max(SHIFTS):
        variants |= {f"shifted by {by} pixels": shifted(x, by) for by in SHIFTS}
    for case, moved in variants.items():
        agreement = Agreement.of(context.codes, context.group(moved))
        rows.append(Row(NAME, case, "anchors that keep their group", agreement.kept))
    return rows


def shifted(x: Images, by: int) -> Images:
    """Return images (n, c, h, w) moved to the right by ``by`` pixels, the edge repeated."""
    moved = np.roll(x, by, axis=-1)
    moved[..., :by] = x[..., :1]
    return moved


def _one_pixel(x: Images, low: float, high: float, rng: np.random.Generator) -> Images:
    """Return ``x`` with one element of each row set to the far end of the range."""
    flat = x.reshape(len(x), -1).copy()
    rows, place = np.arange(len(x)), rng.integers(flat.shape[1], size=len(x))
    flat[rows, place] = np.where(flat[rows, place] < (low + high) / 2, high, low)
    return flat.reshape(x.shape)
