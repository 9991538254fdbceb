"""Points 1, 13 and 14: settings as JSON, the black-box form, and both forms agreeing."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from pxgen_plugins import PXGen
from pxgen_plugins.host import NumpyEncoder, PredictorCallError, PredictorReturnTypeError
from pxgen_plugins.testing.trees import differences

from .cases import (
    SAMPLE_SHAPE,
    anchors,
    black,
    make_black,
    make_white,
    sampler,
    white,
)

SETTINGS = {
    "intrinsic": ["kld", {"name": "mahalanobis"}],
    "extrinsic": {"name": "mse", "reduction": "sum"},
    "threshold": {"name": "MeanMax", "n_samples": 32, "n_repeats": 2},
    "selectors": ["k_center", {"name": "k_dispersion", "objective": "max_sum", "label": "wide"}],
    "n_representatives": 2,
    "batch_size": 8,
    "seed": 4,
}


def test_a_server_can_build_it_from_json_settings():
    explainer = PXGen(white(), **json.loads(json.dumps(SETTINGS))).fit()
    explanation = explainer.explain(anchors())
    assert explanation.criteria == ["kld", "mahalanobis", "mse"]
    assert set(explanation.groups["HIHE"]["representatives"]) == {"k_center", "wide"}


def test_its_recorded_parameters_build_it_again():
    explainer = PXGen(white(), **SETTINGS)
    params = json.loads(json.dumps(explainer.meta["params"], cls=NumpyEncoder))
    for said in ("pxgen_plugins_version", "chosen"):
        params.pop(said)
    again = PXGen(white(), **params)
    assert again.meta == explainer.meta
    assert (
        differences(again.fit().explain(anchors()).data, explainer.fit().explain(anchors()).data)
        == []
    )


def test_a_plain_function_is_a_predictor():
    def bright_and_rough(X):
        return np.stack([X.mean(axis=(1, 2, 3)), X.std(axis=(1, 2, 3))], axis=1)

    explainer = make_black(bright_and_rough, intrinsic="brightness", extrinsic="roughness").fit()
    explanation = explainer.explain(anchors())
    np.testing.assert_allclose(explanation.values, bright_and_rough(anchors()), rtol=1e-5)
    assert explanation.criteria == ["brightness", "roughness"]


def test_the_predictor_sees_ndarrays_with_the_batch_axis_first():
    seen = []

    def predictor(X):
        seen.append((type(X), X.shape[1:], X.dtype.kind))
        return black()(X)

    make_black(predictor).fit().explain(anchors())
    assert set(seen) == {(np.ndarray, SAMPLE_SHAPE, "f")}


def raises(X):
    raise KeyError("no such column")


RETURNS = {
    "tensor": lambda X: torch.zeros(len(X), 2),
    "list": lambda X: [[0.0, 0.0]] * len(X),
    "one column": lambda X: np.zeros((len(X), 1)),
    "three columns": lambda X: np.zeros((len(X), 3)),
    "flat": lambda X: np.zeros(len(X)),
    "one row": lambda X: np.zeros((1, 2)),
    "three axes": lambda X: np.zeros((len(X), 2, 1)),
    "NaN": lambda X: np.full((len(X), 2), np.nan),
    "infinity": lambda X: np.full((len(X), 2), np.inf),
    "text": lambda X: np.full((len(X), 2), "a"),
    "complex": lambda X: np.zeros((len(X), 2), dtype=complex),
    "None": lambda X: None,
}


def test_a_predictor_that_raises_is_refused_at_construction():
    with pytest.raises(PredictorCallError, match="KeyError"):
        make_black(raises)


@pytest.mark.parametrize("name", RETURNS)
def test_a_predictor_that_returns_something_else_is_refused_at_construction(name):
    with pytest.raises(PredictorReturnTypeError):
        make_black(RETURNS[name])


@pytest.mark.parametrize("name", RETURNS)
def test_a_predictor_that_returns_something_else_is_refused_when_put_in(name):
    explainer = make_black(black()).fit()
    with pytest.raises(PredictorReturnTypeError):
        explainer.reset_predictor(RETURNS[name])


def test_a_refused_predictor_leaves_the_former_one_in_place():
    explainer = make_black(black()).fit()
    before = explainer.explain(anchors()).data
    with pytest.raises(PredictorCallError):
        explainer.reset_predictor(raises)
    assert differences(explainer.explain(anchors()).data, before) == []


def test_white_box_and_black_box_give_the_same_explanation():
    # the white box draws its calibration samples from the model, the black box from the sampler
    def samples(n, seed):
        return white().sample(n, seed).detach().numpy()

    inside = make_white(white(), examples=False).fit().explain(anchors())
    outside = make_black(black(), examples=False, sampler=samples).fit().explain(anchors())
    alike = {key for key in inside.data if key not in ("units", "distance")}
    one, other = ({key: e.data[key] for key in alike} for e in (inside, outside))
    assert differences(one, other, rtol=1e-4, atol=1e-6) == []
    np.testing.assert_allclose(inside.distance, outside.distance, rtol=1e-3, atol=1e-3)


def test_labels_do_not_move_anchors_between_groups():
    plain = make_white(white()).fit().explain(anchors())
    named = make_white(white()).fit().explain(anchors(), labels=np.arange(24) % 2)
    assert plain.group.tolist() == named.group.tolist()
    assert sum(sum(g["labels"].values()) for g in named.groups.values()) == 24


def test_the_sampler_repeats_for_a_seed():
    np.testing.assert_array_equal(sampler(3, 1), sampler(3, 1))
