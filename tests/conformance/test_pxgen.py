"""PXGen under the suite for explainers."""

from __future__ import annotations

import pytest

from pxgen_plugins.testing import check_explainer, explainer_checks, parametrize_with_checks

from .cases import pxgen_cases


@parametrize_with_checks(pxgen_cases(), explainer_checks())
def test_pxgen_keeps_the_contract(subject, check):
    check(subject)


@pytest.mark.parametrize("case", pxgen_cases(), ids=lambda case: case.name)
def test_pxgen_is_checked_in_one_call(case):
    check_explainer(case)
