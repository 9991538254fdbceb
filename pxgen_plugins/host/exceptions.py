"""The exceptions of Alibi that explainers raise, for where Alibi is not installed."""

from __future__ import annotations

__all__ = ["AlibiException", "NotFittedError", "PredictorCallError", "PredictorReturnTypeError"]


class AlibiException(Exception):
    """Base of the exceptions; as in Alibi, it takes one message."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


class PredictorCallError(AlibiException):
    """A predictor raised an exception."""


class PredictorReturnTypeError(AlibiException):
    """A predictor returned something of the wrong type or shape."""


class NotFittedError(AlibiException):
    """``explain`` was called before ``fit``.

    Args:
        object_name: The class that is not fitted.

    Example:
        >>> str(NotFittedError("PXGen"))
        "This PXGen instance is not fitted yet. Call 'fit' with appropriate arguments first."
    """

    def __init__(self, object_name: str) -> None:
        super().__init__(
            f"This {object_name} instance is not fitted yet. "
            "Call 'fit' with appropriate arguments first."
        )
        self._object_name = object_name

    def __reduce__(self) -> tuple[type[NotFittedError], tuple[str]]:
        # the default would make the whole message the name
        return type(self), (self._object_name,)
