"""Scorecard: sanity checks of a fitted explainer, and their results."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from pxgen_plugins.estimate import warn_if_long
from pxgen_plugins.evaluation import checks as registry
from pxgen_plugins.evaluation.checks import STATES, Context, Row
from pxgen_plugins.explainer import PXGen
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.progress import bar
from pxgen_plugins.utils.text import MarkdownText, write

__all__ = ["Scorecard", "evaluate"]

_FORMAT = "pxgen scorecard 1"


@dataclass(frozen=True, repr=False)
class Scorecard(MarkdownText):
    """Results of the checks.

    Attributes:
        rows: One per measured number (see :class:`~pxgen_plugins.evaluation.checks.Row`).
        about: The explainer's settings, model, thresholds and groups; how many anchors; the seeds.
    """

    rows: list[Row]
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether no row failed and one passed at least; rows that judge nothing do not count."""
        states = {row.state for row in self.rows}
        return "failed" not in states and "passed" in states

    @property
    def failed(self) -> list[Row]:
        """The rows that failed."""
        return [row for row in self.rows if row.state == "failed"]

    def table(self) -> list[dict[str, Any]]:
        """Return one dict per row."""
        return [row.as_dict() for row in self.rows]

    def counts(self) -> dict[str, int]:
        """Return how many rows are in each state."""
        return {state: sum(row.state == state for row in self.rows) for state in STATES}

    def plot(self, **options: Any) -> NDArray[Any]:
        """Draw the card (see :func:`pxgen_plugins.plots.plot_scorecard`)."""
        from pxgen_plugins.plots import plot_scorecard

        return plot_scorecard(self, **options)

    def to_markdown(self) -> str:
        """Return the rows as a Markdown table."""
        from pxgen_plugins.evaluation.scorecard_text import markdown

        return markdown(self)

    def to_html(self) -> str:
        """Return the same as one self-contained page; names are escaped."""
        from pxgen_plugins.evaluation.scorecard_text import page

        return page(self)

    def _repr_html_(self) -> str:
        from pxgen_plugins.evaluation.scorecard_text import card_html

        return card_html(self)

    def to_json(self) -> str:
        """Return the card as strict JSON; :meth:`from_json` reads it back."""
        content = {
            "format": _FORMAT,
            "passed": self.passed,
            "rows": self.table(),
            "about": self.about,
        }
        return json.dumps(content, allow_nan=False, indent=1)

    @classmethod
    @caller("Scorecard.from_json")
    def from_json(cls, text: str) -> Scorecard:
        """Return the card that :meth:`to_json` wrote.

        Raises:
            ParameterError: When ``text`` is something else.
        """
        try:
            content = json.loads(text, parse_constant=_refuse)
            if content["format"] != _FORMAT:
                raise ValueError(f"format {content['format']!r}")
            return cls([Row.from_dict(row) for row in content["rows"]], dict(content["about"]))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            hint = f"Give what Scorecard.to_json returned; this failed: {error!r}."
            allowed = "a scorecard's JSON"
            raise ParameterError("text", allowed, short_repr(text), hint) from error

    @caller("Scorecard.write")
    def write(self, path: str | os.PathLike[str]) -> None:
        """Write ``.json``, ``.md`` or ``.html``, by the suffix; the file appears whole.

        Raises:
            ParameterError: For another suffix.
        """
        writers = {".json": self.to_json, ".md": self.to_markdown, ".html": self.to_html}
        write(path, writers)


@caller("evaluate")
def evaluate(
    explainer: PXGen,
    X: Any,
    labels: Any = None,
    *,
    checks: Sequence[str] | None = None,
    training: Any = None,
    held_out: Any = None,
    out_of_domain: Mapping[str, Any] | None = None,
    n_seeds: int = 3,
    seed: int = 0,
    verbose: bool = False,
) -> Scorecard:
    """Run sanity checks on a fitted explainer and its anchors.

    The checks are listed by ``pxgen_plugins.evaluation.checks.names()``:

    - ``randomisation``: groups must depend on the weights,
    - ``calibration_seeds``: but not on the samples behind the thresholds;
    - ``perturbations``: they must change little when anchors change little;
    - ``known_groups``: anchors of known kinds must fall into the groups where they belong, in the
      share that the threshold rule promises;
    - ``memory``: the model must not give training data back, where ``training`` and ``held_out``
      are given (see :func:`pxgen_plugins.evaluation.copies`).

    The model is left as it was. While ``randomisation`` runs, its weights are permuted, so no other
    thread may use it.

    No number depends on the order of the anchors, except where ``reconstruction="sample"`` draws by
    position; anchors whose values are not finite are left out, with a warning.

    Args:
        explainer: A fitted :class:`~pxgen_plugins.PXGen`.
        X: The n anchors, anything ``explain`` takes; a few thousand are enough.
        labels: n labels; how far each label's share in HIHE moves with the seed is then reported.
        checks: Names of the checks to run; None runs all.
        training: Data that the model was trained on, if at hand.
        held_out: Data of the same source that it was not trained on, if at hand.
        out_of_domain: Anchor sets that the model cannot know, by name.
        n_seeds: Repetitions of what is drawn.
        seed: Seed of everything drawn.
        verbose: Show a progress bar on stderr.

    Returns:
        The scorecard.

    Raises:
        NotFittedError: Before ``fit``.
        ParameterError: When a check is unknown, or it is no PXGen explainer.
        AnchorError: When the anchors do not fit the model, or none has finite values.

    Cost: ``n_seeds`` calibrations, and 8 + ``n_seeds`` of at most 3 repeats; about 20 + 2
    ``n_seeds`` passes over the anchors, in memory of one batch. A warning says how long the
    calibrations take where that is beyond ten minutes.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> from pxgen_plugins.thresholds import Quantile
        >>> explainer = PXGen(LinearModel(), threshold=Quantile(0.9, 200, 2)).fit()
        >>> card = evaluate(explainer, LinearModel().sample(50, seed=1), checks=["known_groups"])
        >>> card.rows[0].case, card.rows[0].state
        ("the model's own samples", 'passed')
    """
    if not isinstance(explainer, PXGen):
        hint = "Make one: PXGen(model).fit()."
        raise ParameterError("explainer", "a PXGen explainer", short_repr(explainer), hint)
    names = _check_names(checks)
    if out_of_domain is not None and not isinstance(out_of_domain, Mapping):
        hint = "Give each set a name, as in out_of_domain={'cars': X}."
        got = short_repr(out_of_domain)
        raise ParameterError("out_of_domain", "a mapping from name to anchors", got, hint)
    context = Context(
        explainer,
        X,
        labels,
        training=training,
        held_out=held_out,
        out_of_domain=out_of_domain,
        n_seeds=validation.integer(n_seeds, "n_seeds", minimum=1),
        seed=validation.integer(seed, "seed", minimum=0),
    )
    _warn_if_long(context, names)
    rows: list[Row] = []
    with bar(len(names), "checking", "check", verbose) as progress:
        for name in names:
            rows += registry.get(name)(context)
            progress.update()
    calibration = context.calibration
    about = {
        "explainer": explainer.meta["params"],
        "model": type(explainer.predictor).__name__,
        "thresholds": dict(zip(calibration.names, calibration.thresholds.tolist(), strict=True)),
        "n_anchors": len(context.anchors),
        "n_invalid": context.n_invalid,
        "groups": context.shares(context.codes),
        "checks": names,
        "n_seeds": n_seeds,
        "seed": seed,
    }
    return Scorecard(
        rows, json.loads(json.dumps(about, default=str), parse_constant=lambda _: None)
    )


def _warn_if_long(context: Context, names: Sequence[str]) -> None:
    """Warn when the calibrations of the checks will take over ten minutes."""
    explainer, parts = context.explainer, context.explainer.reference
    rule = explainer.threshold
    data = None if parts is None else parts.thresholds or parts.learning
    repeats = int(getattr(rule, "n_repeats", 1)) or 1
    # of the randomised models at most three repeats are drawn
    few = (8 + context.n_seeds) * min(3, repeats) / repeats
    calibrations = {"calibration_seeds": context.n_seeds, "randomisation": few}
    times = sum(calibrations.get(name, 0) for name in names)
    hint = "Pass n_seeds=1, or the checks that you need, as in checks=['known_groups']."
    n = 0 if data is None else len(data)
    warn_if_long("evaluate", context.scorer, rule, data, n, times, hint)


def _check_names(checks: Sequence[str] | None) -> list[str]:
    known = registry.names()
    if checks is None:
        return known
    if isinstance(checks, str) or not isinstance(checks, Sequence) or not len(checks):
        hint = f"Name some, as in checks=[{known[0]!r}], or leave it out for all."
        allowed = "a sequence of names of checks, or None"
        raise ParameterError("checks", allowed, short_repr(checks), hint)
    return [validation.choice(name, "checks", known) for name in checks]


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
