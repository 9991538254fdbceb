"""Groups are the strict rule, cell by cell, and their statistics what a loop gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pxgen_plugins import groups
from pxgen_plugins.utils.errors import ParameterError

KINDS = ["intrinsic", "extrinsic"]
numbers = st.floats(-5, 5, width=16) | st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1.0])


def slow_group(row, thresholds, kinds, rule, scale):
    if not all(np.isfinite(row)):
        return "invalid"
    letters = ""
    for kind in KINDS:
        js = [j for j, of in enumerate(kinds) if of == kind]
        below = [row[j] < thresholds[j] for j in js]
        if rule == "mean" and len(js) > 1:
            high = sum((row[j] - thresholds[j]) / scale[j] for j in js) / len(js) < 0
        else:
            high = any(below) if rule == "any" else all(below)
        letters += ("H" if high else "L") + kind[0].upper()
    return letters


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from(groups.RULES), st.integers(1, 3), st.integers(1, 3))
def test_groups_are_the_strict_rule(data, rule, n_in, n_ex):
    m = n_in + n_ex
    kinds = ["intrinsic"] * n_in + ["extrinsic"] * n_ex
    values = data.draw(hnp.arrays(np.float64, (data.draw(st.integers(0, 8)), m), elements=numbers))
    thresholds = np.array(
        data.draw(st.lists(st.sampled_from([0.0, 1.0, 2.5]), min_size=m, max_size=m))
    )
    scale = np.arange(1.0, m + 1)
    got = groups.assign(values, thresholds, kinds, rule, scale)
    assert got.tolist() == [slow_group(r, thresholds, kinds, rule, scale) for r in values]


def test_a_value_at_the_threshold_has_low_affinity():
    values = np.array([[5.0, 5.0], [np.nextafter(5.0, 0), 5.0]])
    assert groups.assign(values, np.array([5.0, 5.0]), KINDS).tolist() == ["LILE", "HILE"]


def test_all_and_any_differ_where_criteria_disagree():
    values = np.array([[1.0, 9.0, 1.0]])
    kinds = ["intrinsic", "intrinsic", "extrinsic"]
    five = np.full(3, 5.0)
    assert groups.assign(values, five, kinds, "all").tolist() == ["LIHE"]
    assert groups.assign(values, five, kinds, "any").tolist() == ["HIHE"]
    assert groups.assign(values, five, kinds, "mean", np.array([1.0, 10.0, 1.0])).tolist() == [
        "HIHE"
    ]


def test_the_mean_rule_needs_a_scale():
    values, kinds = np.ones((1, 3)), ["intrinsic", "intrinsic", "extrinsic"]
    for scale in (None, np.array([np.nan, 1, 1]), np.array([0.0, 1, 1])):
        with pytest.raises(ParameterError, match="scale"):
            groups.assign(values, np.ones(3), kinds, "mean", scale)


def test_both_kinds_are_needed():
    with pytest.raises(ParameterError, match="extrinsic too"):
        groups.assign(np.ones((1, 1)), np.ones(1), ["intrinsic"])


def test_statistics_of_an_empty_group_are_none():
    assert set(groups.statistics(np.empty((0, 1)), ["mse"])["mse"].values()) == {None}


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 9), st.just(1)), elements=st.floats(-9, 9)))
def test_statistics_are_those_of_the_statistics_module(values):
    import statistics

    found = groups.statistics(values, ["mse"])["mse"]
    row = values[:, 0].tolist()
    assert found["median"] == pytest.approx(statistics.median(row))
    assert found["mean"] == pytest.approx(statistics.fmean(row))
    assert found["std"] == pytest.approx(statistics.pstdev(row), abs=1e-9)
    assert (found["min"], found["max"]) == (min(row), max(row))


@pytest.mark.parametrize(("count", "n"), [(0, 1), (0, 50), (5, 50), (50, 50), (1, 3)])
def test_the_wilson_interval_solves_its_equation(count, n):
    """Its bounds p satisfy (share - p)^2 = z^2 p (1 - p) / n (Wilson 1927)."""
    low, high = groups.wilson_interval(count, n)
    share, z = count / n, 1.959963984540054
    assert 0 <= low <= share <= high <= 1
    for bound in (low, high):
        assert (share - bound) ** 2 == pytest.approx(z * z * bound * (1 - bound) / n, abs=1e-12)


def test_an_interval_without_anchors_is_none():
    assert groups.wilson_interval(0, 0) is None


def test_labels_are_counted_as_strings():
    assert groups.label_counts(np.array(["2", "10", "2"])) == {"10": 1, "2": 2}
    assert groups.label_counts(None) == {}


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.integers(0, 10**6), st.booleans())
def test_strips_hold_the_lowest_five_percent_in_order(n, seed, ties):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 5, (n, 2)).astype(float) if ties else rng.random((n, 2))
    values[rng.random(n) < 0.1] = np.nan
    valid = np.flatnonzero(np.isfinite(values).all(1))
    found = groups.strips(values, KINDS)
    for name, low, by in (("delusion", 0, 1), ("alignment", 1, 0)):
        strip = found[name]
        kept = max(1, int(0.05 * len(valid))) if len(valid) else 0
        assert len(strip) == min(20, kept)
        if kept:
            ranked = sorted(valid, key=lambda i, low=low: (values[i, low], i))[:kept]
            assert set(strip) <= set(ranked)
            ordered = sorted(ranked, key=lambda i, by=by: (values[i, by], i))
            assert (strip[0], strip[-1]) == (
                ordered[0],
                ordered[-1] if len(strip) > 1 else ordered[0],
            )
            assert (np.diff(values[strip, by]) >= 0).all()
            assert len(set(strip)) == len(strip)


def test_strips_of_nothing_valid_are_empty():
    found = groups.strips(np.full((3, 2), np.nan), KINDS)
    assert [len(strip) for strip in found.values()] == [0, 0]
