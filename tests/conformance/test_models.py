"""Every registered model family under the suite for models, and the suite itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pxgen_plugins import PXGen, criteria, models
from pxgen_plugins.criteria import Batch, FittedCriterion, for_model
from pxgen_plugins.models.inversion import Inversion
from pxgen_plugins.models.logit import Logit
from pxgen_plugins.result.explanation import from_json
from pxgen_plugins.testing import ModelCase, check_model, model_checks, parametrize_with_checks
from pxgen_plugins.testing.examples import AbleModel, LinearModel
from pxgen_plugins.thresholds import Quantile
from pxgen_plugins.utils.errors import CapabilityError
from pxgen_plugins.utils.progress import count_passes

from .cases import LATENT, SAMPLE_SHAPE, Outside, TinyVAE, sampler, wrap
from .support import failing


def vae_cases() -> list[ModelCase]:
    plain = wrap(TinyVAE())
    twin = TinyVAE(seed=3)

    def encode(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        flat = x.reshape(len(x), -1).astype(np.float32)
        return flat[:, :LATENT] - 0.5, np.full((len(x), LATENT), -1.0, dtype=np.float32)

    def decode(z: np.ndarray) -> np.ndarray:
        grey = 1.0 / (1.0 + np.exp(-z.sum(1)))
        return np.broadcast_to(grey[:, None, None, None], (len(z), *SAMPLE_SHAPE)).copy()

    arrays = models.VAE(
        encode=encode, decode=decode, modules=(), latent_shape=(LATENT,), sample_shape=SAMPLE_SHAPE
    )
    conditional = models.VAE(
        encode=lambda x, y: plain.net.encode(x),
        decode=lambda z, y: plain.net.decode(z + y[:, None]),
        condition=1,
        latent_shape=(LATENT,),
        sample_shape=SAMPLE_SHAPE,
        modules=plain.net,
    )
    return [
        ModelCase("vae", plain, (plain.net,)),
        ModelCase("vae of a training module", wrap(twin.train()), (twin,)),
        ModelCase("vae on ndarrays", arrays),
        ModelCase("conditional vae", conditional, (plain.net,)),
    ]


def black_box_cases() -> list[ModelCase]:
    return [ModelCase("black_box", models.BlackBox(Outside(), sampler))]


def autoencoder_cases() -> list[ModelCase]:
    net = TinyVAE()
    model = models.Autoencoder(
        encode=lambda x: net.encode(x)[0],
        decode=net.decode,
        latent_shape=(LATENT,),
        sample_shape=SAMPLE_SHAPE,
        prior=torch.randn(20, LATENT, generator=torch.Generator().manual_seed(0)),
        modules=net,
    )
    return [ModelCase("autoencoder", model, (net,))]


def vqvae_cases() -> list[ModelCase]:
    net = TinyVAE()
    book = torch.randn(5, LATENT, generator=torch.Generator().manual_seed(0))
    model = models.VQVAE(
        encode=lambda x: net.encode(x)[0],
        decode=net.decode,
        codebook=book,
        latent_shape=(LATENT,),
        sample_shape=SAMPLE_SHAPE,
        prior="uniform",
        modules=net,
    )
    return [ModelCase("vqvae", model, (net,))]


def gan_cases() -> list[ModelCase]:
    net = TinyVAE()
    few = Inversion(steps=20, restarts=1, bank=32)
    common = {"latent_shape": (LATENT,), "sample_shape": SAMPLE_SHAPE, "modules": net}
    judge = torch.nn.Linear(math.prod(SAMPLE_SHAPE), 1)
    plain = models.GAN(
        net.decode, discriminator=lambda x: judge(x.flatten(1)), inversion=few, **common
    )
    encoded = models.GAN(net.decode, encoder=lambda x: net.encode(x)[0], **common)
    conditional = models.GAN(
        lambda z, y: net.decode(z + y[:, None]), n_classes=2, inversion=few, **common
    )
    return [
        ModelCase("gan", plain, (net,)),
        ModelCase("gan with an encoder", encoded, (net,)),
        ModelCase("conditional gan", conditional, (net,)),
    ]


def diffusion_cases() -> list[ModelCase]:
    net = torch.nn.Conv2d(1, 1, 3, padding=1)
    common = {"sample_shape": SAMPLE_SHAPE, "data_range": (0.0, 1.0), "modules": net, "steps": 5}
    plain = models.Diffusion(lambda x, t: net(x) * (t / 1000)[:, None, None, None], **common)
    noisy = models.Diffusion(lambda x, t: net(x), prediction="v", eta=1.0, loss="bound", **common)
    return [ModelCase("diffusion", plain, (net,)), ModelCase("diffusion with noise", noisy, (net,))]


def sample_bank_cases() -> list[ModelCase]:
    return [
        ModelCase("sample_bank", models.SampleBank(sampler(40, 0))),
        ModelCase("sample_bank of a function", models.SampleBank(sampler)),
    ]


def flow_cases() -> list[ModelCase]:
    net = torch.nn.Linear(1, 1)  # positive slope: x -> |w| x + b, pixel by pixel
    slope = lambda: net.weight.abs().squeeze() + 0.1  # noqa: E731
    pixels = math.prod(SAMPLE_SHAPE)

    def log_prob(y: torch.Tensor) -> torch.Tensor:
        z = y * slope() + net.bias
        return -0.5 * z.square().flatten(1).sum(1) + pixels * slope().log()

    model = models.Flow(
        log_prob=log_prob,
        embed=lambda y: y * slope() + net.bias,
        decode=lambda z: (z - net.bias) / slope(),
        sample_shape=SAMPLE_SHAPE,
        data_range=(0.0, 1.0),
        preprocess=Logit(256, 0.05),
        modules=net,
    )
    density = models.Flow(
        log_prob=log_prob,
        sample=lambda n, seed: sampler(n, seed),
        sample_shape=SAMPLE_SHAPE,
        modules=net,
    )
    return [ModelCase("flow", model, (net,)), ModelCase("flow of a density", density, (net,))]


def language_cases() -> list[ModelCase]:
    def sample(n: int, seed: int) -> list[str]:
        draws = np.random.default_rng(seed)
        return ["".join(draws.choice(list("abc"), size=6)) for _ in range(n)]

    model = models.LanguageModel(
        log_probs=lambda texts: [[-0.1 * ord(c) for c in text] or [-1.0] for text in texts],
        generate=lambda prompts, counts: ["b" * count for count in counts],
        sample=sample,
        embed=lambda texts: torch.tensor([[t.count("a"), len(t)] for t in texts]).float(),
        modules=(),
        max_chars=8,
    )
    return [ModelCase("language model", model)]


def tabular_cases() -> list[ModelCase]:
    pandas = pytest.importorskip("pandas")
    drawn = np.random.default_rng(0)
    like = pandas.DataFrame(
        {
            "size": drawn.normal(size=40),
            "count": drawn.integers(0, 9, 40),
            "colour": drawn.choice(["blue", "green", "red"], 40),
        }
    )
    net = torch.nn.Linear(3, 2)

    class Bootstrap:
        def sample(self, num_rows):
            return like.sample(num_rows, replace=True)

    def encode(frame):
        codes = frame["colour"].map({"blue": 0.0, "green": 1.0, "red": 2.0})
        values = np.stack([frame["size"], frame["count"], codes], 1).astype(np.float32)
        return net(torch.from_numpy(values))

    def decode(z):
        names = np.array(["blue", "green", "red"])[(z[:, 0].abs() % 3).long().numpy()]
        count = z[:, 1].abs().round().long().numpy()
        return pandas.DataFrame({"colour": names, "size": z[:, 0].numpy(), "count": count})

    pair = {"encode": lambda frame: (encode(frame), -encode(frame).abs()), "decode": decode}
    return [
        ModelCase("tabular", models.Tabular(Bootstrap(), like)),
        ModelCase("tabular vae", models.Tabular(Bootstrap(), like, modules=net, **pair), (net,)),
        ModelCase(
            "tabular autoencoder",
            models.Tabular(Bootstrap(), like, encode=encode, decode=decode, modules=net),
            (net,),
        ),
        ModelCase(
            "tabular with a density",
            models.Tabular(
                Bootstrap(),
                like,
                reconstruct=lambda frame: frame.assign(size=0.0),
                log_prob=lambda frame: -np.square(frame["size"]),
                modules=(),
            ),
        ),
    ]


# Several instances of a family; of any other family, its own example() is checked.
EXAMPLES = {
    "autoencoder": autoencoder_cases,
    "black_box": black_box_cases,
    "diffusion": diffusion_cases,
    "flow": flow_cases,
    "gan": gan_cases,
    "language_model": language_cases,
    "sample_bank": sample_bank_cases,
    "tabular": tabular_cases,
    "vae": vae_cases,
    "vqvae": vqvae_cases,
}


def cases(name: str) -> list[ModelCase]:
    return EXAMPLES[name]() if name in EXAMPLES else [ModelCase(name, models.get(name).example())]


def test_a_family_without_an_example_is_told_to_have_one():
    class Shy(models.GenerativeModel):
        pass

    with pytest.raises(NotImplementedError, match=r"Shy has no example\(\)"):
        Shy.example()


@parametrize_with_checks([case for name in models.names() for case in cases(name)], model_checks())
def test_a_registered_model_keeps_the_contract(subject, check):
    check(subject)


def explainable() -> list[ModelCase]:
    """The cases that a criterion of each kind works with."""
    cases = [case for name in sorted(EXAMPLES) for case in EXAMPLES[name]()]
    able = [
        c
        for c in cases
        if "sample" in c.model.capabilities and "values" not in c.model.capabilities
    ]
    return [c for c in able if for_model(c.model, "intrinsic") and for_model(c.model, "extrinsic")]


@pytest.mark.parametrize("case", explainable(), ids=lambda case: case.name)
def test_every_family_is_fitted_and_explained(case):
    model = case.model
    rows = torch.as_tensor(model.sample(16, 3)).detach().cpu().numpy()
    # an own criterion of the family where it has one, else one that learns from its samples
    learning = {"sample_rank", "nearest_sample", "density", "realism", "gower_nearest"}
    chosen = []
    for kind, last in (("intrinsic", "sample_rank"), ("extrinsic", "nearest_sample")):
        own = [n for n in for_model(model, kind) if n not in learning]
        chosen.append(own[0] if own else {"name": last, "n_fit": 20})
    found = []
    for batch_size in (None, 5):
        explainer = PXGen(
            model, *chosen, threshold=Quantile(0.9, 20, 2), n_representatives=2,
            batch_size=batch_size, seed=1,
        )  # fmt: skip
        found.append(explainer.fit(rows).explain(rows, labels=["own"] * 16))
    one, other = found
    assert sum(group["count"] for group in one.groups.values()) + len(one.invalid) == 16
    assert len(one.invalid) == 0
    assert np.allclose(one.values, other.values, rtol=1e-3, atol=1e-4)
    again = from_json(one.to_json())
    assert np.array_equal(again.group, one.group)
    assert one.meta["params"]["model"]["family"] == type(model).__name__


@pytest.mark.parametrize("case", explainable(), ids=lambda case: case.name)
def test_every_criterion_said_to_work_with_a_family_does(case):
    x = torch.as_tensor(case.model.sample(20, 3)).detach()
    for name in for_model(case.model):
        criterion = criteria.make({"name": name})
        criterion.check(case.model)
        if isinstance(criterion, FittedCriterion):
            criterion.fit(iter([Batch(case.model, x)]))
        with torch.no_grad():
            values = criterion(Batch(case.model, x[:4]))
        assert tuple(values.shape) == (4,), name
    for name in set(criteria.names()) - set(for_model(case.model)):
        with pytest.raises(CapabilityError, match=name):
            criteria.make({"name": name}).check(case.model)


class Undeclared(LinearModel):
    capabilities = frozenset({"sample", "encode", "reconstruct"})


class Overdeclared(LinearModel):
    capabilities = frozenset({"sample", "log_prob"})


class ListShape(LinearModel):
    sample_shape = [1, 8, 8]  # type: ignore[assignment]  # noqa: RUF012


class SameSamples(LinearModel):
    def sample(self, n, seed):
        return super().sample(n, 0)


class TooBright(LinearModel):
    def sample(self, n, seed):
        return super().sample(n, seed) + 1.0


class OtherCodes(LinearModel):
    def encode(self, x):
        mean, log_var = super().encode(x)
        return mean[:, :2], log_var


class RandomCodes(LinearModel):
    def encode(self, x):
        mean, log_var = super().encode(x)
        return mean + torch.randn(mean.shape), log_var


class FlatImages(LinearModel):
    def decode(self, z):
        return super().decode(z).flatten(1)


class SmallReconstruction(LinearModel):
    def reconstruct(self, x):
        return super().reconstruct(x)[..., :4]


class CentredBatch(LinearModel):
    def reconstruct(self, x):
        return super().reconstruct(x - x.mean(0) + 0.5)


class Overwrites(LinearModel):
    def encode(self, x):
        result = super().encode(x)
        x.mul_(0.5)
        return result


class ShiftedCodes(AbleModel):
    def embed(self, x):
        return super().embed(x) + 1.0


class FloatingCodes(AbleModel):
    def codes(self, x):
        return super().codes(x).float()


class LoneContinuations(AbleModel):
    def continuation(self, x):
        return [own for own, _ in super().continuation(x)]


class Scores(LinearModel):
    capabilities = LinearModel.capabilities | {"score"}

    def score(self, x):
        return x.mean()


class Loops(LinearModel):
    def sample(self, n, seed):
        for _ in range(3):  # and states one pass
            count_passes(n)
        return super().sample(n, seed)


MUTANTS = {
    Loops: "costs_are_stated",
    Undeclared: "undeclared_methods_refuse",
    Overdeclared: "capabilities_are_methods",
    ListShape: "declares_itself",
    SameSamples: "samples_depend_on_the_seed_only",
    TooBright: "samples_are_instances",
    OtherCodes: "encode_gives_mean_and_log_variance",
    RandomCodes: "global_random_state_is_left_alone",
    FlatImages: "decode_gives_instances",
    SmallReconstruction: "reconstruct_gives_instances",
    CentredBatch: "rows_are_independent",
    Overwrites: "input_is_not_modified",
    ShiftedCodes: "embed_gives_codes",
    FloatingCodes: "codes_are_indices",
    LoneContinuations: "continuations_are_pairs_of_token_ids",
    Scores: "scalars_are_one_per_instance",
}


def test_a_good_model_passes():
    check_model(LinearModel())
    check_model(AbleModel())


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda cls: cls.__name__)
def test_a_broken_model_is_noticed(mutant):
    assert MUTANTS[mutant] in failing(model_checks(), ModelCase(mutant.__name__, mutant()))


def test_every_check_is_shown_to_fail():
    elsewhere = {"modules_are_left_as_they_were", "training_mode_does_not_matter"}
    assert {*MUTANTS.values(), *elsewhere} == {check.name for check in model_checks()}


class Careless(LinearModel):
    """Reconstructs by a network whose mode it does not mind."""

    def __init__(self, leave: bool) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Dropout(0.5))
        self.leave = leave

    def reconstruct(self, x):
        if self.leave:
            self.net.eval()
        return super().reconstruct(self.net(x))


@pytest.mark.parametrize(
    ("leave", "name"),
    [(True, "modules_are_left_as_they_were"), (False, "training_mode_does_not_matter")],
)
def test_a_module_in_the_wrong_mode_is_noticed(leave, name):
    model = Careless(leave)
    assert name in failing(model_checks(), ModelCase("careless", model, (model.net,)))


def test_every_failure_is_listed_by_name():
    with pytest.raises(AssertionError) as caught:
        check_model(FlatImages())
    assert "- decode_gives_instances: " in str(caught.value)
    assert "- rows_are_independent: " not in str(caught.value)


def test_one_module_need_not_be_in_a_tuple():
    model = wrap(TinyVAE())
    check_model(model, model.net)
