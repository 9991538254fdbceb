"""What a fitted PXGen decides, as a scalar of (model, anchor): a target of any adapter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pxgen_plugins.criteria import Batch
from pxgen_plugins.criteria.base import KINDS
from pxgen_plugins.groups import GROUPS
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr

__all__ = ["Margin"]

_AFFINITY = re.compile(r"affinity\[\s*(\w+)\s*\]")


class Margin:
    """How far an anchor is inside a group, or on the high side of an affinity.

    The margin of a criterion is (threshold - value) / scale, where the scale is the standard
    deviation of the values that the threshold was found on; it is positive where affinity is high.
    Several criteria of a kind are put together as the explainer's rule does it: the smallest margin
    for ``"all"``, the largest for ``"any"``, the mean for ``"mean"``. The margin of a group is the
    smaller one of its two kinds, with the sign turned where the group's affinity is low. So an
    anchor is in the group where the margin is positive, and the margin is differentiable where the
    model is, except where two criteria change places.

    Args:
        explainer: A fitted :class:`~pxgen_plugins.PXGen`.
        of: A group (``"HIHE"``, ``"HILE"``, ``"LIHE"``, ``"LILE"``), or ``"affinity[kld]"`` with a
            criterion of the explainer or a kind (``"intrinsic"``, ``"extrinsic"``).

    Raises:
        ParameterError: When the explainer is not fitted, or ``of`` is none of these.

    Example:
        >>> from pxgen_plugins import PXGen
        >>> from pxgen_plugins.testing.examples import LinearModel, noise
        >>> from pxgen_plugins.thresholds import Fixed
        >>> model = LinearModel()
        >>> explainer = PXGen(model, threshold=Fixed({"kld": 4.0, "mse": 0.5})).fit()
        >>> inside = Margin(explainer, "HIHE")(Batch(model, noise(model, 3))) > 0
        >>> bool((inside.numpy() == (explainer.explain(noise(model, 3)).group == "HIHE")).all())
        True
    """

    def __init__(self, explainer: Any, of: str = "HIHE") -> None:
        with caller("Margin"):
            calibration = getattr(explainer, "calibration", None)
            if calibration is None:
                hint = "Give PXGen(model).fit()."
                got = "one without thresholds" if hasattr(explainer, "calibration") else "another"
                raise ParameterError("explainer", "a fitted PXGen", got, hint)
            self.model = explainer.scorer().model
            self.criteria = list(explainer.criteria)
            self.rule = explainer.rule
            self.thresholds = calibration.thresholds
            self.scale = _usable_scale(calibration.scale, calibration.thresholds)
            self.parts = _parts(of, self.criteria)
            self.label = of.strip()

    def __call__(self, batch: Batch) -> Tensor:
        """Return the margins (b,) of a batch."""
        columns = [criterion(batch) for criterion in self.criteria]
        margins = [
            (float(threshold) - values) / float(scale)
            for values, threshold, scale in zip(columns, self.thresholds, self.scale, strict=True)
        ]
        parts = [sign * self._combine([margins[j] for j in own]) for own, sign in self.parts]
        return torch.stack(parts).amin(0)

    def _combine(self, margins: Sequence[Tensor]) -> Tensor:
        stacked = torch.stack(list(margins))
        if self.rule == "mean":
            return stacked.mean(0)
        return stacked.amax(0) if self.rule == "any" else stacked.amin(0)


def _usable_scale(scale: Any, thresholds: Any) -> Any:
    """Return positive scales: where the values have none, the size of the threshold, or 1."""
    size = np.where(np.abs(thresholds) > 0, np.abs(thresholds), 1.0)
    usable = np.isfinite(scale) & (np.nan_to_num(scale) > 0)
    return np.where(usable, scale, np.where(np.isfinite(size), size, 1.0))


def _parts(of: Any, criteria: Sequence[Any]) -> list[tuple[list[int], float]]:
    """Return which criteria decide together, and the sign of their margin, for each part."""
    names, kinds = [c.name for c in criteria], [c.kind for c in criteria]
    of = of.strip() if isinstance(of, str) else of
    if of in GROUPS:
        letters = (of[0], of[2])
        return [
            ([j for j, own in enumerate(kinds) if own == kind], 1.0 if letter == "H" else -1.0)
            for kind, letter in zip(KINDS, letters, strict=True)
        ]
    match = _AFFINITY.fullmatch(of) if isinstance(of, str) else None
    if match is not None and match[1] in names:
        return [([names.index(match[1])], 1.0)]
    if match is not None and match[1] in KINDS:
        return [([j for j, own in enumerate(kinds) if own == match[1]], 1.0)]
    allowed = "a group, or affinity[...] of " + ", ".join([*names, *KINDS])
    raise ParameterError("of", allowed, short_repr(of), "Write for example 'HILE'.")
