"""Anchors in Parquet files."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors import _arrow as arrow
from pxgen_plugins.anchors._blocks import BlockReader, Part, Unreadable, parquet
from pxgen_plugins.anchors._images import check_size, form_of_looks, form_of_shape, pillow
from pxgen_plugins.anchors._shapes import as_batch, refuse_shape
from pxgen_plugins.anchors.base import REGISTRY, Anchors, path_of, positions, reason, row_dtype
from pxgen_plugins.anchors.folder import scan
from pxgen_plugins.anchors.pictures import Pictures
from pxgen_plugins.anchors.tables import BY_NAME, Choice, Columns, choose, set_labels
from pxgen_plugins.anchors.text_columns import text_column
from pxgen_plugins.utils.errors import AnchorError, short_repr
from pxgen_plugins.utils.limits import TEXTS, Room

__all__ = ["ParquetAnchors"]

_AS_THEY_ARE = Pictures()
_SUFFIXES = (".parquet", ".pq")
_PROBES = 16  # blocks without a good row in front of which one is still looked for
_HINT = "Check the file with pyarrow.parquet.read_table."


@REGISTRY.register("parquet")
class ParquetAnchors(Anchors):
    """Anchors in a Parquet file, or in all those under a folder, sorted by relative path.

    Columns are told apart by :func:`~pxgen_plugins.anchors.tables.choose`; a stored pandas index
    may hold labels or ids, by the same names. A null, a list of
    another length, an image that does not decode or a damaged part of a file fails its rows. Paths
    in an image column are not followed. pyarrow cannot read a null in a column of fixed-size
    lists: the rows of its block and after it in the row group fail.

    A row group is decoded in blocks of a few MiB, so memory depends neither on the number of rows
    nor on the size of the groups. Reading forwards costs one pass; a row further back in a group
    costs the decoding of what stands before it there, so random access wants small groups.

    Args:
        paths: The files.
        sample_shape: Shape of one anchor; None takes that of the first row; of pictures, the
            commonest size of the first blocks, and colour if one of them is in colour.
        pictures: What else is done to pictures.
        named: The columns that the user named.

    Raises:
        AnchorError: When a file is damaged, the files have different columns, or the rows do not
            fit the model.
        MissingDependencyError: When pyarrow is absent.
    """

    order: ClassVar[int] = 15
    takes_pictures: ClassVar[bool] = True

    def __init__(
        self,
        paths: list[str],
        sample_shape: tuple[int, ...] | None,
        pictures: Pictures = _AS_THEY_ARE,
        named: Columns = BY_NAME,
    ) -> None:
        self._pictures, self.notes = pictures, pictures.notes()
        schema, parts, index = _survey(paths)
        kinds = [(f.name, arrow.kind_of(f.type)) for f in schema if f.name not in index]
        levels = [name for name in schema.names if name in index]
        choice = choose(kinds, sample_shape, named, levels)
        self._n = sum(part.rows for part in parts)
        self._parts = [part for part in parts if part.rows]
        self._starts = np.cumsum([0, *(part.rows for part in self._parts)])
        self._reader = BlockReader(choice.names)
        self._lock = threading.Lock()
        self._decode = self._decoder(schema, choice, sample_shape)
        texts = {role: self._values(name) for role, name in choice.texts.items()}
        set_labels(self, texts, choice.origins, named)

    @classmethod
    def matches(cls, X: Any) -> bool:
        """Return whether ``X`` is the path of a Parquet file or of a folder that holds one."""
        path = path_of(X)
        if path is None:
            return False
        if not path.is_dir():
            return path.suffix.lower() in _SUFFIXES
        for _, below, files in os.walk(path):
            below[:] = sorted(name for name in below if name[0] != ".")
            visible = [name for name in files if name[0] != "."]
            if visible:
                return any(name.lower().endswith(_SUFFIXES) for name in visible)
        return False

    @classmethod
    def open(
        cls, X: Any, sample_shape: tuple[int, ...] | None, pictures: Pictures = _AS_THEY_ARE
    ) -> Anchors:
        """Return the anchors in the file or folder ``X``."""
        return cls.open_columns(X, sample_shape, BY_NAME, pictures)

    @classmethod
    def open_columns(
        cls,
        X: Any,
        sample_shape: tuple[int, ...] | None,
        named: Columns,
        pictures: Pictures = _AS_THEY_ARE,
    ) -> Anchors:
        """Return the anchors in the file or folder ``X``, of which the user named columns."""
        path = Path(X)
        if not path.is_dir():
            return cls([str(path)], sample_shape, pictures, named)
        root = os.path.realpath(path)
        names, _ = scan(root, _SUFFIXES)
        paths = [os.path.realpath(os.path.join(root, name)) for name in names]
        for name, real in zip(names, paths, strict=True):
            if os.path.commonpath([root, real]) != root:
                hint = "Copy the file into the folder, or give its own path."
                got = f"the symbolic link {short_repr(name)}"
                raise AnchorError("X", "a folder that no link leaves", got, hint)
        return cls(paths, sample_shape, pictures, named)

    def __len__(self) -> int:
        return self._n

    def read(self, index: slice | NDArray[np.int64]) -> tuple[NDArray[Any], dict[int, str]]:
        """Return the rows, each block decoded once, and why some could not be had."""
        chosen = positions(index, self._n)
        wanted, inverse = np.unique(chosen, return_inverse=True)
        rows = np.zeros((len(wanted), *self._decode.sample_shape), self._decode.dtype)
        failed: dict[int, str] = {}
        with self._lock:
            for place, values, bad in self._decode_rows(wanted):
                rows[place : place + len(values)] = values
                failed.update({place + position: why for position, why in bad.items()})
        if failed:
            rows[list(failed)] = 0
        if np.array_equal(wanted, chosen):
            return rows, failed
        places = enumerate(inverse.tolist())
        return rows[inverse], {place: failed[at] for place, at in places if at in failed}

    def _decode_rows(
        self, wanted: NDArray[np.int64]
    ) -> Iterator[tuple[int, NDArray[Any], dict[int, str]]]:
        """Yield decoded rows of the sorted ``wanted``, and where among them they start."""
        place = 0
        while place < len(wanted):
            number = int(np.searchsorted(self._starts, wanted[place], side="right")) - 1
            part = self._parts[number]
            stop = int(np.searchsorted(wanted, self._starts[number + 1]))
            local = wanted[place:stop] - self._starts[number]
            try:
                for start, block in self._reader.blocks(part, int(local[0]), int(local[-1])):
                    here = local[(local >= start) & (local < start + block.num_rows)] - start
                    if len(here):
                        yield (place, *self._decode(_take(block, here)))
                        place += len(here)
            except Unreadable as error:
                empty = np.zeros((stop - place, *self._decode.sample_shape), self._decode.dtype)
                yield place, empty, dict.fromkeys(range(stop - place), str(error))
                place = stop

    def _decoder(
        self, schema: Any, choice: Choice, sample_shape: tuple[int, ...] | None
    ) -> arrow.Decoder:
        types = [schema.field(name).type for name in choice.names]
        if self._pictures and choice.kind != "image":
            hint = "Leave resize, transform and background out."
            got = f"a column of {choice.kind}s"
            raise AnchorError("X", "a Parquet column of pictures, to be resized", got, hint)
        if choice.kind == "number":
            dtype = arrow.common_dtype(types)
            outline = np.broadcast_to(np.zeros((), dtype), (self._n, len(choice.names)))
            return arrow.Features(choice.names, as_batch(outline, sample_shape)[1], dtype)
        if choice.kind == "image":
            return self._images(choice.names[0], sample_shape)
        return self._lists(choice.names[0], types[0], sample_shape)

    def _lists(self, name: str, column: Any, sample_shape: tuple[int, ...] | None) -> arrow.Decoder:
        dtype = arrow.common_dtype([column])
        other: arrow.ListStorage | None = None
        for values in self._probe(name):
            storage = arrow.item_shape(values, sample_shape)
            if storage is not None:
                return arrow.Lists(name, storage, dtype)
            other = other or arrow.item_shape(values, None)
        if other is not None:
            refuse_shape(other.layout.item_shape, sample_shape or (), item=True)
        if sample_shape is None and self._n:
            raise _unreadable("lists", "no row that is a list")
        return arrow.Lists(name, arrow.no_shape(column, sample_shape or (0,)), dtype)

    def _images(self, name: str, sample_shape: tuple[int, ...] | None) -> arrow.Decoder:
        pillow()
        pictures = self._pictures
        form = None if sample_shape is None else form_of_shape(sample_shape, pictures)
        if sample_shape is not None and form is None:
            hint = "Give the anchors as lists of numbers instead."
            got = f"images for anchors of shape {sample_shape}"
            raise AnchorError("X", "images of 1, 3 or 4 channels", got, hint)
        if form is None:
            seen = [arrow.look_of(value) for column in self._probe(name) for value in column]
            looks = [one for one in seen if not isinstance(one, str)]
            if not looks:
                why = next((one for one in seen if isinstance(one, str)), "no row")
                raise _unreadable("images", why)
            form = form_of_looks(looks, pictures)
        check_size(form)
        if callable(pictures.transform):
            for column in self._probe(name):
                for value in column:
                    image = arrow.image_of(value, form)
                    dtype = None if isinstance(image, str) else row_dtype(image.dtype)
                    if dtype is not None:
                        return arrow.Images(name, form, dtype)
        return arrow.Images(name, form)

    def _probe(self, name: str) -> Iterator[Any]:
        """Yield the first blocks of the column, which show what the rows look like."""
        for part in self._parts[:_PROBES]:
            with contextlib.suppress(Unreadable):  # whose rows will fail when they are read
                blocks = self._reader.blocks(part, 0, part.rows - 1)
                yield from (block.column(name) for _, block in itertools.islice(blocks, _PROBES))

    def _values(self, name: str) -> list[Any]:
        """Return a column of labels or ids as a whole."""
        room = Room(TEXTS)
        values: list[Any] = []
        try:
            for path in dict.fromkeys(part.path for part in self._parts):
                values += text_column(path, name, room)
        except Exception as error:  # a file may be broken in any way
            got = reason(str(error) if type(error) is ValueError else error)
            raise AnchorError("X", "a readable Parquet file", got, _HINT) from error
        return values


def _unreadable(what: str, got: str) -> AnchorError:
    hint = f"Repair the {what}, or use a model with a sample shape."
    return AnchorError("X", f"a table of readable {what}", got, hint)


def _take(block: Any, here: NDArray[np.int64]) -> Any:
    """Return some rows of a block, without a copy when they are consecutive."""
    if here[-1] - here[0] + 1 == len(here):
        return block.slice(int(here[0]), len(here))
    import pyarrow as pa

    return block.take(pa.array(here))


def _survey(paths: list[str]) -> tuple[Any, list[Part], set[str]]:
    """Return the files' common schema, their row groups, and columns that are only an index."""
    schema: Any = None
    parts: list[Part] = []
    ignored: set[str] = set()
    for path in paths:
        name = short_repr(os.path.basename(path))
        try:
            if not os.path.isfile(path):
                raise ValueError("no regular file")
            with parquet().ParquetFile(path) as file:
                own, metadata = file.schema_arrow, file.metadata
        except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
            got = f"{name} ({reason(error)})"
            raise AnchorError("X", "a readable Parquet file", got, _HINT) from error
        if schema is not None and not own.remove_metadata().equals(schema.remove_metadata()):
            hint = "Give files with the same columns in the same order."
            got = f"{name} with other columns than {short_repr(os.path.basename(paths[0]))}"
            raise AnchorError("X", "Parquet files of one schema", got, hint)
        schema = own
        ignored |= _index_columns(own)
        groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
        parts += [Part(path, number, group.num_rows) for number, group in enumerate(groups)]
    return schema, parts, ignored


def _index_columns(schema: Any) -> set[str]:
    try:
        names = (schema.pandas_metadata or {}).get("index_columns", [])
    except (ValueError, AttributeError):  # metadata is free text that anyone may write
        names = []
    known = {name for name in names if isinstance(name, str)}
    return known | {name for name in schema.names if name.startswith("__index_level_")}
