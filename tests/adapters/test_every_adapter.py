"""No adapter without a conformance case, whoever adds it."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from pxgen_plugins import adapters

MODULES = sorted(path.stem for path in Path(__file__).parent.glob("test_*.py"))
# explains Keras models, which no extra installs; its own test runs where TensorFlow is
NOT_HERE = {"tensorflow_integrated_gradients"}


def test_every_adapter_has_a_conformance_case():
    for package in ("captum", "lime", "shap", "openTSNE"):
        pytest.importorskip(package)
    covered = set()
    for name in MODULES:
        module = importlib.import_module(f"tests.adapters.{name}")
        covered |= {type(case.new()) for case in getattr(module, "CASES", [])}
    missing = {name for name in adapters.names() if adapters.get(name) not in covered}
    assert missing == NOT_HERE


def test_every_adapter_says_what_it_gives_and_needs():
    from pxgen_plugins.adapters.base import ACCESS, EVIDENCE

    for name in set(adapters.names()) - NOT_HERE:
        adapter = adapters.get(name)
        assert adapter.evidence in EVIDENCE, name
        assert adapter.access in ACCESS, name
        assert adapter.defaults, name
