"""The gallery holds every plot and every adapter, and its code runs."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl
import pytest

from pxgen_plugins import adapters, plots
from pxgen_plugins.adapters.base import REGISTRY
from pxgen_plugins.utils.errors import MissingDependencyError

DOCS = Path(__file__).parents[1] / "docs"
TEXT = (DOCS / "gallery.md").read_text(encoding="utf-8")
KERAS = "TensorFlowIntegratedGradients"  # its environment has no other part of the gallery

mpl.use("Agg")


def test_every_plot_and_every_adapter_of_the_package_is_in_the_gallery():
    headings = re.findall(r"^### (\w+)$", TEXT, re.MULTILINE)
    own = [
        REGISTRY.get(name).__name__
        for name in adapters.names()
        if REGISTRY.get(name).__module__.startswith("pxgen_plugins.")
    ]
    assert sorted(headings) == sorted([*plots.__all__, *own])


def test_every_picture_of_the_gallery_is_there_and_small():
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", TEXT)
    assert all((DOCS / name).is_file() for name in pictures)
    sizes = {name: (DOCS / name).stat().st_size for name in pictures if name.startswith("gallery/")}
    assert {name: size for name, size in sizes.items() if size > 100_000} == {}
    headings = re.findall(r"^### (\w+)$", TEXT, re.MULTILINE)
    same = TEXT.count("Drawn below")
    assert len(pictures) == len(headings) - same - (KERAS in headings)


def test_the_page_shows_the_code_that_is_run(example):
    assert example("gallery").page().strip() == TEXT.strip()


@pytest.mark.slow(minutes=2)
def test_the_code_of_the_gallery_runs(example):
    pytest.importorskip("captum")
    gallery = example("gallery")
    missing = []
    for name in gallery.ENTRIES:
        try:
            assert gallery.draw(name).startswith(b"\x89PNG")
        except MissingDependencyError:
            missing.append(name)
    # without Alibi these, with every extra none
    assert set(missing) <= {
        "alibi_gradient_similarity", "alibi_kernel_shap", "group_anchor_image", "latent_ale",
        "latent_partial_dependence", "protoselect",
    }  # fmt: skip
