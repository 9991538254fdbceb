"""A number for every picture, and the share of an effect, with intervals over seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.adapters.targets import Latent, Pixel, Target, resolve
from pxgen_plugins.adapters.units.change import half_width, removed
from pxgen_plugins.criteria import Criterion
from pxgen_plugins.utils.errors import ModelError, caller, short_repr

__all__ = ["Effects", "Scorer", "effects_of", "scorer_label", "scorer_of"]

Floats = NDArray[np.float64]
Scorer = Callable[[Tensor], Floats]
"""From pictures (n, *sample_shape) to n numbers."""


def scorer_label(scorer: Any) -> str:
    """Return a scorer's name: of a criterion or target its own, of a function its name."""
    for attribute in ("label", "name", "__name__"):
        if isinstance(name := getattr(scorer, attribute, None), str):
            return name
    return scorer if isinstance(scorer, str) else type(scorer).__name__


def scorer_of(scorer: Any, model: Any, prompt: str, seed: int) -> Scorer:
    """Return what gives every picture a number.

    Args:
        scorer: A callable from pictures (n, *sample_shape) to (n,), as the probability of a class
            by a classifier; or a criterion, by name or object, or another target of the adapters,
            of the model under ``prompt``.
        model: The model.
        prompt: The prompt under which a criterion is asked.
        seed: Seed of a criterion's own noise.

    Raises:
        ParameterError: When it is none of these.
        CapabilityError: When the model lacks what a criterion needs.
    """
    function = scorer
    if not callable(scorer) or isinstance(scorer, (Criterion, Latent, Pixel, Target)):
        bound = model.bind(prompt)
        target = scorer if isinstance(scorer, Target) else resolve(scorer, bound)

        def function(x: Tensor) -> Any:
            return target.value(bound, x, seed=seed)

    label = scorer_label(scorer)

    def score(x: Tensor) -> Floats:
        with torch.no_grad(), caller(f"scorer {label!r}"):
            given = function(x)
            try:
                values = torch.as_tensor(given).detach().double().cpu().numpy()
            except (TypeError, ValueError, RuntimeError):
                values = np.empty(0)
            if values.shape != (len(x),) or not np.isfinite(values).all():
                hint = "Return one number per picture, as in net(x).softmax(1)[:, 7]."
                allowed = f"{len(x)} finite numbers"
                raise ModelError("result", allowed, short_repr(given), hint)
        return np.asarray(values, dtype=np.float64)

    return score


@dataclass(frozen=True)
class Effects:
    """Effects of k interventions, with 95% intervals over seeds.

    Attributes:
        effect: Mean change of the score, (k,); ``interval``: (k, 2), Student's.
        interval: See ``effect``.
        share: Change as a share of the whole one, (k,); NaN where that is 0;
            ``share_interval``: (k, 2), by the linearised variance of a ratio.
        share_interval: See ``share``.
    """

    effect: Floats
    interval: Floats
    share: Floats
    share_interval: Floats

    def without_shares(self) -> Effects:
        """Return the effects alone; shares are NaN."""
        share, interval = (np.full_like(x, np.nan) for x in (self.share, self.share_interval))
        return replace(self, share=share, share_interval=interval)


def effects_of(changes: Floats, whole: Floats) -> Effects:
    """Return the effects of k interventions on n seeds.

    Args:
        changes: Change of the score, (k, n), paired with
        whole: the change of the score that shares are of, (n,).

    Example:
        >>> effects_of(np.array([[1.0, 1.0], [0.0, 0.0]]), np.array([2.0, 2.0])).share.tolist()
        [0.5, 0.0]
    """
    reach = np.array([half_width(row) for row in changes])
    mean = changes.mean(axis=1)
    sign = -1.0 if whole.mean() < 0 else 1.0
    shares = [removed(sign * whole, sign * (whole - row)) for row in changes]
    return Effects(
        mean,
        np.stack([mean - reach, mean + reach], axis=1),
        np.array([share for share, _ in shares]),
        np.array([interval for _, interval in shares]),
    )
