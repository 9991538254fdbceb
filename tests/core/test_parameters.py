"""Parameters changed afterwards, and the face that AIX360 knows."""

from __future__ import annotations

import numpy as np
import pytest

from pxgen_plugins import PXGen
from pxgen_plugins.criteria import MSE
from pxgen_plugins.host import NotFittedError
from pxgen_plugins.testing.examples import LinearModel, noise
from pxgen_plugins.thresholds import Conformal, MeanMax
from pxgen_plugins.utils.errors import ParameterError

X = noise(LinearModel(), 30).numpy()


def test_changed_is_as_built():
    rule = MeanMax(200, 3)
    changed = PXGen(LinearModel(), extrinsic=MSE(reduction="sum"), threshold=rule).fit()
    assert changed.set_params(n_representatives=2, seed=5, rule="any") is changed
    with pytest.raises(NotFittedError):
        changed.explain(X)
    built = PXGen(
        LinearModel(), extrinsic=MSE(reduction="sum"), threshold=rule, n_representatives=2, seed=5,
        rule="any",
    )  # fmt: skip
    assert changed.meta == built.meta
    one, other = changed.fit().explain(X), built.fit().explain(X)
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.group, other.group)
    assert changed.set_params(threshold=Conformal(0.1)).threshold.params["alpha"] == 0.1
    for params, message in (({"seed": -1}, "seed"), ({"colour": 1}, "colour")):
        with pytest.raises((ParameterError, TypeError), match=message):
            changed.set_params(**params)


def test_it_is_a_global_explainer_of_aix360():
    base = pytest.importorskip("aix360.algorithms.gwbe").GlobalWBExplainer
    explainer = PXGen(LinearModel(), threshold=MeanMax(100, 2))
    assert isinstance(explainer, base)
    assert issubclass(PXGen, base)
    for name in base.__abstractmethods__:
        assert callable(getattr(explainer, name)), name
