"""Every error of the package, in one grammar.

A message always has the same five parts: where it happened, which parameter, what is allowed,
what came, and what to do about it::

    MeanMax: n_samples must be an integer >= 1; got 0. Ask for at least one sample.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AnchorError",
    "CapabilityError",
    "MissingDependencyError",
    "ModelError",
    "PXGenError",
    "PXGenWarning",
    "ParameterError",
    "describe",
]

_LONGEST = 120


def describe(value: Any) -> str:
    """Return a short, one-line description of a value that came from a user.

    Arrays are described by type, shape and dtype, anything else by its ``repr``, cut after 120
    characters; control characters are escaped by ``repr``, so untrusted text stays on its line.

    Example:
        >>> import numpy as np
        >>> describe(np.zeros((2, 3)))
        'ndarray of shape (2, 3) and dtype float64'
        >>> describe("knld")
        "'knld'"
    """
    shape = getattr(value, "shape", None)
    if shape is not None and getattr(value, "dtype", None) is not None and tuple(shape) != ():
        return f"{type(value).__name__} of shape {tuple(shape)} and dtype {value.dtype}"
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{type(value).__name__} {value.__qualname__!r}"
    try:
        text = repr(value).replace("\n", " ")
    except Exception:  # such as a number of more than 4,300 digits
        return f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


class PXGenError(Exception):
    """Base of all errors; holds the five parts of the message.

    Args:
        parameter: The name of what is wrong.
        where: The class or function that found it.
        allowed: What is allowed, as it reads after "must be".
        got: What came, in words (see :func:`describe`).
        do: What to do about it, a full sentence.
    """

    def __init__(self, parameter: str, where: str, allowed: str, got: str, do: str) -> None:
        super().__init__(parameter, where, allowed, got, do)
        self.parameter = parameter
        self.where = where
        self.allowed = allowed
        self.got = got
        self.do = do

    def __str__(self) -> str:
        cut = 2 * _LONGEST  # a key of somebody's file may be a megabyte long
        named = self.parameter if len(self.parameter) <= cut else self.parameter[:cut] + "..."
        return f"{self.where}: {named} must be {self.allowed}; got {self.got}. {self.do}"


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
