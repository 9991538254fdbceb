"""Anchors in images that a CSV file lists."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import ClassVar

import numpy as np

from pxgen_plugins.anchors.base import REGISTRY, path_of, reason
from pxgen_plugins.anchors.folder import FolderAnchors, open_inside
from pxgen_plugins.anchors.images import pillow
from pxgen_plugins.anchors.text import as_labels
from pxgen_plugins.errors import AnchorError, describe

__all__ = ["ListingAnchors", "listed"]

_PATHS = ("path", "file", "file_name", "filename", "image")
_MOST_BYTES = 1 << 30


@REGISTRY.register("listing")
class ListingAnchors(FolderAnchors):
    """Images that a CSV file lists, as uint8, in its order.

    Its first line names the columns: ``path`` (or ``file``, ``file_name``, ``filename``,
    ``image``), and perhaps ``label`` and ``id``; others are not read. Paths are relative to the
    folder of the file and must not leave it; without ``id`` they are the ids. An image that is
    missing, damaged, of another size or outside is a failed row.

    Args:
        path: The CSV file, UTF-8.
        sample_shape: Shape of one anchor; None takes (1, H, W) or (3, H, W) of the first image.
        where: Who asks, for messages.

    Raises:
        AnchorError: When it cannot be read or lists no path, or images cannot have this shape.
        MissingDependencyError: When Pillow is absent.
    """

    order: ClassVar[int] = 20

    def __init__(
        self, path: Path, sample_shape: tuple[int, ...] | None, where: str = "PXGen.explain"
    ) -> None:
        pillow(where)
        columns = listed(path, where)
        if not columns:
            do = "Name the column of paths in the first line: path,label."
            got = f"{describe(str(path))} without one"
            raise AnchorError("X", where, "a CSV file with a column 'path'", got, do)
        self._root = os.path.dirname(os.path.realpath(path))
        self._names = columns["path"]
        if not self._names:
            do = "Write one line for each image."
            raise AnchorError("X", where, "a CSV file that lists images", "none", do)
        self._form = self._find_form(sample_shape, where)
        self.ids = np.array(columns.get("id", self._names), np.str_)
        given = columns.get("label")
        self.labels = None if given is None else as_labels(given, len(given), where)

    @classmethod
    def matches(cls, X: object) -> bool:
        """Return whether ``X`` is the path of a CSV file."""
        path = path_of(X)
        return path is not None and path.suffix.lower() == ".csv" and path.is_file()


def listed(path: Path, where: str) -> dict[str, list[str]]:
    """Return the columns ``path``, ``label`` and ``id`` of a CSV file; empty when it has no paths.

    Args:
        path: The file, of at most 1 GiB.
        where: Who asks, for messages.

    Raises:
        AnchorError: When it cannot be read, is no CSV file, names a column twice, or a line is
            shorter or longer than the first.
    """
    allowed = "a readable CSV file in UTF-8"
    do = "Write a line of column names, then one line for each image."
    try:
        with os.fdopen(open_inside(*os.path.split(os.path.realpath(path))), "rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES} bytes")
        text = io.StringIO(content.decode("utf-8-sig"), newline="")
        lines = [line for line in csv.reader(text, strict=True) if line]
        names = [name.strip() for name in lines[0]] if lines else []
        for number, line in enumerate(lines, 1):
            if len(line) != len(names):
                raise ValueError(f"row {number} has {len(line)} values for {len(names)} columns")
        of: dict[str, int] = {name: _only(names, name) for name in ("label", "id") if name in names}
        paths = next((name for name in _PATHS if name in names), None)
        if paths is None:
            return {}
        of["path"] = _only(names, paths)
    except Exception as error:  # a file may be broken in any way
        why = reason(str(error) if type(error) is ValueError else error)
        raise AnchorError("X", where, allowed, f"{describe(str(path))}: {why}", do) from error
    return {name: [line[at] for line in lines[1:]] for name, at in of.items()}


def _only(names: list[str], name: str) -> int:
    if names.count(name) > 1:
        raise ValueError(f"two columns are called {name!r}")
    return names.index(name)
