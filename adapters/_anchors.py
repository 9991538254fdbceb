"""Anchors as features: rows read in batches, with those that cannot be read named, not dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.anchors import open_for
from pxgen_plugins.criteria import Batch
from pxgen_plugins.models import require
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.utils.errors import ModelError, ParameterError, short_repr
from pxgen_plugins.utils.progress import bar
from pxgen_plugins.utils.seeds import derive, normal_rows
from pxgen_plugins.utils.validation import nearest

__all__ = [
    "Floats",
    "Rows",
    "as_array",
    "check_space",
    "chosen_members",
    "labels_of",
    "space_text",
]

Floats = NDArray[np.float64]
_NEEDS = {"latent": ["encode"], "sample": ["encode"], "pixel": []}


def check_space(space: Any, model: Any, where: str, spaces: tuple[str, ...]) -> None:
    """Raise unless ``space`` is a callable or one of ``spaces`` that ``model`` can serve.

    Args:
        space: What the user gave.
        model: The model; None skips the question what it can do.
        where: The class that asks, for messages.
        spaces: The names that are allowed.

    Raises:
        ParameterError: When it is neither.
        CapabilityError: When the model lacks what the space needs.
    """
    if callable(space):
        return
    if not isinstance(space, str) or space not in spaces:
        allowed = "a callable or one of " + ", ".join(repr(name) for name in spaces)
        hint = nearest(str(space), spaces)
        raise ParameterError("space", where, allowed, short_repr(space), hint)
    if model is not None:
        hint = "Use space='pixel', or a callable from a batch to features."
        require(model, _NEEDS[space], f"{where}: space={space!r}", hint)


def space_text(space: Any) -> str:
    """Return a space as metadata holds it."""
    return space if isinstance(space, str) else short_repr(space)


class Rows:
    """An anchor set, as the model takes it.

    Args:
        X: Anything :func:`~pxgen_plugins.anchors.open_anchors` reads.
        model: The model.
        where: Who asks, for messages.
        batch_size: Rows per batch.
        seed: Seed of posterior draws.
        labels: n labels, instead of those of ``X``.
        ids: n distinct names, instead of those of ``X``.

    Attributes:
        reasons: Why, by index, for the anchors found unreadable or not finite so far.
    """

    def __init__(
        self,
        X: Any,
        model: Any,
        where: str,
        batch_size: int,
        *,
        seed: int = 0,
        labels: Any = None,
        ids: Any = None,
    ) -> None:
        self.anchors = open_for(model, X, labels=labels, ids=ids, where=where)
        self.model, self.where, self.seed = model, where, seed
        self.scorer = Scorer(model, [], batch_size=batch_size)
        self.reasons: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.anchors)

    @property
    def invalid(self) -> NDArray[np.int64]:
        """Indices of the anchors in ``reasons``, sorted."""
        return np.array(sorted(self.reasons), dtype=np.int64)

    def found_invalid(self) -> dict[str, Any]:
        """Return the keys ``invalid`` and ``reasons`` of an explanation."""
        return {"invalid": self.invalid, "reasons": [self.reasons[int(i)] for i in self.invalid]}

    def batches(
        self, index: NDArray[np.int64] | None = None
    ) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Yield indices (b,) and their anchors (b, *sample_shape); the tensor is used again.

        An anchor that is not finite comes as a constant one and is noted in ``reasons``.
        """
        index = np.arange(len(self), dtype=np.int64) if index is None else index
        faults: dict[int, str] = {}
        for start, x in self.scorer.batches(self.anchors, index, faults):
            rows = index[start : start + len(x)]
            self.reasons.update({int(index[at]): why for at, why in faults.items()})
            faults.clear()
            yield rows, x

    def raw(self) -> NDArray[Any]:
        """Return all rows as they were given, (n, *sample_shape), uint8 or floating."""
        if not len(self):
            return np.empty((0, *(self.model.sample_shape or (1,))), dtype=np.float32)
        rows, failed = self.anchors.read(slice(0, len(self)))
        if failed:
            rows = rows.astype(np.float32) if rows.dtype == np.uint8 else rows
            rows[list(failed)] = np.nan
        return rows

    def features(
        self,
        space: str | Callable[[Batch], Any],
        index: NDArray[np.int64] | None = None,
        *,
        verbose: bool = False,
    ) -> Floats:
        """Return the anchors as a matrix (b, d); a row that could not be made is NaN.

        Args:
            space: ``"latent"`` (posterior means), ``"sample"`` (one seeded posterior draw per
                anchor, that of its index), ``"pixel"``, or a callable from a
                :class:`~pxgen_plugins.criteria.Batch` to one row per anchor.
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
                part = self._some(space, rows, x)
                if table is None:
                    table = np.empty((len(index), part.shape[1]))
                table[done : done + len(part)] = part
                done += len(part)
                progress.update(len(part))
        if table is None:
            return np.empty((0, 1))
        bad = np.isin(index, self.invalid)
        for position in np.flatnonzero(~bad & ~np.isfinite(table).all(axis=1)):
            self.reasons[int(index[position])] = "its features are not finite"
            bad[position] = True
        table[bad] = np.nan
        return table

    def _some(self, space: Any, rows: NDArray[np.int64], x: Tensor) -> Floats:
        batch = Batch(self.model, x, first=int(rows[0]), seed=self.seed)
        if space == "latent":
            found: Any = batch.mean
        elif space == "sample":
            mean, log_var = batch.posterior
            shape = tuple(mean.shape[1:])
            noise = normal_rows(int(rows[0]), len(rows), shape, derive(self.seed, "posterior"))
            found = mean + (0.5 * log_var).exp() * noise.to(mean.device, mean.dtype)
        else:
            found = x if space == "pixel" else space(batch)
        if isinstance(found, Tensor):
            found = found.detach().cpu().numpy()
        table = np.asarray(found, dtype=np.float64)
        if table.ndim < 1 or len(table) != len(x):
            hint = "Return one row of features per anchor."
            got = short_repr(found)
            raise ModelError("the features", self.where, f"of {len(x)} rows", got, hint)
        return table.reshape(len(x), -1)


def as_array(values: Any) -> Any:
    """Return a sequence as an array, so that metadata describe it instead of holding it."""
    return np.asarray(values) if isinstance(values, (list, tuple)) else values


def chosen_members(members: Any, n: int, where: str) -> NDArray[np.int64]:
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
        raise ParameterError("members", where, allowed, short_repr(members), hint)
    return flat


def labels_of(names: NDArray[np.str_] | None, indices: NDArray[np.int64]) -> dict[str, Any]:
    """Return the keys ``labels`` and ``label_counts`` for prototypes at ``indices``."""
    if names is None:
        return {}
    labels = names[indices]
    kinds, counts = np.unique(labels, return_counts=True)
    return {
        "labels": labels,
        "label_counts": {str(k): int(c) for k, c in zip(kinds, counts, strict=True)},
    }
