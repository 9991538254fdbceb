"""Directions that the first weights of a generator amplify most: SeFa."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.directions._count import count_for
from pxgen_plugins.adapters.directions._first_layer import affine_matrix, first_layer
from pxgen_plugins.adapters.directions._response import Floats
from pxgen_plugins.adapters.directions._signs import leading
from pxgen_plugins.adapters.directions.base import DirectionAdapter
from pxgen_plugins.axes import Axis
from pxgen_plugins.utils import validation

__all__ = ["WeightDirections"]

_USUAL = 10  # directions that nobody counted


@register("weight_directions")
@dataclass(repr=False, eq=False)
class WeightDirections(DirectionAdapter):
    """Eigenvectors of A^T A for the first affine map A of the generator (SeFa).

    Shen and Zhou (2021): a step along the first of them moves the output of the map most, whatever
    the code. No samples are needed. A convolution counts with all outputs that it makes of a code.

    Args:
        predictor: A torch model with ``decode`` and ``layers``.
        layer: Name of the layer that takes the code, out of ``predictor.layers`` or as the
            network's own ``named_modules()`` has it; None finds it.
        n_components: Directions, >= 1, at most the latent dimensions. None takes 10, or all
            dimensions where there are fewer.
        normalise: Scale every output's weights to norm 1 first, as the authors' code does. It
            changes the answer: outputs that hardly count, count as much as the others.
        fold: Count a batch norm that takes the layer's outputs as part of it: it rescales them. One
            behind an activation is no part of an affine map.
        step: Length of one step in latent space, > 0; 1 is a standard deviation of N(0, I).
        assessors, span, n_frames, n_codes, n_shown, n_random, keep, realism, seed, batch_size,
            verbose: See :class:`~pxgen_plugins.adapters.directions.base.DirectionAdapter`.

    What ``explain`` returns, and what a shell is, says
    :class:`~pxgen_plugins.adapters.directions.base.DirectionAdapter`, field by field.

    Raises:
        ParameterError: When more directions are asked for than there are latent dimensions.
        ModelError: When no layer takes the code itself, or what takes it is no affine map, or one
            of more than 2^27 numbers.

    Cost: d calls of the layer and O(out d^2 + d^3), for ``out`` outputs and d latent dimensions;
    ``explain`` as the others: 40,600 decoder passes by default, for ten directions and 19 random
    ones, of which these take 26,600.

    Example:
        >>> from torch import nn
        >>> from pxgen_plugins.models import VAE
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.Sigmoid())
        >>> _ = net[0].weight.data.copy_(torch.tensor([[0.0, 3.0], [0.0, 0.0], [1.0, 0.0]]))
        >>> model = VAE(encode=lambda x: (x[:, :2], x[:, :2]), decode=net.forward,
        ...             latent_shape=(2,), modules=net, check=False)
        >>> explanation = WeightDirections(model, n_components=2, realism=None).explain(None)
        >>> explanation.directions.tolist(), explanation.importance.round(3).tolist()
        ([[0.0, 1.0], [1.0, 0.0]], [3.0, 1.0])
    """

    access = "weights"
    requires = frozenset({"decode", "layers"})
    importance_name = "singular value of the first map"
    example: ClassVar[Mapping[str, Any]] = {
        "n_components": 2,
        "n_codes": 10,
        "n_random": 2,
        "realism": None,
    }

    layer: str | None = None
    n_components: int | None = None
    _: KW_ONLY
    normalise: bool = False
    fold: bool = True
    step: float = 1.0

    def _check(self) -> None:
        super()._check()
        if self.n_components is not None:
            self.n_components = validation.integer(self.n_components, "n_components", minimum=1)
        self.normalise = validation.boolean(self.normalise, "normalise")
        self.fold = validation.boolean(self.fold, "fold")
        self.step = validation.real(self.step, "step", above=0.0)

    def _check_model(self, model: Any) -> None:
        super()._check_model(model)
        self._count = count_for(self.n_components, _USUAL, model, "n_components")

    def _fitting_codes(self, X: Any) -> Tensor:
        return torch.empty(0, *self.predictor.latent_shape)  # weights need none

    def _find(self, z: Tensor) -> tuple[list[Axis], Floats | None]:
        first = first_layer(self.predictor, self.layer)
        matrix = affine_matrix(first, math.prod(self.predictor.latent_shape), self.fold)
        if self.normalise:
            norms = np.linalg.norm(matrix, axis=1, keepdims=True)
            matrix = np.divide(matrix, norms, out=np.zeros_like(matrix), where=norms > 0)
        values, vectors = np.linalg.eigh(matrix.T @ matrix)
        rows = leading(vectors.T[::-1])[: self._count]
        singular = np.sqrt(np.clip(values[::-1], 0.0, None))[: len(rows)]
        shape = tuple(self.predictor.latent_shape)
        axes = [
            Axis(
                f"weights {i + 1}", row.reshape(shape), self.step, type(self).__name__, self._keep()
            )
            for i, row in enumerate(rows)
        ]
        return axes, singular
