"""Baselines as arrays, integration of what is linear, and the layer that a target depends on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pxgen_plugins.adapters.attribution.ablation import LatentAblation
from pxgen_plugins.adapters.attribution.deeplift import DeepLift
from pxgen_plugins.adapters.attribution.gradcam import GradCAM
from pxgen_plugins.adapters.attribution.gradient_shap import GradientShap
from pxgen_plugins.adapters.attribution.gradients import TorchIntegratedGradients
from pxgen_plugins.adapters.attribution.occlusion import Occlusion
from pxgen_plugins.adapters.targets import Latent
from pxgen_plugins.models import VAE
from pxgen_plugins.utils.errors import ModelError

pytest.importorskip("captum")

X = np.array([[1.0, 2.0], [3.0, -1.0]], dtype=np.float32)
BASELINE = np.array([0.5, 4.0], dtype=np.float32)
LINEAR = [TorchIntegratedGradients, DeepLift, Occlusion, GradientShap, LatentAblation]


def flat() -> VAE:
    return VAE(
        encode=lambda x: (2 * x, 0 * x - 1),
        decode=lambda z: z / 4,
        modules=(),
        sample_shape=(2,),
        data_range=None,
    )


def first_code(batch):
    return 3.0 * batch.mean[:, 0] - batch.mean[:, 1]


@pytest.mark.parametrize("kind", LINEAR)
def test_an_array_is_a_baseline_with_and_without_fit(kind):
    """For a linear target every method gives slope times difference."""
    code = kind is LatentAblation
    slope, point = np.array([3.0, -1.0]) * (1 if code else 2), 2 * X if code else X
    adapter = kind(flat(), first_code, baseline=BASELINE)
    plain = adapter.explain(X)
    assert adapter.fit(X) is adapter
    for result in (plain, adapter.explain(X)):
        np.testing.assert_allclose(result.attributions, slope * (point - BASELINE), rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 50])
@pytest.mark.parametrize("space", ["input", "latent"])
def test_a_linear_target_is_integrated_exactly_by_any_number_of_steps(steps, space):
    adapter = TorchIntegratedGradients(
        flat(), first_code, space=space, n_steps=steps, baseline=BASELINE
    )
    point, slope = (X, np.array([6.0, -2.0])) if space == "input" else (2 * X, [3.0, -1.0])
    result = adapter.explain(X)
    np.testing.assert_allclose(result.attributions, slope * (point - BASELINE), rtol=1e-5)
    np.testing.assert_allclose(result.convergence_delta, 0.0, atol=1e-4)


class Heads(nn.Module):
    """Latent maps from two heads; ``mean`` runs first, ``log_var`` last."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(1, 3, 3, 2, 1)
        self.mean, self.log_var = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 1)
        self.up = nn.ConvTranspose2d(2, 1, 4, 2, 1)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.down(x).relu()
        return self.mean(h), self.log_var(h)

    def decode(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.up(z))


def test_grad_cam_takes_a_layer_that_the_target_depends_on():
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = VAE(Heads(), sample_shape=(1, 8, 8))
    images = np.random.default_rng(0).random((3, 1, 8, 8), dtype=np.float32)
    result = GradCAM(model, Latent(5)).explain(images)
    assert result.layer == "mean"
    with torch.no_grad():  # the gradient is 1 at one place of channel 0, so its mean is 1 / 16
        expected = model.encode(torch.from_numpy(images))[0][:, :1].numpy() / 16
    np.testing.assert_allclose(result.maps, expected, rtol=1e-4, atol=1e-7)
    assert GradCAM(model, "kld").explain(images).layer == "log_var"
    assert GradCAM(model, "mse").explain(images).layer == "up"
    assert GradCAM(model, Latent(5)).explain(images[:0]).layer == "mean"
    with pytest.raises(ModelError, match="'log_var', on which it does not depend"):
        GradCAM(model, Latent(5), layer="log_var").explain(images)
