"""compare(model, X) for a trained model of every family: no row that nobody expected."""

from __future__ import annotations

import pytest

from pxgen_plugins import PXGen, compare
from pxgen_plugins.thresholds import Quantile

USUAL = ["saliency", "protodash", "latent_view"]
# criteria that need no hundred passes, and the methods that nobody needs to name
CASES = {
    "vae": ("kld", "mse", USUAL),
    "autoencoder": ("aggregate_mahalanobis", "mse", USUAL),
    "sample_bank": ("sample_rank", "nearest_sample", USUAL),
    "tabular": ("kld", "gower", USUAL),
    "conditional_vae": ("kld", "mse", USUAL),
    "diffusers_kl": ("kld", "mse", USUAL),
    "diffusion": ("denoising_loss", "nearest_sample", USUAL),
    "flow": ("typical_nll", "nearest_sample", USUAL),
    "gan": ("discriminator", "nearest_sample", USUAL),
    "language_model": ("token_nll", "token_edit", USUAL[1:]),
    "pythae_beta_vae": ("kld", "mse", USUAL),
    "soft_intro_vae": ("kld", "mse", USUAL),
    "vqvae": ("code_usage", "mse", USUAL),
}
FAST = ("sample_bank", "tabular", "vae")


def case(name):
    return pytest.param(name, marks=[] if name in FAST else pytest.mark.slow, id=name)


@pytest.mark.parametrize("name", map(case, CASES))
def test_every_row_of_a_default_comparison_runs(name, example):
    few = compared(name, example, None)
    rows = few.table()
    assert [row["method"] for row in rows] == ["PXGen", *CASES[name][2], "shared work"]
    assert {row["status"] for row in rows} == {"ran"}, rows
    assert few.to_markdown().count("\n| ") == len(rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_no_row_of_all_methods_fails(name, example):
    rows = compared(name, example, "all").table()
    for row in rows:
        assert row["status"] in ("ran", "cannot"), row
        assert bool(row["reason"]) == (row["status"] == "cannot")
    assert {row["method"] for row in rows if row["status"] == "ran"} >= {"PXGen", *CASES[name][2]}


def compared(name, example, methods):
    try:
        family = example("families").load(name)
    except (FileNotFoundError, ImportError) as error:
        pytest.skip(str(error))
    intrinsic, extrinsic, _ = CASES[name]
    few = {"threshold": Quantile(0.99, 20, 2), "n_representatives": 1}
    groups = PXGen(family.model, intrinsic, extrinsic, **few)
    X = family.in_domain[:6]
    return compare(family.model, X, None, methods, groups, n_anchors=1, quality=False)
