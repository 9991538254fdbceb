"""A model behind a wall: criterion values and samples are all that it gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pxgen_plugins.models._seeded_callable import Draw
from pxgen_plugins.models.base import GenerativeModel, register
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import CapabilityError, ModelError, caller, short_repr

__all__ = ["BlackBox"]


@register("black_box")
class BlackBox(GenerativeModel):
    """Criterion values computed outside, by a callable ``predictor(X) -> (n, m)`` on ndarrays.

    Args:
        predictor: Callable from an ndarray of anchors (n, ...) to their values (n, m), or (n,) for
            one criterion; smaller = closer to the model.
        sampler: Callable ``sampler(n, seed)`` to an ndarray of n instances of the model, needed
            for calibration only.
        n_values: Number m of criteria; None takes what ``predictor`` returns.

    Raises:
        ParameterError: When either is no callable.

    Example:
        >>> import numpy as np
        >>> box = BlackBox(lambda X: np.stack([X.sum(1), X.std(1)], 1),
        ...                lambda n, seed: np.random.default_rng(seed).random((n, 4)))
        >>> box.values(box.sample(3, seed=0)).shape
        torch.Size([3, 2])
    """

    @caller("BlackBox")
    def __init__(
        self,
        predictor: Callable[[Any], Any],
        sampler: Callable[[int, int], Any] | None = None,
        *,
        n_values: int | None = None,
    ) -> None:
        self._predictor = validation.function(predictor, "predictor", "X -> (n, m)")
        self._sampler: Draw | None = None
        if sampler is not None:
            draw = validation.function(sampler, "sampler", "(n, seed) -> n instances")
            self._sampler = Draw(draw, "sampler")
        self.n_values = n_values
        self.dtype = torch.float64  # whatever the caller's precision, values lose none of it
        self.capabilities = frozenset({"values"} if sampler is None else {"values", "sample"})
        self.remedies = {"sample": "Pass sampler=f, where f(n, seed) returns n instances."}

    @caller("BlackBox")
    def values(self, x: Tensor) -> Tensor:
        """Return the criteria's values of ``x``, shape (n, m), float64.

        Raises:
            ModelError: When ``predictor`` returns anything but finite or non-finite reals of that
                shape.
        """
        returned = self._predictor(x.detach().cpu().numpy())
        if not isinstance(returned, np.ndarray):
            hint = "Return a numpy array; a torch result needs .detach().cpu().numpy()."
            raise ModelError("predictor's result", "an ndarray", short_repr(returned), hint)
        table = returned[:, None] if returned.ndim == 1 else returned
        wanted = self.n_values if self.n_values is not None else table.shape[-1]
        if table.shape != (len(x), wanted) or table.dtype.kind not in "fiub":
            allowed = f"numbers of shape ({len(x)}, {wanted}): one row per anchor, a column each"
            hint = "Return one column per criterion, in the order of their names."
            raise ModelError("predictor's result", allowed, short_repr(returned), hint)
        return torch.tensor(table, dtype=torch.float64)

    @caller("BlackBox")
    def sample(self, n: int, seed: int) -> Tensor:
        """Return ``n`` instances from the sampler.

        Raises:
            CapabilityError: Without a sampler.
            ModelError: When the sampler returns another number of instances.
        """
        if self._sampler is None:
            hint = "Pass sampler=f with f(n, seed) -> ndarray, or threshold=Fixed(...)."
            allowed = "given, to draw the model's own samples"
            raise CapabilityError("sampler", allowed, "None", hint)
        answer = self._sampler.ask(n, seed)
        if isinstance(answer, tuple):  # as (X, y) of scikit-learn's mixtures
            allowed = f"an ndarray of {n} instances"
            hint = "Return the instances alone, as in lambda n, seed: draw(n, seed)[0]."
            raise ModelError("sampler's result", allowed, f"a tuple of {len(answer)}", hint)
        returned = np.asarray(answer)
        if returned.ndim < 1 or len(returned) != n or returned.dtype.kind not in "fiub":
            allowed = f"an ndarray of {n} instances"
            hint = "Make sampler(n, seed) return n instances along the first axis."
            raise ModelError("sampler's result", allowed, short_repr(returned), hint)
        return torch.tensor(returned, dtype=self.dtype)
