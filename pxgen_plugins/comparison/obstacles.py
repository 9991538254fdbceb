"""What keeps a method from running on a model, found before it runs or in what it raises."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from pxgen_plugins.comparison.outcome import Task
from pxgen_plugins.host import NotFittedError
from pxgen_plugins.utils.errors import CapabilityError, MissingDependencyError, PXGenError
from pxgen_plugins.utils.optional import load

__all__ = ["Obstacle", "expect_data", "expect_time", "expect_what_it_needs", "reason_of"]

LONGEST = 120.0  # seconds that a method nobody named may take
_EXPECTED = (CapabilityError, MissingDependencyError, NotFittedError)
_EXTRAS = {"lime": "latent", "shap": "latent"}  # the others are called as their library is


class Obstacle(Exception):
    """A method cannot run here; the text says why and what would help."""


def expect_what_it_needs(adapter: type[Any], task: Task) -> None:
    """Raise unless library, training data, explainer and arguments of an adapter are at hand.

    Raises:
        Obstacle: When training data, an explainer or an argument is missing.
        MissingDependencyError: When its library is not installed.
    """
    library = getattr(adapter, "library", "")
    # TensorFlow's adapter speaks for itself: it needs more than its library
    if library and find_spec(library) is None:
        load(library, _EXTRAS.get(library, library))
    expect_data(adapter, task)
    taken = getattr(adapter, "explainer_argument", "")
    if taken and task.explainer is None:
        raise Obstacle("needs a fitted PXGen: pass explainer=, or groups= a PXGen")
    parameters = list(inspect.signature(adapter).parameters.values())[1:]
    missing = [
        p.name
        for p in parameters
        if p.default is p.empty
        and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        and p.name != taken
    ]
    if missing:
        name = adapter.__name__
        raise Obstacle(f"needs {', '.join(missing)}: pass {name}(model, {missing[0]}=...)")


def expect_data(explainer: Any, task: Task) -> None:
    """Raise unless there are training data, for an explainer that learns from nothing else.

    Raises:
        Obstacle: When there are none: anchors are no training data.
    """
    if task.training is None and getattr(explainer, "learns_from", "data") == "training":
        raise Obstacle("needs training data: pass training=, the samples the model was trained on")


def expect_time(explainer: Any, task: Task, n: int) -> None:
    """Raise when an adapter that nobody named would take minutes with this model.

    Args:
        explainer: The adapter.
        task: Holds what one pass costs.
        n: Anchors that it would explain.

    Raises:
        Obstacle: With the estimate, where it is more than two minutes.
    """
    calls: Mapping[str, float] = {}
    if hasattr(explainer, "model_calls"):
        calls = explainer.model_calls(n)
    seconds = sum(count * task.pass_seconds.get(name, 0.0) for name, count in calls.items())
    if seconds > LONGEST:
        minutes = f"{seconds / 60:,.0f} minutes"
        raise Obstacle(f"would take about {minutes} with this model: name it in methods= to run it")


def reason_of(error: Exception, made_here: bool) -> str | None:
    """Return why a method cannot run, by what it raised; None for a fault.

    An adapter that was made here has no arguments of the user's that could be wrong, so an error in
    the house's grammar says what the model lacks for it.

    Args:
        error: What making, fitting or explaining raised.
        made_here: Whether the adapter was named, and made with default arguments.
    """
    expected = isinstance(error, (Obstacle, *_EXPECTED))
    if expected or (made_here and isinstance(error, PXGenError)):
        return str(error)
    return None
