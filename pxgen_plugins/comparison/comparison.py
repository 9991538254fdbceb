"""Several explainers on one model and one anchor set: one table, one figure."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors import Anchors, open_for
from pxgen_plugins.comparison.agreement import agreements, evidence_of
from pxgen_plugins.comparison.cost import Stopwatch, measure_cost
from pxgen_plugins.comparison.methods import ALL, choose_methods, methods_of, pxgen_outcome, run
from pxgen_plugins.comparison.outcome import SHARED, Outcome, Task
from pxgen_plugins.comparison.pictures import pictures
from pxgen_plugins.comparison.preparation import (
    choose_space,
    choose_target,
    features,
    local_anchors,
    pass_seconds,
)
from pxgen_plugins.explainer import PXGen
from pxgen_plugins.models import Model
from pxgen_plugins.result import Result
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller
from pxgen_plugins.utils.files import plain
from pxgen_plugins.utils.html import rows_card
from pxgen_plugins.utils.progress import bar
from pxgen_plugins.utils.text import html_page, html_table, markdown_table, number, write

__all__ = ["Comparison", "compare"]

_COLUMNS = (
    "method",
    "evidence",
    "access",
    "seconds",
    "quality_seconds",
    "peak_mib",
    "repeatable",
    "seed_agreement",
)
_HEAD = (*_COLUMNS, "quality")


@dataclass(frozen=True)
class Comparison:
    """What several explainers say of the same anchors.

    Attributes:
        groups: PXGen's explanation of all anchors.
        anchors: The chosen anchors that local methods explained, as the model takes them,
            (a, *sample_shape); ``indices`` are theirs in the anchor set.
        indices: int64 (a,).
        reconstructions: Of the chosen anchors, or None.
        outcomes: One per method, in the order they were given.
        pictures: The anchors that prototype methods and PXGen (HIHE and HILE, by selector) picked,
            and the training samples that influence methods found most helpful, at most 10 each, by
            label.
        agreement: Rank correlation or Jaccard index of methods of one kind, by kind, then by pair
            ("a / b").
        shared_seconds: Wall time of what belongs to no method: anchors, codes, costs, pictures.
        seconds: Wall time of everything.
    """

    groups: Any
    anchors: NDArray[np.float32]
    indices: NDArray[np.int64]
    reconstructions: NDArray[np.float32] | None
    outcomes: list[Outcome]
    pictures: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    agreement: dict[str, dict[str, float]] = field(default_factory=dict)
    shared_seconds: float | None = None
    seconds: float | None = None

    def table(self) -> list[dict[str, Any]]:
        """Return one row per method: what it is, what it cost, how good it is, or why it is not.

        ``status`` is ``"ran"``, ``"cannot"`` (``reason`` says why) or ``"failed"`` (``error`` says
        how). The last row, "shared work", is the time that belongs to no method; ``seconds`` and
        ``quality_seconds`` of all rows add up to the comparison's own.
        """
        rows = [outcome.row() for outcome in self.outcomes]
        if self.shared_seconds is None:
            return rows
        return [*rows, Outcome(SHARED, seconds=self.shared_seconds).row()]

    def plot(self, **options: Any) -> NDArray[Any]:
        """Draw the comparison (see :func:`pxgen_plugins.plots.plot_comparison`)."""
        from pxgen_plugins.plots import plot_comparison

        return plot_comparison(self, **options)

    def to_json(self) -> str:
        """Return table, agreement and all explanations as strict JSON."""
        content = {
            "table": plain(self.table()),
            "agreement": plain(self.agreement),
            "indices": self.indices.tolist(),
            "seconds": self.seconds,
            "explanations": {
                o.label: plain(json.loads(o.explanation.to_json()))
                for o in self.outcomes
                if o.explanation is not None
            },
        }
        return json.dumps(content, allow_nan=False)

    def to_markdown(self) -> str:
        """Return the table, and the agreement below it, as Markdown."""
        lines = markdown_table(_HEAD, self._cells())
        for kind, pairs in self.agreement.items():
            lines += ["", f"Agreement, {kind}:", ""]
            lines += [f"- {pair}: {value:.2f}" for pair, value in pairs.items()]
        return "\n".join(lines) + "\n"

    def to_html(self) -> str:
        """Return the same as one self-contained page; names are escaped."""
        agreement = "".join(
            f"<h2>Agreement, {html.escape(kind)}</h2><ul>"
            + "".join(f"<li>{html.escape(p)}: {v:.2f}</li>" for p, v in pairs.items())
            + "</ul>"
            for kind, pairs in self.agreement.items()
        )
        return html_page("Comparison", html_table(_HEAD, self._cells()) + agreement)

    def _repr_html_(self) -> str:
        notes = [
            f"Agreement, {kind}: "
            + ", ".join(f"{pair} {value:.2f}" for pair, value in pairs.items())
            for kind, pairs in self.agreement.items()
        ]
        return rows_card("Comparison", self._cells(), notes, _HEAD)

    @caller("Comparison.write")
    def write(self, path: str | os.PathLike[str]) -> None:
        """Write ``.json``, ``.md`` or ``.html``, by the suffix; the file appears whole.

        Raises:
            ParameterError: For another suffix.
        """
        writers = {".json": self.to_json, ".md": self.to_markdown, ".html": self.to_html}
        write(path, writers)

    def _cells(self) -> list[list[str]]:
        return [[*(_cell(row[name]) for name in _COLUMNS), _quality(row)] for row in self.table()]


@caller("compare")
def compare(
    model: Any,
    X: Any,
    labels: Any = None,
    methods: Sequence[Any] | Mapping[str, Any] | str | None = None,
    groups: Any = None,
    *,
    target: Any = None,
    training: Any = None,
    checkpoints: Any = None,
    explainer: Any = None,
    n_anchors: int = 4,
    quality: bool = True,
    columns: str | Sequence[str] | None = None,
    anchors_range: tuple[float, float] | None = None,
    seed: int = 0,
    verbose: bool = False,
) -> Comparison:
    """Run explainers on the same anchors and put their evidence side by side.

    Global methods (prototypes, views, effects) explain the whole set, local ones (attributions,
    counterfactuals) a few anchors of each group. A method that cannot serve the model is a row
    with the reason, one that fails a row with its error.

    Args:
        model: A model of :mod:`pxgen_plugins.models`.
        X: The anchors, as for :meth:`PXGen.explain`.
        labels: n labels, or a table's column.
        methods: Names of registered adapters, explainers (ours, Alibi's or a third party's),
            functions that make one (whose failure is then a row too), ``(label, method)`` pairs,
            ``(label, method, X)`` for one that explains something else than the anchors' pixels
            (codes, say), or a mapping from label to method. None takes an attribution, prototypes
            and a view that the model can serve; ``"all"`` every registered adapter. Of these two,
            methods that would take minutes are rows that say so.
        groups: A PXGen explainer (fitted or not) or an explanation of these anchors; None makes
            one with default settings.
        target: What named adapters explain, where they take a target; None takes a criterion of
            the groups that has a gradient and is not costly, extrinsic before intrinsic.
        training: Samples that the model was trained on, for methods that learn from them. Without
            them influence methods are rows that say so: anchors are no training data.
        checkpoints: Of the training, as for VAETracIn.
        explainer: A fitted PXGen, for methods that take its thresholds where ``groups`` is an
            explanation; else the one of the groups.
        n_anchors: Anchors that local methods explain, in turn one of each group.
        quality: Measure quality too, which runs local methods several times more.
        columns: A table's columns of anchors, as for :meth:`PXGen.explain`.
        anchors_range: Lowest and highest value that ``X`` may hold, likewise.
        seed: Seed of adapters made here and of the measures.
        verbose: Show progress on stderr.

    Returns:
        A :class:`Comparison`.

    Raises:
        ParameterError: When ``model`` is no model, ``groups`` are another model's or other
            anchors', or labels of methods do not differ.
        AnchorError: When the anchors do not fit the model.
    """
    whole, shared = Stopwatch(), Stopwatch()
    n_anchors = validation.integer(n_anchors, "n_anchors", minimum=1)
    if not isinstance(model, Model):
        hint = "Wrap it, as in VAE(net, sample_shape=...)."
        allowed = "a model of pxgen_plugins.models"
        raise ParameterError("model", allowed, type(model).__name__, hint)
    automatic = methods is None or (isinstance(methods, str) and methods == ALL)
    parsed = [] if automatic else methods_of(methods)
    with whole.running():
        with shared.running():
            anchors = open_for(
                model, X, labels=labels, columns=columns, anchors_range=anchors_range
            )
        explanation, fitted, cost = _explain_groups(model, anchors, groups, seed)
        with shared.running():
            given = {
                "explainer": _fitted(explainer, fitted, model),
                "training": training,
                "checkpoints": checkpoints,
            }
            task = _prepare(model, anchors, explanation, n_anchors, target, quality, seed, given)
            task.pass_seconds.update({k: v for k, v in cost.items() if k == "score"})
            parsed = choose_methods(methods, task) if automatic else parsed
        outcomes = [pxgen_outcome(explanation, cost, task)]
        with bar(len(parsed), "comparing", "method", verbose) as progress:
            for method in parsed:
                outcomes.append(run(method, task))
                progress.update()
        with shared.running():
            scorer, result = _scorer(model, explanation, seed), Result.of(explanation)
            able = "reconstruct" in model.capabilities
            reconstructions = scorer.reconstruct(anchors, task.local) if able else None
            shown = pictures(scorer, anchors, result, outcomes)
            agreement = agreements(outcomes)
    return Comparison(
        groups=explanation,
        anchors=task.inputs,
        indices=task.local,
        reconstructions=reconstructions,
        outcomes=outcomes,
        pictures=shown,
        agreement=agreement,
        shared_seconds=shared.seconds,
        seconds=whole.seconds,
    )


def _prepare(
    model: Model,
    anchors: Anchors,
    explanation: Any,
    n_anchors: int,
    target: Any,
    quality: bool,
    seed: int,
    given: Mapping[str, Any],
) -> Task:
    """Return what all methods share; ``given`` is what only some of them take."""
    scorer, result = _scorer(model, explanation, seed), Result.of(explanation)
    local = local_anchors(result, n_anchors)
    inputs = scorer.inputs(anchors, local)
    if target is None:
        fitted = given["explainer"]  # its criteria know what they learned
        criteria = result.criteria if fitted is None else fitted.criteria
        target = choose_target(model, criteria, inputs, seed)
    costs = pass_seconds(model, target, inputs, seed)
    space, note = choose_space(model, len(anchors), costs.get("embed"))
    return Task(
        model=model,
        anchors=anchors,
        local=local,
        inputs=inputs,
        features=features(scorer, anchors, result, space),
        group=result.group,
        target=target,
        quality=quality,
        seed=seed,
        space=space,
        space_note=note,
        pass_seconds=costs,
        **given,
    )


def _explain_groups(
    model: Model, anchors: Anchors, groups: Any, seed: int
) -> tuple[Any, PXGen | None, dict[str, float]]:
    """Return PXGen's explanation, and by whom and at what cost where it is made here."""
    if groups is not None and not isinstance(groups, PXGen):
        if evidence_of(groups) != "groups" or len(groups.group) != len(anchors):
            hint = "Pass what PXGen.explain returned for these anchors."
            allowed = f"a PXGen, or its explanation of the {len(anchors)} anchors"
            raise ParameterError("groups", allowed, type(groups).__name__, hint)
        return groups, None, {}
    explainer = groups if groups is not None else PXGen(model, seed=seed)
    if explainer.predictor is not model:
        hint = "Make it with the model that is compared."
        raise ParameterError("groups", "a PXGen of the same model", "another's", hint)
    watch = Stopwatch()
    with measure_cost() as cost:
        if explainer.calibration is None:
            explainer.fit()
        with watch.running():
            explanation = explainer.explain(anchors)
    return explanation, explainer, {**cost, "score": watch.seconds / max(1, len(anchors))}


def _fitted(explainer: Any, own: PXGen | None, model: Model) -> PXGen | None:
    """Return the fitted PXGen whose thresholds methods may take, or None.

    Raises:
        ParameterError: When the one given is no fitted PXGen of this model.
    """
    if explainer is None:
        return own
    good = isinstance(explainer, PXGen) and explainer.calibration is not None
    if not good or explainer.predictor is not model:
        hint = "Pass PXGen(model).fit()."
        allowed = "a fitted PXGen of the same model"
        raise ParameterError("explainer", allowed, type(explainer).__name__, hint)
    fitted: PXGen = explainer
    return fitted


def _scorer(model: Model, explanation: Any, seed: int) -> Scorer:
    """Return a scorer with the explanation's settings: shown is the reconstruction it scored."""
    params = explanation.meta.get("params", {})
    names = ("seed", "reconstruction", "precision")
    known = {name: params[name] for name in names if params.get(name) is not None}
    return Scorer(model, [], **{"seed": seed, **known})


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value, 3) if isinstance(value, float) else str(value)


def _quality(row: Mapping[str, Any]) -> str:
    if row["error"]:
        return f"failed: {row['error']}"
    if row["reason"]:
        return f"cannot: {row['reason']}"
    measures = ", ".join(f"{k} {_cell(v)}" for k, v in row["quality"].items() if v is not None)
    return "; ".join(filter(None, [measures, row["note"]]))
