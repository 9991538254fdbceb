"""Every registered adapter keeps the contract, by a case of its own or by one derived from it."""

from __future__ import annotations

import importlib.util
import inspect
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pxgen_plugins import adapters
from pxgen_plugins.adapters.base import ACCESS, EVIDENCE, Adapter, NotFittedError
from pxgen_plugins.models import VAE
from pxgen_plugins.testing import ExplainerCase, explainer_checks, parametrize_with_checks

from .nets import conv_vae

MODULES = sorted(path.stem for path in Path(__file__).parent.glob("test_*.py"))
# folders whose adapters do not say in their class docstring yet what each key of their data is;
# those of directions do in a base's (test_direction_fields.py)
EXEMPT = {"attribution", "directions", "example_based", "language", "latent", "text_to_image"}
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


def with_a_case_of_their_own() -> set[type]:
    covered = set()
    for name in MODULES:
        if name != Path(__file__).stem:
            try:
                module = importlib.import_module(f"tests.adapters.{name}")
            except pytest.skip.Exception:  # a library is not installed
                continue
            covered |= {type(case.new()) for case in getattr(module, "CASES", [])}
    return covered


def libraries() -> bool:
    return all(importlib.util.find_spec(name) for name in ("captum", "lime", "shap", "openTSNE"))


def runs(cls: type[Adapter]) -> bool:
    return not cls.library or importlib.util.find_spec(cls.library) is not None


OWN = with_a_case_of_their_own()
# where a library is missing its adapters cannot run, and nothing is derived
REST = [cls for cls in ADAPTERS if cls not in OWN and runs(cls)] if libraries() else []
DERIVED = [derived_case(cls) for cls in REST]


@parametrize_with_checks(DERIVED, explainer_checks())
def test_an_adapter_without_a_case_of_its_own_keeps_the_contract(subject, check):
    check(subject)


def test_class_docstrings_say_what_every_key_of_the_data_is():
    """Anywhere but among the arguments, which have names of their own."""
    told = 0
    for adapter in ADAPTERS:
        folder = adapter.__module__.split(".")[-2]
        if not adapter.__module__.startswith("pxgen_plugins.adapters.") or folder in EXEMPT:
            continue
        text = re.sub(r"\n *Args:\n.*?\n\n", "\n", inspect.getdoc(adapter) + "\n", flags=re.DOTALL)
        missing = [
            key for key in adapter.defaults if not re.search(rf"(?m)^ +{key} \(|``{key}``", text)
        ]
        assert not missing, f"{adapter.__name__}: no word on {', '.join(missing)}"
        told += 1
    assert told


def test_every_adapter_says_what_it_gives_and_needs():
    for adapter in ADAPTERS:
        assert adapter.evidence in EVIDENCE, adapter
        assert adapter.access in ACCESS, adapter
        assert adapter.defaults, adapter
