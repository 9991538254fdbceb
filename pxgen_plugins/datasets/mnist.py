"""The MNIST images (LeCun, Cortes and Burges, 1998; CC BY-SA 3.0), in their original order."""

from __future__ import annotations

import io
import numbers
from collections.abc import Iterable
from typing import Literal

import numpy as np
import numpy.typing as npt

from pxgen_plugins.datasets.data_files import read
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.validation import choice

__all__ = ["load_mnist"]


@caller("load_mnist")
def load_mnist(
    split: Literal["train", "test"] = "train", digits: int | Iterable[int] | None = None
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return MNIST images and their labels.

    Nothing is downloaded: the images ship with the package. The training images take about 0.6 s
    and 50 MB to unpack, the test images a tenth of that.

    Args:
        split: ``"train"`` (60,000 images) or ``"test"`` (10,000).
        digits: A digit or several, to keep only those; all by default. The order of the original
            file is kept.

    Returns:
        Images of shape (n, 28, 28), grey values 0 to 255, white ink on black; labels of shape (n,).

    Raises:
        ParameterError: When ``split`` or ``digits`` is not as above.
        DataFileError: When the shipped file is damaged.

    Example:
        >>> images, labels = load_mnist("test", digits=[0, 1])
        >>> images.shape, images.dtype, sorted(set(labels.tolist()))
        ((2115, 28, 28), dtype('uint8'), [0, 1])
    """
    split_ = choice(split, "split", ("train", "test"))
    wanted = None if digits is None else _digits(digits)
    content, _ = read("mnist.npz")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        labels = arrays[f"{split_}_labels"].astype(np.int64)
        images: npt.NDArray[np.uint8] = arrays[f"{split_}_images"]
    if wanted is None:
        return images, labels
    kept = np.isin(labels, wanted)
    return images[kept], labels[kept]


def _digits(digits: int | Iterable[int]) -> list[int]:
    given: list[object] = (
        list(digits)
        if isinstance(digits, Iterable) and not isinstance(digits, (str, bytes))
        else [digits]
    )
    wanted = [int(d) for d in given if isinstance(d, numbers.Integral) and not isinstance(d, bool)]
    if not given or len(wanted) < len(given) or not set(wanted) <= set(range(10)):
        allowed = "a digit 0 to 9, a non-empty collection of them, or None"
        hint = "Pass digits=0 or digits=[0, 1], or leave it out for all ten."
        raise ParameterError("digits", allowed, short_repr(digits), hint)
    return wanted
