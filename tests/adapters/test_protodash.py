"""ProtoDash against AIX360 and a slow oracle; ProtoSelect against Alibi called directly."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from pxgen_plugins.adapters.example_based._kernels import gaussian, kernel_mean, pair_scale
from pxgen_plugins.adapters.example_based._protodash import select
from pxgen_plugins.adapters.example_based.protodash import DEFAULT_DATA_PROTODASH, ProtoDash
from pxgen_plugins.adapters.example_based.protoselect import (
    DEFAULT_DATA_PROTOSELECT_ADAPTER,
    AlibiProtoSelect,
)
from pxgen_plugins.testing import ExplainerCase, explainer_checks, parametrize_with_checks
from pxgen_plugins.utils.errors import CapabilityError, ParameterError

from .nets import conv_vae, mlp_vae

RNG = np.random.default_rng(0)
X = RNG.random((80, 1, 8, 8))


def codes(model: Any, anchors: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        mean = model.encode(torch.tensor(anchors, dtype=torch.float32))[0]
    return mean.double().numpy()


def slow(rows: np.ndarray, candidates: np.ndarray, sigma: float, k: int) -> tuple[list[int], Any]:
    """The greedy of the paper, one kernel value at a time."""

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.exp(-np.sum((a - b) ** 2) / (2 * sigma**2)))

    mean = np.array([np.mean([kernel(x, y) for x in rows]) for y in candidates])
    picked: list[int] = []
    weights = np.empty(0)
    for _ in range(k):
        best, steepest = -1, -np.inf
        for i in range(len(candidates)):
            if i in picked:
                continue
            pull = mean[i] - sum(
                w * kernel(candidates[i], candidates[j])
                for w, j in zip(weights, picked, strict=True)
            )
            if pull > steepest:
                best, steepest = i, pull
        picked.append(best)
        inner = np.array([[kernel(candidates[i], candidates[j]) for j in picked] for i in picked])
        factor = np.linalg.cholesky(inner + 1e-12 * np.eye(len(picked)))
        weights = nnls(factor.T, np.linalg.solve(factor, mean[picked]))[0]
    return picked, weights


@pytest.mark.parametrize("make_model", [mlp_vae, conv_vae])
def test_picks_and_weights_are_those_of_the_slow_greedy(make_model: Any) -> None:
    model = make_model()
    found = ProtoDash(model, 6, sigma=0.7).explain(X)
    table = codes(model, X)
    picked, weights = slow(table, table, 0.7, 6)
    assert found.indices.tolist() == picked
    np.testing.assert_allclose(found.weights, weights, rtol=1e-5, atol=1e-8)
    assert found.normalized_weights.sum() == pytest.approx(1.0)
    assert (np.diff(found.objective) >= -1e-12).all()


@pytest.mark.parametrize("make_model", [mlp_vae, conv_vae])
@pytest.mark.parametrize(
    "options",
    [
        {"kernel": "gaussian"},
        {"kernel": "gaussian", "sigma": 0.3},
        {"kernel": "gaussian", "space": "pixel"},
        {"kernel": "linear", "space": "pixel"},
    ],
)
def test_native_agrees_with_aix360(make_model: Any, options: dict[str, Any]) -> None:
    pytest.importorskip("aix360.algorithms.protodash")
    ours = ProtoDash(make_model(), 8, **options).explain(X)
    theirs = ProtoDash(make_model(), 8, backend="aix360", **options).explain(X)
    assert ours.indices.tolist() == theirs.indices.tolist()
    np.testing.assert_allclose(ours.weights, theirs.weights, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(ours.objective, theirs.objective, rtol=1e-4)


def test_the_aix360_backend_is_aix360(capfd: pytest.CaptureFixture[str]) -> None:
    home = pytest.importorskip("aix360.algorithms.protodash")
    model = mlp_vae()
    ours = ProtoDash(model, 5, sigma=0.5, backend="aix360").explain(X)
    assert capfd.readouterr().out == ""
    table = codes(model, X)
    explainer = home.ProtodashExplainer()
    weights, indices, _ = explainer.explain(table, table, 5, kernelType="Gaussian", sigma=0.5)
    assert ours.indices.tolist() == indices.tolist()
    np.testing.assert_allclose(ours.weights, weights, rtol=1e-6)


def test_row_zero_can_win_here_but_not_in_aix360() -> None:
    pytest.importorskip("aix360.algorithms.protodash")
    anchors = np.full((4, 1, 8, 8), 0.5)
    anchors[3] = np.arange(64).reshape(8, 8) / 64
    options: dict[str, Any] = {"space": "pixel", "sigma": 0.3}
    pool = np.stack([anchors[0], 1.0 - anchors[3]])  # a good candidate, then an awful one
    native = ProtoDash(mlp_vae(), 1, **options).fit(pool).explain(anchors[:3])
    theirs = ProtoDash(mlp_vae(), 1, backend="aix360", **options).fit(pool).explain(anchors[:3])
    assert native.indices.tolist() == [0]
    assert native.weights[0] == pytest.approx(1.0)
    assert theirs.indices.tolist() == [1]  # the documented fault: when this fails, it was mended
    assert theirs.weights[0] < 0.01


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 7), st.booleans())
def test_weights_are_optimal_even_with_duplicates(seed: int, k: int, twins: bool) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(12, 2))
    if twins:
        rows[6:] = rows[:6]
    mean = kernel_mean(rows, rows, 0.8)
    picked = select(mean, np.ones(12), lambda i: gaussian(rows, rows[[i]], 0.8)[:, 0], k)
    assert len(set(picked.indices.tolist())) == k
    assert (picked.weights >= 0).all()
    inner = gaussian(rows, rows, 0.8)[np.ix_(picked.indices, picked.indices)]
    slope = mean[picked.indices] - inner @ picked.weights
    # Karush, Kuhn and Tucker: no gain left, and none lost where a weight is above 0
    assert (slope < 1e-5).all()
    assert (np.abs(slope * picked.weights) < 1e-5).all()


def test_greedy_is_near_the_best_pair() -> None:
    rows = RNG.normal(size=(14, 2))
    mean = kernel_mean(rows, rows, 1.0)
    whole = gaussian(rows, rows, 1.0)

    def value(pair: tuple[int, ...]) -> float:
        inner = whole[np.ix_(pair, pair)]
        factor = np.linalg.cholesky(inner)
        w = nnls(factor.T, np.linalg.solve(factor, mean[list(pair)]))[0]
        return float(w @ mean[list(pair)] - 0.5 * w @ inner @ w)

    best = max(value(pair) for pair in itertools.combinations(range(14), 2))
    found = select(mean, np.ones(14), lambda i: whole[:, i], 2)
    assert found.objective[-1] >= (1 - np.exp(-1)) * best


def test_the_kernel_mean_does_not_depend_on_its_blocks(monkeypatch: Any) -> None:
    from pxgen_plugins.adapters.example_based import _kernels

    rows, candidates = RNG.normal(size=(50, 3)) + 1e4, RNG.normal(size=(20, 3)) + 1e4
    squares = ((rows[:, None] - candidates[None]) ** 2).sum(2)
    expected = np.exp(squares / (-2 * 0.5**2)).mean(0)
    for block in (1, 7, 2**21):
        monkeypatch.setattr(_kernels, "_BLOCK", block)
        found = kernel_mean(rows, candidates, 0.5)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)


def test_the_median_distance_ignores_equal_rows() -> None:
    assert pair_scale(np.zeros((5, 2)) + 3.3, 0) == 1.0
    rows = np.repeat([[0.1, 0.2], [3.1, 4.2]], 5, axis=0)
    assert pair_scale(rows, 0) == pytest.approx(5.0)


def test_members_are_the_group_that_is_explained() -> None:
    members = [3, 70, 11, 25, 42]
    found = ProtoDash(mlp_vae(), 3, sigma=0.5).explain(X, members=members, labels=range(80))
    alone = ProtoDash(mlp_vae(), 3, sigma=0.5).explain(X[members])
    assert found.indices.tolist() == [members[i] for i in alone.indices]
    assert found.labels.tolist() == [str(i) for i in found.indices]
    assert found.n_explained == 5
    assert ProtoDash(mlp_vae()).explain(X, members=[]).indices.tolist() == []
    assert len(ProtoDash(mlp_vae(), 10).explain(X[:4]).indices) == 4
    for wrong in ([80], [-1], [1, 1], [0.5], [[1]]):
        with pytest.raises(ParameterError, match="members must be distinct indices"):
            ProtoDash(mlp_vae()).explain(X, members=wrong)


def test_candidates_can_be_another_set() -> None:
    pool = RNG.random((30, 1, 8, 8))
    found = ProtoDash(mlp_vae(), 4, sigma=0.5).fit(pool, labels=["a"] * 30).explain(X)
    picked, weights = slow(codes(mlp_vae(), X), codes(mlp_vae(), pool), 0.5, 4)
    assert found.indices.tolist() == picked
    np.testing.assert_allclose(found.weights, weights, rtol=1e-5, atol=1e-8)
    assert found.source == "fit"
    assert found.label_counts == {"a": 4}


def test_invalid_anchors_are_left_out_and_named() -> None:
    broken = X.copy()
    broken[[0, 5], 0, 0, 0] = np.nan
    found = ProtoDash(mlp_vae(), 4, sigma=0.5).explain(broken)
    keep = np.delete(np.arange(80), [0, 5])
    expected = ProtoDash(mlp_vae(), 4, sigma=0.5).explain(X[keep])
    assert found.indices.tolist() == keep[expected.indices].tolist()
    assert found.invalid.tolist() == [0, 5]


def test_a_callable_is_a_space() -> None:
    found = ProtoDash(mlp_vae(), 4, space=lambda x: x * 2.0, sigma=2.0).explain(X)
    pixel = ProtoDash(mlp_vae(), 4, space="pixel", sigma=1.0).explain(X)
    assert found.indices.tolist() == pixel.indices.tolist()
    with pytest.raises(ParameterError, match="space must be a callable or one of"):
        ProtoDash(mlp_vae(), space="latnt")
    with pytest.raises(ParameterError, match="kernel must be one of"):
        ProtoDash(mlp_vae(), kernel="Gaussian")


def test_a_model_without_codes_needs_another_space() -> None:
    class Sampler:
        capabilities = frozenset({"sample"})
        sample_shape, latent_shape, data_range = (1, 8, 8), None, (0.0, 1.0)
        device, dtype = torch.device("cpu"), torch.float32

    with pytest.raises(CapabilityError, match="embed"):
        ProtoDash(Sampler())
    assert len(ProtoDash(Sampler(), 2, space="pixel").explain(X).indices) == 2


@pytest.mark.parametrize("labelled", [True, False])
def test_protoselect_is_alibis(labelled: bool) -> None:
    from alibi.prototypes import ProtoSelect
    from alibi.utils.kernel import EuclideanDistance

    model = mlp_vae()
    table = codes(model, X)
    labels = RNG.integers(0, 3, 80) if labelled else None
    theirs = ProtoSelect(EuclideanDistance(), eps=0.6).fit(table, labels).summarise(6)
    names = None if labels is None else [f"class {label}" for label in labels]
    found = AlibiProtoSelect(model, 6, radius=0.6).explain(X, labels=names)
    assert found.indices.tolist() == theirs.prototype_indices.tolist()
    if labelled:
        expected = [f"class {label}" for label in theirs.prototype_labels]
        assert found.covered_labels.tolist() == expected
    gaps = np.sqrt(((table[:, None] - table[found.indices][None]) ** 2).sum(2)).min(1)
    assert found.coverage == pytest.approx((gaps <= 0.6).mean())


def test_protoselect_of_an_empty_group_is_empty() -> None:
    found = AlibiProtoSelect(mlp_vae()).explain(X, members=[])
    assert found.indices.tolist() == []
    assert found.coverage is None


def make(predictor: Any, **options: Any) -> ProtoDash:
    return ProtoDash(predictor, 4, **options)


def make_select(predictor: Any, **options: Any) -> AlibiProtoSelect:
    return AlibiProtoSelect(predictor, 4, **options)


def make_other() -> Any:
    return mlp_vae(seed=1)


def make_grown() -> Any:
    return mlp_vae(hidden=2_000)


def module_of(predictor: Any) -> Any:
    return predictor._evaluating.modules[0]


COMMON: dict[str, Any] = {
    "make_predictor": mlp_vae,
    "X": X[:20],
    "make_other": make_other,
    "make_grown": make_grown,
    "module": module_of,
    "explain_kwargs": {"members": [0, 1, 2, 3, 4]},
    "X_invalid": np.where(np.arange(20)[:, None, None, None] == 3, np.nan, X[:20]),
    "many": 400,
    "rtol": 1e-3,
}
CASES = [
    ExplainerCase(
        "ProtoDash", make=make, data_keys=frozenset(DEFAULT_DATA_PROTODASH) | {"evidence"}, **COMMON
    ),
    ExplainerCase(
        "AlibiProtoSelect",
        make=make_select,
        data_keys=frozenset(DEFAULT_DATA_PROTOSELECT_ADAPTER) | {"evidence"},
        **COMMON,
    ),
]


@parametrize_with_checks(CASES, explainer_checks())
def test_prototypes_keep_the_contract(subject: Any, check: Any) -> None:
    check(subject)
