"""Is this explanation true of this model: sanity checks on one card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from pxgen_plugins import validation
from pxgen_plugins.errors import ParameterError, describe
from pxgen_plugins.evaluation import checks as registry
from pxgen_plugins.evaluation.checks import Context, Row
from pxgen_plugins.evaluation.checks.context import STATES
from pxgen_plugins.explainer import PXGen
from pxgen_plugins.progress import bar

__all__ = ["Scorecard", "evaluate"]


@dataclass(frozen=True)
class Scorecard:
    """What the checks measured.

    Attributes:
        rows: One per measured number (see :class:`~pxgen_plugins.evaluation.checks.Row`).
        about: The explainer's settings, the number of anchors and the seeds.
    """

    rows: list[Row]
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether no check failed and one passed at least; skipped ones count as neither."""
        states = {row.state for row in self.rows}
        return "failed" not in states and "passed" in states

    def table(self) -> list[dict[str, Any]]:
        """Return one dict per row."""
        return [row.as_dict() for row in self.rows]

    def counts(self) -> dict[str, int]:
        """Return how many rows are in each state."""
        return {state: sum(row.state == state for row in self.rows) for state in STATES}

    def to_markdown(self) -> str:
        """Return the rows as a Markdown table."""
        lines = ["| check | case | measure | value | expected | state | note |", "|---" * 7 + "|"]
        for row in self.rows:
            value = "" if row.value is None else f"{row.value:.3f}"
            cells = [row.check, row.case, row.measure, value, expected(row), row.state, row.note]
            shown = [cell.replace("|", "\\|").replace("\n", " ") for cell in cells]
            lines.append("| " + " | ".join(shown) + " |")
        return "\n".join(lines) + "\n"

    def to_json(self) -> str:
        """Return the card as strict JSON; :meth:`from_json` reads it back."""
        content = {"passed": self.passed, "rows": self.table(), "about": self.about}
        return json.dumps(content, allow_nan=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Scorecard:
        """Return the card that :meth:`to_json` wrote.

        Raises:
            ParameterError: When ``text`` is something else.
        """
        try:
            content = json.loads(text)
            return cls([Row(**row) for row in content["rows"]], dict(content["about"]))
        except (ValueError, TypeError, KeyError) as error:
            do = f"Give what Scorecard.to_json returned ({type(error).__name__})."
            allowed = "a scorecard's JSON"
            raise ParameterError(
                "text", "Scorecard.from_json", allowed, describe(text), do
            ) from error

    def plot(self, **options: Any) -> NDArray[Any]:
        """Draw the card (see :func:`pxgen_plugins.plots.plot_scorecard`)."""
        from pxgen_plugins.plots import plot_scorecard

        return plot_scorecard(self, **options)


def expected(row: Row) -> str:
    """Return what a row's value should be, in words."""
    if row.low is not None and row.high is not None:
        return f"{row.low:.3g} to {row.high:.3g}"
    if row.low is not None:
        return f"at least {row.low:.3g}"
    return "" if row.high is None else f"at most {row.high:.3g}"


def evaluate(
    explainer: PXGen,
    X: Any,
    labels: Any = None,
    *,
    checks: Sequence[str] | None = None,
    training: Any = None,
    out_of_domain: Mapping[str, Any] | None = None,
    n_seeds: int = 3,
    seed: int = 0,
    verbose: bool = False,
) -> Scorecard:
    """Run sanity checks on a fitted explainer and its anchors.

    The checks are listed by ``pxgen_plugins.evaluation.checks.names()``: ``randomisation`` (groups
    must depend on the weights), ``calibration_seeds`` (and not on the samples behind the
    thresholds), ``perturbations`` (and change little for little), ``planted`` (and put anchors of
    known kinds where they belong). The model is left as it was: checks change copies.

    Args:
        explainer: A fitted :class:`~pxgen_plugins.PXGen`.
        X: The n anchors, anything ``explain`` takes; a few thousand are enough.
        labels: Their labels; no check uses them yet, but checks of yours may.
        checks: Names of the checks to run; None runs all.
        training: Data that the model was trained on, if at hand.
        out_of_domain: Anchor sets that the model cannot know, by name.
        n_seeds: Repetitions of what is drawn.
        seed: Seed of everything drawn.
        verbose: Show progress bars on stderr.

    Returns:
        The scorecard.

    Raises:
        NotFittedError: Before ``fit``.
        ParameterError: When a check is unknown, ``X`` is empty, or it is no PXGen explainer.
        AnchorError: When the anchors do not fit the model.

    Cost: about 8 + n_seeds calibrations with 3 repeats and n_seeds with all; 20 passes over the
    anchors.

    Example:
        >>> import torch
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> from pxgen_plugins.thresholds import Quantile
        >>> explainer = PXGen(LinearModel(), threshold=Quantile(0.9, 200, 2)).fit()
        >>> card = evaluate(explainer, LinearModel().sample(50, seed=1), checks=["planted"])
        >>> card.rows[0].case, card.rows[0].state
        ("the model's own samples", 'passed')
    """
    where = "evaluate"
    if not isinstance(explainer, PXGen):
        do = "Make one: PXGen(model).fit()."
        raise ParameterError("explainer", where, "a PXGen explainer", describe(explainer), do)
    known = registry.names()
    wanted = known if checks is None else list(checks)
    for name in wanted:
        validation.choice(name, "checks", where, known)
    context = Context(
        explainer,
        X,
        labels,
        training=training,
        out_of_domain=dict(out_of_domain or {}),
        n_seeds=validation.integer(n_seeds, "n_seeds", where, minimum=1),
        seed=validation.integer(seed, "seed", where, minimum=0),
    )
    if not len(context.anchors):
        raise ParameterError("X", where, "at least one anchor", "none", "Give some anchors.")
    rows: list[Row] = []
    with bar(len(wanted), "checking", "check", verbose) as progress:
        for name in wanted:
            rows += registry.get(name)(context)
            progress.update()
    about = {
        "explainer": explainer.meta["params"],
        "n_anchors": len(context.anchors),
        "n_seeds": n_seeds,
        "seed": seed,
        "groups": context.shares(context.codes),
    }
    return Scorecard(rows, about)
