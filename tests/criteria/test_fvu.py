"""The share of an anchor's variance that is lost, against R^2 of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import r2_score

from pxgen_plugins.criteria import FVU, Batch
from pxgen_plugins.utils.errors import CapabilityError, ParameterError


class Given:
    """A model that answers a given reconstruction."""

    capabilities = frozenset({"reconstruct"})

    def __init__(self, back: NDArray[Any], data_range: tuple[float, float] | None) -> None:
        self._back, self.data_range = torch.from_numpy(back), data_range

    def reconstruct(self, x: torch.Tensor) -> torch.Tensor:
        return self._back


def fvu(
    x: NDArray[Any],
    back: NDArray[Any],
    data_range: tuple[float, float] | None = (0.0, 1.0),
    levels: int | None = 256,
) -> NDArray[Any]:
    model: Any = Given(back, data_range)
    return FVU(levels=levels)(Batch(model, torch.from_numpy(x))).numpy()


def pair(seed: int, *shape: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    draws = np.random.default_rng(seed)
    return draws.random(shape), draws.random(shape)


@given(st.integers(0, 10_000), st.integers(2, 40))
@settings(max_examples=30, deadline=None)
def test_it_is_one_less_the_coefficient_of_determination(seed, d):
    x, back = pair(seed, 5, d)
    expected = [1 - r2_score(row, again) for row, again in zip(x, back, strict=True)]
    np.testing.assert_allclose(fvu(x, back, None, None), expected, rtol=1e-9)


def test_of_an_image_the_means_are_those_of_the_channels():
    x, back = pair(0, 4, 3, 5, 6)
    expected = []
    for image, again in zip(x, back, strict=True):
        spread = sum(((c - c.mean()) ** 2).sum() for c in image)
        expected.append(((image - again) ** 2).sum() / spread)
    np.testing.assert_allclose(fvu(x, back, None, None), expected, rtol=1e-9)


def test_an_exact_reconstruction_is_zero_and_the_channels_mean_nearly_one():
    x, _ = pair(1, 4, 3, 8, 8)
    assert (fvu(x, x.copy()) == 0).all()
    flat = np.broadcast_to(x.mean((2, 3), keepdims=True), x.shape).copy()
    np.testing.assert_allclose(fvu(x, flat), 1.0, rtol=1e-4)


def test_a_constant_colour_is_held_against_the_noise_of_rounding():
    x = np.ones((2, 3, 4, 4)) * np.array([0.2, 0.5, 0.9])[:, None, None]
    step = 1 / 255
    back = x + np.array([step / np.sqrt(12), 0.1])[:, None, None, None]
    np.testing.assert_allclose(fvu(x, back), [1.0, 0.01 * 12 / step**2], rtol=1e-6)
    assert not np.isfinite(fvu(x, back, None, None)).any()


@given(st.floats(0.1, 100.0), st.floats(-10.0, 10.0))
@settings(max_examples=30, deadline=None)
def test_the_unit_of_the_data_does_not_matter(scale, shift):
    x, back = pair(2, 3, 2, 4, 4)
    moved = fvu(scale * x + shift, scale * back + shift, (shift, shift + scale))
    np.testing.assert_allclose(moved, fvu(x, back), rtol=1e-6)


def test_it_needs_a_range_to_know_the_rounding():
    x, back = pair(3, 2, 6)
    with pytest.raises(CapabilityError, match="data_range"):
        fvu(x, back, None)


@pytest.mark.parametrize("levels", [1, 2.5, "256"])
def test_levels_are_a_number_from_two(levels):
    with pytest.raises(ParameterError, match="levels"):
        FVU(levels=levels)
