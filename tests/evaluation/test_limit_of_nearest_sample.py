"""Distance to the nearest sample misses what is never drawn, where samples differ by more."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pxgen_plugins import PXGen
from pxgen_plugins.models import GAN

GREEN = torch.tensor([0.2, 0.9, 0.2])


class Discs(nn.Module):
    """Draws a red or a blue disc on a background of waves; place, size, colour, waves by the code.

    Args:
        waves: Amplitude of the background.
    """

    def __init__(self, waves: float) -> None:
        super().__init__()
        self.waves = nn.Parameter(torch.tensor(waves))

    def forward(self, z: Tensor, colour: Tensor | None = None) -> Tensor:
        axis = torch.linspace(-1, 1, 16)
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        code = torch.tanh(z)[:, :, None, None]
        distance = ((x - 0.4 * code[:, 0]) ** 2 + (y - 0.4 * code[:, 1]) ** 2).sqrt()
        disc = torch.sigmoid((0.45 + 0.1 * code[:, 2] - distance) * 12)[:, None]
        red, blue = (
            torch.tensor(one).reshape(1, 3, 1, 1) for one in ((0.9, 0.2, 0.2), (0.2, 0.2, 0.9))
        )
        share = torch.sigmoid(6 * z[:, 3])[:, None, None, None]
        own = share * red + (1 - share) * blue
        colours = own if colour is None else colour.reshape(1, 3, 1, 1)
        waves = sum(
            code[:, 4 + i] * torch.sin((1 + i) * 1.3 * (x if i % 2 else y) + i) for i in range(8)
        )
        return (0.5 * (1 - disc) + disc * colours + self.waves * waves[:, None]).clamp(0, 1)


@pytest.mark.slow
def test_green_discs_pass_for_near_where_backgrounds_differ_more_and_not_by_fvu():
    near = {}
    for waves in (0.0, 0.3):
        generator = Discs(waves).eval()
        gan = GAN(generator, latent_shape=(12,))
        codes = torch.randn(30, 12, generator=torch.Generator().manual_seed(9))
        with torch.no_grad():
            green = generator(codes, GREEN)
        for extrinsic in ("nearest_sample", "fvu"):
            explanation = PXGen(gan, extrinsic=extrinsic).fit().explain(green)
            groups = explanation.groups
            near[waves, extrinsic] = groups["HIHE"]["count"] + groups["LIHE"]["count"]
    assert near[0.0, "nearest_sample"] == near[0.0, "fvu"] == near[0.3, "fvu"] == 0
    assert near[0.3, "nearest_sample"] >= 20
