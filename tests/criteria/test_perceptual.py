"""Perceptual and distribution criteria against slow computations in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from skimage.metrics import structural_similarity
from torch import Tensor, nn

from pxgen_plugins import PXGen, criteria
from pxgen_plugins.criteria import Batch, FeatureDistance, PatchFrechet, make
from pxgen_plugins.thresholds import MeanMax
from pxgen_plugins.utils.errors import CapabilityError, ModelError, ParameterError
from tests.conftest import tiny_vae


class Other:
    """Reconstructs given images, whatever comes in."""

    capabilities = frozenset({"reconstruct"})
    data_range = (0.0, 1.0)

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.images[: len(x)]


def pair(shape: tuple[int, ...], seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(3, *shape, generator=generator)
    return x, (x + 0.2 * torch.rand(3, *shape, generator=generator)).clamp(0.0, 1.0)


def values(criterion: Any, x: Tensor, y: Tensor) -> NDArray[np.float64]:
    return criterion(Batch(Other(y), x)).double().numpy()


def window_statistics(x: NDArray[Any], y: NDArray[Any]) -> tuple[float, float]:
    """Mean similarity and mean contrast-structure, window by window."""
    offsets = np.arange(11) - 5
    kernel = np.exp(-(offsets**2) / (2 * 1.5**2))
    kernel = np.outer(kernel, kernel) / kernel.sum() ** 2
    whole, structure = [], []
    for i in range(x.shape[0] - 10):
        for j in range(x.shape[1] - 10):
            a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            ma, mb = (kernel * a).sum(), (kernel * b).sum()
            va, vb = (kernel * (a - ma) ** 2).sum(), (kernel * (b - mb) ** 2).sum()
            cov = (kernel * (a - ma) * (b - mb)).sum()
            cs = (2 * cov + 0.03**2) / (va + vb + 0.03**2)
            whole.append((2 * ma * mb + 0.01**2) / (ma**2 + mb**2 + 0.01**2) * cs)
            structure.append(cs)
    return float(np.mean(whole)), float(np.mean(structure))


def halved(x: NDArray[Any]) -> NDArray[Any]:
    return (x[0::2, 0::2] + x[1::2, 0::2] + x[0::2, 1::2] + x[1::2, 1::2]) / 4


def test_ms_ssim_is_the_weighted_product_over_scales():
    x, y = pair((1, 48, 48))
    weights = np.array([0.0448, 0.2856, 0.3001])  # 48, 24 and 12 pixels
    weights /= weights.sum()
    expected = []
    for a, b in zip(x[:, 0].double().numpy(), y[:, 0].double().numpy(), strict=True):
        factors = []
        for scale in range(3):
            whole, structure = window_statistics(a, b)
            factors.append(whole if scale == 2 else structure)
            a, b = halved(a), halved(b)
        expected.append(-np.prod(np.array(factors) ** weights))
    np.testing.assert_allclose(values(criteria.MSSSIM(), x, y), expected, rtol=1e-4)


def test_ms_ssim_of_a_small_image_is_ssim():
    x, y = pair((3, 21, 15))
    expected = [
        -structural_similarity(
            a.numpy(), b.numpy(), channel_axis=0, data_range=1.0, gaussian_weights=True,
            sigma=1.5, use_sample_covariance=False, truncate=10 / 3,
        )
        for a, b in zip(x.double(), y.double(), strict=True)
    ]  # fmt: skip
    one = values(criteria.SSIM(), x, y)
    np.testing.assert_allclose(values(criteria.MSSSIM(), x, y), one, rtol=1e-6)
    np.testing.assert_allclose(one, expected, atol=0.02)  # theirs pads the border


def test_ms_ssim_of_opposite_images_is_zero_and_has_a_gradient():
    x = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    found = criteria.MSSSIM()(Batch(Other((1.0 - x).detach()), x))
    assert -1e-3 < float(found) <= 0.0
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert bool(gradient.isfinite().all())


def frechet(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Frechet distance of rows, by the definition, with a matrix square root."""
    s, t = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    s, t = np.atleast_2d(s), np.atleast_2d(t)
    cross = np.real(np.trace(np.atleast_2d(sqrtm(s @ t))))
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s) + np.trace(t) - 2 * cross)


@pytest.mark.parametrize(("shape", "patch"), [((1, 12, 12), 3), ((3, 10, 14), 2), ((1, 9, 9), 1)])
def test_patch_frechet_is_the_distance_of_patch_statistics(shape, patch):
    x, y = pair(shape)
    expected = []
    for a, b in zip(x.double().numpy(), y.double().numpy(), strict=True):
        rows = [
            [
                image[:, i : i + patch, j : j + patch].ravel()
                for i in range(shape[1] - patch + 1)
                for j in range(shape[2] - patch + 1)
            ]
            for image in (a, b)
        ]
        expected.append(frechet(np.array(rows[0]), np.array(rows[1])))
    np.testing.assert_allclose(values(PatchFrechet(patch=patch), x, y), expected, rtol=2e-3)


def test_patch_frechet_takes_a_networks_maps_as_patches():
    x, y = pair((1, 12, 12))
    net = nn.Conv2d(1, 4, 3, padding=1)
    with torch.no_grad():
        found = values(PatchFrechet(network=net), x, y)
        maps = [net(part).double().flatten(2).mT.numpy() for part in (x, y)]
    expected = [frechet(a, b) for a, b in zip(*maps, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=2e-3)


def test_patch_frechet_sees_textures_and_not_places():
    x, _ = pair((1, 16, 16))
    same = values(PatchFrechet(patch=1), x, x.flip(-1))
    np.testing.assert_allclose(same, 0.0, atol=1e-7)
    flat = torch.full_like(x, 0.25)
    level = values(PatchFrechet(patch=3), flat, torch.full_like(x, 0.75))
    np.testing.assert_allclose(level, 9 * 0.25, rtol=1e-6)  # nine pixels, each off by a half
    assert (values(PatchFrechet(), x, flat) > values(PatchFrechet(), x, x.roll(1, -1))).all()


def test_patch_frechet_refuses_what_has_one_position():
    x, y = pair((1, 5, 5))
    with pytest.raises(CapabilityError, match="several positions"):
        values(PatchFrechet(patch=5), x, y)
    with pytest.raises(CapabilityError, match="sample_shape"):
        values(PatchFrechet(), *pair((7,)))
    with pytest.raises(ParameterError, match="patch must be an integer >= 1"):
        PatchFrechet(patch=0)


class TwoLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 3, 3)
        self.second = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(3, 2, 3))

    def forward(self, x: Tensor) -> list[Tensor]:
        first = self.first(x)
        return [first, self.second(first)]


@pytest.mark.parametrize("normalise", [False, True])
def test_feature_distance_sums_layers_and_averages_positions(normalise):
    x, y = pair((1, 9, 9))
    net = TwoLayers().train()
    with torch.no_grad():
        found = values(FeatureDistance(network=net, normalise=normalise), x, y)
        assert net.training
        assert net.second[0].training
        net.eval()
        expected = np.zeros(3)
        for one, other in zip(net(x), net(y), strict=True):
            for row in range(3):
                a, b = one[row].double().numpy(), other[row].double().numpy()
                for i in range(a.shape[1]):
                    for j in range(a.shape[2]):
                        u, v = a[:, i, j], b[:, i, j]
                        if normalise:
                            u, v = u / math.sqrt((u**2).sum()), v / math.sqrt((v**2).sum())
                        expected[row] += ((u - v) ** 2).sum() / (a.shape[1] * a.shape[2])
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_network_behind_a_method_is_evaluated_without_dropout():
    x, y = pair((1, 9, 9))
    net = TwoLayers().train()
    with torch.no_grad():
        one, other = (values(FeatureDistance(network=n), x, y) for n in (net, net.forward))
    np.testing.assert_array_equal(one, other)
    assert net.second[0].training


def test_feature_distance_without_a_network_is_mse():
    x, y = pair((2, 6, 6))
    mse = values(criteria.MSE(), x, y)
    np.testing.assert_allclose(values(FeatureDistance(), x, y), mse, rtol=1e-6)


def test_a_network_that_returns_something_else_is_named():
    x, y = pair((1, 6, 6))
    with pytest.raises(ModelError, match="of 3 rows of features"):
        values(FeatureDistance(network=lambda x: x.mean()), x, y)
    with pytest.raises(ParameterError, match="network must be callable"):
        FeatureDistance(network="vgg")


def test_a_criterion_with_a_network_is_saved_by_name_and_loaded_with_the_network(tmp_path, images):
    vae, net = tiny_vae(), nn.Conv2d(1, 4, 3)
    rule = MeanMax(n_samples=50, n_repeats=2)
    made = PXGen(vae, extrinsic=FeatureDistance(network=net), threshold=rule).fit()
    found = made.explain(images)
    settings = found.meta["params"]["extrinsic"]
    assert settings == [{"name": "feature_distance", "network": "Conv2d", "normalise": False}]
    made.save(tmp_path)
    with pytest.raises(ParameterError, match="complete without callables"):
        PXGen.load(tmp_path, vae)
    loaded = PXGen.load(tmp_path, vae, extrinsic=FeatureDistance(network=net))
    np.testing.assert_array_equal(loaded.explain(images).values, found.values)


@pytest.mark.parametrize("name", ["feature_distance", "patch_frechet"])
def test_a_network_that_mixes_the_rows_of_a_batch_is_refused(name):
    class Echo:
        capabilities = frozenset({"reconstruct"})

        def reconstruct(self, x):
            return x.clone()

    x = torch.rand(9, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    mixing = make({"name": name, "network": lambda x: x - x.mean(0)})
    with pytest.raises(ModelError, match="each instance by itself"):
        mixing(Batch(Echo(), x))
    assert make({"name": name, "network": lambda x: 2 * x})(Batch(Echo(), x)).abs().max() < 1e-4
