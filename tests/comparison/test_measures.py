"""Each kind of evidence has a quality of its own, which planted truth and slow loops confirm."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pxgen_plugins import PXGen
from pxgen_plugins.adapters.attribution.ablation import LatentAblation
from pxgen_plugins.adapters.example_based.tracin import VAETracIn
from pxgen_plugins.adapters.latent.contrast import LatentContrast
from pxgen_plugins.adapters.latent.effects import LatentALE, LatentPartialDependence
from pxgen_plugins.comparison import compare
from pxgen_plugins.evaluation import quality
from pxgen_plugins.thresholds import Fixed
from tests.adapters.odd_nets import NETS, wrap
from tests.adapters.slow import Slow

NET = "latent_map"
X = NETS[NET].anchors(24)
BOUNDS = {"kld": 1.2, "mse": 0.13}


def compared(model, methods, **settings):
    pxgen = PXGen(model, threshold=Fixed(BOUNDS), n_representatives=3, **settings).fit()
    table = compare(model, X, None, methods, pxgen, n_anchors=4)
    found = {row["method"]: row for row in table.table()}
    assert not any(row["error"] for row in found.values()), found
    return table, {name: row["quality"] for name, row in found.items()}


def test_latent_maps_have_a_quality():
    pytest.importorskip("captum")
    model = wrap(NET)
    _, found = compared(model, {"ablation": LatentAblation(model, "mse")})
    assert found["ablation"]["ablation_agreement"] == pytest.approx(1.0, abs=1e-9)


def test_a_measure_draws_what_the_method_drew():
    pytest.importorskip("captum")
    model, noisy = wrap(NET), {"name": "elbo", "n_draws": 1}
    _, found = compared(model, {"ablation": LatentAblation(model, noisy, seed=9)})
    assert found["ablation"]["ablation_agreement"] == pytest.approx(1.0, abs=1e-9)


def test_training_samples_find_their_copies_where_influence_is_a_kernel():
    model = wrap(NET)
    tracin = VAETracIn(model, n_draws=0).fit(X)
    _, found = compared(model, {"tracin": tracin})
    # the same by plain autograd, for the copies of all samples instead of a few
    slow = Slow(NET)

    def loss(x):
        mean, log_var = slow.net.encode(x)
        return 16 * slow.target("mse", x, mean, log_var) + slow.target("kld", x, mean, log_var)

    rows = slow.parameters_gradient(loss, X)
    own = np.arange(len(X))
    whole = quality.copy_ranks(rows @ rows.T, own)
    assert found["tracin"]["copy_rank"] == pytest.approx(whole["copy_rank"], abs=0.15)
    cosine = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert quality.copy_ranks(cosine @ cosine.T, own) == {"copy_first": 1.0, "copy_rank": 1.0}
    chance = np.random.default_rng(0).normal(size=(400, 400))
    assert quality.copy_ranks(chance, np.arange(400))["copy_rank"] == pytest.approx(0.5, abs=0.05)
    assert quality.copy_ranks(np.full((5, 2), np.nan), np.array([0, 1]))["copy_rank"] == 0.5


def test_a_contrast_is_counted_where_the_slow_net_sees_it_across():
    model, slow = wrap(NET), Slow(NET)
    bound = float(np.median(PXGen(model, threshold=Fixed(BOUNDS)).fit().explain(X).values[:, 0]))
    contrast = LatentContrast(model, {"kld": bound}, "HI", n_steps=60)
    table, found = compared(model, {"contrast": contrast})
    result = contrast.explain(table.anchors)
    x = slow.tensor(table.anchors)
    mean, log_var = slow.net.encode(x)
    before = slow.target("kld", x, mean, log_var) < bound
    after = slow.target("kld", x, slow.tensor(result.end), log_var) < bound
    searched = ~before.numpy()
    assert searched.any()
    assert found["contrast"]["validity"] == pytest.approx(after.numpy()[searched].mean())
    moved = np.linalg.norm((result.end - result.start).reshape(4, -1), axis=1)
    lengths = np.linalg.norm(result.start.reshape(4, -1), axis=1)
    expected = (moved / lengths)[searched].mean()
    assert found["contrast"]["relative_size"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", [LatentALE, LatentPartialDependence])
def test_effects_explain_additive_targets_and_no_interactions(kind):
    pytest.importorskip("alibi")
    model = wrap(NET)

    def additive(batch):
        z = batch.mean.flatten(1)
        return 2 * z[:, 0] - z[:, 3]

    def interaction(batch):
        z = batch.mean.flatten(1)
        z = z - torch.as_tensor(codes.mean(0))
        return (z[:, 0] * z[:, 1]).sign() * 5

    codes = Slow(NET).code(X).flatten(1).float().numpy()
    methods = {"sum": kind(model, additive), "product": kind(model, interaction)}
    _, found = compared(model, {**methods, "one": kind(model, additive, [0])})
    assert found["sum"]["additive_fidelity"] == pytest.approx(1.0, abs=0.02)
    assert found["product"]["additive_fidelity"] < 0.6
    assert "additive_fidelity" not in found["one"]


@pytest.mark.parametrize("settings", [{"reconstruction": "sample", "seed": 5}, {"seed": 5}])
def test_what_is_shown_is_the_reconstruction_that_was_scored(settings):
    model = wrap(NET)
    pxgen = PXGen(model, threshold=Fixed(BOUNDS), n_representatives=3, **settings).fit()
    explanation = pxgen.explain(X)
    scores = explanation.values[:, 1]
    for groups in (pxgen, explanation):
        table = compare(model, X, None, [], groups, n_anchors=4)
        errors = ((table.anchors - table.reconstructions) ** 2).reshape(4, -1).mean(1)
        np.testing.assert_allclose(errors, scores[table.indices], rtol=1e-4)


def test_pixels_where_both_maps_vanish_do_not_count():
    rng = np.random.default_rng(0)
    one, other = np.zeros((2, 3, 28, 28))
    inside = np.s_[:, 10:18, 10:18]  # a digit on a black background, random inside: no agreement
    one[inside], other[inside] = rng.random((2, 3, 8, 8))
    assert abs(quality.map_correlation(one, other)) < 0.25
    padded = [np.stack([row[10:18, 10:18] for row in maps]) for maps in (one, other)]
    assert quality.map_correlation(one, other) == quality.map_correlation(*padded)
    moved = np.roll(one, 9, axis=2)  # beside each other: they disagree
    assert quality.map_correlation(one, moved) < -0.5
    assert quality.map_correlation(one, 2 * one) == 1.0
    assert np.isnan(quality.map_correlation(0 * one, 0 * one))
    one[0, 0, 0] = np.nan  # an anchor without a map leaves the others theirs
    assert quality.map_correlation(one, 2 * one) == 1.0


def test_any_other_group_is_the_nearest_border():
    pytest.importorskip("captum")
    model = wrap(NET)
    pxgen = PXGen(model, threshold=Fixed(BOUNDS)).fit()
    found = LatentContrast(model, pxgen, n_steps=60).explain(X)
    group = pxgen.explain(X).group
    assert found.start_decision.tolist() == group.tolist()
    assert "already" not in found.status
    np.testing.assert_array_equal(found.end_decision != group, found.status == "found")
    assert (found.status == "found").mean() > 0.9
    for goal in ("HIHE", "HILE", "LIHE", "LILE"):
        named = LatentContrast(model, pxgen, goal, n_steps=60).explain(X)
        both = (named.status == "found") & (found.status == "found")
        assert np.median(found.cost[both] / named.cost[both]) < 1.05
