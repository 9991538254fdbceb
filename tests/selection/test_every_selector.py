"""What holds for every registered selector: results, inputs and errors."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pxgen_plugins import selection
from pxgen_plugins.utils.errors import ParameterError, PXGenWarning

NAMES = selection.names()
OWN = {"k_center", "k_dispersion", "k_means", "k_medoids", "top"}


def columns(name, d):
    return 1 if selection.properties(name).space == "anchor_value" else d


def table(name, n=40, d=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))[:, : columns(name, d)]


def same(one, other):
    np.testing.assert_array_equal(one.indices, other.indices)
    assert one.objective == other.objective
    if one.assignment is not None:
        np.testing.assert_array_equal(one.assignment, other.assignment)


def test_the_five_selectors_are_registered():
    assert set(NAMES) >= OWN
    for name in NAMES:
        assert selection.get(name) is getattr(selection, name)


def test_of_the_five_only_top_asks_for_a_space():
    spaces = {name: selection.properties(name).space for name in OWN}
    assert spaces == dict.fromkeys(OWN) | {"top": "anchor_value"}
    with pytest.raises(ParameterError, match="k_center"):
        selection.properties("k_centre")


def test_a_selector_is_one_registered_function():
    @selection.register("first_rows_of_a_test", space="pixel", order_matters=True)
    def first_rows(X, k, *, start=None, seed=0):
        if seed < 0:
            raise ParameterError("seed", "an integer >= 0", str(seed), "Pass another.")
        return selection.Selection(np.arange(k), 0.0)

    try:
        assert selection.get("first_rows_of_a_test") is first_rows
        declared = selection.properties("first_rows_of_a_test")
        assert declared == selection.Properties(space="pixel", order_matters=True)
        with pytest.raises(ParameterError, match="first_rows_of_a_test: seed must be"):
            first_rows([1.0], 1, seed=-1)
    finally:
        selection.base.REGISTRY._items.pop("first_rows_of_a_test")


def test_importing_the_package_does_not_load_torch():
    code = "import sys, pxgen_plugins.selection; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_the_result_is_k_different_rows(name, data):
    n, d = data.draw(st.integers(1, 25)), columns(name, data.draw(st.integers(1, 4)))
    kind = data.draw(st.sampled_from([np.float64, np.float32, np.int64, np.uint8]))
    values = (
        st.integers(0, 3) if np.issubdtype(kind, np.integer) else st.floats(-1e6, 1e6, width=32)
    )
    X = data.draw(arrays(kind, (n, d), elements=values))
    k = data.draw(st.integers(1, n))
    before = X.copy()
    found = selection.get(name)(X, k)
    np.testing.assert_array_equal(X, before)
    assert found.indices.dtype == np.int64
    assert found.indices.shape == (k,)
    assert len(set(found.indices.tolist())) == k
    assert set(found.indices.tolist()) <= set(range(n))
    assert found.objective >= 0 or name not in OWN - {"top"}  # theirs are distances
    if found.assignment is not None:
        assert found.assignment.dtype == np.int64
        assert found.assignment.shape == (n,)
        assert set(found.assignment.tolist()) <= set(range(k))
    if not selection.properties(name).repeats:
        different = len(np.unique(X, axis=0))
        assert len(np.unique(X[found.indices], axis=0)) == min(k, different)
    same(found, selection.get(name)(X, k))


@pytest.mark.parametrize("name", ["k_center", "k_dispersion", "k_medoids"])
@given(seed=st.integers(0, 1000), power=st.integers(-30, 30), shift=st.integers(-1000, 1000))
@settings(max_examples=25, deadline=None)
def test_scaling_and_shifting_a_grid_change_nothing(name, seed, power, shift):
    X = np.random.default_rng(seed).integers(-20, 20, size=(30, 2)).astype(float)
    one = selection.get(name)(X, 6, start=0)
    other = selection.get(name)((X + shift) * 2.0**power, 6, start=0)
    np.testing.assert_array_equal(one.indices, other.indices)
    assert other.objective == pytest.approx(one.objective * 2.0**power, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_the_rows_does_not_matter_where_nothing_is_drawn(name):
    if selection.properties(name).order_matters:
        return
    X = table(name, 200)
    order = np.random.default_rng(1).permutation(200)
    one = selection.get(name)(X, 9, start=17)
    other = selection.get(name)(X[order], 9, start=int(np.flatnonzero(order == 17)[0]))
    np.testing.assert_array_equal(np.sort(order[other.indices]), np.sort(one.indices))


@pytest.mark.parametrize("name", NAMES)
def test_containers_and_layouts_change_nothing(name):
    X = np.round(table(name) * 8) / 8
    run = selection.get(name)
    expected = run(X, 5)
    frozen = X.copy()
    frozen.flags.writeable = False
    wide = np.zeros((80, 7))
    wide[::2, :6:2][:, : X.shape[1]] = X
    forms = {
        "float32": X.astype(np.float32),
        "float16": X.astype(np.float16),
        "big-endian": X.astype(">f8"),
        "Fortran order": np.asfortranarray(X),
        "strided": wide[::2, :6:2][:, : X.shape[1]],
        "reversed": X[::-1].copy()[::-1],
        "read-only": frozen,
        "list": X.tolist(),
        "tensor": torch.from_numpy(X),
        "tensor that needs gradients": torch.from_numpy(X).requires_grad_(),
        "bfloat16 tensor": torch.from_numpy(X).bfloat16(),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for form, value in forms.items():
            np.testing.assert_array_equal(run(value, 5).indices, expected.indices, err_msg=form)


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "?"])
@pytest.mark.parametrize("name", NAMES)
def test_integers_are_taken_as_they_are(name, kind):
    X = np.random.default_rng(0).integers(0, 2 if kind == "?" else 100, size=(50, 2)).astype(kind)
    X = X[:, : columns(name, 2)]
    run = selection.get(name)
    np.testing.assert_array_equal(run(X, 4).indices, run(X.astype(float), 4).indices)


@pytest.mark.parametrize("name", NAMES)
def test_one_dimension_is_one_column(name):
    values = np.random.default_rng(0).normal(size=50)
    same(selection.get(name)(values, 4), selection.get(name)(values[:, None], 4))


@pytest.mark.parametrize("name", NAMES)
def test_more_picks_than_rows_warns_and_returns_all(name):
    with pytest.warns(PXGenWarning, match=r"got 9\. All 5 are used"):
        found = selection.get(name)(table(name, 5), 9)
    assert sorted(found.indices.tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", NAMES)
def test_one_row_is_its_own_representative(name):
    assert selection.get(name)(table(name, 1), 1).indices.tolist() == [0]


@pytest.mark.parametrize("bad", [0, -3, 2.5, "3", None, True, float("nan")])
@pytest.mark.parametrize("name", NAMES)
def test_a_k_that_is_no_positive_integer_is_refused(name, bad):
    with pytest.raises(ParameterError, match=f"{name}: k must be an integer >= 1"):
        selection.get(name)(table(name), bad)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_rows_that_are_not_finite_are_named(name, kind, value):
    X = table(name, 20_000).astype(kind)
    X[[3, 19_000]] = value
    with pytest.raises(ParameterError, match=r"X must be finite; got .* rows 3, 19000\."):
        selection.get(name)(X, 2)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((0, 2)),
        np.zeros((3, 0)),
        np.zeros((3, 2, 2)),
        5.0,
        "abc",
        [["a", "b"]],
        [[1.0], [1.0, 2.0]],
        np.zeros((3, 2), dtype=complex),
        np.array([None, None]),
        None,
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_table_is_refused(name, bad):
    with pytest.raises(ParameterError, match=f"{name}: X must be "):
        selection.get(name)(bad, 1)


@pytest.mark.parametrize("bad", [-1, 40, 1.5, "0", True])
@pytest.mark.parametrize("name", NAMES)
def test_a_start_outside_the_rows_is_refused(name, bad):
    with pytest.raises(ParameterError, match=f"{name}: start must be"):
        selection.get(name)(table(name), 3, start=bad)


@pytest.mark.parametrize("bad", [-1, 1.5, "0", None])
@pytest.mark.parametrize("name", NAMES)
def test_a_seed_that_is_no_integer_is_refused(name, bad):
    with pytest.raises(ParameterError, match=f"{name}: seed must be"):
        selection.get(name)(table(name), 3, seed=bad)


@pytest.mark.parametrize(
    ("name", "options", "parameter"),
    [
        ("k_center", {"outliers": 40}, "outliers"),
        ("k_center", {"outliers": -1}, "outliers"),
        ("k_center", {"refine": 1}, "refine"),
        ("k_dispersion", {"objective": "max_mean"}, "objective"),
        ("k_dispersion", {"outliers": 2.0}, "outliers"),
        ("k_medoids", {"metric": "cosine"}, "metric"),
    ],
)
def test_wrong_options_are_refused(name, options, parameter):
    with pytest.raises(ParameterError, match=f"{name}: {parameter} must be"):
        selection.get(name)(table(name), 3, **options)


@pytest.mark.parametrize("name", NAMES)
def test_no_global_random_state_is_touched(name):
    np.random.seed(7)  # noqa: NPY002 - it is the global state that is looked at
    torch.manual_seed(7)
    before, state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    selection.get(name)(table(name, 4000), 5)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), state)


def test_a_selection_shows_its_size_objective_and_first_rows():
    found = selection.k_center(np.arange(30.0), 12)
    assert repr(found).startswith("Selection(k=12, objective=")
    assert repr(found).endswith(", ...])")
    assert len(found) == 12
