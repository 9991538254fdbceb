"""Anchors and samples as a model takes them, batch by batch, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.anchors import Anchors
from pxgen_plugins.anchors.conversion import convert, warn_of_scale
from pxgen_plugins.anchors.scale import Span
from pxgen_plugins.models.base import require
from pxgen_plugins.models.runtime import torch_device
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, PXGenError, short_repr
from pxgen_plugins.utils.seeds import derive

__all__ = ["Reader", "always_raises"]

_BATCH_ELEMENTS = 2**19  # elements of a batch that still fit a core's cache, measured on CPUs
_SAMPLE_BLOCK = 512  # most samples drawn per seed: not batch_size, which must not decide samples
_SAMPLE_ELEMENTS = 2**22


class Reader:
    """Reads anchors and draws samples for a model.

    Args:
        model: The model.
        batch_size: Instances per batch; None takes as many as fit a core's cache, 16 to 512.
        device: Where batches are put; None takes the model's.

    Raises:
        ParameterError: When an argument is not allowed.
    """

    def __init__(
        self, model: Any, batch_size: int | None = None, device: str | torch.device | None = None
    ) -> None:
        self.model = model
        self.device = model.device if device is None else torch_device(device)
        if batch_size is not None:
            batch_size = validation.integer(batch_size, "batch_size", minimum=1)
        self.batch_size = batch_size or _batch_size(model.sample_shape)

    def batches(
        self,
        anchors: Anchors,
        index: NDArray[np.int64] | range | None,
        reasons: dict[int, str],
        span: Span | None = None,
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield anchors as the model takes them, batch by batch, in one buffer that is used again.

        Args:
            anchors: The anchor set.
            index: Which anchors, in which order; None for all. A range of consecutive ones is read
                as slices.
            reasons: Gains an entry, by position, for every anchor that cannot be read or is not
                finite; in its place stands a row of the lowest value.
            span: Gains the values of the anchors as they were given, and the caller judges them;
                None warns at the end where they look like another scale than the model's.

        Yields:
            Position of the batch's first row, and the batch, (b, *sample_shape).

        Raises:
            AnchorError: When anchors lie outside the model's range.
        """
        index = range(len(anchors)) if index is None else index
        account = Span() if span is None else span
        n = len(index)
        first = index.start if isinstance(index, range) else 0
        buffer: Tensor | None = None
        start = 0
        while start < n:
            stop = min(start + self.batch_size, n)
            consecutive = slice(first + start, first + stop)
            raw, failed = anchors.read(
                consecutive if isinstance(index, range) else index[start:stop]
            )
            if buffer is None or len(buffer) < len(raw):
                buffer = torch.empty(raw.shape, dtype=self.model.dtype, device=self.device)
            x = buffer[: len(raw)]
            reasons.update({start + position: why for position, why in failed.items()})
            bounds = self.model.data_range
            bad = convert(raw, x, bounds, first + start, anchors, account, failed)
            for position, why in bad.items():
                reasons.setdefault(start + position, why)
            yield start, x
            start = stop
        if span is None:
            warn_of_scale(account, self.model.data_range, anchors)

    @property
    def sample_block(self) -> int:
        """How many samples are drawn at once, with a seed of their own."""
        size = math.prod(self.model.sample_shape or (1,))
        return max(1, min(_SAMPLE_BLOCK, _SAMPLE_ELEMENTS // size))

    def samples(
        self, n: int, seed: int, *, learning: bool = False, rows: range | None = None
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield ``n`` of the model's own samples in batches, the same whatever the batch size.

        Args:
            n: How many.
            seed: Seed of the samples.
            learning: Whether criteria learn from them: a model with a finite number of samples
                has others for this (see :class:`~pxgen_plugins.models.Model`).
            rows: Which of the ``n``, consecutive; None for all. The blocks (see
                :attr:`sample_block`) that hold them are drawn, and no others.

        Yields:
            Position of the batch's first sample, and the batch, (b, *sample_shape).

        Raises:
            CapabilityError: When the model cannot sample.
            ModelError: When it raises, or returns samples of another shape.
        """
        require(self.model, ["sample"], "Use threshold=Fixed(...) instead.")
        rows = range(n) if rows is None else rows
        finite = getattr(self.model, "portion", None)
        draw = self.model.sample if finite is None else finite(n, seed, learning)
        for start, count, own in self._blocks(n, seed):
            if start >= rows.stop:
                break
            # of a finite number, those before are taken too, as each is given once
            if start + count <= rows.start and finite is None:
                continue
            drawn = self._draw(draw, count, own)
            low, high = max(rows.start - start, 0), min(rows.stop - start, count)
            while low < high:  # the batch size may shrink on the way
                x = drawn[low : min(low + self.batch_size, high)]
                yield start + low, x
                low += len(x)

    def under(self, prompts: Sequence[str] | None) -> Any:
        """Return the model for instances with prompts of their own; for None, the model as it is.

        Args:
            prompts: One for each instance.
        """
        return self.model if prompts is None else self.model.for_rows(prompts)

    def prompts_of(
        self, anchors: Anchors, index: slice | NDArray[np.int64] = slice(None)
    ) -> list[str] | None:
        """Return the prompts of anchors, where the model has several; else None."""
        if not self._several or anchors.prompts is None:
            return None
        prompts: list[str] = anchors.prompts[index].tolist()
        return prompts

    def prompts_of_samples(self, n: int, seed: int) -> list[str] | None:
        """Return the prompts of what :meth:`samples` yields, where the model has several."""
        if not self._several:
            return None
        blocks = self._blocks(n, seed)
        return [one for _, count, own in blocks for one in self.model.sample_prompts(count, own)]

    @property
    def _several(self) -> bool:
        return len(getattr(self.model, "prompts", ())) > 1

    def _blocks(self, n: int, seed: int) -> list[tuple[int, int, int]]:
        """Return where the blocks of ``n`` samples begin, their numbers and their seeds."""
        most = self.sample_block
        starts = range(0, n, most)
        return [(at, min(most, n - at), derive(seed, block)) for block, at in enumerate(starts)]

    def inputs(self, anchors: Anchors, index: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the given anchors as the model takes them, (len(index), *sample_shape)."""
        parts = [x.float().cpu().numpy().copy() for _, x in self.batches(anchors, index, {})]
        none = np.empty((0, *(self.model.sample_shape or (1,))), dtype=np.float32)
        return np.concatenate([none, *parts] if self.model.sample_shape or not parts else parts)

    def _draw(self, draw: Callable[[int, int], Any], n: int, seed: int) -> Tensor:
        try:
            with torch.no_grad():
                drawn = torch.as_tensor(draw(n, seed))
        except PXGenError:
            raise
        except Exception as error:
            raise always_raises(self.model, error) from error
        shape = self.model.sample_shape
        if len(drawn) != n or (shape is not None and tuple(drawn.shape[1:]) != tuple(shape)):
            allowed = f"{n} instances" + ("" if shape is None else f" of shape {tuple(shape)}")
            hint = "Correct sample(n, seed) or sample_shape."
            raise ModelError("sample's result", allowed, short_repr(drawn), hint)
        return drawn.to(self.device, self.model.dtype)


def always_raises(model: Any, error: Exception) -> PXGenError:
    """Return the error for a model that raises whatever it is given."""
    if isinstance(error, PXGenError):
        return error
    return ModelError(
        "model",
        "callable on a batch of instances",
        f"{type(error).__name__} from {type(model).__name__}: {str(error)[:300]}",
        "Call the model by hand on one batch to find the cause.",
    )


def _batch_size(sample_shape: tuple[int, ...] | None) -> int:
    if sample_shape is None:
        return 256
    return max(16, min(512, _BATCH_ELEMENTS // math.prod(sample_shape)))
