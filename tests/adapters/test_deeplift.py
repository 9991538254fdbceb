"""DeepLift against its rule written out, and refused by name where captum would lose track."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pxgen_plugins.adapters.attribution.deeplift import RESCALED, DeepLift
from pxgen_plugins.adapters.targets import Latent
from pxgen_plugins.models import VAE
from pxgen_plugins.utils.errors import ModelError

pytest.importorskip("captum")

X = np.random.default_rng(1).normal(size=(4, 10)).astype(np.float32)


class TwoHeads(nn.Module):
    """Mean and log variance behind activations of their own, or behind one that both share."""

    def __init__(self, shared: bool, mean_first: bool) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(10, 16), nn.Linear(10, 16)
        self.m, self.v, self.o = nn.Linear(16, 4), nn.Linear(16, 4), nn.Linear(4, 10)
        self.act = nn.ReLU()
        self.act2 = self.act if shared else nn.ReLU()
        self.mean_first = mean_first

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.mean_first:  # the last run of a shared activation is off the mean's path
            mean = self.m(self.act(self.a(x)))
            return mean, self.v(self.act2(self.b(x)))
        log_var = self.v(self.act2(self.b(x)))
        return self.m(self.act(self.a(x))), log_var

    def decode(self, z: Tensor) -> Tensor:
        return self.o(z)


def vae(shared: bool, mean_first: bool = True) -> VAE:
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        net = TwoHeads(shared, mean_first)
    return VAE(net, latent_shape=(4,), sample_shape=(10,), data_range=None)


def test_the_types_that_are_counted_are_those_that_captum_treats():
    from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR

    assert set(RESCALED) == set(SUPPORTED_NON_LINEAR)


def test_two_activations_give_the_rescale_rule():
    model = vae(shared=False)
    net = model.modules[0]
    result = DeepLift(model, Latent(1)).explain(X)
    with torch.no_grad():
        before, after = net.a(torch.zeros(1, 10)), net.a(torch.from_numpy(X))
        slope = (after.relu() - before.relu()) / (after - before)
        expected = torch.from_numpy(X) * ((slope * net.m.weight[1]) @ net.a.weight)
    np.testing.assert_allclose(result.attributions, expected.numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(result.convergence_delta, 0.0, atol=1e-6)


@pytest.mark.parametrize("mean_first", [True, False])
@pytest.mark.parametrize("target", [Latent(1), "kld", "mse"])
def test_an_activation_that_two_heads_share_is_refused_by_name(target, mean_first):
    model = vae(shared=True, mean_first=mean_first)
    with pytest.raises(ModelError, match=r"runs once; got .*which runs 'act' \(2 times\)"):
        DeepLift(model, target).explain(X)
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules[0].modules()]
    assert not any(hooks)


def test_a_shared_activation_that_the_target_runs_once_is_no_matter():
    one, two = (DeepLift(vae(shared), "mse", space="latent").explain(X) for shared in (False, True))
    np.testing.assert_array_equal(one.attributions, two.attributions)
