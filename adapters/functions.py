"""PXGen's scalars as plain functions of instances, for any method of any toolkit."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pxgen_plugins.adapters._isolation import roots
from pxgen_plugins.adapters.margins import Margin
from pxgen_plugins.adapters.targets import resolve
from pxgen_plugins.groups import GROUPS
from pxgen_plugins.models import Model
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import AnchorError, ParameterError, caller, short_repr

__all__ = ["InstanceFunction"]

_GREY = (1, 3)  # channels of pictures that show a model of grey ones


class InstanceFunction(nn.Module):
    """A criterion, an affinity or a group of a model as a function of instances, batch first.

    It is a torch module from instances as the model takes them, (b, *sample_shape), to one number
    each, (b,), differentiable where the model is, so Captum's methods take it as it is; ``model``'s
    own modules are inside, for those that look at layers. The methods give the same numbers for
    arrays as other toolkits pass them: :meth:`rows` for flat ones (SHAP's KernelExplainer),
    :meth:`images` for pictures with channels last (LIME's and Alibi's image explainers), and
    :meth:`classes` for explainers of classifiers.

    Args:
        source: A model, or a fitted :class:`~pxgen_plugins.PXGen`, whose seed and reconstruction
            are taken over.
        target: What the function returns: anything the adapters take (a criterion's name,
            ``"latent[3]"``, a callable, ...); of a fitted PXGen also a group (``"HILE"``) or an
            affinity (``"affinity[kld]"``), as the margin of
            :class:`~pxgen_plugins.adapters.margins.Margin`.
        seed: Seed of the target's noise; None takes the explainer's, or 0.
        batch_size: Instances per model call without gradient, >= 1.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model lacks what the target needs.

    Cost: one model pass per instance.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel, noise
        >>> model = LinearModel()
        >>> f, x = InstanceFunction(model, "mse"), noise(model, 4)
        >>> f(x).shape, f.rows(x.flatten(1).numpy()).shape
        (torch.Size([4]), (4,))
    """

    def __init__(
        self, source: Any, target: Any = "mse", *, seed: int | None = None, batch_size: int = 256
    ) -> None:
        super().__init__()
        with caller("InstanceFunction"):
            fitted = hasattr(source, "calibration") and hasattr(source, "scorer")
            model = source.scorer().model if fitted else source
            if not isinstance(model, Model):
                hint = "Wrap a network first, as in VAE(net, sample_shape=...)."
                allowed = "a model of pxgen_plugins.models, or a fitted PXGen"
                raise ParameterError("source", allowed, short_repr(source), hint)
            own_seed = source.seed if fitted and seed is None else seed or 0
            self.seed = validation.integer(own_seed, "seed", minimum=0)
            self.batch_size = validation.integer(batch_size, "batch_size", minimum=1)
            self._reconstruction = source.reconstruction if fitted else "mean"
            if isinstance(target, str) and _is_decision(target):
                target = Margin(source, target)
            self.decides = isinstance(target, Margin)
            self.target = resolve(target, model)
        # a tuple: torch would take a model that is a module itself for a part, and switch its mode
        self._model = (model,)
        self.parts = nn.ModuleList(roots(model))
        self.training = False  # .eval() would reach the model's own flags

    @property
    def label(self) -> str:
        """Name of what is returned."""
        return self.target.label

    def forward(self, x: Tensor) -> Tensor:
        """Return the values (b,) at instances ``x`` (b, *sample_shape), with gradient.

        Raises:
            AnchorError: When the shape or the scale of ``x`` is not the model's.
        """
        self._check(x)
        if self._reconstruction == "mean":
            return self._values(x)
        # a drawn reconstruction belongs to a position: every instance gets the same noise
        return torch.cat([self._values(x[i : i + 1]) for i in range(len(x))])

    def array(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Return the values (b,) at an array (b, *sample_shape), without gradient."""
        with torch.no_grad():
            rows = torch.as_tensor(np.ascontiguousarray(X))
            parts = [
                self(rows[start : start + self.batch_size]).double().cpu()
                for start in range(0, len(rows), self.batch_size)
            ]
        values: NDArray[np.float64] = torch.cat(parts).numpy() if parts else np.empty(0)
        return values

    def rows(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Return the values (b,) at flat instances (b, d)."""
        shape = self._shape()
        rows = np.asarray(X)
        return self.array(rows.reshape(len(rows), *shape))

    def classes(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Return (b, 2) at an array (b, *sample_shape): chance of "is not" and of "is".

        The second column is the logistic function of the margin, above 0.5 exactly where it is
        positive; it orders instances and is no calibrated probability.

        Raises:
            ParameterError: When the target is no group and no affinity.
        """
        return self._columns(self.array(np.asarray(X)))

    def images(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Return :meth:`classes` (b, 2) at pictures (b, H, W, C) with channels last.

        Three equal channels of a model of grey pictures, as LIME makes them, count once. For a
        target that decides nothing, such as a criterion, the values as one column (b, 1).
        """
        values = self.array(self._from_pictures(np.asarray(X)))
        return self._columns(values) if self.decides else values[:, None]

    def _columns(self, margins: NDArray[np.float64]) -> NDArray[np.float64]:
        from scipy.special import expit

        if not self.decides:
            hint = "Ask for one, as in InstanceFunction(explainer, 'HILE'), or use array or rows."
            with caller("InstanceFunction.classes"):
                raise ParameterError("target", "a group or an affinity", self.label, hint)
        return np.stack([expit(-margins), expit(margins)], 1)

    def _values(self, x: Tensor) -> Tensor:
        (model,) = self._model
        point = x.to(model.device, model.dtype)
        return self.target.value(model, point, seed=self.seed, reconstruction=self._reconstruction)

    def _check(self, x: Tensor) -> None:
        (model,) = self._model
        shape, bounds = model.sample_shape, model.data_range
        with caller("InstanceFunction"):
            if shape is not None and tuple(x.shape[1:]) != tuple(shape):
                hint = "Use rows for flat instances, images for pictures with channels last."
                allowed = f"of shape (b, {', '.join(map(str, shape))})"
                raise AnchorError("x", allowed, str(tuple(x.shape)), hint)
            whole = not x.is_floating_point() and x.numel() > 0
            if bounds is not None and whole and float(x.max()) > bounds[1]:
                allowed = f"within the model's range [{bounds[0]:g}, {bounds[1]:g}]"
                got = f"whole numbers up to {float(x.max()):g}"
                raise AnchorError("x", allowed, got, "Scale them first, as in x / 255.")

    def _shape(self) -> tuple[int, ...]:
        shape = self._model[0].sample_shape
        if shape is None:
            with caller("InstanceFunction.rows"):
                hint = "Use array with instances as the model takes them."
                raise ParameterError("model", "of one sample_shape", "None", hint)
        return tuple(shape)

    def _from_pictures(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return pictures (b, H, W, C) as the model takes them."""
        shape = self._shape()
        grey = len(shape) == 2 or (len(shape) == 3 and shape[0] == 1)
        if X.ndim == 4 and X.shape[1:] == shape:
            return X  # the model's own channels are last
        fits = X.ndim == 4 and (
            (grey and X.shape[1:3] == shape[-2:] and X.shape[3] in _GREY)
            or (len(shape) == 3 and (X.shape[3], *X.shape[1:3]) == shape)
        )
        if not fits:
            with caller("InstanceFunction.images"):
                hint = "Give pictures with channels last, of the model's height and width."
                raise AnchorError("X", f"(b, H, W, C) of a model of {shape}", str(X.shape), hint)
        if not grey:
            return X.transpose(0, 3, 1, 2)
        if X.shape[3] == 3 and not (X[..., :1] == X).all():
            with caller("InstanceFunction.images"):
                hint = "Repeat the grey channel, as skimage.color.gray2rgb does."
                raise AnchorError("X", "grey, as the model's pictures", "colours", hint)
        return X[..., 0].reshape(len(X), *shape)


def _is_decision(target: str) -> bool:
    return target.strip() in GROUPS or target.strip().startswith("affinity[")
