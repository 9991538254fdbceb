"""Everything without an argument, for a trained model of every family: no row fails."""

from __future__ import annotations

import json
from pathlib import Path

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
    "text_to_image": ("denoising_loss", "mse", USUAL),
    "vqvae": ("code_usage", "mse", USUAL),
}
FAST = ("sample_bank", "tabular", "vae")


def case(name):
    return pytest.param(name, marks=[] if name in FAST else pytest.mark.long, id=name)


@pytest.mark.parametrize("name", [case(name) for name in CASES])
def test_every_row_of_a_default_comparison_runs(name, example):
    few = compared(name, example, None)
    rows = few.table()
    assert [row["method"] for row in rows] == ["PXGen", *CASES[name][2], "shared work"]
    assert {row["status"] for row in rows} == {"ran"}, rows
    assert few.to_markdown().count("\n| ") == len(rows)


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_no_row_of_all_methods_fails(name, example):
    rows = compared(name, example, "all").table()
    for row in rows:
        assert row["status"] in ("ran", "cannot"), row
        assert bool(row["reason"]) == (row["status"] == "cannot")
    assert {row["method"] for row in rows if row["status"] == "ran"} >= {"PXGen", *CASES[name][2]}


RESULTS = Path(__file__).parents[2] / "docs" / "results"
TABLE = json.loads((RESULTS / "family_defaults.json").read_text("utf-8"))
CHEAP = ("sample_bank", "tabular")  # whose defaults take seconds


def of_table(name):
    mark = pytest.mark.slow if name in CHEAP else pytest.mark.long
    return pytest.param(name, marks=mark, id=name)


@pytest.mark.parametrize("name", [of_table(name) for name in TABLE])
def test_defaults_run_to_the_end_without_an_argument(name, example):
    script = example("family_defaults")
    # a scorecard calibrates several times more: minutes for some
    steps = ("compare", "audit", *(["evaluate"] if name in CHEAP else []))
    try:
        found = script.measure(name, 8, steps)
    except (FileNotFoundError, ImportError) as error:
        pytest.skip(str(error))
    assert (found["compare"]["failed"], found["compare"]["cannot"]) == ({}, {})
    assert found["compare"]["unmeasured"] == []
    assert found["audit"] == {"exit_code": 0}
    assert sum(found["counts"].values()) == 8
    if "absent" not in TABLE[name]:
        for key in ("family", "criteria", "threshold"):
            assert found[key] == TABLE[name][key]
        assert found["compare"]["ran"] == TABLE[name]["compare"]["ran"]


def test_no_row_of_the_table_failed(example):
    script = example("family_defaults")
    assert sorted(TABLE) == sorted(script.FAMILIES)
    for name, row in TABLE.items():
        if "absent" in row:
            continue
        assert set(row["seconds"]) == set(script.STEPS), name
        assert row["audit"] == {"exit_code": 0}, name
        for step in ("compare", "compare all"):
            assert row[step]["failed"] == {}, name
            assert row[step]["unmeasured"] == [], name
            assert all(row[step]["cannot"].values()), name
    assert (RESULTS / "family_defaults.md").read_text("utf-8") == script.markdown(TABLE, 24)


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
