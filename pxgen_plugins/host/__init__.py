"""Alibi's classes where Alibi is installed, and classes with the same behaviour where it is not.

Nothing else imports ``alibi.api``. The choice is made once in a process, when one of the classes is
first asked for: see :mod:`pxgen_plugins.host.choice`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pxgen_plugins.host.choice import alibi_version, classes
from pxgen_plugins.host.predictor_holder import PredictorHolder, warn_version

if TYPE_CHECKING:  # Alibi has no types, and ours have the same interface
    from pxgen_plugins.host.exceptions import (
        NotFittedError,
        PredictorCallError,
        PredictorReturnTypeError,
    )
    from pxgen_plugins.host.interfaces import Explainer, Explanation, FitMixin
    from pxgen_plugins.host.json_encoder import NumpyEncoder

__all__ = [
    "Explainer",
    "Explanation",
    "FitMixin",
    "NotFittedError",
    "NumpyEncoder",
    "PredictorCallError",
    "PredictorHolder",
    "PredictorReturnTypeError",
    "alibi_version",
    "warn_version",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        globals().update(classes())
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
