"""Assessors: numbers that are read off an instance, and that an axis may raise or lower."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.adapters.targets import Latent, Pixel, Target, resolve
from pxgen_plugins.criteria import Criterion
from pxgen_plugins.models.callables import as_tensor
from pxgen_plugins.models.runtime import EvaluationMode, modules_of
from pxgen_plugins.utils.errors import ModelError, ParameterError, caller, short_repr

__all__ = ["Assessor", "assessors_of", "gradient_of", "standardise"]

_SMALLEST_SPREAD = 1e-6  # standard deviation below which an assessor says nothing


@dataclass(frozen=True)
class Assessor:
    """A number read off an instance, differentiable where it is to be followed.

    Attributes:
        label: Name in results.
        of: From instances (b, *sample_shape) to values (b,).
        centre: What counts as 0.
        spread: What counts as 1.
    """

    label: str
    of: Callable[[Tensor], Tensor]
    centre: float = 0.0
    spread: float = 1.0

    def __call__(self, x: Tensor) -> Tensor:
        """Return the standardised values (b,).

        Raises:
            ModelError: When the assessor does not return one number per instance.
        """
        with caller(f"assessor {self.label!r}"):
            with EvaluationMode(modules_of(self.of))():
                values = as_tensor(self.of(x))
            known = isinstance(values, Tensor)
            if known and values.ndim == 2 and values.shape[1] == 1:
                values = values[:, 0]
            if not known or tuple(values.shape) != (len(x),):
                hint = "Return one number per instance, as in logits[:, 8]."
                got = short_repr(values)
                raise ModelError("result", f"of shape ({len(x)},)", got, hint)
        scaled: Tensor = (values.to(x.device) - self.centre) / self.spread
        return scaled


def assessors_of(given: Any, model: Any, seed: int) -> list[Assessor]:
    """Return the assessors that ``given`` stands for.

    Args:
        given: A mapping from labels to assessors, a list of them, one of them, or None. An assessor
            is a criterion's name, mapping or object, ``Latent(j)``, ``Pixel(...)`` or their names,
            or a callable from a batch of instances, (b, *sample_shape), to (b,).
        model: The model.
        seed: Seed of a criterion's own noise.

    Raises:
        ParameterError: When one is none of these, or two have one label.
        CapabilityError: When the model lacks what a criterion needs.
    """
    if given is None:
        return []
    if isinstance(given, Mapping) and "name" not in given:
        pairs = [(str(label), one) for label, one in given.items()]
    else:
        several = isinstance(given, (list, tuple))
        pairs = [("", one) for one in (given if several else [given])]
    found = [_assessor(label, one, model, seed) for label, one in pairs]
    labels = [one.label for one in found]
    if len(set(labels)) < len(labels):
        hint = "Name them, as in assessors={'ink': f, 'slant': g}."
        raise ParameterError("assessors", "of different labels", ", ".join(labels), hint)
    return found


def _assessor(label: str, given: Any, model: Any, seed: int) -> Assessor:
    if callable(given) and not isinstance(given, (Criterion, Latent, Pixel)):
        name = getattr(given, "__name__", type(given).__name__)
        return Assessor(label or name, given)
    target = given if isinstance(given, Target) else resolve(given, model)
    return Assessor(label or target.label, lambda x: target.value(model, x, seed=seed))


def standardise(assessor: Assessor, values: Tensor) -> Assessor:
    """Return the assessor in standard deviations of ``values``, (n,), its own over n instances.

    Raises:
        ModelError: When the values are not finite, or the same for all instances.
    """
    finite = values.double()
    with caller(f"assessor {assessor.label!r}"):
        if not bool(finite.isfinite().all()):
            hint = "Return finite numbers for instances of the model."
            raise ModelError("result", "finite", short_repr(values), hint)
        spread = float(finite.std()) if len(finite) > 1 else 0.0
        if spread < _SMALLEST_SPREAD:
            hint = "Use logits instead of probabilities, or an assessor that tells instances apart."
            got = f"a standard deviation of {spread:.1e} over {len(finite)} instances"
            raise ModelError("result", "one that varies between instances", got, hint)
    return Assessor(assessor.label, assessor.of, float(finite.mean()), spread)


def gradient_of(assessor: Assessor, model: Any, z: Tensor) -> Tensor:
    """Return the gradient of the values with respect to codes ``z`` (b, *latent_shape).

    Raises:
        ModelError: When assessor or decoder give no gradient.
    """
    point = z.detach().clone().requires_grad_()
    with torch.enable_grad():
        values = assessor(model.decode(point))
        gradient = None
        if values.requires_grad:
            (gradient,) = torch.autograd.grad(values.sum(), point, allow_unused=True)
    if gradient is None:
        hint = "Use torch functions in both, or ClassDirections, which needs no gradient."
        got = f"{assessor.label!r}, whose value has no gradient there"
        allowed = "differentiable with respect to the latent code"
        raise ModelError("assessor", allowed, got, hint)
    return gradient.detach()
