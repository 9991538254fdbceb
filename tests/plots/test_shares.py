"""Label shares: bars as long as the shares, whiskers at the intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pxgen_plugins.plots import plot_label_shares
from pxgen_plugins.result import Result
from pxgen_plugins.utils.errors import ParameterError

pytestmark = pytest.mark.filterwarnings("error")
GROUPS = ("HIHE", "HILE", "LIHE", "LILE")


def tick_texts(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_yticklabels()]


def test_bars_are_as_long_as_the_shares_and_add_up(build: Any, by_gid: Any) -> None:
    labels = np.array(["10", "9", "b", "a"] * 50)
    explanation = build(n=200, labels=labels)
    (ax,) = plot_label_shares(explanation)
    assert tick_texts(ax) == ["9", "10", "a", "b"]
    for at, label in enumerate(tick_texts(ax)):
        inside, start = explanation.group[labels == label], 0.0
        for name in GROUPS:
            bars = by_gid(ax, f"share:{name}:{at}")
            share = np.mean(inside == name)
            assert len(bars) == (share > 0)
            for bar in bars:
                assert bar.get_width() == pytest.approx(share)
                assert bar.get_x() == pytest.approx(start)
            start += share
        assert start == pytest.approx(1.0)


def test_the_whisker_is_the_interval_of_the_hihe_share(build: Any, by_gid: Any) -> None:
    labels = np.array(["a", "b"] * 100)
    explanation = build(n=200, labels=labels)
    (ax,) = plot_label_shares(explanation)
    shares = Result.of(explanation).shares
    for at, label in enumerate("ab"):
        (whisker,) = by_gid(ax, f"whisker:{at}")
        ((low, _), (high, _)) = whisker.get_segments()[0]
        assert (low, high) == pytest.approx(tuple(shares.intervals(labels == label)[0]))


def test_invalid_anchors_are_in_no_bar(build: Any, texts: Any, by_gid: Any) -> None:
    values = np.exp(np.random.default_rng(0).normal(size=(40, 2)))
    values[:8] = np.nan
    (ax,) = plot_label_shares(build(values, labels=["a"] * 40))
    assert "8 anchors invalid" in " ".join(texts(ax).split())
    assert "32" in texts(ax).splitlines()
    widths = [by_gid(ax, f"share:{name}:0")[0].get_width() for name in GROUPS]
    assert sum(widths) == pytest.approx(1.0)


def test_without_labels_there_is_one_bar(build: Any) -> None:
    (ax,) = plot_label_shares(build())
    assert tick_texts(ax) == ["all anchors"]


def test_of_many_labels_the_most_frequent_are_drawn_and_the_rest_counted(
    build: Any, texts: Any
) -> None:
    labels = np.array([f"{i:02d}" for i in range(40) for _ in range(40 - i)])
    (ax,) = plot_label_shares(build(n=len(labels), labels=labels))
    assert tick_texts(ax) == [f"{float(i):02.0f}" for i in range(30)]
    assert "10 rarer labels with 55 anchors not shown." in texts(ax).replace("\n", " ")


def test_the_order_can_be_chosen(build: Any) -> None:
    rng = np.random.default_rng(4)
    labels = rng.choice(["a", "b", "c", "d"], 200, p=[0.1, 0.4, 0.2, 0.3])
    explanation = build(n=200, labels=labels)
    shares = {one: np.mean(explanation.group[labels == one] == "HIHE") for one in "abcd"}
    counts = {one: np.count_nonzero(labels == one) for one in "abcd"}
    for sort, key in (("share", shares), ("count", counts)):
        (ax,) = plot_label_shares(explanation, sort=sort)
        assert tick_texts(ax) == sorted("abcd", key=lambda one, key=key: -key[one])
    with pytest.raises(ParameterError, match=r"sort must be .*mean 'share'"):
        plot_label_shares(explanation, sort="shares")


def test_no_count_stands_under_a_whisker(build: Any, by_gid: Any, draw: Any) -> None:
    labels = np.array([f"l{i % 20}" for i in range(400)])
    axes = plot_label_shares(build(n=400, labels=labels))
    axes[0].get_figure(root=True).canvas.draw()
    to_data = axes[0].transData.inverted()
    spans = [by_gid(axes[0], f"whisker:{at}")[0].get_segments()[0][:, 0] for at in range(20)]
    for text in axes[0].texts:
        (x, y) = text.get_position()
        if text.get_transform() is axes[0].transData and x < 1.0:
            box = text.get_window_extent().transformed(to_data)
            low, high = spans[int(y)]
            assert box.x1 <= low or box.x0 >= high
