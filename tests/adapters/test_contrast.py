"""LatentContrast against the solved convex problem, PXGen's own groups, and its definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

from pxgen_plugins import PXGen
from pxgen_plugins.adapters.base import NotFittedError
from pxgen_plugins.adapters.latent._boundary import ClassBorder, GroupBorder, parse_goal
from pxgen_plugins.adapters.latent._elastic_net import Settings, search
from pxgen_plugins.adapters.latent.contrast import DEFAULT_DATA_CONTRAST, LatentContrast
from pxgen_plugins.criteria import Batch
from pxgen_plugins.criteria import make as make_criterion
from pxgen_plugins.groups import assign
from pxgen_plugins.models import VAE
from pxgen_plugins.testing import ExplainerCase, explainer_checks, parametrize_with_checks
from pxgen_plugins.thresholds import MeanMax
from pxgen_plugins.utils.errors import ModelError, ParameterError

from .nets import conv_vae, mlp_vae

RNG = np.random.default_rng(0)
X = RNG.random((6, 1, 8, 8))
GENERATOR = torch.Generator().manual_seed(0)
READ = torch.randn(64, 3, generator=GENERATOR)


def classifier(images: Tensor) -> Tensor:
    return (images.flatten(1) - 0.5) @ READ


def groups_at(model: Any, z: np.ndarray, thresholds: list[float]) -> np.ndarray:
    """Groups of the anchors X with the posterior mean at z, by hand."""
    x = torch.tensor(X, dtype=torch.float32)
    with torch.no_grad():
        log_var = model.encode(x)[1]
        code = torch.tensor(z)
        kld = 0.5 * (code**2 + log_var.exp() - 1 - log_var).sum(1)
        mse = ((x - model.decode(code)) ** 2).flatten(1).mean(1)
    values = torch.stack([kld, mse], 1).double().numpy()
    return assign(values, np.array(thresholds), ["intrinsic", "extrinsic"])


def optimum(slope: np.ndarray, distance: float, beta: float) -> float:
    """The least beta |d|_1 + |d|^2 with slope . d >= distance, split into positive parts."""
    d = len(slope)
    both = np.concatenate([slope, -slope])
    found = minimize(
        lambda v: beta * v.sum() + ((v[:d] - v[d:]) ** 2).sum(),
        np.abs(both) * distance / (both @ both) * 2,
        bounds=[(0, None)] * (2 * d),
        constraints={"type": "ineq", "fun": lambda v: both @ v - distance},
        method="SLSQP",
    )
    return float(found.fun)


@pytest.mark.parametrize("beta", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("distance", [0.2, 1.5])
def test_the_search_nearly_solves_the_convex_problem(beta: float, distance: float) -> None:
    slope = np.array([1.0, -0.6, 0.1, 0.3])
    a = torch.tensor(slope, dtype=torch.float64)
    constants = torch.tensor([1.0, 3.0, 10.0, 30.0], dtype=torch.float64)
    found = search(lambda delta: distance - delta @ a, constants, 4, Settings(beta, 0.0, 400, 0.02))
    best = float(found.cost.min())
    exact = optimum(slope, distance, beta)
    assert exact * (1 - 1e-4) <= best <= exact * 1.12


def test_more_beta_is_sparser() -> None:
    spread = []
    for beta in (0.0, 5.0):
        contrast = LatentContrast(mlp_vae(), classifier=classifier, beta=beta)
        found = contrast.explain(X)
        assert found.success.all()
        spread.append(found.sparsity.mean())
    assert spread[1] < spread[0] == 4.0


@pytest.mark.parametrize("make_model", [mlp_vae, conv_vae])
def test_a_negative_changes_the_classifiers_decision(make_model: Any) -> None:
    model = make_model()
    found = LatentContrast(model, classifier=classifier).explain(X)
    with torch.no_grad():
        start, end = (
            classifier(model.decode(torch.tensor(np.asarray(found.data[key])))).argmax(1).numpy()
            for key in ("start", "end")
        )
    assert found.start_decision.tolist() == [str(one) for one in start]
    assert found.end_decision.tolist() == [str(one) for one in end]
    np.testing.assert_array_equal(found.success, start != end)
    assert found.success.any()
    delta = np.asarray(found.end) - np.asarray(found.start)
    np.testing.assert_array_equal(found.sparsity[found.success], (delta != 0).sum(1)[found.success])
    lengths = np.linalg.norm(delta, axis=1)
    np.testing.assert_allclose(found.distance[found.success], lengths[found.success], rtol=1e-4)
    path = np.asarray(found.examples["path"])
    assert path.shape == (len(X), 5, 1, 8, 8)
    with torch.no_grad():
        ends = model.decode(torch.tensor(np.asarray(found.end))).numpy()
    np.testing.assert_allclose(path[:, -1], ends, atol=1e-6)


def test_the_batch_size_does_not_matter_also_when_one_problem_is_left_over() -> None:
    whole = LatentContrast(mlp_vae(), classifier=classifier, n_steps=20).explain(X)
    parts = LatentContrast(mlp_vae(), classifier=classifier, n_steps=20, batch_size=17).explain(X)
    np.testing.assert_allclose(parts.end, whole.end, atol=1e-5)


def test_a_wanted_class_is_reached_or_none_is_found() -> None:
    found = LatentContrast(mlp_vae(), goal=1, classifier=classifier).explain(X)
    assert set(found.end_decision[found.success].tolist()) <= {"1"}
    already = found.start_decision == "1"
    assert (found.status[already] == "already").all()
    assert (found.sparsity[already] == 0).all()


def test_none_found_is_a_result() -> None:
    def stubborn(images: Tensor) -> Tensor:
        return torch.stack([images.flatten(1).sum(1) * 0 + 1, images.flatten(1).sum(1) * 0], 1)

    found = LatentContrast(mlp_vae(), classifier=stubborn, n_steps=5).explain(X)
    assert found.status.tolist() == ["none"] * 6
    assert found.success_rate == 0.0
    assert np.isnan(found.cost).all()
    np.testing.assert_array_equal(found.start, found.end)
    constant = LatentContrast(
        mlp_vae(), classifier=lambda images: torch.tensor([[1.0, 0.0]] * len(images)), n_steps=2
    )
    assert constant.explain(X).status.tolist() == ["none"] * 6


@pytest.mark.parametrize("make_model", [mlp_vae, conv_vae])
def test_a_negative_crosses_the_border_of_a_group(make_model: Any) -> None:
    model = make_model()
    x = torch.tensor(X, dtype=torch.float32)
    with torch.no_grad():
        mean = model.encode(x)[0].numpy()
        mse = ((x - model.reconstruct(x)) ** 2).flatten(1).mean(1).numpy()
    thresholds = [1e6, float(mse.min() * 0.98)]  # all anchors are HILE, HIHE is a little away
    assert set(groups_at(model, mean, thresholds)) == {"HILE"}
    contrast = LatentContrast(model, dict(zip(["kld", "mse"], thresholds, strict=True)), "HIHE")
    found = contrast.explain(X)
    assert found.start_decision.tolist() == ["HILE"] * 6
    assert "found" in found.status
    ends = groups_at(model, np.asarray(found.end), thresholds)
    assert ends.tolist() == found.end_decision.tolist()
    np.testing.assert_array_equal(ends == "HIHE", found.success)
    np.testing.assert_array_equal(found.end_violation < 0, found.success)


def test_thresholds_of_a_fitted_pxgen_are_used() -> None:
    model = mlp_vae()
    explainer = PXGen(model, threshold=MeanMax(n_samples=50, n_repeats=2)).fit()
    found = LatentContrast(model, explainer, "LILE").explain(X)
    assert found.start_decision.tolist() == explainer.explain(X).group.tolist()
    assert set(found.end_decision[found.success].tolist()) == {"LILE"}
    calibrated = explainer.calibration.thresholds.tolist()
    assert list(found.meta["params"]["boundary"]["thresholds"].values()) == calibrated
    with pytest.raises(ParameterError, match="one that is not fitted"):
        LatentContrast(model, PXGen(model))


def test_without_a_boundary_fit_calibrates_one() -> None:
    contrast = LatentContrast(mlp_vae(), n_steps=3)
    with pytest.raises(NotFittedError):
        contrast.explain(X)
    assert contrast.fit() is contrast
    assert len(contrast.explain(X).status) == 6
    contrast.reset_predictor(mlp_vae(1))
    with pytest.raises(NotFittedError):
        contrast.explain(X)


def test_half_a_group_leaves_the_other_half_free() -> None:
    assert parse_goal("LE", ["intrinsic", "extrinsic"]) == [0, -1]
    found = LatentContrast(mlp_vae(), {"mse": 0.2}, "LE").explain(X)
    assert set(found.end_decision[found.success].tolist()) == {"LE"}
    for goal in ("", "HXHE", "HI", None, 3):
        with pytest.raises(ParameterError, match="goal must be a group"):
            parse_goal(goal, ["extrinsic"])


@pytest.mark.parametrize("rule", ["all", "any", "mean"])
def test_borders_decide_as_pxgen_groups(rule: str) -> None:
    names = ["kld", "latent_norm", "mse", "mae"]
    from pxgen_plugins.criteria import names as registered

    names = [name for name in names if name in registered()]
    criteria = [make_criterion(name) for name in names]
    thresholds = np.array([2.0, 1.5, 0.12, 0.3])[: len(names)]
    if "latent_norm" not in names:
        thresholds = np.array([2.0, 0.12, 0.3])
    scale = np.linspace(0.5, 2.0, len(names))
    model = mlp_vae()
    x = torch.tensor(RNG.random((40, 1, 8, 8)), dtype=torch.float32)
    border = GroupBorder(criteria, thresholds, "HIHE", rule, scale)
    with torch.no_grad():
        mean, log_var = model.encode(x)
        batch = Batch(model, x, posterior=(mean, log_var))
        scores = border.scores(batch)
        values = np.stack([criterion(batch).double().numpy() for criterion in criteria], axis=1)
    expected = assign(values, thresholds, [c.kind for c in criteria], rule, scale)
    assert [border.name(int(one)) for one in border.decide(scores)] == expected.tolist()
    inside = border.violation(scores, border.goals(border.decide(scores), keep=False)) < 0
    np.testing.assert_array_equal(inside.numpy(), expected == "HIHE")


def test_violations_of_classes_are_margins() -> None:
    border = ClassBorder(classifier, None)
    scores = torch.tensor([[3.0, 1.0, 0.0], [0.0, 2.0, 5.0]])
    decisions = border.decide(scores)
    away = border.violation(scores, border.goals(decisions, keep=False))
    kept = border.violation(scores, border.goals(decisions, keep=True))
    assert away.tolist() == [2.0, 3.0]
    assert kept.tolist() == [-2.0, -3.0]
    there = ClassBorder(classifier, 1).goals(decisions, keep=False)
    assert border.violation(scores, there).tolist() == [2.0, 3.0]


@pytest.mark.parametrize("make_model", [mlp_vae, conv_vae])
def test_a_positive_is_a_part_of_the_code_that_keeps_the_decision(make_model: Any) -> None:
    model = make_model()
    found = LatentContrast(model, classifier=classifier, pertinent="positive").explain(X)
    assert found.success.all()
    assert found.start_violation.shape == (6,)
    with torch.no_grad():
        code = model.encode(torch.tensor(X, dtype=torch.float32))[0]
        own = classifier(model.decode(code)).argmax(1).numpy()
    assert found.end_decision.tolist() == [str(one) for one in own]
    part = np.asarray(found.end) / code.numpy()  # of the way from the prior's mean, per dimension
    assert (part >= 0).all()
    assert (part <= 1 + 1e-6).all()
    empty = found.start_decision == found.end_decision
    assert (found.sparsity[empty] == 0).all()
    assert (found.sparsity[~empty] > 0).all()


def test_a_baseline_can_be_the_mean_of_the_data_or_a_code() -> None:
    model = mlp_vae()
    with torch.no_grad():
        mean = model.encode(torch.tensor(X, dtype=torch.float32))[0].double().mean(0).numpy()
    options: dict[str, Any] = {"classifier": classifier, "pertinent": "positive", "n_steps": 20}
    fitted = LatentContrast(model, baseline="mean", **options)
    with pytest.raises(NotFittedError):
        fitted.explain(X)
    found = fitted.fit(X).explain(X)
    by_hand = LatentContrast(model, baseline=mean.tolist(), **options).explain(X)
    np.testing.assert_allclose(found.end, by_hand.end, atol=1e-6)
    np.testing.assert_allclose(found.start[0], mean, rtol=1e-5)
    with pytest.raises(ParameterError, match="of 4 numbers"):
        LatentContrast(model, baseline=[0.0], **options).explain(X)


def test_invalid_anchors_are_named_and_the_others_untouched() -> None:
    broken = X.copy()
    broken[2, 0, 0, 0] = np.nan
    contrast = LatentContrast(mlp_vae(), classifier=classifier)
    found, whole = contrast.explain(broken), contrast.explain(X)
    assert found.status[2] == "invalid"
    assert not found.success[2]
    assert np.isnan(found.end[2]).all()
    keep = [0, 1, 3, 4, 5]
    np.testing.assert_allclose(found.end[keep], whole.end[keep], atol=1e-5)


def test_a_classifier_in_training_mode_is_left_as_it_is(tmp_path: Any) -> None:
    pytest.importorskip("alibi")
    from alibi.saving import load_explainer, save_explainer

    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Dropout(0.5), nn.Linear(64, 2))
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    contrast = LatentContrast(mlp_vae(), classifier=net, n_steps=5)
    contrast.explain(X)
    assert net.training
    assert all(part.training for part in net.modules())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(torch.equal(before[name], one) for name, one in net.state_dict().items())
    save_explainer(contrast, tmp_path)
    loaded = load_explainer(tmp_path, mlp_vae())
    with pytest.raises(ParameterError, match="classifier must be set"):
        loaded.explain(X)
    loaded.classifier = net
    np.testing.assert_allclose(loaded.explain(X).end, contrast.explain(X).end, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pertinent": "neutral"}, "pertinent must be one of"),
        (
            {"boundary": {"mse": 1.0}, "classifier": classifier},
            "classifier must be callable and al",
        ),
        ({"boundary": 3}, "boundary must be a fitted PXGen or a mapping"),
        ({"boundary": {"msee": 1.0}}, "Did you mean 'mse'"),
        ({"boundary": {"mse": "low"}}, r"boundary\['mse'\] must be a finite number"),
        ({"goal": "HXHE"}, "goal must be a group"),
        ({"classifier": classifier, "goal": "HIHE"}, "goal must be an integer"),
        ({"constants": []}, "constants must be a list of numbers"),
        ({"constants": [0.0]}, "constants must be a finite number > 0"),
        ({"beta": -1.0}, "beta must be a finite number >= 0"),
        ({"baseline": "zero"}, "baseline must be one of 'prior', 'mean'"),
    ],
)
def test_wrong_arguments_are_told_apart(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        LatentContrast(mlp_vae(), **options)


def test_a_classifier_must_return_logits() -> None:
    for wrong in (lambda x: x.flatten(1).sum(1), lambda x: x.flatten(1)[:, :1], lambda x: None):
        with pytest.raises(ModelError, match="the classifier's result must be of shape"):
            LatentContrast(mlp_vae(), classifier=wrong).explain(X)
    with pytest.raises(ParameterError, match="goal must be below 3"):
        LatentContrast(mlp_vae(), goal=3, classifier=classifier).explain(X)


def make(predictor: Any, **options: Any) -> LatentContrast:
    boundary = {"kld": 3.0, "mse": 0.1}
    return LatentContrast(predictor, boundary, "LIHE", n_steps=10, constants=(3.0,), **options)


def make_other() -> VAE:
    return conv_vae(seed=1)


def make_grown() -> VAE:
    return conv_vae(hidden=96)


def module_of(predictor: Any) -> Any:
    return predictor._evaluating.modules[0]


CASES = [
    ExplainerCase(
        "LatentContrast",
        make=make,
        make_predictor=conv_vae,
        X=X,
        make_other=make_other,
        make_grown=make_grown,
        module=module_of,
        data_keys=frozenset(DEFAULT_DATA_CONTRAST) | {"evidence"},
        not_in_params=frozenset({"classifier"}),
        X_invalid=np.where(np.arange(6)[:, None, None, None] == 3, np.nan, X),
        many=120,
        rtol=1e-2,
        atol=1e-3,
    )
]


@parametrize_with_checks(CASES, explainer_checks())
def test_contrasts_keep_the_contract(subject: Any, check: Any) -> None:
    check(subject)
