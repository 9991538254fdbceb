"""A model whose instances cost what one asks for: real matrix products, one instance at a time."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from pxgen_plugins.testing.examples import LinearModel
from pxgen_plugins.utils.threads import one_thread

__all__ = ["Costly", "load", "rounds_for"]

_SIDE = 256


class Costly(LinearModel):
    """A :class:`LinearModel` that multiplies matrices for each instance that it encodes.

    Args:
        rounds: How many products of 256 x 256 matrices an instance takes.
    """

    def __init__(self, rounds: int) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(1)
        self.rounds = rounds
        self._weights = torch.randn(_SIDE, _SIDE, generator=draws) / _SIDE**0.5

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance, which depend on the products a little."""
        mean, log_var = super().encode(x)
        shifts = torch.stack([self._work(row) for row in x])
        return mean + 1e-3 * shifts[:, None], log_var

    def _work(self, row: Tensor) -> Tensor:
        state = row.flatten().repeat(_SIDE * _SIDE // row.numel()).reshape(_SIDE, _SIDE)
        for _ in range(self.rounds):
            state = (state @ self._weights).tanh()
        return state.mean()


def load(rounds: int) -> Costly:
    """Return the model; the factory of settings."""
    return Costly(rounds)


def rounds_for(seconds: float) -> int:
    """Return how many rounds take so many seconds of processor time, on one thread, here."""
    model, x = Costly(50), torch.full((1, 1, 8, 8), 0.5)
    with one_thread(), torch.no_grad():
        times = []
        for _ in range(10):
            start = time.process_time()  # on a busy machine a wall clock would count others' work
            model.encode(x)
            times.append(time.process_time() - start)
    return max(1, round(50 * seconds / min(times)))
