"""Figures of an explanation; matplotlib is imported when the first one is drawn.

Every function takes an explanation as ``explain`` returned it, or as ``Explanation.from_json`` read
it back, or another result of the package, returns a numpy array of Axes, and never calls ``show``.
It makes a new figure, or draws where it is told: a figure of one panel in ``ax=``, one of several
panels in ``figure=``, an empty Figure or SubFigure in constrained layout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pxgen_plugins.utils.lazy import attach

if TYPE_CHECKING:
    from pxgen_plugins.plots.calibration import plot_calibration
    from pxgen_plugins.plots.calibration_noise import plot_calibration_noise
    from pxgen_plugins.plots.comparison import plot_comparison
    from pxgen_plugins.plots.copies import plot_copies
    from pxgen_plugins.plots.delusion_alignment import plot_alignment, plot_delusion
    from pxgen_plugins.plots.descriptions import plot_descriptions
    from pxgen_plugins.plots.directions import plot_directions
    from pxgen_plugins.plots.localisation import plot_localisation
    from pxgen_plugins.plots.migration import plot_migration
    from pxgen_plugins.plots.models import plot_models
    from pxgen_plugins.plots.removal import plot_removal
    from pxgen_plugins.plots.representatives import plot_representatives
    from pxgen_plugins.plots.scatter import plot_groups
    from pxgen_plugins.plots.scorecard import plot_scorecard
    from pxgen_plugins.plots.shares import plot_label_shares
    from pxgen_plugins.plots.steering import plot_steering
    from pxgen_plugins.plots.study import plot_study
    from pxgen_plugins.plots.training_samples import plot_training_samples
    from pxgen_plugins.plots.units import plot_units
    from pxgen_plugins.plots.views import plot_views
    from pxgen_plugins.plots.word_maps import plot_word_maps

__all__ = [
    "plot_alignment",
    "plot_calibration",
    "plot_calibration_noise",
    "plot_comparison",
    "plot_copies",
    "plot_delusion",
    "plot_descriptions",
    "plot_directions",
    "plot_groups",
    "plot_label_shares",
    "plot_localisation",
    "plot_migration",
    "plot_models",
    "plot_removal",
    "plot_representatives",
    "plot_scorecard",
    "plot_steering",
    "plot_study",
    "plot_training_samples",
    "plot_units",
    "plot_views",
    "plot_word_maps",
]

_HOMES = {
    "plot_alignment": "delusion_alignment",
    "plot_calibration": "calibration",
    "plot_calibration_noise": "calibration_noise",
    "plot_comparison": "comparison",
    "plot_copies": "copies",
    "plot_delusion": "delusion_alignment",
    "plot_descriptions": "descriptions",
    "plot_directions": "directions",
    "plot_groups": "scatter",
    "plot_label_shares": "shares",
    "plot_localisation": "localisation",
    "plot_migration": "migration",
    "plot_models": "models",
    "plot_removal": "removal",
    "plot_representatives": "representatives",
    "plot_scorecard": "scorecard",
    "plot_steering": "steering",
    "plot_study": "study",
    "plot_training_samples": "training_samples",
    "plot_units": "units",
    "plot_views": "views",
    "plot_word_maps": "word_maps",
}

__getattr__, __dir__ = attach(__name__, _HOMES)
