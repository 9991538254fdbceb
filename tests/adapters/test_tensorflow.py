"""Alibi's own integrated gradients on Keras models; they run by ``make test-tensorflow``.

TensorFlow 2.14, the last that Alibi takes, has an environment of its own; elsewhere these skip.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

from pxgen_plugins.adapters import TensorFlowIntegratedGradients
from pxgen_plugins.result.explanation import from_json
from pxgen_plugins.utils.errors import AnchorError, MissingDependencyError, ParameterError

INSTALLED = importlib.util.find_spec("tensorflow") is not None
with_tensorflow = pytest.mark.skipif(
    not INSTALLED, reason="TensorFlow has an environment of its own: make test-tensorflow"
)
WEIGHTS = np.array([[1.0, -1.0], [2.0, 0.5], [3.0, 0.0]], dtype=np.float32)
X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def squares(columns: int) -> Any:
    """A Keras model of the functions sum_i w_i x_i^2, one per column of WEIGHTS."""
    import tensorflow

    layers = tensorflow.keras.layers
    dense = layers.Dense(columns, use_bias=False)
    model = tensorflow.keras.Sequential([layers.Input((3,)), layers.Lambda(lambda x: x**2), dense])
    dense.set_weights([WEIGHTS[:, :columns]])
    return model


@pytest.mark.skipif(INSTALLED, reason="has TensorFlow")
def test_without_tensorflow_the_torch_class_is_named():
    with pytest.raises(MissingDependencyError, match="TorchIntegratedGradients"):
        TensorFlowIntegratedGradients(None)


@with_tensorflow
@pytest.mark.parametrize("baseline", [None, 0.5])
def test_attributions_are_the_integral_of_the_analytic_gradient(baseline):
    # the gradient is 2 w x; along the line from b to x it integrates to w (x^2 - b^2) exactly
    explainer = TensorFlowIntegratedGradients(squares(1), n_steps=3, batch_size=2)
    explanation = explainer.explain(X, baselines=baseline)
    expected = WEIGHTS[:, 0] * (X**2 - (baseline or 0.0) ** 2)
    np.testing.assert_allclose(explanation.attributions, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(explanation.prediction, (X**2) @ WEIGHTS[:, 0], rtol=1e-5)
    assert np.abs(explanation.deltas).max() < 1e-4


@with_tensorflow
def test_one_of_several_outputs_is_explained():
    explainer = TensorFlowIntegratedGradients(squares(2), n_steps=3)
    target = np.array([0, 1, 0, 1, 1])
    explanation = explainer.explain(X, target=target)
    weights = WEIGHTS[:, target].T
    np.testing.assert_allclose(explanation.attributions, weights * X**2, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(explanation.prediction, (weights * X**2).sum(1), rtol=1e-5)
    with pytest.raises(ParameterError, match=r"explain: target must be below 2; got None"):
        explainer.explain(X)


@with_tensorflow
def test_it_is_alibis():
    import tensorflow
    from alibi.explainers import IntegratedGradients

    layers = tensorflow.keras.layers
    model = tensorflow.keras.Sequential(
        [layers.Input((3,)), layers.Dense(3, "tanh"), layers.Dense(1)]
    )
    explanation = TensorFlowIntegratedGradients(model, n_steps=20).explain(X)
    expected = IntegratedGradients(model, n_steps=20).explain(X)
    np.testing.assert_allclose(
        explanation.attributions, expected.attributions[0], rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(explanation.prediction, model(X).numpy()[:, 0], rtol=1e-5)


@with_tensorflow
def test_the_explanation_is_strict_json_and_says_how_it_was_made():
    explanation = TensorFlowIntegratedGradients(squares(1), 4).explain(X)
    again = from_json(explanation.to_json())
    np.testing.assert_array_equal(again.attributions, explanation.attributions)
    params = explanation.meta["params"]
    assert {k: params[k] for k in ("n_steps", "batch_size", "baselines")} == {
        "n_steps": 4,
        "batch_size": 256,
        "baselines": None,
    }


@with_tensorflow
def test_a_model_can_be_replaced_and_taken_away():
    explainer = TensorFlowIntegratedGradients(squares(2), n_steps=3)
    explainer.reset_predictor(squares(1))
    assert explainer.explain(X).prediction.shape == (5,)
    explainer.reset_predictor(None)
    with pytest.raises(ParameterError, match=r"explain: predictor must be set; got None"):
        explainer.explain(X)


@with_tensorflow
def test_what_it_cannot_take_is_refused():
    with pytest.raises(ParameterError, match="TorchIntegratedGradients"):
        TensorFlowIntegratedGradients(lambda x: x)
    with pytest.raises(ParameterError, match="n_steps must be an integer >= 1"):
        TensorFlowIntegratedGradients(squares(1), n_steps=0)
    with pytest.raises(AnchorError, match="a batch of numbers"):
        TensorFlowIntegratedGradients(squares(1)).explain(X[0])
