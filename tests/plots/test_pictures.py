"""Strips and representatives: the right pictures, in order, on the right scale."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from matplotlib.image import AxesImage

from pxgen_plugins.plots import plot_alignment, plot_delusion, plot_representatives
from pxgen_plugins.result import Result
from pxgen_plugins.utils.errors import ParameterError

pytestmark = pytest.mark.filterwarnings("error")
STRIPS = {
    "delusion": partial(plot_delusion, selection="lowest"),
    "alignment": partial(plot_alignment, selection="lowest"),
}


def images_of(*axes: Any) -> list[AxesImage]:
    """Pictures of each Axes from left to right, then from top to bottom."""
    pictures: list[AxesImage] = []
    for ax in axes:
        own = [one for one in ax.images if one.get_gid() == "picture"]
        own.sort(key=lambda one: (round(one.get_extent()[3], 6), one.get_extent()[0]))
        pictures += own
    return pictures


def example(explanation: Any, row: int, kind: str = "anchors") -> np.ndarray:
    place = explanation.examples["indices"].tolist().index(row)
    return np.asarray(explanation.examples[kind][place])


@pytest.mark.parametrize("name", STRIPS)
def test_a_strip_shows_originals_above_reconstructions_in_order(name: str, build: Any) -> None:
    explanation = build()
    axes = STRIPS[name](explanation, n=20)
    rows = explanation.strips[name]
    assert sum(len(ax.images) for ax in axes) == 40
    halves = [np.array_split(np.array(images_of(ax), dtype=object), 2) for ax in axes]
    above, below = (np.concatenate(parts) for parts in zip(*halves, strict=True))
    for row, original, again in zip(rows, above, below, strict=True):
        np.testing.assert_array_equal(original.get_array(), example(explanation, row)[0])
        np.testing.assert_array_equal(
            again.get_array(), example(explanation, row, "reconstructions")[0]
        )
        assert (original.norm.vmin, original.norm.vmax) == (0, 255)
        left, right, bottom, top = original.get_extent()
        assert again.get_extent()[3] > bottom > top  # y runs downwards
        assert (bottom - top) / (right - left) == pytest.approx(6 / 5)


@pytest.mark.parametrize("name", STRIPS)
@pytest.mark.parametrize(("n", "expected"), [(1, [0]), (3, [0, 10, 19]), (50, list(range(20)))])
def test_a_strip_is_thinned_evenly(name: str, n: int, expected: list[int], build: Any) -> None:
    explanation = build(reconstructions=False)
    axes = STRIPS[name](explanation, n=n)
    rows = explanation.strips[name][expected]
    shown = [one.get_array() for one in images_of(*axes)]
    assert len(shown) == len(rows)
    for picture, row in zip(shown, rows, strict=True):
        np.testing.assert_array_equal(picture, example(explanation, row)[0])


@pytest.mark.parametrize("name", STRIPS)
def test_values_group_label_and_id_stand_under_each_picture(
    name: str, build: Any, texts: Any
) -> None:
    explanation = build(labels=["a$b"] * 60, ids=[f"id{i}" for i in range(60)])
    (ax,) = STRIPS[name](explanation, n=5)
    shown = texts(ax).splitlines()
    for row in explanation.strips[name][[0, 5, 10, 14, 19]]:
        assert {f"id{row}", r"a\$b", str(explanation.group[row])} <= set(shown)
        for value in explanation.values[row]:
            assert f"{value:.3g}" in shown
    assert {"original", "reconstruction", "KLD (nats)", "MSE (squared value)"} <= set(shown)


def test_the_rising_criterion_is_named(build: Any, texts: Any) -> None:
    assert "lowest 5 % of KLD, by rising MSE" in texts(STRIPS["delusion"](build())[0])
    assert "lowest 5 % of MSE, by rising KLD" in texts(STRIPS["alignment"](build())[0])


def planted(build: Any) -> tuple[Any, list[int], list[int]]:
    """Five HILE and four LIHE anchors among 400 of HIHE, whose KLD is the lowest of all."""
    rng = np.random.default_rng(1)
    values = np.stack([rng.uniform(0.0, 0.1, 400), rng.uniform(0.0, 0.1, 400)], axis=1)
    values[[301, 7, 200, 90, 33]] = [(0.5, 9.0), (0.6, 8.0), (0.7, 5.0), (1.0, 4.0), (1.9, 2.0)]
    values[[5, 350, 60, 111]] = [(9.0, 0.2), (7.0, 0.3), (5.0, 0.5), (3.0, 1.0)]
    return build(values), [301, 7, 200, 90, 33], [5, 350, 60, 111]


def test_delusion_shows_planted_hile_anchors_sure_and_wrong_first(build: Any, texts: Any) -> None:
    explanation, delusion, alignment = planted(build)
    for plot, rows, group in (
        (plot_delusion, delusion, "HILE"),
        (plot_alignment, alignment, "LIHE"),
    ):
        (ax,) = plot(explanation)
        above = images_of(ax)[: len(rows)]
        assert len(ax.images) == 2 * len(rows)  # no picture of another group
        for picture, row in zip(above, rows, strict=True):
            np.testing.assert_array_equal(picture.get_array(), example(explanation, row)[0])
        shown = texts(ax)
        assert shown.count(group) == len(rows) + 1
        assert "HIHE" not in shown
    # those that another calibration may move come last, whatever their values
    explanation.data["group_stability"][301] = 0.6
    (ax,) = plot_delusion(explanation, 4)
    for picture, row in zip(images_of(ax)[:4], [7, 200, 90, 33], strict=True):
        np.testing.assert_array_equal(picture.get_array(), example(explanation, row)[0])


def test_a_model_without_delusion_is_said_to_have_none(build: Any, texts: Any) -> None:
    explanation = build(np.full((40, 2), 0.1))
    assert "No anchor is in HILE (model delusion)." in texts(plot_delusion(explanation)[0])
    assert "No anchor is in LIHE (aligned conception)." in texts(plot_alignment(explanation)[0])


def test_the_caller_can_give_the_pictures(build: Any) -> None:
    explanation = build(shape=None)
    with pytest.raises(ParameterError, match="neither that nor examples"):
        plot_delusion(explanation)
    pictures = np.random.default_rng(5).uniform(size=(60, 4, 4))
    (ax,) = plot_delusion(explanation, 3, images=pictures)
    shown = images_of(ax)
    assert len(shown) == 3
    np.testing.assert_array_equal(
        shown[0].get_array(), pictures[Result.of(explanation).foremost("HILE")[0]]
    )
    (ax,) = plot_delusion(explanation, 3, images=pictures, reconstructions=list(pictures / 2))
    np.testing.assert_array_equal(images_of(ax)[3].get_array(), shown[0].get_array() / 2)


@pytest.mark.parametrize("wrong", [3, "text", np.zeros((2, 4, 4)), {0: 1}, [object()] * 60])
def test_pictures_that_cannot_be_read_are_one_clear_error(wrong: Any, build: Any) -> None:
    with pytest.raises(ParameterError, match="plot_delusion: images must be"):
        plot_delusion(build(shape=None), images=wrong)


def test_pictures_of_several_shapes_are_refused(build: Any) -> None:
    mixed = [np.zeros((3 + i % 2, 4)) for i in range(60)]
    with pytest.raises(ParameterError, match="of one shape"):
        plot_delusion(build(shape=None), images=mixed)


def test_a_dataset_of_tensors_and_labels_is_taken(build: Any) -> None:
    torch = pytest.importorskip("torch")

    class Data:
        def __getitem__(self, row: int) -> Any:
            return torch.full((1, 2, 3), float(row), requires_grad=True), 7

    explanation = build(shape=None)
    (ax,) = plot_alignment(explanation, 2, images=Data())
    assert images_of(ax)[0].get_array()[0, 0] == Result.of(explanation).foremost("LIHE")[0]


@pytest.mark.parametrize(
    ("shape", "drawn", "note"),
    [
        ((4, 5), (4, 5), ""),
        ((1, 4, 5), (4, 5), ""),
        ((3, 4, 5), (4, 5, 3), ""),
        ((4, 5, 3), (4, 5, 3), ""),
        ((4, 5, 1), (4, 5), ""),
        ((2, 4, 5), (4, 5), "mean of 2 channels"),
        ((7, 4, 5), (4, 5), "mean of 7 channels"),
        ((1, 6, 4, 5), (4, 5), "Middle slices"),
        ((3, 6, 4, 5), (4, 5, 3), "Middle slices"),
    ],
)
@pytest.mark.parametrize("data_range", [(0.0, 1.0), None])
def test_images_of_any_number_of_channels_are_drawn(
    shape: tuple[int, ...],
    drawn: tuple[int, ...],
    note: str,
    data_range: Any,
    build: Any,
    texts: Any,
    draw: Any,
) -> None:
    axes = plot_delusion(build(shape=shape, data_range=data_range), 3)
    assert images_of(axes[0])[0].get_array().shape == drawn
    assert note in texts(axes[0]).replace("\n", " ")
    draw(axes)


@pytest.mark.parametrize(("shape", "bars"), [((6,), 6), ((1, 6), 6), ((40,), 0), ((1, 1, 40), 0)])
@pytest.mark.parametrize("data_range", [(0.0, 1.0), None])
def test_flat_anchors_are_bars_or_curves(
    shape: tuple[int, ...], bars: int, data_range: Any, build: Any, by_gid: Any, draw: Any
) -> None:
    explanation = build(shape=shape, data_range=data_range)
    axes = plot_alignment(explanation, 3)
    shown = by_gid(axes[0], "picture")
    assert len(shown) == 6 * (bars or 1)
    if not bars:
        values = example(explanation, Result.of(explanation).foremost("LIHE")[0]).reshape(-1)
        level = shown[0].get_ydata()
        assert np.argmin(level) == np.argmax(values)  # y runs downwards
        drawn = (level - level.max()) / (level.min() - level.max())
        values = values.astype(np.float64)
        expected = (values - values.min()) / (values.max() - values.min())
        np.testing.assert_allclose(drawn, expected, atol=1e-6)
    draw(axes)


def test_the_data_range_decides_what_is_black_and_white(build: Any) -> None:
    explanation = build(shape=None)
    pictures = np.random.default_rng(5).uniform(-1, 1, size=(60, 4, 4))
    explanation.data["examples"] = {"indices": [], "data_range": [-1.0, 1.0], "anchors": []}
    (ax,) = plot_delusion(explanation, 3, images=pictures)
    assert (ax.images[0].norm.vmin, ax.images[0].norm.vmax) == (-1, 1)
    bytes_ = np.full((60, 4, 4), 255, dtype=np.uint8)
    (ax,) = plot_delusion(explanation, 3, images=bytes_, reconstructions=pictures)
    assert images_of(ax)[0].get_array().max() == 1.0


def test_pixels_that_are_not_finite_do_not_stop_a_figure(build: Any, draw: Any) -> None:
    for shape in ((4, 4), (3, 4, 4), (9,), (30,)):
        pictures = np.random.default_rng(5).normal(size=(60, *shape))
        pictures[:, 0] = np.nan
        pictures[:, -1] = np.inf
        draw(plot_delusion(build(shape=None), 3, images=pictures))
        draw(plot_delusion(build(shape=None), 3, images=np.full((60, *shape), np.nan)))


@pytest.mark.parametrize("selector", [None, "k_center", "top"])
@pytest.mark.parametrize("n", [None, 2])
def test_representatives_are_those_of_the_selector(
    selector: str | None, n: int | None, build: Any
) -> None:
    explanation = build(n=200)
    shown = iter(images_of(*plot_representatives(explanation, selector, n)))
    for group in explanation.groups.values():
        rows = group["representatives"][selector or "k_center"][:n]
        for kind in ("anchors", "reconstructions"):
            for row in rows:
                np.testing.assert_array_equal(
                    next(shown).get_array(), example(explanation, row, kind)[0]
                )
    assert next(shown, None) is None


def test_reconstructions_of_representatives_can_be_left_out(build: Any) -> None:
    explanation = build(n=200)
    axes = plot_representatives(explanation, reconstructions=False)
    assert [len(images_of(ax)) for ax in axes] == [4, 4, 4, 4]


def test_an_empty_group_says_so(build: Any, by_gid: Any) -> None:
    first, _, *others = plot_representatives(build(thresholds=(1e9, 1.5)))
    for ax, name in zip(others, ("LIHE", "LILE"), strict=True):
        (note,) = by_gid(ax, f"empty:{name}")
        assert note.get_text() == "no anchors in this group"
    assert by_gid(first, "empty:HIHE") == []


def test_unknown_selectors_and_numbers_are_refused(build: Any) -> None:
    with pytest.raises(ParameterError, match=r"selector must be one of .*mean 'k_center'"):
        plot_representatives(build(), "kcenter")
    for plot in (plot_representatives, plot_delusion, plot_alignment):
        with pytest.raises(ParameterError, match="n must be an integer >= 1; got 0"):
            plot(build(), n=0)
    bare = build()
    for group in bare.data["groups"].values():
        group["representatives"] = {}
    with pytest.raises(ParameterError, match="one with representatives"):
        plot_representatives(bare)


@pytest.mark.parametrize("plot", [plot_delusion, plot_alignment, plot_representatives])
def test_no_text_overlaps_another_in_a_new_figure(plot: Any, build: Any) -> None:
    labels, ids = ["a long label"] * 60, [f"identifier {i}" for i in range(60)]
    axes = plot(build(labels=labels, ids=ids))
    figure = axes[0].get_figure(root=True)
    figure.canvas.draw()
    boxes = [text.get_window_extent() for ax in axes for text in ax.texts if text.get_text()]
    boxes += [ax.title.get_window_extent() for ax in axes if ax.title.get_text()]
    for at, box in enumerate(boxes):
        inner = box.shrunk(0.98, 0.8)
        assert not any(inner.overlaps(other.shrunk(0.98, 0.8)) for other in boxes[:at])
        assert box.x0 >= -1
        assert box.x1 <= figure.bbox.width + 1
