"""Points 10 and 31: every figure on a real explanation, before and after JSON."""

from __future__ import annotations

import copy
import inspect

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes

from pxgen_plugins import plots
from pxgen_plugins.host import Explanation
from pxgen_plugins.testing.guards import captured_output
from pxgen_plugins.testing.trees import differences

from .cases import anchors, make_many, make_white, white

mpl.use("Agg")

OTHERS = {
    "plot_calibration_noise", "plot_comparison", "plot_copies", "plot_descriptions",
    "plot_directions", "plot_localisation", "plot_migration", "plot_models", "plot_removal",
    "plot_scorecard", "plot_steering", "plot_study", "plot_training_samples", "plot_units",
    "plot_views", "plot_word_maps",
}  # fmt: skip
ONE_EXPLANATION = sorted(
    name for name in plots.__all__ if name.startswith("plot_") and name not in OTHERS
)


@pytest.fixture(scope="module")
def explanation():
    X = anchors(60)
    X[7] = np.nan
    explainer = make_white(white()).fit()
    return explainer.explain(X, labels=[f"label {i % 3}" for i in range(60)])


@pytest.fixture(autouse=True)
def _closed_figures():
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


def drawn(axes):
    """What can be seen: texts, lines, points and pictures of every axes of the figure."""
    parts = []
    for panel in axes.flat[0].figure.axes:
        parts.append([text.get_text() for text in panel.texts] + [panel.get_title()])
        parts.append([line.get_xydata().tolist() for line in panel.lines])
        parts.append([np.asarray(c.get_offsets()).tolist() for c in panel.collections])
        parts.append([np.asarray(image.get_array()).tolist() for image in panel.images])
        parts.append([patch.get_path().vertices.tolist() for patch in panel.patches])
    return parts


@pytest.mark.parametrize("name", ONE_EXPLANATION)
def test_a_figure_is_an_array_of_axes(name, explanation):
    axes = getattr(plots, name)(explanation)
    assert isinstance(axes, np.ndarray)
    assert all(isinstance(panel, Axes) for panel in axes.flat)


@pytest.mark.parametrize("name", ONE_EXPLANATION)
def test_a_given_place_is_used_and_no_other_figure_made(name, explanation):
    import matplotlib.pyplot as plt

    plot = getattr(plots, name)
    panels = "figure" in inspect.signature(plot).parameters
    figure = plt.figure(figsize=(8, 8), layout="constrained")
    axes = plot(explanation, **({"figure": figure} if panels else {"ax": figure.add_subplot()}))
    assert {panel.figure for panel in axes.flat} == {figure}
    assert plt.get_fignums() == [figure.number]


@pytest.mark.parametrize("name", ONE_EXPLANATION)
def test_a_figure_leaves_its_explanation_alone(name, explanation):
    before = (copy.deepcopy(explanation.meta), copy.deepcopy(explanation.data))
    getattr(plots, name)(explanation)
    assert differences(before[0], explanation.meta) == []
    assert differences(before[1], explanation.data) == []


@pytest.mark.parametrize("name", ONE_EXPLANATION)
def test_a_figure_from_json_is_the_same(name, explanation):
    plot = getattr(plots, name)
    back = Explanation.from_json(explanation.to_json())
    assert differences(drawn(plot(explanation)), drawn(plot(back)), rtol=1e-12) == []


@pytest.mark.parametrize("name", ONE_EXPLANATION)
def test_a_figure_prints_nothing(name, explanation):
    with captured_output() as output:
        getattr(plots, name)(explanation).flat[0].figure.canvas.draw()
    assert output.text == ""


@pytest.mark.parametrize("name", ONE_EXPLANATION)
def test_a_figure_of_several_criteria_is_drawn(name):
    explanation = make_many(white()).fit().explain(anchors(), labels=np.arange(24) % 2)
    assert getattr(plots, name)(explanation).size
