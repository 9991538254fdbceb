"""Fraction of an anchor's variance that its reconstruction does not explain."""

from __future__ import annotations

from torch import Tensor

from pxgen_plugins.criteria.base import REGISTRY, Batch, Criterion, Kind, named_caller
from pxgen_plugins.criteria.elementwise import channels_first, span
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import caller

__all__ = ["FVU"]


@REGISTRY.register("fvu")
class FVU(Criterion):
    """Fraction of the anchor's variance that its reconstruction leaves unexplained, 1 - R^2.

    The squared error over the squared deviations of the anchor from its own mean: 0 is an exact
    reconstruction, 1 what answering the mean of each channel would give. Where ``"mse"`` finds
    every smooth picture near, because little can go wrong with it, this asks what share of the
    little that there is came through. Means are taken per channel of an image, over all elements
    of anything else; R^2 is the coefficient of determination.

    An anchor without structure, such as a constant image, would divide by zero: the variance of
    rounding to ``levels`` values, (range / (levels - 1))^2 / 12, is added below the line, so that
    such an anchor is near only when it comes back to within rounding.

    Args:
        levels: Values that a stored element can take; None adds nothing, and a constant anchor
            has no finite value (it is reported as invalid).

    Raises:
        CapabilityError: When the model has no ``data_range``, unless ``levels`` is None.
        ParameterError: When ``levels`` is no integer from 2.

    Cost: O(n d) for d elements, beside one reconstruction.

    Example:
        >>> import torch
        >>> from pxgen_plugins.criteria import Batch
        >>> from pxgen_plugins.testing.examples import EchoModel
        >>> model = EchoModel((2,), blend=0.25)  # three quarters of x, one of (0, 1)
        >>> x = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.9, 0.9]])
        >>> [round(value, 2) for value in FVU()(Batch(model, x)).tolist()]
        [0.0, 0.25, 19995.19]
    """

    name = "fvu"
    kind: Kind = "extrinsic"
    requires = frozenset({"reconstruct"})
    needs = frozenset({"bounded"})
    unit = "share of variance"

    @caller("FVU")
    def __init__(self, *, levels: int | None = 256) -> None:
        if levels is not None:
            levels = validation.integer(levels, "levels", minimum=2)
        else:
            self.needs = frozenset()
        self.levels = levels

    @named_caller
    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        rounding = 0.0
        if self.levels is not None:
            rounding = (span(batch)[1] / (self.levels - 1)) ** 2 / 12.0
        x = channels_first(batch.x)
        within = tuple(range(2 if x.ndim == 4 else 1, x.ndim))
        spread = (x - x.mean(within, keepdim=True)).square().flatten(1).mean(1)
        error = (batch.x - batch.reconstruction).square().flatten(1).mean(1)
        return error / (spread + rounding)
