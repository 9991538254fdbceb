"""Insertion of units: a patch that decides what is at its middle, and what must not be found."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pxgen_plugins.adapters import UnitEffects
from pxgen_plugins.adapters.units.change import concept_shares
from pxgen_plugins.adapters.units.insertion import insertion_of
from pxgen_plugins.adapters.units.unit_maps import unit_layer
from pxgen_plugins.concepts import Edge, Threshold
from pxgen_plugins.models import VAE
from pxgen_plugins.result.findings import findings
from pxgen_plugins.utils.errors import ParameterError


class Averaging(nn.Module):
    """Unit 0 draws blobs, 1 has its map and no weight; an average and a step are behind them.

    ``reach`` cells to each side are averaged, so that one cell alone never passes the step.
    """

    def __init__(self, reach: int = 1, fine: int = 1) -> None:
        super().__init__()
        self.units = nn.ReLU()
        side = 2 * reach + 1
        self.out = nn.Conv2d(6, 1, side, padding=reach, bias=False)
        weight = torch.full((1, 6, side, side), 0.05 / side**2)
        weight[:, 0], weight[:, 1] = 1 / side**2, 0.0
        self.out.weight.data.copy_(weight)
        self.fine = nn.Upsample(scale_factor=fine)

    def forward(self, z):
        maps = 0.2 * torch.sin(torch.arange(6.0)[:, None, None] + torch.arange(16.0)) ** 2
        maps = maps.expand(len(z), 6, 16, 16) * z[:, 2, None, None, None].sigmoid()
        rows = torch.arange(16.0)
        down, right = (torch.sigmoid(z[:, k]) * 12 + 2 for k in (0, 1))
        blob = ((rows - down[:, None]).abs() < 4)[:, :, None] & ((rows - right[:, None]).abs() < 4)[
            :, None
        ]
        maps = torch.cat([blob[:, None].float().expand(-1, 2, -1, -1), maps[:, 2:]], 1)
        average = self.out(self.units(maps))
        return self.fine((average > 0.5).float())


def averaging(reach=1, fine=1):
    net = Averaging(reach, fine)
    return VAE(
        encode=lambda x: (x.flatten(1)[:, :3], x.flatten(1)[:, :3] * 0), decode=net.forward,
        modules=net, latent_shape=(3,), sample_shape=(1, 16 * fine, 16 * fine), check=False,
    )  # fmt: skip


@pytest.mark.parametrize(("reach", "fine"), [(1, 1), (2, 1), (1, 2)])
def test_insertion_sets_as_many_cells_as_decide_what_is_at_their_middle(reach, fine):
    """A unit behind which an average stands brings its concept by a patch, and not by a cell."""
    sizes = {"layer": "units", "n_codes": 60, "n_units": 1, "n_random": 8}
    model = averaging(reach, fine)
    concept = Threshold(0.5, label="blob")
    found = UnitEffects(model, concept, **sizes).explain(None)
    assert found.order.tolist() == [0]
    # an average over r cells to each side passes a half when more than half of them are set
    assert reach < found.patch <= 2 * reach + 1
    assert found.patch % 2
    assert found.insertion[1] > 0.9  # less than 1: in a corner the average falls short of a half
    assert found.insertion[0] < 0.05
    assert found.insertion_all > 0.9
    single = UnitEffects(model, concept, patch=1, **sizes).explain(None)
    assert single.patch == 1
    assert single.insertion[1] < 0.2
    text = findings(found.data)[1][1]
    assert f"in {found.patch} x {found.patch} cells" in text
    # what must not be found: the decoy has the map of the unit, and controls get the same patch
    inserted = insertion_at(model, concept)
    for unit in (1, 2, 3, 4, 5):
        assert inserted.measure([unit], {"blob": concept}, 256)[0] < 0.05
    assert found.random_insertion[1] <= 3 / 8


def test_insertion_needs_no_picture_and_a_patch_needs_places():
    net = Averaging()
    rows = VAE(
        encode=lambda x: (x[:, :3], x[:, :3] * 0), decode=lambda z: net(z).flatten(1),
        modules=net, latent_shape=(3,), sample_shape=(256,), check=False,
    )  # fmt: skip
    options = {"n_codes": 40, "n_units": 1, "n_random": 1}
    found = UnitEffects(rows, lambda x: x.reshape(-1, 16, 16), "units", **options).explain(None)
    assert found.patch == 3
    assert found.insertion[1] > 0.9
    linear = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 64), nn.Unflatten(1, (1, 8, 8)))
    model = VAE(
        encode=lambda x: (x.flatten(1)[:, :3],) * 2, decode=linear.forward, modules=linear,
        latent_shape=(3,), sample_shape=(1, 8, 8), check=False,
    )  # fmt: skip
    assert UnitEffects(model, Threshold(0.0), **options).explain(None).patch is None
    with pytest.raises(ParameterError, match="no place in the picture"):
        UnitEffects(model, Threshold(0.0), patch=3, **options).explain(None)


def insertion_at(model, concept):
    z = torch.randn(40, 3, generator=torch.Generator().manual_seed(1))
    layer = unit_layer(model, "units", z[:1])
    before = concept_shares(layer, z, {"blob": concept}, 256)
    found = insertion_of(layer, z, {"blob": concept}, before, 0, 256)
    return found.with_patch(None, {"blob": concept}, 256)


def test_an_edge_is_not_inserted_by_a_uniform_patch_and_all_units_say_so():
    found = UnitEffects(
        averaging(), Edge("horizontal"), "units", n_codes=60, n_units=1, n_random=2
    ).explain(None)
    assert found.removal[1] > 0.9
    assert found.insertion[1] < 0.2  # where the patch meets an edge that is there
    assert found.insertion_all < 0.2
    assert f"all units: {found.insertion_all:.2f}" in findings(found.data)[1][1]
