"""VAE-TracIn against Captum's exact mode, Alibi's GradientSimilarity, and the published model."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pxgen_plugins.adapters.example_based import _gradient_products
from pxgen_plugins.adapters.example_based.tracin import DEFAULT_DATA_TRACIN, VAETracIn
from pxgen_plugins.models import VAE
from pxgen_plugins.testing import ExplainerCase, explainer_checks, parametrize_with_checks
from pxgen_plugins.utils.errors import CapabilityError, ModelError, ParameterError
from pxgen_plugins.utils.seeds import derive, normal_rows

from .airplanes import CHECKPOINTS, FOLDER, airplane_vae, airplanes
from .nets import ConvNet, MLPNet, conv_vae, mlp_vae

RNG = np.random.default_rng(0)
TRAIN = RNG.random((8, 1, 8, 8))
X = RNG.random((5, 1, 8, 8))
NETS = {"mlp": (MLPNet, mlp_vae), "conv": (ConvNet, conv_vae)}


class OneTensor(nn.Module):
    """Reconstruction and posterior side by side, with fixed noise, as Captum and Alibi want it."""

    def __init__(self, net: nn.Module, noise: torch.Tensor) -> None:
        super().__init__()
        self.net, self.noise = net, noise

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean, log_var = self.net.encode(x)
        decoded = self.net.decode(mean + (0.5 * log_var).exp() * self.noise)
        return torch.cat([decoded.flatten(1), mean, log_var], dim=1)


def loss_per_sample(out: torch.Tensor, x: torch.Tensor, beta: float) -> torch.Tensor:
    decoded, mean, log_var = out[:, :64], out[:, 64:68], out[:, 68:]
    error = ((decoded - x.flatten(1)) ** 2).sum(1)
    kld = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1)
    return error + beta * kld


def states(kind: str, seeds: tuple[int, ...] = (0, 1, 2)) -> list[dict[str, torch.Tensor]]:
    return [NETS[kind][0](seed).state_dict() for seed in seeds]


def slow(kind: str, checkpoints: Any, draws: int, beta: float = 1.0, seed: int = 0) -> np.ndarray:
    """Sum of products of gradients, one sample, draw and parameter at a time."""
    noise = normal_rows(0, draws, (4,), derive(seed, "tracin"))
    total = np.zeros((len(TRAIN), len(X)))
    for state, rate, weight in checkpoints:
        net = NETS[kind][0]().eval()
        net.load_state_dict(state)

        def gradient(one: np.ndarray, net: nn.Module = net) -> torch.Tensor:
            x = torch.tensor(one, dtype=torch.float32)[None]
            net.zero_grad()
            for draw in noise:
                out = OneTensor(net, draw)(x)
                (loss_per_sample(out, x, beta).sum() / draws).backward()
            return torch.cat([p.grad.flatten() for p in net.parameters()]).double()

        left = torch.stack([gradient(one) for one in TRAIN])
        right = torch.stack([gradient(one) for one in X])
        total += rate * weight * (left @ right.T).numpy()
    return total


@pytest.mark.parametrize("kind", NETS)
def test_influence_is_the_slow_sum_over_checkpoints_and_draws(kind: str) -> None:
    checkpoints = list(zip(states(kind), (0.1, 0.2, 0.3), (1.0, 5.0, 2.0), strict=True))
    found = VAETracIn(NETS[kind][1](), checkpoints, n_draws=3, beta=2.0).fit(TRAIN).explain(X)
    expected = slow(kind, checkpoints, 3, beta=2.0)
    np.testing.assert_allclose(found.influence, expected, rtol=2e-4, atol=1e-4)
    order = np.argsort(-expected, axis=0).T
    np.testing.assert_array_equal(found.helpful, order)
    np.testing.assert_array_equal(found.harmful, order[:, ::-1])


@pytest.mark.parametrize("kind", NETS)
def test_influence_agrees_with_captums_exact_mode(kind: str, tmp_path: Any) -> None:
    influence = pytest.importorskip("captum.influence")
    saved = []
    for number, state in enumerate(states(kind)):
        path = tmp_path / f"{number}.safetensors"
        save_file(state, path)
        saved.append(str(path))
    noise = normal_rows(0, 1, (4,), derive(0, "tracin"))[0]
    wrapped = OneTensor(NETS[kind][0](), noise).eval()

    def load(module: nn.Module, path: str) -> float:
        from safetensors.torch import load_file

        module.net.load_state_dict(load_file(path))
        return 0.1

    class Sum(nn.Module):
        reduction = "none"

        def forward(self, out: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            return loss_per_sample(out, x, 1.0)

    train = torch.tensor(TRAIN, dtype=torch.float32)
    test = torch.tensor(X, dtype=torch.float32)
    theirs = influence.TracInCP(
        wrapped,
        torch.utils.data.TensorDataset(train, train),
        saved,
        checkpoints_load_func=load,
        loss_fn=Sum(),
        batch_size=4,
        sample_wise_grads_per_batch=False,
    )
    expected = theirs.influence((test, test)).detach().numpy().T
    ours = VAETracIn(NETS[kind][1](), [(path, 0.1) for path in saved], n_draws=1)
    found = ours.fit(TRAIN).explain(X)
    np.testing.assert_allclose(found.influence, expected, rtol=2e-4, atol=1e-4)


@pytest.mark.parametrize("kind", NETS)
def test_one_checkpoint_agrees_with_alibis_gradient_similarity(kind: str) -> None:
    pytest.importorskip("alibi")
    from alibi.explainers import GradientSimilarity

    noise = normal_rows(0, 1, (4,), derive(0, "tracin"))[0]
    net = OneTensor(NETS[kind][0](), noise).eval()
    theirs = GradientSimilarity(
        net,
        loss_fn=lambda out, x: loss_per_sample(out, x, 1.0).sum(),
        sim_fn="grad_dot",
        task="regression",
        backend="pytorch",
        precompute_grads=True,
    )
    train, test = TRAIN.astype(np.float32), X.astype(np.float32)
    theirs.fit(train, train)
    expected = theirs.explain(test, test)
    found = VAETracIn(NETS[kind][1](), n_draws=1).fit(TRAIN).explain(X)
    falling = np.take_along_axis(found.influence.T, found.helpful, axis=1)
    np.testing.assert_allclose(falling, expected.scores, rtol=2e-4, atol=1e-4)
    np.testing.assert_array_equal(found.helpful, expected.ordered_indices)


def test_bernoulli_loss_is_that_of_torch() -> None:
    net = MLPNet().eval()
    x = torch.tensor(X, dtype=torch.float32)
    explainer = VAETracIn(mlp_vae(), loss="bce", beta=0.0, n_draws=0, reduction="mean")
    values = explainer._values(mlp_vae(), x, torch.zeros(4))
    expected = nn.functional.binary_cross_entropy(net.decode(net.encode(x)[0]), x, reduction="none")
    torch.testing.assert_close(values, expected.flatten(1).mean(1))


@pytest.mark.parametrize("kind", NETS)
def test_self_influence_is_the_diagonal(kind: str) -> None:
    explainer = VAETracIn(NETS[kind][1]()).fit(TRAIN)
    diagonal = np.diag(explainer.explain(TRAIN).influence)
    np.testing.assert_allclose(explainer.self_influence(), diagonal, rtol=1e-5)
    assert (diagonal > 0).all()


def test_blocks_of_little_memory_change_nothing() -> None:
    whole = VAETracIn(conv_vae()).fit(TRAIN).explain(X).influence

    class Small(VAETracIn):
        memory = 1

    pieces = Small(conv_vae(), batch_size=3).fit(TRAIN).explain(X).influence
    np.testing.assert_allclose(pieces, whole, rtol=1e-4, atol=1e-5)


def test_parameters_can_be_restricted_by_name_prefix_or_pattern() -> None:
    parts = [["encoder"], ["mean", "log_var"], [r"decoder\..*"]]
    whole = VAETracIn(mlp_vae()).fit(TRAIN).explain(X)
    found = [VAETracIn(mlp_vae(), parameters=part).fit(TRAIN).explain(X) for part in parts]
    np.testing.assert_allclose(
        sum(one.influence for one in found), whole.influence, rtol=1e-4, atol=1e-4
    )
    assert sum(one.n_parameters for one in found) == whole.n_parameters
    with pytest.raises(ParameterError, match="parameters must be names of parameters"):
        VAETracIn(mlp_vae(), parameters=["nothing"]).fit(TRAIN).explain(X)


def test_projection_is_unbiased_and_its_stated_error_holds(monkeypatch: Any) -> None:
    exact = VAETracIn(mlp_vae(), n_draws=1).fit(TRAIN).explain(X).influence
    explainer = VAETracIn(mlp_vae(), n_draws=1, projection=64).fit(TRAIN)
    original = _gradient_products.Sketch.__init__
    errors = []
    for number in range(40):  # other projections, but the same draws

        def init(self: Any, size: int, width: int, seed: int, number: int = number) -> None:
            original(self, size, width, seed + number)

        monkeypatch.setattr(_gradient_products.Sketch, "__init__", init)
        explanation = explainer.explain(X)
        errors.append(explanation.influence - exact)
    stated = explanation.standard_error
    deviation = np.sqrt(np.mean(np.square(errors), axis=0))
    assert (deviation <= 1.4 * stated).all()
    assert (deviation >= 0.2 * stated).all()
    assert (np.abs(np.mean(errors, axis=0)) <= 4 * stated / np.sqrt(len(errors))).all()


def test_callables_that_hide_their_modules_give_the_same_and_keep_their_weights() -> None:
    net = ConvNet()
    hidden = VAE(
        encode=lambda x: net.encode(x),
        decode=lambda z: net.decode(z),
        modules=net,
        latent_shape=(4,),
        sample_shape=(1, 8, 8),
    )
    checkpoints = [(state, 0.1) for state in states("conv", (1, 2))]
    before = copy.deepcopy(net.state_dict())
    found = VAETracIn(hidden, checkpoints).fit(TRAIN).explain(X)
    expected = VAETracIn(conv_vae(), checkpoints).fit(TRAIN).explain(X)
    np.testing.assert_allclose(found.influence, expected.influence, rtol=1e-5, atol=1e-6)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_two_modules_have_numbered_names() -> None:
    net = MLPNet()

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.mean, self.log_var = net.encoder, net.mean, net.log_var

        def forward(self, x: torch.Tensor) -> Any:
            hidden = self.encoder(x)
            return self.mean(hidden), self.log_var(hidden)

    model = VAE(encode=Encoder(), decode=net.decoder, latent_shape=(4,), sample_shape=(1, 8, 8))
    state = {f"0.{k}": v for k, v in Encoder().state_dict().items()}
    state |= {f"1.{k}": v for k, v in net.decoder.state_dict().items()}
    found = VAETracIn(model, [(state, 1.0)]).fit(TRAIN).explain(X)
    expected = VAETracIn(mlp_vae()).fit(TRAIN).explain(X)
    np.testing.assert_allclose(found.influence, expected.influence, rtol=1e-4, atol=1e-5)


def test_a_model_that_vmap_cannot_follow_goes_one_by_one() -> None:
    net = MLPNet()

    def encode(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if float(x.sum()) < -1e9:
            raise ValueError
        return net.encode(x)

    model = VAE(
        encode=encode, decode=net.decode, latent_shape=(4,), sample_shape=(1, 8, 8), modules=net
    )
    found = VAETracIn(model).fit(TRAIN).explain(X)
    expected = VAETracIn(mlp_vae()).fit(TRAIN).explain(X)
    np.testing.assert_allclose(found.influence, expected.influence, rtol=1e-4, atol=1e-5)


def test_samples_that_are_not_finite_are_named_and_the_others_untouched() -> None:
    train, anchors = TRAIN.copy(), X.copy()
    train[2, 0, 0, 0], anchors[1, 0, 3, 3] = np.nan, np.inf
    found = VAETracIn(mlp_vae()).fit(train).explain(anchors)
    assert found.invalid.tolist() == [1]
    assert found.invalid_train.tolist() == [2]
    assert np.isnan(found.influence[2]).all()
    assert np.isnan(found.influence[:, 1]).all()
    good = np.ix_(np.delete(np.arange(8), 2), np.delete(np.arange(5), 1))
    expected = VAETracIn(mlp_vae()).fit(TRAIN).explain(X).influence
    np.testing.assert_allclose(found.influence[good], expected[good], rtol=1e-4, atol=1e-5)
    assert found.helpful[0, -1] == found.harmful[0, -1] == -1
    assert set(found.helpful[0, :-1].tolist()) == {0, 1, 3, 4, 5, 6, 7}
    assert (found.helpful[1] == -1).all()
    # an influence that is not known has no error either
    found = VAETracIn(mlp_vae(), projection=16).fit(train).explain(anchors)
    np.testing.assert_array_equal(np.isnan(found.standard_error), np.isnan(found.influence))
    assert np.isnan(found.influence).sum() == 5 + 8 - 1


def test_gradients_that_are_not_finite_are_named_and_never_helpful() -> None:
    train, anchors = TRAIN.copy(), X.copy()
    train[3], anchors[2] = 0.0, 0.0
    net = mlp_vae().modules[0]

    def root(x: torch.Tensor) -> Any:
        mean, log_var = net.encode(x)
        # at 0 the root is finite and its slope is not
        size = (net.mean.weight.sum() * x.flatten(1).sum(1, keepdim=True)).abs()
        return mean + 0.01 * size.sqrt(), log_var

    model = VAE(encode=root, decode=net.decode, modules=net, sample_shape=(1, 8, 8), check=False)
    found = VAETracIn(model).fit(train).explain(anchors)
    assert found.invalid.tolist() == [2]
    assert found.invalid_train.tolist() == [3]
    assert found.reasons == found.reasons_train == ["the gradient of its loss is not finite"]
    assert np.isnan(found.influence[:, 2]).all()
    assert np.isnan(found.influence[3]).all()
    assert np.isfinite(np.delete(np.delete(found.influence, 3, 0), 2, 1)).all()
    assert (found.helpful[2] == -1).all()
    assert 3 not in found.helpful
    assert 3 not in found.harmful
    assert np.isnan(found.self_influence[3])


@pytest.mark.parametrize("loss", ["bce", "mse"])
def test_an_output_that_saturates_has_the_influence_of_float64(loss: str) -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down, self.up = torch.nn.Linear(8, 4), torch.nn.Linear(2, 8)
            self.up.bias.data[0] = 25.0  # sigmoid gives exactly 1 in float32, not in float64

        def encode(self, x: torch.Tensor) -> Any:
            return self.down(x).chunk(2, 1)

        def decode(self, z: torch.Tensor) -> torch.Tensor:
            return self.up(z).sigmoid()

    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        net = Net()
    rows = np.random.default_rng(0).random((6, 8), dtype=np.float32)
    rows[:, 0] = 1.0  # so that the slope at the saturated element is 0 in truth, too
    results = [
        VAETracIn(VAE(one, sample_shape=(8,)), loss=loss).fit(rows).explain(rows[:2])
        for one in (net, copy.deepcopy(net).double())
    ]
    assert not len(results[0].invalid)
    np.testing.assert_allclose(results[0].influence, results[1].influence, rtol=1e-3, atol=1e-5)


def test_wrong_checkpoints_are_told_apart(tmp_path: Any) -> None:
    def run(checkpoints: Any) -> None:
        VAETracIn(mlp_vae(), checkpoints).fit(TRAIN).explain(X)

    state = states("mlp")[0]
    text = tmp_path / "text.safetensors"
    text.write_text("nothing")
    with pytest.raises(ParameterError, match="checkpoint 0 must be the path of a safetensors file"):
        run([(str(text), 0.1)])
    with pytest.raises(ParameterError, match="checkpoint 0 must be the path of a safetensors file"):
        run([(str(tmp_path / "absent.safetensors"), 0.1)])
    with pytest.raises(ParameterError, match=r"must be with a weight 'mean\.bias'"):
        run([({k: v for k, v in state.items() if k != "mean.bias"}, 0.1)])
    with pytest.raises(ParameterError, match="'extra'"):
        run([({**state, "extra": torch.zeros(1)}, 0.1)])
    with pytest.raises(ParameterError, match=r"of shape \(4,\)"):
        run([({**state, "mean.bias": torch.zeros(5)}, 0.1)])
    with pytest.raises(ParameterError, match="pairs"):
        run([state])
    with pytest.raises(ParameterError, match="learning_rate"):
        run([(state, -1.0)])


def test_a_model_whose_weights_are_out_of_reach_is_refused() -> None:
    class Box:
        net = MLPNet()

    box = Box()
    model = VAE(
        encode=lambda x: box.net.encode(x),
        decode=lambda z: box.net.decode(z),
        latent_shape=(4,),
        sample_shape=(1, 8, 8),
        modules=MLPNet(1),
    )
    with pytest.raises(ModelError, match="modules=net"):
        VAETracIn(model).fit(TRAIN).explain(X)


def test_a_model_without_layers_is_refused() -> None:
    class NoLayers:
        capabilities = frozenset({"encode", "decode"})
        sample_shape, latent_shape, data_range = (1, 8, 8), (4,), (0.0, 1.0)
        device, dtype = torch.device("cpu"), torch.float32

    with pytest.raises(CapabilityError, match="layers"):
        VAETracIn(NoLayers())


def test_state_dicts_are_not_saved(tmp_path: Any) -> None:
    pytest.importorskip("alibi")
    from alibi.saving import load_explainer, save_explainer

    explainer = VAETracIn(mlp_vae(), [(states("mlp")[0], 0.1)]).fit(TRAIN)
    save_explainer(explainer, tmp_path)
    explainer.explain(X)
    loaded = load_explainer(tmp_path, mlp_vae())
    with pytest.raises(ParameterError, match="not saved"):
        loaded.explain(X)


@pytest.mark.shared
@pytest.mark.skipif(not (FOLDER / "models").is_dir(), reason="shared models are not here")
def test_training_airplanes_are_their_own_strongest_proponents() -> None:
    images = airplanes(40)
    explainer = VAETracIn(
        airplane_vae(),
        [(path, 3e-4) for path in CHECKPOINTS[1:3]],
        beta=2.0,
        reduction="mean",
        n_draws=2,
        batch_size=10,
    )
    found = explainer.fit(images).explain(images[:20])
    assert (found.helpful[:, 0] == np.arange(20)).mean() >= 0.95
    assert found.n_parameters == 806_915


def make(predictor: Any, **options: Any) -> VAETracIn:
    return VAETracIn(predictor, n_draws=2, n_top=3, **options)


def make_other() -> VAE:
    return conv_vae(seed=1)


def make_grown() -> VAE:
    return conv_vae(hidden=96)


def module_of(predictor: Any) -> nn.Module:
    return predictor._evaluating.modules[0]


CASES = [
    ExplainerCase(
        "VAETracIn",
        make=make,
        make_predictor=conv_vae,
        X=X,
        fit_args=(TRAIN,),
        make_other=make_other,
        make_grown=make_grown,
        module=module_of,
        data_keys=frozenset(DEFAULT_DATA_TRACIN) | {"evidence"},
        seed_matters=True,
        X_invalid=np.where(np.arange(64).reshape(8, 8) == 3, np.nan, X),
        many=400,
        rtol=1e-3,
        atol=1e-4,
    )
]


@parametrize_with_checks(CASES, explainer_checks())
def test_tracin_keeps_the_contract(subject: Any, check: Any) -> None:
    check(subject)
