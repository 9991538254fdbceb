"""Ablation of latent dimensions: what the target loses when one is set to a baseline."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.adapters._latent_target import TargetFunction
from pxgen_plugins.adapters.attribution._baselines import anchors_per_call
from pxgen_plugins.adapters.attribution.base import Attribution, Table
from pxgen_plugins.adapters.base import register
from pxgen_plugins.utils.optional import load

__all__ = ["LatentAblation"]


@register("latent_ablation")
@dataclass(repr=False, eq=False, kw_only=True)
class LatentAblation(Attribution):
    """Loss of the target's value when a latent dimension of the anchor is set to a baseline.

    Value at the posterior mean minus the value with dimension j replaced, one j at a time, by
    ``captum.attr.FeatureAblation``. The anchor and its posterior variance stay. It needs values
    only, no gradients, and is the yardstick for other latent attributions.

    Args:
        predictor: The model.
        baseline: None (the prior mean, 0), a number, an array of one code's shape, or ``"mean"``:
            the mean of the posterior means of the data given to ``fit``.
        batch_size: Instances per model call, ablated ones included.
        target, normalize, seed, verbose: See
            :class:`~pxgen_plugins.adapters.attribution.base.Attribution`.

    Fields:
        attributions (float32 (n, *latent_shape)): Loss of the target's value at each of n anchors
            when a latent dimension is replaced, in units of the target. Positive = the target falls
            without the dimension. NaN for anchors left out.
        target (str): Label of what is explained.
        target_values (float64 (n,)): Its value at each anchor; NaN for those left out.
        space (str): ``"latent"``.
        normalized (bool): Whether ``attributions`` are scaled to [0, 1] for each anchor: then they
            have neither unit nor sign.
        ranges (float64 (n, 2)): Lowest and highest attribution of each anchor before that; NaN for
            those left out.
        baseline (str or float): What takes a dimension's place, in words or as a number.
        baseline_values (float64 (n,)): The target with all dimensions replaced; NaN for anchors
            left out; None where there are no anchors.
        labels, ids (str (n,)): Labels and names of the anchors; None where they have none.
        convergence_delta, layer, maps (None): Set by other methods.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

    Raises:
        CapabilityError: When the model cannot encode or decode, or lacks what the target needs.
        NotFittedError: From ``explain``, when the mean was not fitted.
        MissingDependencyError: From ``explain``, when captum is absent.

    Cost: one forward pass of the target per latent dimension, for n anchors.

    Example:
        >>> import numpy as np
        >>> from pxgen_plugins.models import VAE
        >>> flat = VAE(encode=lambda x: (2 * x, 0 * x), decode=lambda z: z / 4,
        ...            modules=(), sample_shape=(2,), data_range=None)
        >>> LatentAblation(flat, "kld").explain(np.array([[1.0, 2.0]], "f4")).attributions.tolist()
        [[2.0, 8.0]]
    """

    access = "latent"
    evidence = "latent_attribution"
    space: str = field(default="latent", init=False)
    baseline: Any = None

    def _attribute(
        self, function: TargetFunction, point: Tensor, fixed: tuple[Tensor, ...]
    ) -> Table:
        captum = load("captum.attr", "captum")
        baseline = self._baseline(point)
        numbers = torch.arange(point[0].numel(), device=point.device).reshape(point[:1].shape)
        attributions = captum.FeatureAblation(function.values).attribute(
            point,
            baselines=baseline,
            additional_forward_args=fixed,
            feature_mask=numbers,
            perturbations_per_eval=anchors_per_call(len(point), self.batch_size),
        )
        return {
            "attributions": attributions,
            "baseline_values": function.values(baseline, *fixed),
        }
