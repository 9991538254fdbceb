"""The methods of a comparison that nobody named: a few that fit the model, or all there are."""

from __future__ import annotations

from typing import Any

from pxgen_plugins.adapters.base import REGISTRY
from pxgen_plugins.comparison.obstacles import Obstacle, expect_what_it_needs
from pxgen_plugins.comparison.outcome import Task
from pxgen_plugins.comparison.preparation import has_gradient
from pxgen_plugins.models.base import capabilities, properties
from pxgen_plugins.utils.errors import MissingDependencyError

__all__ = ["default_methods"]

# one method of each kind of evidence: the first that the model and the installation allow
_ATTRIBUTIONS = ("saliency", "gradient_shap")
_WITHOUT_GRADIENT = ("occlusion",)
_GLOBAL = ("protodash", "latent_view")


def default_methods(task: Task) -> list[str]:
    """Return an attribution, prototypes and a view, as far as the model can serve them.

    Saliency where the target has a gradient, occlusion where it has none and the instances are
    images; ProtoDash and a view in the codes, or in what stands for them.
    """
    smooth = has_gradient(task.target, task.model, task.inputs, task.seed)
    images = "images" in properties(task.model) and task.inputs.ndim > 2
    local = _ATTRIBUTIONS if smooth else _WITHOUT_GRADIENT if images else ()
    numbers = "numbers" in properties(task.model)
    codes = bool(capabilities(task.model) & {"encode", "embed"})
    chosen = [name for name in local if _possible(REGISTRY.get(name), task)][:1]
    return chosen + (list(_GLOBAL) if numbers or codes else [])


def _possible(adapter: Any, task: Task) -> bool:
    try:
        expect_what_it_needs(adapter, task)
    except (Obstacle, MissingDependencyError):  # then the next one is tried
        return False
    return True
