"""Anchors in a folder of images."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors._images import (
    ImageForm,
    Look,
    check_size,
    decode,
    form_of_looks,
    form_of_shape,
    look,
    open_image,
    pillow,
)
from pxgen_plugins.anchors.base import REGISTRY, Anchors, path_of, positions, reason, row_dtype
from pxgen_plugins.anchors.label_text import as_labels
from pxgen_plugins.anchors.pictures import Pictures
from pxgen_plugins.utils.errors import AnchorError, short_repr, warn
from pxgen_plugins.utils.files import open_inside
from pxgen_plugins.utils.sequences import even_positions

__all__ = ["FolderAnchors", "scan"]

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
_PROBES = 16  # unreadable images in front of which the type of a transform is still looked for
_LOOKS = 64  # images whose colour is looked at where the model takes grey
_AS_THEY_ARE = Pictures()


@REGISTRY.register("folder")
class FolderAnchors(Anchors):
    """Images under a folder, as uint8: sorted by relative path, which is the id.

    The first-level sub-folder is the label. Hidden files and folders are passed over, files of
    other suffixes and linked folders are left out with a warning. An image that is damaged, of
    another size (unless ``resize`` is asked for), of more than 8 bits a channel, of several frames,
    transparent without ``background``, or a link out of the folder is a failed row. Images are
    turned as their orientation tag says. Colour profiles are not applied.

    Args:
        root: The folder.
        sample_shape: Shape of one anchor; None takes (3, H, W) if one image is in colour, else
            (1, H, W), of the commonest size.
        pictures: What else is done to the images.

    Raises:
        AnchorError: When there is no image, or images cannot have this shape.
        MissingDependencyError: When Pillow is absent.
    """

    order: ClassVar[int] = 20
    takes_pictures: ClassVar[bool] = True

    def __init__(
        self, root: Path, sample_shape: tuple[int, ...] | None, pictures: Pictures = _AS_THEY_ARE
    ) -> None:
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
        self._find_form(sample_shape, pictures)
        self.ids = as_labels(self._names, len(self._names), "ids")
        tops = [name.partition("/")[0] if "/" in name else "" for name in self._names]
        self.labels = as_labels(tops, len(tops)) if any(tops) else None
        self.origins = {"ids": "the paths"} | ({"labels": "sub-folders"} if any(tops) else {})

    @classmethod
    def matches(cls, X: Any) -> bool:
        """Return whether ``X`` is the path of a folder."""
        path = path_of(X)
        return path is not None and path.is_dir()

    @classmethod
    def open(
        cls, X: Any, sample_shape: tuple[int, ...] | None, pictures: Pictures = _AS_THEY_ARE
    ) -> Anchors:
        """Return the images under the folder ``X``."""
        return cls(Path(X), sample_shape, pictures)

    @classmethod
    def open_columns(
        cls,
        X: Any,
        sample_shape: tuple[int, ...] | None,
        named: Any,
        pictures: Pictures = _AS_THEY_ARE,
    ) -> Anchors:
        """Raise: a folder has no columns."""
        return Anchors.open_columns(X, sample_shape, named)

    def __len__(self) -> int:
        return len(self._names)

    def read(self, index: slice | NDArray[np.int64]) -> tuple[NDArray[Any], dict[int, str]]:
        """Return the decoded images, and why some could not be."""
        chosen = positions(index, len(self)).tolist()
        rows = np.zeros((len(chosen), *self._form.sample_shape), self._dtype)
        failed: dict[int, str] = {}
        for place, position in enumerate(chosen):
            image = self._load(self._names[position], self._form)
            if isinstance(image, str):
                failed[place] = image
            elif image.dtype.kind != self._dtype.kind:
                failed[place] = f"transform gives {image.dtype}, and {self._dtype} for others"
            else:
                rows[place] = image
        return rows, failed

    def _load(self, name: str, form: ImageForm) -> NDArray[Any] | str:
        """Return the image, or why it could not be read."""
        try:
            with os.fdopen(open_inside(self._root, name), "rb") as file:
                return decode(file, form)[0]
        except Exception as error:  # a damaged file may raise anything in its decoder
            return _why(error)

    def _find_form(self, sample_shape: tuple[int, ...] | None, pictures: Pictures) -> None:
        """Find what images become, by the model's shape or by the looks of all of them."""
        self.notes = pictures.notes()
        form = None if sample_shape is None else form_of_shape(sample_shape, pictures)
        if sample_shape is not None and form is None:
            hint = "Give the anchors as an array of this shape instead."
            got = f"a folder of images for anchors of shape {sample_shape}"
            allowed = "for anchors of 1, 3 or 4 channels when it is a folder of images"
            raise AnchorError("X", allowed, got, hint)
        if form is None:
            form = form_of_looks(self._looks(self._names), pictures)
        elif form.mode == "L":
            self._warn_of_colour()
        check_size(form)
        self._form, self._dtype = form, np.dtype(np.uint8)
        if callable(pictures.transform):
            made = (self._load(name, form) for name in self._names[:_PROBES])
            first = next((one for one in made if not isinstance(one, str)), None)
            self._dtype = self._dtype if first is None else row_dtype(first.dtype) or self._dtype

    def _looks(self, names: Iterable[str]) -> list[Look]:
        """Return colour and size of the images that can be opened; headers alone are read."""
        looks, first = [], ""
        for name in names:
            one = self._look(name)
            if not isinstance(one, str):
                looks.append(one)
            elif not first:
                first = f"{short_repr(name)}: {one}"
        if not looks:
            hint = "Remove the damaged images, or use a model with a sample shape."
            raise AnchorError("X", "a folder of readable images", first, hint)
        return looks

    def _look(self, name: str) -> Look | str:
        """Return colour and size of an image, or why it cannot be opened."""
        try:
            with os.fdopen(open_inside(self._root, name), "rb") as file, open_image(file) as image:
                return look(image)
        except Exception as error:  # a damaged file may raise anything in its decoder
            return _why(error)

    def _warn_of_colour(self) -> None:
        """Say so where pictures in colour become grey, by some of them all over the set."""
        some = [self._names[at] for at in even_positions(len(self._names), _LOOKS).tolist()]
        try:
            coloured = sum(colour for colour, _ in self._looks(some))
        except AnchorError:  # none can be opened: each row says why
            return
        if coloured:
            text = f"of {len(some)} pictures looked at, {coloured} are in colour and become grey"
            self.notes = (*self.notes, text)
            warn(f"anchors: {text}, as the model takes one channel")


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


def _relative(path: str, root: str) -> str:
    return os.path.relpath(path, root).replace(os.sep, "/")


def _why(error: Exception) -> str:
    """Return the reason without the file's full path or the object that Pillow names in it."""
    if isinstance(error, OSError) and error.strerror:
        return reason(f"{type(error).__name__}: {error.strerror}")
    if type(error).__name__ == "UnidentifiedImageError":
        return "it is no image of a known format"
    return reason(str(error) if type(error) is ValueError else error)
