"""LatentView against the libraries called directly, and its figure."""

from __future__ import annotations

import json
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness

from pxgen_plugins import PXGen
from pxgen_plugins.adapters.latent._projections import PCAMap
from pxgen_plugins.adapters.latent._view_quality import view_quality
from pxgen_plugins.adapters.latent.view import DEFAULT_DATA_VIEW, LatentView
from pxgen_plugins.plots import plot_views
from pxgen_plugins.testing import ExplainerCase, explainer_checks, parametrize_with_checks
from pxgen_plugins.thresholds import MeanMax
from pxgen_plugins.utils.errors import AnchorError, ParameterError
from pxgen_plugins.utils.seeds import derive

from .nets import conv_vae, mlp_vae

mpl.use("Agg")

RNG = np.random.default_rng(0)
X = RNG.random((60, 1, 8, 8))
NEW = RNG.random((7, 1, 8, 8))
SEED = derive(0, "map") % 2**31


def scaled(model: Any, anchors: np.ndarray) -> np.ndarray:
    """Codes with the mean and the largest deviation of those of ``X`` taken out."""
    fitted = codes(model, X)
    middle = fitted.mean(axis=0)
    return (codes(model, anchors) - middle) / np.abs(fitted - middle).max()


def codes(model: Any, anchors: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        mean = model.encode(torch.tensor(anchors, dtype=torch.float32))[0]
    return mean.double().numpy()


@pytest.mark.parametrize("make_model", [mlp_vae, conv_vae])
def test_pca_is_that_of_scikit_learn_up_to_signs(make_model: Any) -> None:
    model = make_model()
    found = LatentView(model).explain(X)
    theirs = PCA(2).fit(codes(model, X))
    scores = theirs.transform(codes(model, X))
    signs = np.sign((found.coordinates * scores).sum(0))
    np.testing.assert_allclose(found.coordinates, scores * signs, atol=1e-6)
    np.testing.assert_allclose(found.loadings, theirs.components_ * signs[:, None], atol=1e-6)
    np.testing.assert_allclose(found.explained_variance_ratio, theirs.explained_variance_ratio_)
    assert (found.loadings[np.arange(2), np.abs(found.loadings).argmax(1)] > 0).all()


def test_transform_places_new_anchors_on_the_fitted_axes() -> None:
    model = mlp_vae()
    view = LatentView(model).fit(X)
    theirs = PCA(2).fit(codes(model, X))
    found = view.transform(NEW)
    np.testing.assert_allclose(
        np.abs(found), np.abs(theirs.transform(codes(model, NEW))), atol=1e-6
    )
    np.testing.assert_array_equal(view.explain(NEW).coordinates, found)
    assert view.explain(NEW).n_fitted == 60


def test_more_components_than_dimensions_are_zero() -> None:
    found = LatentView(mlp_vae(), space=lambda x: x.flatten(1)[:, :2], n_components=3).explain(X)
    assert found.coordinates.shape == (60, 3)
    assert not found.coordinates[:, 2].any()


def test_scikit_learns_tsne_is_used_as_it_is() -> None:
    model = mlp_vae()
    found = LatentView(model, "tsne", backend="sklearn", perplexity=10).explain(X)
    theirs = TSNE(2, perplexity=10, random_state=SEED, init="pca").fit_transform(scaled(model, X))
    np.testing.assert_allclose(found.coordinates, theirs, rtol=1e-3, atol=1e-3)
    view = LatentView(model, "tsne", backend="sklearn", perplexity=10).fit(X)
    np.testing.assert_array_equal(view.explain(X).coordinates, found.coordinates)
    with pytest.raises(ParameterError, match="that can place new anchors"):
        view.transform(NEW)


def test_opentsne_is_used_as_it_is_and_places_new_anchors() -> None:
    opentsne = pytest.importorskip("openTSNE")
    model = mlp_vae()
    view = LatentView(model, "tsne", perplexity=10).fit(X)
    theirs = opentsne.TSNE(perplexity=10, random_state=SEED, n_jobs=1).fit(codes(model, X))
    np.testing.assert_allclose(view.explain(X).coordinates, np.asarray(theirs), atol=1e-6)
    expected = np.asarray(theirs.transform(codes(model, NEW)))
    np.testing.assert_allclose(view.transform(NEW), expected, rtol=1e-3, atol=1e-2)
    assert view.explain(X).backend == "opentsne"


def test_umap_is_loaded_when_used_and_made_anew_after_loading(monkeypatch: Any) -> None:
    made = []

    class FakeUMAP:
        def __init__(self, **options: Any) -> None:
            made.append(options)

        def fit(self, rows: np.ndarray) -> FakeUMAP:
            self.embedding_ = rows[:, :2]
            return self

        def transform(self, rows: np.ndarray) -> np.ndarray:
            return rows[:, :2] + 1

    from pxgen_plugins.adapters.latent import _projections

    monkeypatch.setattr(_projections, "load", lambda *_: type("umap", (), {"UMAP": FakeUMAP}))
    model = mlp_vae()
    view = LatentView(model, "umap", n_neighbors=7).fit(X)
    assert made[0]["n_neighbors"] == 7
    assert made[0]["random_state"] == SEED
    np.testing.assert_allclose(view.explain(X).coordinates, scaled(model, X)[:, :2], atol=1e-6)
    state = view._map.__getstate__()
    assert state["_fitted"] is None
    view._map.__dict__.update(state)
    np.testing.assert_allclose(view.transform(NEW), scaled(model, NEW)[:, :2] + 1, atol=1e-6)
    assert len(made) == 2


def test_measures_are_those_of_the_definitions() -> None:
    rows, plane = RNG.random((40, 5)), RNG.random((40, 2))
    found = view_quality(rows, plane, 6, 2_000, 0)
    assert found["trustworthiness"] == pytest.approx(trustworthiness(rows, plane, n_neighbors=6))
    assert found["continuity"] == pytest.approx(trustworthiness(plane, rows, n_neighbors=6))
    shares = []
    for i in range(40):
        near = [
            set(np.argsort(((space - space[i]) ** 2).sum(1))[1:7].tolist())
            for space in (rows, plane)
        ]
        shares.append(len(near[0] & near[1]) / 6)
    assert found["neighbour_preservation"] == pytest.approx(np.mean(shares))
    perfect = view_quality(rows, rows @ np.linalg.qr(RNG.random((5, 5)))[0], 6, 2_000, 0)
    assert perfect["trustworthiness"] == perfect["neighbour_preservation"] == 1.0
    assert view_quality(rows, plane, 6, 20, 0)["n_judged"] == 20
    assert "trustworthiness" not in view_quality(rows[:3], plane[:3], 6, 20, 0)


def test_posterior_samples_belong_to_seed_and_anchor() -> None:
    one = LatentView(mlp_vae(), space="sample", batch_size=7).explain(X).coordinates
    other = LatentView(mlp_vae(), space="sample").explain(X).coordinates
    np.testing.assert_allclose(one, other, atol=1e-5)
    assert not np.allclose(
        one, LatentView(mlp_vae(), space="sample", seed=1).explain(X).coordinates
    )
    assert not np.allclose(one, LatentView(mlp_vae()).explain(X).coordinates)


def test_invalid_anchors_have_no_place_and_are_named() -> None:
    broken = X.copy()
    broken[3, 0, 0, 0] = np.nan
    found = LatentView(mlp_vae()).explain(broken)
    assert found.invalid.tolist() == [3]
    assert np.isnan(found.coordinates[3]).all()
    assert np.isfinite(np.delete(found.coordinates, 3, axis=0)).all()


def test_too_few_anchors_are_refused() -> None:
    with pytest.raises(AnchorError, match="at least 2 finite anchors"):
        LatentView(mlp_vae()).explain(X[:1])
    small = LatentView(mlp_vae(), "tsne", backend="sklearn").explain(X[:5])
    assert small.coordinates.shape == (5, 2)
    assert LatentView(mlp_vae()).fit(X).explain(X[:0]).coordinates.shape == (0, 2)


@pytest.fixture(scope="module")
def grouped() -> Any:
    model = mlp_vae()
    explainer = PXGen(model, threshold=MeanMax(n_samples=50, n_repeats=2)).fit()
    groups = explainer.explain(X, labels=np.arange(60) % 3)
    return groups, LatentView(model).explain(X, groups=groups)


def test_a_pxgen_explanation_gives_groups_values_and_labels(grouped: Any) -> None:
    groups, view = grouped
    np.testing.assert_array_equal(view.group, groups.group)
    np.testing.assert_array_equal(view.labels, groups.labels)
    np.testing.assert_array_equal(view.data["values"], groups.values)
    assert view.criteria == ["kld", "mse"]
    by_hand = LatentView(mlp_vae()).explain(
        X, labels=groups.labels, groups=groups.group.tolist(), values={"kld": groups.values[:, 0]}
    )
    np.testing.assert_array_equal(by_hand.group, groups.group)
    assert by_hand.criteria == ["kld"]
    assert len(json.dumps(by_hand.meta["params"])) < 2_000


def test_what_is_not_one_per_anchor_is_refused() -> None:
    view = LatentView(mlp_vae())
    with pytest.raises(ParameterError, match="groups must be of shape"):
        view.explain(X, groups=["HIHE"])
    with pytest.raises(ParameterError, match=r"values\['kld'\] must be of shape"):
        view.explain(X, values={"kld": [1.0]})
    with pytest.raises(ParameterError, match="values must be a mapping"):
        view.explain(X, values=3)


@pytest.mark.parametrize("colour_by", ["group", "label", "kld", "mse"])
def test_the_figure_is_the_same_for_both_forms(grouped: Any, colour_by: str) -> None:
    import matplotlib.pyplot as plt
    from alibi.api.interfaces import Explanation

    _, view = grouped
    drawn = []
    for form in (view, Explanation.from_json(view.to_json())):
        figure, given = plt.subplots()
        (ax,) = plot_views(form, colour_by, ax=given)
        assert ax is given
        figure.canvas.draw()
        drawn.append([np.asarray(c.get_offsets()) for c in ax.collections])
        drawn.append([t.get_text() for t in figure.findobj(mpl.text.Text)])
        plt.close(figure)
    assert sum(len(offsets) for offsets in drawn[0]) == 60
    assert all(np.allclose(a, b) for a, b in zip(drawn[0], drawn[2], strict=True))
    assert drawn[1] == drawn[3]
    assert any("Trustworthiness" in text for text in drawn[1])


def test_the_figure_survives_odd_views() -> None:
    from types import SimpleNamespace

    import matplotlib.pyplot as plt

    base = {"coordinates": np.empty((0, 2)), "method": "umap", "trustworthiness": None}
    many = {
        **base,
        "coordinates": RNG.random((50, 3)),
        "labels": [f"$\n{i}" for i in range(50)],
        "criteria": ["kld"],
        "values": np.full((50, 1), np.nan),
    }
    holes = {**many, "coordinates": np.full((50, 2), np.nan), "group": ["invalid"] * 50}
    for data, colour_by in (
        (base, "group"),
        (many, "label"),
        (many, "kld"),
        (many, "group"),
        (holes, "group"),
    ):
        (ax,) = plot_views(SimpleNamespace(data=data), colour_by)
        ax.figure.canvas.draw()
        plt.close(ax.figure)
    with pytest.raises(ParameterError, match="colour_by must be one of 'group', 'label', 'kld'"):
        plot_views(SimpleNamespace(data=many), "mse")
    with pytest.raises(ParameterError, match="explanation must be a view of LatentView"):
        plot_views(None)


def make(predictor: Any, **options: Any) -> LatentView:
    return LatentView(predictor, **options)


def make_other() -> Any:
    return conv_vae(seed=1)


def make_grown() -> Any:
    return conv_vae(hidden=96)


def module_of(predictor: Any) -> Any:
    return predictor._evaluating.modules[0]


def make_tsne(predictor: Any, **options: Any) -> LatentView:
    return LatentView(predictor, "tsne", backend="sklearn", **options)


CASES = [
    ExplainerCase(
        "LatentView",
        make=make,
        make_predictor=conv_vae,
        X=X[:20],
        make_other=make_other,
        make_grown=make_grown,
        module=module_of,
        data_keys=frozenset(DEFAULT_DATA_VIEW) | {"evidence"},
        explain_kwargs=lambda anchors: {"labels": [str(i % 3) for i in range(len(anchors))]},
        X_invalid=np.where(np.arange(20)[:, None, None, None] == 3, np.nan, X[:20]),
        rtol=1e-3,
        atol=1e-4,
    ),
]


@parametrize_with_checks(CASES, explainer_checks())
def test_views_keep_the_contract(subject: Any, check: Any) -> None:
    check(subject)


def test_principal_components_do_not_depend_on_where_the_data_lie() -> None:
    rows = np.random.default_rng(0).normal(size=(60, 5)) * [3.0, 2.0, 1.0, 0.5, 0.1]
    near, far = (PCAMap(rows + offset, 2, 0) for offset in (0.0, 1e6))
    _, singular, axes = np.linalg.svd(rows - rows.mean(axis=0))
    for one in (near, far):
        np.testing.assert_allclose(np.abs(one.loadings), np.abs(axes[:2]), atol=1e-6)
        share = singular[:2] ** 2 / (singular**2).sum()
        np.testing.assert_allclose(one.ratio, share, rtol=1e-6)
    np.testing.assert_allclose(far.coordinates, near.coordinates, atol=1e-6)
    np.testing.assert_allclose(far.transform(rows + 1e6), near.coordinates, atol=1e-6)
