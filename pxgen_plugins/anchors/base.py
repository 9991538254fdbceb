"""The class of all anchor sets, their registry, and helpers that the sources share."""

from __future__ import annotations

import importlib
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors._shapes import fit_shape
from pxgen_plugins.utils.errors import AnchorError, MissingDependencyError, warn
from pxgen_plugins.utils.invisible import escape_invisible
from pxgen_plugins.utils.redaction import redact, without_addresses
from pxgen_plugins.utils.registry import Registry

__all__ = [
    "REGISTRY",
    "Anchors",
    "fit_shape",
    "library",
    "module_in_use",
    "path_of",
    "positions",
    "reason",
    "row_dtype",
    "warn_of_rounding",
]

_LONGEST_REASON = 200
_EXACT = 2**53  # float64 holds every integer up to here


class Anchors(ABC):
    """A set of anchors that are read in batches.

    A kind of source is a subclass, registered under a name, with three more members: ``order``,
    ``matches`` and ``open``. The sources are asked in rising ``order`` (then by name) and the first
    that matches opens: 10 for sources that recognise their own type or suffix, 20 for folders, 90
    for whatever can be indexed, 100 for whatever numpy takes.

    Attributes:
        labels: n strings, or None when unlabelled; "" where a label is missing.
        ids: n distinct strings, or None when unnamed.
        prompts: n strings, what each image is to show, for models that read prompts; or None.
        anchors_range: Lowest and highest value of what ``read`` returns, where the user states it:
            it is scaled to the model's range. None takes bytes as 0 to 255 and floats as they are.
        notes: Sentences on what was done to the anchors on their way, for results and reports.
        rows_read: Most anchors of one pass whose scale was looked at.
        origins: Where ``"anchors"``, ``"labels"`` and ``"ids"`` come from, and which ``"others"``
            are not used, in words; see :meth:`describe`.
        order: When the kind is asked, lower first.
        takes_pictures: Whether ``open`` takes a third argument,
            :class:`~pxgen_plugins.anchors.pictures.Pictures`.
    """

    order: ClassVar[int] = 50
    takes_pictures: ClassVar[bool] = False
    origins: Mapping[str, str] = MappingProxyType({})
    labels: NDArray[np.str_] | None = None
    ids: NDArray[np.str_] | None = None
    prompts: NDArray[np.str_] | None = None
    anchors_range: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    rows_read: int = 0

    @classmethod
    def matches(cls, X: Any) -> bool:
        """Return whether this kind can open ``X``; cheap, and never raises."""
        return False

    @classmethod
    def open(cls, X: Any, sample_shape: tuple[int, ...] | None) -> Anchors:
        """Return the anchors that ``X`` holds.

        Args:
            X: Something that ``matches``.
            sample_shape: Shape of one anchor, None to take ``X`` as it is.

        Raises:
            AnchorError: When ``X`` as a whole cannot be read.
        """
        raise NotImplementedError(f"{cls.__name__} opens nothing")

    @classmethod
    def open_columns(cls, X: Any, sample_shape: tuple[int, ...] | None, named: Any) -> Anchors:
        """Return the anchors in the table ``X``, of which the user named columns.

        A class that ``takes_pictures`` takes ``pictures`` as a fourth argument.

        Args:
            X: Something that ``matches``.
            sample_shape: Shape of one anchor, None to take ``X`` as it is.
            named: The :class:`~pxgen_plugins.anchors.tables.Columns`.

        Raises:
            AnchorError: When ``X`` is no table, or has no such columns.
        """
        allowed = "left out, or labels and ids given as n values: X has no columns"
        hint = "Names of columns go with a DataFrame, or a .csv, .jsonl or .parquet file."
        raise AnchorError("columns", allowed, "names of columns", hint)

    def describe(self) -> str:
        """Return in one line how many anchors there are, and what was taken for what.

        Example:
            >>> from pxgen_plugins.anchors import open_anchors
            >>> open_anchors(np.eye(3), sample_shape=(3,), labels=["a", "b", "c"]).describe()
            '3 anchors; labels as given; no ids'
        """
        parts = [f"{len(self):,} anchors"]
        if "anchors" in self.origins:
            parts[0] += f" from {self.origins['anchors']}"
        for name, values in (("labels", self.labels), ("ids", self.ids)):
            origin = self.origins.get(name)
            without = f"no {name}" if values is None else f"{name} as given"
            parts.append(f"{name} from {origin}" if origin else without)
        if self.prompts is not None:
            origin = self.origins.get("prompts")
            parts.append(f"prompts from {origin}" if origin else "prompts as given")
        if "others" in self.origins:
            parts.append(f"not used: {self.origins['others']}")
        return "; ".join(parts)

    @abstractmethod
    def __len__(self) -> int:
        """Number of anchors."""

    @abstractmethod
    def read(self, index: slice | NDArray[np.int64]) -> tuple[NDArray[Any], dict[int, str]]:
        """Return some anchors, and which of them could not be read.

        Args:
            index: A slice, or positions in any order, repeats allowed, as numpy takes them.

        Returns:
            The rows as a new array of shape (b, *sample_shape), uint8 or floating, which the
            caller may change; and {position in that array: reason} of the rows that could not be
            read, which are zeros.

        Raises:
            IndexError: When a position is out of range.
        """


REGISTRY: Registry[type[Anchors]] = Registry("anchor source", "pxgen_plugins.anchors")


def positions(index: slice | NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return ``index`` into ``n`` rows as positions in [0, n).

    Raises:
        IndexError: When a position is out of range or no integer.

    Example:
        >>> positions(slice(None, None, 2), 5).tolist(), positions(np.array([-1, 0]), 5).tolist()
        ([0, 2, 4], [4, 0])
    """
    if isinstance(index, slice):
        return np.arange(*index.indices(n), dtype=np.int64)
    given = np.asarray(index)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise IndexError(f"an index is a slice or a 1-d array of integers, not {given!r}")
    rows = given.astype(np.int64)
    rows[rows < 0] += n
    if rows.size and (rows.min() < 0 or rows.max() >= n):
        raise IndexError(f"an anchor's position must be in [0, {n})")
    return rows


def row_dtype(dtype: np.dtype[Any]) -> np.dtype[Any] | None:
    """Return the type in which rows of ``dtype`` are handed over; None if they are no numbers.

    uint8 and floating types stay. Other integers and booleans become the smallest floating type
    that holds them (float64 from 32 bits on), because uint8 alone means "0 to 255 spans the data
    range". The byte order becomes the machine's.
    """
    if dtype.kind == "f":
        return np.dtype(f"f{min(dtype.itemsize, 8)}")
    if dtype.kind == "u" and dtype.itemsize == 1:
        return np.dtype(np.uint8)
    if dtype.kind in "biu":
        return np.dtype(np.float32 if dtype.itemsize <= 2 else np.float64)
    return None


def warn_of_rounding(values: NDArray[Any], name: str) -> None:
    """Warn when ``values`` are integers too large for the float64 that they become.

    Args:
        values: Anchors as they are stored.
        name: What holds them, as in ``"column 'a'"``.
    """
    if values.dtype.kind not in "iu" or values.dtype.itemsize < 8 or not values.size:
        return
    if max(-int(values.min()), int(values.max())) > _EXACT:
        warn(
            f"anchors: integers beyond 2**53 in {name} are rounded, as rows are floats; give what "
            "names things as ids or labels."
        )


def path_of(X: Any) -> Path | None:
    """Return ``X`` as a path if it is a string or a path, else None."""
    if isinstance(X, str):
        return Path(X)
    if isinstance(X, os.PathLike):
        name = os.fspath(X)
        return Path(name) if isinstance(name, str) else None
    return None


def library(module: str, requirement: str) -> Any:
    """Return a module of a library that only some kinds of anchors need, imported now.

    Args:
        module: Its full name, as in ``"PIL.Image"``.
        requirement: What pip installs it by, as in ``"pillow"``.

    Raises:
        MissingDependencyError: When it does not import, for whatever reason.
    """
    try:
        return importlib.import_module(module)
    except Exception as error:
        hint = f"Install it: pip install '{requirement}'."
        name = requirement.partition(">")[0]
        raise MissingDependencyError(name, "installed", str(error), hint) from error


def module_in_use(module: str) -> Any:
    """Return ``module`` if the process has imported it, else None.

    Nothing can be an instance of a class of a module that was never imported, so asking this way
    keeps heavy libraries out of processes that do not use them.
    """
    return sys.modules.get(module)


def reason(error: BaseException | str) -> str:
    r"""Return why something could not be read, on one line, safe to print.

    Example:
        >>> reason(ValueError("bad\nfile"))
        'ValueError: bad\\nfile'
    """
    text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    text = escape_invisible(without_addresses(redact(text)))
    return text if len(text) <= _LONGEST_REASON else text[:_LONGEST_REASON] + "..."
