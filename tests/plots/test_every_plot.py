"""What holds for every figure: both forms, given Axes, untouched arguments, odd explanations."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.patches import Patch

from pxgen_plugins import plots
from pxgen_plugins.utils.errors import ParameterError

pytestmark = pytest.mark.filterwarnings("error")

NAMES = [
    "plot_alignment",
    "plot_calibration",
    "plot_delusion",
    "plot_groups",
    "plot_label_shares",
    "plot_representatives",
]
PANELS = ["plot_alignment", "plot_calibration", "plot_delusion", "plot_representatives"]
ONE_AXES = ["plot_groups", "plot_label_shares"]
HOSTILE = [
    "$x^2$",
    "$",
    "\\$\\frac{",
    "a\nb\tc",
    "\x00\x1b[31m",
    "\u202eoverride\u200b",
    "\ud800",
    "x" * 500,
    "",
    "\U0001f600",
    "\u6f22\u5b57",
    "<script>&amp;",
    "_under_ ^score^ {brace} %d {0}",
]


def odd_explanations(build: Any) -> dict[str, Any]:
    """Explanations that a figure has to survive."""
    rng = np.random.default_rng(1)
    some = np.exp(rng.normal(size=(30, 2)))
    holes = some.copy()
    holes[::3, 0] = np.nan
    nothing = np.full((5, 2), np.nan)
    wide = some.copy()
    wide[:, 0] = 10.0 ** rng.uniform(-20, 30, 30)
    zeros = some.copy()
    zeros[:2] = 0.0
    three = {
        "criteria": ("kld", "mse", "psnr"),
        "kinds": ("intrinsic", "extrinsic", "extrinsic"),
        "units": ("nats", "", "-dB"),
        "thresholds": (2.0, 1.5, -20.0),
        "deviations": (0.1, None, 0.0),
    }
    hostile = np.array(HOSTILE * 5, dtype=object)
    return {
        "one anchor": build(some[:1]),
        "no anchor": build(some[:0], labels=np.array([], dtype=str)),
        "no example": build(some[:0], shape=None),
        "all invalid": build(nothing, labels=["a"] * 5),
        "some invalid": build(holes, labels=["a", "b", "c"] * 10),
        "equal values": build(np.full((9, 2), 3.0)),
        "equal to the threshold": build(np.full((9, 2), 2.0), thresholds=(2.0, 2.0)),
        "all values zero": build(np.zeros((9, 2))),
        "some values zero": build(zeros),
        "negative values": build(-some, thresholds=(-1.0, -0.5)),
        "wide values": build(wide),
        "infinite thresholds": build(some, thresholds=(np.inf, np.inf), deviations=(None, np.nan)),
        "minus infinite thresholds": build(some, thresholds=(-np.inf, 1.0)),
        "zero threshold": build(some, thresholds=(0.0, 0.0)),
        "no deviation": build(some, deviations=(None, 0.0)),
        "wide deviation": build(some, deviations=(1e9, 1e9)),
        "three criteria": build(np.c_[some, -20 * some[:, 0]], **three),
        "no samples": build(some, n_samples=None),
        "few samples": build(some, n_samples=3),
        "one repeat": build(some, n_repeats=1),
        "one label": build(some, labels=["only"] * 30),
        "hostile labels": build(n=len(hostile), labels=hostile, ids=hostile[::-1]),
        "hostile names": build(
            some, criteria=("$k_l$\n", "x" * 90), units=("$\\mathrm{", "\u202e" * 9)
        ),
    }


ODD = list(odd_explanations(lambda *_, **__: None))


def artists(axes: np.ndarray) -> list[tuple[Any, ...]]:
    """Type, id and numbers of every artist of a figure but its ticks."""
    found: list[tuple[Any, ...]] = []
    for ax in axes[0].get_figure(root=True).axes + [one for one in axes if one is not axes[0]]:
        panels = [ax, *ax.child_axes]
        for panel in panels:
            found.append((panel.get_xlim(), panel.get_ylim(), panel.get_xscale()))
            labels = [panel.title, panel.xaxis.label, panel.yaxis.label, *panel.get_yticklabels()]
            found += [(text.get_text(),) for text in [*labels, *panel.texts]]
            for artist in [*panel.collections, *panel.lines, *panel.patches, *panel.images]:
                numbers = [
                    np.ma.filled(np.ma.asarray(getattr(artist, name)()), -1.0).tolist()
                    for name in ("get_offsets", "get_array", "get_xydata")
                    if hasattr(artist, name) and getattr(artist, name)() is not None
                ]
                if isinstance(artist, Patch):
                    numbers.append(artist.get_path().vertices.tolist())
                found.append((type(artist).__name__, artist.get_gid(), str(numbers)))
    return found


@pytest.fixture(name="all_odd", scope="module")
def _all_odd(build: Any) -> dict[str, Any]:
    return odd_explanations(build)


@pytest.fixture(name="odd")
def _odd(all_odd: dict[str, Any], request: Any) -> Any:
    return all_odd[request.param]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("odd", ODD, indirect=True)
def test_every_figure_survives_odd_explanations_in_both_forms(
    name: str, odd: Any, from_json: Any, draw: Any
) -> None:
    plot = getattr(plots, name)
    try:
        axes = plot(odd)
    except ParameterError as error:
        # only a missing criterion or missing pictures are a reason to refuse
        assert "images" in str(error) or "two criteria" in str(error)  # noqa: PT017
        return
    again = plot(from_json(odd))
    assert artists(again) == artists(axes)
    assert draw(axes).std() > 0


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_arrays_of_axes(name: str, build: Any) -> None:
    axes = getattr(plots, name)(build(labels=["a", "b"] * 30))
    assert isinstance(axes, np.ndarray)
    assert axes.dtype == object
    assert all(isinstance(one, plt.Axes) for one in axes.flat)
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize("name", ONE_AXES)
@pytest.mark.parametrize("size", [(7.0, 4.0), (1.2, 1.0)])
def test_a_given_ax_holds_the_figure(
    name: str, size: tuple[float, float], build: Any, draw: Any
) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=size)
    other = plt.figure()
    children, current = set(map(id, right.get_children())), plt.gcf()
    axes = getattr(plots, name)(build(labels=["a", "b"] * 30), ax=left)
    assert all(one.get_figure(root=True) is figure for one in axes)
    assert plt.gcf() is current is other
    assert len(plt.get_fignums()) == 2
    assert figure.axes == [left, right]
    assert set(map(id, right.get_children())) == children
    draw(axes)


@pytest.mark.parametrize("name", [*PANELS, "plot_groups"])
@pytest.mark.parametrize("size", [(9.0, 5.0), (4.0, 2.5)])
def test_a_given_subfigure_holds_the_panels(
    name: str, size: tuple[float, float], build: Any, draw: Any
) -> None:
    figure = plt.figure(figsize=size, layout="constrained")
    left, right = figure.subfigures(1, 2)
    other = plt.figure()
    children, current = set(map(id, right.get_children())), plt.gcf()
    axes = getattr(plots, name)(build(labels=["a", "b"] * 30), figure=left)
    assert all(one.figure is left for one in axes)
    assert left.axes == list(axes)
    assert plt.gcf() is current is other
    assert len(plt.get_fignums()) == 2
    assert set(map(id, right.get_children())) == children
    draw(axes)


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_outside_pyplot_can_hold_it(name: str, build: Any) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 7))
    FigureCanvasAgg(figure)
    place = {"figure": figure} if name in PANELS else {"ax": figure.add_subplot()}
    getattr(plots, name)(build(), **place)
    figure.canvas.draw()
    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", PANELS)
def test_a_figure_without_layout_gets_the_constrained_one(name: str, build: Any) -> None:
    for layout in ("tight", "compressed", None):
        figure = plt.figure(figsize=(7, 9), layout=layout)
        before = figure.get_layout_engine()
        getattr(plots, name)(build(), figure=figure)
        engine = figure.get_layout_engine()
        assert engine is before if layout else type(engine).__name__ == "ConstrainedLayoutEngine"


@pytest.mark.parametrize("name", [*PANELS, "plot_groups"])
def test_panels_touch_neither_each_other_nor_the_edge(name: str, build: Any) -> None:
    axes = getattr(plots, name)(build(n=200, labels=["a", "long label"] * 100))
    figure = axes[0].get_figure(root=True)
    figure.canvas.draw()
    page, boxes = figure.bbox, [one.get_tightbbox() for one in axes]
    for at, box in enumerate(boxes):
        assert box.x0 >= page.x0 - 1
        assert box.y0 >= page.y0 - 1
        assert box.x1 <= page.x1 + 1
        assert box.y1 <= page.y1 + 1
        assert name == "plot_groups" or not any(box.overlaps(other) for other in boxes[:at])


@pytest.mark.parametrize("name", NAMES)
def test_arguments_and_global_settings_stay_as_they_are(name: str, build: Any) -> None:
    explanation = build(labels=["a", "b"] * 30)
    before = copy.deepcopy(explanation.data)
    settings, state = dict(plt.rcParams), np.random.get_state()  # noqa: NPY002
    getattr(plots, name)(explanation)
    np.testing.assert_equal(explanation.data, before)
    assert dict(plt.rcParams) == settings
    np.testing.assert_equal(np.random.get_state(), state)  # noqa: NPY002


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_shown(name: str, build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("show was called"))
    getattr(plots, name)(build())


@pytest.mark.parametrize("name", ONE_AXES)
@pytest.mark.parametrize("layout", ["constrained", "tight", None])
def test_given_axes_work_under_every_layout_engine(
    name: str, layout: str | None, build: Any
) -> None:
    figure, axes = plt.subplots(2, figsize=(5, 7), dpi=50, layout=layout)
    getattr(plots, name)(build(), ax=axes[0])
    figure.canvas.draw()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", [None, 3, "text", {"data": {}}, np.zeros(3)])
def test_something_else_than_an_explanation_is_refused(name: str, wrong: Any) -> None:
    with pytest.raises(ParameterError, match=f"{name}: explanation must be an explanation"):
        getattr(plots, name)(wrong)


@pytest.mark.parametrize("name", ONE_AXES)
@pytest.mark.parametrize("wrong", [3, "ax", [1]])
def test_something_else_than_an_ax_is_refused(name: str, wrong: Any, build: Any) -> None:
    with pytest.raises(ParameterError, match=f"{name}: ax must be"):
        getattr(plots, name)(build(), ax=wrong)
    with pytest.raises(ParameterError, match=f"{name}: ax must be"):
        getattr(plots, name)(build(), ax=plt.subplots(2)[1])


@pytest.mark.parametrize("name", [*PANELS, "plot_groups"])
@pytest.mark.parametrize("wrong", [3, "figure", [1]])
def test_something_else_than_a_figure_is_refused(name: str, wrong: Any, build: Any) -> None:
    with pytest.raises(ParameterError, match=f"{name}: figure must be an empty"):
        getattr(plots, name)(build(), figure=wrong)
    figure, ax = plt.subplots()
    with pytest.raises(ParameterError, match=f"{name}: figure must be an empty"):
        getattr(plots, name)(build(), figure=figure)
    with pytest.raises(ParameterError, match=f"{name}: figure must be an empty"):
        getattr(plots, name)(build(), figure=ax)


@pytest.mark.parametrize("name", PANELS)
def test_a_figure_of_panels_takes_no_ax(name: str, build: Any) -> None:
    with pytest.raises(ParameterError, match=f"{name}: ax must be left out, .* Pass figure="):
        getattr(plots, name)(build(), ax=plt.subplots()[1])


def test_the_scatter_takes_an_ax_without_marginals_or_a_figure(build: Any) -> None:
    ax = plt.figure().add_subplot()
    assert plots.plot_groups(build(), ax=ax).tolist() == [ax]
    for more in ({"marginals": True}, {"figure": plt.figure()}):
        with pytest.raises(ParameterError, match="plot_groups: ax must be left out where"):
            plots.plot_groups(build(), ax=ax, **more)


@pytest.mark.parametrize("name", NAMES)
def test_hostile_labels_are_cut_and_start_no_mathematics(
    name: str, build: Any, texts: Any, draw: Any
) -> None:
    labels = np.array(HOSTILE * 5, dtype=object)
    axes = getattr(plots, name)(build(n=len(labels), labels=labels, ids=labels))
    draw(axes)
    shown = texts(axes[0])
    assert not set(shown) & {"\x00", "\x1b", "\u202e", "\u200b", "\ud800", "\t"}
    assert "x" * 30 not in shown
    assert shown.count("$") == shown.count(r"\$")


def test_the_package_imports_no_matplotlib() -> None:
    code = (
        "import sys, pxgen_plugins.plots as p; dir(p);"
        "assert not {'matplotlib', 'torch', 'alibi'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="plot_grups"):
        _ = plots.plot_grups
    assert set(NAMES) <= set(dir(plots))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("plot_comparison", "compare(model, X)"),
        ("plot_models", "compare({"),
        ("plot_removal", "RemovalExperiment"),
        ("plot_scorecard", "evaluate("),
        ("plot_steering", "play or simulate"),
        ("plot_study", "threshold_study"),
        ("plot_training_samples", "compare_training_samples"),
        ("plot_calibration_noise", "calibration_study"),
        ("plot_migration", "compare_runs"),
        ("plot_views", "LatentView"),
    ],
)
def test_a_figure_of_something_else_says_what_it_draws(build: Any, name: str, kind: str) -> None:
    explanation = build(np.ones((4, 2)))
    with pytest.raises(ParameterError) as caught:
        getattr(plots, name)(explanation)
    assert name in str(caught.value)
    assert kind in caught.value.hint
