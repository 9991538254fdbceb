"""Which adapters are at hand for a model."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, NamedTuple

from pxgen_plugins import adapters
from pxgen_plugins.models import capabilities

__all__ = ["Availability", "adapters_for"]


class Availability(NamedTuple):
    """Whether an adapter can run: ``lacks`` is empty when it can."""

    name: str
    evidence: str
    lacks: str


def adapters_for(model: Any) -> list[Availability]:
    """Return every registered adapter of models of this package, and what it lacks, by name.

    Args:
        model: The model that is explained.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> found = {one.name: one for one in adapters_for(LinearModel())}
        >>> found["latent_contrast"].evidence, found["grad_cam"].lacks
        ('counterfactual', "the model's layers")
    """
    known = [(name, adapters.get(name)) for name in adapters.names()]
    return [
        Availability(name, adapter.evidence, _lacks(adapter, model))
        for name, adapter in known
        if hasattr(adapter, "requires")  # one takes Keras models only
    ]


def _lacks(adapter: Any, model: Any) -> str:
    missing = sorted(adapter.requires - set(capabilities(model)))
    if missing:
        return "the model's " + ", ".join(missing)
    if adapter.access == "gradients" and not getattr(model, "modules", ()):
        return "the model's gradients"
    if adapter.library and find_spec(adapter.library) is None:
        return f"the package {adapter.library}"
    return ""
