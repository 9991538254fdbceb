"""Figures of the evaluation: given Axes, hostile names, nothing to draw."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from pxgen_plugins.evaluation import Scorecard, Study, compare_training_samples
from pxgen_plugins.evaluation.checks import Row

HOSTILE = "$x^2$ \\frac{ <script>\x1b[31m\u202e" + "y" * 300


def card() -> Scorecard:
    return Scorecard(
        [
            Row.of("planted", HOSTILE, "share", 0.4, interval=(0.3, 0.5), low=0.2),
            Row.of("planted", "b", "index", -0.3, high=-0.5),
            Row.skip("other", "c", "no reason"),
        ]
    )


def study() -> Study:
    fractions = {"HIHE": 0.1, "HILE": 0.2, "LIHE": 0.3, "LILE": 0.4}
    intervals = {name: [f - 0.05, f + 0.05] for name, f in fractions.items()}
    row = {"case": HOSTILE, "fractions": fractions, "intervals": intervals}
    return Study("thresholds", [row, {**row, "intervals": dict.fromkeys(fractions)}])


def samples() -> Any:
    colour = np.random.default_rng(0).random((6, 3, 5, 5))
    return compare_training_samples(colour, {HOSTILE: [0, 1], "one": [3]})


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("make", [card, study, samples])
def test_a_given_place_is_used_and_every_name_is_drawn(make):
    plt.close("all")  # what other tests of the process left open
    figure = plt.figure(figsize=(9, 5))
    axes = make().plot(**({"figure": figure} if make is samples else {"ax": figure.add_subplot()}))
    assert {panel.figure for panel in axes.flat} == {figure}
    assert plt.get_fignums() == [figure.number]
    figure.canvas.draw()
    plt.close(figure)
    fresh = make().plot()[0].figure
    fresh.canvas.draw()
    plt.close(fresh)


def test_a_mark_stands_at_its_value_and_a_bar_over_the_expected_range():
    (axes,) = card().plot()
    marks = {line.get_gid(): line.get_xdata()[0] for line in axes.lines if line.get_gid()}
    assert marks == {"value:passed": 0.4, "value:failed": -0.3}
    bands = [patch for patch in axes.patches if str(patch.get_gid()).startswith("expected:")]
    low, high = axes.get_xlim()
    ends = [(band.get_x(), band.get_x() + band.get_width()) for band in bands]
    assert ends == [(0.2, high), (low, pytest.approx(-0.5))]
    ((start, end),) = [
        [x for x, _ in line.get_segments()[0]] for line in axes.collections if line.get_gid()
    ]
    assert (start, end) == (0.3, 0.5)
    shown = [text.get_text() for text in axes.texts]
    assert "0.400, at least 0.2" in shown
    assert "skipped: no reason" in shown
    assert "1 failed, 1 skipped" in axes.get_title(loc="left").replace("1 passed, ", "")
    plt.close(axes.figure)
