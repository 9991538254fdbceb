"""Anchors in a .npz archive."""

from __future__ import annotations

import shutil
import struct
import tempfile
import zipfile
from dataclasses import dataclass
from typing import IO, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors._shapes import as_batch
from pxgen_plugins.anchors._spool import Spool, SpoolAnchors
from pxgen_plugins.anchors.base import REGISTRY, Anchors, path_of, reason, row_dtype
from pxgen_plugins.anchors.tables import find_columns, set_labels
from pxgen_plugins.utils.errors import AnchorError, short_repr
from pxgen_plugins.utils.files import open_regular
from pxgen_plugins.utils.limits import ARCHIVE_INDEX

__all__ = ["NpzAnchors"]

_format: Any = np.lib.format  # which has no types
_X = ("x", "X", "images", "anchors")
_TEXTS = {"label": ("labels", "y"), "id": ("ids", "id")}
_CHUNK = 1 << 20
_TAIL = (1 << 16) + 256
_MOST_TEXT = 4096  # bytes of one label or id
_MOST_TEXTS = 1 << 30  # bytes of all of them, which are loaded as a whole
_HINT = (
    "Name the anchors x, as in numpy.savez(path, x=array); labels and ids may stand beside them."
)


@dataclass(frozen=True)
class _Member:
    """One array of the archive, as its header declares it."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    order: str
    offset: int

    @property
    def nbytes(self) -> int:
        """Bytes of its elements."""
        return self.dtype.itemsize * int(np.prod([int(s) for s in self.shape], dtype=object))


@REGISTRY.register("npz")
class NpzAnchors(SpoolAnchors):
    """Anchors in a ``.npz`` archive, unpacked to a temporary file so that memory stays small.

    The archive holds a single array, or one named ``x``, ``images`` or ``anchors``; an array ``y``
    or ``labels`` beside it gives the labels, ``id`` or ``ids`` the ids. Pickled objects are
    refused.
    """

    order: ClassVar[int] = 10

    @classmethod
    def matches(cls, X: Any) -> bool:
        """Return whether ``X`` is the path of a ``.npz`` file."""
        path = path_of(X)
        return path is not None and path.suffix.lower() == ".npz" and path.is_file()

    @classmethod
    def open(cls, X: Any, sample_shape: tuple[int, ...] | None) -> Anchors:
        """Return the anchors in the archive ``X``.

        Raises:
            AnchorError: When it is damaged or does not say which array holds the anchors.
        """
        try:
            with open_regular(X) as file:
                _check_index(file)
                with zipfile.ZipFile(file) as archive:
                    return cls._unpack(archive, sample_shape)
        except AnchorError:
            raise
        except Exception as error:  # a damaged archive may raise anything in zipfile
            got = f"{short_repr(str(X))} ({reason(error)})"
            raise AnchorError("X", "a readable .npz file", got, _HINT) from error

    @classmethod
    def _unpack(cls, archive: zipfile.ZipFile, sample_shape: tuple[int, ...] | None) -> Anchors:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        name = names[0] if len(names) == 1 else next((n for n in _X if n in names), None)
        if name is None:
            got = f"arrays {short_repr(names[:8])}"
            allowed = "a .npz file of one array, or of one named x, X, images or anchors"
            raise AnchorError("X", allowed, got, _HINT)
        member = _header(archive, name)
        if row_dtype(member.dtype) is None:
            got = f"array {short_repr(name)} of dtype {member.dtype}"
            raise AnchorError("X", "a .npz file of numbers", got, _HINT)
        # The declared shape is checked before anything is unpacked.
        outline = np.broadcast_to(np.zeros((), member.dtype), member.shape)
        n = len(as_batch(outline, sample_shape)[0])
        spool = Spool()
        try:
            _copy(archive, member, spool)
            rows = spool.rows(member.dtype, member.shape, member.order)
            anchors = cls(spool, rows, {}, sample_shape)
            texts = find_columns((key for key in names if key != name), _TEXTS)
            set_labels(
                anchors,
                {role: _small(archive, key, n) for role, key in texts.items()},
                {role + "s": f"array {key!r}" for role, key in texts.items()},
            )
        except BaseException:
            spool.discard()
            raise
        return anchors


def _check_index(file: IO[bytes]) -> None:
    """Raise when the list of members, which zipfile loads as a whole, is too long.

    Its size stands in one of two records at the end of the file, before a comment of at most 64
    KiB; of all places that look like one, the largest counts.
    """
    end = file.seek(0, 2)
    file.seek(max(0, end - _TAIL))
    tail = file.read()
    for sign, layout, place in ((b"PK\5\6", "<I", 12), (b"PK\6\6", "<Q", 40)):
        at = tail.find(sign)
        while at >= 0:
            field = tail[at + place : at + place + struct.calcsize(layout)]
            if len(field) == struct.calcsize(layout):
                (size,) = struct.unpack(layout, field)
                if size < 0xFFFFFFFF:  # which says: see the other record
                    ARCHIVE_INDEX.check(min(size, end))
            at = tail.find(sign, at + 1)


def _header(archive: zipfile.ZipFile, name: str) -> _Member:
    """Return what the array ``name`` says of itself, if that agrees with its size."""
    info = archive.getinfo(name + ".npy")
    with archive.open(info) as file:
        version = _format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = _format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, fortran, dtype = _format.read_array_header_2_0(file)
        else:
            raise ValueError(f"version {version} of the .npy format")
        member = _Member(name, dtype, shape, "F" if fortran else "C", file.tell())
    if dtype.hasobject:
        raise ValueError(f"array {name!r} holds pickled objects")
    if member.nbytes != info.file_size - member.offset or min(shape, default=1) < 0:
        raise ValueError(f"array {name!r} is not as long as its header says")
    return member


def _copy(archive: zipfile.ZipFile, member: _Member, spool: Spool) -> None:
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if member.nbytes > free:
        hint = "Unpack it to a larger disk, or point TMPDIR to one."
        allowed = f"small enough to unpack into the {free} bytes of the temporary directory"
        raise AnchorError("X", allowed, f"{member.nbytes} bytes", hint)
    with archive.open(member.name + ".npy") as file:
        file.read(member.offset)
        while chunk := file.read(_CHUNK):
            spool.write(np.frombuffer(chunk, np.uint8))


def _small(archive: zipfile.ZipFile, name: str, n: int) -> NDArray[Any]:
    """Return n labels or ids, which are loaded as a whole."""
    member = _header(archive, name)
    if member.nbytes > min(_MOST_TEXTS, (n + 1) * _MOST_TEXT):  # of another length: an error later
        raise ValueError(f"array {name!r} has {member.nbytes} bytes for {n} anchors")
    if member.dtype.itemsize > _MOST_TEXT:
        raise ValueError(f"array {name!r} has elements of {member.dtype.itemsize} bytes")
    with archive.open(name + ".npy") as file:
        return np.asarray(_format.read_array(file, allow_pickle=False))
