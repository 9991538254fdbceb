"""Audits of a model that is told what to show."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pxgen_plugins.audit import engine
from pxgen_plugins.audit.run_folder import Run
from pxgen_plugins.audit.settings import config_of
from pxgen_plugins.datasets import load_mnist_text
from pxgen_plugins.models import from_diffusers
from pxgen_plugins.utils.errors import AnchorError

pytest.importorskip("diffusers")
PROMPTS = ["a seven left", "a one right"]


def settings(folder, prompt, **changes):
    options = {"guidance": 2.0, "steps": 2, "level": 0.5, "prompt": prompt}
    values = {
        "model": {"factory": "pxgen_plugins.datasets:load_mnist_text", "options": options},
        "anchors": {"path": str(folder / "anchors.parquet")},
        "intrinsic": [
            {"name": "denoising_loss", "levels": 2},
            {"name": "prompt_gain", "levels": 2},
        ],
        "extrinsic": ["mse"],
        "threshold": {"name": "Quantile", "q": 0.9, "n_samples": 12, "n_repeats": 2},
        "shard_size": 5,
        "conditions": ["HIHE.fraction >= 0.0"],
        "output": str(folder / "run"),
    }
    return config_of(values | changes, folder)


@pytest.fixture(scope="module")
def anchors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prompts")
    model = from_diffusers(load_mnist_text(), guidance=2.0, steps=6)
    x = model.sample(16, 0, prompt=(PROMPTS * 8)).flatten(1)
    said = PROMPTS * 4 + PROMPTS[::-1] * 4  # the second half has the wrong prompt
    pd.DataFrame({"image": x.tolist(), "prompt": said}).to_parquet(folder / "anchors.parquet")
    return folder


@pytest.mark.slow
def test_each_anchor_is_audited_under_its_own_prompt(anchors):
    config = settings(anchors, PROMPTS)
    plan, explainer = engine.make_plan(config)
    assert engine.score(config, plan, explainer)
    judged = engine.finish(config, plan).judgements
    assert [one.state for one in judged] == ["passed"]
    found = Run.open(anchors / "run").result
    assert found.labels.tolist() == (PROMPTS * 4 + PROMPTS[::-1] * 4)
    gain = np.asarray(found.values)[:, 1]
    assert (gain[:8] < 0).mean() > 0.8
    assert (gain[:8] < gain[8:]).all()


def test_settings_that_lack_a_prompt_of_the_anchors_say_so(anchors):
    config = settings(anchors, PROMPTS[0], output=str(anchors / "other"))
    with pytest.raises(AnchorError, match="'a one right' at anchor 1"):
        engine.make_plan(config)
