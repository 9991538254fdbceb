"""What is used where nothing is asked for: for every family, whatever the units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from pxgen_plugins import PXGen, defaults
from pxgen_plugins.criteria import Batch, ContinuationDistance
from pxgen_plugins.models import GAN, Autoencoder, LanguageModel, SampleBank, Tabular
from pxgen_plugins.models.trial import operations
from pxgen_plugins.thresholds import Quantile
from pxgen_plugins.utils.errors import CapabilityError, ModelError, ParameterError

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text("utf-8")


def names(explainer: PXGen) -> tuple[str, ...]:
    return tuple(criterion.name for criterion in explainer.criteria)


FAMILIES = {
    "Autoencoder": ("aggregate_mahalanobis", "fvu", "Quantile"),
    "Diffusion": ("denoising_loss", "fvu", "Quantile"),
    "Flow": ("typical_nll", "nearest_sample", "Quantile"),
    "GAN": ("sample_rank", "nearest_sample", "Quantile"),
    "LanguageModel": ("token_nll", "token_edit", "Quantile"),
    "SampleBank": ("sample_rank", "nearest_sample", "Quantile"),
    "Tabular": ("sample_rank", "gower", "Quantile"),
    "TextToImage": ("denoising_loss", "fvu", "Quantile"),
    "VAE": ("kld", "mse", "MeanMax"),
    "VQVAE": ("code_usage", "fvu", "Quantile"),
}


@pytest.mark.slow  # models of every family: two minutes
def test_trained_models_get_what_the_page_says_and_why(example):
    families, absent = example("families"), []
    for name in families.names():
        try:
            model = families.load(name).model
        except FileNotFoundError:  # published weights are kept beside the repository
            absent.append(name)
            continue
        explainer = PXGen(model)
        rule = type(explainer.threshold).__name__
        assert (*names(explainer), rule) == FAMILIES[type(model).__name__], name
        chosen = explainer.meta["params"]["chosen"]
        for kind, criterion in zip(("intrinsic", "extrinsic"), explainer.criteria, strict=True):
            assert chosen[kind].startswith(f"{criterion.name}: ")
        assert chosen["threshold"].startswith(rule)
    assert {"gan", "vae", "vqvae", "tabular", "language_model"}.isdisjoint(absent)


def test_explicit_arguments_win_and_a_vae_keeps_the_papers(vae):
    explainer = PXGen(vae, extrinsic="ssim", threshold=Quantile(0.9, 50, 2))
    assert names(explainer) == ("kld", "ssim")
    assert set(explainer.meta["params"]["chosen"]) == {"intrinsic"}
    rule = PXGen(vae).threshold
    assert (type(rule).__name__, rule.n_samples, rule.n_repeats) == ("MeanMax", 1_000, 100)


def test_columns_of_a_function_keep_their_names():
    explainer = PXGen(lambda X: X[:, :2], sampler=lambda n, seed: np.zeros((n, 3)))
    assert names(explainer) == ("kld", "mse")


def test_without_samples_thresholds_come_from_data_which_fit_asks_for(tmp_path):
    net = torch.nn.Linear(4, 2)
    model = Autoencoder(
        encode=net, decode=lambda z: torch.cat([z, z], 1).sigmoid(), modules=net, sample_shape=(4,)
    )
    explainer = PXGen(model)
    assert explainer.threshold.source == "reference"
    with pytest.raises(ParameterError, match="reference"):
        explainer.fit()
    x = np.random.default_rng(0).random((300, 4), dtype=np.float32)
    explainer.fit(x[:200]).save(tmp_path)
    again = PXGen.load(tmp_path, model)
    assert again.meta["params"]["chosen"] == explainer.meta["params"]["chosen"]
    np.testing.assert_array_equal(again.explain(x[200:]).values, explainer.explain(x[200:]).values)


def test_a_model_that_can_do_too_little_is_told_what_would_help():
    silent = LanguageModel(log_probs=lambda texts: [[-1.0] for _ in texts], modules=())
    with pytest.raises(CapabilityError, match=r"extrinsic.*continuation"):
        PXGen(silent)


def test_a_small_bank_is_not_asked_for_more_than_it_holds():
    bank = SampleBank(np.random.default_rng(0).random((60, 5)))
    explainer = PXGen(bank).fit()
    assert explainer.explain(np.random.default_rng(1).random((9, 5))).values.shape == (9, 2)


class Wines:
    """Draws rows of three numbers of very different widths, and a category."""

    def __init__(self, unit: float) -> None:
        self.unit = unit
        self.reseed(3)

    def reseed(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)

    def sample(self, num_rows: int) -> pd.DataFrame:
        rows = self.generator.standard_normal((num_rows, 3)) * [1.0, 5.0, 0.1]
        kinds = np.where(rows[:, 1] > 0, "a", "b")
        table = pd.DataFrame(rows * [self.unit, 1.0, 1.0], columns=list("xyz"))
        return table.assign(kind=kinds)


CASES = [
    (None, None),
    (["density", "realism"], ["nearest_sample", "gower_nearest"]),
    ("sample_rank", ["mse", "mae", "feature_distance", "gower"]),
]


@pytest.mark.parametrize(("intrinsic", "extrinsic"), CASES)
def test_a_change_of_unit_changes_no_verdict(intrinsic, extrinsic):
    found = []
    for unit in (1.0, 1_000.0):
        wines = Wines(unit)
        like, rows = wines.sample(300), wines.sample(80)
        rows["x"] *= np.repeat([1.0, 3.0], 40)
        # a reconstruction that is off by a tenth of a width in each column
        model = Tabular(
            wines, like, modules=(), reseed=wines.reseed,
            reconstruct=lambda t, unit=unit: t.assign(x=t["x"] + 0.1 * unit, y=t["y"] + 0.5),
        )  # fmt: skip
        rule = Quantile(0.9, 200, 2)
        explainer = PXGen(model, intrinsic, extrinsic, rule, "k_center", space="pixel").fit()
        found.append(explainer.explain(rows))
    one, other = found
    np.testing.assert_allclose(one.values, other.values, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(one.group, other.group)
    for name, group in one.groups.items():
        picks = other.groups[name]["representatives"]["k_center"]
        np.testing.assert_array_equal(group["representatives"]["k_center"], picks)


def test_the_page_has_the_tables():
    text = " ".join(PAGE.split())
    for rows in defaults.CRITERIA.values():
        for row in rows:
            assert f"| {row.when} | `{row.criterion}` | {row.why} |" in text
    for row in defaults.RULES:
        assert f"| {row.when} | `{row.rule}` | {row.why} |" in text


class TestContinuations:
    def model(self, **options):
        return LanguageModel(
            log_probs=lambda texts: [[-1.0] * len(text) for text in texts], modules=(),
            max_chars=16, **options,
        )  # fmt: skip

    @staticmethod
    def embed(texts):
        return [[text.count("a"), text.count("b"), 0.0] for text in texts]

    def test_what_the_model_writes_decides_and_not_the_beginning(self):
        model = self.model(generate=lambda prompts, counts: ["ab" * n for n in counts])
        batch = Batch(model, model.rows(["bbbbab", "zzaa", "zz"]))
        values = ContinuationDistance(embed=self.embed)(batch).tolist()
        # the ends are "bab" and "aa", the model's have as many a as b; "z" has no length
        expected = [1 - 3 / np.sqrt(5 * 2), 1 - 1 / np.sqrt(2)]
        np.testing.assert_allclose(values[:2], expected, rtol=1e-6)
        assert np.isnan(values[2])

    def test_tokens_become_texts_again(self):
        options = {
            "tokenize": lambda text: [ord(c) - 97 for c in text],
            "extend": lambda heads, counts: [[0] * n for n in counts],
        }
        batch = Batch(self.model(**options), self.model(**options).rows(["abaa", "abbb"]))
        with pytest.raises(ModelError, match="detokenize"):
            ContinuationDistance(embed=self.embed)(batch)
        options["detokenize"] = lambda ids: "".join(chr(97 + i) for i in ids)
        batch = Batch(self.model(**options), batch.x)
        values = ContinuationDistance(embed=self.embed)(batch)
        np.testing.assert_allclose(values, [0.0, 1.0], atol=1e-12)


@pytest.mark.parametrize(("width", "n"), [(4, 500), (160, None)])
def test_a_calibration_is_smaller_where_a_pass_takes_many_multiplications(width, n):
    inner = torch.nn.Conv2d(width, width, 3, padding=1)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, width, 1), inner, torch.nn.Conv2d(width, 1, 1), torch.nn.Sigmoid()
    )
    model = GAN(net, latent_shape=(1, 32, 32), sample_shape=(1, 32, 32), data_range=(0, 1))
    # of each of the 32 x 32 pixels, by hand
    each = 32 * 32 * (width + 9 * width * width + width)
    assert operations(model) == each
    rule = PXGen(model).threshold
    # drawn and compared with the samples: one pass
    assert rule.n_samples == (n or int(5_000 / (each / 1e8)) // 5)
    assert rule.n_samples <= 500
