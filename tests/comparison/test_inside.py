"""Directions and units in a comparison: on its target, with their controls, or with a reason."""

from __future__ import annotations

import numpy as np
import pytest

from pxgen_plugins import PXGen, compare
from pxgen_plugins.adapters import (
    AssessorDirection,
    CrossAttentionLocalisation,
    CrossAttentionMaps,
    LatentDescription,
    PredictableDirections,
)
from pxgen_plugins.adapters.base import REGISTRY
from pxgen_plugins.comparison.methods import Method
from pxgen_plugins.thresholds import MeanMax
from tests.adapters.nets import conv_vae
from tests.adapters.planted import Renderer, Truthful
from tests.adapters.prompted import Prompted, ink

RNG = np.random.default_rng(0)
X = RNG.random((30, 1, 8, 8), dtype=np.float32)
NAMES = [
    name for name in REGISTRY.names() if REGISTRY.get(name).evidence in ("directions", "units")
]


@pytest.fixture(scope="module")
def model():
    return conv_vae()


def run(model, methods, labels=None, **options):
    explainer = PXGen(model, threshold=MeanMax(50, 2))
    found = compare(model, X, labels, methods, explainer, **options)
    return {row["method"]: row for row in found.table()}, found


def test_those_that_a_name_makes_run_on_the_target_beside_their_controls(model):
    cheap = ["activation_directions", "weight_directions", "class_directions", "unit_dissection"]
    assert set(cheap) < set(NAMES)
    labels = np.arange(30) % 2
    rows, found = run(model, [Method(name, name, chosen=True) for name in cheap], labels)
    assert {rows[name]["status"] for name in cheap} == {"ran"}
    assert all(rows[name]["repeatable"] for name in cheap)
    for name, outcome in zip(cheap, found.outcomes[1:], strict=True):
        explanation = outcome.explanation
        words = explanation.summary()
        if name == "unit_dissection":
            assert {"named_units", "largest_effect"} <= set(rows[name]["quality"])
            assert "units match a concept" in words
        else:
            measures = {"ends", "random_ends", "monotone", "random_monotone"}
            measures |= {"change_over_random"}
            assert measures <= set(rows[name]["quality"])
            assert explanation.assessors == ["mse"]
            assert "random directions" in words
        assert "<img" in explanation._repr_html_()
    assert found.outcomes[3].explanation.labels == ["0", "1"]
    found.plot()
    found.to_json()


def test_what_is_missing_is_a_reason(model):
    rows, _ = run(model, ["class_directions"], quality=False)
    assert rows["class_directions"]["status"] == "cannot"
    assert "call fit(X, labels)" in rows["class_directions"]["reason"]


def test_a_describer_is_needed_and_then_paid_once():
    names = ["latent_description", "group_description"]
    truthful = Truthful()
    renderer = Renderer()
    instances = renderer.sample(30, 0).numpy()

    class Embedding(Renderer):
        capabilities = Renderer.capabilities | {"embed", "reconstruct"}

        def embed(self, x):
            return x.flatten(1)[:, :5]

        def reconstruct(self, x):
            return x

    model = Embedding()
    explainer = PXGen(model, "latent_neighbours", "mse", threshold=MeanMax(50, 2))
    adapter = LatentDescription(model, truthful)
    found = compare(model, instances, None, [*names, adapter], explainer)
    rows = {row["method"]: row for row in found.table()}
    for name in names:
        assert "pass " in rows[name]["reason"]
        assert "describe=" in rows[name]["reason"]
    row = rows["LatentDescription"]
    assert row["status"] == "ran"
    measures = {"match_rate": 1.0, "chance": 0.25, "confirmed": 0.8}
    assert row["quality"] == {**measures, "calls": truthful.calls, "images": 161}
    assert row["repeatable"] is None
    assert truthful.calls == found.outcomes[-1].explanation.n_calls
    found.plot()
    found.to_json()


def test_costs_are_told_before_they_are_spent(model):
    """About what a counter of the decoder's calls says."""
    for cls, options in (
        (AssessorDirection, {"assessor": "mse", "n_steps": 5, "n_codes": 40, "n_random": 3}),
        (PredictableDirections, {"n_directions": 3, "n_train": 5, "n_codes": 40, "n_random": 3}),
        *((REGISTRY.get(name), {**REGISTRY.get(name).example, "n_codes": 40})
          for name in ("activation_directions", "weight_directions")),
    ):  # fmt: skip
        adapter = cls(model, **{**options, "realism": None})
        counted = 0
        decode = model.decode

        def count(z, decode=decode):
            nonlocal counted
            counted += len(z)
            return decode(z)

        model.decode = count
        try:
            adapter.explain(None)
        finally:
            del model.decode
        stated = adapter.model_calls(1_000)["decode"]
        assert stated / 4 < counted < 2.5 * stated, (cls.__name__, counted, stated)


def test_a_localisation_is_a_row_beside_its_control():
    class Embedding(Prompted):
        capabilities = Prompted.capabilities | {"embed", "reconstruct"}
        latent_shape = (4,)

        def embed(self, x):
            return x.flatten(1)[:, :4]

        def reconstruct(self, x):
            return x

    prompted = Embedding(seed=2, open_layers=["mid.attn2"])
    explainer = PXGen(prompted, "latent_neighbours", "mse", threshold=MeanMax(50, 2))
    where = CrossAttentionLocalisation(
        prompted, "thick", "thin", ink, prompts=["a thick seven"], window=1, n_seeds=20
    )
    maps = CrossAttentionMaps(prompted, "a thick seven", n_seeds=2)
    instances = prompted.sample(12, 0).numpy()
    methods = [where, maps, "causal_trace"]
    found = compare(prompted, instances, None, methods, explainer)
    rows = {row["method"]: row for row in found.table()}
    row = rows["CrossAttentionLocalisation"]
    assert (row["status"], row["evidence"], row["repeatable"]) == ("ran", "localisation", True)
    assert row["quality"]["share"] == pytest.approx(1.0)
    assert "control_share" in row["quality"]
    assert set(rows["CrossAttentionMaps"]["quality"]) == {"agreement", "control_agreement"}
    assert rows["causal_trace"]["reason"].startswith("needs concept, scorer: pass CausalTrace")
    explanation = next(o.explanation for o in found.outcomes if o.label == row["method"])
    assert "100 % of the whole change of ink" in explanation.summary()
    assert "<img" in explanation._repr_html_()
    found.plot()
    found.to_json()
