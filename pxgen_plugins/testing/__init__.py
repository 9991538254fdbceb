"""Checks that a plugin keeps the contract, for PXGen's own parts and for third parties.

One call checks one object and reports every fault by name::

    from pxgen_plugins.testing import ExplainerCase, check_criterion, check_explainer

    check_criterion("kld")
    check_explainer(ExplainerCase("mine", make=make, make_predictor=make_predictor, X=X))

With pytest, every check becomes a test of its own, and faults that are known today are marked::

    @parametrize_with_checks([case], explainer_checks())
    def test_my_explainer_keeps_the_contract(subject, check):
        check(subject)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pxgen_plugins.utils.lazy import attach

if TYPE_CHECKING:
    from pxgen_plugins.testing.checks import Check, parametrize_with_checks
    from pxgen_plugins.testing.criteria import CriterionCase, check_criterion, criterion_checks
    from pxgen_plugins.testing.explainer_case import ExplainerCase
    from pxgen_plugins.testing.explainers import check_explainer, explainer_checks
    from pxgen_plugins.testing.models import ModelCase, check_model, model_checks
    from pxgen_plugins.testing.selectors import SelectorCase, check_selector, selector_checks
    from pxgen_plugins.testing.thresholds import (
        ThresholdCase,
        check_threshold_rule,
        threshold_checks,
    )

__all__ = [
    "Check",
    "CriterionCase",
    "ExplainerCase",
    "ModelCase",
    "SelectorCase",
    "ThresholdCase",
    "check_criterion",
    "check_explainer",
    "check_model",
    "check_selector",
    "check_threshold_rule",
    "criterion_checks",
    "explainer_checks",
    "model_checks",
    "parametrize_with_checks",
    "selector_checks",
    "threshold_checks",
]

_HOMES = {
    "Check": "checks",
    "parametrize_with_checks": "checks",
    "ExplainerCase": "explainer_case",
    "check_explainer": "explainers",
    "explainer_checks": "explainers",
    "CriterionCase": "criteria",
    "check_criterion": "criteria",
    "criterion_checks": "criteria",
    "ModelCase": "models",
    "check_model": "models",
    "model_checks": "models",
    "SelectorCase": "selectors",
    "check_selector": "selectors",
    "selector_checks": "selectors",
    "ThresholdCase": "thresholds",
    "check_threshold_rule": "thresholds",
    "threshold_checks": "thresholds",
}

__getattr__, __dir__ = attach(__name__, _HOMES)
