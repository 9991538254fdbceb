"""Does a model give its training data back? Membership, copies and extraction, with controls."""

from __future__ import annotations

from pxgen_plugins.evaluation.memorisation.result import Copies
from pxgen_plugins.evaluation.memorisation.search import copies

__all__ = ["Copies", "copies"]
