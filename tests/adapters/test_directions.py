"""Directions: planted truths, slow oracles, and what a random direction does beside them."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from pxgen_plugins.adapters import (
    ActivationDirections,
    AssessorDirection,
    ClassDirections,
    PredictableDirections,
    WeightDirections,
)
from pxgen_plugins.axes import Axis, dimensions
from pxgen_plugins.models import GAN, VAE
from pxgen_plugins.testing import ExplainerCase, explainer_checks, parametrize_with_checks
from pxgen_plugins.utils.errors import (
    AnchorError,
    CapabilityError,
    ModelError,
    ParameterError,
    PXGenWarning,
)

from .nets import conv_vae

X = np.random.default_rng(0).random((6, 1, 8, 8), dtype=np.float32)


def bright(x):
    """Whether one pixel is brighter than the one opposite: true of some samples of each model."""
    return x[:, 0, 1, 6] > x[:, 0, 6, 1]


def other_vae():
    return conv_vae(1)


def linear_model(d=8, seed=0, shape=(40,)):
    """A linear generator with known weights, (out, d)."""
    rng = np.random.default_rng(seed)
    net = nn.Linear(d, int(np.prod(shape)), bias=False)
    net.weight.data = torch.tensor(rng.normal(size=net.weight.shape), dtype=torch.float32)
    model = VAE(
        encode=lambda x: (x.flatten(1)[:, :d], x.flatten(1)[:, :d] * 0),
        decode=lambda z: net(z).reshape(-1, *shape),
        modules=net,
        latent_shape=(d,),
        sample_shape=shape,
        data_range=None,
        check=False,
    )
    return model, net.weight.detach().double().numpy()


def cosine(a, b):
    a, b = np.ravel(a).astype(float), np.ravel(b).astype(float)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_a_linear_assessor_has_one_shortest_direction():
    for seed in range(3):
        model, weight = linear_model(seed=seed)
        rng = np.random.default_rng(100 + seed)
        c = rng.normal(size=40)
        other = rng.normal(size=40)
        # the second assessor's truth is at right angles to the first one's, in the code
        truth = weight.T @ c
        other -= (
            weight
            @ np.linalg.solve(weight.T @ weight, truth)
            * ((weight.T @ other) @ truth / (truth @ truth))
        )
        assert abs(cosine(weight.T @ other, truth)) < 1e-6
        read = torch.tensor(c, dtype=torch.float32)
        aside = torch.tensor(other, dtype=torch.float32)
        found = AssessorDirection(
            model,
            lambda x, read=read: x @ read,
            assessors={"aside": lambda x, aside=aside: x @ aside},
            keep="free",
            realism=None,
            n_steps=100,
            seed=seed,
        ).explain(None)
        assert cosine(found.directions[0], truth) >= 0.999
        assert abs(found.slope[0, 0] - 1) <= 0.01
        assert found.r2[0, 0] > 0.999
        assert found.monotone[0, 0] == 1.0
        assert found.leakage[0] <= 0.01
        np.testing.assert_allclose(found.response[0, 0], found.amounts, atol=0.03)
        # a random direction of the same length moves the score by the cosine of the angle
        assert np.abs(found.control_slope[0, :, 0]).max() < 0.95
        assert found.p_value[0, 0] == 0.05  # the least that 19 random ones allow


def test_the_shell_keeps_the_norm_of_every_row():
    model, _ = linear_model(d=20)
    assert WeightDirections(model, realism=None)._keep() == "shell"
    assert WeightDirections(linear_model(d=8)[0], realism=None)._keep() == "free"
    axis = Axis("a", np.ones(20), 2.0, keep="shell")
    z = torch.randn(5, 20, generator=torch.Generator().manual_seed(0))
    one = axis.move(z, [0.5, -1.0, 0.0, 3.0, 1.0])
    torch.testing.assert_close(one.norm(dim=1), z.norm(dim=1))
    # a row's edit does not depend on the rows beside it
    torch.testing.assert_close(axis.move(z[1:2], -1.0), one[1:2])
    assert Axis(**axis.to_data()).to_data() == axis.to_data()


def planted_map(d=5, out=12, seed=3):
    """Orthonormal vectors (d, d) by falling singular value, the values, and a matrix with both."""
    rng = np.random.default_rng(seed)
    right, _ = np.linalg.qr(rng.normal(size=(d, d)))
    left, _ = np.linalg.qr(rng.normal(size=(out, d)))
    values = np.array([5.0, 3.0, 2.0, 1.0, 0.3])
    return right.T, values, left @ np.diag(values) @ right.T


def net_model(net, d, shape):
    return VAE(
        encode=lambda x: (x.flatten(1)[:, :d], x.flatten(1)[:, :d] * 0),
        decode=lambda z: net(z).reshape(-1, *shape),
        modules=net,
        latent_shape=(d,),
        sample_shape=shape,
        data_range=None,
        check=False,
    )


def test_weights_and_activations_give_the_singular_vectors():
    vectors, values, matrix = planted_map()
    net = nn.Sequential(nn.Linear(5, 12))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor(matrix))
    model = net_model(net, 5, (12,))
    by_weights = WeightDirections(model, n_components=5, realism=None).explain(None)
    np.testing.assert_allclose(by_weights.importance, values, rtol=1e-5)
    by_activations = ActivationDirections(model, n_components=5, n_samples=4000, realism=None)
    found = by_activations.explain(None)
    for k in range(5):
        assert abs(cosine(by_weights.directions[k], vectors[k])) >= 0.9999
        assert abs(cosine(found.directions[k], vectors[k])) >= 0.99
    # what is amplified most changes the instance most, and random directions lie between
    change = by_weights.change[:, -1]
    assert (np.diff(change) < 0).all()
    assert change[0] > by_weights.control_change[0, -1] > change[-1]
    # signs are fixed: the largest component is positive
    for row in by_weights.directions:
        assert row[np.abs(row).argmax()] > 0


def test_a_batch_norm_and_convolutions_count_as_the_matrix_they_are():
    generator = torch.Generator().manual_seed(0)
    for layer, shape in (
        (nn.ConvTranspose2d(6, 4, 3), (6, 1, 1)),
        (nn.Conv2d(6, 4, 1), (6, 1, 1)),
        (nn.Linear(6, 4), (6,)),
        (nn.Sequential(nn.Linear(6, 12), nn.Unflatten(1, (4, 3, 1))), (6,)),
    ):
        norm = (nn.BatchNorm1d if isinstance(layer, nn.Linear) else nn.BatchNorm2d)(4)
        with torch.no_grad():
            weight = next(layer.parameters())
            weight.copy_(torch.randn(weight.shape, generator=generator))
            norm.running_var.copy_(torch.rand(4, generator=generator) * 9 + 0.1)
            norm.weight.copy_(torch.randn(4, generator=generator))
        net = nn.Sequential(layer, norm)
        net.eval()
        # the oracle: the map as it acts, column by column
        columns = torch.stack([net(e.reshape(1, *shape)) for e in torch.eye(6)])
        matrix = (columns.flatten(1) - net(torch.zeros(1, *shape)).flatten()).T.double()
        truth = np.linalg.svd(matrix.detach().numpy())[1]
        out = tuple(net(torch.zeros(1, *shape)).shape[1:])
        model = VAE(
            encode=lambda x: (x, x), decode=net.forward, modules=net, latent_shape=shape,
            sample_shape=out, data_range=None, check=False,
        )  # fmt: skip
        found = WeightDirections(model, realism=None, n_codes=4, n_random=1).explain(None)
        np.testing.assert_allclose(found.importance[: len(truth)], truth, rtol=1e-4)
        plain = WeightDirections(model, realism=None, fold=False, n_codes=4, n_random=1).explain(
            None
        )
        assert not np.allclose(plain.importance[:4], found.importance[:4], rtol=0.01)


def test_more_directions_than_dimensions_are_refused_and_fewer_ways_are_told():
    flat = nn.Sequential(nn.Linear(6, 12))
    model, few = net_model(flat, 6, (12,)), {"realism": None, "n_codes": 20, "n_random": 1}
    for cls in (WeightDirections, ActivationDirections):
        assert len(cls(model, **few).explain(None).labels) == 6  # nobody counted
        with pytest.raises(ParameterError, match="n_components must be at most 6, the latent dim"):
            cls(model, n_components=40, **few)
    with torch.no_grad():
        flat[0].weight[:, 2:] = 0.0  # two dimensions do something
    adapter = ActivationDirections(model, n_components=4, **few)
    with pytest.warns(PXGenWarning, match="4 directions were asked for, but activations vary in 2"):
        assert len(adapter.explain(None).labels) == 2


def test_layers_that_do_not_take_the_code_are_refused():
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 4))
    model = net_model(net, 3, (4,))
    with pytest.raises(ParameterError, match="takes the latent code itself"):
        WeightDirections(model, layer="2").fit()
    with pytest.raises(ParameterError, match="Did you mean"):
        WeightDirections(model, layer="00").fit()
    twice = VAE(
        encode=lambda x: (x[:, :3], x[:, :3]), decode=lambda z: net(z * 2), modules=net,
        latent_shape=(3,), sample_shape=(4,), data_range=None, check=False,
    )  # fmt: skip
    with pytest.raises(ModelError, match="ActivationDirections"):
        WeightDirections(twice).fit()
    bare = VAE(
        encode=lambda x: (x[:, :3], x[:, :3]), decode=lambda z: torch.cat([z, z], 1), modules=(),
        latent_shape=(3,), sample_shape=(6,), data_range=None, check=False,
    )  # fmt: skip
    with pytest.raises((CapabilityError, ModelError, ParameterError), match="layer"):
        ActivationDirections(bare).fit()


def test_class_directions_find_the_normal_and_not_only_the_means():
    rng = np.random.default_rng(0)
    spread = np.diag([9.0, 0.2, 1.0]) + 0.0
    mix, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    covariance = mix @ spread @ mix.T
    gap = np.array([1.0, -2.0, 0.5])
    codes = rng.multivariate_normal(np.zeros(3), covariance, 4000)
    labels = np.where(np.arange(4000) < 2000, "a", "b")
    codes[labels == "b"] += gap
    model = VAE(
        encode=lambda x: (x, x * 0), decode=lambda z: z, modules=(), latent_shape=(3,),
        sample_shape=(3,), data_range=None,
    )  # fmt: skip
    lda = ClassDirections(model, realism=None).fit(codes.astype("f4"), labels)
    means = ClassDirections(model, method="means", realism=None).fit(codes.astype("f4"), labels)
    truth = np.linalg.solve(covariance, gap)
    assert lda.explain(None).labels == ["a", "b"]
    assert cosine(lda.explain(None).directions[1], truth) > 0.99
    assert cosine(lda.explain(None).directions[0], -truth) > 0.99
    assert cosine(means.explain(None).directions[1], gap) > 0.99
    assert (lda.importance > means.importance).all()
    for X_, y, error, message in (
        (None, None, ParameterError, "classifier=f, or call fit"),
        (codes[:4], labels[:4], AnchorError, "two classes"),
        (codes[:4], labels[:3], AnchorError, "4 labels"),
    ):
        given = None if X_ is None else X_.astype("f4")
        with pytest.raises(error, match=message):
            ClassDirections(model).fit(given, y)


def test_one_direction_for_each_class():
    """Where the class decides what raises the score, so does the direction."""

    def decode(z):
        sign = torch.where(z[:, :1] > 0, 1.0, -1.0)
        return torch.cat([z[:, :1], sign * z[:, 1:2], z[:, 2:]], 1)

    model = VAE(
        encode=lambda x: (x, x * 0), decode=decode, modules=(), latent_shape=(3,),
        sample_shape=(3,), data_range=None, check=False,
    )  # fmt: skip
    found = AssessorDirection(
        model, lambda x: x[:, 1], per_class=lambda x: x[:, 0] > 0, realism=None, n_steps=50,
        n_codes=300,
    ).explain(None)  # fmt: skip
    assert [label.split()[-1] for label in found.labels] == ["False", "True"]
    np.testing.assert_allclose(found.directions, [[0, -1, 0], [0, 1, 0]], atol=0.02)


@pytest.mark.slow
def test_predictable_directions_can_be_told_apart():
    """Five visible factors, turned in the code, and three dimensions that do nothing.

    The directions are told apart and none of them is dead, but they need not be the factors: the
    prior looks the same from all sides, and mixtures of factors can be named as surely (measured:
    |cos| of 0.5 to 0.8 with one factor at an accuracy of 1.00, for reaches of 0.7 to 4).
    """
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))
    turn = torch.tensor(rotation, dtype=torch.float32)
    at = torch.linspace(-1, 1, 12)

    def decode(z):
        f = torch.tanh(z @ turn * 0.5)[:, :5]
        x = at[None, None, :] - 0.5 * f[:, 0, None, None]
        y = at[None, :, None] - 0.5 * f[:, 1, None, None]
        width = 0.3 + 0.15 * f[:, 2, None, None]
        spot = torch.exp(-(x**2 + y**2) / width**2)
        bar = (at[None, :, None] > 0.8) * (0.5 + 0.5 * f[:, 3, None, None])
        column = (at[None, None, :] < -0.8) * (0.5 + 0.5 * f[:, 4, None, None])
        return torch.maximum(torch.maximum(spot, bar), column)[:, None]

    model = VAE(
        encode=lambda x: (x.flatten(1)[:, :8], x.flatten(1)[:, :8] * 0), decode=decode, modules=(),
        latent_shape=(8,), sample_shape=(1, 12, 12), data_range=(0.0, 1.0), check=False,
    )  # fmt: skip
    adapter = PredictableDirections(model, 5, n_train=400, lr=3e-3, reach=4.0, realism=None)
    adapter.fit()
    assert (adapter.importance >= 0.9).all()  # chance is 0.2
    axes = np.stack([axis.vector for axis in adapter.axes])
    np.testing.assert_allclose(axes @ axes.T, np.eye(5), atol=1e-4)
    # squared length among the five factors that show; 5/8 by chance, and none of a dead direction
    visible = ((axes @ rotation)[:, :5] ** 2).sum(axis=1)
    assert (visible >= 0.5).all()
    with pytest.raises(ParameterError, match="at most 8"):
        PredictableDirections(model, 9)


def test_saturated_and_constant_assessors_are_refused():
    model, _ = linear_model()
    cases = [
        (lambda x: x[:, 0] * 0 + 3, "varies between instances"),
        (lambda x: torch.sigmoid(x[:, 0] * 0 + 50), "varies between instances"),
        (lambda x: x[:, 0].detach(), "differentiable"),
        (lambda x: x[:, :2], r"shape \(\d+,\)"),
        (lambda x: x[:, 0] * torch.nan, "finite"),
    ]
    for assessor, message in cases:
        with pytest.raises(ModelError, match=message):
            AssessorDirection(model, assessor, realism=None).fit()
    for options, message in (
        ({"assessor": None}, "assessor must be given"),
        ({"assessor": "kldd"}, "Did you mean 'kld'"),
        ({"n_frames": 4}, "n_frames must be odd"),
        ({"span": 0}, "span must be"),
        ({"keep": "sphere"}, "keep must be"),
        ({"assessors": ["mse", "mse"]}, "of different labels"),
        ({"assessor": "mse", "assessors": ["mse"]}, "other than 'mse'"),
    ):
        with pytest.raises(ParameterError, match=message):
            AssessorDirection(model, **{"assessor": "latent[1]", **options})


def test_values_do_not_hang_on_the_batch_and_anchors_are_where_ways_start():
    model = conv_vae()
    options = {"assessors": {"ink": lambda x: x.mean((1, 2, 3))}, "n_codes": 20, "n_random": 2}
    tables = []
    for batch_size in (1, 7, 256):
        adapter = WeightDirections(model, n_components=2, batch_size=batch_size, **options)
        tables.append(adapter.explain(X))
    for one in tables[1:]:
        for key in ("slope", "response", "change", "realism", "control_slope", "images"):
            np.testing.assert_allclose(one.data[key], tables[0].data[key], rtol=1e-3, atol=1e-5)
    assert tables[0].anchors.tolist() == [0, 1, 2]
    with torch.no_grad():
        still = model.decode(model.encode(torch.tensor(X[:3]))[0]).numpy()
    np.testing.assert_allclose(tables[0].images[0][:, 3], still, atol=1e-5)
    json.loads(tables[0].to_json())


def test_a_gan_and_its_uniform_prior():
    net = nn.Sequential(nn.Linear(3, 6), nn.Tanh())
    model = GAN(
        generator=net.forward, modules=net, latent_shape=(3,), sample_shape=(6,),
        data_range=(-1.0, 1.0), prior="uniform",
    )  # fmt: skip
    adapter = AssessorDirection(model, lambda x: x[:, 0], realism=None, n_steps=5, n_codes=50)
    assert adapter._keep() == "free"
    codes = adapter.explain(None).codes
    assert np.abs(codes).max() <= 1.0


def test_dimensions_are_axes_too():
    axes = dimensions((2, 3), scale=0.5)
    assert [axis.label for axis in axes] == ["z0", "z1", "z2", "z3", "z4", "z5"]
    moved = axes[4].move(torch.zeros(1, 2, 3), 2.0)
    assert moved.flatten().tolist() == [0, 0, 0, 0, 1, 0]
    with pytest.raises(ParameterError, match="below 6"):
        dimensions((2, 3), [6])
    for vector in (np.zeros(3), [np.nan, 1.0], []):
        with pytest.raises(ParameterError, match="finite and not zero"):
            Axis("a", vector)


CASES = [
    ExplainerCase(
        "ClassDirections",
        make=partial(
            ClassDirections, classifier=bright, n_codes=40, n_random=2, method="means", realism=None
        ),
        make_predictor=conv_vae,
        X=X,
        make_other=other_vae,
        data_keys=frozenset(ClassDirections.defaults) | {"evidence"},
        X_invalid=np.where(np.arange(6)[:, None, None, None] == 1, np.nan, X),
        many=50,
        rtol=1e-3,
        atol=1e-4,
    )
]


@parametrize_with_checks(CASES, explainer_checks())
def test_class_directions_keep_the_contract(subject, check):
    check(subject)
