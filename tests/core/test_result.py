"""One typed class says what an explanation holds, live and read back from JSON."""

from __future__ import annotations

import numpy as np
import pytest

from pxgen_plugins import PXGen
from pxgen_plugins.groups import GROUPS
from pxgen_plugins.result import Result, from_json
from pxgen_plugins.thresholds import Fixed, MeanMax
from pxgen_plugins.utils.errors import ParameterError
from pxgen_plugins.utils.files import plain


@pytest.fixture
def explanation(vae, images):
    images[7] = np.nan
    explainer = PXGen(vae, threshold=MeanMax(50, 3), n_representatives=3).fit()
    with pytest.warns(UserWarning, match="in no group"):
        return explainer.explain(images, labels=np.arange(60) % 4)


def test_it_holds_what_the_explanation_holds(explanation):
    result = Result.of(explanation)
    assert plain(result.to_data()) == plain(dict(explanation.data))
    assert result.n == 60
    assert result.invalid.tolist() == [7] == np.flatnonzero(result.is_invalid).tolist()
    assert sum(result.groups[name].count for name in GROUPS) == 59
    assert result.thresholds.tolist() == list(explanation.thresholds.values())
    assert result.column("mse") == result.first("extrinsic") == 1


def test_json_gives_the_same_result(explanation):
    back = Result.of(from_json(explanation.to_json()))
    live = Result.of(explanation)
    for name in ("values", "thresholds", "affinity", "p_value", "distance", "anchor_value"):
        array = np.asarray(getattr(live, name), dtype=float)
        array[~np.isfinite(array)] = np.nan  # JSON knows no infinity
        np.testing.assert_array_equal(np.asarray(getattr(back, name), dtype=float), array)
    assert back.group.tolist() == live.group.tolist()
    assert back.labels.tolist() == live.labels.tolist()
    assert {k: v.tolist() for k, v in back.strips.items()} == {
        k: v.tolist() for k, v in live.strips.items()
    }
    np.testing.assert_array_equal(back.examples.anchors, live.examples.anchors)
    np.testing.assert_array_equal(back.calibration.repeats, live.calibration.repeats)


def test_the_interval_to_show_has_a_width(vae, images):
    explanation = PXGen(vae, threshold=Fixed(1e9)).fit().explain(images)
    group = Result.of(explanation).groups["HIHE"]
    low, high = group.share_interval
    assert low < 1.0 == high


def test_a_result_of_a_result_is_itself(explanation):
    result = Result.of(explanation)
    assert Result.of(result) is result


@pytest.mark.parametrize("other", [None, 3, {"values": []}, {"criteria": ["kld"]}, object()])
def test_something_else_is_one_clear_error(other):
    with pytest.raises(ParameterError, match="explanation must be an explanation of PXGen"):
        Result.of(other)


def test_no_anchors_and_no_criteria_are_no_error():
    empty = {"criteria": [], "kinds": [], "values": [], "thresholds": {}, "group": [], "groups": {}}
    result = Result.of(empty | {"calibration": {"repeats": []}})
    assert (result.n, result.values.shape, result.affinity.shape) == (0, (0, 0), (0, 0))
