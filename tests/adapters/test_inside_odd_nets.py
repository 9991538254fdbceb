"""Directions and units on nets that break assumptions: a slow oracle's answer, or a clear error."""

from __future__ import annotations

import copy
import threading
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pxgen_plugins.adapters import (
    ActivationDirections,
    ActivationStatistics,
    AssessorDirection,
    ClassDirections,
    PredictableDirections,
    UnitDissection,
    UnitEffects,
    WeightDirections,
)
from pxgen_plugins.adapters._codes import draw_codes
from pxgen_plugins.adapters.units import dissection
from pxgen_plugins.adapters.units.change import half_width, removed
from pxgen_plugins.adapters.units.group_effect import group_effect
from pxgen_plugins.adapters.units.insertion import inside
from pxgen_plugins.adapters.units.match import (
    best_match,
    binned,
    chance_of_meeting,
    counts_of,
    levels_of,
    q_values,
)
from pxgen_plugins.adapters.units.unit_maps import unit_layer
from pxgen_plugins.axes import Axis
from pxgen_plugins.concepts import ClassMap, Region, Segmenter, Threshold
from pxgen_plugins.models import VAE, Autoencoder, TextToImage
from pxgen_plugins.painting import Stroke as Brush
from pxgen_plugins.painting import paint
from pxgen_plugins.utils.errors import (
    CapabilityError,
    ModelError,
    ParameterError,
    PXGenWarning,
)
from pxgen_plugins.utils.seeds import derive

FEW = {"n_codes": 24, "n_random": 2, "realism": None}
DISSECT = {"n_codes": 24, "n_effect": 4, "n_null": 2}


def ink(x):
    return x.mean((1, 2, 3))


class Grown(nn.Module):
    """A linear layer, a norm, an activation that may be shared, and two transposed convolutions."""

    def __init__(self, order="plain", seed=0):
        super().__init__()
        self.order = order
        self.fc = nn.Linear(6, 128)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.ReLU(inplace=True)
        self.up = nn.ConvTranspose2d(8, 8, 4, 2, 1)
        self.act2 = nn.LeakyReLU(0.2, inplace=True)
        self.drop = nn.Dropout(0.5)
        self.out = nn.ConvTranspose2d(8, 1, 4, 2, 1)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in self.parameters():
                weight.normal_(0, 0.3, generator=generator)
            self.norm.running_var.uniform_(0.3, 3.0, generator=generator)

    def forward(self, z):
        x = self.fc(z)
        if self.order == "relu":
            x = torch.relu(x)
        x = x.view(-1, 4, 4, 8).permute(0, 3, 1, 2) if self.order == "last" else x.view(-1, 8, 4, 4)
        x = self.up(self.act(self.norm(x)))
        x = self.act(x) if self.order == "shared" else self.act2(x)
        return torch.sigmoid(self.out(self.drop(x)))


class Scaled(nn.Module):
    """A linear layer that scales its weights as it runs."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(128, 6, generator=torch.Generator().manual_seed(1)))

    def forward(self, z):
        return F.linear(z, 0.3 * self.w) + 1.0


def model_of(net, shape=(6,), sample=(1, 16, 16)):
    n = int(np.prod(shape))
    return VAE(
        encode=lambda x: (x.flatten(1)[:, :n].reshape(-1, *shape),) * 2, decode=net.forward,
        modules=net, latent_shape=shape, sample_shape=sample, check=False,
    )  # fmt: skip


def singular_values(net, module, shape):
    """The oracle: what a module returns for every unit vector less what it returns for 0."""
    kept = {}
    handle = module.register_forward_hook(lambda _m, _i, output: kept.update(x=output.clone()))
    n = int(np.prod(shape))
    with torch.no_grad():
        net(torch.cat([torch.zeros(1, n), torch.eye(n)]).reshape(n + 1, *shape).to(net.kind))
    handle.remove()
    rows = kept["x"].flatten(1).double()
    return np.linalg.svd((rows[1:] - rows[:1]).numpy(), compute_uv=False)


def test_the_first_map_is_what_it_does_whatever_it_is():
    """Norms count behind the map alone; positions, padding, groups, own classes: as they act."""
    spectral = Grown()
    spectral.fc = nn.utils.parametrizations.spectral_norm(spectral.fc)
    scaled = Grown()
    scaled.fc = Scaled()
    spatial = nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1, groups=2), nn.ReLU(), nn.ConvTranspose2d(8, 1, 4, 4)
    )
    single = nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.ConvTranspose2d(8, 1, 16))
    half = Grown().to(torch.bfloat16)
    relu, last = Grown("relu"), Grown("last")
    cases = [
        (Grown(), "norm", (6,), 1e-4), (relu, "fc", (6,), 1e-4), (last, "norm", (6,), 1e-4),
        (spectral, "norm", (6,), 1e-4), (scaled, "norm", (6,), 1e-4), (half, "norm", (6,), 0.05),
        (spatial, "0", (4, 4, 4), 1e-4), (single, "0", (6, 1, 1), 1e-4),
    ]  # fmt: skip
    for net, name, shape, rtol in cases:
        net.train()
        before = {key: value.clone() for key, value in net.state_dict().items()}
        found = WeightDirections(model_of(net, shape), n_components=4, **FEW).explain(None)
        assert net.training
        for key, value in net.state_dict().items():
            assert torch.equal(value, before[key]), key
        net.eval()
        net.kind = next(net.parameters()).dtype
        truth = singular_values(net, dict(net.named_modules())[name], shape)
        np.testing.assert_allclose(found.importance, truth[:4], rtol=rtol, err_msg=str(net))
        assert found.directions.shape[1:] == shape

    class Square(nn.Linear):
        def forward(self, z):
            return super().forward(z) ** 2

    bent = Grown()
    bent.fc = Square(6, 128)
    with pytest.raises(ModelError, match="no affine map"):
        WeightDirections(model_of(bent), **FEW).fit()


def test_one_layer_in_two_places_is_two_units():
    model = model_of(Grown("shared"))
    for call in (
        lambda: UnitDissection(model, Threshold(0.5), "act", **DISSECT).explain(None),
        lambda: paint(model, torch.zeros(1, 6), Brush(None, 0), "act"),
    ):
        with pytest.raises(ParameterError, match="called 2 times in 1"):
            call()
    assert UnitDissection(model, Threshold(0.5), **DISSECT).explain(None).layer == "up"


def test_layers_are_named_as_users_name_them():
    net = Grown().eval()
    assert unit_layer(model_of(net), "drop", torch.zeros(1, 6)).n_units == 8
    net.up = nn.Sequential(nn.ConvTranspose2d(8, 8, 4, 2, 1), nn.Tanh())
    model = model_of(net)
    block = UnitDissection(model, Threshold(0.5), "up", **DISSECT).explain(None)
    inner = UnitDissection(model, Threshold(0.5), "up.1", **DISSECT).explain(None)
    np.testing.assert_allclose(block.iou, inner.iou)
    np.testing.assert_allclose(block.effect, inner.effect)
    assert ActivationDirections(model, "up", n_components=2, **FEW).explain(None).n_codes == 24

    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(6, 8, batch_first=True)
            self.out = nn.Linear(8, 256)

        def forward(self, z):
            return torch.sigmoid(self.out(self.rnn(z[:, None])[0][:, 0])).view(-1, 1, 16, 16)

    with pytest.raises(ParameterError, match="it returns no tensor"):
        UnitDissection(model_of(Recurrent()), Threshold(0.5), "rnn", **DISSECT).explain(None)


def test_a_change_that_does_not_happen_is_no_effect_of_nothing():
    model = model_of(Grown())
    looked = unit_layer(model, None, torch.zeros(1, 6))

    def elsewhere():
        worker = threading.Thread(target=lambda: model.decode(torch.zeros(1, 6)))
        worker.start()
        worker.join()

    moved = looked.moved(torch.ones(1, 8, 1, 1), torch.zeros(1, 8, 1, 1))
    with pytest.raises(ModelError, match="called where decode is"), moved:
        elsewhere()
    assert not any(module._forward_hooks for module in model.modules[0].modules())


def test_what_is_not_finite_is_named():
    class Broken(Grown):
        def forward(self, z):
            x = self.act2(self.up(self.fc(z).view(-1, 8, 4, 4)) / (z[:, :1, None, None] > 0))
            return torch.sigmoid(self.out(x)).nan_to_num(0.5)

    model = model_of(Broken())
    for call in (
        lambda: UnitDissection(model, Threshold(0.5), **DISSECT).explain(None),
        lambda: UnitEffects(model, Threshold(0.4), n_codes=20, n_random=2).explain(None),
        lambda: ActivationDirections(model, "act2", n_components=2, **FEW).explain(None),
    ):
        with pytest.raises(ModelError, match="finite"):
            call()

    model = model_of(Grown().eval())
    with torch.no_grad():
        usual = ink(model.decode(torch.randn(2000, 6, generator=torch.Generator().manual_seed(0))))
    margin = 0.05 * float(usual.max() - usual.min())

    def gone(x):  # finite for samples of the model, and not at the ends of the way
        outside = (ink(x) < usual.min() - margin) | (ink(x) > usual.max() + margin)
        return torch.where(outside, torch.nan, ink(x))

    found = WeightDirections(model, assessors=gone, n_components=2, span=60.0, **FEW).explain(None)
    assert np.isnan(found.slope).all()
    assert np.isnan(found.p_value).all()


def test_networks_of_users_run_in_evaluation_mode():
    """Dropout in a classifier would make values of chance, and of the batch size."""
    model = model_of(Grown())
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(256, 1))
    segment = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(1, 2, 3, padding=1))
    tables = []
    for size in (5, 256):
        for one in (net, segment):
            one.train()
        found = WeightDirections(model, assessors=net, batch_size=size, n_components=1, **FEW)
        classes = ClassDirections(
            model, nn.Sequential(net, nn.Flatten(0), nn.Threshold(0.0, 0.0)).train(), **FEW
        )
        concepts = [Segmenter(segment, 1), Region("top", Segmenter(segment, 1))]
        units = UnitDissection(model, concepts, batch_size=size, **DISSECT)
        tables.append((found.explain(None).slope, units.explain(None).iou))
        assert net.training
        assert net[1].training
        assert segment[0].training
        assert classes.classifier.training
    for one, two in zip(*tables, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


def test_results_that_are_no_numbers_are_named():
    model = model_of(Grown())
    cases = [
        (lambda: AssessorDirection(model, lambda x: None, **FEW).fit(), ModelError, "None"),
        (lambda: AssessorDirection(model, lambda x: "a", **FEW).fit(), ModelError, "'a'"),
        (lambda: ClassDirections(model, lambda x: None, **FEW).fit(), ModelError, "classifier's"),
        (lambda: ClassDirections(model, lambda x: ink(x)[:2], **FEW).fit(), ModelError, "shape"),
        (lambda: UnitDissection(model, lambda x: None).explain(None), ModelError, "None"),
        (lambda: UnitDissection(model, lambda x: [[1], [2, 3]]).explain(None), ModelError, "mask"),
        (lambda: UnitDissection(model, Threshold(0.5), n_effect=1), ParameterError, "at least 2"),
        (lambda: Brush(None, [1.5]), ParameterError, "whole numbers"),
        (lambda: Brush(None, "3"), ParameterError, "whole numbers"),
        (lambda: Brush(None, [True, False]), ParameterError, "whole numbers"),
        (lambda: Brush(None, [[1, 2]]), ParameterError, "whole numbers"),
        (lambda: paint(model, torch.zeros(1, 6), [3]), ParameterError, "a Stroke"),
        (lambda: paint(model, "abc", Brush(None, 1)), ParameterError, "finite codes"),
        (lambda: paint(model, [[np.nan] * 6], Brush(None, 1)), ParameterError, "finite codes"),
        (lambda: paint(model, np.ones((1, 6)), Brush("abc", 1)), ParameterError, "mask"),
        (lambda: paint(model, np.ones((1, 6)), Brush(None, 1, 1j)), ParameterError, "finite num"),
    ]
    for call, error, message in cases:
        with pytest.raises(error, match=message):
            call()
    cases = [
        (lambda: Axis("a", "xy"), ParameterError, "finite and not zero"),
        (lambda: Axis("a", [1j]), ParameterError, "finite and not zero"),
        (lambda: Axis("a", [1.0]).move(torch.zeros(2, 3), 1.0), ParameterError, r"\(n, 1\)"),
        (lambda: Axis("a", [1.0]).move(torch.zeros(2, 1), [1.0] * 3), ParameterError, "3 amounts"),
        (lambda: Region("top", ink), ParameterError, "a concept or None"),
        (lambda: Region(None), ParameterError, "a place or a box"),
    ]
    for call, error, message in cases:
        with pytest.raises(error, match=message):
            call()
    wanted = torch.zeros(1, 6, requires_grad=True)
    assert paint(model, wanted, Brush(None, 1)).images.shape == (1, 1, 16, 16)


@pytest.mark.slow
def test_rare_meetings_are_no_finding():
    """Concepts and units that are seldom there and have nothing to do with each other."""
    rng = np.random.default_rng(0)
    n, u = 100, 20
    false = {}
    for often in (0.02, 0.05, 0.2, 1.0):
        for _ in range(50):
            place = 0.3 * rng.random((1, 8, 8))
            masks = (rng.random((n, 8, 8)) < place) & (rng.random((n, 1, 1)) < often)
            maps = np.maximum(rng.normal(size=(u, n, 8, 8)), 0) * (rng.random((u, n, 1, 1)) < often)
            levels = levels_of(torch.tensor(maps.reshape(u, -1)), 16)
            bins = binned(torch.tensor(maps.reshape(u, -1)), levels)
            above, total = counts_of(bins, 16), float(masks.size)
            found = [
                best_match(
                    above, counts_of(bins, 16, torch.tensor(masks[order].ravel()))[None],
                    np.array([float(masks.sum())]), total,
                )
                for order in (np.arange(n), *(rng.permutation(n) for _ in range(6)))
            ]  # fmt: skip
            level = np.take_along_axis(levels.numpy(), found[0].level, axis=1)
            fires, has = maps.max((2, 3)) > level, masks.any((1, 2))
            least = chance_of_meeting(
                (fires & has).sum(1, keepdims=True), fires.sum(1, keepdims=True),
                np.array([has.sum()]), n,
            )  # fmt: skip
            rates = q_values(found[0].iqr, np.stack([one.iqr for one in found[1:]]), least)
            false[often] = false.get(often, 0) + bool((rates <= 0.05).any())
    assert max(false.values()) <= 6  # of 50, 2.5 expected; 7 has probability 0.01


def test_a_rare_concept_is_found_where_it_is_and_not_below_its_least_share():
    class Rare(Grown):
        def forward(self, z):
            maps = torch.zeros(len(z), 8, 16, 16)
            maps[:, 3, 12:, 4:12] = (z[:, 0] > 1.6).float()[:, None, None]
            maps[:, 4] = z[:, 1, None, None].abs() * 0.2
            return (self.drop(maps) * torch.tensor([0, 0, 0, 1.0, 1, 0, 0, 0])[:, None, None]).sum(
                1, keepdim=True
            )

    concept = Region("bottom", Threshold(0.9), label="patch")
    options = {"n_codes": 100, "n_effect": 0, "n_null": 10}
    model = model_of(Rare())
    found = UnitDissection(model, concept, "drop", **options).explain(None)
    assert found.concept_share[0] < 0.02
    assert [found.label[unit] for unit in (3, 4)] == ["patch", ""]
    rarer = UnitDissection(model, concept, "drop", min_share=0.5, **options).explain(None)
    assert rarer.label == [""] * 8
    assert (rarer.q_value == 1.0).all()


def test_no_more_instances_at_once_than_are_allowed(monkeypatch):
    model = model_of(Grown().eval())
    soft = {"method": "soft", "steps": 20, "n_codes": 20, "n_random": 2}
    alphas, most = [], 0
    decode = model.decode

    def watched(z):
        nonlocal most
        most = max(most, len(z))
        return decode(z)

    model.decode = watched
    for size in (3, 7, 256):
        for adapter in (
            UnitEffects(model, Threshold(0.5, width=0.1), batch_size=size, **soft),
            UnitDissection(model, Threshold(0.5), batch_size=size, **DISSECT),
            AssessorDirection(model, ink, n_steps=2, batch_size=size, **FEW),
            PredictableDirections(model, 2, n_train=2, batch_size=size, **FEW),
        ):
            most = 0
            found = adapter.explain(None)
            assert most <= size, type(adapter).__name__
            if isinstance(adapter, UnitEffects):
                alphas.append(found.alpha)
    for one in alphas[1:]:
        np.testing.assert_allclose(one, alphas[0], atol=1e-5)
    assert (alphas[0] != 0.5).all()
    # maps that do not fit at once, and levels from some pixels: the same match, about
    whole = UnitDissection(model, Threshold(0.5), **DISSECT).explain(None)
    monkeypatch.setattr(dissection, "_AT_ONCE", 8 * 256 * 5)
    pieces = UnitDissection(model, Threshold(0.5), **DISSECT).explain(None)
    np.testing.assert_array_equal(pieces.iou, whole.iou)
    monkeypatch.setattr(dissection, "_MOST_VALUES", 8 * 24 * 100)
    some = [
        UnitDissection(model, Threshold(0.5), batch_size=size, **DISSECT).explain(None)
        for size in (7, 256)
    ]
    np.testing.assert_allclose(some[0].threshold, some[1].threshold, rtol=1e-5)
    np.testing.assert_allclose(some[0].iou, whole.iou, atol=0.1)


def test_intervals_are_students_and_one_instance_has_none():
    from scipy.stats import t

    rng = np.random.default_rng(0)
    values = rng.normal(size=12)
    low, high = t.interval(0.95, 11, values.mean(), values.std(ddof=1) / 12**0.5)
    assert half_width(values) == pytest.approx((high - low) / 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gone, interval = removed(np.array([0.5]), np.array([0.25]))
        x = rng.random((1, 1, 16, 16), dtype=np.float32)
        found = UnitEffects(model_of(Grown()), Threshold(0.4), n_codes=12, n_random=2).explain(x)
    assert gone == 0.5
    assert np.isnan(interval).all()
    assert np.isnan(found.removal_interval).all()
    assert found.n_codes == 1


def test_a_direction_of_a_class_is_measured_on_it():
    def decode(z):
        return torch.cat([z[:, :1], torch.where(z[:, :1] > 0, 1.0, -1.0) * z[:, 1:2]], 1)

    model = VAE(
        encode=lambda x: (x, x * 0), decode=decode, modules=(), latent_shape=(2,),
        sample_shape=(2,), data_range=None, check=False,
    )  # fmt: skip
    adapter = AssessorDirection(
        model, lambda x: x[:, 1], per_class=lambda x: x[:, 0] > 0, realism=None, n_steps=20
    )
    found = adapter.explain(None)
    np.testing.assert_allclose(found.slope, 1.0, atol=0.05)  # over all codes they cancel
    assert (found.monotone == 1.0).all()
    with pytest.warns(PXGenWarning, match="of class False: its direction is measured on all"):
        adapter.explain(np.abs(np.random.default_rng(0).normal(size=(5, 2))).astype("f4"))


def test_a_set_is_never_measured_on_what_it_was_found_on():
    """Where codes cannot be drawn, anchors are split."""
    net = Grown().eval()
    model = Autoencoder(
        encode=lambda x: x.flatten(1)[:, :6], decode=net.forward, modules=net, latent_shape=(6,),
        sample_shape=(1, 16, 16), check=False,
    )  # fmt: skip
    x = np.random.default_rng(0).random((20, 1, 16, 16), dtype=np.float32)
    adapter = UnitEffects(model, Threshold(0.4), n_units=2, n_random=2)
    assert adapter.learns_from == ""
    assert adapter.explain(x).n_codes == 10
    able = UnitEffects(model_of(net), Threshold(0.4), n_units=2, n_random=2)
    assert able.explain(x).n_codes == 20


def test_a_class_map_is_of_the_layer_that_was_named():
    """An activation in place behind a convolution overwrites it."""
    nets = [
        nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.ReLU(inplace), nn.Conv2d(4, 4, 3), nn.ReLU(inplace),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
        )
        for inplace in (False, True)
    ]  # fmt: skip
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in nets[0].parameters():
            weight.normal_(0, 0.5, generator=generator)
    nets[1].load_state_dict(nets[0].state_dict())
    x = torch.rand(8, 1, 8, 8, generator=generator)
    for layer in ("0", "2", None):
        one, two = (ClassMap(net, 1, layer, least=0.0)(x) for net in nets)
        assert torch.equal(one, two), layer
    with torch.inference_mode():
        assert torch.equal(ClassMap(nets[0], 1, "0", least=0.0)(x.clone()),
                           ClassMap(nets[0], 1, "0", least=0.0)(x))  # fmt: skip


def test_a_cell_smaller_than_a_pixel_is_that_pixel():
    cells = torch.zeros(1, 1, 8, 8)
    cells[0, 0, 5, 2] = 1.0
    masks = torch.zeros(1, 4, 4)
    masks[0, 2, 1] = 0.7
    assert float(inside(masks, cells)) == pytest.approx(0.7)


def test_a_layer_of_encoder_and_decoder_is_no_layer_of_the_decoder():
    from pxgen_plugins import PXGen
    from pxgen_plugins.thresholds import Fixed

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU()
            self.down, self.up = nn.Linear(64, 4), nn.Linear(4, 64)

        def encode(self, x):
            z = self.down(self.act(x.flatten(1)))
            return z, torch.zeros_like(z)

        def decode(self, z):
            return torch.sigmoid(self.up(self.act(z))).view(-1, 1, 8, 8)

    model = VAE(Both(), sample_shape=(1, 8, 8))
    explainer = PXGen(model, "kld", "mse", threshold=Fixed({"kld": 1.0, "mse": 0.1})).fit()
    x = np.random.default_rng(0).random((6, 1, 8, 8), dtype=np.float32)
    with pytest.raises(ParameterError, match="encoder does not call"):
        group_effect(explainer, x, [0], "act", n_random=1)


def test_rows_of_numbers_have_units_too():
    """What is no picture is a row of pixels: the oracle switches the unit off by its weights."""
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 5))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in net.parameters():
            weight.normal_(0, 1, generator=generator)
    model = VAE(
        encode=lambda x: (x[:, :3],) * 2, decode=net.forward, modules=net, latent_shape=(3,),
        sample_shape=(5,), data_range=None, check=False,
    )  # fmt: skip
    found = UnitDissection(model, lambda x: (x[:, None] > 0).float(), n_codes=30, n_effect=30)
    effect = found.explain(None).effect[:, 0]
    codes = draw_codes(model, 30, derive(0, "dissection"))
    with torch.no_grad():
        before = (net(codes) > 0).double().mean()
        for unit in range(8):
            off = nn.Sequential(*(copy.deepcopy(layer) for layer in net))
            off[2].weight[:, unit] = 0.0
            after = (off(codes) > 0).double().mean()
            assert effect[unit] == pytest.approx(float(1 - after / before), abs=1e-6)


def test_figures_of_what_is_left_out():
    """From JSON, without images, with an empty set, with a concept that never occurs."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    from pxgen_plugins.host import Explanation
    from pxgen_plugins.plots import plot_directions, plot_units

    model = model_of(Grown().eval())
    never = {"never": lambda x: torch.zeros(len(x), 16, 16), "ink": Threshold(0.5)}
    silent = Grown().eval()
    with torch.no_grad():
        silent.out.weight.zero_()
        silent.out.bias.fill_(1.0)
    curves = {"n_codes": 12, "n_random": 2, "n_units": 2}
    for explanation in (
        UnitDissection(model, never, n_shown=0, **DISSECT).explain(None),
        UnitDissection(model, never, **DISSECT).explain(None),
        UnitEffects(model, Threshold(0.4), n_shown=0, **curves).explain(None),
        UnitEffects(model_of(silent), Threshold(0.4), **curves).explain(None),
    ):
        assert len(plot_units(Explanation.from_json(explanation.to_json()))) in (2, 3)
    directions = WeightDirections(model, n_components=2, n_shown=0, **FEW)
    plot_directions(Explanation.from_json(directions.explain(None).to_json()))
    lost = directions.explain(np.full((3, 1, 16, 16), np.nan, np.float32))
    assert lost.invalid.tolist() == [0, 1, 2]
    with pytest.raises(ParameterError, match="no usable anchor"):
        plot_directions(lost)
    plt.close("all")


def test_sounds_and_volumes_have_units_of_the_layer_before_the_output():
    """The oracle: the unit off in a copy of the net, whose next weights are 0 for it."""
    cases = (
        (nn.ConvTranspose1d(8, 6, 4, 2, 1), nn.Conv1d(6, 1, 3, padding=1), (8, 8), (1, 16)),
        (nn.ConvTranspose3d(8, 6, 2, 2), nn.Conv3d(6, 1, 1), (8, 2, 2, 2), (1, 4, 4, 4)),
    )
    for up, out, grid, sample in cases:
        net = nn.Sequential(
            nn.Linear(6, int(np.prod(grid))), nn.Unflatten(1, grid), up, nn.ReLU(), out
        )
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weight in net.parameters():
                weight.normal_(0, 0.5, generator=generator)

        def concept(x):
            return (x.reshape(len(x), -1, x.shape[-1]) > 0).float()

        found = UnitDissection(
            model_of(net, (6,), sample), concept, n_codes=20, n_effect=20, n_null=2
        ).explain(None)
        assert (found.layer, found.n_units) == ("3", 6)
        codes = draw_codes(model_of(net, (6,), sample), 20, derive(0, "dissection"))
        with torch.no_grad():
            x = net(codes)
            off = copy.deepcopy(net)
            off[4].weight[:, 2] = 0.0
            y = off(codes)
        before, after = concept(x).double(), concept(y).double()
        assert found.effect[2, 0] == pytest.approx(
            float(1 - after.mean() / before.mean()), abs=1e-6
        )
        outside = ((y - x).abs().reshape(before.shape) * (1 - before)).sum((1, 2))
        outside = outside / (1 - before).sum((1, 2)).clamp_min(1e-12)
        assert found.outside[2, 0] == pytest.approx(float(outside.mean()), abs=1e-6)


class Prompted(nn.Module):
    """Predicts noise from an image and a prompt; positions and times are rows of their own."""

    def __init__(self):
        super().__init__()
        self.positions = nn.Embedding(6, 6)
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, x, t, states):
        places = self.positions(torch.arange(6))  # no row of it belongs to an instance
        hidden = self.first(x + places.mean()) + states[:, :1, :1, None]
        return self.last(hidden.relu())


def prompted(guidance):
    net = Prompted()
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(i)) / 8)
    words = {"": 0.0, "bright": 0.5}
    return TextToImage(
        net,
        lambda prompts: torch.tensor([[[words[prompt]]] for prompt in prompts]),
        sample_shape=(1, 6, 6),
        modules=net,
        prompt="bright",
        guidance=guidance,
        steps=2,
    )


def test_a_guided_network_has_no_activations_of_an_instance_and_says_so():
    methods = {
        ActivationStatistics: {},
        ActivationDirections: {},
        UnitDissection: {"concepts": {"bright": lambda x: x[:, 0] > 0}},
    }
    X = np.random.default_rng(0).random((5, 1, 6, 6), dtype=np.float32)
    for method, settings in methods.items():
        with pytest.raises(CapabilityError, match=r"4, 6 rows for 2 instances.*guidance=1"):
            method(prompted(3.0), **settings).explain(X)
    layers = ActivationStatistics(prompted(1.0)).explain(X).layers
    assert list(layers) == ["first", "last"]  # the table of positions is left out
    assert layers["first"]["mean"].shape == (1, 4)
