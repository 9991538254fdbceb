"""Measures of quality against cases whose answer is known."""

from __future__ import annotations

import itertools
import math
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pxgen_plugins.evaluation import quality
from pxgen_plugins.evaluation.permutation import permuted_weights
from pxgen_plugins.models import VAE
from tests.adapters.nets import conv_vae, mlp_vae


def linear(weights):
    return lambda x: (x.flatten(1) * weights).sum(1)


def test_the_right_order_beats_random_and_the_reverse_order():
    weights = torch.arange(1.0, 17.0)
    x = torch.ones(3, 1, 4, 4)
    right = np.broadcast_to(weights.numpy().reshape(1, 1, 4, 4), x.shape)
    found = quality.deletion_insertion(linear(weights), x, right, 0.0)
    reverse = quality.deletion_insertion(linear(weights), x, 1 / right, 0.0)
    for kind in ("deletion", "insertion"):
        assert found[kind] > found[f"random_{kind}"] > reverse[kind]


def test_the_deletion_area_is_the_one_worked_out_by_hand():
    weights = torch.tensor([3.0, 1.0])
    found = quality.deletion_insertion(
        linear(weights), torch.ones(1, 2), np.array([[3.0, 1.0]]), 0.0, steps=2
    )
    # the curve is 0, 3/4, 1 at 0, 1/2, 1
    assert found["deletion"] == pytest.approx((0 + 0.75) / 4 + (0.75 + 1) / 4)
    assert found["insertion"] == pytest.approx(found["deletion"])


def test_a_constant_attribution_is_not_sensitive_and_a_random_one_is():
    x = np.random.default_rng(0).random((4, 6)).astype(np.float32)
    rng = np.random.default_rng(1)
    still = quality.max_sensitivity(np.ones_like, x, np.ones_like(x), 0.1)
    noisy = quality.max_sensitivity(lambda a: rng.normal(size=a.shape), x, np.ones_like(x), 0.1)
    assert still == 0.0
    assert noisy > 0.5


@pytest.mark.parametrize("make", [mlp_vae, conv_vae])
def test_permuted_weights_are_the_same_in_another_order(make):
    model = make()
    x = torch.rand(2, 1, 8, 8)
    weights = {
        name: torch.cat([p.detach().flatten() for p in module.parameters()])
        for name, module in model.layers.items()
        if list(module.parameters())
    }
    before = model.reconstruct(x)
    with permuted_weights(model.layers):
        changed = 0
        for name, values in weights.items():
            now = torch.cat([p.detach().flatten() for p in model.layers[name].parameters()])
            assert torch.equal(now.sort()[0], values.sort()[0])
            changed += not torch.equal(now, values)
        assert changed > 0
        assert not torch.allclose(model.reconstruct(x), before)
    assert torch.equal(model.reconstruct(x), before)


def test_a_model_of_closures_is_permuted_too():
    net = mlp_vae()
    model = VAE(
        encode=lambda x: net.encode(x),
        decode=lambda z: net.decode(z),
        latent_shape=(4,),
        sample_shape=(1, 8, 8),
        modules=list(net.layers.values()),
    )
    before = net.sample(2, 0)
    with permuted_weights(model.layers):
        assert not torch.allclose(model.sample(2, 0), before)
    assert torch.equal(net.sample(2, 0), before)


def test_ablation_agrees_with_the_weights_of_a_linear_function():
    weights = torch.tensor([4.0, -3.0, 2.0, 1.0])
    codes = torch.ones(5, 4)
    own = np.broadcast_to(weights.numpy(), (5, 4))
    assert quality.ablation_agreement(lambda z: z @ weights, codes, own) == pytest.approx(1.0)
    other = np.broadcast_to([0.0, 0.0, 0.0, 1.0], (5, 4))
    expected = 1 / np.linalg.norm(weights)
    assert quality.ablation_agreement(lambda z: z @ weights, codes, other) == pytest.approx(
        expected
    )


@given(st.sets(st.integers(0, 9)), st.sets(st.integers(0, 9)))
def test_jaccard_is_the_share_of_the_union(a, b):
    expected = len(a & b) / len(a | b) if a | b else 1.0
    assert quality.jaccard(list(a), list(b)) == expected


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 20), st.integers(1, 5), st.integers(0, 10**6))
def test_coverage_agrees_with_loops(n, k, seed):
    rng = np.random.default_rng(seed)
    k = min(k, n)
    features = rng.normal(size=(n, 3))
    labels = rng.integers(0, 2, n).astype(str)
    picked = rng.permutation(n)[:k]
    found = quality.coverage(features, picked, labels)
    nearest = []
    for row in features:
        gaps = [math.dist(row, features[p]) for p in picked]
        nearest.append((min(gaps), picked[int(np.argmin(gaps))]))
    assert found["radius"] == pytest.approx(max(gap for gap, _ in nearest))
    assert found["mean_distance"] == pytest.approx(np.mean([gap for gap, _ in nearest]))
    same = [labels[i] == labels[p] for i, (_, p) in enumerate(nearest)]
    assert found["purity"] == pytest.approx(np.mean(same))
    pairs = [math.dist(features[a], features[b]) for a, b in itertools.combinations(picked, 2)]
    assert found["spread"] == (pytest.approx(min(pairs)) if pairs else None)
    assert found["mmd"] >= -1e-12


def test_all_rows_stand_for_themselves():
    features = np.random.default_rng(0).normal(size=(30, 2))
    found = quality.coverage(features, np.arange(30), None)
    assert found["radius"] == 0.0
    assert found["mmd"] == pytest.approx(0.0, abs=1e-12)
    assert found["purity"] is None


def test_threads_that_permute_the_same_weights_leave_them_as_they_were():
    layer = torch.nn.Linear(200, 200)
    before = layer.weight.detach().clone()

    def permute(seed):
        with permuted_weights({"layer": layer}, seed):
            time.sleep(0.01)
            return not torch.equal(layer.weight, before)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(permute, range(12)))
    assert torch.equal(layer.weight, before)
