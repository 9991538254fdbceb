"""Integrated gradients of TensorFlow models, by alibi."""

from __future__ import annotations

import copy
import importlib
from typing import Any

import numpy as np
from alibi.api.interfaces import Explainer, Explanation

from pxgen_plugins import __version__
from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.latent.base import LOCK
from pxgen_plugins.adapters.base import kwargs_of, traceless
from pxgen_plugins.host import PredictorHolder
from pxgen_plugins.result.explanation import build
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import (
    AnchorError,
    MissingDependencyError,
    ParameterError,
    short_repr,
)

__all__ = ["DEFAULT_DATA_TENSORFLOW_GRADIENTS", "TensorFlowIntegratedGradients"]

METHODS = (
    "gausslegendre",
    "riemann_left",
    "riemann_right",
    "riemann_middle",
    "riemann_trapezoid",
)

DEFAULT_DATA_TENSORFLOW_GRADIENTS: dict[str, Any] = {
    "attributions": None,
    "deltas": None,
    "prediction": None,
    "evidence": "attribution",
}
"""Default data of TensorFlowIntegratedGradients for n anchors, to be deep-copied.

- ``attributions``: float32 (n, *sample_shape).
- ``deltas``: (n,), sum of the attributions minus the difference of the outputs at anchor and
  baseline; its size is the error of the integral.
- ``prediction``: (n,), the explained output.
"""


@register("tensorflow_integrated_gradients")
class TensorFlowIntegratedGradients(PredictorHolder, Explainer):  # type: ignore[misc]  # untyped
    """Integrated gradients (Sundararajan, Taly and Yan 2017) of a Keras model, by alibi.

    For models of :mod:`pxgen_plugins.models`, which are torch's, use ``TorchIntegratedGradients``.

    Args:
        predictor: A ``tf.keras.Model`` from anchors (n, *sample_shape) to one output (n, 1) or
            several (n, m), as a reconstruction error computed inside the graph.
        method: Rule of the integral, as alibi names it.
        n_steps: Points on the path, >= 1.
        batch_size: Points per model call.

    Raises:
        MissingDependencyError: When TensorFlow is not installed.
        ParameterError: When an argument is not allowed.

    Cost: n x n_steps passes with gradient.
    """

    evidence = "attribution"
    access = "gradients"
    library = "alibi"

    def __init__(
        self,
        predictor: Any,
        method: str = "gausslegendre",
        n_steps: int = 50,
        *,
        batch_size: int = 256,
    ) -> None:
        where = type(self).__name__
        _tensorflow()
        self.method = validation.choice(method, "method", where, METHODS)
        self.n_steps = validation.integer(n_steps, "n_steps", where, minimum=1)
        self.batch_size = validation.integer(batch_size, "batch_size", where, minimum=1)
        meta: dict[str, Any] = {
            "name": None,
            "type": ["whitebox"],
            "explanations": ["local"],
            "params": {},
            "version": None,
        }
        super().__init__(meta=meta)
        params = {"method": method, "n_steps": n_steps, "batch_size": batch_size}
        self._update_metadata({**params, "pxgen_plugins_version": __version__}, params=True)
        self.reset_predictor(predictor)

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
        from alibi.explainers import IntegratedGradients

        where = f"{type(self).__name__}.explain"
        if self.predictor is None:
            raise ParameterError("predictor", where, "set", "None", "Call reset_predictor(model).")
        rows = np.asarray(X)
        if rows.ndim < 2 or rows.dtype.kind not in "fiub" or not len(rows):
            hint = "Give anchors as the model takes them, the batch axis first."
            raise AnchorError("X", where, "a batch of numbers", short_repr(X), hint)
        rows = rows.astype(np.float32)
        outputs = np.asarray(self.predictor(rows[:1]))
        if target is None and outputs.ndim > 1 and outputs.shape[1] > 1:
            hint = "Name the output to explain, as in target=0."
            raise ParameterError("target", where, f"below {outputs.shape[1]}", "None", hint)
        with LOCK, traceless(None):
            found = IntegratedGradients(
                self.predictor,
                method=self.method,
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
        data = {
            "attributions": np.asarray(found.attributions[0], dtype=np.float32),
            "deltas": np.asarray(found.deltas, dtype=np.float64),
            "prediction": values.reshape(len(rows), -1)[np.arange(len(rows)), column],
        }
        meta = copy.deepcopy(self.meta)
        meta["params"].update(kwargs_of({"baselines": baselines, "target": target}))
        return build(meta, data, DEFAULT_DATA_TENSORFLOW_GRADIENTS)

    def reset_predictor(self, predictor: Any) -> None:
        """Put ``predictor``, a Keras model, in the place of the present one.

        Raises:
            ParameterError: When it is no Keras model.
        """
        if predictor is not None and not isinstance(predictor, _tensorflow().keras.Model):
            hint = "For a torch model use TorchIntegratedGradients."
            got = type(predictor).__name__
            raise ParameterError("predictor", type(self).__name__, "a tf.keras.Model", got, hint)
        self.predictor = predictor


def _tensorflow() -> Any:
    try:
        return importlib.import_module("tensorflow")
    except Exception as error:  # a half-broken installation raises more than ImportError
        raise MissingDependencyError(
            "tensorflow",
            "TensorFlowIntegratedGradients",
            "installed and importable",
            f"{type(error).__name__}: {str(error)[:200]}",
            "Run: pip install 'alibi[tensorflow]'. For a torch model no TensorFlow is needed: use "
            "TorchIntegratedGradients.",
        ) from error
