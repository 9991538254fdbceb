"""Thresholds taken from a PXGen come with its settings: its groups are the groups of its result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pxgen_plugins import PXGen
from pxgen_plugins.adapters.attribution.group_anchor import GroupAnchorImage
from pxgen_plugins.adapters.latent.contrast import LatentContrast
from pxgen_plugins.thresholds import Fixed
from pxgen_plugins.utils.errors import ParameterError

from .nets import mlp_vae

X = np.random.default_rng(0).random((40, 1, 8, 8), dtype=np.float32)
NOISY = {"name": "elbo", "n_draws": 1}
SETTINGS = [{"seed": 5}, {"precision": "bfloat16"}, {"reconstruction": "sample", "seed": 5}]


def fitted(model: Any, **settings: Any) -> PXGen:
    """A PXGen whose thresholds are the medians of the anchors, so that noise decides for some."""

    def make(bounds: dict[str, float]) -> PXGen:
        return PXGen(model, NOISY, "mse", threshold=Fixed(bounds), **settings).fit()

    values = make({"elbo": 1.0, "mse": 1.0}).explain(X).values
    middle = np.median(values, axis=0)
    return make({"elbo": float(middle[0]), "mse": float(middle[1])})


@pytest.mark.parametrize("settings", SETTINGS)
def test_group_anchors_are_in_the_groups_of_the_pxgen(settings):
    model = mlp_vae()
    pxgen = fitted(model, **settings)
    expected = pxgen.explain(X).group
    plain = fitted(model).explain(X).group
    adapter = GroupAnchorImage(model, pxgen, segmentation="grid", seed=1)
    assert np.array_equal(adapter._groups(X), expected)
    if "precision" not in settings:
        assert not np.array_equal(plain, expected)


@pytest.mark.parametrize("settings", SETTINGS[:2])
def test_contrasts_start_in_the_groups_of_the_pxgen(settings):
    model = mlp_vae()
    pxgen = fitted(model, **settings)
    result = LatentContrast(model, pxgen, n_steps=1, seed=1).explain(X)
    assert np.array_equal(result.start_decision, pxgen.explain(X).group)


def test_contrasts_refuse_what_belongs_to_positions():
    model = mlp_vae()
    with pytest.raises(ParameterError, match="boundary must be a PXGen of mean reconstructions"):
        LatentContrast(model, fitted(model, reconstruction="sample"))


def test_perturbed_images_are_grouped_with_the_noise_of_their_anchor():
    pytest.importorskip("alibi")
    model = mlp_vae()
    pxgen = fitted(model, reconstruction="sample", seed=5)
    expected = pxgen.explain(X).group
    adapter = GroupAnchorImage(model, pxgen, segmentation="grid", n_segments=4)
    for i in (0, 7, 30):  # at position i, the anchor itself is in its own group
        assert adapter._groups(X[[i, i]], i).tolist() == [expected[i]] * 2
