"""The report of an audit: one self-contained HTML file that opens offline."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pxgen_plugins import __version__
from pxgen_plugins.anchors import open_for
from pxgen_plugins.audit.conditions import Condition
from pxgen_plugins.audit.run_folder import Run
from pxgen_plugins.audit.verdicts import Judgement, judge
from pxgen_plugins.audit.writers.base import Writer, register
from pxgen_plugins.audit.writers.report.choice_of_pictures import choose_pictures
from pxgen_plugins.audit.writers.report.page import build_report
from pxgen_plugins.explainer import PXGen
from pxgen_plugins.result import Examples, Result
from pxgen_plugins.result.assembly import examples_of
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.files import plain, write_atomic
from pxgen_plugins.utils.redaction import redact_values

__all__ = ["ReportWriter", "build_report", "write_report"]


@register("report")
class ReportWriter(Writer):
    """The page for people."""

    files = ("report.html",)

    def write(self, folder: Path, run: Run) -> None:
        """Write ``report.html``."""
        page = build_report(
            run.manifest, run.result, run.judgements, run.changes, run.evidence, run.copies
        )
        write_atomic(folder / "report.html", page.encode())


@caller("write_report")
def write_report(
    explanation: Any,
    path: str | os.PathLike[str],
    *,
    X: Any = None,
    explainer: Any = None,
    name: str = "explanation",
    conditions: Sequence[str] = (),
) -> list[Judgement]:
    """Write the report of an explanation, without an audit: one HTML file that opens offline.

    Nothing is scored again. Without ``X`` the pictures are those that the explanation keeps, of
    representatives; with it, of all anchors that the page shows.

    Args:
        explanation: As PXGen returns it, or read back from JSON, or a Result.
        path: The file; it appears whole or not at all.
        X: The anchors that were explained, to read pictures from.
        explainer: The PXGen that explained them, which reconstructs those; needed with ``X``.
        name: The title.
        conditions: What should hold, as an audit's settings say it: ``"HIHE.fraction >= 0.9"``.

    Returns:
        The judgements of the conditions, in their order.

    Raises:
        ParameterError: When a condition is none, X is of another number of anchors, or the page
            cannot be kept within 5,000,000 bytes.
        OSError: When the file cannot be written.

    Cost: O(n m) for n anchors and m criteria.

    Example:
        >>> import tempfile
        >>> from pxgen_plugins import PXGen
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> model = LinearModel()
        >>> explanation = PXGen(model).fit().explain(model.sample(50, seed=1))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     judgements = write_report(
        ...         explanation, f"{folder}/report.html", conditions=["invalid.count < 1"]
        ...     )
        >>> judgements[0].state
        'passed'
    """
    result = Result.of(explanation)
    meta: Mapping[str, Any] = getattr(explanation, "meta", None) or {}
    settings = redact_values(plain(meta.get("params") or {}))
    manifest = {"name": name, "pxgen": __version__, "n_anchors": result.n, "settings": settings}
    given = [Condition.of(one, f"conditions[{i}]") for i, one in enumerate(conditions)]
    judgements = judge(given, result)
    if X is not None:
        result = replace(result, examples=_pictures(X, explainer, result, judgements))
    write_atomic(path, build_report(manifest, result, judgements).encode())
    return judgements


def _pictures(
    X: Any, explainer: Any, result: Result, judgements: Sequence[Judgement]
) -> Examples | None:
    if not isinstance(explainer, PXGen):
        hint = "Pass explainer=, which explained X, or leave X out."
        raise ParameterError("explainer", "a PXGen, where X is given", short_repr(explainer), hint)
    scorer = explainer.scorer()
    anchors = open_for(scorer.model, X)
    if len(anchors) != result.n:
        hint = "Pass the anchors that were explained."
        raise ParameterError("X", f"the {result.n:,} anchors", f"{len(anchors):,} anchors", hint)
    chosen = choose_pictures(anchors, result, judgements, None)
    return examples_of(scorer, anchors, [chosen])
