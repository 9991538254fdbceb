"""Anchors with prompts of their own: each is judged under its own, whatever stands beside it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from pxgen_plugins import PXGen
from pxgen_plugins.anchors import open_anchors, open_for
from pxgen_plugins.criteria import Batch, DenoisingLoss, PromptGain
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.thresholds import Quantile
from pxgen_plugins.utils.errors import AnchorError, ModelError
from pxgen_plugins.utils.seeds import derive

from .test_text_to_image import MEANS, gaussian

PROMPTS = ["bright", "dark", "bright", "dark", "dark"]
CRITERIA = ["denoising_loss", "prompt_gain"]


@pytest.fixture
def model():
    return gaussian(["bright", "dark"], steps=10, guidance=2.0, data_range=(-2.0, 2.0))


@pytest.fixture
def images():
    drawn = np.random.default_rng(0).normal(size=(5, 1, 2, 2), scale=0.2)
    return (drawn + np.array([MEANS[p] for p in PROMPTS])[:, None, None, None]).astype(np.float32)


def table(images) -> pd.DataFrame:
    rows = [row.ravel().tolist() for row in images]
    return pd.DataFrame({"image": rows, "prompt": PROMPTS, "id": list("abcde")})


def values(model, anchors, **settings):
    criteria = [DenoisingLoss(levels=3), PromptGain(levels=3)]
    return Scorer(model, criteria, **settings).score(anchors).values


def test_each_anchor_has_the_values_of_the_model_of_its_prompt(model, images):
    anchors = open_for(model, table(images))
    assert anchors.prompts.tolist() == anchors.labels.tolist() == PROMPTS
    assert "prompts from column 'prompt'" in anchors.describe()
    together = values(model, anchors)
    for prompt in ("bright", "dark"):
        own = [one == prompt for one in PROMPTS]
        alone = open_anchors(images, sample_shape=(1, 2, 2))
        assert np.allclose(together[own], values(model.bind(prompt), alone)[own], atol=1e-6)
    for size in (1, 2):
        assert np.allclose(values(model, anchors, batch_size=size), together, atol=1e-6)


def test_prompts_come_from_tables_files_and_lists(model, images, tmp_path):
    expected = values(model, open_for(model, table(images)))
    table(images).to_parquet(tmp_path / "anchors.parquet")
    assert np.allclose(values(model, open_for(model, str(tmp_path / "anchors.parquet"))), expected)
    given = open_anchors(images, sample_shape=(1, 2, 2), prompts=PROMPTS)
    assert np.allclose(values(model, open_for(model, given)), expected)
    for row in range(5):
        Image.fromarray(np.full((2, 2), 40 * row, np.uint8)).save(tmp_path / f"{row}.png")
    lines = [f"{row}.png,{prompt}" for row, prompt in enumerate(PROMPTS)]
    (tmp_path / "list.csv").write_text("\n".join(["path,prompt", *lines]))
    listed = open_for(model, str(tmp_path / "list.csv"))
    assert listed.prompts.tolist() == PROMPTS
    assert np.isfinite(values(model, listed)).all()


def test_a_prompt_that_the_model_is_not_bound_to_is_an_error(model, images):
    with pytest.raises(AnchorError, match="'bright' at anchor 0"):
        open_for(model.bind("dark"), table(images))
    with pytest.raises(AnchorError, match="5"):
        open_anchors(images, sample_shape=(1, 2, 2), prompts=["bright"])
    with pytest.raises(ModelError, match="column 'prompt'"):
        values(model, open_for(model, images))


def test_for_models_that_read_no_prompts_such_a_column_is_a_feature():
    frame = pd.DataFrame({"a": [1.0, 2.0], "prompt": [3.0, 4.0]})
    anchors = open_anchors(frame, sample_shape=(2,))
    assert anchors.prompts is None
    assert anchors.read(slice(0, 2))[0].tolist() == [[1.0, 3.0], [2.0, 4.0]]


def test_thresholds_come_from_samples_under_their_own_prompts(model):
    scorer = Scorer(model, [DenoisingLoss(levels=2)], batch_size=3)
    found = scorer.score_samples(8, 4)
    block = derive(4, 0)
    x, prompts = model.sample(8, block), model.sample_prompts(8, block)
    rows = Batch(model.for_rows(prompts), x, seed=0)
    assert np.allclose(found[:, 0], DenoisingLoss(levels=2)(rows).numpy(), atol=1e-6)


def test_the_gain_tells_a_wrong_prompt_from_the_right_one_and_an_explanation_shows_it(model):
    right = model.bind("bright").sample(60, 1).numpy()
    frame = pd.concat([table_of(right, "bright"), table_of(right, "dark")])
    explainer = PXGen(
        model, intrinsic=CRITERIA, extrinsic="mse", threshold=Quantile(0.95, 100, 2), examples=False
    )
    explanation = explainer.fit().explain(frame)
    loss, gain = np.asarray(explanation.values)[:, :2].T
    assert (gain[:60] < gain[60:]).mean() > 0.95
    assert (loss[:60] < loss[60:]).mean() > 0.95
    near = loss < explanation.thresholds["denoising_loss"]
    assert near[:60].mean() > 0.75 > 0.5 > near[60:].mean()
    assert explanation.labels.tolist() == ["bright"] * 60 + ["dark"] * 60


def table_of(images, prompt: str) -> pd.DataFrame:
    return pd.DataFrame({"image": [one.ravel().tolist() for one in images], "prompt": prompt})


def test_the_gain_is_the_difference_of_two_losses_and_none_for_the_empty_prompt():
    model = gaussian("bright", guidance=3.0)
    x = torch.randn(4, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    gain = PromptGain(levels=3)(Batch(model, x, seed=2))
    parts = [DenoisingLoss(levels=3)(Batch(model.bind(p), x, seed=2)) for p in ("bright", "")]
    assert torch.allclose(gain, parts[0] - parts[1])
    assert torch.equal(PromptGain(levels=3)(Batch(model.bind(""), x)), torch.zeros(4))
