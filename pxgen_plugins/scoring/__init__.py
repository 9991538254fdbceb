"""From anchors and samples to criterion values, in bounded memory."""

from __future__ import annotations

from pxgen_plugins.scoring.fitting import Lesson, fit_criteria
from pxgen_plugins.scoring.reader import always_raises
from pxgen_plugins.scoring.reference import Reference, divide
from pxgen_plugins.scoring.scorer import PRECISIONS, RECONSTRUCTIONS, Scorer, Scores

__all__ = [
    "PRECISIONS",
    "RECONSTRUCTIONS",
    "Lesson",
    "Reference",
    "Scorer",
    "Scores",
    "always_raises",
    "divide",
    "fit_criteria",
]
