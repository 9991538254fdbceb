"""Pictures, vectors, rows and texts; models with and without an encoder, one and several."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pxgen_plugins import PXGen
from pxgen_plugins.adapters import UnitDissection
from pxgen_plugins.adapters.base import draw_codes
from pxgen_plugins.concepts import Threshold
from pxgen_plugins.datasets import load_mnist_conv_vae, load_mnist_gan
from pxgen_plugins.explorer import Session
from pxgen_plugins.models import GAN, VAE
from pxgen_plugins.result import Result
from pxgen_plugins.testing.examples import LinearModel
from pxgen_plugins.thresholds import MeanMax
from pxgen_plugins.utils.errors import ParameterError, PXGenWarning
from tests.conftest import tiny_vae
from tests.explorer.conftest import (
    COLUMNS,
    Z,
    expected,
    explained,
    pixels,
    run,
    shipped_vae,
    table_model,
    text_model,
    vector_model,
)


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
        shown = {index for some in info["representatives"].values() for index in some}
        texts = enumerate(["abab", "bb"])
        assert info["anchors"]["words"] == {str(i): one for i, one in texts if i in shown} != {}
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
        session = Session(vector_model())
        answer = session.answer("decode", z=[1.0, 0.5], amounts={"0": 0.0})
        assert answer.content["before"] is None
        moved = session.answer(
            "decode", z=[1.0, 0.0], amounts={"1": 0.5 / session.scene.axes[1].scale}
        )
        assert moved.content["row"] == answer.content["row"] != moved.content["before"]
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


class TestAnchors:
    def test_one_that_cannot_be_read_is_in_no_group_and_nobody_is_near_it(self):
        model, explainer, images = explained()
        images = images.copy()
        images[3, 0, 0, 0] = np.nan
        with pytest.warns(PXGenWarning, match="1 of 30 anchors"):
            session = Session(model, images, explainer)
        info = session.answer("open").content
        assert info["plane"]["group"][3] == -1
        assert info["plane"]["x"][3] is None
        refused = session.handle({"id": 1, "kind": "anchor", "index": 3}).content["error"]
        assert "anchor 3 must be readable" in refused
        for seed in range(20):
            z = session.answer("sample", seed=seed).content["z"]
            nearest = [one["index"] for one in session.answer("decode", z=z).content["nearest"]]
            assert len(nearest) == 5
            assert 3 not in nearest

    def test_of_large_pictures_means_over_cells_are_compared(self):
        net = torch.nn.Linear(2, 64 * 96)
        model = VAE(
            encode=lambda x: (x[:, 0, 0, :2], torch.zeros(len(x), 2)),
            decode=lambda z: net(z).sigmoid().reshape(-1, 1, 64, 96),
            modules=net, latent_shape=(2,), sample_shape=(1, 64, 96), check=False,
        )  # fmt: skip
        images = np.random.default_rng(0).random((12, 1, 64, 96), dtype=np.float32)
        session = Session(model, images)
        x = model.decode(torch.tensor([[0.5, 1.0]])).detach().numpy()
        cells = [p.reshape(-1, 32, 2, 32, 3).mean((2, 4)) for p in (images, x)]
        distance = np.sqrt(((cells[0] - cells[1]) ** 2).mean((1, 2)))
        nearest = session.answer("decode", z=[0.5, 1.0]).content["nearest"]
        assert [one["index"] for one in nearest] == np.argsort(distance)[:5].tolist()
        for one in nearest:
            assert one["distance"] == pytest.approx(distance[one["index"]], rel=1e-5)
        small = session.answer("decode", z=[0.5, 1.0], small=True)
        assert pixels(small.buffers[0]).shape == (43, 64)

    def test_more_than_a_page_can_hold_are_refused(self):
        images = np.zeros((50_001, 1, 8, 8), np.uint8)
        with pytest.raises(ParameterError, match="1 to 50,000 anchors"):
            Session(LinearModel(), images)
