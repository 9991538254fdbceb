"""What a session answers is what the package says elsewhere; nothing is left behind."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import numpy as np
import pytest
import torch

from pxgen_plugins import PXGen
from pxgen_plugins.explorer import Session
from pxgen_plugins.explorer.walk import between
from pxgen_plugins.host import NotFittedError
from pxgen_plugins.result import Result
from pxgen_plugins.testing.examples import LinearModel
from pxgen_plugins.testing.guards import (
    module_changes,
    module_state,
    moved_generators,
    random_state,
)
from pxgen_plugins.utils.errors import ParameterError
from tests.conftest import tiny_vae
from tests.explorer.conftest import (
    Z,
    expected,
    explained,
    pixels,
    vector_model,
)


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

    def test_the_picture_alone_is_the_same_picture(self, session, ask):
        file = ask("decode", z=Z).buffers[0]
        for way in ("alone", "small"):  # a picture of 8 x 8 is small already
            answer = ask("decode", z=Z, **{way: True})
            assert set(answer.content) == {"id", "kind", "image", "seconds"}
            assert answer.buffers == [file]

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
            assert content["firmness"] == pytest.approx(result.group_stability[row], abs=1e-9)
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


def test_thumbnails_are_read_once(session, ask, monkeypatch):
    first = ask("open")
    monkeypatch.setattr(session.scene.gallery, "_reader", None)
    again = ask("open")
    assert again.content["anchors"] == first.content["anchors"]
    assert again.buffers == first.buffers


class TestWhatTakesManyPasses:
    @pytest.mark.parametrize(
        ("message", "n"),
        [
            ({"kind": "walk", "from": Z, "to": [1.0, 0.0, 0.0], "steps": 6}, 6),
            ({"kind": "save_page", "axes": [2]}, 7),
        ],
        ids=["walk", "save_page"],
    )
    def test_others_are_answered_between_its_pictures(self, message, n):
        """Whoever comes meanwhile is answered before the next one, and what is begun goes on."""
        first, go = threading.Event(), threading.Event()
        order: list[str] = []

        class Slow(LinearModel):
            gate = False

            def decode(self, z):
                if self.gate:
                    own = threading.current_thread() is worker
                    order.append("own" if own else "other")
                    if own and len(order) == 1:
                        first.set()
                        assert go.wait(20)
                return super().decode(z)

        session = Session(Slow())
        session.answer("decode", z=Z)
        alone = session.handle({"id": 1, **message})
        answers: list[Any] = []
        worker = threading.Thread(
            target=lambda: answers.append(session.handle({"id": 1, **message}))
        )
        # it goes elsewhere, and the page shows where the session was when it was asked for
        other = threading.Thread(target=lambda: session.answer("decode", z=[3.0, 3.0, 3.0]))
        session.scene.first.model.gate = True
        worker.start()
        assert first.wait(20)
        other.start()
        while not session._turns._door.locked():
            time.sleep(0.001)
        go.set()
        for thread in (worker, other):
            thread.join(20)
        assert order == ["own", "other", *["own"] * (n - 1)]
        assert answers == [alone]


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
        session.answer("decode", z=Z, amounts={"0": 9.0}, alone=True)  # on the way: no step
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
