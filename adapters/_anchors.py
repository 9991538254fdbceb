"""Anchors as the model takes them, in batches; those that cannot be read are named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.anchors import open_for
from pxgen_plugins.criteria import Batch
from pxgen_plugins.models import capabilities, require
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.utils.errors import ModelError, ParameterError, caller, short_repr
from pxgen_plugins.utils.progress import bar
from pxgen_plugins.utils.seeds import derive, normal_rows
from pxgen_plugins.utils.validation import nearest

__all__ = [
    "AnchorReader",
    "Floats",
    "Indices",
    "as_array",
    "can_embed",
    "check_space",
    "member_indices",
    "ranked",
]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Space = str | Callable[[Tensor], Any]
_NEEDS = {"sample": ["encode"], "pixel": []}


class AnchorReader:
    """Reads an anchor set for a model, and remembers the anchors that it could not use.

    Args:
        X: Anything :func:`~pxgen_plugins.anchors.open_anchors` reads.
        model: The model.
        batch_size: Rows per batch.
        seed: Seed of posterior draws.
        labels: n labels, instead of those of ``X``.
        ids: n distinct names, instead of those of ``X``.

    Attributes:
        anchors: The anchor set, with its ``labels`` and ``ids``.
        errors: Why, by index, for the anchors found unreadable or not finite so far.
    """

    def __init__(
        self,
        X: Any,
        model: Any,
        batch_size: int,
        *,
        seed: int = 0,
        labels: Any = None,
        ids: Any = None,
    ) -> None:
        self.anchors = open_for(model, X, labels=labels, ids=ids)
        self.model, self.seed = model, seed
        self.errors: dict[int, str] = {}
        self._scorer = Scorer(model, [], batch_size=batch_size)

    def __len__(self) -> int:
        return len(self.anchors)

    @property
    def invalid(self) -> Indices:
        """Indices of the anchors in ``errors``, sorted."""
        return np.array(sorted(self.errors), dtype=np.int64)

    def exclusions(self) -> dict[str, Any]:
        """Return the keys ``invalid`` and ``reasons`` of an explanation."""
        return {"invalid": self.invalid, "reasons": [self.errors[int(i)] for i in self.invalid]}

    def usable(self) -> Indices:
        """Return the indices of the anchors that can be read and are finite, after reading all."""
        for _ in self.batches():
            pass
        return np.setdiff1d(np.arange(len(self), dtype=np.int64), self.invalid)

    def batches(self, index: Indices | None = None) -> Iterator[tuple[Indices, Tensor]]:
        """Yield indices (b,) and their anchors (b, *sample_shape); the tensor is used again.

        An anchor that is not finite comes as a constant one and is noted in ``errors``.

        Raises:
            AnchorError: When anchors lie outside the model's range.
        """
        index = np.arange(len(self), dtype=np.int64) if index is None else index
        faults: dict[int, str] = {}
        for start, x in self._scorer.batches(self.anchors, index, faults):
            rows = index[start : start + len(x)]
            self.errors.update({int(index[at]): why for at, why in faults.items()})
            faults.clear()
            yield rows, x

    def inputs(self, index: Any) -> Tensor:
        """Return the given anchors as the model takes them, (b, *sample_shape), on its device."""
        rows = self._scorer.inputs(self.anchors, np.asarray(index, dtype=np.int64))
        return torch.from_numpy(rows).to(self.model.device, self.model.dtype)

    def raw(self) -> NDArray[Any]:
        """Return all rows as they were given, (n, *sample_shape), uint8 or floating.

        Where ``anchors_range`` is stated they come in the model's range, because an array does not
        carry it.
        """
        if not len(self):
            return np.empty((0, *(self.model.sample_shape or (1,))), dtype=np.float32)
        if self.anchors.anchors_range is not None:
            rows = self._scorer.inputs(self.anchors, self.usable())
            whole = np.full((len(self), *rows.shape[1:]), np.nan, rows.dtype)
            whole[np.setdiff1d(np.arange(len(self)), self.invalid)] = rows
            return whole
        rows, failed = self.anchors.read(slice(0, len(self)))
        if failed:
            rows = rows.astype(np.float32) if rows.dtype == np.uint8 else rows
            rows[list(failed)] = np.nan
        return rows

    def features(
        self, space: Space, index: Indices | None = None, *, verbose: bool = False
    ) -> Floats:
        """Return the anchors as a matrix (b, d); a row that could not be made is NaN.

        Args:
            space: ``"latent"`` (posterior means, or embeddings), ``"sample"`` (one seeded posterior
                draw per anchor, that of its index), ``"pixel"``, or a callable from anchors as the
                model takes them, a tensor (b, *sample_shape), to one row per anchor.
            index: Which anchors; None takes all.
            verbose: Show a progress bar.

        Raises:
            ModelError: When a callable returns another number of rows.
        """
        index = np.arange(len(self), dtype=np.int64) if index is None else index
        table: Floats | None = None
        done = 0
        with bar(len(index), "features", "anchor", verbose) as progress, torch.no_grad():
            for rows, x in self.batches(index):
                part = self._features(space, rows, x)
                if table is None:
                    table = np.empty((len(index), part.shape[1]))
                table[done : done + len(part)] = part
                done += len(part)
                progress.update(len(part))
        if table is None:
            return np.empty((0, 1))
        bad = np.isin(index, self.invalid)
        for position in np.flatnonzero(~bad & ~np.isfinite(table).all(axis=1)):
            self.errors[int(index[position])] = "its features are not finite"
            bad[position] = True
        table[bad] = np.nan
        return table

    def _features(self, space: Space, rows: Indices, x: Tensor) -> Floats:
        batch = Batch(self.model, x, first=int(rows[0]), seed=self.seed)
        values: Any
        if space == "latent":
            values = batch.code
        elif space == "sample":
            mean, log_var = batch.posterior
            shape = tuple(mean.shape[1:])
            noise = normal_rows(int(rows[0]), len(rows), shape, derive(self.seed, "posterior"))
            values = mean + (0.5 * log_var).exp() * noise.to(mean.device, mean.dtype)
        else:
            values = space(x) if callable(space) else x
        if isinstance(values, Tensor):
            values = values.detach().cpu().numpy()
        table = np.asarray(values, dtype=np.float64)
        if table.ndim < 1 or len(table) != len(x):
            hint = "Return one row of features per anchor."
            raise ModelError("the features", f"of {len(x)} rows", short_repr(values), hint)
        return table.reshape(len(x), -1)


def check_space(space: Any, spaces: tuple[str, ...], model: Any = None) -> None:
    """Raise unless ``space`` is a callable or one of ``spaces`` that ``model`` can serve.

    Args:
        space: What the user gave.
        spaces: The names that are allowed.
        model: The model; None skips the question what it can do.

    Raises:
        ParameterError: When it is neither.
        CapabilityError: When the model lacks what the space needs.
    """
    if callable(space):
        return
    if not isinstance(space, str) or space not in spaces:
        allowed = "a callable or one of " + ", ".join(repr(name) for name in spaces)
        raise ParameterError("space", allowed, short_repr(space), nearest(str(space), spaces))
    if model is not None:
        with caller(f"space={space!r}"):
            hint = "Use space='pixel', or a callable from a tensor of anchors to features."
            needed = _NEEDS.get(space, [] if can_embed(model) else ["embed"])
            require(model, needed, hint)


def can_embed(model: Any) -> bool:
    """Return whether a model gives one code per instance: posterior means, or embeddings."""
    return bool(capabilities(model) & {"encode", "embed"})


def as_array(values: Any) -> Any:
    """Return a sequence as an array, so that metadata describe it instead of holding it."""
    return np.asarray(values) if isinstance(values, (list, tuple)) else values


def member_indices(members: Any, n: int) -> Indices:
    """Return ``members`` as indices into ``n`` anchors; None is all.

    Raises:
        ParameterError: When they are no indices, lie outside, or repeat.
    """
    if members is None:
        return np.arange(n, dtype=np.int64)
    given = np.asarray(members)
    flat = (
        given.reshape(-1).astype(np.int64) if given.size == 0 or given.dtype.kind in "iu" else None
    )
    good = flat is not None and given.ndim == 1 and len(np.unique(flat)) == len(flat)
    if flat is None or not good or (len(flat) and not (flat.min() >= 0 and flat.max() < n)):
        hint = "Pass the indices of a group, as in explanation.groups['HILE']['indices']."
        allowed = f"distinct indices of anchors, 0 to {n - 1}"
        raise ParameterError("members", allowed, short_repr(members), hint)
    return flat


def ranked(values: Floats) -> Indices:
    """Return, per row, the columns by rising value; -1 in the places of those that are NaN.

    Example:
        >>> ranked(np.array([[3.0, np.nan, 1.0]])).tolist()
        [[2, 0, -1]]
    """
    order = np.argsort(values, axis=1, kind="stable")  # NaN goes last
    order[np.isnan(np.take_along_axis(values, order, axis=1))] = -1
    return order
