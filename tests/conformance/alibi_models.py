"""Small predictors for alibi's explainers; each has another one, and one with many parameters."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

FEATURES = 3


class Surface:
    """A smooth function of three features, with two outputs; `slope` makes another one."""

    def __init__(self, slope: float = 1.0, outputs: int = 2, ballast: int = 0) -> None:
        self.slope = slope
        self.outputs = outputs
        self.ballast = np.random.default_rng(0).random(ballast)

    def __call__(self, X: np.ndarray) -> np.ndarray:
        first = np.tanh(self.slope * X[:, 0]) + 0.1 * X[:, 1]
        second = X[:, 2] ** 2 - self.slope * X[:, 1]
        return np.stack([first, second], axis=1)[:, : self.outputs]


class Classes(Surface):
    """Probabilities of two classes."""

    def __call__(self, X: np.ndarray) -> np.ndarray:
        scores = super().__call__(X)
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)


class BrightCorner:
    """Probability that an 8 x 8 image is bright in its first quarter."""

    def __init__(self, sign: float = 1.0, ballast: int = 0) -> None:
        self.sign = sign
        self.ballast = np.random.default_rng(0).random(ballast)

    def __call__(self, X: np.ndarray) -> np.ndarray:
        light = X[:, :4, :4].mean(axis=(1, 2, 3)) - X[:, 4:, 4:].mean(axis=(1, 2, 3))
        p = 1.0 / (1.0 + np.exp(-40.0 * self.sign * light))
        return np.stack([1.0 - p, p], axis=1)


def surface() -> Surface:
    return Surface()


def other_surface() -> Surface:
    return Surface(slope=-0.5)


def grown_surface() -> Surface:
    return Surface(ballast=200_000)


class Height:
    """The first output of a surface, one number per row."""

    def __init__(self, slope: float = 1.0, ballast: int = 0) -> None:
        self.surface = Surface(slope, ballast=ballast)

    def __call__(self, X: np.ndarray) -> np.ndarray:
        return self.surface(X)[:, 0]


def height() -> Height:
    return Height()


def other_height() -> Height:
    return Height(slope=-0.5)


def grown_height() -> Height:
    return Height(ballast=200_000)


def classes() -> Classes:
    return Classes()


def other_classes() -> Classes:
    return Classes(slope=-3.0)


def grown_classes() -> Classes:
    return Classes(ballast=200_000)


def corner() -> BrightCorner:
    return BrightCorner()


def other_corner() -> BrightCorner:
    return BrightCorner(sign=-1.0)


def grown_corner() -> BrightCorner:
    return BrightCorner(ballast=200_000)


class Net(nn.Module):
    """A regression network of two layers in single precision."""

    def __init__(self, seed: int = 0, width: int = 4) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.body = nn.Sequential(nn.Linear(FEATURES, width), nn.Tanh(), nn.Linear(width, 1))
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * width**-0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def net() -> Net:
    return Net()


def other_net() -> Net:
    return Net(seed=1)


def grown_net() -> Net:
    return Net(width=40_000)


def squared_error(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return ((output - target) ** 2).sum()
