"""From anchors to a table of criterion values, in memory that does not grow with their number."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.anchors import Anchors
from pxgen_plugins.anchors.conversion import warn_of_scale
from pxgen_plugins.anchors.scale import Span
from pxgen_plugins.criteria.base import Batch, Criterion
from pxgen_plugins.criteria.passes import value_passes
from pxgen_plugins.models.base import passes
from pxgen_plugins.models.runtime import Autocast
from pxgen_plugins.scoring.cache import Cache
from pxgen_plugins.scoring.reader import Reader, always_raises
from pxgen_plugins.utils.errors import ModelError, PXGenError, caller, short_repr
from pxgen_plugins.utils.large_arrays import empty, full, true_rows
from pxgen_plugins.utils.memory import out_of_memory, release
from pxgen_plugins.utils.progress import PassMeter, bar, on_passes
from pxgen_plugins.utils.redaction import redact, without_addresses

__all__ = ["PRECISIONS", "RECONSTRUCTIONS", "Scorer", "Scores"]

logger = logging.getLogger(__name__)

PRECISIONS = ("float32", "bfloat16")
RECONSTRUCTIONS = ("mean", "sample")

_FEW_SAMPLES = 16  # that show the range of a model without one
_CACHE_ABOVE = 8  # passes of an anchor above which codes and reconstructions are cache


@dataclass(frozen=True)
class Scores:
    """Criterion values of an anchor set.

    Attributes:
        values: float64 array (n, m); a row is NaN where the anchor could not be scored.
        reasons: Why, by anchor index, for every row with a value that is not finite.
        span: The values that the anchors hold, as they were given.
    """

    values: NDArray[np.float64]
    reasons: dict[int, str]
    span: Span = field(default_factory=Span)


class Scorer(Reader):
    """Computes criteria for a model, one model pass per batch for all of them.

    Args:
        model: A model with the capabilities that the criteria need.
        criteria: The m criteria, in the order of the columns.
        batch_size: Anchors per batch; None takes as many as fit a core's cache, 16 to 512. When
            memory runs out it is halved and scoring goes on.
        device: Where batches are put; None takes the model's.
        seed: Seed of all noise.
        reconstruction: ``"mean"`` or ``"sample"`` (see :class:`~pxgen_plugins.criteria.Batch`).
        precision: ``"float32"``, or ``"bfloat16"`` to run the model, not the criteria, under
            torch's autocast: faster, with relative errors of about 1e-3 (MSE) to 1e-2 (KLD).
            Criteria that take logarithms of a reconstruction (BCE, ELBO) lose more, where it
            saturates.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When a criterion needs what the model lacks.
    """

    def __init__(
        self,
        model: Any,
        criteria: Sequence[Criterion],
        *,
        batch_size: int | None = None,
        device: str | torch.device | None = None,
        seed: int = 0,
        reconstruction: str = "mean",
        precision: str = "float32",
    ) -> None:
        for criterion in criteria:
            criterion.check(model)
        super().__init__(model, batch_size, device)
        self.criteria = list(criteria)
        self.passes = value_passes(model, criteria)
        self.cache: Cache | None = None  # of the anchors scored last, where a model is costly
        self.seed = seed
        self.reconstruction = reconstruction
        self.precision = precision
        if precision == "bfloat16":
            self.model = Autocast(model, self.device.type)

    @caller("scoring")
    def score(self, anchors: Anchors, verbose: bool = False, rows: range | None = None) -> Scores:
        """Return the values of all anchors, or of those at ``rows``.

        An anchor that cannot be read, holds NaN or infinity, or makes the model raise gets a row of
        NaN and a reason; the others are not affected.

        Args:
            anchors: The n anchors.
            verbose: Show a progress bar.
            rows: Positions to score, consecutive; None for all. Values are those that the whole
                set would get, reasons are by position in ``rows``.

        Raises:
            AnchorError: When anchors lie outside the model's range.
            ModelError: When the model raises for every anchor of the first batch, or memory runs
                out for a single anchor.

        Cost: n model passes; memory for one batch and the table, which lies in a file when large.
        """
        positions = range(len(anchors)) if rows is None else rows
        span = Span()
        table = full((len(positions), len(self.criteria)), np.nan, np.float64)
        reasons: dict[int, str] = {}
        self.cache = cache = Cache(anchors) if self.passes > _CACHE_ABOVE else None
        prompts = self.prompts_of(anchors)
        with bar(len(positions), "scoring", "anchor", verbose) as progress:
            meter = PassMeter(progress.update, len(positions), self.passes)
            for start, x in self.batches(anchors, positions, reasons, span):
                part = table[start : start + len(x)]
                unread = len(reasons)  # in the first batch, those of it
                with on_passes(meter.count):
                    at = start + positions.start
                    own = None if prompts is None else prompts[at : at + len(x)]
                    failed = self._fill(x, start, part, reasons, positions.start, cache, own)
                if start == 0 and failed is not None and unread < len(x) and np.isnan(part).all():
                    raise always_raises(self.model, failed) from (failed.__cause__ or failed)
                meter.finish(len(x))
        table[list(reasons)] = np.nan  # a row that stood in for a bad anchor has no value
        for index in true_rows(lambda rows: ~np.isfinite(table[rows]).all(axis=1), len(table)):
            if int(index) not in reasons:
                bad = np.flatnonzero(~np.isfinite(table[index]))
                values = (f"{self.criteria[j].name} is {table[index, j]:g}" for j in bad)
                reasons[int(index)] = ", ".join(values)
        if rows is None:
            warn_of_scale(span, self.model.data_range, anchors, self.drawn_range)
        return Scores(table, reasons, span)

    @cached_property
    def drawn_range(self) -> tuple[float, float] | None:
        """Lowest and highest value of a few samples of a model without range; None elsewhere."""
        if self.model.data_range is not None or "sample" not in self.model.capabilities:
            return None
        drawn = [(float(x.min()), float(x.max())) for _, x in self.samples(_FEW_SAMPLES, self.seed)]
        return min(low for low, _ in drawn), max(high for _, high in drawn)

    @caller("calibration")
    def score_samples(
        self,
        n: int,
        seed: int,
        update: Callable[[float], object] | None = None,
        rows: range | None = None,
    ) -> NDArray[np.float64]:
        """Return the values (n, m) of ``n`` of the model's own samples, drawn with ``seed``.

        Args:
            n: How many.
            seed: Seed of the samples.
            update: Gets the number of samples, or parts of one, that are done since the last call.
            rows: Which of the ``n`` to draw and score, consecutive; None for all. Their values are
                those that all would get.

        Raises:
            CapabilityError: When the model cannot sample.
            ModelError: When it raises, or returns samples of another shape.
        """
        rows = range(n) if rows is None else rows
        table = np.empty((len(rows), len(self.criteria)))
        each = passes(self.model, "sample") + self.passes
        meter = PassMeter(update or (lambda n: None), len(rows), each)
        prompts = self.prompts_of_samples(n, seed)
        with on_passes(meter.count):
            for first, x in self.samples(n, seed, rows=rows):
                own = None if prompts is None else prompts[first : first + len(x)]
                part = table[first - rows.start : first - rows.start + len(x)]
                failed = self._fill(x, first, part, {}, prompts=own)
                if failed is not None:
                    raise always_raises(self.model, failed) from (failed.__cause__ or failed)
                meter.finish(len(x))
        return table

    @caller("scoring")
    def score_instances(self, x: Tensor) -> Scores:
        """Return the values of instances as the model takes them, such as what it just decoded.

        Each is scored as the first of a set, so that it has the same values beside any others.

        Args:
            x: Instances, (n, *sample_shape), in the model's range.
        """
        table, reasons = np.full((len(x), len(self.criteria)), np.nan), dict[int, str]()
        for at in range(len(x)):
            row = x[at : at + 1].to(self.device, self.model.dtype)
            one: dict[int, str] = {}
            self._fill(row, 0, table[at : at + 1], one)
            if one:
                reasons[at] = one[0]
        return Scores(table, reasons)

    def features(
        self, anchors: Anchors, index: NDArray[np.int64], function: Callable[[Batch], Any]
    ) -> NDArray[np.float32]:
        """Return ``function`` of the given anchors as a matrix (len(index), d), float32.

        Args:
            anchors: The anchor set.
            index: Which anchors.
            function: From a :class:`Batch` to an array or tensor with a row per anchor; flattened.

        Raises:
            ModelError: When it returns another number of rows.

        Memory beyond one batch: the matrix, 4 d bytes per row; a large one lies in a file
        (:mod:`pxgen_plugins.utils.large_arrays`).
        """
        matrix: NDArray[np.float32] | None = None
        for start, x in self.batches(anchors, index, {}):
            with torch.no_grad():
                returned = function(self._batch(x, start, index, anchors))
            if isinstance(returned, Tensor):
                returned = returned.detach().float().cpu()
            rows = np.asarray(returned, dtype=np.float32)
            if rows.ndim < 1 or len(rows) != len(x):
                hint = "Return one row of features per anchor."
                got = short_repr(returned)
                raise ModelError("the features", f"of {len(x)} rows", got, hint)
            rows = rows.reshape(len(x), -1)
            if matrix is None:
                matrix = empty((len(index), rows.shape[1]), np.float32)
            matrix[start : start + len(x)] = rows
        return matrix if matrix is not None else np.empty((0, 1), dtype=np.float32)

    def reconstruct(self, anchors: Anchors, index: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the reconstructions of the given anchors, shape (len(index), *sample_shape).

        One that the model raises for is a row of NaN; the others are not affected.
        """
        parts = [np.empty((0, *(self.model.sample_shape or ())), dtype=np.float32)]
        # a drawn reconstruction belongs to its anchor's position, so these go one by one
        single = self.reconstruction == "sample" and len(index) > 1
        groups = np.split(index, len(index)) if single else [index]
        for some in groups:
            for start, x in self.batches(anchors, some, {}):
                parts += self._reconstructions(x, start, some, anchors)
        return np.concatenate(parts)

    def _reconstructions(
        self, x: Tensor, start: int, index: NDArray[np.int64], anchors: Anchors
    ) -> list[NDArray[np.float32]]:
        """Return the reconstructions of ``x``, which begins at place ``start``, in pieces."""
        try:
            with torch.no_grad():
                return [self._batch(x, start, index, anchors).reconstruction.float().cpu().numpy()]
        except Exception as caught:
            _cause(caught, len(x))
            if len(x) == 1:
                shape = self.model.sample_shape or tuple(x.shape[1:])
                return [np.full((1, *shape), np.nan, dtype=np.float32)]
        half = -(-len(x) // 2)
        first = self._reconstructions(x[:half], start, index, anchors)
        return first + self._reconstructions(x[half:], start + half, index, anchors)

    def _batch(
        self,
        x: Tensor,
        start: int,
        index: NDArray[np.int64] | None = None,
        anchors: Anchors | None = None,
        prompts: Sequence[str] | None = None,
    ) -> Batch:
        first = start if index is None or not len(index) else int(index[start])
        if anchors is not None and index is not None:
            prompts = self.prompts_of(anchors, index[start : start + len(x)])
        batch = Batch(
            self.under(prompts),
            x,
            first=first,
            seed=self.seed,
            reconstruction=self.reconstruction,
        )
        if self.cache is not None and anchors is not None and index is not None:
            self.cache.give(batch, anchors, index[start : start + len(x)])
        return batch

    def _values(
        self, x: Tensor, first: int, cache: Cache | None, prompts: Sequence[str] | None
    ) -> NDArray[np.float64]:
        with torch.no_grad():
            batch = self._batch(x, first, prompts=prompts)
            columns = []
            for criterion in self.criteria:
                column = criterion(batch)
                if tuple(column.shape) != (len(x),):
                    hint = "Return one value per anchor of the batch."
                    allowed, got = f"of shape ({len(x)},)", short_repr(column)
                    where = f"criterion {criterion.name!r}"
                    raise ModelError("the result", allowed, got, hint, where=where)
                columns.append(column.double())
            if cache is not None:
                cache.add(batch)
            values: NDArray[np.float64] = torch.stack(columns, 1).cpu().numpy()
            return values

    def _fill(
        self,
        x: Tensor,
        first: int,
        rows: NDArray[np.float64],
        reasons: dict[int, str],
        offset: int = 0,
        cache: Cache | None = None,
        prompts: Sequence[str] | None = None,
    ) -> Exception | None:
        """Write the values of ``x`` into ``rows``; return an exception of the model, if any.

        Row ``first`` of what is scored is anchor ``first + offset`` of the set, of which ``cache``
        gets codes and reconstructions; ``prompts`` are those of ``x``.
        """
        try:
            rows[:] = self._values(x, first + offset, cache, prompts)
            return None
        except Exception as caught:
            error = _cause(caught, len(x))
            if len(x) == 1:
                rows[:] = np.nan
                # what could not be read has its own reason: a row stood in for it
                text = without_addresses(redact(str(error)))[:200]
                why = f"the model raised {type(error).__name__}: {text}"
                reasons.setdefault(first, why)
                return caught
            half = -(-len(x) // 2)
            if out_of_memory(error) and half < self.batch_size:
                logger.warning("out of memory at %d anchors, going on with %d", len(x), half)
                self.batch_size = half
            del error  # it holds what the batch that was too large had allocated
        release()
        raised = None
        for low in range(0, len(x), half):
            part = slice(low, low + half)
            own = None if prompts is None else prompts[part]
            more = (reasons, offset, cache, own)
            raised = self._fill(x[part], first + low, rows[part], *more) or raised
        return raised


def _cause(caught: Exception, n: int) -> Exception:
    """Return what a model raised for a batch of ``n``; raise what is wrong with it for all anchors.

    An error of ours with a cause tells what a callable raised; one without, what is wrong.
    """
    error = caught.__cause__ if isinstance(caught, PXGenError) else caught
    if not isinstance(error, Exception) or isinstance(error, PXGenError):
        raise caught
    if n == 1 and out_of_memory(error):
        got = f"{type(error).__name__} at a batch of one"
        hint = "Use a smaller model, another device or more memory."
        raise ModelError("memory", "enough for one anchor", got, hint) from error
    return error
