"""Users' functions that draw codes, indices or instances for a seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from pxgen_plugins import PXGen
from pxgen_plugins.criteria import for_model
from pxgen_plugins.models import GAN, VQVAE, Autoencoder, Flow, LanguageModel
from pxgen_plugins.thresholds import Quantile
from pxgen_plugins.utils.errors import CapabilityError, ModelError


def widened(z: Tensor) -> Tensor:
    return torch.cat([z, z], 1).sigmoid()


def made(family: str, draw):
    shapes = {"latent_shape": (2,), "sample_shape": (4,)}
    if family == "GAN":
        return GAN(widened, modules=(), prior=draw, **shapes)
    if family == "Autoencoder":
        return Autoencoder(
            encode=lambda x: x[:, :2], decode=widened, modules=(), prior=draw, **shapes
        )
    if family == "Flow":
        return Flow(
            log_prob=lambda x: -x.square().sum(1),
            modules=(),
            sample=lambda n, s: widened(draw(n, s)),
            sample_shape=(4,),
        )
    codebook = torch.linspace(-1, 1, 10).reshape(5, 2)
    return VQVAE(
        encode=lambda x: x[:, :2], decode=widened, modules=(), codebook=codebook, axis=0,
        prior=lambda n, s: (draw(n, s)[:, :1].abs() * 10).long() % 5, **shapes,
    )  # fmt: skip


FAMILIES = ["GAN", "Autoencoder", "VQVAE", "Flow"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_draw_that_forgets_its_seed_is_repeatable_and_leaves_the_global_state(family):
    model = made(family, lambda n, seed: torch.randn(n, 2) + float(np.random.rand()))  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    assert torch.equal(model.sample(5, 3), model.sample(5, 3))
    assert not torch.equal(model.sample(5, 3), model.sample(5, 4))
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002


@pytest.mark.parametrize("family", FAMILIES)
def test_a_draw_with_a_generator_of_its_own_is_refused(family):
    own = torch.Generator().manual_seed(0)
    with pytest.raises(ModelError, match="others the second time"):
        made(family, lambda n, seed: torch.randn(n, 2, generator=own))


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_draw_raises_is_told_with_its_name(family):
    def draw(n, seed):
        raise KeyError("lost")

    with pytest.raises(ModelError, match="KeyError") as found:
        made(family, draw)
    assert ("sample" if family == "Flow" else "prior") in str(found.value)


def test_seeds_handed_to_functions_are_those_that_numpys_older_generators_take():
    seen = []

    def draw(n, seed):
        seen.append(seed)
        return np.random.RandomState(seed).rand(n, 3)

    explainer = PXGen(lambda X: X[:, :2], sampler=draw, intrinsic="one", extrinsic="two",
                      threshold=Quantile(0.9, 50, 3))  # fmt: skip
    explainer.fit().explain(np.random.default_rng(0).random((9, 3)))
    texts = LanguageModel(
        log_probs=lambda texts: [[-1.0] * len(text) for text in texts],
        modules=(),
        sample=lambda n, seed: seen.append(seed) or ["a"] * n,
        max_chars=4,
    )
    texts.sample(3, 2**63 - 1)
    assert len(seen) > 3
    assert max(seen) < 2**32


def test_criteria_of_a_normal_prior_are_not_for_a_uniform_one():
    settings = {"latent_shape": (2,), "sample_shape": (4,)}
    for prior, works in (("normal", True), ("uniform", False)):
        model = GAN(widened, modules=(), prior=prior, **settings)
        assert ({"prior_nll", "typicality"} <= set(for_model(model))) == works
    with pytest.raises(CapabilityError, match="another prior"):
        PXGen(model, "typicality", "mse", threshold=Quantile(0.9, 50, 2))
