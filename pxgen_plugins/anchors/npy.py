"""Anchors in a .npy file."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from pxgen_plugins.anchors.arrays import ArrayAnchors
from pxgen_plugins.anchors.base import REGISTRY, Anchors, path_of, reason
from pxgen_plugins.anchors.memmaps import MemmapAnchors
from pxgen_plugins.utils.errors import AnchorError, short_repr

__all__ = ["NpyAnchors"]

_format: Any = np.lib.format  # which has no types


@REGISTRY.register("npy")
class NpyAnchors(MemmapAnchors):
    """Anchors in a ``.npy`` file, mapped, never loaded as a whole; no pickled objects."""

    order: ClassVar[int] = 10

    @classmethod
    def matches(cls, X: Any) -> bool:
        """Return whether ``X`` is the path of a ``.npy`` file."""
        path = path_of(X)
        return path is not None and path.suffix.lower() == ".npy" and not path.is_dir()

    @classmethod
    def open(cls, X: Any, sample_shape: tuple[int, ...] | None) -> Anchors:
        """Return the anchors in the file ``X``.

        Raises:
            AnchorError: When it is no ``.npy`` file of numbers, or shorter than it says.
        """
        try:
            if not path_of(X).is_file():  # type: ignore[union-attr]
                raise ValueError("no regular file")
            array = _format.open_memmap(X, mode="r")
        except Exception as error:  # a hostile header may raise anything in its parser
            hint = "Write it with numpy.save(path, array, allow_pickle=False)."
            got = f"{short_repr(str(X))} ({reason(error)})"
            raise AnchorError("X", "a .npy file of numbers", got, hint) from error
        source = cls if array.size else ArrayAnchors
        return source(array, sample_shape)
