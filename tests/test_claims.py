"""What pages say in sentences is what the files of results say in numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = {  # pages with code, and the test that runs it
    "README.md": "test_readme.py",
    "docs/audit.md": "audit/test_tutorial.py",
    "docs/compare.md": "test_pages.py",
    "docs/evaluate.md": "test_pages.py",
    "docs/gallery.md": "test_gallery.py",
    "docs/audit-ci.md": "audit/test_ci_page.py",
    "docs/models.md": "test_models_page.py",
    "docs/inside.md": "test_inside_page.py",
    "docs/explorer.md": "explorer/test_docs.py",
    "docs/steering.md": "evaluation/test_steering_page.py",
    "docs/copies.md": "evaluation/test_copies.py",
    "docs/descriptions.md": "describers/test_docs.py",
    "docs/calibration.md": "evaluation/test_calibration_study.py",
    "docs/thresholds.md": "thresholds/test_reference.py",
    "docs/toolkits.md": "adapters/test_functions.py",
    "docs/extending": "test_extending.py",
}
# A sentence of docs/models.md, and whose areas under the ROC curve the brackets hold:
# families, criteria (all without a name), kinds of others.
FAMILIES: list[tuple[str, list[str], list[str], list[str]]] = [
    ("than their own kind by MSE and SSIM ({})", ["beta_vae", "face_vae"], ["mse", "ssim"],
     ["constant"]),
    ("to the airplane VAE by KL divergence too ({})", ["beta_vae"], ["kld"], ["constant"]),
    ("does not tell it from faces ({})", ["face_vae"], ["kld"], ["constant"]),
    ("`fvu` does ({} for both)", ["beta_vae", "face_vae"], ["fvu"], ["constant"]),
    ("frogs from airplanes better, too ({};", ["beta_vae"], ["fvu"], ["frogs"]),
    ("; MSE {}), and trucks worse", ["beta_vae"], ["mse"], ["frogs"]),
    ("trucks worse ({};", ["beta_vae"], ["fvu"], ["trucks"]),
    ("0.54; MSE {})", ["beta_vae"], ["mse"], ["trucks"]),
    ("same faces upside down ({})", ["face_vae"], [], ["upside down"]),
    ("is farther from its codes ({})", ["face_vae"], ["kld", "mahalanobis", "latent_neighbours"],
     ["no faces"]),
    ("have smaller ones than digits ({})", ["pythae_beta_vae"], ["kld"], ["photographs"]),
    ("ELBO and SSIM tell them apart ({})", ["pythae_beta_vae"], ["elbo", "ssim"], ["photographs"]),
    ("`prior_nll` is reversed ({})", ["gan"], ["prior_nll"], []),
    ("inversion decides ({})", ["gan"], ["mse", "fvu", "ssim"], []),
    ("takes negatives for real ({})", ["gan"], ["discriminator"], ["negative"]),
    ("(`typicality` {})", ["diffusion"], ["typicality"], ["noise"]),
    ("rotated digits from upright ones ({})", ["flow"], [], ["rotated"]),
    ("compared in pixels, do ({})", ["sample_bank"], [], ["rotated"]),
    ("criteria of codes do not see it ({})", ["tabular"],
     ["kld", "mahalanobis", "latent_neighbours"], ["columns permuted"]),
    ("Gower's distances do ({})", ["tabular"], ["gower", "gower_nearest"], ["columns permuted"]),
    ("by their likelihood ({})", ["language_model"], ["token_nll"], ["words shuffled"]),
    ("hardly by its continuation ({})", ["language_model"], ["token_edit"], ["words shuffled"]),
    ("tells other digits from sevens ({})", ["text_to_image"], ["prompt_gain"], ["other digits"]),
    ("denoising loss under it ({})", ["text_to_image"], ["denoising_loss"], ["other digits"]),
    ("constant images from digits ({})", ["flow"], ["bits_per_dim", "typical_nll"], ["constant"]),
]  # fmt: skip


def page(name: str) -> str:
    """The text of a page, with one blank between words."""
    return " ".join((ROOT / name).read_text("utf-8").split())


def results(name: str) -> Any:
    return json.loads((ROOT / "docs/results" / name).read_text("utf-8"))


def span(values: list[float]) -> str:
    """What a page writes for some values: the least and the greatest, or the one."""
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"


@pytest.mark.parametrize("claim", FAMILIES, ids=lambda claim: claim[0])
def test_the_page_about_models_repeats_the_results_of_the_families(claim):
    sentence, families, criteria, kinds = claim
    found = results("families.json")
    values = [
        value
        for family in families
        for name, scores in found[family]["auroc"].items()
        for kind, value in scores.items()
        if (not criteria or name in criteria) and (not kinds or kind in kinds)
    ]
    assert sentence.format(span(values)) in page("docs/models.md")


def test_every_number_of_that_section_is_among_those_that_are_compared():
    _, _, section = page("docs/models.md").partition("## What the trained models showed")
    numbers = re.findall(r"\b[01]\.\d\d\b", section.partition("## Others")[0])
    compared = sum(claim[0].count("{}") for claim in FAMILIES)
    spans = len(re.findall(r"\b[01]\.\d\d to [01]\.\d\d\b", section))
    # the bound of 0.95 is tests/test_models_page.py's, and one claim stands in another section
    assert len(numbers) - spans == compared - 1 + 1


def test_the_readme_counts_the_trained_models():
    assert f"on {len(results('families.json'))} trained models" in page("README.md")


def test_the_paper_page_says_by_how_much_the_claim_of_speed_holds():
    _, _, section = page("docs/paper.md").partition("## 6.")
    section = section.partition("## 7.")[0]
    for digit in (0, 5):
        seconds = results(f"removal_digit{digit}.json")["about"]["cpu_seconds"]
        assert f"{seconds['vae_tracin / pxgen_scoring']:,.0f}" in section
        assert f"{seconds['vae_tracin / pxgen_calibration_and_scoring']:.0f}" in section
    assert "Holds with room" not in section


def test_airplanes_are_their_own_proponents_as_the_page_says():
    shares = results("airplane_influence.json")["share_own_strongest_proponent"]
    *each, total = (f"{share:.3f}" for share in shares.values())
    said = f"(share {total} summed; {', '.join(each[:-1])} and {each[-1]} per checkpoint"
    assert said in page("docs/results/compare_mnist.md")


def test_a_test_runs_the_code_of_every_page_with_code():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    with_code = {
        path.relative_to(ROOT).as_posix()
        for path in pages
        if re.search(r"^```(?:python|sh|yaml)$", path.read_text("utf-8"), re.MULTILINE)
    }
    assert {re.sub(r"(docs/extending)/.*", r"\1", name) for name in with_code} == set(BLOCKS)
    for name, test in BLOCKS.items():
        assert Path(name).name in (ROOT / "tests" / test).read_text("utf-8")


def test_nothing_is_installed_by_the_name_of_a_package_that_is_on_no_index():
    wrong = re.compile(r"pip install [^\n`]*pxgen-plugins")
    folders = ("docs", "pxgen_plugins", "adapters", "examples", "benchmarks")
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
    files += [path for folder in folders for path in (ROOT / folder).rglob("*.[mp][dy]")]
    found = {path.name for path in files if wrong.search(path.read_text("utf-8"))}
    assert found == {"optional.py"}  # it says why not
