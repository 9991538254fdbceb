"""Explain generative models by example, beside the explainers you already use.

The public names are loaded on first use, so importing the package costs milliseconds and brings in
neither torch nor alibi.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pxgen_plugins.utils.lazy import attach

if TYPE_CHECKING:
    from pxgen_plugins.comparison import Comparison, compare
    from pxgen_plugins.description import Description, describe
    from pxgen_plugins.explainer import PXGen

__version__ = "0.2.0"
__all__ = ["Comparison", "Description", "PXGen", "__version__", "compare", "describe"]

_HOMES = {
    "Comparison": "comparison",
    "Description": "description",
    "PXGen": "explainer",
    "compare": "comparison",
    "describe": "description",
}

__getattr__, __dir__ = attach(__name__, _HOMES)
