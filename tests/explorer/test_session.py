"""What a session says of a model is what the package says elsewhere, and nothing is left behind."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pxgen_plugins import PXGen
from pxgen_plugins.adapters import ActivationDirections, UnitDissection
from pxgen_plugins.adapters.base import draw_codes
from pxgen_plugins.axes import Axis, dimensions
from pxgen_plugins.concepts import Threshold
from pxgen_plugins.datasets import load_mnist_conv_vae, load_mnist_gan
from pxgen_plugins.explorer import Session
from pxgen_plugins.explorer.walk import between
from pxgen_plugins.host import NotFittedError
from pxgen_plugins.models import GAN, VAE
from pxgen_plugins.painting import Stroke, paint
from pxgen_plugins.result import Result
from pxgen_plugins.testing.examples import LinearModel
from pxgen_plugins.testing.guards import (
    module_changes,
    module_state,
    moved_generators,
    random_state,
)
from pxgen_plugins.thresholds import MeanMax
from pxgen_plugins.utils.errors import ParameterError
from tests.conftest import tiny_vae
from tests.explorer.conftest import (
    COLUMNS,
    explained,
    table_model,
    text_model,
    vector_model,
)

Z = [0.3, -1.1, 0.7]


def pixels(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)))


def expected(x: torch.Tensor) -> np.ndarray:
    """The bytes of a picture (1, 1, h, w) of values in [0, 1]."""
    return np.rint(255 * x.detach()[0, 0].clamp(0, 1).double().numpy()).astype(np.uint8)


class TestPicture:
    def test_it_is_what_the_model_decodes_after_steps_along_axes(self, session, ask):
        model = session.scene.first.model
        answer = ask("decode", z=Z, amounts={"1": 2.0, "2": -0.5})
        after = model.decode(torch.tensor([[0.3, 0.9, 0.2]]))
        before = model.decode(torch.tensor([Z]))
        content, files = answer.content, answer.buffers
        np.testing.assert_array_equal(pixels(files[content["image"]["buffer"]]), expected(after))
        np.testing.assert_array_equal(pixels(files[content["before"]["buffer"]]), expected(before))
        assert content["change"] == pytest.approx(float((after - before).abs().mean()), rel=1e-5)
        colours = pixels(files[content["difference"]["buffer"]]).astype(int)
        rises = (after - before)[0, 0].detach().numpy()
        reds = colours[..., 0] - colours[..., 2]
        assert (np.sign(reds[abs(rises) > 0.02]) == np.sign(rises[abs(rises) > 0.02])).all()

    def test_the_same_code_gives_the_same_bytes_whatever_was_asked_before(self, session, ask):
        first = ask("decode", z=Z, amounts={"0": 1.0})
        ask("walk", **{"from": Z, "to": 3, "steps": 4})
        ask("compare", z=Z)
        moved = (torch.tensor([Z]) + torch.tensor([[1.0, 0.0, 0.0]]))[0].tolist()
        again, other = ask("decode", z=Z, amounts={"0": 1.0}), ask("decode", z=moved)
        assert first.buffers == again.buffers
        assert other.buffers[0] == first.buffers[0]
        frames = ask("walk", **{"from": moved, "to": Z, "steps": 2})
        assert frames.buffers[0] == first.buffers[0]

    def test_a_small_one_is_the_picture_alone(self, session, ask):
        answer = ask("decode", z=Z, small=True)
        assert set(answer.content) == {"id", "kind", "image", "seconds"}
        file = ask("decode", z=Z).buffers[0]
        np.testing.assert_array_equal(pixels(answer.buffers[0]), pixels(file))

    def test_group_values_and_distances_are_those_of_the_explainer(self, session, ask):
        placement = session.scene.placements[0]
        explainer = placement.explainer
        draws = [Z, [0.0, 0.0, 0.0], [3.0, 3.0, -3.0]]
        decoded = torch.cat([explainer.predictor.decode(torch.tensor([z])) for z in draws])
        result = Result.of(explainer.explain(decoded.detach().numpy()))
        for row, z in enumerate(draws):
            content = ask("decode", z=z).content
            assert content["group"] == result.group[row]
            for column, name in enumerate(result.criteria):
                value = result.values[row, column]
                assert content["values"][name] == pytest.approx(value, rel=1e-5)
                gap = result.thresholds[column] - value
                assert content["distances"][name] == pytest.approx(gap, rel=1e-4, abs=1e-7)
            assert content["firmness"] == pytest.approx(result.group_stability[row], abs=0.06)
            assert content["point"] == [content["values"][name] for name in ("kld", "mse")]

    def test_the_nearest_anchors_are_those_of_an_exhaustive_search(self, session, ask):
        images = torch.cat([session.scene.gallery.instance(i) for i in range(30)])
        answer = ask("decode", z=Z)
        x = session.scene.first.model.decode(torch.tensor([Z]))
        distances = (images - x).square().flatten(1).mean(1).sqrt()
        order = distances.argsort()[:5].tolist()
        nearest = answer.content["nearest"]
        assert [one["index"] for one in nearest] == order
        for one in nearest:
            assert one["distance"] == pytest.approx(float(distances[one["index"]]), rel=1e-5)
            assert one["label"] == f"<i>{one['index'] % 3}"
            shown = pixels(answer.buffers[one["image"]["buffer"]])
            np.testing.assert_array_equal(shown, expected(images[one["index"]][None]))


def test_the_plane_is_the_explanation_of_the_anchors(session, ask):
    info = ask("open").content
    result = Result.of(session.scene.placements[0].explainer.explain(session.scene.gallery.anchors))
    np.testing.assert_allclose(info["plane"]["x"], result.values[:, 0])
    np.testing.assert_allclose(info["plane"]["y"], result.values[:, 1])
    names = np.array([*info["groups"], "invalid"])
    assert names[info["plane"]["group"]].tolist() == result.group.tolist()
    np.testing.assert_allclose(info["plane"]["thresholds"], result.thresholds)
    for name, rows in info["representatives"].items():
        assert set(rows) <= set(np.flatnonzero(result.group == name).tolist())
    assert info["anchors"]["n"] == 30
    sheet = ask("open").buffers[info["anchors"]["thumbnails"]["buffer"]]
    tile = pixels(sheet)[8:16, 8 * 3 : 8 * 4]  # of 20 columns, the anchor 23
    np.testing.assert_array_equal(tile, expected(session.scene.gallery.instance(23)))


class TestAxes:
    def test_the_most_visible_come_first_and_all_are_there(self):
        model = vector_model()  # its second code weighs more than its first
        axes = [*dimensions((2,)), Axis("both", np.array([1.0, 1.0]), 2.0)]
        info = Session(model, axes=axes).answer("open").content
        codes = draw_codes(model, 8, 0)
        expected = {}
        for index, axis in enumerate(axes):
            up, down = (model.decode(axis.move(codes, side)) for side in (1.0, -1.0))
            expected[index] = float((up - down).abs().mean()) / 2
        shown = {one["index"]: one["visible"] for one in info["axes"]}
        assert shown == pytest.approx(expected, rel=1e-4)
        assert list(shown) == sorted(expected, key=lambda index: -expected[index])

    def test_of_many_twelve_are_shown_and_the_others_offered(self):
        generator, discriminator = load_mnist_gan()
        gan = GAN(generator, discriminator=discriminator, latent_shape=(32,))
        axes = Session(gan).answer("open").content["axes"]
        assert sorted(one["index"] for one in axes) == list(range(32))
        assert [one["shown"] for one in axes] == [True] * 12 + [False] * 20

    @pytest.mark.parametrize("form", ["adapter", "explanation", "list"])
    def test_those_of_a_direction_adapter_keep_label_step_and_source(self, form):
        model = tiny_vae()
        adapter = ActivationDirections(model, n_components=2, n_codes=40, n_random=2)
        explanation = adapter.explain(None)
        given = {"adapter": adapter, "explanation": explanation, "list": [explanation]}[form]
        session = Session(model, axes=given)
        assert [axis.label for axis in session.scene.axes] == explanation.labels
        for axis, vector, step in zip(
            session.scene.axes, explanation.directions, explanation.strength, strict=True
        ):
            np.testing.assert_allclose(axis.vector, vector, atol=1e-6)
            assert axis.scale == pytest.approx(step)

    @pytest.mark.parametrize(
        "axes", [3, "z0", [1.0], Axis("x", np.ones(2)), PXGen(tiny_vae())], ids=str
    )
    def test_what_is_none_is_refused(self, axes):
        with pytest.raises(ParameterError, match="axes must be"):
            Session(tiny_vae(), axes=axes)

    def test_an_adapter_that_has_found_none_is_told_so(self):
        with pytest.raises(ParameterError, match="explain"):
            Session(tiny_vae(), axes=ActivationDirections(tiny_vae(), n_codes=20))


def run(line: str, **names: Any) -> torch.Tensor:
    """Execute a line of Python, as a user would paste it, and return what it calls x."""
    exec(compile(line, "copied", "exec"), names)
    return names["x"]


class TestPython:
    def test_the_line_makes_the_picture(self, session, ask):
        rng = np.random.default_rng(0)
        for _ in range(5):
            z = rng.normal(size=3).astype(np.float32).tolist()
            answer = ask("decode", z=z, amounts={"2": float(rng.normal()), "0": 1e-7})
            x = run(answer.content["python"], model=session.scene.first.model)
            np.testing.assert_array_equal(pixels(answer.buffers[0]), expected(x.detach()))
            assert answer.content["python"].count("\n") == 0
            sent = {"z": z, "amounts": {}}
            assert (
                ask("python", **sent).content["python"] == ask("decode", **sent).content["python"]
            )

    def test_painted_too(self):
        session = shipped_vae()
        model = session.scene.first.model
        mask = np.zeros((28, 28), np.uint8)
        mask[5:20, 3:9] = 255
        mask[12, 12] = 100
        cells = base64.b64encode(mask.tobytes()).decode()
        strokes = [
            {"units": [0, 3, 4], "value": "on", "mask": {"size": [28, 28], "cells": cells}},
            {"units": [1], "value": -2.5, "strength": 0.5},
            {"units": [2], "value": "off"},
        ]
        z = np.linspace(-1, 1, 10).tolist()
        answer = session.answer("decode", z=z, strokes=strokes)
        x = run(answer.content["python"], model=model)
        np.testing.assert_array_equal(pixels(answer.buffers[0]), expected(x))
        plain = session.answer("decode", z=z)
        assert plain.buffers[0] != answer.buffers[0]
        assert answer.buffers[1] == plain.buffers[0]  # before
        painted = paint(
            model,
            [z],
            [
                Stroke(mask / np.float32(255), [0, 3, 4], "typical"),
                Stroke(None, [1], -2.5, 0.5),
                Stroke(None, [2], "off"),
            ],
        )
        assert painted.layer == session.answer("open").content["paint"]["layers"][0]["name"]
        np.testing.assert_array_equal(
            pixels(answer.buffers[0]), expected(torch.from_numpy(painted.images))
        )

    def test_of_several_models_it_says_which(self):
        models = {"a'b": tiny_vae(0), "other": tiny_vae(1)}
        answer = Session(models).answer("decode", z=Z, model=1)
        x = run(answer.content["python"], models=models)
        np.testing.assert_array_equal(pixels(answer.buffers[0]), expected(x.detach()))

    def test_texts_and_samples_too(self):
        model = text_model()
        session = Session(model, ["abba", "it's \n"])
        for index, text in enumerate(["abba", "it's \n"]):
            answer = session.answer("anchor", index=index).content
            assert answer["text"] == text
            assert model.render(run(answer["python"], model=model)) == [text]
        answer = session.answer("sample", seed=2).content
        assert model.render(run(answer["python"], model=model)) == [answer["text"]]


def shipped_vae(**options: Any) -> Session:
    vae = VAE(load_mnist_conv_vae(), sample_shape=(1, 28, 28), data_range=(0.0, 1.0))
    return Session(vae, **options)


class TestModels:
    def test_the_shipped_gan_has_no_encoder_and_needs_none(self):
        generator, discriminator = load_mnist_gan()
        gan = GAN(generator, discriminator=discriminator, latent_shape=(32,))
        session = Session(gan)
        assert session.tools == ["sliders", "paint", "walk"]
        z = session.answer("sample", seed=4).content["z"]
        np.testing.assert_allclose(z, draw_codes(gan, 1, 4)[0])
        answer = session.answer("decode", z=z)
        with torch.no_grad():
            np.testing.assert_array_equal(
                pixels(answer.buffers[0]), expected(generator(torch.tensor([z])))
            )
        assert (answer.content["group"], answer.content["nearest"]) == (None, [])

    def test_a_vae_and_a_gan_beside_each_other_on_one_anchor(self):
        vaes = {"one": tiny_vae(0), "two": tiny_vae(1)}
        explainers = {
            name: PXGen(model, threshold=MeanMax(n_samples=40, n_repeats=3)).fit()
            for name, model in vaes.items()
        }
        x = np.random.default_rng(1).random((4, 1, 8, 8), dtype=np.float32)
        session = Session(vaes, x, explainers)
        answer = session.answer("compare", anchor=2)
        for place, (name, model) in enumerate(vaes.items()):
            entry = answer.content["models"][place]
            rebuilt = model.reconstruct(torch.from_numpy(x[2:3])).detach()
            assert entry["name"] == name
            np.testing.assert_array_equal(
                pixels(answer.buffers[entry["image"]["buffer"]]), expected(rebuilt)
            )
            assert entry["group"] == Result.of(explainers[name].explain(x)).group[2]
        mixed = Session(
            {
                "small": tiny_vae(),
                "large": VAE(
                    load_mnist_conv_vae(), sample_shape=(1, 28, 28), data_range=(0.0, 1.0)
                ),
            }
        )
        small, large = mixed.answer("compare", z=Z).content["models"]
        assert small["image"] == {"buffer": 0}
        assert large["image"] is None
        assert "10 numbers" in large["error"]

    def test_a_table_is_shown_by_its_columns(self):
        model, table = table_model()
        session = Session(model, table)
        info = session.answer("open").content
        assert (info["data"]["kind"], info["data"]["columns"]) == ("table", list(COLUMNS))
        anchor = session.answer("anchor", index=3).content
        assert dict(anchor["row"])["age"] == str(table["age"][3])
        assert dict(anchor["row"])["city"] == table["city"][3]
        answer = session.answer("decode", z=anchor["z"], amounts={"0": 1.0}).content
        row, before = dict(answer["row"]), dict(answer["before"])
        step = session.scene.axes[0].scale * 20
        assert float(row["age"]) - float(before["age"]) == pytest.approx(step, abs=1)
        assert before["height"] == row["height"]
        assert answer["nearest"][0]["row"]
        x = run(answer["python"], model=model)
        assert model.render(x)[0].split(", ")[0] == f"age={row['age']}"
        assert "<td" in session.save_page()
        assert "<b>Oslo" not in session.save_page()

    def test_a_text_is_shown_with_its_costs_and_continuation(self):
        model = text_model()
        session = Session(
            model, ["abab", "bb"], PXGen(model, threshold=MeanMax(n_samples=30, n_repeats=2)).fit()
        )
        info = session.answer("open").content
        assert (info["data"]["kind"], info["shape"], info["axes"]) == ("text", [], [])
        anchor = session.answer("anchor", index=0).content
        costs = [cost for _, cost in anchor["tokens"]]
        np.testing.assert_allclose(costs, -np.log([0.6, 0.3, 0.6, 0.3]))
        assert [token for token, _ in anchor["tokens"]] == list("abab")
        assert anchor["continuation"] == {"own": "ab", "model": "aa"}
        nll = float(model.token_loss(model.rows(["abab"])))
        assert anchor["values"]["token_nll"] == pytest.approx(nll)
        assert anchor["group"] in info["groups"]
        assert session.answer("decode", z=[]).content["text"] == "abab"
        assert session.answer("sample", seed=1).content["text"] == "abab"
        assert session.handle({"id": 1, "kind": "decode", "z": [1.0]}).content["error"]

    def test_a_vector_is_bars_and_numbers(self):
        answer = Session(vector_model()).answer("decode", z=[1.0, 0.5])
        assert answer.content["row"] == [
            [f"x{i}", f"{i + 0.5 * (6 + i):.4g}"] for i in range(6)
        ]  # fmt: skip
        assert pixels(answer.buffers[0]).ndim == 2

    def test_units_by_concept(self):
        session = shipped_vae()
        model = session.scene.first.model
        found = UnitDissection(model, Threshold(0.5), n_codes=40, n_effect=0).explain(None)
        (layer,) = shipped_vae(units=found).answer("open").content["paint"]["layers"]
        assert (layer["name"], layer["units"]) == (found.layer, len(found.label))
        for concept in layer["concepts"]:
            assert {found.label[unit] for unit in concept["units"]} == {concept["name"]}
        with pytest.raises(ParameterError, match="UnitDissection"):
            Session(model, units={"layer": "x"})


class TestLeavingNoTrace:
    def test_of_a_model_and_of_generators(self, ask, session):
        net = session.scene.first.model.modules[0]
        net.train()
        before, generators = module_state(net), random_state()
        for kind, entries in [
            ("open", {}), ("decode", {"z": Z, "amounts": {"0": 1.0}, "strokes": [{"units": [0]}]}),
            ("anchor", {"index": 1}), ("sample", {"seed": 1}), ("compare", {"z": Z}),
            ("walk", {"from": 0, "to": 1, "steps": 2}), ("save_page", {"axes": [0]}),
        ]:  # fmt: skip
            ask(kind, **entries)
        assert module_changes(before, module_state(net)) == []
        assert moved_generators(generators) == []

    def test_of_a_model_that_draws_from_global_generators(self):
        class Careless(LinearModel):
            def decode(self, z):
                torch.rand(1), np.random.rand(), torch.manual_seed(0)  # noqa: NPY002
                return super().decode(z)

        session, generators = Session(Careless()), random_state()
        session.answer("decode", z=Z)
        assert moved_generators(generators) == []


def test_what_a_model_raises_is_a_sentence():
    class Broken(LinearModel):
        broken = False

        def decode(self, z):
            if self.broken:
                raise RuntimeError("shapes cannot\nbe multiplied <script>")
            return super().decode(z)

    session = Session(Broken())
    session.scene.first.model.broken = True
    content = session.handle({"id": 9, "kind": "decode", "z": Z}).content
    assert content["error"] == (
        "the model raised RuntimeError: shapes cannot be multiplied <script>"
    )
    assert content["id"] == 9


class TestWalk:
    def test_on_a_sphere_it_turns_evenly(self):
        start, end = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 3.0])
        for share in (0.0, 0.25, 0.5, 1.0):
            z = between(start, end, share, True)
            assert float(z.norm()) == pytest.approx(1 + 2 * share)
            assert float(torch.atan2(z[2], z[0])) == pytest.approx(share * np.pi / 2, abs=1e-5)
        middle = between(start, -start, 0.5, True)
        assert bool(middle.isfinite().all())
        assert between(start, end, 0.5, False).tolist() == [0.5, 0.0, 1.5]

    def test_between_anchors_it_begins_and_ends_with_their_reconstructions(self, session, ask):
        answer = ask("walk", **{"from": 3, "to": 7, "steps": 5})
        for index, frame in ((3, 0), (7, 4)):
            anchor = ask("anchor", index=index)
            file = anchor.buffers[anchor.content["reconstruction"]["buffer"]]
            assert answer.buffers[answer.content["frames"][frame]["buffer"]] == file
        assert len(answer.content["groups"]) == len(answer.content["values"]) == 5


class TestState:
    def test_undo_reset_state_and_restore(self):
        model, explainer, images = explained()
        session = Session(model, images, explainer)
        session.answer("decode", z=Z)
        session.answer("decode", z=Z, amounts={"0": 1.0})
        session.answer("decode", z=Z, amounts={"0": 1.0, "2": 2.0})
        session.answer("decode", z=Z, amounts={"0": 9.0}, small=True)  # on the way: no step
        session.answer("select", indices=[4, 2])
        state = session.answer("state").content["state"]
        assert json.loads(json.dumps(state)) == session.state() == state
        assert state["amounts"] == {"0": 1.0, "2": 2.0}
        assert session.answer("reset", axis=2).content["amounts"] == {"0": 1.0}
        assert session.answer("undo").content["amounts"] == {"0": 1.0, "2": 2.0}
        assert session.answer("undo").content["amounts"] == {"0": 1.0}
        assert session.answer("reset").content == {
            "id": 0, "kind": "reset", "z": Z, "amounts": {}, "strokes": [], "model": 0,
        }  # fmt: skip
        other = Session(model, images, explainer)
        other.restore(state)
        assert other.state() == state
        assert other.selected == [4, 2]
        np.testing.assert_allclose(other.code, [1.3, -1.1, 2.7], rtol=1e-6)
        for _ in range(3):
            last = other.answer("undo").content
        assert last["z"] == []

    def test_selected_anchors_are_counted_by_group_and_set_from_python(self, session, ask):
        answer = ask("select", indices=[0, 1, 2]).content
        groups = session.scene.result.group[:3].tolist()
        assert answer["groups"] == {name: groups.count(name) for name in set(groups)}
        session.select(np.array([5]))
        assert session.selected == [5]
        with pytest.raises(ParameterError, match=r"Session\.select: indices"):
            session.select([99])


class TestNewest:
    """A decode that waits is dropped when a newer one of the same client comes."""

    def session(self) -> tuple[Session, threading.Event, threading.Event]:
        started, go = threading.Event(), threading.Event()

        class Slow(LinearModel):
            gate = False

            def decode(self, z):
                if self.gate:
                    started.set()
                    assert go.wait(20)
                return super().decode(z)

        session = Session(Slow())
        session.scene.first.model.gate = True
        return session, started, go

    @pytest.mark.parametrize(("clients", "stale"), [(["a"] * 4, 2), (["a", "b", "c", "d"], 0)])
    def test_only_the_newest_of_a_client_is_decoded(self, clients, stale):
        session, started, go = self.session()
        answers: dict[int, Any] = {}

        def send(number: int) -> None:
            message = {"id": number, "kind": "decode", "z": Z, "client": clients[number]}
            answers[number] = session.handle(message).content

        threads = [threading.Thread(target=send, args=(i,)) for i in range(4)]
        threads[0].start()
        assert started.wait(20)  # the first is being decoded, the others come meanwhile
        for thread in threads[1:]:
            before = session._turns._count
            thread.start()
            while session._turns._count == before:
                time.sleep(0.001)
        go.set()
        for thread in threads:
            thread.join(20)
        dropped = [number for number, answer in answers.items() if answer.get("stale")]
        assert sorted(dropped) == ([1, 2] if stale else [])
        assert all("image" in answers[number] for number in set(range(4)) - set(dropped))


class TestArguments:
    def test_the_explainer_must_be_fitted_and_of_the_model(self):
        model, explainer, images = explained()
        with pytest.raises(NotFittedError):
            Session(model, images, PXGen(model))
        with pytest.raises(ParameterError, match="of the model that is explored"):
            Session(tiny_vae(), images, explainer)
        with pytest.raises(ParameterError, match="a PXGen"):
            Session(model, images, object())
        with pytest.raises(ParameterError, match="one of the models"):
            Session({"a": model}, images, {"b": explainer})
        assert Session(explainer=explainer).scene.first.model is model

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ({"tools": ["paint"]}, "tools"), ({"tools": ["fly"]}, "tools"),
            ({"theme": "pink"}, "theme"), ({"X": np.zeros((0, 6))}, "X"),
        ],
    )  # fmt: skip
    def test_the_others_are_checked(self, options, named):
        with pytest.raises(ParameterError, match=f"{named} must be"):
            Session(LinearModel() if named != "X" else vector_model(), **options)

    @pytest.mark.parametrize("model", [None, torch.nn.Linear(1, 1), {}, {"a": 3}], ids=str)
    def test_what_is_no_model_is_refused(self, model):
        with pytest.raises(ParameterError, match="Session: model must be"):
            Session(model)


def test_a_task_is_passed_through_with_its_pictures():
    class Steering:
        def start(self):
            return {"question": 1, "target": np.zeros((1, 8, 8)), "z": Z, "goal": 0.9}

        def step(self, z, axis=None):
            return {"z": z, "axis": axis, "solved": True}

        def skip(self):
            return {"question": 2}

    session = Session(LinearModel(), task=Steering())
    assert "task" in session.tools
    start = session.answer("task_start")
    assert pixels(start.buffers[start.content["target"]["buffer"]]).max() == 0
    step = session.answer("task_step", z=Z, axis=1).content
    assert (step["z"], step["axis"], step["solved"]) == (Z, 1, True)
    assert session.answer("task_skip").content["question"] == 2
