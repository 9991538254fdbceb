"""Alibi's error of an explainer that is not fitted, in the grammar of the house's errors."""

from __future__ import annotations

from pxgen_plugins import host

__all__ = ["unfitted"]


def unfitted(where: str, what: str, hint: str) -> host.NotFittedError:
    """Return Alibi's NotFittedError with a text that says what to do.

    Args:
        where: Who was called, such as ``"PXGen.explain"``.
        what: What is not fitted.
        hint: What to do, a full sentence.

    Example:
        >>> str(unfitted("PXGen.explain", "PXGen", "Call fit()."))
        'PXGen.explain: PXGen must be fitted; got one that is not. Call fit().'
    """
    error = host.NotFittedError(what)
    error.args = (f"{where}: {what} must be fitted; got one that is not. {hint}",)
    return error
