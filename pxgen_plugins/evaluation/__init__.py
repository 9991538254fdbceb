"""Evidence that explanations are true: distances, removal, sanity checks, studies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pxgen_plugins.utils.lazy import attach

if TYPE_CHECKING:
    from pxgen_plugins.evaluation.calibration_studies import (
        SamplePool,
        calibration_study,
        draw_pool,
    )
    from pxgen_plugins.evaluation.descriptions import attribute_scores, text_scores
    from pxgen_plugins.evaluation.features import extract_features
    from pxgen_plugins.evaluation.frechet import frechet_distance
    from pxgen_plugins.evaluation.kernel import KernelDistance, kernel_distance
    from pxgen_plugins.evaluation.memorisation import Copies, copies
    from pxgen_plugins.evaluation.moments import Moments
    from pxgen_plugins.evaluation.precision_recall import SampleQuality, sample_quality
    from pxgen_plugins.evaluation.removal import RemovalExperiment
    from pxgen_plugins.evaluation.removal_result import RemovalResult
    from pxgen_plugins.evaluation.scorecard import Scorecard, evaluate
    from pxgen_plugins.evaluation.steering import (
        ReconstructionTask,
        RotatedCodes,
        TaskLog,
        compare_representations,
        counterbalance,
    )
    from pxgen_plugins.evaluation.studies import anchor_study, threshold_study
    from pxgen_plugins.evaluation.study import Study
    from pxgen_plugins.evaluation.training_samples import (
        TrainingSamples,
        compare_training_samples,
    )

__all__ = [
    "Copies",
    "KernelDistance",
    "Moments",
    "ReconstructionTask",
    "RemovalExperiment",
    "RemovalResult",
    "RotatedCodes",
    "SamplePool",
    "SampleQuality",
    "Scorecard",
    "Study",
    "TaskLog",
    "TrainingSamples",
    "anchor_study",
    "attribute_scores",
    "calibration_study",
    "compare_representations",
    "compare_training_samples",
    "copies",
    "counterbalance",
    "draw_pool",
    "evaluate",
    "extract_features",
    "frechet_distance",
    "kernel_distance",
    "sample_quality",
    "text_scores",
    "threshold_study",
]

_HOMES = {
    "Copies": "memorisation",
    "KernelDistance": "kernel",
    "Moments": "moments",
    "ReconstructionTask": "steering",
    "RemovalExperiment": "removal",
    "RemovalResult": "removal_result",
    "RotatedCodes": "steering",
    "SamplePool": "calibration_studies",
    "SampleQuality": "precision_recall",
    "Scorecard": "scorecard",
    "Study": "study",
    "TaskLog": "steering",
    "TrainingSamples": "training_samples",
    "anchor_study": "studies",
    "attribute_scores": "descriptions",
    "calibration_study": "calibration_studies",
    "compare_representations": "steering",
    "compare_training_samples": "training_samples",
    "copies": "memorisation",
    "counterbalance": "steering",
    "draw_pool": "calibration_studies",
    "evaluate": "scorecard",
    "extract_features": "features",
    "frechet_distance": "frechet",
    "kernel_distance": "kernel",
    "sample_quality": "precision_recall",
    "text_scores": "descriptions",
    "threshold_study": "studies",
}

__getattr__, __dir__ = attach(__name__, _HOMES)
