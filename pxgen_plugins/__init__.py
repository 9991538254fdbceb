"""Explain generative models by example, beside the explainers you already use.

The public names are loaded on first use, so importing the package costs milliseconds and brings in
neither torch nor alibi.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pxgen_plugins.comparison import Comparison, compare
    from pxgen_plugins.explainer import PXGen

__version__ = "0.1.0"
__all__ = ["Comparison", "PXGen", "__version__", "compare"]

_HOMES = {
    "Comparison": "pxgen_plugins.comparison",
    "PXGen": "pxgen_plugins.explainer",
    "compare": "pxgen_plugins.comparison",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
