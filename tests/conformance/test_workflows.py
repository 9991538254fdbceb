"""Point 32: PXGen's criteria and groups inside alibi's own explainers."""

from __future__ import annotations

import importlib.util
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from pxgen_plugins.testing.guards import kept_random_state
from pxgen_plugins.testing.trees import differences

from .cases import LATENT, SAMPLE_SHAPE, anchors, make_white, white


@pytest.fixture(scope="module")
def explainer():
    return make_white(white(), selectors=(), examples=False).fit()


@pytest.fixture(scope="module")
def criteria(explainer):
    """The criteria of decoded latent codes, as an alibi predictor (n, 3) -> (n, 2)."""
    model = white()

    def predict(Z):
        with torch.no_grad():
            X = model.decode(torch.tensor(Z, dtype=torch.float32)).numpy()
        return explainer.explain(X).values

    return predict


CODES = np.random.default_rng(0).normal(size=(40, LATENT))


def quarters(image):
    rows, columns = np.indices(image.shape[:2]) // 4
    return 2 * rows + columns


def test_ale_explains_the_criteria(criteria):
    ALE = pytest.importorskip("alibi.explainers").ALE
    explanation = ALE(criteria, target_names=["kld", "mse"]).explain(CODES, features=[0, 2])
    assert [values.shape[1] for values in explanation.ale_values] == [2, 2]
    assert all(np.isfinite(values).all() for values in explanation.ale_values)
    assert explanation.to_json()


def test_partial_dependence_explains_the_criteria(criteria):
    PartialDependence = pytest.importorskip("alibi.explainers").PartialDependence
    explanation = PartialDependence(criteria, target_names=["kld", "mse"]).explain(
        CODES, features=[1], grid_resolution=5
    )
    assert explanation.pd_values[0].shape == (2, 5)
    direct = [
        criteria(np.c_[CODES[:, 0], np.full(40, v), CODES[:, 2]]).mean(0)
        for v in (explanation.feature_values[0])
    ]
    np.testing.assert_allclose(explanation.pd_values[0].T, direct, rtol=1e-5)
    assert explanation.to_json()


@pytest.mark.skipif(importlib.util.find_spec("shap") is None, reason="shap is not installed")
def test_kernel_shap_explains_a_criterion(criteria):
    pytest.importorskip("alibi")
    from alibi.explainers import KernelShap

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shap's own
        # one criterion at a time: alibi cannot read the results of shap >= 0.45 for several
        shap = KernelShap(lambda Z: criteria(Z)[:, 0], task="regression", seed=0)
        explanation = shap.fit(CODES[:10]).explain(CODES[10:13], silent=True)
    total = explanation.shap_values[0].sum(1) + explanation.expected_value[0]
    np.testing.assert_allclose(total, criteria(CODES[10:13])[:, 0], rtol=1e-4)


def test_group_labels_are_labels_for_protoselect(explainer):
    pytest.importorskip("alibi")
    from alibi.prototypes import ProtoSelect
    from alibi.utils.kernel import EuclideanDistance

    X = anchors(40)
    names, labels = np.unique(explainer.explain(X).group, return_inverse=True)
    assert len(names) > 1
    flat = X.reshape(len(X), -1)
    summary = ProtoSelect(EuclideanDistance(), eps=2.0).fit(flat, y=labels).summarise(6)
    assert set(summary.prototype_labels) <= set(range(len(names)))
    assert summary.prototypes.shape[1:] == flat.shape[1:]


def test_anchor_image_explains_membership_of_a_group(explainer):
    AnchorImage = pytest.importorskip("alibi.explainers").AnchorImage
    X = anchors(40)
    group = explainer.explain(X).group
    name, counts = np.unique(group, return_counts=True)
    wanted = name[np.argmax(counts)]
    instance = np.moveaxis(X[np.flatnonzero(group == wanted)[0]], 0, -1)

    def member(images):
        found = explainer.explain(np.moveaxis(images, -1, 1).astype(np.float32)).group == wanted
        return np.stack([~found, found], axis=1).astype(float)

    with kept_random_state():  # alibi reseeds numpy's global generator
        anchor = AnchorImage(member, instance.shape, segmentation_fn=quarters, seed=0)
        explanation = anchor.explain(instance, threshold=0.7)
    assert 0.0 <= explanation.precision <= 1.0
    assert explanation.to_json()


def test_a_server_gets_json_for_one_instance_without_a_batch_axis(explainer):
    # as MLServer's runtime does: input_data[0], a pool of threads, to_json
    X = anchors()
    with ThreadPoolExecutor(4) as pool:
        texts = list(pool.map(lambda x: explainer.explain(x).to_json(), X))
    alone = explainer.explain(X[:1])
    from pxgen_plugins.host import Explanation

    assert len(texts) == len(X)
    first = Explanation.from_json(texts[0])
    assert differences(first.data, alone.data, rtol=1e-5, json=True) == []


def test_a_remote_predictor_may_squeeze_one_column():
    # the serving runtime turns (n, 1) into (n,)
    from pxgen_plugins.models import BlackBox

    box = BlackBox(lambda X: X.reshape(len(X), -1).mean(1))
    assert box.values(torch.zeros(3, *SAMPLE_SHAPE)).shape == (3, 1)
