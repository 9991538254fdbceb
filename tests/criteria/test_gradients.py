"""Cross-entropies at outputs that saturate: the values of torch, and gradients that are finite."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pxgen_plugins import criteria
from pxgen_plugins.criteria import Batch
from pxgen_plugins.criteria.elementwise import cross_entropy
from pxgen_plugins.models import VAE

EDGES = [0.0, 1.0, 1e-45, 3e-44, 3.78e-44, 1e-42, 1e-40, 2.9e-39, 1.2e-38, 1e-30, 1 - 6e-8, 0.3]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_are_those_of_torch_and_gradients_the_quotient_or_0(dtype):
    p = torch.tensor([*EDGES, 1e-310, 1e-300], dtype=dtype)
    for x in (torch.zeros_like(p), torch.full_like(p, 0.25), torch.ones_like(p)):
        point = p.clone().requires_grad_()
        values = cross_entropy(x, point, 0.0, 1.0)
        log_p, log_rest = p.log().clamp(min=-100.0), (-p).log1p().clamp(min=-100.0)
        assert torch.equal(values, -(x * log_p + (1.0 - x) * log_rest))
        torch.testing.assert_close(values, F.binary_cross_entropy(p, x, reduction="none"))
        (slope,) = torch.autograd.grad(values.sum(), point)
        assert slope.isfinite().all()
        inside = (p > 1e-37) & (p < 1.0)
        exact = ((p.double() - x) / (p.double() * (1.0 - p.double()))).to(dtype)
        torch.testing.assert_close(slope[inside], exact[inside], rtol=1e-5, atol=0.0)
        assert (slope[p == 0.0] == (1.0 - x[p == 0.0])).all()  # log(1 - p) alone is left


def test_nan_is_not_hidden():
    nan = torch.tensor([torch.nan])
    assert cross_entropy(torch.ones(1), nan, 0.0, 1.0).isnan().all()
    assert cross_entropy(nan, torch.ones(1), 0.0, 1.0).isnan().all()


class Saturated(nn.Module):
    """The first element comes out as exactly 1 in float32, the second as exactly -1."""

    def __init__(self) -> None:
        super().__init__()
        self.e, self.d = nn.Linear(8, 4), nn.Linear(2, 8)
        self.d.bias.data = torch.tensor([12.0, -12.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.e(x).chunk(2, 1)
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        return torch.tanh(self.d(z))


@pytest.mark.parametrize("name", ["bce", "elbo"])
def test_gradients_of_a_saturated_model_are_those_of_float64(name):
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        net = Saturated()
    x = torch.from_numpy(np.random.default_rng(0).random((4, 8)).astype(np.float32) * 2 - 1)
    x[:, 0], x[:, 1] = 1.0, -1.0  # saturated on the right side: the true slope is nearly 0
    slopes, values = [], []
    for dtype in (torch.float32, torch.float64):
        model = VAE(net.to(dtype), sample_shape=(8,), data_range=(-1.0, 1.0))
        point = x.to(dtype).requires_grad_()
        value = criteria.get(name)()(Batch(model, point))
        slopes.append(torch.autograd.grad(value.sum(), point)[0])
        values.append(value.detach())
    assert slopes[0].isfinite().all()
    torch.testing.assert_close(values[0].double(), values[1], rtol=1e-4, atol=1e-5)
    rest = slice(2, None)  # the anchor's own slope is log p - log(1 - p), which float32 cuts
    torch.testing.assert_close(
        slopes[0][:, rest].double(), slopes[1][:, rest], rtol=1e-3, atol=1e-4
    )
