"""Anchors in images that a CSV file lists."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from pxgen_plugins.anchors._images import pillow
from pxgen_plugins.anchors.base import REGISTRY, Anchors, path_of
from pxgen_plugins.anchors.folder import FolderAnchors
from pxgen_plugins.anchors.label_text import as_labels
from pxgen_plugins.anchors.pictures import Pictures
from pxgen_plugins.anchors.records import FileColumns, csv_columns
from pxgen_plugins.anchors.tables import BY_NAME, Columns, origins, set_labels
from pxgen_plugins.utils.errors import AnchorError, short_repr

__all__ = ["ImageCsvAnchors", "image_columns"]

_AS_THEY_ARE = Pictures()
_PATHS = ("path", "file", "file_name", "filename", "image")


@REGISTRY.register("image_csv")
class ImageCsvAnchors(FolderAnchors):
    """Images that a CSV file lists, as uint8, in its order.

    Its first line names the columns: ``path`` (or ``file``, ``file_name``, ``filename``,
    ``image``), and perhaps ``label`` and ``id``; others are not read. Paths are relative to the
    folder of the file and must not leave it; without ``id`` they are the ids. An image that is
    missing, damaged, of another size or outside is a failed row.

    Args:
        path: The CSV file, UTF-8.
        sample_shape: Shape of one anchor; None takes it from all images, as for a folder.
        pictures: What else is done to the images.
        named: The columns that the user named.

    Raises:
        AnchorError: When it cannot be read or lists no path, or images cannot have this shape.
        MissingDependencyError: When Pillow is absent.
    """

    order: ClassVar[int] = 20

    def __init__(
        self,
        path: Path,
        sample_shape: tuple[int, ...] | None,
        pictures: Pictures = _AS_THEY_ARE,
        named: Columns = BY_NAME,
    ) -> None:
        pillow()
        columns = image_columns(path, named)
        if "path" not in columns.names:
            hint = "Name the column of paths in the first line: path,label."
            got = f"{short_repr(str(path))} without one"
            raise AnchorError("X", "a CSV file with a column 'path'", got, hint)
        self._root = os.path.dirname(os.path.realpath(path))
        self._names = columns.cells["path"]
        if not self._names:
            hint = "Write one line for each image."
            raise AnchorError("X", "a CSV file that lists images", "none", hint)
        self._find_form(sample_shape, pictures)
        ids = [name or f"no path in record {i}" for i, name in enumerate(self._names, 1)]
        self.ids = as_labels(ids, len(ids), "ids")
        places = origins([columns.names["path"]], columns.names)
        set_labels(self, columns.cells, {"ids": "the paths"} | places, named)

    @classmethod
    def open_columns(
        cls,
        X: Any,
        sample_shape: tuple[int, ...] | None,
        named: Columns,
        pictures: Pictures = _AS_THEY_ARE,
    ) -> Anchors:
        """Return the images that the CSV file ``X`` lists, of which the user named columns."""
        return cls(Path(X), sample_shape, pictures, named)

    @classmethod
    def matches(cls, X: object) -> bool:
        """Return whether ``X`` is the path of a CSV file."""
        path = path_of(X)
        return path is not None and path.suffix.lower() == ".csv" and path.is_file()


def image_columns(path: Path, named: Columns = BY_NAME) -> FileColumns:
    """Return the columns of a CSV file that lists images, the anchors under ``path``.

    Args:
        path: The file.
        named: The columns that the user named.

    Raises:
        AnchorError: When it cannot be read, is no CSV file, names a column twice, or a line is
            shorter or longer than the first.
    """
    return csv_columns(path, partial(named.places, role="path", usual=_PATHS))
