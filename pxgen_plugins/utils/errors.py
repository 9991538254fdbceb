"""Every error of the package, in one grammar.

A message has the same parts everywhere: who was called, which parameter, what is allowed, what was
given, and what to do about it::

    MeanMax: n_samples must be an integer >= 1; got 0. Ask for at least one sample.
"""

from __future__ import annotations

import sys
import warnings
from contextlib import ContextDecorator
from types import FrameType
from typing import Any

from pxgen_plugins.utils.invisible import escape_invisible
from pxgen_plugins.utils.redaction import redact, without_addresses

__all__ = [
    "AnchorError",
    "CapabilityError",
    "MissingDependencyError",
    "ModelError",
    "PXGenError",
    "PXGenWarning",
    "ParameterError",
    "caller",
    "machine_fault",
    "short_repr",
    "warn",
]

_LONGEST = 120
_INSIDE = ("pxgen_plugins", "contextlib")  # modules of frames that are not the user's


def short_repr(value: Any) -> str:
    """Return a short, one-line text for a value that a user gave.

    Arrays are described by type, shape and dtype, anything else by its ``repr``, cut after 120
    characters; control characters are escaped by ``repr``, so untrusted text stays on its line.

    Example:
        >>> import numpy as np
        >>> short_repr(np.zeros((2, 3)))
        'ndarray of shape (2, 3) and dtype float64'
        >>> short_repr("knld")
        "'knld'"
    """
    try:
        shape = getattr(value, "shape", None)
    except Exception:  # such as a nested tensor
        shape = None
    if shape is not None and getattr(value, "dtype", None) is not None and tuple(shape) != ():
        return f"{type(value).__name__} of shape {tuple(shape)} and dtype {value.dtype}"
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{type(value).__name__} {value.__qualname__!r}"
    try:
        text = without_addresses(redact(_repr(value)))
        text = escape_invisible(text.replace("\n", " "))
    except Exception:  # such as a number of more than 4,300 digits
        return f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def _repr(value: Any) -> str:
    """Return ``repr``; of a set with its elements in order, which otherwise differs by process."""
    if type(value) in (set, frozenset) and value:
        inside = "{" + ", ".join(sorted(map(repr, value))) + "}"
        return inside if type(value) is set else f"frozenset({inside})"
    return repr(value)


class PXGenError(Exception):
    """Base of all errors; holds the parts of the message.

    Args:
        parameter: The name of what is wrong.
        allowed: What is allowed, as it reads after "must be".
        got: The value that was given, in words (see :func:`short_repr`).
        hint: What to do about it, a full sentence.
        where: Who found it. Leave it out where a public function runs inside :class:`caller`,
            which adds it.
    """

    def __init__(
        self, parameter: str, allowed: str, got: str, hint: str, *, where: str = ""
    ) -> None:
        super().__init__(parameter, allowed, got, hint)
        self.parameter = parameter
        self.where = where
        self.fallback = False  # whether a caller further out may put its own name
        self.allowed = allowed
        self.got = got
        self.hint = hint

    def __str__(self) -> str:
        cut = 2 * _LONGEST  # a key of somebody's file may be a megabyte long
        name = self.parameter if len(self.parameter) <= cut else self.parameter[:cut] + "..."
        text = f"{name} must be {self.allowed}; got {self.got}. {self.hint}"
        return redact(f"{self.where}: {text}" if self.where else text)


class caller(ContextDecorator):
    """Adds the name of a public function to the errors that leave it: decorator or ``with``.

    Checks deep inside need not know who called. The innermost caller wins, so that a rule built
    inside ``PXGen`` speaks in its own name.

    Args:
        name: The public name, such as ``"PXGen.explain"``.
        fallback: Let a public function around it speak in its own name, as for
            ``open_anchors``, which users call and ``PXGen.explain`` too.

    Example:
        >>> from pxgen_plugins.utils.validation import integer
        >>> @caller("draw")
        ... def draw(n):
        ...     return integer(n, "n", minimum=1)
        >>> draw(0)
        Traceback (most recent call last):
            ...
        pxgen_plugins.utils.errors.ParameterError: draw: n must be an integer >= 1; got 0. ...
    """

    def __init__(self, name: str, *, fallback: bool = False) -> None:
        self.name = name
        self.fallback = fallback

    def __enter__(self) -> caller:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, PXGenError) and (not error.where or error.fallback):
            error.where, error.fallback = self.name, self.fallback


class ParameterError(PXGenError, ValueError):
    """A parameter has a value that is not allowed."""


class AnchorError(PXGenError, ValueError):
    """The anchors (data, labels or ids) do not fit the model or cannot be read."""


class ModelError(PXGenError, RuntimeError):
    """The model does not do what it declares: wrong shapes, wrong range, an exception inside."""


class CapabilityError(PXGenError, TypeError):
    """Something was asked of a model that it does not declare."""


class MissingDependencyError(PXGenError, ImportError):
    """An optional package is not installed, or does not import."""


class PXGenWarning(UserWarning):
    """Base of the package's warnings: the result is defined, but not what was asked for."""


def machine_fault(error: OSError | MemoryError) -> str:
    """Return what happened to disk or memory in a command, and what to do about it."""
    if isinstance(error, MemoryError):
        return f"the memory is full ({error or 'no more'}); use a smaller batch_size or shard_size"
    place = f" ({error.filename})" if error.filename else ""
    why = error.strerror or str(error)
    return (
        f"a file could not be read or written: {why}{place}. Free space or mend the place, and run "
        "it again: what was scored is kept"
    )


def warn(message: str) -> None:
    """Warn with :class:`PXGenWarning`, at the line of the user's code that called the package."""
    frame: FrameType = sys._getframe(1)
    level = 2
    while frame.f_back is not None and _module(frame).partition(".")[0] in _INSIDE:
        frame, level = frame.f_back, level + 1
    warnings.warn(redact(message), PXGenWarning, stacklevel=level)


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
