"""Criteria that know the range do not depend on the unit in which a model keeps its images."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pxgen_plugins.criteria import Batch, make

BOUNDED = ["bce", "dssim", "fvu", "ms_ssim", "psnr", "ssim"]


class Given:
    capabilities = frozenset({"reconstruct"})

    def __init__(self, back: Tensor, data_range: tuple[float, float]) -> None:
        self._back, self.data_range = back, data_range

    def reconstruct(self, x: Tensor) -> Tensor:
        return self._back


@pytest.mark.parametrize("side", [16, 32])
@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (0.0, 255.0), (-3.0, 7.5)])
@pytest.mark.parametrize("name", BOUNDED)
def test_the_unit_of_the_images_does_not_matter(name, bounds, side):
    draws = torch.Generator().manual_seed(0)
    x = torch.rand(4, 2, side, side, generator=draws, dtype=torch.float64)
    back = (x + 0.1 * torch.randn(x.shape, generator=draws, dtype=torch.float64)).clamp(0.0, 1.0)
    x[3], back[3] = 0.51, 0.49  # nearly equal greys on either side of the middle
    low, high = bounds

    def value(move: Any, data_range: tuple[float, float]) -> Tensor:
        model: Any = Given(move(back), data_range)
        return make(name)(Batch(model, move(x)))

    expected = value(lambda v: v, (0.0, 1.0))
    found = value(lambda v: low + (high - low) * v, bounds)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["fvu", "ms_ssim", "mse", "patch_frechet", "ssim"])
@pytest.mark.parametrize("channels", [1, 3])
def test_where_the_channels_stand_does_not_matter(name, channels):
    draws = torch.Generator().manual_seed(0)
    x = torch.rand(4, channels, 17, 23, generator=draws, dtype=torch.float64)
    back = (x + 0.2 * torch.rand(x.shape, generator=draws, dtype=torch.float64)).clamp(0.0, 1.0)
    values = []
    for axes in ((0, 1, 2, 3), (0, 2, 3, 1)):
        model: Any = Given(back.permute(axes), (0.0, 1.0))
        values.append(make(name)(Batch(model, x.permute(axes))))
    torch.testing.assert_close(*values, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-3, 0.1, 255.0])
def test_the_patch_distance_scales_with_the_square_of_the_unit(scale):
    draws = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.avg_pool2d
    x = smooth(torch.rand(2, 1, 34, 34, generator=draws, dtype=torch.float64), 3, 1)
    back = smooth(x, 3, 1, 1)
    values = []
    for s in (1.0, scale):
        model: Any = Given(s * back, (0.0, s))
        values.append(make("patch_frechet")(Batch(model, s * x)) / s**2)
    torch.testing.assert_close(*values, rtol=1e-4, atol=1e-9)
