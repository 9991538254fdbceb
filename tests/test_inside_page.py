"""The page about directions and units runs as it stands, and its comments are true."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
import torch

from tests.pages import read_page, run_page

PAGE = read_page("inside.md")


def test_the_code_of_the_page_runs_and_says_what_it_says(monkeypatch, tmp_path):
    pytest.importorskip("diffusers")
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")
    space = run_page("inside.md", quiet=True)
    np.testing.assert_allclose(space["found"].iou[:, 0], [1, 0, 1])
    np.testing.assert_allclose(space["found"].effect[:, 0], [1, 0, 0])
    assert space["chosen"].order.tolist() == [0]
    assert space["chosen"].removal.tolist() == [0, 1]
    square = space["square"]
    assert abs(square.directions[0][1]) > 0.99
    assert square.monotone[0, 0] == 1.0
    assert 0.8 < square.slope[0, 0] < 1.1
    assert np.abs(square.control_slope[0]).max() < square.slope[0, 0] * 1.001
    where = space["where"]
    assert len(where.layers) == 6
    assert where.share[where.strongest] > 0.5
    assert np.abs(where.control_share[where.strongest]) < 0.1
    assert not torch.equal(space["eights"], space["threes"])
    units = space["units"]
    assert "border" not in units.label
    column = units.concepts.index("border")
    assert (units.q_value[:, column] == 1.0).all()
    np.testing.assert_allclose(units.iou[:, column], units.null_iou[:, column])
