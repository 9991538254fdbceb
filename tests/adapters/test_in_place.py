"""In-place layers overwrite what others have seen; results are those of a twin without them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pxgen_plugins.adapters.attribution.deeplift import DeepLift
from pxgen_plugins.adapters.attribution.gradcam import GradCAM
from pxgen_plugins.adapters.attribution.lrp import LRP
from pxgen_plugins.adapters.units.activation_maximisation import ActivationMaximisation
from pxgen_plugins.adapters.units.activation_statistics import ActivationStatistics
from pxgen_plugins.models import VAE

X = np.random.default_rng(0).random((8, 1, 8, 8), dtype=np.float32)
LAYERS = ["c1", "g1", "a1", "up", "a2", "t1", "b2", "a3"]


class Net(nn.Module):
    """Conv, GroupNorm or BatchNorm, LeakyReLU, and a residual sum; ``inplace`` works in place."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inplace = inplace
        self.c1, self.g1 = nn.Conv2d(1, 4, 3, 2, 1), nn.GroupNorm(2, 4)
        self.a1, self.a2, self.a3 = (nn.LeakyReLU(0.1, inplace=inplace) for _ in range(3))
        self.fc, self.up = nn.Linear(64, 8), nn.Linear(4, 64)
        self.t1, self.b2 = nn.ConvTranspose2d(4, 4, 4, 2, 1), nn.BatchNorm2d(4)
        self.out = nn.Conv2d(4, 1, 3, 1, 1)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.fc(self.a1(self.g1(self.c1(x))).flatten(1)).chunk(2, 1)
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        h = self.a2(self.up(z)).reshape(-1, 4, 4, 4)
        wide = self.t1(h)
        wide = wide.mul_(2.0) if self.inplace else wide * 2.0
        return torch.sigmoid(self.out(self.a3(self.b2(wide))))


def vae(inplace: bool) -> VAE:
    with torch.random.fork_rng([]):
        net = Net(inplace).eval()
    return VAE(net, latent_shape=(4,), sample_shape=(1, 8, 8))


def channels(layer: str) -> np.ndarray:
    """The layer's channel means by running the twin, layer after layer, each result copied."""
    net, seen = vae(False).modules[0], {}

    def run(name: str, x: Tensor) -> Tensor:
        seen[name] = getattr(net, name)(x).clone()
        return seen[name]

    with torch.no_grad():
        h = run("a1", run("g1", run("c1", torch.from_numpy(X))))
        z = run("fc", h.flatten(1)).chunk(2, 1)[0]
        h = run("t1", run("a2", run("up", z)).reshape(-1, 4, 4, 4))
        run("a3", run("b2", 2.0 * h))
    values = seen[layer]
    return values.flatten(2).mean(2).numpy() if values.ndim > 2 else values.numpy()


@pytest.mark.parametrize("inplace", [False, True])
def test_statistics_are_those_of_the_layer_named(inplace):
    result = ActivationStatistics(vae(inplace)).explain(X)
    for layer in LAYERS:
        mean = channels(layer).astype(np.float64).mean(0)
        np.testing.assert_allclose(result.layers[layer]["mean"][0], mean, atol=1e-5, err_msg=layer)


@pytest.mark.parametrize("layer", ["up", "b2", "t1", "a3"])
def test_maximisation_climbs_the_layer_named(layer):
    results = [
        ActivationMaximisation(vae(inplace), layer, [0, 1], n_steps=20).explain(X)
        for inplace in (False, True)
    ]
    for key in ("activation", "codes", "anchor_activation"):
        np.testing.assert_allclose(results[1].data[key], results[0].data[key], rtol=1e-4, atol=1e-5)
    reached = channels(layer)[:, :2]
    np.testing.assert_allclose(results[1].anchor_activation, reached, atol=1e-5)


@pytest.mark.parametrize("target", ["mse", "kld", "bce"])
@pytest.mark.parametrize("layer", [None, "g1", "c1"])
def test_grad_cam_is_that_of_the_layer_named(target, layer):
    pytest.importorskip("captum")
    one, two = (GradCAM(vae(place), target, layer=layer).explain(X) for place in (False, True))
    assert one.layer == two.layer
    np.testing.assert_allclose(one.maps, two.maps, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", [LRP, DeepLift])
@pytest.mark.parametrize("space", ["input", "latent"])
def test_attributions_do_not_depend_on_where_results_are_written(kind, space):
    if kind is DeepLift:
        pytest.importorskip("captum")
    one, two = (kind(vae(place), "mse", space=space) for place in (False, True))
    if kind is LRP and space == "input":  # GroupNorm has no rule
        one, two = (kind(vae(place), "pixel[0, 3, 3]", space="latent") for place in (False, True))
    first, second = one.explain(X), two.explain(X)
    np.testing.assert_allclose(first.attributions, second.attributions, rtol=1e-3, atol=1e-6)


def test_lrp_books_what_came_out_not_what_the_target_made_of_it():
    weight = torch.tensor([[2.0, 1.0], [0.0, 1.0]])
    model = VAE(
        encode=lambda x: (x @ weight + 0.0, x @ weight - 1.0),
        decode=lambda z: z / 4,
        modules=(),
        sample_shape=(2,),
        data_range=None,
    )

    def target(batch):
        return batch.mean.mul_(3.0).sum(1)

    result = LRP(model, target, epsilon=0.0).explain(np.array([[1.0, 2.0]], "f4"))
    assert result.start_relevance.tolist() == [15.0]  # 3 * (2 * 1) + 3 * (1 + 2)
    assert result.absorbed.tolist() == [0.0]
