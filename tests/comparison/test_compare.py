"""compare: every method a row, a failure too, on the same anchors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch

from pxgen_plugins import PXGen
from pxgen_plugins.adapters.base import Adapter
from pxgen_plugins.adapters.targets import resolve
from pxgen_plugins.comparison import compare
from pxgen_plugins.evaluation import quality
from pxgen_plugins.thresholds import MeanMax
from pxgen_plugins.utils.errors import ParameterError, PXGenWarning
from tests.adapters.nets import mlp_vae


@dataclass(repr=False, eq=False)
class Gradient(Adapter):
    """The gradient of a target; seeded noise on request, to see seeds disagree."""

    evidence, access, requires = "attribution", "gradients", frozenset({"reconstruct"})
    defaults = MappingProxyType({"attributions": None})

    target: Any = "mse"
    noise: float = 0.0

    def _explain(self, X):
        x = torch.as_tensor(np.asarray(X)).requires_grad_()
        resolve(self.target, self.predictor).value(self.predictor, x).sum().backward()
        rng = np.random.default_rng(self.seed)
        return {"attributions": x.grad.numpy() + self.noise * rng.normal(size=x.shape)}


@dataclass(repr=False, eq=False)
class FirstRows(Adapter):
    """Prototypes: the first rows."""

    evidence, access = "prototypes", "latent"
    scope = ("global",)
    defaults = MappingProxyType({"indices": None})

    k: int = 3

    def _explain(self, X):
        return {"indices": np.arange(self.k)}


class Broken(Adapter):
    """Raises."""

    evidence, access = "attribution", "gradients"

    def _explain(self, X):
        raise RuntimeError("no | idea <b>")


@pytest.fixture(scope="module")
def model():
    return mlp_vae()


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return rng.random((40, 1, 8, 8), dtype=np.float32), np.arange(40) % 3


@pytest.fixture(scope="module")
def compared(model, data):
    X, labels = data
    groups = PXGen(model, threshold=MeanMax(100, 2), n_representatives=3)
    methods = {
        "gradient": Gradient(model),
        "noisy": Gradient(model, noise=1.0),
        "first": FirstRows(model),
        "second": FirstRows(model, 4),
        "broken": Broken(model),
    }
    return compare(model, X, labels, methods, groups, n_anchors=3)


def rows(compared):
    return {row["method"]: row for row in compared.table()}


def test_there_is_a_row_per_method_and_one_for_pxgen(compared):
    names = ["PXGen", "gradient", "noisy", "first", "second", "broken", "shared work"]
    assert list(rows(compared)) == names
    assert rows(compared)["gradient"]["access"] == "gradients"
    assert rows(compared)["first"]["seconds"] >= 0


def test_one_failure_is_a_row_with_its_error(compared):
    row = rows(compared)["broken"]
    assert row["error"] == "RuntimeError: no | idea <b>"
    assert row["evidence"] is None


def test_local_methods_explain_the_chosen_anchors_and_global_ones_all(compared, data):
    outcomes = {o.label: o for o in compared.outcomes}
    assert outcomes["gradient"].explanation.attributions.shape == (3, 1, 8, 8)
    np.testing.assert_allclose(compared.anchors, data[0][compared.indices], rtol=1e-6)
    assert len(set(compared.indices.tolist())) == 3


def test_seeds_and_repeats_are_told_apart(compared):
    found = rows(compared)
    assert found["gradient"]["repeatable"] is True
    assert found["gradient"]["seed_agreement"] == 1.0
    assert found["noisy"]["repeatable"] is True
    assert found["noisy"]["seed_agreement"] < 0.9


def test_quality_is_measured_in_the_methods_own_kind(compared, data):
    X, labels = data
    found = rows(compared)
    assert {"deletion", "insertion", "max_sensitivity", "randomised_model"} <= set(
        found["gradient"]["quality"]
    )
    outcome = {o.label: o for o in compared.outcomes}["first"]
    model = mlp_vae()
    codes = model.encode(torch.from_numpy(X))[0].detach().numpy()
    direct = quality.coverage(
        codes, np.asarray(outcome.explanation.data["indices"]), labels.astype(str)
    )
    for name, value in direct.items():
        assert found["first"]["quality"][name] == pytest.approx(value, rel=1e-4)


def test_methods_of_one_kind_are_compared(compared):
    assert compared.agreement["prototypes"]["first / second"] == 0.75
    assert "gradient / noisy" in compared.agreement["attribution"]
    assert "PXGen / first" in compared.agreement["prototypes"]


def test_json_is_strict(compared):
    content = json.loads(compared.to_json(), parse_constant=pytest.fail)
    assert [row["method"] for row in content["table"]] == list(rows(compared))
    assert "gradient" in content["explanations"]


def test_markdown_and_html_escape_what_methods_say(compared):
    assert r"no \| idea <b>" in compared.to_markdown()
    assert "no | idea &lt;b&gt;" in compared.to_html()


def test_files_are_written_by_suffix(compared, tmp_path):
    for name in ("c.json", "c.md", "c.html"):
        compared.write(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 100
    with pytest.raises(ParameterError, match="path"):
        compared.write(tmp_path / "c.pdf")


def test_the_figure_shows_every_chosen_anchor(compared):
    import matplotlib as mpl

    mpl.use("Agg")
    axes = compared.plot()
    evidence = axes[-2]
    # original, reconstruction and two attributions for each of three anchors
    assert len(evidence.images) == 3 * 4
    assert len(axes[-1].images) == sum(len(p) for p in compared.pictures.values())
    axes[0].get_figure(root=True).clear()


def test_groups_can_be_an_explanation_already_made(model, data):
    X, labels = data
    explanation = PXGen(model, threshold=MeanMax(50, 2)).fit().explain(X, labels=labels)
    found = compare(model, X, labels, [Gradient(model)], explanation, quality=False)
    assert found.groups is explanation
    with pytest.raises(ParameterError, match="groups"):
        compare(model, X[:5], None, [], explanation)


@pytest.mark.parametrize("methods", ["saliency", 3])
def test_methods_must_be_several(model, data, methods):
    with pytest.raises(ParameterError, match="methods"):
        compare(model, data[0], None, methods)


def test_labels_must_differ(model, data):
    with pytest.raises(ParameterError, match="different labels"):
        compare(model, data[0], None, [Gradient(model), Gradient(model)])


def test_an_unknown_name_is_a_row_with_its_error(model, data):
    groups = PXGen(model, threshold=MeanMax(50, 2))
    found = compare(model, data[0], None, ["saliencyy"], groups)
    assert "adapter must be one of" in found.table()[1]["error"]


def test_alibis_explainers_take_part_with_arrays_or_an_input_of_their_own(model, data):
    from alibi.explainers import ALE

    X, labels = data
    codes = model.encode(torch.from_numpy(X))[0].detach().numpy()

    def norm(z):
        return np.linalg.norm(z.reshape(len(z), -1), axis=1)

    methods = [("codes", ALE(norm), codes), ("pixels", lambda: Global(model))]
    found = rows(compare(model, X, labels, methods, PXGen(model, threshold=MeanMax(50, 2))))
    assert found["codes"]["error"] is None
    assert found["codes"]["evidence"] == "effect"
    assert found["pixels"]["error"] is None


class Global:
    """A third party's explainer that knows arrays only."""

    def __init__(self, predictor):
        self.predictor = predictor
        self.meta = {"explanations": ["global"]}

    def explain(self, X):
        assert isinstance(X, np.ndarray)
        from alibi.api.interfaces import Explanation

        return Explanation(meta={"name": "Global"}, data={"mean": float("nan")})


def test_nan_in_a_third_partys_json_is_null(model, data):
    groups = PXGen(model, threshold=MeanMax(50, 2))
    found = compare(model, data[0], None, [Global(model)], groups)
    content = json.loads(found.to_json(), parse_constant=pytest.fail)
    assert content["explanations"]["Global"]["data"]["mean"] is None


class OneShot(Gradient):
    """Explains once, then raises."""

    def _explain(self, X):
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls > 1:
            raise RuntimeError("only once")
        return super()._explain(X)


def test_a_measure_that_fails_leaves_the_explanation(model, data):
    groups = PXGen(model, threshold=MeanMax(50, 2))
    found = compare(model, data[0], None, [OneShot(model)], groups)
    assert found.outcomes[1].explanation is not None
    assert "only once" in found.outcomes[1].quality["not measured"]


def test_another_model_is_refused(model, data):
    other = mlp_vae(1)
    with pytest.raises(ParameterError, match="same model"):
        compare(model, data[0], None, [], PXGen(other, threshold=MeanMax(50, 2)))
    found = compare(model, data[0], None, [Gradient(other)], PXGen(model, threshold=MeanMax(50, 2)))
    assert "the model that is compared" in found.table()[1]["error"]
    with pytest.raises(ParameterError, match="model must be a model"):
        compare(lambda x: x, data[0])


def test_invalid_anchors_stand_for_nothing(model, data):
    X = data[0].copy()
    X[5] = np.nan
    groups = PXGen(model, threshold=MeanMax(50, 2))
    with pytest.warns(PXGenWarning):
        found = compare(model, X, None, [FirstRows(model)], groups)
    assert np.isfinite(found.table()[1]["quality"]["radius"])


def test_what_pxgen_cost_is_in_its_row(compared):
    assert rows(compared)["PXGen"]["seconds"] > 0


def test_the_model_is_the_same_afterwards(model, data):
    before = {name: p.clone() for name, m in model.layers.items() for p in m.parameters()}
    groups = PXGen(model, threshold=MeanMax(50, 2))
    state = torch.get_rng_state()
    compare(model, data[0], None, [Gradient(model), Broken(model)], groups)
    assert torch.equal(torch.get_rng_state(), state)
    after = {name: p for name, m in model.layers.items() for p in m.parameters()}
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(p.grad is None for m in model.layers.values() for p in m.parameters())
