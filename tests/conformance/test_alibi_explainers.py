"""Alibi's own explainers under the suite: what they fail is known, and strictly so."""

from __future__ import annotations

import importlib.util

import pytest

from pxgen_plugins.testing import explainer_checks, parametrize_with_checks

from .alibi_cases import alibi_cases, shap_cases


@parametrize_with_checks(alibi_cases(), explainer_checks())
def test_alibis_explainers_fail_only_what_is_known(subject, check):
    check(subject)


@pytest.mark.skipif(importlib.util.find_spec("shap") is None, reason="shap is not installed")
@parametrize_with_checks(shap_cases(), explainer_checks())
def test_kernel_shap_fails_only_what_is_known(subject, check):
    check(subject)
