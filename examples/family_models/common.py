"""What the models of the families share: what is built, and the images they are tried on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from pxgen_plugins.datasets import load_mnist

__all__ = ["Family", "beside", "digits", "greys", "stored_weights", "strangers"]

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
SHARED = Path(__file__).resolve().parents[2].parent / "shared"


class Family(NamedTuple):
    """A trained model and what it is tried on.

    Attributes:
        model: The model.
        intrinsic: Names or objects of intrinsic criteria; the first is used for the groups.
        extrinsic: The same of extrinsic ones.
        in_domain: Instances of the kind that it was trained on, held out from training.
        out_of_domain: Others, by name.
        reference: Training data for the criteria that learn from data; None lets them learn from
            samples.
    """

    model: Any
    intrinsic: Sequence[Any]
    extrinsic: Sequence[Any]
    in_domain: Any
    out_of_domain: Mapping[str, Any]
    reference: Any = None


def stored_weights(name: str) -> dict[str, Tensor]:
    """Return the weights that ``train_families.py`` wrote.

    Raises:
        FileNotFoundError: When they were not trained yet.
    """
    path = WEIGHTS / f"{name}.safetensors"
    if not path.exists():
        raise FileNotFoundError(f"{path}: run python examples/train_families.py {name}")
    return load_file(path)


def beside(*parts: str) -> Path:
    """Return the path of a published model or data set kept beside the repository.

    Raises:
        FileNotFoundError: When it is not there.
    """
    path = SHARED.joinpath(*parts)
    if not path.exists():
        raise FileNotFoundError(f"{path} is absent; it is kept beside the repository")
    return path


def digits(
    n: int = 500, split: Literal["train", "test"] = "test", digits: Any = None, low: float = 0.0
) -> NDArray[np.float32]:
    """Return the first ``n`` MNIST images, (n, 1, 28, 28), values from ``low`` to ``low`` + 1."""
    images, _ = load_mnist(split, digits=digits)
    return (images[:n, None] / np.float32(255.0) + np.float32(low)).astype(np.float32)


def strangers(
    x: NDArray[np.float32], low: float = 0.0, high: float = 1.0, seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """Return, for images ``x``, uniform noise, constant images and ``x`` in negative."""
    drawn = np.random.default_rng(seed)
    levels = drawn.random((len(x), *[1] * (x.ndim - 1)), dtype=np.float32)
    return {
        "noise": low + (high - low) * drawn.random(x.shape, dtype=np.float32),
        "constant": np.broadcast_to(low + (high - low) * levels, x.shape).copy(),
        "negative": np.float32(low + high) - x,
    }


def greys(n: int, low: float = 0.0) -> dict[str, NDArray[np.float32]]:
    """Return CIFAR-10 photographs as grey 28 x 28 images, if they lie beside the repository."""
    try:
        path = beside("data", "cifar10_subset.npz")
    except FileNotFoundError:
        return {}
    with np.load(path, allow_pickle=False) as arrays:
        images = arrays["test_x"][:: max(1, len(arrays["test_x"]) // n)][:n]
    grey = images[:, 2:30, 2:30].mean(3) / 255.0 + low
    return {"photographs": grey[:, None].astype(np.float32)}
