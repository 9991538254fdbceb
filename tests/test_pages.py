"""Pages without a test module of their own: their code runs from top to bottom."""

from __future__ import annotations

import matplotlib as mpl
import pytest

from tests.pages import run_page

mpl.use("Agg")


@pytest.mark.slow
def test_the_page_on_evaluation_runs(capsys):
    run_page("evaluate.md", quiet=True)
    assert "HIHE" in capsys.readouterr().out


@pytest.mark.slow
def test_the_page_on_methods_side_by_side_runs(capsys):
    pytest.importorskip("captum")
    names = run_page("compare.md", quiet=True)
    said = capsys.readouterr().out
    assert "ProtoDash" in said
    assert "DCGAN" in said
    assert names["both"].comparisons["VAE"].groups is not None
