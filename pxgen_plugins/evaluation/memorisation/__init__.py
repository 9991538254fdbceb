"""Does a model give its training data back? Membership, copies and extraction, with controls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pxgen_plugins.utils.lazy import attach

if TYPE_CHECKING:
    from pxgen_plugins.evaluation.memorisation.result import Copies
    from pxgen_plugins.evaluation.memorisation.search import copies

__all__ = ["Copies", "copies"]
__getattr__, __dir__ = attach(__name__, {"Copies": "result", "copies": "search"})
