"""Frechet distance between the patches of an anchor and those of its reconstruction."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import unfold

from pxgen_plugins.criteria.base import REGISTRY, Batch, Criterion, Kind, named_caller
from pxgen_plugins.criteria.elementwise import images
from pxgen_plugins.criteria.feature_distance import (
    Network,
    check_independence,
    feature_maps,
    network_or_none,
)
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import CapabilityError, caller

__all__ = ["PatchFrechet"]

_RIDGE = 1e-6  # of the mean variance, so that any covariance has a root
_FLAT = 1e-20  # that of features without any


@REGISTRY.register("patch_frechet")
class PatchFrechet(Criterion):
    """Single-image Frechet distance: between the patch statistics of anchor and reconstruction.

    Mean and covariance are taken over the positions of one image, so the Frechet distance (1957;
    for Gaussians Dowson and Landau 1982), which compares sets of images, gets a meaning for a
    single one (Shaham, Dekel and Michaeli 2019, with Inception's early features). It compares
    textures and ignores where they are. The features are square patches of pixels, or the maps of
    the user's network. Zero for an exact reconstruction.

    Args:
        patch: Side of the patches in pixels, when there is no network; cut at the image's side.
        network: Callable from a batch (b, *sample_shape) to feature maps (b, c, h, w); None takes
            patches.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the anchors are no images, or a map has a single position.
        ModelError: When the network returns something else.

    Cost: O(n (p c^2 + c^3)) for c features (channels x patch^2) at p positions, in float64, beside
    one reconstruction.

    Example:
        >>> from pxgen_plugins.criteria import Batch
        >>> class Mirror:
        ...     capabilities = {"reconstruct"}
        ...     def reconstruct(self, x): return x.flip(-1)
        >>> x = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> round(PatchFrechet(patch=1)(Batch(Mirror(), x)).item(), 6)
        0.0
    """

    name = "patch_frechet"
    kind: Kind = "extrinsic"
    requires = frozenset({"reconstruct"})
    needs = frozenset({"images"})
    unit = "squared feature value"

    @caller("PatchFrechet")
    def __init__(self, *, patch: int = 5, network: Network | None = None) -> None:
        self.patch = validation.integer(patch, "patch", minimum=1)
        self.network = network_or_none(network)
        if network is not None:  # whose maps count, whatever it takes
            self.needs = frozenset()

    @named_caller
    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        ours, theirs = self._features(batch)
        finite = torch.isfinite(ours.sum((1, 2))) & torch.isfinite(theirs.sum((1, 2)))
        # decompositions refuse a whole batch for one NaN, so bad rows sit this out
        distance = _frechet(*(torch.where(finite[:, None, None], f, 0.0) for f in (ours, theirs)))
        return torch.where(finite, distance, torch.nan).to(batch.x.dtype)

    def _features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return features of anchors and reconstructions, float64 (b, c, positions) each."""
        if self.network is None:
            pair = images(batch)
            side = min(self.patch, *pair[0].shape[-2:])
            ours, theirs = (unfold(part.double(), side) for part in pair)
        else:
            (ours, *rest), (theirs, *_) = (
                feature_maps(self.network, part) for part in (batch.x, batch.reconstruction)
            )
            if batch.first == 0:
                check_independence(self.network, batch.x, [ours, *rest])
        if ours.shape[2] < 2:
            hint = "Choose a smaller patch, or an earlier layer of the network."
            allowed = "such that features have several positions in an image"
            got = f"features of shape {tuple(ours.shape)}"
            raise CapabilityError("model", allowed, got, hint)
        return ours.double(), theirs.double()


def _frechet(x: Tensor, y: Tensor) -> Tensor:
    """Return the squared Frechet distance of each pair of (b, c, p) features, (b,)."""
    gap = (x.mean(2) - y.mean(2)).square().sum(1)
    (root_x, trace_x), (root_y, trace_y) = _root(x), _root(y)
    # tr (S T)^(1/2) is the sum of the singular values of R' Q for S = R R' and T = Q Q'
    cross = torch.linalg.svdvals(root_x.mT @ root_y).sum(1)
    distance: Tensor = gap + trace_x + trace_y - 2.0 * cross
    return distance.clamp(min=0.0)


def _root(x: Tensor) -> tuple[Tensor, Tensor]:
    centred = x - x.mean(2, keepdim=True)
    covariance = centred @ centred.mT / (x.shape[2] - 1)
    spread = covariance.diagonal(dim1=1, dim2=2).mean(1).clamp(min=_FLAT)
    identity = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    covariance = covariance + _RIDGE * spread[:, None, None] * identity
    root, _ = torch.linalg.cholesky_ex(covariance)
    return root, covariance.diagonal(dim1=1, dim2=2).sum(1)
