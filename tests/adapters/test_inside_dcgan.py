"""What issue and notes ask of the GAN of digits that comes with the package."""

from __future__ import annotations

import pytest
import torch

from pxgen_plugins.adapters import AssessorDirection, UnitEffects
from pxgen_plugins.adapters._codes import draw_codes
from pxgen_plugins.axes import Axis
from pxgen_plugins.concepts import Edge
from pxgen_plugins.datasets import load_mnist_gan
from pxgen_plugins.models import GAN

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def gan():
    generator, discriminator = load_mnist_gan()
    return GAN(generator, discriminator=discriminator, latent_shape=(32,))


def ink(x):
    return x.mean((1, 2, 3))


def slant(x):
    """Shear of the digit, by its moments."""
    image = x[:, 0].clamp_min(0.0)
    way = torch.linspace(-1, 1, 28)
    mass = image.sum((1, 2)) + 1e-6
    dx = way - (image.sum(1) @ way / mass)[:, None]
    dy = way - (image.sum(2) @ way / mass)[:, None]
    mixed = (image * dy[:, :, None] * dx[:, None, :]).sum((1, 2))
    return mixed / ((image.sum(2) * dy.square()).sum(1) + 1e-6)


@pytest.mark.parametrize("assessor", [ink, slant], ids=lambda one: one.__name__)
def test_a_number_rises_along_its_direction_and_not_along_random_ones(gan, assessor):
    adapter = AssessorDirection(
        gan, {"own": assessor}, n_steps=300, n_codes=200, n_random=6, realism=None
    )
    found = adapter.explain(None)
    assert found.monotone[0, 0] >= 0.9
    assert found.control_monotone[0, :, 0].mean() <= 0.5
    assert 0.6 <= found.slope[0, 0] <= 1.1
    # the error of what is asked for, beside that of the regression of the number on the code
    z, other = draw_codes(gan, 500, 8), draw_codes(gan, 500, 9)
    with torch.no_grad():
        values = assessor(gan.decode(z))
        spread = values.std()
        scaled = (values - values.mean()) / spread
        weights = torch.linalg.lstsq(z, scaled[:, None]).solution[:, 0]
        regression = Axis("regression", weights.numpy(), float(1 / weights.norm()), keep="shell")
        start = assessor(gan.decode(other))
        errors = [
            sum(
                float(((assessor(gan.decode(axis.move(other, a))) - start) / spread - a)
                      .square().mean())
                for a in (-1.5, -0.75, 0.75, 1.5)
            )
            for axis in (adapter.axes[0], regression)
        ]  # fmt: skip
    assert errors[0] < errors[1]


def test_five_units_take_horizontal_edges_away_and_random_ones_do_not(gan):
    found = UnitEffects(gan, Edge("horizontal", 0.3), n_units=5, n_codes=100, n_random=10).explain(
        None
    )
    assert len(found.order) == 5
    assert found.removal[5] >= 0.35
    assert found.removal_interval[5, 0] >= 0.35
    assert (abs(found.random_removal) <= 0.1).all()
