"""Every registered adapter keeps the contract, by a case of its own or by one derived from it."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pxgen_plugins import adapters
from pxgen_plugins.adapters.attribution.tensorflow_gradients import (
    DEFAULT_DATA_TENSORFLOW_GRADIENTS,
    TensorFlowIntegratedGradients,
)
from pxgen_plugins.adapters.base import ACCESS, EVIDENCE, Adapter, NotFittedError
from pxgen_plugins.models import VAE
from pxgen_plugins.testing import ExplainerCase, explainer_checks, parametrize_with_checks

from .fields import fields_of, mismatches
from .nets import conv_vae

MODULES = sorted(path.stem for path in Path(__file__).parent.glob("test_*.py"))
# what the data of directions hold, a base says (test_direction_fields.py)
EXEMPT = "pxgen_plugins.adapters.directions."
# one explains Keras models and has an environment of its own: make test-tensorflow
ADAPTERS = [cls for cls in map(adapters.get, adapters.names()) if issubclass(cls, Adapter)]
X = np.random.default_rng(0).random((5, 1, 8, 8), dtype=np.float32)


def other_vae() -> VAE:
    return conv_vae(1)


def grown_vae() -> VAE:
    return conv_vae(hidden=160)


def module_of(model: Any) -> Any:
    return model._evaluating.modules[0]


def needs_fit(cls: type[Adapter]) -> bool:
    try:
        cls(conv_vae(), **cls.example).explain(X)
    except NotFittedError:
        return True
    return False


def derived_case(cls: type[Adapter]) -> ExplainerCase:
    """The case of an adapter about which nothing is known but what its class says."""
    same_size = {"json_holds_no_copy_of_the_input": "an attribution has the shape of its anchor"}
    return ExplainerCase(
        cls.__name__,
        make=partial(cls, **cls.example),
        make_predictor=conv_vae,
        X=X,
        fit_args=(X,) if needs_fit(cls) else None,
        make_other=other_vae,
        make_grown=grown_vae,
        module=module_of,
        data_keys=frozenset(cls.defaults) | {"evidence"},
        X_invalid=np.where(np.arange(5)[:, None, None, None] == 1, np.nan, X),
        many=300,
        rtol=1e-3,
        atol=1e-5,
        expected_failures=same_size if cls.evidence == "attribution" else {},
    )


def own_cases() -> list[ExplainerCase]:
    """The cases that the files beside this one have."""
    cases = []
    for name in MODULES:
        if name != Path(__file__).stem:
            try:
                module = importlib.import_module(f"tests.adapters.{name}")
            except pytest.skip.Exception:  # a library is not installed
                continue
            cases += getattr(module, "CASES", [])
    return cases


def libraries() -> bool:
    return all(importlib.util.find_spec(name) for name in ("captum", "lime", "shap", "openTSNE"))


def runs(cls: type[Adapter]) -> bool:
    return not cls.library or importlib.util.find_spec(cls.library) is not None


OWN_CASES = own_cases()
OWN = {type(case.new()) for case in OWN_CASES}
# where a library is missing its adapters cannot run, and nothing is derived
REST = [cls for cls in ADAPTERS if cls not in OWN and runs(cls)] if libraries() else []
DERIVED = [derived_case(cls) for cls in REST]
TOLD = [
    cls
    for cls in (*ADAPTERS, TensorFlowIntegratedGradients)
    if cls.__module__.startswith("pxgen_plugins.adapters.")
    and not cls.__module__.startswith(EXEMPT)
]
TOLD_CASES = [
    case for case in OWN_CASES + DERIVED if (cls := type(case.new())) in TOLD and runs(cls)
]


@parametrize_with_checks(DERIVED, explainer_checks())
def test_an_adapter_without_a_case_of_its_own_keeps_the_contract(subject, check):
    check(subject)


@pytest.mark.parametrize("cls", TOLD, ids=lambda cls: cls.__name__)
def test_the_class_docstring_has_every_key_of_the_data(cls):
    keys = getattr(cls, "defaults", DEFAULT_DATA_TENSORFLOW_GRADIENTS)
    assert set(fields_of(cls)) == set(keys) - {"evidence"}  # which all have


@pytest.mark.filterwarnings("ignore::pxgen_plugins.utils.errors.PXGenWarning")
@pytest.mark.parametrize("case", TOLD_CASES, ids=lambda case: case.name)
def test_data_are_what_the_class_docstring_says(case):
    model, fields = case.make_predictor(), fields_of(type(case.new()))
    for X in (case.X, case.X_invalid):
        if X is not None:
            found = case.explain_new(X.copy())
            assert set(found.data) == {*fields, "evidence"}
            assert list(mismatches(fields, found.data, model)) == []


def test_a_docstring_that_is_wrong_is_seen():
    class Wrong:
        """What is wrong is seen.

        Fields:
            n_rows (int): n, the rows.
            rows (float64 (n, d)): Of which some are not known.
            names (list of str): n, one for each row, told over
                two lines.
            codes (float32 (n, *latent_shape)): Codes.
            means, spreads (float64 (d,)): Of the columns; None and NaN where not measured.
            curves (list of float64 (g, 2)): On grids of their own.
            ends (float64 (g + 1,)): Their ends.
            none (str): Missing.
        """

    fields, model = fields_of(Wrong), conv_vae()
    rows, codes = np.zeros((3, 2)), np.zeros((3, 4), np.float32)
    right = {
        "n_rows": 3, "rows": rows, "names": ["a", "b", "c"], "codes": codes, "means": np.zeros(2),
        "spreads": None, "curves": [np.zeros((5, 2)), np.zeros((4, 2))], "ends": np.zeros(3),
        "none": "here",
    }  # fmt: skip
    assert list(fields) == list(right)
    assert list(mismatches(fields, right, model)) == []
    faults = {
        "n_rows": 4, "rows": rows * np.nan, "names": ["a"], "codes": codes[:, :3],
        "means": np.zeros(3), "spreads": rows, "curves": [rows.T], "ends": np.zeros((1, 1)),
        "none": None,
    }  # fmt: skip
    for key, value in faults.items():
        told = list(mismatches(fields, {**right, key: value}, model))
        assert told, key
        assert key == "n_rows" or all(one.startswith(f"{key}: ") for one in told)
    told = list(mismatches(fields, {**right, "codes": codes.astype(np.float64)}, model))
    assert told == ["codes: float64, not float32 (n, *latent_shape)"]


def test_every_adapter_says_what_it_gives_and_needs():
    for adapter in ADAPTERS:
        assert adapter.evidence in EVIDENCE, adapter
        assert adapter.access in ACCESS, adapter
        assert adapter.defaults, adapter
