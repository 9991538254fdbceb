"""Integrated gradients of TensorFlow models, by alibi."""

from __future__ import annotations

import copy
import importlib
from dataclasses import KW_ONLY, InitVar, dataclass, field
from typing import Any

import numpy as np

from pxgen_plugins import __version__
from pxgen_plugins.adapters._isolation import traceless
from pxgen_plugins.adapters.base import as_metadata, register
from pxgen_plugins.host import Explainer, Explanation, PredictorHolder
from pxgen_plugins.result.explanation import build
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import (
    AnchorError,
    MissingDependencyError,
    ParameterError,
    caller,
    short_repr,
)
from pxgen_plugins.utils.optional import load

__all__ = ["DEFAULT_DATA_TENSORFLOW_GRADIENTS", "TensorFlowIntegratedGradients"]

DEFAULT_DATA_TENSORFLOW_GRADIENTS: dict[str, Any] = {
    "attributions": None,
    "deltas": None,
    "prediction": None,
    "evidence": "attribution",
}
"""Default data of TensorFlowIntegratedGradients, to be deep-copied; its docstring has the keys."""


@register("tensorflow_integrated_gradients")
@dataclass(repr=False, eq=False)
class TensorFlowIntegratedGradients(PredictorHolder, Explainer):
    """Integrated gradients (Sundararajan, Taly and Yan 2017) of a Keras model, by alibi.

    The integral is taken by the Gauss-Legendre rule.

    For models of :mod:`pxgen_plugins.models`, which are torch's, use ``TorchIntegratedGradients``.

    Args:
        predictor: A ``tf.keras.Model`` from anchors (n, *sample_shape) to one output (n, 1) or
            several (n, m), as a reconstruction error computed inside the graph.
        n_steps: Points on the path, >= 1.
        batch_size: Points per model call.

    Fields:
        attributions (float32 (n, *sample_shape)): Part of each element in what the output gains
            from the baseline to each of n anchors, in units of the output. Positive = the element
            raises it.
        deltas (float64 (n,)): Sum of the attributions of an anchor minus (output there - output at
            the baseline): the error of the integral, 0 at best.
        prediction (float (n,)): The explained output at each anchor, in the type that the model
            returns.

    Raises:
        MissingDependencyError: When TensorFlow is not installed.
        ParameterError: When an argument is not allowed.

    Cost: n x n_steps passes with gradient.
    """

    evidence = "attribution"
    access = "gradients"
    library = "alibi"

    predictor: InitVar[Any] = field()  # without it the property would be the default
    n_steps: int = 50
    _: KW_ONLY
    batch_size: int = 256

    def __post_init__(self, predictor: Any) -> None:
        with caller(type(self).__name__):
            _tensorflow()
            self.n_steps = validation.integer(self.n_steps, "n_steps", minimum=1)
            self.batch_size = validation.integer(self.batch_size, "batch_size", minimum=1)
            meta: dict[str, Any] = {
                "name": None,
                "type": ["whitebox"],
                "explanations": ["local"],
                "params": {},
                "version": None,
            }
            super().__init__(meta=meta)
            self.reset_predictor(predictor)
        params = {"n_steps": self.n_steps, "batch_size": self.batch_size}
        self._update_metadata({**params, "pxgen_plugins_version": __version__}, params=True)

    def explain(self, X: Any, baselines: Any = None, target: Any = None) -> Explanation:
        """Return the attributions of ``X``.

        Args:
            X: Anchors as the model takes them, an ndarray (n, *sample_shape).
            baselines: A number or an array like ``X``; None is zero.
            target: Which output, for a model with several: a number or n of them.

        Raises:
            AnchorError: When ``X`` is no batch of numbers.
            ParameterError: When the model is missing or needs a ``target``.
        """
        with caller(f"{type(self).__name__}.explain"):
            data = self._explain(X, baselines, target)
        meta = copy.deepcopy(self.meta)
        meta["params"].update(as_metadata({"baselines": baselines, "target": target}))
        return build(meta, data, DEFAULT_DATA_TENSORFLOW_GRADIENTS)

    def _explain(self, X: Any, baselines: Any, target: Any) -> dict[str, Any]:
        IntegratedGradients = load("alibi.explainers", "alibi").IntegratedGradients

        if self.predictor is None:
            raise ParameterError("predictor", "set", "None", "Call reset_predictor(model).")
        rows = np.asarray(X)
        if rows.ndim < 2 or rows.dtype.kind not in "fiub" or not len(rows):
            hint = "Give anchors as the model takes them, the batch axis first."
            raise AnchorError("X", "a batch of numbers", short_repr(X), hint)
        rows = rows.astype(np.float32)
        outputs = np.asarray(self.predictor(rows[:1]))
        if target is None and outputs.ndim > 1 and outputs.shape[1] > 1:
            hint = "Name the output to explain, as in target=0."
            raise ParameterError("target", f"below {outputs.shape[1]}", "None", hint)
        with traceless(None):
            result = IntegratedGradients(
                self.predictor,
                method="gausslegendre",
                n_steps=self.n_steps,
                internal_batch_size=self.batch_size,
            ).explain(rows, baselines=baselines, target=target)
        values = np.concatenate(
            [
                np.asarray(self.predictor(rows[start : start + self.batch_size]))
                for start in range(0, len(rows), self.batch_size)
            ]
        )
        # one output has one column, whatever the target is called
        column = np.zeros(len(rows), dtype=np.int64) if target is None else np.asarray(target)
        return {
            "attributions": np.asarray(result.attributions[0], dtype=np.float32),
            "deltas": np.asarray(result.deltas, dtype=np.float64),
            "prediction": values.reshape(len(rows), -1)[np.arange(len(rows)), column],
        }

    def reset_predictor(self, predictor: Any) -> None:
        """Put ``predictor``, a Keras model, in the place of the present one.

        Raises:
            ParameterError: When it is no Keras model.
        """
        if predictor is not None and not isinstance(predictor, _tensorflow().keras.Model):
            hint = "For a torch model use TorchIntegratedGradients."
            got = type(predictor).__name__
            with caller(type(self).__name__):
                raise ParameterError("predictor", "a tf.keras.Model", got, hint)
        self._predictor, self._saving = predictor, False


def _tensorflow() -> Any:
    try:
        return importlib.import_module("tensorflow")
    except Exception as error:  # a half-broken installation raises more than ImportError
        raise MissingDependencyError(
            "tensorflow",
            "installed and importable",
            f"{type(error).__name__}: {str(error)[:200]}",
            "Run: pip install 'alibi[tensorflow]'. For a torch model no TensorFlow is needed: use "
            "TorchIntegratedGradients.",
        ) from error
