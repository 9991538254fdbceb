"""Calibration: histograms that add up, repeats and thresholds where they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pxgen_plugins.groups import percentiles
from pxgen_plugins.plots import plot_calibration
from pxgen_plugins.result import Result
from pxgen_plugins.utils.errors import ParameterError

pytestmark = pytest.mark.filterwarnings("error")


def test_there_is_one_panel_per_criterion_in_order_and_one_of_its_growth(build: Any) -> None:
    axes = plot_calibration(build())
    assert [ax.get_xlabel() for ax in axes] == [
        "intrinsic: KLD (nats)",
        "extrinsic: MSE (squared value)",
        *["samples per repeat, k"] * 2,
    ]
    other = build()
    other.data["calibration"]["method"] = "Quantile"  # whose threshold does not grow
    assert len(plot_calibration(other)) == 2


def test_the_growth_is_that_of_maxima_of_random_subsets(build: Any, by_gid: Any) -> None:
    explanation = build(n_samples=400, n_repeats=9)
    rng = np.random.default_rng(0)
    for column, ax in enumerate(plot_calibration(explanation)[2:]):
        (curve,), (points,) = by_gid(ax, "growth"), by_gid(ax, "maxima")
        pool = explanation.calibration["reference"][:, column]
        for k, expected in curve.get_xydata()[::6]:
            maxima = [rng.choice(pool, int(k), replace=False).max() for _ in range(400)]
            slack = 4 * np.std(maxima) / 20 + 1e-9
            assert abs(np.mean(maxima) - expected) <= slack, k
        assert curve.get_xydata()[-1].tolist() == [len(pool), pool.max()]
        repeats = explanation.calibration["repeats"][:, column]
        assert points.get_offsets().tolist() == [[400.0, value] for value in repeats]


def test_both_histograms_add_up_to_all(build: Any, by_gid: Any) -> None:
    for ax in plot_calibration(build())[:2]:
        for name in ("anchors", "model's samples"):
            shares, _, _ = by_gid(ax, f"histogram:{name}")[0].get_data()
            assert shares.sum() == pytest.approx(100.0)


def test_no_bin_crosses_the_threshold_and_the_title_says_the_share(build: Any, by_gid: Any) -> None:
    explanation = build(n=400)
    for column, ax in enumerate(plot_calibration(explanation)[:2]):
        mark = (2.0, 1.5)[column]
        shares, edges, _ = by_gid(ax, "histogram:anchors")[0].get_data()
        below = np.mean(explanation.values[:, column] < mark)
        assert shares[edges[1:] <= mark].sum() == pytest.approx(100 * below)
        assert f"{100 * below:.1f} % of anchors below" in by_gid(ax, "below")[0].get_text()


def test_repeats_and_threshold_are_where_they_are(build: Any, by_gid: Any) -> None:
    explanation = build(n_repeats=9)
    for column, ax in enumerate(plot_calibration(explanation)[:2]):
        (rug,) = by_gid(ax, "repeats")
        strokes = [segment[0, 0] for segment in rug.get_segments()]
        assert strokes == explanation.calibration["repeats"][:, column].tolist()
        (line,) = by_gid(ax, f"threshold:{explanation.criteria[column]}")
        assert set(line.get_xdata()) == {(2.0, 1.5)[column]}


def test_missing_scores_of_samples_are_said(build: Any, by_gid: Any, texts: Any) -> None:
    axes = plot_calibration(build(n_samples=None))
    assert "were not kept" in texts(axes[0]).replace("\n", " ")
    assert by_gid(axes[0], "histogram:model's samples") == []


def test_the_caption_says_how_the_thresholds_were_found(build: Any, texts: Any) -> None:
    explanation = build()
    shown = texts(plot_calibration(explanation)[0]).replace("\n", " ")
    (a, b), (c, d) = percentiles(Result.of(explanation).shares.thresholds)
    assert f"KLD 2 ({a:.3g} to {b:.3g}), MSE 1.5 ({c:.3g} to {d:.3g})" in shown.replace(
        "\u00a0", " "
    )
    assert "(MeanMax, 500 samples \u00d7 7)" in shown.replace("\u00a0", " ")


def test_an_unknown_scale_is_refused(build: Any) -> None:
    with pytest.raises(ParameterError, match="scale must be one of"):
        plot_calibration(build(), scale="sqrt")
