"""Sums of products of gradients over checkpoints, exact or through a random projection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pxgen_plugins.adapters._anchors import AnchorReader, Floats, Indices
from pxgen_plugins.adapters.example_based._loss_gradients import LossGradients

__all__ = ["Sketch", "Totals"]


class Sketch:
    """A random projection to ``width`` dimensions by signed hashing (Weinberger et al. 2009).

    Products of sketches are unbiased; the variance of one is at most
    (|x|^2 |y|^2 + <x, y>^2) / width.

    Args:
        size: Dimensions before.
        width: Dimensions after.
        seed: Seed of places and signs.
    """

    def __init__(self, size: int, width: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.width = width
        self.place = torch.randint(0, width, (size,), generator=generator)
        self.sign = torch.randint(0, 2, (size,), generator=generator).mul_(2).sub_(1).float()

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the sketches (b, width) of rows (b, size)."""
        out = torch.zeros(len(rows), self.width, dtype=rows.dtype, device=rows.device)
        signed = rows * self.sign.to(rows.device, rows.dtype)
        return out.index_add_(1, self.place.to(rows.device), signed)


class Totals:
    """What is summed over checkpoints.

    Attributes:
        influence: float64 (n_train, n_test).
        self_influence: float64 (n_train,), exact.
        variance: float64 (n_train, n_test), bound of the projection's; zeros when exact.
        test_squares: float64 (n_test,), summed squared lengths of the test samples' gradients.
    """

    def __init__(
        self, train: AnchorReader, test: AnchorReader, noise: Tensor, batch: int, memory: int
    ) -> None:
        self.train, self.test, self.noise = train, test, noise
        self.batch, self.memory = batch, memory
        self.influence: Floats = np.zeros((len(train), len(test)))
        self.self_influence: Floats = np.zeros(len(train))
        self.variance: Floats = np.zeros((len(train), len(test)))
        self.test_squares: Floats = np.zeros(len(test))

    def note_not_finite(self) -> None:
        """Name, in the readers' ``errors``, the samples that have no finite influence."""
        for reader, squares in (
            (self.test, self.test_squares),
            (self.train, self.self_influence),
        ):
            for row in np.flatnonzero(~np.isfinite(squares)):
                reader.errors.setdefault(int(row), "the gradient of its loss is not finite")
        finite = np.isfinite(self.influence)
        finite[:, self.test.invalid] = True
        # both gradients are finite and their product is not: the training sample's is the larger
        for row in np.flatnonzero(~finite.all(axis=1)):
            self.train.errors.setdefault(int(row), "its influence is too large for float32")

    def blocks(self, width: int) -> list[Indices]:
        """Return the test samples in blocks whose gradients of ``width`` fit the memory."""
        size = max(1, self.memory // (4 * width))
        every = np.arange(len(self.test), dtype=np.int64)
        return [every[low : low + size] for low in range(0, len(every), size)]

    def add(
        self,
        gradients: LossGradients,
        weights: dict[str, Tensor],
        factor: float,
        sketch: Sketch | None,
        progress: Any,
    ) -> None:
        """Add one checkpoint, its products multiplied by ``factor``.

        Memory: the gradients of a block of test samples and of one batch. The training gradients
        are computed once per block.
        """
        for number, block in enumerate(self.blocks(sketch.width if sketch else gradients.size)):
            parts, lengths = [], []
            for _, right, squares in self._rows(self.test, block, gradients, weights, sketch):
                parts.append(right.clone())
                lengths.append(squares)
                progress.update(len(right))
            right, right_squares = torch.cat(parts), np.concatenate(lengths)
            self.test_squares[block] += right_squares
            for rows, left, squares in self._rows(self.train, None, gradients, weights, sketch):
                here = np.ix_(rows, block)
                self.influence[here] += factor * (left @ right.T).double().cpu().numpy()
                if number == 0:
                    self.self_influence[rows] += factor * squares
                if sketch is not None:
                    bound = 2.0 / sketch.width * np.outer(squares, right_squares)
                    self.variance[here] += factor**2 * bound
                progress.update(len(left))

    def _rows(
        self,
        source: AnchorReader,
        index: Any,
        gradients: LossGradients,
        weights: dict[str, Tensor],
        sketch: Sketch | None,
    ) -> Iterator[tuple[Any, Tensor, Floats]]:
        for rows, x in source.batches(index):
            for low in range(0, len(x), self.batch):
                some = x[low : low + self.batch].clone()
                exact = gradients(weights, some, self.noise).detach()
                squares = torch.linalg.vector_norm(exact, dim=1, dtype=torch.float64) ** 2
                rest = exact if sketch is None else sketch(exact)
                yield rows[low : low + self.batch], rest, squares.cpu().numpy()
