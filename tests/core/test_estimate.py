"""What fit and explain cost: passes exactly, warnings, bars, and nothing inverted twice."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from pxgen_plugins import PXGen
from pxgen_plugins import estimate as costs
from pxgen_plugins.evaluation import evaluate
from pxgen_plugins.models import GAN, VAE, Diffusion
from pxgen_plugins.models.inversion import Inversion
from pxgen_plugins.thresholds import Quantile
from pxgen_plugins.utils.errors import PXGenWarning
from pxgen_plugins.utils.progress import PassMeter, count_passes, on_passes

X = np.random.default_rng(0).random((20, 4), dtype=np.float32)
RULE = Quantile(0.9, 30, 2)


class Counted(nn.Module):
    """Counts the rows that it is run on."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function, self.rows = function, 0
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x, *more):
        self.rows += len(x)
        return self.function(x, *more) * self.weight


def diffusion(steps: int) -> tuple[Diffusion, Counted]:
    net = Counted(lambda x, t: x * 0.1)
    return Diffusion(net, sample_shape=(4,), data_range=(0.0, 1.0), steps=steps), net


def flat_gan(**how) -> tuple[GAN, Counted]:
    """Return a GAN whose objective always falls, so that no descent ends early."""
    net = Counted(lambda z: (torch.cat([z, z], 1) * 1e-3).sigmoid())
    inversion = Inversion(rows=20, bank=20, noise=0.0, **how)
    return GAN(net, latent_shape=(2,), sample_shape=(4,), inversion=inversion), net


@pytest.mark.parametrize("steps", [1, 10, 100, 1_000])
def test_stated_passes_are_those_that_run(steps, monkeypatch):
    monkeypatch.setattr(costs, "_FEW_PASSES", 10**9)  # else one is timed first
    model, net = diffusion(steps)
    explainer = PXGen(model, "denoising_loss", "mse", RULE, ())
    found = explainer.estimate(n=len(X))
    net.rows = 0
    explainer.fit()
    assert net.rows == found.fit_passes
    net.rows = 0
    explainer.examples = False
    explainer.explain(X)
    assert net.rows == found.explain_passes


def test_a_vae_runs_two_passes_an_anchor_and_three_a_sample():
    down, up = Counted(lambda x: x), Counted(lambda z: torch.cat([z, z], 1).sigmoid())
    model = VAE(encode=lambda x: down(x).chunk(2, 1), decode=up, modules=(down, up),
                sample_shape=(4,), latent_shape=(2,))  # fmt: skip
    explainer = PXGen(model, threshold=RULE, examples=False, selectors=())
    found = explainer.estimate(n=20)
    down.rows = up.rows = 0
    explainer.fit()
    assert down.rows + up.rows == found.fit_passes == 60 * 3
    down.rows = up.rows = 0
    explainer.explain(X)
    assert down.rows + up.rows == found.explain_passes == 20 * 2


def test_an_inversion_runs_no_more_than_it_states_and_is_not_begun_for_an_estimate(monkeypatch):
    monkeypatch.setattr(costs, "_LONG", 1.0)
    model, net = flat_gan(steps=40, restarts=2)
    ran: list[int] = []
    with on_passes(ran.append):
        model.reconstruct(torch.from_numpy(X))
    assert 0.5 * 20 * model.costs["reconstruct"] < sum(ran) <= 20 * model.costs["reconstruct"]
    net.rows = 0
    deep, net = flat_gan(steps=10**6)
    net.rows = 0
    start = time.perf_counter()
    found = PXGen(deep, "prior_nll", "mse").estimate(X)
    assert time.perf_counter() - start < 5.0
    assert net.rows < 20_000 < found.explain_passes
    assert any("sample_rank" in choice for choice in found.cheaper)
    assert "about" in str(found)


def test_a_few_descents_are_a_whole_block():
    model, _ = flat_gan(steps=40, restarts=2)  # ten instances descend together
    explainer = PXGen(model, "prior_nll", "mse", RULE, (), examples=False).fit()
    for n in (1, 3, 13):
        found, ran = explainer.estimate(n=n), []
        with on_passes(ran.append):
            explainer.explain(X[:n])
        assert 0.5 * found.explain_passes < sum(ran) <= found.explain_passes


def test_what_takes_long_is_said_once_before_it_begins(monkeypatch):
    model, _ = flat_gan(steps=30)
    explainer = PXGen(model, "prior_nll", "mse", Quantile(0.9, 100, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error", PXGenWarning)
        quiet = explainer.fit().explain(X).values
    monkeypatch.setattr(costs, "_LONG", 1e-6)
    monkeypatch.setattr(costs, "_FEW_PASSES", 0)
    state = torch.random.get_rng_state()
    with pytest.warns(
        PXGenWarning, match=r"PXGen.fit: this takes about .* passes\)\. Use "
    ) as told:
        explainer.fit()
    assert len(told) == 1
    with pytest.warns(PXGenWarning, match=r"PXGen.explain: this takes") as told:
        loud = explainer.explain(X).values
    assert len(told) == 1
    assert torch.equal(state, torch.random.get_rng_state())
    np.testing.assert_array_equal(quiet, loud)


def test_a_scorecard_says_how_long_its_calibrations_take(vae, monkeypatch):
    explainer = PXGen(vae, threshold=Quantile(0.9, 100, 3)).fit()
    X = vae.sample(8, 1)
    found, ran = explainer.estimate(X), []
    monkeypatch.setattr(costs, "_LONG", 1e-6)
    monkeypatch.setattr(costs, "_FEW_PASSES", 0)
    with pytest.warns(PXGenWarning) as told, on_passes(ran.append):
        evaluate(explainer, X, checks=["calibration_seeds", "randomisation"])
    (said,) = [str(one.message) for one in told if "evaluate: this takes" in str(one.message)]
    passes = int(said.split("(")[1].split(" passes")[0].replace(",", ""))
    # of three repeats: three calibrations of other seeds, at most eleven of random weights
    assert passes == 14 * found.fit_passes
    assert 0.5 * passes < sum(ran) < 2 * passes
    assert "n_seeds=1" in said


def test_what_is_plainly_cheap_is_not_timed(vae, monkeypatch):
    monkeypatch.setattr(costs, "_Clock", None)
    PXGen(vae, threshold=Quantile(0.9, 100, 2)).fit()


def test_pictures_take_codes_and_reconstructions_from_scoring():
    model, _ = flat_gan(steps=20)
    explainer = PXGen(model, "prior_nll", "mse", RULE, "k_center", space="latent").fit()
    ran: list[int] = []
    with on_passes(ran.append):
        found = explainer.explain(X)
    assert sum(ran) <= len(X) * (model.costs["reconstruct"])
    rebuilt = model.reconstruct(torch.from_numpy(X[found.examples["indices"]])).detach().numpy()
    shown = found.examples["reconstructions"] / 255.0
    np.testing.assert_allclose(shown, rebuilt, atol=0.51 / 255)


def test_no_inversion_is_begun_for_pictures_alone():
    model, _ = flat_gan(steps=20)
    explainer = PXGen(model, {"name": "sample_rank", "n_fit": 50}, threshold=RULE).fit()
    ran: list[int] = []
    with on_passes(ran.append):
        found = explainer.explain(X)
    assert sum(ran) == 0
    assert found.examples["reconstructions"] is None


def test_a_bar_moves_within_a_batch_and_ends_at_its_end():
    model, _ = diffusion(50)
    explainer = PXGen(model, "denoising_loss", "mse", RULE, ())
    moves: list[float] = []
    explainer.scorer().score_samples(30, 0, moves.append)
    assert len(moves) > 30
    assert max(moves) < 5
    assert sum(moves) == pytest.approx(30)


def test_a_meter_neither_overshoots_nor_turns_back():
    moves: list[float] = []
    meter = PassMeter(moves.append, total=4, each=2)
    with on_passes(meter.count):
        for _ in range(30):
            meter.count(1)
        for _ in range(4):
            meter.finish(1)
    assert sum(moves) == 4
    assert min(moves) > 0


def test_a_meter_of_a_criterion_that_declares_no_pass_moves_too():
    moves: list[float] = []
    meter = PassMeter(moves.append, total=2, each=0)
    with on_passes(meter.count):
        count_passes(1)
    meter.finish(2)
    assert sum(moves) == 2
