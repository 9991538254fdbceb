"""Distance of an anchor to the nearest of the model's own samples."""

from __future__ import annotations

import math

from torch import Tensor

from pxgen_plugins.criteria._nearest_samples import SampleCriterion
from pxgen_plugins.criteria.base import REGISTRY, Kind

__all__ = ["NearestSample"]


@REGISTRY.register("nearest_sample")
class NearestSample(SampleCriterion):
    """Distance to the k-th nearest of ``n_fit`` samples, root mean square over the elements.

    As a score of outliers: Ramaswamy, Rastogi and Shim (2000). It stands in for the distance to a
    reconstruction where a model only gives samples. The bank is a few samples out of many, so the
    value of an anchor that the model could make is not 0; it falls slowly with ``n_fit``.
    Differentiable where the network is.

    The arguments are those of the other criteria on samples: ``k``, ``n_fit`` and ``network``,
    from a batch to features, or None for the elements themselves.

    Raises:
        ParameterError: When an argument is not allowed.
        ModelError: When samples or their features are too few, or not finite.

    Cost: O(n n_fit d) for features of d elements; memory and the saved state O(n_fit d).

    Example:
        >>> import torch
        >>> from pxgen_plugins.criteria import Batch
        >>> samples = torch.tensor([[0.0, 0.0], [3.0, 3.0], [9.0, 9.0]])
        >>> criterion = NearestSample(k=1)
        >>> criterion.fit(iter([Batch(None, samples)]))
        >>> criterion(Batch(None, torch.tensor([[4.0, 4.0]]))).tolist()
        [1.0]
    """

    name = "nearest_sample"
    kind: Kind = "extrinsic"
    unit = "data units"

    def summary(self, rows: Tensor) -> dict[str, Tensor]:
        """Return nothing: the bank is enough."""
        return {}

    def value(self, x: Tensor, squares: Tensor, slack: Tensor) -> Tensor:
        """Return the values, (b,)."""
        return self.kth_distance(x, squares) / math.sqrt(x.shape[1])
