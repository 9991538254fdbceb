"""Flows against zuko, nflows and normflows called directly, and closed forms."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from pxgen_plugins import PXGen
from pxgen_plugins.criteria import NLL, Batch, BitsPerDim, TypicalNLL
from pxgen_plugins.models import Flow, from_nflows, from_normflows, from_zuko, wrap
from pxgen_plugins.models.logit import Logit
from pxgen_plugins.testing import check_model
from pxgen_plugins.thresholds import Quantile
from pxgen_plugins.utils.errors import CapabilityError, ModelError, ParameterError

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
WEIGHTS = SHARED / "models/phlippe_mnist_flow_simple.safetensors"
LOG_2PI = math.log(2 * math.pi)


def normal(x: torch.Tensor) -> torch.Tensor:
    return -0.5 * (x.square() + LOG_2PI).flatten(1).sum(1)


def affine(**settings) -> Flow:
    """N(1, 4 I) as a flow."""
    return Flow(
        log_prob=lambda x: normal((x - 1) / 2) - x.shape[1] * math.log(2),
        embed=lambda x: (x - 1) / 2,
        decode=lambda z: 2 * z + 1,
        modules=(),
        sample_shape=(3,),
        **settings,
    )


def points(n: int = 5, d: int = 3) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(2))


def test_criteria_are_what_their_formulas_say():
    model, x = affine(), points()
    law = torch.distributions.Normal(1.0, 2.0)
    nats = -law.log_prob(x).sum(1)
    assert torch.allclose(NLL()(Batch(model, x)), nats, atol=1e-5)
    bits = nats / (3 * math.log(2)) - math.log2(0.25)
    assert torch.allclose(BitsPerDim(step=0.25)(Batch(model, x)), bits, atol=1e-5)
    typical = TypicalNLL()
    typical.fit(iter([Batch(model, x[:2]), Batch(model, x[2:])]))
    assert torch.allclose(typical(Batch(model, x)), (nats - nats.mean()).abs(), atol=1e-4)


def test_bits_of_a_known_distribution_over_256_values():
    # the density that is constant over each step has exactly the discrete distribution's bits
    p = torch.arange(1, 257, dtype=torch.float64)
    p /= p.sum()

    class Steps:
        capabilities = frozenset({"log_prob"})
        data_range = (0.0, 1.0)

        def log_prob(self, x):
            level = (x[:, 0] * 255).round().long()
            return (p[level] * 255).log()

    x = torch.tensor([[0.0], [0.5019607843137255], [1.0]], dtype=torch.float64)
    found = BitsPerDim()(Batch(Steps(), x))
    assert torch.allclose(found, -p[[0, 128, 255]].log2())


def test_bits_without_a_step_or_a_range_are_refused():
    with pytest.raises(ParameterError, match="step"):
        BitsPerDim()(Batch(affine(), points()))
    with pytest.raises(ParameterError, match="step"):
        BitsPerDim(step=0.0)


def test_samples_follow_the_density():
    drawn = affine().sample(4000, 1)
    assert float(drawn.mean()) == pytest.approx(1.0, abs=0.1)
    assert float(drawn.std()) == pytest.approx(2.0, rel=0.05)


@given(
    levels=st.sampled_from([None, 2, 256]),
    alpha=st.sampled_from([None, 1e-3, 0.05]),
    low=st.floats(-3, 3),
    width=st.floats(0.5, 10),
    seed=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_the_logit_step_is_undone_and_counts_its_volume(levels, alpha, low, width, seed):
    if levels is None and alpha is None:
        return
    step, bounds = Logit(levels, alpha, seed), (low, low + width)
    grid = torch.linspace(0.02, 0.98, 8, dtype=torch.float64).reshape(4, 2)
    if levels is not None:
        grid = (grid * (levels - 1)).round() / (levels - 1)
    x = (low + width * grid).requires_grad_(True)
    y, volume = step.forward(x, bounds)
    assert torch.allclose(step.inverse(y, bounds), x, atol=1e-6)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert torch.allclose(volume, slope.log().sum(1), atol=1e-6)


def test_a_density_behind_the_logit_step_integrates_to_one():
    model = Flow(
        log_prob=normal,
        modules=(),
        sample_shape=(1,),
        data_range=(0.0, 2.0),
        preprocess=Logit(None, 1e-6),
        check=False,
    )
    x = torch.linspace(1e-4, 2 - 1e-4, 20001)[:, None]
    total = torch.trapezoid(model.log_prob(x).exp(), x[:, 0])
    assert float(total) == pytest.approx(1.0, abs=1e-3)


def test_zuko_flows_keep_their_density_noise_and_samples():
    zuko = pytest.importorskip("zuko")
    flow = zuko.flows.MAF(features=3, transforms=2, hidden_features=(8,))
    model = from_zuko(flow)
    check_model(model, flow)
    x = points()
    assert torch.allclose(model.log_prob(x), flow().log_prob(x), atol=1e-6)
    assert torch.allclose(model.embed(x), flow().transform(x), atol=1e-6)
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(9))
    assert torch.allclose(model.sample(4, 9), flow().transform.inv(z), atol=1e-5)
    assert model.origin == "zuko MAF, 3 features"
    assert type(wrap(flow)).__name__ == "Flow"


def test_a_conditional_zuko_flow_is_explained_for_one_context():
    zuko = pytest.importorskip("zuko")
    flow = zuko.flows.NSF(features=2, context=1, transforms=1, hidden_features=(8,))
    context = torch.tensor([0.7])
    x = points(d=2)
    model = from_zuko(flow, context=context)
    assert torch.allclose(model.log_prob(x), flow(context).log_prob(x), atol=1e-6)


def test_a_zuko_flow_of_images_flattens_them():
    zuko = pytest.importorskip("zuko")
    flow = zuko.flows.NICE(features=4, transforms=2, hidden_features=(8,))
    model = wrap(flow, sample_shape=(1, 2, 2), data_range=None)
    x = points(3, 4)
    assert torch.allclose(model.log_prob(x.reshape(3, 1, 2, 2)), flow().log_prob(x), atol=1e-6)
    assert model.sample(2, 0).shape == (2, 1, 2, 2)


def test_a_zuko_mixture_without_a_transform_samples_by_itself_and_leaves_no_trace():
    zuko = pytest.importorskip("zuko")
    model = from_zuko(zuko.flows.GMM(features=2, components=3))
    before = torch.random.get_rng_state()
    assert torch.equal(model.sample(5, 1), model.sample(5, 1))
    assert not torch.equal(model.sample(5, 1), model.sample(5, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert "embed" not in model.capabilities
    with pytest.raises(CapabilityError, match="embed"):
        model.embed(points(d=2))


def test_nflows_keep_their_density_noise_and_samples():
    pytest.importorskip("nflows")
    from nflows.distributions.normal import StandardNormal
    from nflows.flows import Flow as Theirs
    from nflows.transforms import CompositeTransform, MaskedAffineAutoregressiveTransform

    transform = CompositeTransform(
        [MaskedAffineAutoregressiveTransform(features=3, hidden_features=8) for _ in range(2)]
    )
    flow = Theirs(transform, StandardNormal([3]))
    model = from_nflows(flow, sample_shape=(3,))
    check_model(model, flow)
    x = points()
    flow.eval()
    assert torch.allclose(model.log_prob(x), flow.log_prob(x), atol=1e-6)
    assert torch.allclose(model.embed(x), flow.transform_to_noise(x), atol=1e-6)
    assert torch.allclose(model.reconstruct(x), x, atol=1e-4)
    with pytest.raises(ParameterError, match="sample_shape"):
        wrap(flow)


def test_nflows_contexts_pass_through_their_embedding_net():
    pytest.importorskip("nflows")
    from nflows.distributions.normal import StandardNormal
    from nflows.flows import Flow as Theirs
    from nflows.transforms import MaskedAffineAutoregressiveTransform

    transform = MaskedAffineAutoregressiveTransform(3, 8, context_features=2)
    flow = Theirs(transform, StandardNormal([3]), embedding_net=torch.nn.Linear(5, 2))
    context = torch.ones(1, 5)
    model = from_nflows(flow, sample_shape=(3,), context=context)
    x = points()
    expected = flow.log_prob(x, context=context.expand(len(x), -1))
    assert torch.allclose(model.log_prob(x), expected, atol=1e-6)
    assert torch.allclose(model.reconstruct(x), x, atol=1e-4)


@pytest.mark.parametrize("levels", [2, 32, 256])
def test_a_uniform_flow_needs_the_bits_of_its_levels(levels):
    model = Flow(
        log_prob=lambda y: torch.zeros(len(y)),
        modules=(),
        sample_shape=(4,),
        data_range=(0.0, 1.0),
        preprocess=Logit(levels=levels),
    )
    x = torch.randint(levels, (3, 4), generator=torch.Generator().manual_seed(0)) / (levels - 1)
    values = BitsPerDim()(Batch(model, x))
    assert torch.allclose(values, torch.tensor(math.log2(levels)), atol=1e-5)


def test_normflows_codes_are_standardised_by_a_learned_base():
    normflows = pytest.importorskip("normflows")
    base = normflows.distributions.DiagGaussian(3)
    with torch.no_grad():
        base.loc += 0.5
        base.log_scale += 0.3
    net = normflows.nets.MLP([2, 8, 2], init_zeros=False)
    flow = normflows.NormalizingFlow(base, [normflows.flows.AffineCouplingBlock(net)])
    model = from_normflows(flow, sample_shape=(3,))
    check_model(model, flow)
    x = points()
    assert torch.allclose(model.log_prob(x), flow.log_prob(x), atol=1e-6)
    z = flow.inverse(x)
    assert torch.allclose(model.embed(x), (z - 0.5) / math.exp(0.3), atol=1e-5)
    many = model.embed(flow.sample(4000)[0])
    assert float(many.std()) == pytest.approx(1.0, abs=0.05)
    assert type(wrap(flow, sample_shape=(3,))).__name__ == "Flow"


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"log_prob": 3}, ParameterError, "log_prob"),
        ({"sample": 3}, ParameterError, "sample"),
        ({"preprocess": "logit"}, ParameterError, "preprocess"),
        ({"preprocess": Logit(256)}, ParameterError, "data_range"),
        ({"log_prob": lambda x: x}, ModelError, "log_prob"),
        ({"log_prob": lambda x: x.sum(1) * float("nan")}, ModelError, "log_prob"),
        ({"embed": lambda x: x, "decode": lambda z: z + 1}, ModelError, "inverse of embed"),
    ],
)
def test_what_is_not_allowed_is_named(arguments, error, named):
    with pytest.raises(error, match=named):
        Flow(**({"log_prob": normal, "modules": (), "sample_shape": (3,)} | arguments))


def test_what_is_no_flow_of_a_library_is_refused():
    for function, options in (
        (from_zuko, {}),
        (from_nflows, {"sample_shape": (2,)}),
        (from_normflows, {"sample_shape": (2,)}),
    ):
        with pytest.raises(ParameterError, match="obj"):
            function(nn.Linear(2, 2), **options)
    with pytest.raises(ParameterError, match="levels"):
        Logit()


def test_pxgen_explains_a_flow_by_density_and_nearest_sample():
    model = affine()
    explainer = PXGen(
        model, intrinsic="typical_nll", extrinsic="nearest_sample", threshold=Quantile(0.95, 300)
    )
    explainer.fit()
    draws = np.random.default_rng(0)
    known = draws.normal(1, 2, (80, 3)).astype(np.float32)
    foreign = draws.normal(15, 2, (80, 3)).astype(np.float32)
    group = np.asarray(explainer.explain(np.concatenate([known, foreign])).data["group"])
    assert (group[:80] == "HIHE").mean() > 0.8
    assert (group[80:] == "LILE").mean() > 0.95


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.skipif(not WEIGHTS.exists(), reason=f"{WEIGHTS} is absent")
def test_the_published_flow_of_mnist_has_its_bits_per_dimension(example):
    model = example("family_models.flow").load(load_file(WEIGHTS))
    x = torch.from_numpy(np.load(SHARED / "data/mnist.npz")["test_x"][:300, None] / np.float32(255))
    with torch.no_grad():
        bits = BitsPerDim()(Batch(model, x))
        noise = BitsPerDim()(Batch(model, torch.rand(50, 1, 28, 28)))
    # its author gives 1.078 for all test images
    assert 1.04 < float(bits.mean()) < 1.10
    assert bits.max() < noise.min()
    with torch.no_grad():
        assert torch.allclose(model.reconstruct(x[:50]), x[:50], atol=1e-3)
