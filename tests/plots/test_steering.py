"""The figure of the reconstruction task."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from pxgen_plugins.evaluation import ReconstructionTask, RotatedCodes, compare_representations
from pxgen_plugins.plots import plot_steering
from pxgen_plugins.testing.examples import LinearModel
from pxgen_plugins.utils.errors import ParameterError

HOSTILE = "$x^2$ \\frac{ <script>\x1b[31m\u202e" + "y" * 300


@pytest.fixture(name="tasks", scope="module")
def _tasks() -> Any:
    model = LinearModel()
    x = model.sample(40, seed=0)
    return [
        ReconstructionTask(one, x, n_questions=5, goal=0.97, label=label)
        for one, label in ((model, "own"), (RotatedCodes(model), HOSTILE))
    ]


def test_the_thick_line_ends_where_the_last_picture_agrees_and_when_it_was_seen(tasks):
    logs = [task.simulate(budget=8) for task in tasks]
    axes = plot_steering(logs, [1, 3])
    assert len(axes) == 4
    for curve, question in zip(axes[1::2], (1, 3), strict=True):
        lines = {line.get_gid(): line.get_xydata() for line in curve.lines if line.get_gid()}
        for number, log in enumerate(logs):
            trial = next(t for t in log.trials if t.question == question)
            line = lines[f"error:{question}:{number}"]
            np.testing.assert_allclose(line[0], [0, 1 - trial.agreement[0]])
            np.testing.assert_allclose(
                line[-1], [len(trial.agreement) - 1, 1 - trial.agreement[-1]]
            )
    plt.close("all")


@pytest.mark.filterwarnings("error")
def test_a_given_place_is_used_and_hostile_names_are_drawn(tasks, texts):
    found = compare_representations(tasks, budget=5)
    figure = plt.figure(figsize=(9, 7), layout="constrained")
    left, _ = figure.subfigures(1, 2)
    axes = found.plot(questions=0, figure=left)
    assert {one.figure for one in axes} == {left}
    figure.canvas.draw()
    shown = texts(axes[0])
    assert not {"\x1b", "\u202e"} & set(shown)
    assert "y" * 40 not in shown
    assert "no claim about people" in " ".join(shown.split())
    bare = [replace(log, pictures=None) for log in (found.logs["own"][0],)]
    assert len(plot_steering(bare)) == 4  # curves alone
    for wrong in ([], [3], None, [1] * 5):
        with pytest.raises(ParameterError, match="plot_steering: logs must be"):
            plot_steering(wrong)
    with pytest.raises(ParameterError, match="questions must be indices"):
        plot_steering(bare, 9)
    with pytest.raises(ParameterError, match="ax must be left out"):
        plot_steering(bare, ax=figure.add_subplot())
    plt.close("all")
