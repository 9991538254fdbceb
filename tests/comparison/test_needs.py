"""Training data, explainer and time: a method gets what it needs, or is a row that says so."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pxgen_plugins import PXGen, compare
from pxgen_plugins.adapters import ProtoDash, VAETracIn
from pxgen_plugins.adapters.base import Adapter
from pxgen_plugins.comparison import cost
from pxgen_plugins.comparison.obstacles import LONGEST, Obstacle, expect_time
from pxgen_plugins.comparison.preparation import has_gradient, pass_seconds
from pxgen_plugins.models import VAE, LanguageModel
from pxgen_plugins.thresholds import MeanMax, Quantile
from pxgen_plugins.utils.errors import ParameterError
from tests.adapters.nets import mlp_vae

RNG = np.random.default_rng(0)
TRAIN = (RNG.random((12, 1, 8, 8)) > 0.5).astype(np.float32)  # rough images
SHIRTS = np.linspace(0.2, 0.8, 20, dtype=np.float32)[:, None, None, None] * np.ones(
    (1, 1, 8, 8), np.float32
)  # and flat ones, which the model was not trained on
INFLUENCE = ["vae_tracin", "alibi_gradient_similarity"]


@pytest.fixture(scope="module")
def model():
    return mlp_vae()


def pxgen(model):
    return PXGen(model, "kld", "mse", threshold=MeanMax(50, 2), n_representatives=3)


def rows(comparison):
    return {row["method"]: row for row in comparison.table()}


def test_anchors_never_become_training_samples(model):
    pytest.importorskip("alibi")
    methods = [*INFLUENCE, ("unfitted", VAETracIn(model))]
    found = compare(model, SHIRTS, None, methods, pxgen(model), quality=False)
    for name in [*INFLUENCE, "unfitted"]:
        row = rows(found)[name]
        assert (row["status"], row["error"]) == ("cannot", None)
        assert "training=" in row["reason"]
    assert not any("helpful" in label for label in found.pictures)


def test_given_training_samples_are_what_helped_and_find_their_copies(model):
    pytest.importorskip("alibi")
    found = compare(model, SHIRTS, None, INFLUENCE, pxgen(model), training=TRAIN)
    assert {rows(found)[name]["status"] for name in INFLUENCE} == {"ran"}
    for name in INFLUENCE:
        assert rows(found)[name]["quality"]["copy_rank"] > 0.9
        shown = found.pictures[f"{name}, most helpful"]
        assert all(any(np.array_equal(one, t) for t in TRAIN) for one in shown)
    assert "checkpoints=" in rows(found)["vae_tracin"]["note"]
    state = {k: v.clone() for k, v in model.modules[0].state_dict().items()}
    points = [(state, 0.5)]
    stated = compare(
        model, SHIRTS, None, ["vae_tracin"], pxgen(model), training=TRAIN, checkpoints=points
    )
    assert stated.outcomes[1].explanation.checkpoints == [{"learning_rate": 0.5, "weight": 1.0}]
    assert rows(stated)["vae_tracin"]["note"] == ""


def test_methods_that_take_an_explainer_get_the_one_of_the_groups(model):
    pytest.importorskip("alibi")
    explainer = pxgen(model)
    found = compare(model, SHIRTS, None, ["latent_contrast"], explainer, quality=False)
    result = found.outcomes[1].explanation
    assert result.start_decision.tolist() == found.groups.group[found.indices].tolist()
    names = ["group_anchor_image", "latent_contrast"]
    anchored = compare(model, SHIRTS, None, names, explainer, quality=False, n_anchors=1)
    calibrated = explainer.calibration.thresholds.tolist()
    assert list(anchored.outcomes[1].explanation.thresholds.values()) == calibrated
    alone = compare(model, SHIRTS, None, names, found.groups, quality=False, n_anchors=1)
    assert all("explainer=" in rows(alone)[name]["reason"] for name in names)
    given = compare(
        model, SHIRTS, None, names, found.groups, explainer=explainer, quality=False, n_anchors=1
    )
    assert {rows(given)[name]["status"] for name in names} == {"ran"}
    with pytest.raises(ParameterError, match="explainer must be a fitted PXGen"):
        compare(model, SHIRTS, None, names, found.groups, explainer=pxgen(mlp_vae(1)))


def test_prototypes_of_other_data_are_no_anchors(model):
    found = compare(model, SHIRTS, None, [ProtoDash(model, 3).fit(TRAIN)], pxgen(model))
    assert rows(found)["ProtoDash"]["status"] == "ran"
    assert rows(found)["ProtoDash"]["quality"] == {}
    assert "ProtoDash" not in found.pictures


class Clock:
    """A clock that moves only when work is done."""

    now = 0.0

    def __call__(self):
        return self.now

    def later(self, step):
        self.now += step
        return self.now


@dataclass(repr=False, eq=False)
class Work(Adapter):
    """Takes 7 seconds of a fake clock each time it explains."""

    evidence, access = "attribution", "black box"
    defaults = MappingProxyType({"attributions": None})
    clock: Any = None

    def _explain(self, X):
        self.clock.now += 7.0
        return {"attributions": np.ones(np.asarray(X).shape)}

    def model_calls(self, n):
        return {"decode": n}


def test_the_rows_add_up_to_the_wall_time(model, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(cost, "clock", clock)
    encode = type(model).encode

    def slow_encode(self, x):
        clock.now += 0.1
        return encode(self, x)

    monkeypatch.setattr(type(model), "encode", slow_encode)
    methods = {"one": Work(model, clock=clock), "two": Work(model, clock=clock)}
    found = compare(model, SHIRTS, None, methods, pxgen(model))
    table = rows(found)
    assert table["one"]["seconds"] == 7.0
    assert table["one"]["quality_seconds"] >= 3 * 7.0  # again, another seed, noise
    spent = sum((row["seconds"] or 0) + (row["quality_seconds"] or 0) for row in found.table())
    assert found.seconds > 40
    assert 0.95 * found.seconds <= spent <= found.seconds + 1e-9
    assert table["shared work"]["seconds"] > 0


def test_what_takes_minutes_is_named_first(model):
    costs = SimpleNamespace(pass_seconds={"decode": 2 * LONGEST})
    with pytest.raises(Obstacle, match=r"about 4 minutes .* name it in methods="):
        expect_time(Work(model, clock=None), costs, 1)
    assert expect_time(Work(model, clock=None), costs, 0) is None


def test_what_is_left_out_does_not_hang_on_the_clock(model, monkeypatch):
    """Costs are the operations that torch makes; what computes elsewhere is timed."""
    from torch.utils.flop_counter import FlopCounterMode

    inputs = SHIRTS[:4]
    tables = []
    for step in (0.0, 500.0):
        clock = Clock()
        monkeypatch.setattr(cost, "clock", lambda clock=clock, step=step: clock.later(step))
        tables.append(pass_seconds(model, "mse", inputs, 0))
    assert tables[0] == tables[1]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.decode(torch.zeros(4, *model.latent_shape))
    assert tables[0]["decode"] == pytest.approx(counter.get_total_flops() / 4 / 2e10 + 3e-5)
    assert has_gradient("mse", model, inputs, 0)
    elsewhere = VAE(
        encode=lambda x: (x.reshape(len(x), -1)[:, :2],) * 2, latent_shape=(2,),
        decode=lambda z: np.tile(np.asarray(z)[:, :1, None, None], (1, 1, 8, 8)), modules=(),
        sample_shape=(1, 8, 8), data_range=None, check=False,
    )  # fmt: skip
    assert pass_seconds(elsewhere, "mse", inputs, 0)["decode"] == 500.0 / 4


@pytest.mark.parametrize("library", ["captum", "lime", "shap", "alibi"])
def test_a_missing_package_is_a_reason_with_the_line_that_installs_it(model, monkeypatch, library):
    import importlib
    import sys

    real = importlib.util.find_spec
    monkeypatch.setattr(
        "pxgen_plugins.comparison.obstacles.find_spec",
        lambda name: None if name == library else real(name),
    )
    monkeypatch.setitem(sys.modules, library, None)
    name = {"captum": "saliency", "lime": "latent_lime", "shap": "latent_shap"}.get(
        library, "protoselect"
    )
    found = compare(model, SHIRTS, None, [name], pxgen(model), quality=False)
    assert rows(found)[name]["status"] == "cannot"
    assert f"{library} must be installed" in rows(found)[name]["reason"]
    assert "pip install" in rows(found)[name]["reason"]
    if library == "captum":
        default = compare(model, SHIRTS, groups=pxgen(model), quality=False)
        assert {row["status"] for row in default.table()} == {"ran"}
        assert "gradient_shap" in rows(default)


def test_pytorch_is_left_as_it_was(model):
    state = torch.get_rng_state()
    compare(model, SHIRTS, groups=pxgen(model), quality=False)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_comparison_without_another_method_says_so():
    model = LanguageModel(
        log_probs=lambda texts: [[-1.0] * len(text) for text in texts],
        generate=lambda prompts, counts: ["a" * count for count in counts],
        sample=lambda n, seed: ["ab" * 4] * n,
        modules=(),
        max_chars=12,
    )
    with pytest.warns(UserWarning, match=r"no other method is run by default.*embed="):
        found = compare(model, ["abab", "bbbb"], groups=PXGen(model, threshold=Quantile(0.9, 9, 2)))
    assert [row["method"] for row in found.table()] == ["PXGen", "shared work"]
