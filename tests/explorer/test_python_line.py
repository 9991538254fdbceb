"""Every picture comes with the line of Python that makes it again."""

from __future__ import annotations

import base64

import numpy as np
import torch

from pxgen_plugins.explorer import Session
from pxgen_plugins.painting import Stroke, paint
from tests.conftest import tiny_vae
from tests.explorer.conftest import (
    Z,
    expected,
    pixels,
    run,
    shipped_vae,
    text_model,
)


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
