"""Rank of an anchor among the model's samples by how well it lies among them."""

from __future__ import annotations

import torch
from torch import Tensor

from pxgen_plugins.criteria._nearest_samples import SampleCriterion
from pxgen_plugins.criteria.base import REGISTRY, Kind
from pxgen_plugins.utils.neighbours import blocks, nearest_others, squared_distances

__all__ = ["SampleRank"]

_TIE = 1e-9  # ratios that differ by less differ by rounding


@REGISTRY.register("sample_rank")
class SampleRank(SampleCriterion):
    """Share of the model's samples that lie better among the others than the anchor does, [0, 1].

    How well an instance lies among samples is its distance to the k-th nearest of them over the
    mean of that distance of these neighbours themselves: near 1 inside, whether the model is dense
    there or sparse, and large outside. This is the nearest-neighbour data description of de Ridder,
    Tax and Duin (1998) with the averaging of the local outlier factor (Breunig et al. 2000), and
    neighbours that tie all count, as in the latter. The samples' own ratios are taken as if each
    were not in the bank. So for an instance that the model made the value is about uniform in
    [0, 1]; and it is no function of :class:`~pxgen_plugins.criteria.NearestSample`, which knows no
    local scale.

    All that lies worse than every sample ties at 1. There is no gradient. The arguments are those
    of the other criteria on samples: ``k``, ``n_fit`` and ``network``.

    Raises:
        ParameterError: When an argument is not allowed.
        ModelError: When samples or their features are too few, or not finite.

    Cost: learning O(n_fit^2 d), a value O(n_fit d) for features of d elements; memory and the
    saved state O(n_fit d).

    Example:
        >>> from pxgen_plugins.criteria import Batch
        >>> samples = torch.arange(8.0)[:, None]
        >>> criterion = SampleRank(k=2)
        >>> criterion.fit(iter([Batch(None, samples)]))
        >>> criterion(Batch(None, torch.tensor([[3.5], [20.0]]))).tolist()
        [0.25, 1.0]
    """

    name = "sample_rank"
    kind: Kind = "intrinsic"
    unit = "share of samples"

    def summary(self, rows: Tensor) -> dict[str, Tensor]:
        """Return the samples' distances to their k-th nearest, (m,), and sorted ratios, (m,)."""
        nearest = torch.from_numpy(nearest_others(rows.numpy(), self.k + 1))
        kth, after = nearest[:, -2], nearest[:, -1]
        ratios = []
        for part in blocks(len(rows), len(rows)):
            squares, slack = squared_distances(rows[part], rows, rows.mean(0))
            here = torch.arange(len(squares))
            squares[here, part.start + here] = torch.inf  # not its own neighbour
            around = squares <= kth[part, None].square() + slack
            # without this sample, those that have it among their k nearest reach to the next
            theirs = torch.where(squares <= kth.square() + slack, after, kth)
            ratios.append(_ratio(kth[part], (theirs * around).sum(1) / around.sum(1)))
        return {"reach": kth, "ratios": torch.cat(ratios).sort().values}

    def value(self, x: Tensor, squares: Tensor, slack: Tensor) -> Tensor:
        """Return the values, (b,)."""
        own = self.kth_distance(x.detach(), squares)
        around = squares <= own[:, None].square() + slack
        theirs = (around.to(x.dtype) @ self.learned("reach", x)) / around.sum(1)
        ratio, ratios = _ratio(own, theirs), self.learned("ratios", x)
        return torch.searchsorted(ratios, ratio * (1.0 - _TIE)).to(x.dtype) / len(ratios)


def _ratio(own: Tensor, theirs: Tensor) -> Tensor:
    """Return the ratio; 0 among copies, which are all at distance 0."""
    return torch.where(own == 0, 0.0, own / theirs)
