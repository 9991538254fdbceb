"""Scales, densities and words that the figures stand on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pxgen_plugins.groups import GROUPS
from pxgen_plugins.plots._density import blur, cell_counts, mass_levels, sparse
from pxgen_plugins.plots._marginals import histogram
from pxgen_plugins.plots._scales import Scale, choose
from pxgen_plugins.plots._text import clean
from pxgen_plugins.plots.style import STYLES
from pxgen_plugins.utils.text import number, percent

pytestmark = pytest.mark.filterwarnings("error")
ANY = hnp.arrays(np.float64, st.integers(0, 30), elements=st.floats(width=64))


@given(values=ANY, mark=st.floats(), scale=st.sampled_from(["auto", "linear"]))
def test_limits_hold_every_value_and_are_never_equal(values: Any, mark: float, scale: str) -> None:
    chosen = choose(values, np.array([mark]), scale)
    assert np.isfinite([chosen.low, chosen.high]).all()
    assert chosen.low < chosen.high
    inside = values[np.abs(values) < 1e300]
    if chosen.name == "log":
        inside = inside[inside > 1e-300]
    if inside.size:
        assert chosen.low <= inside.min()
        assert chosen.high >= inside.max()


@given(
    low=st.floats(1e-9, 1e6),
    factor=st.floats(1.01, 1e6),
    share=st.floats(-0.5, 1.5),
    name=st.sampled_from(["linear", "log"]),
)
def test_a_position_is_undone_by_its_value(
    low: float, factor: float, share: float, name: str
) -> None:
    scale = Scale(name, low, low * factor)
    if name == "linear" or share >= 0:
        assert float(scale.position(scale.value(share))) == pytest.approx(share, abs=1e-6)


@given(
    mark=st.floats(0.5, 20.0),
    before=st.floats(0.05, 0.45),
    after=st.floats(0.05, 0.45),
    name=st.sampled_from(["linear", "log"]),
)
def test_room_is_made_on_both_sides(mark: float, before: float, after: float, name: str) -> None:
    scale = Scale(name, 1.0, 10.0).with_room(mark, before, after)
    place = float(scale.position(mark))
    assert before - 1e-6 <= place <= 1.0 - after + 1e-6 or name == "log"
    assert scale.low <= 1.0
    assert scale.high >= 10.0


@given(
    through=st.floats(1.001, 9.999),
    bins=st.integers(1, 70),
    name=st.sampled_from(["linear", "log"]),
)
def test_bins_meet_the_threshold_and_cover_the_axis(through: float, bins: int, name: str) -> None:
    scale = Scale(name, 1.0, 10.0)
    edges = scale.edges(bins, through)
    assert through in edges
    assert np.all(np.diff(edges) > 0)
    assert edges[0] <= 1.0 + 1e-9
    assert edges[-1] >= 10.0 - 1e-9
    values = np.random.default_rng(0).uniform(1.0, 9.99, 200)
    counts = histogram(values, scale, edges)
    assert counts.sum() == 200
    assert counts[edges[1:] <= through].sum() == np.count_nonzero(values < through)


@given(hnp.arrays(np.float64, st.tuples(st.just(2), st.integers(0, 50)), elements=st.floats(0, 1)))
def test_every_point_is_counted_in_its_cell(points: Any) -> None:
    counts, cell = cell_counts(*points, 7)
    assert counts.sum() == points.shape[1]
    slow = np.zeros((7, 7), dtype=int)
    for x, y in points.T:
        slow[min(int(y * 7), 6), min(int(x * 7), 6)] += 1
    np.testing.assert_array_equal(counts, slow)
    alone = sparse(counts, cell, 1)
    assert alone.tolist() == [slow.reshape(-1)[one] == 1 for one in cell]


def test_blur_keeps_the_mass_and_levels_enclose_it() -> None:
    counts = np.random.default_rng(0).poisson(3.0, (40, 40))
    smooth = blur(counts, (2.0, 2.0))
    assert smooth.sum() == pytest.approx(counts.sum())
    for share in (0.5, 0.95):
        (level,) = mass_levels(smooth, (share,))
        assert smooth[smooth >= level].sum() / smooth.sum() == pytest.approx(share, abs=0.01)


@given(st.text(max_size=80))
def test_clean_text_is_short_drawable_and_stable(text: str) -> None:
    shown = clean(text, 12)
    assert len(shown.replace(r"\$", "$")) <= 12
    assert shown.isprintable()
    assert shown.replace(r"\$", "").count("$") == 0


@given(st.floats())
def test_numbers_are_short_and_keep_three_digits(value: float) -> None:
    text = number(value, 3)
    assert len(text) <= 10 or 1e7 <= abs(value) < 1e15
    if abs(value) < 1e300:
        assert float(text.replace(",", "")) == pytest.approx(value, rel=0.06, abs=1e-300)
        if 1e-4 <= abs(value) < 1e6:
            assert float(text.replace(",", "")) == pytest.approx(value, rel=6e-3)


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_shares_never_round_to_none_or_all(count: int, total: int) -> None:
    share = min(count, total) / total
    assert (percent(share) == "0 %") == (share == 0)
    assert (percent(share) == "100 %") == (share == 1)


def test_group_colours_differ_in_lightness_so_that_they_survive_grey_print() -> None:
    def lightness(colour: str) -> float:
        channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        bright = ((channels + 0.055) / 1.055) ** 2.4
        linear = np.where(channels <= 0.04045, channels / 12.92, bright)
        return float(116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16)

    levels = [lightness(STYLES[name].colour) for name in GROUPS]
    assert np.all(np.diff(levels) > 12)
    for style in STYLES.values():
        assert abs(lightness(style.on) - lightness(style.colour)) > 40
        assert lightness(style.dark) < 62  # text on white
    assert len({style.marker for style in STYLES.values()}) == 4


def test_a_long_tail_is_logarithmic_and_shares_that_lie_evenly_are_not() -> None:
    shares = (np.arange(500) + 0.5) / 500
    none = np.array([0.99])
    assert choose(shares, none, "auto").name == "linear"
    assert choose(-np.log(shares), none, "auto").name == "log"
    assert choose(np.append(shares, 1e3), none, "auto").name == "log"
