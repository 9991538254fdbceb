"""What is checked of conditions and of the baseline before anything is scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.audit.conditions import Condition, parse
from pxgen_plugins.audit.copies import COPIES
from pxgen_plugins.audit.run_folder import Run
from pxgen_plugins.audit.settings import Config
from pxgen_plugins.audit.verdicts import overall_verdict
from pxgen_plugins.evaluation.memorisation.membership import COMBINED
from pxgen_plugins.explainer import PXGen
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.storage import Place

__all__ = ["baseline_note", "check_baseline", "check_conditions", "conditions_of"]


def conditions_of(config: Config) -> list[Condition]:
    """Return the conditions of the settings."""
    given = enumerate(config["conditions"])
    return [Condition.of(one, f"conditions[{i}]") for i, one in given]


def check_conditions(config: Config, explainer: PXGen, labels: NDArray[np.str_] | None) -> None:
    """Raise for conditions on what is not there, before anything is scored.

    Args:
        config: The settings.
        explainer: Whose criteria they may name.
        labels: Of the anchors, None without.

    Raises:
        ParameterError: When one names an unknown criterion or label, or compares with a baseline
            and there is none.
    """
    _check_first_run(config)
    own = [criterion.name for criterion in explainer.criteria]
    copies = config.table(COPIES)
    for i, one in enumerate(conditions_of(config)):
        comparison = parse(one.text)
        _check_label(comparison.label, labels, f"conditions[{i}]")
        if comparison.relative and config["baseline"] is None and not config["first_run"]:
            allowed = "without drop, rise, change and moved where there is no baseline"
            hint = "Name a run under baseline:, or say first_run: true, which skips it this time."
            raise ParameterError(f"conditions[{i}]", allowed, short_repr(one.text), hint)
        criterion, names = comparison.criterion, own
        if comparison.subject in {COPIES, "membership"}:
            if copies is None:
                hint = "Name the training set and a held-out set under copies:."
                allowed = "on what the settings ask for"
                raise ParameterError(f"conditions[{i}]", allowed, short_repr(one.text), hint)
            names = [*(copies["criteria"] or own), COMBINED]
        if criterion is not None and criterion not in names:
            hint = validation.nearest(criterion, names)
            allowed = "on a criterion of the audit: " + ", ".join(names)
            got = short_repr(criterion)
            raise ParameterError(f"conditions[{i}]", allowed, got, hint)


def _check_first_run(config: Config) -> None:
    if config["first_run"] and config["baseline"] is not None:
        hint = "Remove it: the conditions on changes are judged now."
        raise ParameterError("first_run", "false where there is a baseline", "true", hint)


def _check_label(label: str | None, labels: NDArray[np.str_] | None, parameter: str) -> None:
    if label is None or (labels is not None and bool((labels == label).any())):
        return
    if labels is None:
        hint = "Give labels with the anchors, or judge all of them together."
        raise ParameterError(parameter, "on anchors that have labels", "anchors without", hint)
    hint = validation.nearest(label, np.unique(labels).tolist())
    allowed = "on a label of the anchors"
    raise ParameterError(parameter, allowed, f"{short_repr(label)}, which none has", hint)


def check_baseline(
    baseline: Run, config: Config, explainer: PXGen, n_anchors: int, digest: str
) -> None:
    """Raise unless the baseline is another run of the same anchors, criteria and rule."""
    names = [criterion.name for criterion in explainer.criteria]
    before = baseline.result
    hint = "Give a run of the same anchors, criteria and rule, or none."
    if (before.criteria, before.rule, before.n) != (names, explainer.rule, n_anchors):
        allowed = f"of {n_anchors} anchors under {', '.join(names)}, rule {explainer.rule}"
        got = f"one of {before.n} anchors under {', '.join(before.criteria)}, rule {before.rule}"
        raise ParameterError("baseline", allowed, got, hint)
    if baseline.manifest["digests"].get("anchors") != digest:
        got = "one of others (their contents differ)"
        raise ParameterError("baseline", "of the same anchors", got, hint)
    if _resolved(baseline.path) == _resolved(config.output):
        hint = "Write to another output."
        raise ParameterError("baseline", "another run", "the output itself", hint)


def baseline_note(baseline: Run) -> str:
    """Return a note where the baseline did not pass its own conditions, else ""."""
    verdict, counts = overall_verdict(baseline.judgements)
    if verdict not in {"failed", "error"}:
        return ""
    states = ", ".join(f"{count:,} {state}" for state, count in counts.items())
    return (
        f"The verdict of the baseline is {verdict} ({states}): a model that is no worse than this "
        "one need not be good. Compare with a run that passed"
    )


def _resolved(place: Place) -> str:
    return str(place.resolve() if isinstance(place, Path) else place)
