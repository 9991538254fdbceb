"""Pictures of a prompt from the same noise whatever the prompt, in batches of any size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.utils.seeds import derive

__all__ = ["batch_of_pictures", "batches", "pictures"]


def pictures(adapter: Any, prompt: str, n: int) -> Tensor:
    """Return n pictures of a prompt, (n, *sample_shape).

    Args:
        adapter: Whose model, ``seed``, ``guidance`` and ``batch_size`` count.
        prompt: The prompt.
        n: How many.
    """
    return torch.cat([batch_of_pictures(adapter, prompt, rows) for rows in batches(adapter, n)])


def batches(adapter: Any, n: int) -> Iterator[slice]:
    """Yield the rows of batches; a guided step runs the network on twice as many."""
    size = max(1, adapter.batch_size // 2)
    for first in range(0, n, size):
        yield slice(first, min(first + size, n))


def batch_of_pictures(adapter: Any, prompt: str, rows: slice) -> Tensor:
    """Return some of the pictures."""
    seed, n = derive(adapter.seed, "pictures"), rows.stop - rows.start
    with torch.no_grad():
        x: Tensor = adapter.predictor.sample(
            n, seed, prompt=prompt, guidance=adapter.guidance, first=rows.start
        )
    return x
