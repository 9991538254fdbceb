"""Classes of a conditional model, as users state them."""

from __future__ import annotations

from typing import Any

from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError

__all__ = ["class_settings"]


def class_settings(n_classes: Any, condition: Any) -> tuple[int | None, int | None]:
    """Return the number of classes and the one class that is explained, if they are allowed.

    Raises:
        ParameterError: When one is not.
    """
    if n_classes is not None:
        n_classes = validation.integer(n_classes, "n_classes", minimum=1)
    if condition is not None:
        condition = validation.integer(condition, "condition", minimum=0)
        if n_classes is not None and condition >= n_classes:
            hint = "Classes are counted from 0."
            raise ParameterError("condition", f"below n_classes={n_classes}", str(condition), hint)
    return n_classes, condition
