"""Concepts that are read as others: the closed form, what is restored, and what is written."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
import torch

from pxgen_plugins.adapters import CrossAttentionLocalisation
from pxgen_plugins.editing import ConceptEdit
from pxgen_plugins.editing.closed_form import ridge_update
from pxgen_plugins.editing.token_pairs import aligned, concept_states
from pxgen_plugins.host import Explanation
from pxgen_plugins.models import TextToImage
from pxgen_plugins.utils.errors import CapabilityError, ModelError, ParameterError
from tests.adapters.nets import conv_vae
from tests.adapters.prompted import LAYERS, Prompted, ink
from tests.adapters.text_models import tiny_model

EDIT = {"three": "eight"}


def weights(model):
    return {name: w.clone() for name, w in model.network.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


class TestClosedForm:
    def test_it_is_least_squares_on_the_stacked_system(self):
        rng = np.random.default_rng(0)
        for seed in range(4):
            outputs, d, n, m = 6, 5, 1 + seed, 2 * seed
            w0 = rng.normal(size=(outputs, d))
            x, to, p = (rng.normal(size=(k, d)) for k in (n, n, m))
            ridge, s = 10.0 ** rng.uniform(-2, 0), rng.uniform(0.5, 2.0)
            rows = np.concatenate([x, np.sqrt(s) * p, np.sqrt(ridge) * np.eye(d)])
            images = np.concatenate([to @ w0.T, np.sqrt(s) * p @ w0.T, np.sqrt(ridge) * w0.T])
            slow = np.linalg.lstsq(rows, images, rcond=None)[0].T
            fast = ridge_update(
                *(torch.from_numpy(part) for part in (w0, x, to, p)), ridge=ridge, preserve_weight=s
            )
            assert np.abs(fast.numpy() - slow).max() < 1e-5

    def test_it_is_the_formula_of_uce_and_without_preserved_concepts_that_of_locoedit(self):
        """As their authors write it: numerators and denominators, one term per concept."""
        generator = torch.Generator().manual_seed(0)
        w0, x, to, p = (
            torch.randn(shape, generator=generator, dtype=torch.float64)
            for shape in ((6, 5), (3, 5), (3, 5), (4, 5))
        )
        ridge = 0.5
        above, below = ridge * w0, ridge * torch.eye(5, dtype=torch.float64)
        for one, target in zip(x, to, strict=True):
            above = above + torch.outer(w0 @ target, one)
            below = below + torch.outer(one, one)
        loco = torch.linalg.inv(x.T @ x + ridge * torch.eye(5)) @ (x.T @ to @ w0.T + ridge * w0.T)
        assert torch.allclose(ridge_update(w0, x, to, ridge=ridge), loco.T)
        assert torch.allclose(ridge_update(w0, x, to, ridge=ridge), above @ torch.linalg.inv(below))
        for one in p:
            above = above + torch.outer(w0 @ one, one)
            below = below + torch.outer(one, one)
        uce = above @ torch.linalg.inv(below)
        assert torch.allclose(ridge_update(w0, x, to, p, ridge=ridge), uce)

    def test_what_is_asked_to_stay_stays_exactly_and_what_is_orthogonal_nearly(self):
        w0 = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
        axes = torch.eye(8)
        assert torch.equal(ridge_update(w0, axes[:2], axes[:2], ridge=0.1), w0.double())
        moved = ridge_update(w0, axes[:1], axes[1:2], ridge=1e-6)
        assert (moved[:, 1:] == w0.double()[:, 1:]).all()
        assert torch.allclose(moved[:, 0], w0.double()[:, 1], atol=1e-4)

    def test_tokens_are_paired_from_the_concepts_end(self):
        assert aligned([2], [2], 5, "last") == [(2, 2)]
        assert aligned([1, 2], [1], 5, "onward") == [(2, 1), (3, 2), (4, 3)]
        assert aligned([1], [1, 2], 5, "all") == [(0, 0), (1, 2), (2, 3), (3, 4)]
        assert aligned([1, 2], [1, 2], 4, "all") == [(k, k) for k in range(4)]


class TestWeights:
    def test_they_are_restored_bit_by_bit_also_after_an_exception(self):
        model = Prompted()
        before, picture = weights(model), model.sample(2, 0, "a three")
        edit = ConceptEdit(model, EDIT, templates=["a {} left"])
        assert same(weights(model), before)
        with edit.applied() as edited:
            assert edited is model
            assert {n for n, w in weights(model).items() if not torch.equal(w, before[n])} == set(
                edit.matrices
            )
            assert not torch.equal(model.sample(2, 0, "a three"), picture)
        assert same(weights(model), before)

        def fail():
            with edit.applied(), torch.no_grad():
                model.network.mid.attn2.to_k.weight.mul_(2.0)  # which is undone as well
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert same(weights(model), before)
        assert torch.equal(model.sample(2, 0, "a three"), picture)
        flags = {m.training for m in model.network.modules()}
        assert flags == {True}  # as it was built
        assert all(p.requires_grad and p.grad is None for p in model.network.parameters())

    def test_others_wait_while_an_edit_is_in_force(self):
        model = Prompted()
        plain, edit = model.sample(1, 0, "a three"), ConceptEdit(model, EDIT)
        seen = []
        with edit.applied():
            thread = threading.Thread(target=lambda: seen.append(model.sample(1, 0, "a three")))
            thread.start()
            thread.join(0.2)
            assert not seen
        thread.join(10)
        assert torch.equal(seen[0], plain)

    def test_two_edits_compose_in_order(self):
        model = Prompted()
        first = ConceptEdit(model, EDIT)
        with first.applied():
            base = weights(model)
            second = ConceptEdit(model, {"thick": "thin"})
            with second.applied():
                both = weights(model)
            assert same(weights(model), base)
        # the second starts from the first one's weights ...
        x, to = concept_states(model, "thick", "thin", ["{}"], "onward")
        for name in second.matrices:
            expected = ridge_update(base[name], x, to, ridge=0.5).float()
            assert torch.allclose(both[name], expected, atol=1e-6)
        # ... and holds there only
        with pytest.raises(ParameterError, match="those that the edit was made for"):
            second.applied().__enter__()
        with first.applied(), pytest.raises(ParameterError, match="those that the edit was made"):
            first.applied().__enter__()

    def test_edits_of_orthogonal_words_are_the_same_together_and_in_turn(self):
        model = Prompted(blocks=0)
        with torch.no_grad():
            model.text_encoder.places.weight.zero_()
            model.text_encoder.words.weight.copy_(torch.eye(9, 8))
        options = {"tokens": "last", "ridge": 0.1}
        together = ConceptEdit(model, {"three": "eight", "thick": "thin"}, **options)
        with together.applied():
            expected = weights(model)
        with ConceptEdit(model, EDIT, **options).applied():
            second = ConceptEdit(model, {"thick": "thin"}, **options)
            with second.applied():
                for name, weight in weights(model).items():
                    assert torch.allclose(weight, expected[name], atol=1e-6)

    def test_layers_are_those_of_a_localisation(self):
        model = Prompted(open_layers=["mid.attn2"], seed=2)
        found = CrossAttentionLocalisation(
            model, "thick", "thin", ink, prompts=["a thick seven"], window=1, n_seeds=20
        ).explain(None)
        assert found.layers[found.strongest] == "mid.attn2"
        for given in (found, Explanation.from_json(found.to_json()), "mid.attn2", ["mid.attn2"]):
            assert ConceptEdit(model, EDIT, layers=given).layers == ["mid.attn2"]
        edit = ConceptEdit(model, EDIT, keys=False)
        assert edit.matrices == [f"{name}.to_v.weight" for name in LAYERS]

    def test_methods_are_settings(self):
        model = Prompted()
        for method, tokens, ridge in (
            ("uce", "onward", 0.5), ("locoedit", "last", 0.01), ("time", "all", 0.1),
        ):  # fmt: skip
            edit = ConceptEdit(model, EDIT, templates=["a {} left"], method=method)
            assert (edit.settings["tokens"], edit.settings["ridge"]) == (tokens, ridge)
            x, to = concept_states(model, "three", "eight", ["a {} left"], tokens)
            name = edit.matrices[0]
            before = weights(model)[name]
            with edit.applied():
                expected = ridge_update(before, x, to, ridge=ridge).float()
                assert torch.equal(weights(model)[name], expected)

    def test_mistakes_are_named(self):
        model, table = Prompted(), conv_vae()
        for build, error, words in (
            (lambda: ConceptEdit(table, EDIT), CapabilityError, "prompt"),
            (lambda: ConceptEdit(model, {}), ParameterError, "mapping"),
            (lambda: ConceptEdit(model, {"three": 8}), ParameterError, "mapping"),
            (lambda: ConceptEdit(model, {"three": "three"}), ParameterError, "same states"),
            (lambda: ConceptEdit(model, EDIT, preserve="three"), ParameterError, "other than"),
            (lambda: ConceptEdit(model, EDIT, templates=["a"]), ParameterError, "one {}"),
            (lambda: ConceptEdit(model, EDIT, keys=False, values=False), ParameterError, "False"),
            (lambda: ConceptEdit(model, EDIT, ridge=0), ParameterError, "> 0"),
            (lambda: ConceptEdit(model, EDIT, layers="mid"), ParameterError, "mid.attn2"),
        ):
            with pytest.raises(error, match=words):
                build()
        model.network.mid.attn2.to_k = torch.nn.Sequential(model.network.mid.attn2.to_k)
        with pytest.raises(ModelError, match=r"mid\.attn2: to_k must be a plain linear"):
            ConceptEdit(model, EDIT)


class TestCopies:
    def test_a_copy_is_the_model_with_the_edit(self):
        for model in (Prompted(), tiny_model()):
            before, edit = weights(model), ConceptEdit(model, EDIT)
            with edit.applied():
                expected = model.sample(2, 0, prompt="a three")
            copied = edit.copy()
            assert torch.equal(copied.sample(2, 0, prompt="a three"), expected)
            assert same(weights(model), before)
            assert copied.network is not model.network

    def test_a_model_of_functions_that_hold_its_network_is_not_copied(self):
        model = tiny_model()
        unet, table = model.network, model.modules[1]
        held = TextToImage(
            lambda x, t, states: unet(x, t, states), lambda prompts: table(prompts),
            modules=[unet, table], sample_shape=(1, 8, 8), steps=2, offsets=table.offsets,
        )  # fmt: skip
        edit = ConceptEdit(held, EDIT)
        with pytest.raises(ModelError, match="network of its own"):
            edit.copy()

    def test_a_saved_edit_is_the_same_and_knows_its_model(self, tmp_path):
        model = Prompted()
        edit = ConceptEdit(model, EDIT, preserve=["seven"], templates=["a {}"], layers="mid.attn2")
        edit.save(tmp_path / "edit")
        assert sorted(p.name for p in (tmp_path / "edit").iterdir()) == [
            "edit.json", "edit.safetensors",
        ]  # fmt: skip
        loaded = ConceptEdit.load(tmp_path / "edit", model)
        assert loaded.settings == edit.settings
        assert loaded.matrices == edit.matrices
        with edit.applied():
            expected = weights(model)
        with loaded.applied():
            assert same(weights(model), expected)
        with pytest.raises(ParameterError, match="those that the edit was made for"):
            ConceptEdit.load(tmp_path / "edit", Prompted(seed=1))
        record = json.loads((tmp_path / "edit" / "edit.json").read_text())
        assert record["settings"]["edits"] == EDIT
        for damage in ("{", json.dumps({**record, "matrices": "0" * 64}), json.dumps([])):
            (tmp_path / "edit" / "edit.json").write_text(damage)
            with pytest.raises(ParameterError, match="a saved edit"):
                ConceptEdit.load(tmp_path / "edit", model)
        with pytest.raises(ParameterError, match="a saved edit"):
            ConceptEdit.load(tmp_path / "nowhere", model)


class TestReport:
    def test_it_is_what_a_slow_computation_finds(self):
        from pxgen_plugins.utils.seeds import derive

        model = Prompted()
        edit = ConceptEdit(model, EDIT, preserve=["seven"], templates=["a {}"], ridge=0.05)
        prompts = {"seven": ["a seven", "a seven left"], "three": ["a three"], "thick": ["a thick"]}
        scorers = {"three": ink, "eight": lambda x: 1 - ink(x), "seven": ink}
        report = edit.report(prompts, scorers, n_seeds=6)
        rows = {row.concept: row for row in report.rows}
        assert list(rows) == ["three", "seven", "thick"]

        def pictures(prompt):
            return model.sample(6, derive(0, "pictures"), prompt=prompt)

        before = {p: pictures(p) for several in prompts.values() for p in several}
        with edit.applied():
            after = {p: pictures(p) for several in prompts.values() for p in several}
        three = (ink(after["a three"]) - ink(before["a three"])).double()
        assert report.efficacy[0] == pytest.approx(float(three.mean()))
        assert report.efficacy[2] - report.efficacy[0] == pytest.approx(
            2.5706 * float(three.std()) / 6**0.5, rel=1e-4
        )  # Student's, 5 degrees of freedom
        assert rows["three"].target_change[0] == pytest.approx(-report.efficacy[0])
        seven = [ink(after[p]) - ink(before[p]) for p in prompts["seven"]]
        assert report.specificity[0] == pytest.approx(float(torch.stack(seven).mean()))
        gaps = [(after[p] - before[p]).abs().mean() for p in ("a seven", "a seven left", "a thick")]
        expected = float((0.5 * (gaps[0] + gaps[1]) + gaps[2]) / 2)
        assert report.drift[0] == pytest.approx(expected)
        assert np.isnan(rows["thick"].change[0])
        assert "three" in str(report)
        assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["n_seeds"] == 6
        assert report.images["three"].shape == (2, 4, 1, 8, 8)

    def test_an_edit_of_closed_layers_does_nothing_and_says_so(self):
        model = Prompted(open_layers=["mid.attn2"])
        report = ConceptEdit(model, EDIT, layers="up.attn2").report(["a seven"], ink)
        assert report.efficacy == (0.0, 0.0, 0.0)
        assert report.drift == (0.0, 0.0, 0.0)
        assert report.rows[1].apart > 0

    def test_mistakes_are_named(self):
        edit = ConceptEdit(Prompted(), EDIT)
        with pytest.raises(ParameterError, match=r"ConceptEdit\.report: prompts must be texts"):
            edit.report({"three": [3]}, ink)
        with pytest.raises(ParameterError, match="n_seeds"):
            edit.report([], ink, n_seeds=1)
