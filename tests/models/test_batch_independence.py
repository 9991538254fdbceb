"""Models whose results depend on the other rows of a batch are refused when they are wrapped."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pxgen_plugins.models import GAN, VAE, Autoencoder, Diffusion, Flow
from pxgen_plugins.utils.errors import ModelError


def mixed(x: Tensor) -> Tensor:
    """As a normalisation by the batch's own mean does."""
    return x - 0.5 * x.mean(0)


def posterior(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[:, :2], torch.full((len(x), 2), -2.0)


def widened(z: Tensor) -> Tensor:
    return torch.cat([z, z, z], 1).sigmoid()


normal = torch.distributions.Normal(0.0, 1.0)
CASES = {
    "encode": lambda: VAE(
        encode=lambda x: posterior(mixed(x)),
        decode=widened,
        modules=(),
        latent_shape=(2,),
        sample_shape=(6,),
    ),
    "decode": lambda: VAE(
        encode=posterior,
        decode=lambda z: widened(mixed(z)),
        modules=(),
        latent_shape=(2,),
        sample_shape=(6,),
    ),
    "encode of an autoencoder": lambda: Autoencoder(
        encode=lambda x: mixed(x)[:, :2],
        decode=widened,
        modules=(),
        latent_shape=(2,),
        sample_shape=(6,),
    ),
    "generator": lambda: GAN(
        lambda z: widened(mixed(z)), modules=(), latent_shape=(2,), sample_shape=(6,)
    ),
    "discriminator": lambda: GAN(
        widened,
        discriminator=lambda x: mixed(x)[:, :1],
        modules=(),
        latent_shape=(2,),
        sample_shape=(6,),
    ),
    "network": lambda: Diffusion(lambda x, t: mixed(x), modules=(), sample_shape=(6,)),
    "log_prob": lambda: Flow(
        log_prob=lambda y: normal.log_prob(mixed(y)).sum(1),
        modules=(),
        sample_shape=(6,),
        data_range=None,
    ),
}


@pytest.mark.parametrize("role", CASES)
def test_a_function_of_the_batch_is_refused(role):
    with pytest.raises(ModelError, match="other rows of a batch") as found:
        CASES[role]()
    assert role.split()[0] in str(found.value)


def test_batch_normalisation_without_running_statistics_is_one():
    with torch.random.fork_rng():
        net = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4, track_running_stats=False))
    settings = {"latent_shape": (2,), "sample_shape": (6,)}
    with pytest.raises(ModelError, match="running statistics"):
        VAE(encode=lambda x: net(x).chunk(2, 1), decode=widened, modules=net, **settings)
    net[1] = nn.BatchNorm1d(4)
    VAE(encode=lambda x: net(x).chunk(2, 1), decode=widened, modules=net, **settings)
