"""Anchors in images that a CSV file lists."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from pxgen_plugins.anchors._images import pillow
from pxgen_plugins.anchors.base import REGISTRY, path_of
from pxgen_plugins.anchors.folder import FolderAnchors
from pxgen_plugins.anchors.label_text import as_labels
from pxgen_plugins.anchors.tables import csv_columns, set_labels
from pxgen_plugins.utils.errors import AnchorError, short_repr

__all__ = ["ImageCsvAnchors", "image_columns"]

_COLUMNS = {
    "label": ("label",),
    "id": ("id",),
    "path": ("path", "file", "file_name", "filename", "image"),
}


@REGISTRY.register("image_csv")
class ImageCsvAnchors(FolderAnchors):
    """Images that a CSV file lists, as uint8, in its order.

    Its first line names the columns: ``path`` (or ``file``, ``file_name``, ``filename``,
    ``image``), and perhaps ``label`` and ``id``; others are not read. Paths are relative to the
    folder of the file and must not leave it; without ``id`` they are the ids. An image that is
    missing, damaged, of another size or outside is a failed row.

    Args:
        path: The CSV file, UTF-8.
        sample_shape: Shape of one anchor; None takes (1, H, W) or (3, H, W) of the first image.

    Raises:
        AnchorError: When it cannot be read or lists no path, or images cannot have this shape.
        MissingDependencyError: When Pillow is absent.
    """

    order: ClassVar[int] = 20

    def __init__(self, path: Path, sample_shape: tuple[int, ...] | None) -> None:
        pillow()
        columns = image_columns(path)
        if not columns:
            hint = "Name the column of paths in the first line: path,label."
            got = f"{short_repr(str(path))} without one"
            raise AnchorError("X", "a CSV file with a column 'path'", got, hint)
        self._root = os.path.dirname(os.path.realpath(path))
        self._names = columns["path"]
        if not self._names:
            hint = "Write one line for each image."
            raise AnchorError("X", "a CSV file that lists images", "none", hint)
        self._form = self._find_form(sample_shape)
        self.ids = as_labels(self._names, len(self._names), "ids")
        set_labels(self, columns)

    @classmethod
    def matches(cls, X: object) -> bool:
        """Return whether ``X`` is the path of a CSV file."""
        path = path_of(X)
        return path is not None and path.suffix.lower() == ".csv" and path.is_file()


def image_columns(path: Path) -> dict[str, list[str]]:
    """Return the columns ``path``, ``label`` and ``id`` of a CSV file; empty when it has no paths.

    Args:
        path: The file.

    Raises:
        AnchorError: When it cannot be read, is no CSV file, names a column twice, or a line is
            shorter or longer than the first.
    """
    columns = csv_columns(path, _COLUMNS)
    return columns if "path" in columns else {}
