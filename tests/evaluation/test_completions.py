"""Pictures drawn out of a model: what it remembers is found, what it guesses is not."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from pxgen_plugins.evaluation import Copies, copies
from pxgen_plugins.evaluation.memorisation.collapse import collapse
from pxgen_plugins.evaluation.memorisation.inpainting import fill
from pxgen_plugins.models import GAN, Diffusion, TextToImage
from pxgen_plugins.models.schedules import linear

SHAPE = (1, 4, 4)
LEFT = linear(1_000)


def pictures(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, *SHAPE)).clip(-2, 2).astype("f4") / 2


def rows(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(x).flatten(1)


def denoiser(bank: np.ndarray) -> Diffusion:
    """The exact denoiser of a set: a diffusion model that remembers all of it, and nothing else."""

    def network(x, t):
        left = LEFT[t].to(x.dtype)[:, None]
        gap = torch.cdist(x.flatten(1), left[:1].sqrt() * rows(bank)).square()
        weights = (-gap / (2 * (1 - left)).clamp(min=1e-3)).softmax(1)
        return (weights @ rows(bank)).reshape(x.shape)

    options = {"schedule": LEFT, "prediction": "x0", "steps": 30, "modules": ()}
    return Diffusion(network, sample_shape=SHAPE, data_range=(-1.0, 1.0), **options)


def generator(bank: np.ndarray) -> GAN:
    """A generator that gives pictures of a set and mixtures of those whose codes are near."""
    codes = torch.from_numpy(np.random.default_rng(5).normal(size=(len(bank), 3)).astype("f4"))

    def decode(z):
        weights = (-torch.cdist(z, codes).square() / 0.02).softmax(1)
        return (weights @ rows(bank)).reshape(-1, *SHAPE)

    return GAN(decode, latent_shape=(3,), sample_shape=SHAPE, data_range=(-1.0, 1.0), modules=())


@pytest.mark.parametrize("family", [denoiser, generator])
def test_a_half_of_what_is_remembered_brings_the_other_and_one_of_new_pictures_does_not(family):
    known, new, other = pictures(0, 60), pictures(1, 60), pictures(2, 60)
    thief = copies(family(known), known, new, parts=25, n_samples=60, criteria=[])
    (row,) = thief.completions
    assert row.given == "its left half"
    assert row.n == row.n_control == 25
    assert len(row.found) >= 18
    assert row.median < 0.3 < row.control
    assert row.p_value < 1e-6
    honest = copies(family(other), known, new, parts=25, n_samples=60, criteria=[])
    assert honest.completions[0].found == ()
    assert honest.completions[0].p_value > 0.01
    content, arrays = json.loads(json.dumps(thief.to_data()[0])), thief.to_data()[1]
    assert Copies.of(content, arrays).completions == [row]
    assert any(line["measure"].startswith("pictures from") for line in thief.table())


def test_a_filling_keeps_what_is_known_and_does_not_depend_on_its_batch():
    model, x = denoiser(pictures(0, 9)), torch.from_numpy(pictures(3, 6))
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    mask[..., :2] = True
    whole = fill(model, x, mask, seed=1)
    parts = [fill(model, x[at : at + 2], mask, seed=1, first=at) for at in (0, 2, 4)]
    torch.testing.assert_close(whole, torch.cat(parts))
    torch.testing.assert_close(whole[..., :2], x[..., :2])
    hidden = x.clone()
    hidden[..., 2:] = 9.0  # what is hidden is not looked at
    torch.testing.assert_close(fill(model, hidden, mask, seed=1)[..., 2:], whole[..., 2:])


def reader_of(bank: np.ndarray, captions: list[str], prompts: list[str]) -> TextToImage:
    """A model that draws a picture of its own for each caption it knows, else noise."""

    def network(x, t, states):
        left, own = LEFT[t].to(x.dtype)[:, None], states[:, 0, 0].long()
        flat = x.flatten(1)
        remembered = rows(bank)[own.clamp(min=0)]
        clean = torch.where(own[:, None] >= 0, remembered, left.sqrt() * flat * 0.25)
        return clean.reshape(x.shape)

    def embed(texts):
        places = [captions.index(text) if text in captions else -1 for text in texts]
        return torch.tensor(places, dtype=torch.float32)[:, None, None]

    options = {"schedule": LEFT, "prediction": "x0", "steps": 5, "modules": (), "guidance": 1.0}
    return TextToImage(network, embed, sample_shape=SHAPE, prompt=prompts, **options)


def test_training_captions_bring_what_is_remembered_and_held_out_ones_do_not():
    from pxgen_plugins.anchors import open_anchors

    known, new = pictures(0, 50), pictures(1, 50)
    captions = [f"picture {i}" for i in range(100)]
    sets = [
        open_anchors(part, sample_shape=SHAPE, prompts=names)
        for part, names in ((known, captions[:50]), (new, captions[50:]))
    ]
    thief = reader_of(known, captions[:50], captions)
    (row,) = copies(thief, *sets, n_samples=60, criteria=[], captions=2).completions
    assert sorted(row.found) == list(range(50))
    assert row.given == "its caption, 2 samples"
    honest = reader_of(pictures(2, 50), captions[:50], captions)  # other pictures of the captions
    (row,) = copies(honest, *sets, n_samples=60, criteria=[], captions=2).completions
    assert row.found == ()
    assert row.p_value > 0.01
    assert copies(thief, *sets, n_samples=60, criteria=[], captions=0).completions == []


def test_clusters_around_training_instances_are_memory_and_around_others_are_not():
    rng = np.random.default_rng(0)
    training, held_out, fresh = (rng.normal(size=(150, 6)) for _ in range(3))
    alarms = 0
    for seed in range(30):
        draw = np.random.default_rng(seed)

        def onto(target, draw=draw, many=12):
            picked = target[draw.permutation(len(target))[:many]].repeat(5, 0)
            return np.concatenate([picked + 0.01 * draw.normal(size=picked.shape), fresh[:60]])

        thief = collapse(training, held_out, onto(training), seed)
        assert thief.p_value < 0.01
        assert len(thief.clusters) == 12
        assert all(size == 5 for _, size in thief.clusters)
        assert thief.share == 0.5
        # a generator that collapses onto what is in neither set, or in both alike
        assert collapse(training, held_out, onto(fresh), seed).share == 0.0
        both = collapse(training, held_out, onto(np.concatenate([training, held_out])), seed)
        alarms += both.p_value <= 0.05
    assert alarms <= 5  # 1.5 of 30 are expected
