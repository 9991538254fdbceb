"""The removal figure shows the means, the intervals and the floor of the result it is given."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from pxgen_plugins.evaluation import RemovalResult
from pxgen_plugins.plots import plot_removal
from pxgen_plugins.utils.errors import ParameterError
from tests.evaluation import toy_removal as toy

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def result() -> RemovalResult:
    return toy.experiment(distances={"gap": toy.gap, "other gap": toy.gap}).run()


def test_each_schedule_has_a_panel_and_each_ranking_its_means_and_band(
    result: RemovalResult, by_gid: Any
) -> None:
    axes = plot_removal(result)
    assert len(axes) == 2
    for ax, schedule in zip(axes, result.schedules, strict=True):
        assert schedule in ax.get_title(loc="left")
        for place, ranking in enumerate(result.rankings):
            curve = result.curve(ranking, schedule)
            (line,) = by_gid(ax, f"curve:{place}")
            np.testing.assert_allclose(line.get_xdata(), 100 * curve.amount / 16)
            np.testing.assert_allclose(line.get_ydata(), curve.values.mean(axis=1))
            (band,) = by_gid(ax, f"band:{place}")
            corners = band.get_paths()[0].vertices
            assert corners[:, 1].min() == pytest.approx(curve.band.min())
            assert corners[:, 1].max() == pytest.approx(curve.band.max())
    assert axes[0].get_ylim() == axes[1].get_ylim()


def test_the_grey_band_is_the_floor(result: RemovalResult, by_gid: Any) -> None:
    for ax in plot_removal(result):
        (band,) = by_gid(ax, "floor")
        (mean,) = by_gid(ax, "floor mean")
        (same,) = by_gid(ax, "same model")
        floor = result.floor()["seed_to_seed"]
        box = band.get_path().get_extents(band.get_patch_transform())
        assert (box.y0, box.y1) == pytest.approx((floor.low, floor.high))
        assert mean.get_ydata() == pytest.approx([floor.mean] * 2)
        assert same.get_ydata() == pytest.approx([0.0, 0.0])


def test_the_axis_names_percent_and_count(result: RemovalResult) -> None:
    left, right = plot_removal(result)
    assert [t.get_text() for t in left.get_xticklabels()] == [
        "0 %\n0",
        "25 %\n4",
        "50 %\n8",
        "100 %\n16",
    ]
    assert [t.get_text() for t in right.get_xticklabels()] == ["0 %\n0", "100 %\n16"]


def test_the_legend_says_in_words_what_is_drawn(result: RemovalResult, texts: Any) -> None:
    shown = texts(plot_removal(result)[0])
    for words in (*result.rankings, "nothing removed, another seed", "other samples of it"):
        assert words in shown
    assert "means over 3 seeds; bands: 95 % t intervals" in shown


def test_another_distance_is_drawn_when_asked_for(result: RemovalResult) -> None:
    (left, _) = plot_removal(result, "other gap (value)")
    assert left.get_ylabel() == "other gap (value) to the original"
    with pytest.raises(ParameterError, match="distance must be one of 'gap"):
        plot_removal(result, "frechet")


def test_one_seed_is_drawn_without_bands(texts: Any, by_gid: Any, draw: Any) -> None:
    axes = plot_removal(toy.experiment(seeds=[2]).run())
    assert by_gid(axes[0], "floor") == by_gid(axes[0], "band:*") == []
    assert "One seed." in texts(axes[0])
    assert draw(axes).std() > 0


def test_many_rankings_and_hostile_names_are_drawn(draw: Any) -> None:
    names = ["$x^2$", "$", "a\nb", "\x00\u202e", "x" * 300, "\U0001f600", "_", "{0}", "%d"]
    rankings = dict.fromkeys(names, np.arange(40))
    axes = plot_removal(toy.experiment(rankings=rankings, amounts={"epochs": [4]}).run())
    assert len(axes) == 1
    assert draw(axes).std() > 0


@pytest.mark.parametrize("size", [(12.0, 4.0), (6.0, 3.0)])
def test_a_given_subfigure_holds_the_panels(
    result: RemovalResult, size: tuple[float, float], draw: Any
) -> None:
    figure = plt.figure(figsize=size, layout="constrained")
    left, right = figure.subfigures(1, 2)
    children = set(map(id, right.get_children()))
    axes = plot_removal(result, figure=left)
    assert all(ax.figure is left for ax in axes)
    assert set(map(id, right.get_children())) == children
    draw(axes)
    with pytest.raises(ParameterError, match="figure must be an empty matplotlib Figure"):
        plot_removal(result, figure=3)
    with pytest.raises(ParameterError, match="plot_removal: ax must be left out"):
        plot_removal(result, ax=plt.subplots()[1])
