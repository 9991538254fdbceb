"""Interactive reconstruction: a task that measures whether a representation can be steered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pxgen_plugins.utils.lazy import attach

if TYPE_CHECKING:
    from pxgen_plugins.evaluation.steering.agreement import IoU, Overlap, Tolerance
    from pxgen_plugins.evaluation.steering.comparison import (
        RepresentationComparison,
        compare_representations,
    )
    from pxgen_plugins.evaluation.steering.hosts import HOSTS
    from pxgen_plugins.evaluation.steering.log import LIKERT, TaskLog
    from pxgen_plugins.evaluation.steering.order import counterbalance
    from pxgen_plugins.evaluation.steering.rotation import RotatedCodes
    from pxgen_plugins.evaluation.steering.session import TaskSession
    from pxgen_plugins.evaluation.steering.simulation import Hand
    from pxgen_plugins.evaluation.steering.summary import SteeringSummary
    from pxgen_plugins.evaluation.steering.task import CONSENT, ReconstructionTask

__all__ = [
    "CONSENT",
    "HOSTS",
    "LIKERT",
    "Hand",
    "IoU",
    "Overlap",
    "ReconstructionTask",
    "RepresentationComparison",
    "RotatedCodes",
    "SteeringSummary",
    "TaskLog",
    "TaskSession",
    "Tolerance",
    "compare_representations",
    "counterbalance",
]

_HOMES = {
    "CONSENT": "task",
    "HOSTS": "hosts",
    "LIKERT": "log",
    "Hand": "simulation",
    "IoU": "agreement",
    "Overlap": "agreement",
    "ReconstructionTask": "task",
    "RepresentationComparison": "comparison",
    "RotatedCodes": "rotation",
    "SteeringSummary": "summary",
    "TaskLog": "log",
    "TaskSession": "session",
    "Tolerance": "agreement",
    "compare_representations": "comparison",
    "counterbalance": "order",
}

__getattr__, __dir__ = attach(__name__, _HOMES)
