"""Anchors in a folder of images."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors._images import ImageForm, decode, form_of_shape, pillow
from pxgen_plugins.anchors.base import REGISTRY, Anchors, path_of, positions, reason
from pxgen_plugins.anchors.label_text import as_labels
from pxgen_plugins.utils.errors import AnchorError, short_repr, warn

__all__ = ["FolderAnchors", "open_inside", "scan"]

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
_PROBES = 16  # unreadable images in front of which the size is still looked for
_OPEN = os.O_RDONLY
for _flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
    _OPEN |= getattr(os, _flag, 0)


@REGISTRY.register("folder")
class FolderAnchors(Anchors):
    """Images under a folder, as uint8: sorted by relative path, which is the id.

    The first-level sub-folder is the label. Hidden files and folders are passed over, files of
    other suffixes and linked folders are left out with a warning. An image that is damaged, of
    another size (nothing is resized), of more than 8 bits a channel, or a link out of the folder
    is a failed row. Orientation tags are not applied.

    Args:
        root: The folder.
        sample_shape: Shape of one anchor; None takes (1, H, W) or (3, H, W) of the first image.

    Raises:
        AnchorError: When there is no image, or images cannot have this shape.
        MissingDependencyError: When Pillow is absent.
    """

    order: ClassVar[int] = 20

    def __init__(self, root: Path, sample_shape: tuple[int, ...] | None) -> None:
        pillow()
        self._root = os.path.realpath(root)
        self._names, others = scan(self._root, _SUFFIXES)
        if not self._names:
            got = f"{short_repr(str(root))} with {len(others)} other files"
            hint = "Images end in " + ", ".join(_SUFFIXES) + "."
            raise AnchorError("X", "a folder with images", got, hint)
        if others:
            text = (
                f"anchors: {len(others)} entries of {short_repr(str(root))} were left out, as they "
                f"are no images: {short_repr(others[0])}" + (" and others." if others[1:] else ".")
            )
            warn(text)
        self._form = self._find_form(sample_shape)
        self.ids = as_labels(self._names, len(self._names), "ids")
        tops = [name.partition("/")[0] if "/" in name else "" for name in self._names]
        self.labels = as_labels(tops, len(tops)) if any(tops) else None

    @classmethod
    def matches(cls, X: Any) -> bool:
        """Return whether ``X`` is the path of a folder."""
        path = path_of(X)
        return path is not None and path.is_dir()

    @classmethod
    def open(cls, X: Any, sample_shape: tuple[int, ...] | None) -> Anchors:
        """Return the images under the folder ``X``."""
        return cls(Path(X), sample_shape)

    def __len__(self) -> int:
        return len(self._names)

    def read(self, index: slice | NDArray[np.int64]) -> tuple[NDArray[Any], dict[int, str]]:
        """Return the decoded images, and why some could not be."""
        chosen = positions(index, len(self)).tolist()
        rows = np.zeros((len(chosen), *self._form.sample_shape), np.uint8)
        failed: dict[int, str] = {}
        for place, position in enumerate(chosen):
            image = self._load(self._names[position], self._form)
            if isinstance(image, str):
                failed[place] = image
            else:
                rows[place] = image[0]
        return rows, failed

    def _load(self, name: str, form: ImageForm | None) -> tuple[NDArray[np.uint8], ImageForm] | str:
        """Return the image and its form, or why it could not be read."""
        try:
            with os.fdopen(open_inside(self._root, name), "rb") as file:
                return decode(file, form)
        except Exception as error:  # a damaged file may raise anything in its decoder
            return _why(error)

    def _find_form(self, sample_shape: tuple[int, ...] | None) -> ImageForm:
        if sample_shape is not None:
            form = form_of_shape(sample_shape)
            if form is None:
                hint = "Give the anchors as an array of this shape instead."
                got = f"a folder of images for anchors of shape {sample_shape}"
                allowed = "for anchors of 1, 3 or 4 channels when it is a folder of images"
                raise AnchorError("X", allowed, got, hint)
            return form
        why = ""
        for name in self._names[:_PROBES]:
            image = self._load(name, None)
            if not isinstance(image, str):
                return image[1]
            why = why or f"{short_repr(name)}: {image}"
        hint = "Remove the damaged images, or use a model with a sample shape."
        raise AnchorError("X", "a folder of readable images", why, hint)


def scan(root: str, suffixes: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Return the files under ``root`` that end in one of ``suffixes``, and what else there is.

    Paths are relative, with ``/`` between their parts, and sorted as strings. Hidden entries are
    passed over. Linked folders are not entered, they are among the others.
    """
    matches: list[str] = []
    others: list[str] = []

    def note(error: OSError) -> None:  # a folder that cannot be entered
        others.append(_relative(error.filename, root))

    for folder, below, files in os.walk(root, onerror=note):
        links = [name for name in below if os.path.islink(os.path.join(folder, name))]
        others += [_relative(os.path.join(folder, name), root) for name in links if name[0] != "."]
        below[:] = [name for name in below if name[0] != "." and name not in links]
        for name in files:
            if name[0] != ".":
                kind = matches if name.lower().endswith(suffixes) else others
                kind.append(_relative(os.path.join(folder, name), root))
    return sorted(matches), sorted(others)


def open_inside(root: str, name: str) -> int:
    """Return a descriptor of the regular file ``name`` under ``root``, which is a real path.

    Raises:
        ValueError: When ``name`` or a link leads out of ``root``, or it is no regular file.
        OSError: When it cannot be opened.
    """
    named = os.path.normpath(os.path.join(root, name))
    if os.path.commonpath([root, named]) != root:
        raise ValueError("its path leaves the folder")
    real = os.path.realpath(named)
    if os.path.commonpath([root, real]) != root:
        raise ValueError("it is a symbolic link that leaves the folder")
    descriptor = os.open(real, _OPEN)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError("it is no regular file")
    return descriptor


def _relative(path: str, root: str) -> str:
    return os.path.relpath(path, root).replace(os.sep, "/")


def _why(error: Exception) -> str:
    """Return the reason without the file's full path or the object that Pillow names in it."""
    if isinstance(error, OSError) and error.strerror:
        return reason(f"{type(error).__name__}: {error.strerror}")
    if type(error).__name__ == "UnidentifiedImageError":
        return "it is no image of a known format"
    return reason(str(error) if type(error) is ValueError else error)
