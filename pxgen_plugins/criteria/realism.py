"""Realism of an anchor among the model's samples."""

from __future__ import annotations

import torch
from torch import Tensor

from pxgen_plugins.criteria._nearest_samples import SampleCriterion
from pxgen_plugins.criteria.base import REGISTRY, Kind
from pxgen_plugins.utils.errors import ModelError
from pxgen_plugins.utils.neighbours import nearest_others

__all__ = ["Realism"]


@REGISTRY.register("realism")
class Realism(SampleCriterion):
    """Reciprocal of the realism score R = max_i r_i / d(x, s_i) (Kynkaanniemi et al. 2019).

    r_i is the distance of sample s_i to the k-th nearest other sample. The paper scores generated
    instances by balls around real ones; here the balls are the model's, and the value 1 / R is the
    distance in radii: 0 for a copy of a sample, at most 1 inside of a ball, larger outside. As in
    the paper, samples whose radius is above the median take no part, since they lie where there is
    nothing else; nor do those with k copies or more, whose radius is 0. Differentiable where the
    network is.

    The arguments are those of the other criteria on samples: ``k`` (the paper takes 3), ``n_fit``
    and ``network``, from a batch to features, or None for the elements themselves.

    Raises:
        ParameterError: When an argument is not allowed.
        ModelError: When samples or their features are too few, not finite, or all have k copies.

    Cost: learning O(n_fit^2 d), a value O(n_fit d) for features of d elements; memory and the
    saved state O(n_fit d).

    Example:
        >>> from pxgen_plugins.criteria import Batch
        >>> samples = torch.tensor([[0.0], [1.0], [2.0], [9.0]])
        >>> criterion = Realism(k=1)
        >>> criterion.fit(iter([Batch(None, samples)]))
        >>> criterion(Batch(None, torch.tensor([[1.0], [9.0]]))).tolist()
        [0.0, 7.0]
    """

    name = "realism"
    kind: Kind = "intrinsic"
    unit = "radii"

    def summary(self, rows: Tensor) -> dict[str, Tensor]:
        """Return the features of the samples that take part, (p, d), and their radii, (p,)."""
        radii = torch.from_numpy(nearest_others(rows.numpy(), self.k)[:, -1])
        some = radii[radii > 0]
        if not len(some):
            hint = "Raise k, or use 'nearest_sample', which needs no radius."
            got = f"{len(rows)} with k = {self.k} copies or more each"
            raise ModelError("samples", "different", got, hint)
        kept = (radii > 0) & (radii <= some.median())
        return {"rows": rows[kept], "radii": radii[kept]}

    def value(self, x: Tensor, squares: Tensor, slack: Tensor) -> Tensor:
        """Return the values, (b,)."""
        radii = self.learned("radii", x)
        best = (squares / radii.square()).argmin(1)
        return self.distance(x, best) / radii[best]
