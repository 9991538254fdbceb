"""PXGen under the suite: a white box and a black box on the same tiny seeded VAE."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch import nn

from pxgen_plugins.testing import ExplainerCase

SAMPLE_SHAPE = (1, 8, 8)
LATENT = 3


class Logit(nn.Module):
    """The inverse of the sigmoid, cut near 0 and 1."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.logit(x, eps=1e-3)


class TinyVAE(nn.Module):
    """A sigmoid of a linear map, and almost its inverse: samples come back with a small error.

    `seed` gives other weights, `ballast` more parameters that do nothing. Dropout makes training
    mode visible.
    """

    def __init__(self, seed: int = 0, ballast: int = 0) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Flatten(), nn.Dropout(0.5), Logit(), nn.Linear(64, 2 * LATENT)
        )
        self.decoder = nn.Sequential(nn.Linear(LATENT, 64), nn.Sigmoid())
        self.ballast = nn.Parameter(torch.zeros(ballast))
        generator = torch.Generator().manual_seed(seed)
        up = torch.randn(64, LATENT, generator=generator) / 2
        error = torch.randn(64, generator=generator)
        down = torch.linalg.pinv(up)
        with torch.no_grad():
            self.decoder[0].weight.copy_(up)
            self.decoder[0].bias.copy_(error)
            self.encoder[3].weight.copy_(torch.cat([down, 0.1 * down]))
            self.encoder[3].bias.copy_(torch.tensor([0.0] * LATENT + [-2.0] * LATENT))

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, log_var = self.encoder(x).chunk(2, dim=1)
        return mean, log_var

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return self.decoder(z).reshape(-1, *SAMPLE_SHAPE)


class Outside:
    """The same model behind a wall: criterion values and samples as plain ndarrays."""

    def __init__(self, seed: int = 0, ballast: int = 0) -> None:
        self.net = TinyVAE(seed, ballast).eval()

    def __call__(self, X: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            x = torch.tensor(np.asarray(X), dtype=torch.float32).reshape(-1, *SAMPLE_SHAPE)
            mean, log_var = self.net.encode(x)
            kld = 0.5 * (mean**2 + log_var.exp() - 1.0 - log_var).sum(1)
            mse = ((x - self.net.decode(mean)) ** 2).flatten(1).mean(1)
        return torch.stack([kld, mse], dim=1).double().numpy()


def wrap(net: TinyVAE) -> Any:
    from pxgen_plugins.models import VAE

    model: Any = VAE(net, latent_shape=(LATENT,), sample_shape=SAMPLE_SHAPE)
    model.net = net
    return model


def white() -> Any:
    return wrap(TinyVAE())


def other_white() -> Any:
    return wrap(TinyVAE(seed=1))


def grown_white() -> Any:
    return wrap(TinyVAE(ballast=200_000))


def black() -> Outside:
    return Outside()


def other_black() -> Outside:
    return Outside(seed=1)


def grown_black() -> Outside:
    return Outside(ballast=200_000)


@functools.cache
def _network() -> TinyVAE:
    return TinyVAE().eval()


def sampler(n: int, seed: int) -> np.ndarray:
    """Samples of the tiny VAE."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        return _network().decode(torch.randn(n, LATENT, generator=generator)).numpy()


def module_of(model: Any) -> nn.Module:
    """The network behind a VAE made by `wrap`."""
    return model.net


def module_of_outside(predictor: Outside) -> nn.Module:
    return predictor.net


def anchors(n: int = 24, seed: int = 5) -> np.ndarray:
    """Anchors of all four groups in turn, float32 in [0, 1].

    Samples, samples with noise, samples of codes far from the prior, and the latter with noise.
    """
    rng = np.random.default_rng(seed)
    kind = np.arange(n) % 4
    codes = rng.normal(size=(n, LATENT)) * 0.5
    codes[kind >= 2] += np.sign(codes[kind >= 2]) * 3.0
    with torch.no_grad():
        images = _network().decode(torch.tensor(codes, dtype=torch.float32)).numpy()
    noise = rng.random((n, *SAMPLE_SHAPE)) - 0.5
    weight = np.where(kind % 2 == 1, 1.0, 0.01)[:, None, None, None]
    return np.clip(images + weight * noise, 0.0, 1.0).astype(np.float32)


def small_threshold() -> Any:
    from pxgen_plugins.thresholds import MeanMax

    return MeanMax(n_samples=64, n_repeats=3)


def make_white(predictor: Any, **options: Any) -> Any:
    from pxgen_plugins import PXGen

    settings = {
        "intrinsic": "kld",
        "extrinsic": "mse",
        "threshold": small_threshold(),
        "n_representatives": 3,
        **options,
    }
    return PXGen(predictor, **settings)


def make_black(predictor: Any, **options: Any) -> Any:
    return make_white(predictor, **{"sampler": sampler, **options})


def make_many(predictor: Any, **options: Any) -> Any:
    """Several criteria, every selector and drawn reconstructions."""
    from pxgen_plugins import selection

    return make_white(
        predictor,
        **{
            "intrinsic": ("kld", "mahalanobis", "elbo"),
            "extrinsic": ("mse", "dssim"),
            "selectors": tuple(selection.names()),
            "reconstruction": "sample",
            "rule": "mean",
            **options,
        },
    )


def labels_of(X: np.ndarray) -> dict[str, Any]:
    return {"labels": [f"label {i % 3}" for i in range(len(X))]}


def invalid_anchors() -> np.ndarray:
    X = anchors(9)
    X[2, 0, 1, 1] = np.nan
    X[5, 0, 0, 0] = np.inf
    return X


def pxgen_cases() -> list[ExplainerCase]:
    """Return the cases of PXGen."""
    from pxgen_plugins.result.explanation import DEFAULT_DATA_PXGEN

    common: dict[str, Any] = {
        "fit_args": (),
        "not_in_params": frozenset({"sampler"}),  # a callable
        "atol": 1e-4,  # distances to a threshold cancel: float32 noise is large beside them
        "data_keys": frozenset(DEFAULT_DATA_PXGEN),
        "seed_matters": True,
        "X_invalid": invalid_anchors(),
    }
    white_box = {
        **common,
        "make_predictor": white,
        "make_other": other_white,
        "make_grown": grown_white,
        "module": module_of,
    }
    return [
        ExplainerCase("PXGen", make_white, X=anchors(), **white_box),
        ExplainerCase(
            "PXGen with labels", make_white, X=anchors(), explain_kwargs=labels_of, **white_box
        ),
        ExplainerCase("PXGen with every part", make_many, X=anchors(), **white_box),
        ExplainerCase(
            "PXGen black box",
            make_black,
            make_predictor=black,
            make_other=other_black,
            make_grown=grown_black,
            module=module_of_outside,
            X=anchors(),
            **common,
        ),
    ]
