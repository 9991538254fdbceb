"""One explainer of Alibi itself under the suite: its known faults are the only ones reported."""

from __future__ import annotations

import numpy as np
import pytest

from pxgen_plugins.testing import ExplainerCase, check_explainer


class Height:
    """A smooth function of three features; `slope` makes another one, `ballast` a large one."""

    def __init__(self, slope: float = 1.0, ballast: int = 0) -> None:
        self.slope = slope
        self.ballast = np.zeros(ballast)

    def __call__(self, X):
        return np.tanh(self.slope * X[:, 0]) + 0.1 * X[:, 1]


def kernel_shap(predictor, **options):
    from alibi.explainers import KernelShap

    return KernelShap(predictor, **{"task": "regression", "seed": 0, **options})


def other():
    return Height(slope=-0.5)


def grown():
    return Height(ballast=200_000)


KNOWN = {
    "init_arguments_are_in_params": "alibi records only some of the arguments",
    "failed_write_keeps_the_predictor": "alibi.saving sets predictor to None without try/finally",
    "failed_pickling_keeps_the_predictor": "likewise",
    "explain_before_fit_is_refused": "it raises TypeError",
    "json_holds_no_copy_of_the_input": "data['raw'] holds the instances",
    "explain_leaves_metadata_alone": "explain writes its parameters into the explainer's metadata",
    "single_instance_is_a_batch_of_one": "an instance without a batch axis is not checked",
    "empty_batch_is_defined": "an empty batch ends inside shap",
    "fit_leaves_global_random_state": "alibi reseeds numpy's global generator",
}


def test_kernel_shap_fails_only_what_is_known():
    pytest.importorskip("shap")
    defaults = pytest.importorskip("alibi.api.defaults")
    rows = np.random.default_rng(3).normal(size=(14, 3))
    check_explainer(
        ExplainerCase(
            name="KernelShap",
            make=kernel_shap,
            make_predictor=Height,
            make_other=other,
            make_grown=grown,
            X=rows[:6],
            data_keys=frozenset(defaults.DEFAULT_DATA_KERNEL_SHAP),
            expected_failures=KNOWN,
            fit_args=(rows[6:],),
            explain_kwargs={"silent": True},
            many=60,
            not_run={"threads_agree": "calls share shap's state: it depends on their timing"},
        )
    )
