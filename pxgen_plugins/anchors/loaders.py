"""Anchors in a torch DataLoader or an iterable data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors._item_formats import pair, pixels
from pxgen_plugins.anchors._spool import Spool, SpoolAnchors
from pxgen_plugins.anchors.base import REGISTRY, Anchors, module_in_use, reason
from pxgen_plugins.anchors.datasets import DatasetAnchors, RowFormat, why_not
from pxgen_plugins.anchors.label_text import as_labels, item_label
from pxgen_plugins.utils.errors import AnchorError

__all__ = ["LoaderAnchors"]


@REGISTRY.register("loader")
class LoaderAnchors(DatasetAnchors):
    """Anchors in a ``DataLoader``.

    Over a map-style data set the loader is not run: its items are read where they are asked for,
    through its ``collate_fn`` if it has its own. With the default samplers, shuffling or not,
    row i is item i of the data set, and ``drop_last`` drops nothing; any other sampler is asked
    once for its order. An iterable data set, in a loader or by itself, is read once into a
    temporary file. The global random state is left as it was.
    """

    order: ClassVar[int] = 10

    @classmethod
    def matches(cls, X: Any) -> bool:
        """Return whether ``X`` is a loader or an iterable data set."""
        data = module_in_use("torch.utils.data")
        return data is not None and isinstance(X, (data.DataLoader, data.IterableDataset))

    @classmethod
    def open(cls, X: Any, sample_shape: tuple[int, ...] | None) -> Anchors:
        """Return the anchors that ``X`` yields.

        Raises:
            AnchorError: When it stops with an error, or has no fixed order.
        """
        from torch.utils import data

        if isinstance(X, data.IterableDataset):
            return _spool(X, False, sample_shape)
        batched = X.batch_sampler is not None
        grouped = not batched and isinstance(X.sampler, data.BatchSampler)
        if isinstance(X.dataset, data.IterableDataset) or grouped:
            return _spool(X, batched or grouped, sample_shape)
        order = _order(X)
        plain = (data.default_collate, data.default_convert)
        if order is None and X.collate_fn in plain:
            return DatasetAnchors.open(X.dataset, sample_shape)
        collate = None if X.collate_fn in plain else X.collate_fn
        return DatasetAnchors(_View(X.dataset, order, collate, batched), sample_shape)


class _View:
    """Some items of a data set, in some order, through a loader's ``collate_fn``."""

    def __init__(self, dataset: Any, order: list[Any] | None, collate: Any, batched: bool) -> None:
        self._dataset = dataset
        self._order = order
        self._collate = collate
        self._batched = batched
        targets = getattr(dataset, "targets", None)
        own = getattr(dataset, "target_transform", None) is None and collate is None
        if targets is not None and own and order is not None and len(targets) == len(dataset):
            self.targets = [targets[key] for key in order]

    def __len__(self) -> int:
        return len(self._dataset) if self._order is None else len(self._order)

    def __getitem__(self, position: int) -> Any:
        item = self._dataset[position if self._order is None else self._order[position]]
        if self._collate is None:
            return item
        if not self._batched:
            return self._collate(item)
        x, labels = pair(self._collate([item]))
        return x[0], None if labels is None else labels[0]


def _order(loader: Any) -> list[Any] | None:
    """Return the keys of the items in a loader's order; None for those of the data set."""
    import torch
    from torch.utils import data

    picker = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
    grouped = loader.batch_sampler is not None
    if type(picker) is data.BatchSampler:
        picker, grouped = picker.sampler, False
    whole = type(picker) is data.SequentialSampler or (
        type(picker) is data.RandomSampler and not picker.replacement
    )
    if whole and not grouped and len(picker) == len(loader.dataset):
        return None
    try:
        with torch.random.fork_rng(devices=[]):
            keys = [key for group in picker for key in group] if grouped else list(picker)
    except Exception as error:  # a sampler is the user's code
        raise _stop_error("sampler", 0, error) from error
    return keys


def _spool(source: Iterable[Any], batched: bool, sample_shape: tuple[int, ...] | None) -> Anchors:
    """Return the anchors of a source that is read once, from a temporary file."""
    spool = Spool()
    try:
        return _write_rows(spool, source, batched, sample_shape)
    except BaseException:
        spool.discard()
        raise


def _write_rows(
    spool: Spool,
    source: Iterable[Any],
    batched: bool,
    sample_shape: tuple[int, ...] | None,
) -> Anchors:
    import torch

    rows = RowFormat(sample_shape)
    failed: dict[int, str] = {}
    labels: list[str] = []
    with torch.random.fork_rng(devices=[]):
        for n, (x, label) in enumerate(_singles(source, batched, rows)):
            labels.append(item_label(label))
            if isinstance(x, str):
                failed[n] = x
            elif rows.dtype is None:
                rows.fix(x)
                _skip(spool, n, rows)
            if rows.dtype is not None:
                spool.write(_row(x, rows, failed, n))
    n = len(labels)
    if failed and rows.dtype is None and sample_shape is None:
        hint = "Repair its items, or use a model with a sample shape."
        got = f"items that fail: {failed[0]}"
        raise AnchorError("X", "a data set of arrays", got, hint)
    if rows.dtype is None:
        _skip(spool, n, rows)
    array = spool.rows(rows.dtype or np.dtype(np.float32), (n, *rows.shape))
    anchors = SpoolAnchors(spool, array, failed, None)
    anchors.labels = as_labels(labels, n) if any(labels) else None
    return anchors


def _row(
    x: NDArray[Any] | str, rows: RowFormat, failed: dict[int, str], position: int
) -> NDArray[Any]:
    """Return the row of ``x``, or zeros with the reason noted."""
    if not isinstance(x, str):
        try:
            return rows.row(x)
        except ValueError as error:
            failed[position] = why_not(error)
    return np.zeros(rows.shape, rows.dtype)


def _skip(spool: Spool, n: int, rows: RowFormat) -> None:
    for _ in range(n):
        spool.write(np.zeros(rows.shape, rows.dtype or np.float32))


def _singles(
    source: Iterable[Any], batched: bool, rows: RowFormat
) -> Iterator[tuple[NDArray[Any] | str, Any]]:
    """Yield anchors and labels one by one; text in place of an anchor is why it has none."""
    count = 0
    try:
        for item in source:
            if batched:
                x, label = pair(item)
                single = isinstance(x, (list, tuple))
                many = [pixels(one, rows.form) for one in x] if single else pixels(x, rows.form)
                for place in range(len(many)):
                    yield many[place], None if label is None else label[place]
            else:
                yield _single(item, rows)
            count += 1
    except AnchorError:
        raise
    except Exception as error:  # the source is the user's code, and cannot go on after it raised
        raise _stop_error("X", count, error) from error


def _single(item: Any, rows: RowFormat) -> tuple[NDArray[Any] | str, Any]:
    try:
        x, label = pair(item)
        return pixels(x, rows.form), label
    except Exception as error:
        return why_not(error), None


def _stop_error(what: str, count: int, error: Exception) -> AnchorError:
    hint = "Repair it, or give a map-style data set, of which a bad item costs only its own row."
    got = f"{reason(error)} after {count} steps"
    return AnchorError(what, "iterable to its end", got, hint)
