"""The suite for explainers: all checks, and the function that runs them."""

from __future__ import annotations

from pxgen_plugins.testing import (
    explainer_model,
    explainer_repeat,
    explainer_result,
    explainer_saving,
)
from pxgen_plugins.testing.checks import Check
from pxgen_plugins.testing.explainer_case import ExplainerCase
from pxgen_plugins.testing.explainer_interface import SUITE

__all__ = ["check_explainer", "explainer_checks"]

_PARTS = (explainer_result, explainer_model, explainer_repeat, explainer_saving)  # fill SUITE


def explainer_checks() -> list[Check[ExplainerCase]]:
    """Return the named checks of explainers, in order of the contract.

    Example:
        >>> "fit_returns_self" in {check.name for check in explainer_checks()}
        True
    """
    return sorted(SUITE.checks(), key=lambda check: check.points)


def check_explainer(case: ExplainerCase) -> None:
    """Check that an explainer is a drop-in for alibi's.

    Covers the contract's points 1-12, 15-23 and 25-29 as far as they concern a single explainer;
    checks that do not apply to the case are left out.

    Args:
        case: The explainer with its predictor and input. ``case.expected_failures`` names the
            checks that fail today; one that passes is reported.

    Raises:
        AssertionError: Naming every check that failed, with its message.
    """
    SUITE.run(case, case.name, case.expected_failures, case.not_run)
