"""A seed for code that knows only the global random generators, which stay as they were."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from pxgen_plugins.utils.seeds import derive

__all__ = ["seeded", "with_seed"]

_LOCK = threading.RLock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Set the generators of random, numpy and torch for a block, then put them back.

    One thread at a time is inside; another thread that draws from a global generator meanwhile
    draws from ours, which no guard can prevent.

    Args:
        seed: A non-negative integer.

    Example:
        >>> with seeded(1):
        ...     one = torch.rand(1)
        >>> with seeded(1):
        ...     bool(torch.rand(1) == one)
        True
    """
    with _LOCK:
        python, arrays = random.getstate(), np.random.get_state()  # noqa: NPY002 - these are meant
        tensors = torch.random.get_rng_state()
        used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        cards = torch.cuda.get_rng_state_all() if used else []
        try:
            own = random.Random(seed)
            random.setstate(own.getstate())
            state = np.random.RandomState(derive(seed, "numpy") % 2**32).get_state()
            np.random.set_state(state)  # noqa: NPY002
            generator = torch.Generator().manual_seed(seed)
            torch.random.set_rng_state(generator.get_state())
            for card in range(len(cards)):
                torch.cuda.set_rng_state(
                    torch.Generator(f"cuda:{card}").manual_seed(seed).get_state(), card
                )
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)  # noqa: NPY002
            torch.random.set_rng_state(tensors)
            for card, kept in enumerate(cards):
                torch.cuda.set_rng_state(kept, card)


def with_seed(draw: Callable[[int], Any]) -> Callable[[int, int], Any]:
    """Return ``sample(n, seed)`` for a ``draw(n)`` that knows only the global generators."""

    def sample(n: int, seed: int) -> Any:
        with seeded(seed):
            return draw(n)

    return sample
