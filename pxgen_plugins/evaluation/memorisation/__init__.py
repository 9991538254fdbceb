"""Does a model give its training data back? Membership, copies and extraction, with controls."""

from __future__ import annotations

from pxgen_plugins.evaluation.memorisation.copies import copies
from pxgen_plugins.evaluation.memorisation.result import Copies

__all__ = ["Copies", "copies"]
