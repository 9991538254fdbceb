"""What scoring found out and pictures need again: codes and reconstructions of costly models."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.anchors import Anchors
from pxgen_plugins.criteria.base import Batch

__all__ = ["Kept"]

_PARTS = ("code", "reconstruction")
_MOST = 2**24  # numbers of each part that are kept: 64 MiB, so memory stays bounded


class Kept:
    """Codes and reconstructions of an anchor set, by position, as far as batches computed them.

    Args:
        anchors: The anchor set.
    """

    def __init__(self, anchors: Anchors) -> None:
        self._anchors = anchors
        self._tables: dict[str, Tensor] = {}
        self._there: dict[str, NDArray[np.bool_]] = {}

    def add(self, batch: Batch) -> None:
        """Keep what ``batch`` has computed of its anchors, ``batch.first`` and the next ones."""
        rows = slice(batch.first, batch.first + len(batch))
        for name in _PARTS:
            value = vars(batch).get(name)
            if value is None or len(self._anchors) * value[0].numel() > _MOST:
                continue
            if name not in self._tables:
                shape = (len(self._anchors), *value.shape[1:])
                self._tables[name] = torch.empty(shape, dtype=value.dtype)
                self._there[name] = np.zeros(len(self._anchors), dtype=bool)
            self._tables[name][rows] = value.detach().cpu()
            self._there[name][rows] = True

    def has(self, name: str, index: NDArray[np.int64]) -> bool:
        """Return whether a part of all the anchors at ``index`` is kept."""
        return name in self._there and bool(self._there[name][index].all())

    def give(self, batch: Batch, anchors: Anchors, index: NDArray[np.int64]) -> None:
        """Put what is kept of ``anchors`` at ``index`` into a batch of just these."""
        for name in _PARTS if anchors is self._anchors else ():
            if self.has(name, index):
                part: Any = self._tables[name][torch.from_numpy(index)]
                setattr(batch, name, part.to(batch.x.device))
