"""The pictures of the explorer in the documentation are small, and made by a script that runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.audit.browser import find

IMAGES = Path(__file__).parents[2] / "docs" / "images"


def check(folder: Path) -> None:
    shot, film = folder / "explorer.png", folder / "explorer.gif"
    assert shot.stat().st_size < 300_000
    assert film.stat().st_size < 2_000_000
    assert Image.open(shot).size == (1280, 840)
    with Image.open(film) as frames:
        assert frames.n_frames > 30
        first = np.asarray(frames.convert("L")).astype(int)
        frames.seek(frames.n_frames - 1)
        change = np.abs(np.asarray(frames.convert("L")).astype(int) - first)
    # the picture called Now, the slider and the plane have changed; the picture before has not
    assert change[88:250, 184:344].mean() > 5
    assert change[88:250, 12:172].mean() < 1


def test_the_pictures_of_the_documentation_are_small_and_move():
    check(IMAGES)


@pytest.mark.slow
@pytest.mark.skipif(find() is None, reason="no Chromium is installed")
def test_the_script_makes_them(example, tmp_path):
    example("record_explorer").main(["--output", str(tmp_path), "--anchors", "120"])
    check(tmp_path)
