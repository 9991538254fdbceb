"""Densities of scikit-learn: objects with ``score_samples`` and ``sample``."""

from __future__ import annotations

import copy
import inspect
import math
from typing import Any

import numpy as np
from torch import nn

from pxgen_plugins.models._global_rng import seeded
from pxgen_plugins.models.flow import Flow
from pxgen_plugins.models.sources.base import Source, register
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller
from pxgen_plugins.utils.seeds import derive

__all__ = ["from_density"]


@caller("wrap")
def from_density(obj: Any, *, sample_shape: tuple[int, ...] | None = None, **settings: Any) -> Flow:
    """Return a fitted density of scikit-learn as a :class:`~pxgen_plugins.models.Flow`.

    ``GaussianMixture``, ``BayesianGaussianMixture``, ``KernelDensity`` and whatever else has
    ``score_samples(X)``, log densities in nats, and ``sample(n)``, rows or (rows, components).

    Args:
        obj: The density, fitted.
        sample_shape: Shape of one instance; None takes the number of its features. Instances are
            flattened for the density.
        settings: Further arguments of the family.

    Raises:
        ParameterError: When it is not fitted, or the shape has another number of elements.
        ModelError: When it does not behave as a density.

    Example:
        >>> from sklearn.mixture import GaussianMixture
        >>> points = np.random.default_rng(0).normal(size=(50, 2))
        >>> model = from_density(GaussianMixture(2, random_state=0).fit(points))
        >>> model.sample(3, seed=0).shape, model.origin
        (torch.Size([3, 2]), 'GaussianMixture, 2 features, sampled by its own sample(n)')
    """
    size = getattr(obj, "n_features_in_", None)
    if size is None:
        hint = "Call its fit(X) first."
        raise ParameterError("obj", "fitted", f"a {type(obj).__name__} that is not", hint)
    shape = (int(size),) if sample_shape is None else validation.shape(sample_shape, "sample_shape")
    if math.prod(shape) != size:
        hint = f"Leave it out for ({size},)."
        raise ParameterError("sample_shape", f"of {size} elements", str(shape), hint)

    def log_prob(x: Any) -> Any:
        rows = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
        return np.asarray(obj.score_samples(rows))

    def sample(n: int, seed: int) -> Any:
        drawn = _draw(obj, n, seed)
        rows = np.asarray(drawn[0] if isinstance(drawn, tuple) else drawn)
        # mixtures give (rows, components), by component: parts of a sample would differ in kind
        order = np.random.default_rng(derive(seed, "order")).permutation(len(rows))
        return rows[order].reshape(n, *shape)

    settings.setdefault("modules", ())
    model = Flow(log_prob=log_prob, sample=sample, sample_shape=shape, **settings)
    name = type(obj).__name__
    model.origin = f"{name}, {size} features, sampled by its own sample(n)"
    return model


def _draw(obj: Any, n: int, seed: int) -> Any:
    """Return what it draws with a seed, which it takes as an argument or as an attribute."""
    if "random_state" in inspect.signature(obj.sample).parameters:
        return obj.sample(n, random_state=seed % 2**32)
    own = copy.copy(obj)  # its own seed, if it has one, would give the same in every call
    if hasattr(own, "random_state"):
        own.random_state = seed % 2**32
    with seeded(seed):
        return own.sample(n)


@register("densities")
class Densities(Source):
    """Densities of scikit-learn."""

    order = 75
    what = "a density, with score_samples(X) and sample(n)"
    families = (Flow,)
    build = staticmethod(from_density)

    @classmethod
    def matches(cls, obj: Any) -> bool:
        """Return whether ``obj`` scores and samples, and is no model of ours and no module."""
        if hasattr(obj, "capabilities") or isinstance(obj, (nn.Module, type)):
            return False
        return all(callable(getattr(obj, name, None)) for name in ("score_samples", "sample"))
