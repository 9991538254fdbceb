"""The control of the task: the same model behind rotated codes, so that only the axes differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.models.base import GenerativeModel, capabilities, require
from pxgen_plugins.models.callables import as_tensor
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.seeds import derive, normal_rows

__all__ = ["RotatedCodes", "posterior_draw"]


class RotatedCodes(GenerativeModel):
    """A model whose codes are rotated: the same instances and reconstructions behind other axes.

    With it, :func:`~pxgen_plugins.evaluation.compare_representations` tells what the axes do to
    people from what the pictures do. It has no ``encode``: the rotated posterior is not diagonal.
    Its draws are those of the model (:func:`posterior_draw`).

    Args:
        model: A model that can decode, and embed or encode.
        rotation: Orthogonal matrix (m, m); None draws one from ``seed``.
        dimensions: The m flattened latent dimensions that are mixed with each other; None for all.
            Where only some have a slider, mix these: random axes of the whole space would move
            other things, and less.
        seed: Seed of the rotation, uniform over all (Haar measure).

    Raises:
        CapabilityError: When the model cannot decode, or neither embed nor encode.
        ParameterError: When ``rotation`` is not orthogonal.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> model = LinearModel()
        >>> other, x = RotatedCodes(model, seed=1), model.sample(4, seed=0)
        >>> bool(torch.allclose(other.reconstruct(x), model.reconstruct(x), atol=1e-6))
        True
        >>> bool(torch.allclose(other.embed(x), model.encode(x)[0]))
        False
    """

    autoencodes = True

    @caller("RotatedCodes")
    def __init__(
        self,
        model: Any,
        rotation: Any = None,
        *,
        dimensions: Sequence[int] | None = None,
        seed: int = 0,
    ) -> None:
        require(model, ["decode"], "Give a model with a decoder.")
        have = capabilities(model)
        if not have & {"encode", "embed"}:
            require(model, ["embed"], "Give a model that has codes of instances.")
        self.wrapped = model
        self.capabilities = (have & {"sample", "decode"}) | {"embed", "reconstruct"}
        self.sample_shape, self.data_range = model.sample_shape, model.data_range
        self.latent_shape = tuple(model.latent_shape)
        self.device, self.dtype = model.device, model.dtype
        size = math.prod(self.latent_shape)
        seed = validation.integer(seed, "seed", minimum=0)
        chosen = range(size) if dimensions is None else dimensions
        own = validation.positions(chosen, "dimensions", size)
        part = _haar(len(own), seed) if rotation is None else _orthogonal(rotation, len(own))
        self.rotation = np.eye(size)
        self.rotation[np.ix_(own, own)] = part
        prior = getattr(model, "prior", "normal")
        self._prior = prior
        self.prior = "normal" if prior == "normal" else self._draw_prior

    def embed(self, x: Tensor) -> Tensor:
        """Return the rotated codes of instances, (n, *latent_shape)."""
        return self.rotate(_codes(self.wrapped, x))

    def decode(self, z: Tensor) -> Tensor:
        """Return the instances behind rotated codes."""
        return torch.as_tensor(self.wrapped.decode(self.rotate(z, back=True)))

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the decoded codes of ``x``."""
        return self.decode(self.embed(x))

    def sample(self, n: int, seed: int) -> Tensor:
        """Return the model's own samples."""
        return torch.as_tensor(self.wrapped.sample(n, seed))

    def draw_posterior(self, x: Tensor, seed: int) -> Tensor | None:
        """Return a draw of the model's posterior for each instance, rotated; None without one."""
        drawn = posterior_draw(self.wrapped, x, seed)
        return None if drawn is None else self.rotate(drawn)

    def rotate(self, z: Tensor, *, back: bool = False) -> Tensor:
        """Return codes of the model as rotated ones, or ``back``.

        In float64, so that pictures are equal to rounding of the model's own type.
        """
        turn = torch.from_numpy(self.rotation).to(z.device)
        flat = z.flatten(1).double() @ (turn if back else turn.T)
        return flat.to(z.dtype).reshape(z.shape)

    def _draw_prior(self, n: int, seed: int) -> Tensor:
        if callable(self._prior):
            return self.rotate(torch.as_tensor(as_tensor(self._prior(n, seed))))
        generator = torch.Generator().manual_seed(seed)
        shape = (n, *self.wrapped.latent_shape)
        return self.rotate(2 * torch.rand(*shape, generator=generator) - 1)


def posterior_draw(model: Any, x: Tensor, seed: int) -> Tensor | None:
    """Return one draw of the posterior for each instance, (n, *latent_shape); None without one.

    Args:
        model: A model; a method ``draw_posterior(x, seed)`` of its own comes first.
        x: Instances, (n, *sample_shape).
        seed: Seed of the draws; row i is the same for every n.
    """
    own = getattr(model, "draw_posterior", None)
    drawn: Tensor | None
    if own is not None:
        drawn = own(x, seed)
        return drawn
    if "encode" not in capabilities(model):
        return None
    mean, log_var = model.encode(x)
    noise = normal_rows(0, len(mean), tuple(mean.shape[1:]), derive(seed, "posterior"))
    drawn = mean + (0.5 * log_var).exp() * noise.to(mean.device, mean.dtype)
    return drawn


def _codes(model: Any, x: Tensor) -> Tensor:
    return torch.as_tensor(
        model.encode(x)[0] if "encode" in capabilities(model) else model.embed(x)
    )


def _haar(size: int, seed: int) -> NDArray[np.float64]:
    """Return a rotation drawn uniformly: the signs of R's diagonal make QR unique."""
    draws = np.random.default_rng(derive(seed, "rotation")).normal(size=(size, size))
    q, r = np.linalg.qr(draws)
    turned: NDArray[np.float64] = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return turned


def _orthogonal(rotation: Any, size: int) -> NDArray[np.float64]:
    try:
        matrix = np.array(rotation, dtype=np.float64)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    good = matrix.shape == (size, size) and np.isfinite(matrix).all()
    if not good or np.abs(matrix @ matrix.T - np.eye(size)).max() > 1e-6:
        hint = "Take the Q of np.linalg.qr(a), or leave it out for a random rotation."
        allowed = f"an orthogonal matrix of shape {(size, size)}"
        raise ParameterError("rotation", allowed, short_repr(rotation), hint)
    return matrix
