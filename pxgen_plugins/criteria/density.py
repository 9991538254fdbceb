"""Density of the model's samples around an anchor: in how many of their balls it lies."""

from __future__ import annotations

import torch
from torch import Tensor

from pxgen_plugins.criteria._nearest_samples import SampleCriterion
from pxgen_plugins.criteria.base import REGISTRY, Kind
from pxgen_plugins.utils.neighbours import nearest_others

__all__ = ["Density"]


@REGISTRY.register("density")
class Density(SampleCriterion):
    """Minus the number of samples' balls that hold the anchor, divided by k (Naeem et al. 2020).

    The closed ball of a sample reaches to the k-th nearest other sample. The paper counts balls of
    real data around generated instances, and takes the mean; here the balls are the model's, so the
    value says how densely the model covers the place of one anchor: about -1 on average for its own
    samples, 0 outside of all balls. There is no gradient. In high dimensions a few samples are
    near to many others, and their own balls decide.

    The arguments are those of the other criteria on samples: ``k``, ``n_fit`` and ``network``,
    from a batch to features, or None for the elements themselves.

    Raises:
        ParameterError: When an argument is not allowed.
        ModelError: When samples or their features are too few, or not finite.

    Cost: learning O(n_fit^2 d), a value O(n_fit d) for features of d elements; memory and the
    saved state O(n_fit d).

    Example:
        >>> from pxgen_plugins.criteria import Batch
        >>> samples = torch.tensor([[0.0], [1.0], [2.0], [9.0]])
        >>> criterion = Density(k=1)
        >>> criterion.fit(iter([Batch(None, samples)]))
        >>> criterion(Batch(None, torch.tensor([[0.5], [5.0], [30.0]]))).tolist()
        [-2.0, -1.0, 0.0]
    """

    name = "density"
    kind: Kind = "intrinsic"
    unit = "minus balls / k"

    def summary(self, rows: Tensor) -> dict[str, Tensor]:
        """Return the squared radii of the balls, (m,)."""
        radii = torch.from_numpy(nearest_others(rows.numpy(), self.k)[:, -1])
        return {"squared_radii": radii.square()}

    def value(self, x: Tensor, squares: Tensor, slack: Tensor) -> Tensor:
        """Return the values, (b,)."""
        inside = (squares <= self.learned("squared_radii", x) + slack).sum(1)
        return 0.0 - inside.to(x.dtype) / self.k
