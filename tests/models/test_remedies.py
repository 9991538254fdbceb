"""What a model lacks because an argument was left out: the error names the argument."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from pxgen_plugins import PXGen
from pxgen_plugins.models import GAN, VQVAE, Autoencoder, BlackBox, Flow, LanguageModel
from pxgen_plugins.models.base import GenerativeModel
from pxgen_plugins.utils.errors import CapabilityError

X = np.linspace(0, 1, 120, dtype=np.float32).reshape(30, 4)


def autoencoder(**options: object) -> GenerativeModel:
    return Autoencoder(
        encode=lambda x: x[:, :2], decode=lambda z: torch.cat([z, z], 1), modules=(),
        sample_shape=(4,), data_range=None, **options,
    )  # fmt: skip


def vqvae(**options: object) -> GenerativeModel:
    net = nn.Linear(2, 4)
    return VQVAE(
        encode=lambda x: x[:, :2], decode=lambda z: net(z).sigmoid(), modules=[net],
        codebook=torch.eye(2), sample_shape=(4,), latent_shape=(2,), **options,
    )  # fmt: skip


def gan(**options: object) -> GenerativeModel:
    return GAN(nn.Sequential(nn.Linear(2, 4), nn.Sigmoid()), latent_shape=(2,), **options)


def flow(**options: object) -> GenerativeModel:
    return Flow(log_prob=lambda x: -x.square().sum(1), modules=(), sample_shape=(4,), **options)


def texts(**options: object) -> GenerativeModel:
    return LanguageModel(
        log_probs=lambda texts: [[-0.5] * len(one) for one in texts], modules=(), max_chars=8,
        **options,
    )  # fmt: skip


def black_box(**options: object) -> GenerativeModel:
    return BlackBox(lambda X: np.asarray(X)[:, :2], **options)


# what lacks something, what asks for it, the argument that the error must name, and its value
CASES: dict[str, tuple[Callable[..., GenerativeModel], Callable[..., object], str, object]] = {
    "autoencoder, sample": (autoencoder, lambda m: m.sample(2, 0), "prior", torch.eye(2)),
    "autoencoder, fit": (
        autoencoder, lambda m: PXGen(m, "aggregate_mahalanobis", "mse").fit(X), "prior",
        lambda n, seed: torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))),
    "vqvae, sample": (vqvae, lambda m: m.sample(2, 0), "prior", "uniform"),
    "vqvae, fit": (vqvae, lambda m: PXGen(m, "code_usage", "mse").fit(X), "prior", "uniform"),
    "gan, score": (
        gan, lambda m: PXGen(m, "discriminator", "mse"), "discriminator", nn.Linear(4, 1)),
    "flow, sample": (
        flow, lambda m: m.sample(2, 0), "sample",
        lambda n, seed: torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))),
    "texts, sample": (
        texts, lambda m: m.sample(2, 0), "sample", lambda n, seed: ["ab"] * n),
    "texts, continuation": (
        texts, lambda m: m.continuation(m.rows(["abcd"])), "generate",
        lambda prompts, lengths: ["z" * k for k in lengths]),
    "black box, fit": (
        black_box, lambda m: m.sample(2, 0), "sampler", lambda n, seed: X[:n]),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
def test_the_error_names_the_argument_and_the_argument_helps(case: str):
    build, use, argument, value = CASES[case]
    with pytest.raises(CapabilityError, match=rf"\b{argument}=") as caught:
        use(build())
    assert type(build()).__name__ in str(caught.value)
    use(build(**{argument: value}))
