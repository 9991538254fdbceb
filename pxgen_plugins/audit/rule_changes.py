"""How the calibrations of two runs differ, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pxgen_plugins.result import CalibrationSummary, Result

__all__ = ["at_kept_thresholds", "calibrations_in_words", "moved_note", "rule_note"]

_MOVED = 1.25  # ratio of two thresholds from which their shares answer different questions
_MOST = 200  # characters of a rule: thresholds of many criteria are parameters too


def rule_note(before: Result, after: Result) -> str:
    """Return a note where the thresholds of two runs come from different rules, else "".

    Given thresholds (``Fixed``) that equal those before are no difference: the run kept them.

    Args:
        before: Of the first run.
        after: Of the second.
    """
    one, other = before.calibration, after.calibration
    if one is None or other is None or not _rules_differ(before, after):
        return ""
    return (
        f"The thresholds come from different rules, {_rule(one)} before and {_rule(other)} after: "
        "what changed is the rule's as well as the model's. Audit both with one rule"
    )


def moved_note(ratios: Mapping[str, float | None]) -> str:
    """Return a note where thresholds moved so far that shares may hide what the model did, else "".

    Args:
        ratios: Of each criterion's threshold after to that before; None where there is none.
    """
    moved = [
        f"{name} is {ratio:.3g} times"
        for name, ratio in ratios.items()
        if ratio is not None and ratio >= 0.0 and not 1.0 / _MOVED <= ratio <= _MOVED
    ]
    if not moved:
        return ""
    return (
        f"The threshold of {', that of '.join(moved)} the baseline's, so shares may stay while the "
        "model got worse, or better. keep_thresholds: true measures both runs by the baseline's"
    )


def at_kept_thresholds(before: Result, after: Result) -> Result:
    """Return the first run as one whose thresholds were given, if the second was given the same.

    Then nothing that calibration drew stands between the two: the noise of the thresholds is that
    of the question, which is one for both.

    Args:
        before: Of the first run.
        after: Of the second.
    """
    return replace(before, calibration=after.calibration) if _is_kept(before, after) else before


def calibrations_in_words(before: Result, after: Result) -> str:
    """Return how the calibrations of two runs are related, as a clause; "" where it is not known.

    Args:
        before: Of the first run.
        after: Of the second.
    """
    one, other = before.calibration, after.calibration
    if one is None or other is None:
        return ""
    if _is_kept(before, after):
        return "the second run has the thresholds of the first"
    if _rules_differ(before, after):
        return "the runs were calibrated by different rules"
    if one.seed != other.seed:
        return "the runs were calibrated with different seeds"
    if one.n_samples != other.n_samples:
        what = "instances of reference data" if one.source == "reference" else "samples"
        return f"the runs were calibrated on different numbers of {what}"
    if len(one.repeats) != len(other.repeats):
        return "the runs were calibrated with different numbers of repeats"
    return "the runs were calibrated with the same seeds"


def _is_kept(before: Result, after: Result) -> bool:
    """Return whether the second run was given the thresholds of the first."""
    fixed = after.calibration is not None and after.calibration.method == "Fixed"
    return fixed and bool(np.allclose(before.thresholds, after.thresholds, rtol=1e-9, atol=0.0))


def _rules_differ(before: Result, after: Result) -> bool:
    rules = [
        None if one is None else (one.method, one.params, one.source)
        for one in (before.calibration, after.calibration)
    ]
    return rules[0] != rules[1] and not _is_kept(before, after)


def _rule(calibration: CalibrationSummary) -> str:
    inside = ", ".join(f"{name}={value}" for name, value in calibration.params.items())
    text = f"{calibration.method}({inside})"
    return text if len(text) <= _MOST else f"{text[:_MOST]}...)"
