"""The page about directions and units runs as it stands, and its comments are true."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

PAGE = (Path(__file__).parents[1] / "docs" / "inside.md").read_text(encoding="utf-8")


def test_the_code_of_the_page_runs_and_says_what_it_says(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")
    space: dict[str, Any] = {"__name__": "page"}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for block in blocks:
            exec(compile(block, "docs/inside.md", "exec"), space)
    np.testing.assert_allclose(space["found"].iou[:, 0], [1, 0, 1])
    np.testing.assert_allclose(space["found"].effect[:, 0], [1, 0, 0])
    assert space["chosen"].order.tolist() == [0]
    assert space["chosen"].removal.tolist() == [0, 1]
    square = space["square"]
    assert abs(square.directions[0][1]) > 0.99
    assert square.monotone[0, 0] == 1.0
    assert 0.8 < square.slope[0, 0] < 1.1
    assert np.abs(square.control_slope[0]).max() < square.slope[0, 0] * 1.001
    units = space["units"]
    assert "border" not in units.label
    column = units.concepts.index("border")
    assert (units.q_value[:, column] == 1.0).all()
    np.testing.assert_allclose(units.iou[:, column], units.null_iou[:, column])
