"""The scatter: every anchor where its values are, thresholds at the thresholds."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from pxgen_plugins.groups import percentiles
from pxgen_plugins.plots import plot_groups
from pxgen_plugins.result import Result
from pxgen_plugins.utils.errors import ParameterError

pytestmark = pytest.mark.filterwarnings("error")
GROUPS = ("HIHE", "HILE", "LIHE", "LILE")


def test_every_valid_anchor_is_a_point_of_its_group(build: Any, by_gid: Any) -> None:
    values = np.exp(np.random.default_rng(3).normal(size=(90, 2)))
    values[::10, 1] = np.inf
    explanation = build(values)
    main = plot_groups(explanation)[0]
    for name in GROUPS:
        (dots,) = by_gid(main, f"anchors:{name}")
        np.testing.assert_array_equal(dots.get_offsets(), values[explanation.group == name])


def test_thresholds_are_lines_with_bands_of_their_intervals(build: Any, by_gid: Any) -> None:
    explanation = build(thresholds=(2.0, 1.5), deviations=(0.2, 0.1))
    main, top, right = plot_groups(explanation)
    low, high = percentiles(Result.of(explanation).shares.thresholds).T
    for panel in (main, top):
        (line,) = by_gid(panel, "threshold:kld")
        assert set(line.get_xdata()) == {2.0}
    for panel in (main, right):
        (line,) = by_gid(panel, "threshold:mse")
        assert set(line.get_ydata()) == {1.5}
    (band,) = by_gid(main, "band:kld")
    assert (band.get_x(), band.get_width()) == pytest.approx((low[0], high[0] - low[0]))
    (band,) = by_gid(main, "band:mse")
    assert (band.get_y(), band.get_height()) == pytest.approx((low[1], high[1] - low[1]))
    assert low[1] < 1.5 < high[1]


@pytest.mark.parametrize("n_repeats", [0, 1])
def test_without_several_repeats_there_is_no_band(n_repeats: int, build: Any, by_gid: Any) -> None:
    main = plot_groups(build(n_repeats=n_repeats))[0]
    assert by_gid(main, "band:*") == []
    assert len(by_gid(main, "threshold:*")) == 2


def test_no_finite_threshold_draws_no_line_and_says_so(build: Any, by_gid: Any, texts: Any) -> None:
    main = plot_groups(build(thresholds=(np.inf, 1.5)))[0]
    assert by_gid(main, "threshold:kld") == []
    assert "No finite threshold for KLD." in texts(main).replace("\n", " ")


def test_thresholds_and_marginals_and_samples_can_be_left_out(build: Any, by_gid: Any) -> None:
    axes = plot_groups(build(), thresholds=False, marginals=False, samples=False)
    assert axes.shape == (1,)
    assert by_gid(axes[0], "threshold:*") == by_gid(axes[0], "samples") == []


def test_each_quadrant_holds_the_name_of_its_group(build: Any, by_gid: Any, draw: Any) -> None:
    explanation = build(n=200)
    axes = plot_groups(explanation)
    draw(axes)
    main = axes[0]
    middle = main.transData.transform((2.0, 1.5))
    for name, right, above in (("HIHE", 0, 0), ("HILE", 0, 1), ("LIHE", 1, 0), ("LILE", 1, 1)):
        for text in by_gid(main, f"region:{name}*"):
            box = text.get_window_extent()
            assert box.x0 > middle[0] if right else box.x1 < middle[0]
            assert box.y0 > middle[1] if above else box.y1 < middle[1]


def test_the_names_stand_on_no_point_and_on_no_other_name(build: Any, by_gid: Any) -> None:
    explanation = build(n=400)
    main = plot_groups(explanation)[0]
    main.get_figure(root=True).canvas.draw()
    boxes = [text.get_window_extent() for text in by_gid(main, "region:*")]
    points = main.transData.transform(explanation.values)
    for at, box in enumerate(boxes):
        assert not any(box.overlaps(other.shrunk(1, 0.8)) for other in boxes[:at])
        assert not np.any(
            (points[:, 0] > box.x0)
            & (points[:, 0] < box.x1)
            & (points[:, 1] > box.y0)
            & (points[:, 1] < box.y1)
        )


def test_the_regions_say_count_share_and_interval(build: Any, texts: Any) -> None:
    explanation = build(n=200)
    shown = texts(plot_groups(explanation)[0])
    for group in explanation.groups.values():
        low, high = (100 * end for end in group["interval"])
        assert f"{group['count']} ({100 * group['fraction']:.1f} %)" in shown
        assert f"{low:.1f} % to {high:.1f} %" in shown
    assert "Shares: 95 % intervals for other anchors and another calibration." in shown.replace(
        "\n", " "
    )


def test_small_shares_and_their_intervals_are_no_zeros(build: Any, texts: Any) -> None:
    explanation = build()
    explanation.data["groups"]["HILE"] |= {
        "count": 16, "fraction": 16 / 200_000, "interval": [4.9e-5, 1.27e-4]
    }  # fmt: skip
    shown = texts(plot_groups(explanation)[0])
    assert "16 (<0.1 %" in shown
    assert "0.005 % to 0.013 %" in shown
    assert "0.0 %" not in shown


def test_swapped_axes_swap_the_quadrants(build: Any, by_gid: Any) -> None:
    main = plot_groups(build(), x="mse", y="kld")[0]
    (name,) = by_gid(main, "region:LIHE")
    assert name.get_position() == (0, 1)
    (line,) = by_gid(main, "threshold:kld")
    assert set(line.get_ydata()) == {2.0}


def test_a_named_criterion_takes_the_axis_and_the_other_is_filled(build: Any) -> None:
    three = {
        "criteria": ("kld", "mse", "mae"),
        "kinds": ("intrinsic", "extrinsic", "extrinsic"),
        "units": ("nats", "", ""),
        "thresholds": (2.0, 1.5, 1.5),
        "deviations": (0.1, 0.1, 0.1),
    }
    main = plot_groups(build(**three), y="mae")[0]
    assert (main.get_xlabel(), main.get_ylabel()) == ("intrinsic: KLD (nats)", "extrinsic: MAE")
    main = plot_groups(build(**three), x="mse", y="mae")[0]
    assert (main.get_xlabel(), main.get_ylabel()) == ("extrinsic: MSE", "extrinsic: MAE")


def test_more_criteria_are_said_to_decide_the_groups(build: Any, texts: Any) -> None:
    explanation = build(
        criteria=("kld", "mse", "mae"),
        kinds=("intrinsic", "extrinsic", "extrinsic"),
        units=("nats", "", ""),
        thresholds=(2.0, 1.5, 1.5),
        deviations=(0.1, 0.1, 0.1),
    )
    main = plot_groups(explanation)[0]
    assert "Groups by 3 criteria (rule: all)." in texts(main).replace("\n", " ")


def test_invalid_anchors_are_counted_in_the_caption(build: Any, texts: Any) -> None:
    values = np.exp(np.random.default_rng(3).normal(size=(20, 2)))
    values[:3, 0] = np.nan
    assert "3 anchors invalid, not shown." in texts(plot_groups(build(values))[0]).replace(
        "\n", " "
    )


@pytest.mark.parametrize(
    ("spread", "expected"), [(0.1, "linear"), (2.0, "log")], ids=["narrow", "wide"]
)
def test_the_spread_decides_the_scale(spread: float, expected: str, build: Any) -> None:
    values = np.exp(np.random.default_rng(0).normal(0, [spread, 0.1], (100, 2)))
    axes = plot_groups(build(values, thresholds=(1.0, 1.0), n_samples=None))
    assert axes[0].get_xscale() == axes[1].get_xscale() == expected
    assert axes[0].get_yscale() == axes[2].get_yscale() == "linear"


def test_the_scale_can_be_chosen(build: Any) -> None:
    assert plot_groups(build(), scale="log")[0].get_yscale() == "log"
    assert plot_groups(build(), scale="linear")[0].get_xscale() == "linear"
    with pytest.raises(ParameterError, match="linear where values are not positive"):
        plot_groups(build(-np.ones((5, 2)), thresholds=(-1.0, -1.0)), scale="log")


def test_values_below_zero_stay_on_a_logarithmic_axis_and_are_noted(
    build: Any, by_gid: Any, texts: Any
) -> None:
    values = np.exp(np.random.default_rng(0).normal(0, 2, (300, 2)))
    values[0] = 0.0
    main = plot_groups(build(values))[0]
    assert main.get_xscale() == "log"
    (dots,) = by_gid(main, "anchors:HIHE")
    assert dots.get_offsets()[0].tolist() == [main.get_xlim()[0], main.get_ylim()[0]]
    assert "1 at KLD (nats) \u2264 0 drawn at the edge." in texts(main).replace("\n", " ")


def test_the_marginals_count_every_anchor_and_no_bin_crosses_a_threshold(
    build: Any, by_gid: Any
) -> None:
    explanation = build(n=300)
    _, top, right = plot_groups(explanation)
    for panel, column, mark in ((top, 0, 2.0), (right, 1, 1.5)):
        total = 0.0
        for name in GROUPS:
            counts, edges, base = by_gid(panel, f"margin:{name}")[0].get_data()
            own = counts - base
            assert own.sum() == explanation.groups[name]["count"]
            total += own.sum()
            low = own[edges[1:] <= mark].sum()
            members = explanation.values[explanation.group == name, column]
            assert low == np.count_nonzero(members < mark)
        assert total == 300


def test_marginals_share_the_limits_of_the_scatter(build: Any) -> None:
    main, top, right = plot_groups(build())
    assert top.get_xlim() == main.get_xlim()
    assert right.get_ylim() == main.get_ylim()


def test_many_anchors_are_a_density_and_single_outliers_stay_points(
    build: Any, by_gid: Any
) -> None:
    values = np.exp(np.random.default_rng(0).normal(0, 0.4, (30_000, 2)))
    values[17] = 300.0, 400.0
    explanation = build(values)
    main = plot_groups(explanation)[0]
    (dots,) = by_gid(main, "anchors:LILE")
    assert [300.0, 400.0] in dots.get_offsets().tolist()
    meshes = by_gid(main, "density:*")
    assert len(meshes) == 4
    assert all(mesh.get_rasterized() for mesh in meshes)
    assert sum(len(by_gid(main, f"anchors:{name}")[0].get_offsets()) for name in GROUPS) < 5_000


def test_the_density_is_the_same_every_time(build: Any, by_gid: Any) -> None:
    explanation = build(np.exp(np.random.default_rng(0).normal(0, 0.4, (30_000, 2))))
    one, two = (plot_groups(explanation, marginals=False)[0] for _ in range(2))
    for first, second in zip(by_gid(one, "density:*"), by_gid(two, "density:*"), strict=True):
        np.testing.assert_array_equal(first.get_array(), second.get_array())


def test_contours_hold_the_stated_shares_of_the_samples(build: Any, by_gid: Any) -> None:
    explanation = build(n_samples=20_000)
    main = plot_groups(explanation, marginals=False)[0]
    (contours,) = by_gid(main, "samples")
    reference = explanation.calibration["reference"]
    shares = [
        np.mean([path.contains_points(reference) for path in _closed(one)], axis=1).sum()
        for one in contours.get_paths()
    ]
    assert shares == pytest.approx([0.95, 0.5], abs=0.03)


def test_contours_stay_inside_hard_bounds_and_reach_up_to_them(build: Any, by_gid: Any) -> None:
    # a rank is never above 1, a score never below 0, and many samples are near both
    rng = np.random.default_rng(3)
    reference = np.stack([rng.uniform(0.0, 1.0, 20_000), rng.exponential(1.0, 20_000)], axis=1)
    explanation = build(rng.uniform(0.1, 1.0, (60, 2)), thresholds=(0.5, 0.5))
    explanation.data["calibration"]["reference"] = reference
    main = plot_groups(explanation, marginals=False, scale="linear")[0]
    (contours,) = by_gid(main, "samples")
    corners = np.concatenate([path.vertices for path in contours.get_paths()])
    assert (corners >= reference.min(axis=0) - 1e-9).all()
    assert (corners <= reference.max(axis=0) + 1e-9).all()
    # the densest half of a uniform by an exponential: y below ln 2, whatever x
    outer, inner = contours.get_paths()
    assert np.median(inner.vertices[:, 1][inner.vertices[:, 1] > 0.1]) == pytest.approx(
        np.log(2.0), abs=0.12
    )
    assert np.ptp(outer.vertices[:, 0]) > 0.99


def _closed(path: Any) -> list[Any]:
    from matplotlib.path import Path

    return [Path(polygon) for polygon in path.to_polygons()]


def test_few_samples_are_crosses(build: Any, by_gid: Any) -> None:
    explanation = build(n_samples=12)
    (crosses,) = by_gid(plot_groups(explanation)[0], "samples")
    np.testing.assert_array_equal(crosses.get_offsets(), explanation.calibration["reference"])


def test_a_label_is_highlighted_and_the_others_fade(build: Any, by_gid: Any, texts: Any) -> None:
    labels = np.array(["a", "b", "b"] * 20)
    explanation = build(labels=labels)
    main = plot_groups(explanation, label="a")[0]
    for name in GROUPS:
        (strong,) = by_gid(main, f"highlight:anchors:{name}")
        (weak,) = by_gid(main, f"anchors:{name}")
        member = explanation.group == name
        np.testing.assert_array_equal(
            strong.get_offsets(), explanation.values[member & (labels == "a")]
        )
        np.testing.assert_array_equal(
            weak.get_offsets(), explanation.values[member & (labels == "b")]
        )
        assert weak.get_alpha() < 0.3 < strong.get_alpha()
    assert "Highlighted: label a." in texts(main).replace("\n", " ")


def test_unknown_names_are_refused_with_the_nearest(build: Any) -> None:
    explanation = build(labels=["cat", "dog"] * 30)
    with pytest.raises(ParameterError, match=r"x must be one of 'kld', 'mse'.*mean 'mse'"):
        plot_groups(explanation, x="mss")
    with pytest.raises(ParameterError, match=r"y must be one of"):
        plot_groups(explanation, y="klld")
    with pytest.raises(ParameterError, match=r"scale must be .*mean 'log'"):
        plot_groups(explanation, scale="logs")
    with pytest.raises(ParameterError, match=r"label must be .*mean 'cat'"):
        plot_groups(explanation, label="cats")
    with pytest.raises(ParameterError, match="without labels"):
        plot_groups(build(), label="cat")
    with pytest.raises(ParameterError, match="marginals must be True or False"):
        plot_groups(explanation, marginals=1)


def test_the_figure_fits_its_page(build: Any) -> None:
    axes = plot_groups(build())
    figure = axes[0].get_figure(root=True)
    figure.canvas.draw()
    tight, page = figure.get_tightbbox(), figure.get_size_inches()
    assert tight.x0 >= -0.02
    assert tight.y0 >= -0.02
    assert tight.x1 <= page[0] + 0.02
    assert tight.y1 <= page[1] + 0.02
    plt.close(figure)
