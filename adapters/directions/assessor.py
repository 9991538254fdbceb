"""A direction along which a score of the instance rises by a wanted amount: GANalyze."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.directions._assessors import (
    Assessor,
    assessors_of,
    gradient_of,
)
from pxgen_plugins.adapters.directions._classes import classes_of
from pxgen_plugins.adapters.directions._response import Floats
from pxgen_plugins.adapters.directions.base import DirectionAdapter
from pxgen_plugins.axes import Axis, on_shell
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError, short_repr, warn
from pxgen_plugins.utils.seeds import derive

__all__ = ["AssessorDirection"]

_BATCH = 32  # codes per step of the descent
_FEWEST = 20  # codes of a class from which it gets a direction


@register("assessor_direction")
@dataclass(repr=False, eq=False)
class AssessorDirection(DirectionAdapter):
    """The direction along which an assessor rises by the amount asked for (GANalyze).

    Goetschalckx et al. (2019): theta minimises E[(A(G(z + a theta)) - (A(G(z)) + a))^2] over codes
    z and amounts a, here uniform in +-``span``, with A in standard deviations over the model's
    instances, so that one step raises the assessor by one of these. Their descent starts from 0 or
    from noise, and where generator and assessor are linear, Adam from 0 ends on a vector with
    useless components, although its loss is 0. This one starts from the least-norm solution of the
    linearised problem, g / |g|^2 for g the mean gradient of A(G(z)), goes on by plain gradient
    descent with a cosine schedule, and pays ``penalty`` for length.

    Args:
        predictor: A model that can decode, differentiable.
        assessor: A criterion's name, mapping or object, ``"latent[j]"``, ``"pixel[...]"``, or a
            callable from a batch of instances (b, *sample_shape) to (b,); or one of these with its
            label, as in ``{"ink": f}``. Take a classifier's logits, not its probabilities: where
            these are saturated there is no gradient.
        per_class: A callable from instances to classes, (b,), or to logits, (b, c): one direction
            for each class of which there are 20 codes, measured on codes of that class (its strips
            start from the same codes as the others'). None makes one for all.
        n_steps: Steps of the descent, >= 0; 0 leaves the linearised solution.
        lr: Length of the first step relative to that solution, > 0.
        penalty: Weight of the squared length relative to that solution, >= 0.
        assessors: Further assessors, whose movement along the axis is its leakage.
        span, n_frames, n_codes, n_shown, n_random, keep, realism, seed, batch_size, verbose: See
            :class:`~pxgen_plugins.adapters.directions.base.DirectionAdapter`.

    What ``explain`` returns, and what a shell is, says
    :class:`~pxgen_plugins.adapters.directions.base.DirectionAdapter`, field by field.

    Raises:
        ModelError: When the assessor is constant over instances, or has no gradient.

    Cost of ``fit``: 32 n_steps decoder passes with gradient and as many without, for every
    direction; 19,200 by default. ``explain``: as the others, 28,000 passes for one direction, of
    which the random directions take 26,600. n_steps=50, n_codes=50 and n_frames=5 cost a sixth.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> adapter = AssessorDirection(LinearModel(), "pixel[0, 4, 4]", n_steps=20, n_codes=50)
        >>> bool(adapter.explain(None).slope[0, 0] > 0.5)
        True
    """

    importance_name = None
    target_argument = "assessor"

    assessor: Any = None
    _: KW_ONLY
    per_class: Callable[[Any], Any] | None = None
    n_steps: int = 300
    lr: float = 0.05
    penalty: float = 1e-3
    span: float = 1.5

    access = "gradients"
    example: ClassVar[Mapping[str, Any]] = {
        "assessor": "pixel[0, 4, 4]",
        "n_steps": 10,
        "n_codes": 40,
        "n_random": 3,
        "realism": None,
    }

    def _check(self) -> None:
        super()._check()
        self.n_steps = validation.integer(self.n_steps, "n_steps", minimum=0)
        self.lr = validation.real(self.lr, "lr", above=0.0)
        self.penalty = validation.real(self.penalty, "penalty", minimum=0.0)
        if self.per_class is not None:
            validation.function(self.per_class, "per_class", "instances -> classes")
        self.classes: list[Any] | None = None
        if self.assessor is None:
            hint = "Name a criterion or give a function, as in AssessorDirection(model, ink)."
            raise ParameterError("assessor", "given", "None", hint)

    def _check_model(self, model: Any) -> None:
        super()._check_model(model)
        self._assessors(model)

    def _params(self) -> dict[str, Any]:
        params = super()._params()
        model = self.predictor
        if model is not None:
            params["assessor"] = self._assessor(model).label
        elif not isinstance(self.assessor, str):
            params["assessor"] = short_repr(self.assessor)
        return params

    def _assessors(self, model: Any = None) -> list[Assessor]:
        given = model or self.predictor
        own = self._assessor(given)
        others = assessors_of(self.assessors, given, self.seed)
        names = [other.label for other in others]
        if own.label in names:
            hint = "Name the others, as in assessors={'slant': f}."
            raise ParameterError("assessors", f"other than {own.label!r}", "the same", hint)
        return [own, *others]

    def _assessor(self, model: Any) -> Assessor:
        named = isinstance(self.assessor, Mapping) and "name" not in self.assessor
        found = assessors_of(self.assessor if named else [self.assessor], model, self.seed)
        if len(found) != 1:
            hint = "Give the others as assessors=, whose movement along the axis is measured."
            raise ParameterError("assessor", "one", f"{len(found)} of them", hint)
        return found[0]

    def _own(self, k: int) -> list[int]:
        return [0] * k

    def model_calls(self, n: int) -> Mapping[str, float]:
        """Return how often ``explain`` calls the model for ``n`` anchors, the axis found first."""
        walks = (1 + self.n_random) * min(n, self.n_codes) * self.n_frames
        found = 3.0 * self.n_codes + 4.0 * _BATCH * self.n_steps  # of each pair one has a gradient
        calls = super().model_calls(n)
        return {**calls, "decode": calls["decode"] + found, "target": walks + found}

    def _find(self, z: Tensor) -> tuple[list[Axis], Floats | None]:
        own = self._assessor(self.predictor)
        classes = self._classes(z)
        self.classes = None
        groups = [(own.label, z)]
        if classes is not None:
            names, counts = np.unique(classes, return_counts=True)
            self.classes = names[counts >= _FEWEST].tolist()
            groups = [(f"{own.label} of {name}", z[classes == name]) for name in self.classes]
        if not groups:
            hint = "Raise n_codes, or leave per_class out."
            got = f"at most {int(np.unique(classes, return_counts=True)[1].max())}"
            raise ParameterError("per_class", f"of {_FEWEST} codes for a class", got, hint)
        steps = len(groups) * self.n_steps
        with self._progress(steps, "fit", "step", "n_steps") as update:
            axes = [self._axis(label, own, codes, update) for label, codes in groups]
        return axes, None

    def _starts(self, axes: Sequence[Axis], z: Tensor) -> list[Tensor]:
        if self.classes is None:
            return super()._starts(axes, z)
        found = self._classes(z)
        starts = [z[found == name] for name in self.classes]
        for name, start in zip(self.classes, starts, strict=True):
            if not len(start):
                warn(f"none of {len(z)} codes is of class {name}: its direction is measured on all")
        return [start if len(start) else z for start in starts]

    def _axis(self, label: str, own: Assessor, z: Tensor, update: Callable[[int], object]) -> Axis:
        model = self.predictor
        assessor, gradients = self._scaled([own], z)[0], []
        for part in torch.split(z, self.batch_size):
            slope = gradient_of(assessor, model, part.to(model.device, model.dtype))
            gradients.append(slope.double().cpu())
        mean = torch.cat(gradients).mean(0)
        square = float(mean.square().sum())
        if square < 1e-20:
            hint = "Take logits, or another assessor: nothing in the code moves this one."
            raise ModelError("assessor", "one that the code moves", "a mean gradient of 0", hint)
        first = mean / square  # least-norm solution of <g, theta> = 1
        length = float(first.norm())
        theta = self._descend(assessor, z, first / length, length, update)
        scale = float(theta.norm()) * length
        return Axis(label, theta.numpy(), scale, type(self).__name__, self._keep())

    def _descend(
        self,
        assessor: Assessor,
        z: Tensor,
        unit: Tensor,
        length: float,
        update: Callable[[int], object],
    ) -> Tensor:
        """Return theta / length after the descent from ``unit``, float64."""
        model, shape = self.predictor, (-1, *[1] * (z.ndim - 1))
        theta = unit.to(model.device, model.dtype).clone()
        generator = torch.Generator().manual_seed(derive(self.seed, "amounts"))
        free = self._keep() == "free"
        for step in range(self.n_steps):
            rows = (torch.arange(_BATCH) + step * _BATCH) % len(z)
            code = z[rows].to(model.device, model.dtype)
            # amounts come in pairs of both signs: the mean of the response does not drift
            half = torch.rand(_BATCH // 2, generator=generator) * self.span
            amounts = torch.cat([half, -half]).to(model.device, model.dtype)
            point = theta.detach().requires_grad_()
            slope = 2.0 * self.penalty * theta  # of the penalty; then of the error, part by part
            for low in range(0, _BATCH, self.batch_size):
                part = slice(low, low + self.batch_size)
                with torch.enable_grad():
                    moved = code[part] + amounts[part].reshape(shape) * (length * point)
                    if not free:
                        moved = on_shell(moved, code[part])
                    wanted = assessor(model.decode(code[part])).detach() + amounts[part]
                    error = (assessor(model.decode(moved)) - wanted).square().sum() / _BATCH
                    slope = slope + torch.autograd.grad(error, point)[0]
            if not bool(slope.isfinite().all()):
                hint = "Lower lr, or give an assessor with finite gradients."
                raise ModelError("assessor", "of finite gradient", "a gradient that is not", hint)
            rate = 0.5 * self.lr * (1.0 + math.cos(math.pi * step / self.n_steps))
            theta = (point - rate * slope).detach()
            update(1)
        return theta.double().cpu()

    def _classes(self, z: Tensor) -> Any:
        """Return the class of every code, (n,), or None."""
        if self.per_class is None:
            return None
        arguments = (self.predictor, z, self.batch_size, "per_class")
        return classes_of(self.per_class, *arguments)
