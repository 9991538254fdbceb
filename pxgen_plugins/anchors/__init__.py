"""Anchor sets: rows to explain, from whatever holds them, read in bounded memory."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors.base import REGISTRY, Anchors, fit_shape
from pxgen_plugins.anchors.label_text import as_ids, as_labels
from pxgen_plugins.anchors.pictures import Pictures
from pxgen_plugins.anchors.sampling import stratified_sample
from pxgen_plugins.anchors.subset import Subset
from pxgen_plugins.anchors.tables import PROMPT_NAMES, Columns
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import AnchorError, caller, short_repr

register = REGISTRY.register
names = REGISTRY.names

__all__ = [
    "Anchors",
    "Subset",
    "fit_shape",
    "names",
    "open_anchors",
    "open_for",
    "register",
    "stratified_sample",
]

_HINT = (
    "Give an array, nested lists, a tensor, a Dataset, a DataLoader, a DataFrame, or the path of "
    "a .npy, .npz or .parquet file, of a folder of images or of .parquet files, or of a .csv file "
    "that lists images."
)


@caller("open_anchors", fallback=True)
def open_anchors(
    X: Any,
    *,
    sample_shape: tuple[int, ...] | None,
    labels: Any = None,
    ids: Any = None,
    prompts: Any = None,
    columns: str | Sequence[str] | None = None,
    anchors_range: tuple[float, float] | None = None,
    resize: Any = None,
    transform: Any = None,
    background: Any = None,
) -> Anchors:
    """Return the anchor set that ``X`` holds; nothing but names and labels is loaded yet.

    What ``X`` may be, one file of this package each:

    - an array, nested lists or a tensor, shape (n, *sample_shape); see :func:`fit_shape` for the
      other layouts that are understood; a read-only memory map is never held in memory as a whole;
    - the path of a ``.npy`` file, or of a ``.npz`` file that holds one array, or one named ``x``,
      ``images`` or ``anchors`` and perhaps ``y`` or ``labels``, ``id`` or ``ids``;
    - a map-style ``Dataset`` of ``x``, ``(x, y)`` or dicts. Its labels are complete once every row
      was read, unless the data set has ``targets``;
    - a ``DataLoader``. Shuffling is ignored: row i is item i of its data set. A sampler that picks
      items is followed. An iterable data set is copied to a temporary file;
    - the path of a folder of images, sorted by relative path; sub-folders are labels;
    - the path of a ``.csv`` file that lists images (``path``, perhaps ``label`` and ``id``);
    - the path of a Parquet file or of a folder of them, or a pandas ``DataFrame``.

    Args:
        X: Where the anchors are.
        sample_shape: Shape of one anchor as the model takes it; None takes ``X`` as it is, with
            the anchors along the first axis.
        labels: n labels of any type, instead of those of ``X``. They become strings: 3 and 3.0
            both "3", a missing one (None, NaN) the empty string. Or, for tables, the name of the
            column, or of the level of the index, that holds them.
        ids: n distinct names, instead of those of ``X``, or the name of a column likewise.
        prompts: n texts, what each image is to show, for a model that reads prompts; or True, where
            a table's column ``prompt`` holds them.
        columns: For tables, the columns of features, or the one of lists, images, texts or paths;
            None finds them by their kinds and names.
        anchors_range: Lowest and highest value that ``X`` may hold, as in (0, 1) for what
            torchvision's ``ToTensor`` gives: it becomes the model's range, whatever the type.
            None takes uint8 as 0 to 255 and floats as they are, and warns where that looks wrong.
        resize: For folders, CSV files and Parquet columns of pictures: ``"crop"``, ``"stretch"``
            or ``"pad"`` to the model's size, or a size; see
            :class:`~pxgen_plugins.anchors.pictures.Pictures`, as for the next two.
        transform: Likewise, a function from a Pillow image, or steps by name.
        background: Likewise, the colour behind transparent pixels.

    Returns:
        The anchor set, its ``labels`` and ``ids`` checked; its ``describe()`` says which columns
        were taken for what.

    Raises:
        AnchorError: When ``X`` cannot be read as a whole (a single bad row is reported by
            :meth:`Anchors.read`), or labels or ids do not fit it.
        MissingDependencyError: When pyarrow or Pillow is needed and absent.

    Example:
        >>> import numpy as np
        >>> anchors = open_anchors(np.zeros((5, 28, 28)), sample_shape=(1, 28, 28), labels=range(5))
        >>> rows, failed = anchors.read(slice(0, 2))
        >>> rows.shape, failed, anchors.labels.tolist()
        ((2, 1, 28, 28), {}, ['0', '1', '2', '3', '4'])
    """
    named, pictures = Columns.of(columns, labels, ids), Pictures(resize, transform, background)
    if prompts is True:
        named, prompts = replace(named, prompts=PROMPT_NAMES), None
    anchors = _open(X, sample_shape, named, pictures)
    if prompts is not None:
        anchors.prompts = as_labels(prompts, len(anchors), "prompts")
        anchors.origins = _without(anchors.origins, "prompts")
    if labels is not None and not isinstance(labels, str):
        anchors.labels = as_labels(labels, len(anchors))
        anchors.origins = _without(anchors.origins, "labels")
    if ids is not None and not isinstance(ids, str):
        anchors.ids = as_ids(ids, len(anchors))
        anchors.origins = _without(anchors.origins, "ids")
    elif anchors.ids is not None:
        anchors.ids = as_ids(anchors.ids, len(anchors))
    if anchors_range is not None:
        anchors.anchors_range = validation.data_range(anchors_range, "anchors_range")
    return anchors


def open_for(
    model: Any,
    X: Any,
    *,
    labels: Any = None,
    ids: Any = None,
    columns: str | Sequence[str] | None = None,
    anchors_range: tuple[float, float] | None = None,
    **pictures: Any,
) -> Anchors:
    """Return the anchor set that ``X`` holds, as ``model`` takes it.

    Like :func:`open_anchors`, but a model whose instances are no arrays may open ``X`` by itself,
    with a method ``open_anchors(X)``, or ``open_anchors(X, named)`` for tables with columns that
    the user named.

    Args:
        model: The model that is explained.
        X: Where the anchors are.
        labels: n labels, instead of those of ``X``, or the name of a column.
        ids: n distinct names, instead of those of ``X``, or the name of a column.
        columns: The columns of anchors; see :func:`open_anchors`.
        anchors_range: As for :func:`open_anchors`.
        pictures: ``resize``, ``transform`` and ``background``, likewise.

    Raises:
        AnchorError: As for :func:`open_anchors`; or when an anchor has a prompt that the model is
            not bound to.
    """
    own = getattr(model, "open_anchors", None)
    if own is not None and not isinstance(X, Anchors):
        named = Columns.of(columns, labels, ids)
        X = own(X) if named.is_by_name else own(X, named)
        if isinstance(X, Anchors):  # it has seen the names
            labels, ids, columns = (
                None if isinstance(one, str) else one for one in (labels, ids, None)
            )
    known = getattr(model, "prompts", None)
    anchors = open_anchors(
        X,
        sample_shape=model.sample_shape,
        labels=labels,
        ids=ids,
        prompts=True if known is not None else None,
        columns=columns,
        anchors_range=anchors_range,
        **pictures,
    )
    if known is not None and anchors.prompts is not None:
        _expect_prompts(anchors.prompts, known)
        if anchors.labels is None:
            anchors.labels = anchors.prompts
            anchors.origins = {**anchors.origins, "labels": "the prompts"}
    return anchors


def _expect_prompts(prompts: NDArray[np.str_], known: Sequence[str]) -> None:
    """Raise unless a model is bound to the prompts of anchors."""
    for row in np.flatnonzero(~np.isin(prompts, known)):
        hint = "Use model.bind([...]) with all prompts of the anchors."
        got = f"{short_repr(str(prompts[row]))} at anchor {row}"
        raise AnchorError("prompts", f"of the model: {short_repr(list(known))}", got, hint)


def _open(
    X: Any, sample_shape: tuple[int, ...] | None, named: Columns, pictures: Pictures
) -> Anchors:
    if isinstance(X, Anchors) and not pictures:
        if not named.is_by_name:
            return Anchors.open_columns(X, sample_shape, named)  # which refuses them
        return copy.copy(X)  # new labels must not reach the caller's own object
    if isinstance(X, (str, os.PathLike)) and not os.path.exists(X):
        hint = "Check the spelling, and the directory that a relative path starts from."
        raise AnchorError("X", "the path of an existing file", short_repr(X), hint)
    if isinstance(X, Anchors):
        hint = "Give resize, transform and background where the anchors are opened first."
        raise AnchorError("X", "not opened yet, to be resized", type(X).__name__, hint)
    source = REGISTRY.first_match(X)
    if source is None:
        raise AnchorError("X", "something that holds anchors", short_repr(X), _HINT)
    options: dict[str, Any] = {"pictures": pictures} if pictures else {}
    if options and not source.takes_pictures:
        allowed = "a folder of images, a CSV file of their paths, or Parquet, to be resized"
        hint = "Leave resize, transform and background out, and prepare the array yourself."
        raise AnchorError("X", allowed, short_repr(X), hint)
    without = source.open_columns.__func__ is Anchors.open_columns.__func__  # type: ignore[attr-defined]
    if named == Columns() or (without and named.is_by_name):
        return source.open(X, sample_shape, **options)
    return source.open_columns(X, sample_shape, named, **options)


def _without(origins: Mapping[str, str], role: str) -> dict[str, str]:
    """Return the origins without that of what the user gave."""
    return {name: origin for name, origin in origins.items() if name != role}
