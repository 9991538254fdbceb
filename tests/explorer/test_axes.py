"""Sliders: the axes that anything finds, the most visible first."""

from __future__ import annotations

import time
from typing import ClassVar

import numpy as np
import pytest
import torch

from pxgen_plugins import PXGen
from pxgen_plugins.adapters import ActivationDirections, LatentDescription
from pxgen_plugins.adapters.base import draw_codes
from pxgen_plugins.axes import Axis, dimensions
from pxgen_plugins.datasets import load_mnist_gan
from pxgen_plugins.describers import Scripted
from pxgen_plugins.explorer import Session
from pxgen_plugins.models import GAN
from pxgen_plugins.testing.examples import LinearModel
from pxgen_plugins.thresholds import MeanMax
from pxgen_plugins.utils.errors import ParameterError, PXGenWarning
from tests.conftest import tiny_vae
from tests.explorer.conftest import (
    Z,
    run,
    vector_model,
)


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

    @pytest.mark.parametrize("form", ["explanation", "json"])
    def test_those_of_a_description_keep_how_each_moves(self, form):
        model = tiny_vae()
        ways = [Axis("along", np.eye(3)[0], 2.0), Axis("around", np.eye(3)[1], keep="shell")]
        describe = Scripted({"describe": {"changes": False}})
        found = LatentDescription(model, describe, ways, n_answers=2, n_anchors=2).explain(None)
        assert found.keep == ["free", "shell"]
        given = found if form == "explanation" else type(found).from_json(found.to_json())
        session = Session(model, axes=given)
        shown = [(one.label, one.scale, one.keep) for one in session.scene.axes]
        assert shown == [("along", 2.0, "free"), ("around", 1.0, "shell")]

    @pytest.mark.parametrize(
        "axes", [3, "z0", [1.0], Axis("x", np.ones(2)), PXGen(tiny_vae())], ids=str
    )
    def test_what_is_none_is_refused(self, axes):
        with pytest.raises(ParameterError, match="axes must be"):
            Session(tiny_vae(), axes=axes)

    def test_an_adapter_that_has_found_none_is_told_so(self):
        with pytest.raises(ParameterError, match="explain"):
            Session(tiny_vae(), axes=ActivationDirections(tiny_vae(), n_codes=20))


class TestSlow:
    def test_what_takes_long_is_asked_for_once_while_a_slider_moves(self):
        class Slow(LinearModel):
            calls = 0

            def decode(self, z):
                self.calls += 1
                time.sleep(0.35)
                return super().decode(z)

        model = Slow()
        session = Session(model)
        assert model.calls < 20  # setting up has an end
        assert session.answer("open").content["slow"] is True
        for small, calls in ((True, 1), (False, 2), (False, 1)):  # before, then remembered
            before = model.calls
            session.answer("decode", z=Z, amounts={"0": 1.0}, small=small)
            assert model.calls - before == calls
        assert Session(LinearModel()).answer("open").content["slow"] is False

    def test_values_of_many_passes_make_a_model_slow_too(self):
        class Inverted(LinearModel):
            costs: ClassVar = {"encode": 200, "reconstruct": 200}

        model = Inverted()
        explainer = PXGen(model, "kld", "mse", MeanMax(n_samples=20, n_repeats=2)).fit()
        info = Session(model, explainer=explainer).answer("open").content
        assert (info["slow"], Session(model).answer("open").content["slow"]) == (True, False)

    def test_thousands_of_dimensions_have_a_thousand_sliders_and_it_says_so(self):
        class Wide(LinearModel):
            latent_shape = (1, 40, 40)

            def decode(self, z):
                return z.flatten(1)[:, :64].sigmoid().reshape(-1, 1, 8, 8)

        with pytest.warns(PXGenWarning, match="first 1,000 of 1,600 latent dimensions"):
            session = Session(Wide())
        axes = session.answer("open").content["axes"]
        assert len(axes) == 1_000
        assert {one["index"] for one in axes[:64]} == set(range(64))  # the others change nothing
        z = session.answer("sample", seed=0).content["z"]
        x = run(session.answer("decode", z=z).content["python"], model=Wide())
        assert torch.equal(x, Wide().decode(torch.tensor(z).reshape(1, 1, 40, 40)))


def test_codes_without_a_prior_are_those_of_anchors():
    class Plain(LinearModel):
        capabilities = frozenset({"embed", "decode", "reconstruct"})
        autoencodes = True

        def embed(self, x):
            return 40.0 * self.encode(x)[0]

        def decode(self, z):
            return super().decode(z / 40.0)

    images = np.random.default_rng(0).random((30, 1, 8, 8), dtype=np.float32)
    model = Plain()
    session = Session(model, images)
    spread = model.embed(torch.from_numpy(images)).std(0)
    for axis, deviation in zip(session.scene.axes, spread, strict=True):
        assert axis.scale == pytest.approx(float(deviation), rel=1e-3)
    assert "codes" in session.handle({"id": 1, "kind": "sample", "seed": 0}).content["error"]
    assert Session(model).answer("open").content["axes"][0]["visible"] is None
