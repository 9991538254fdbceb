"""Several explainers on one model and one anchor set: one table, one figure."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors import Anchors, open_for
from pxgen_plugins.comparison.agreement import agreements
from pxgen_plugins.comparison.cost import Stopwatch
from pxgen_plugins.comparison.groups import (
    explain_groups,
    fitted_explainer,
    scorer_of,
)
from pxgen_plugins.comparison.methods import ALL, choose_methods, methods_of, pxgen_outcome, run
from pxgen_plugins.comparison.outcome import SHARED, Outcome, Task, cell_text, quality_text
from pxgen_plugins.comparison.pictures import pictures
from pxgen_plugins.comparison.preparation import (
    choose_space,
    choose_target,
    features,
    local_anchors,
    pass_seconds,
)
from pxgen_plugins.comparison.shared_task import compare_models
from pxgen_plugins.models import Model
from pxgen_plugins.models.kept_codes import keep_codes
from pxgen_plugins.result import Result
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.files import plain
from pxgen_plugins.utils.html import rows_card
from pxgen_plugins.utils.progress import bar
from pxgen_plugins.utils.text import (
    MarkdownText,
    html_page,
    html_table,
    markdown_table,
    write,
)

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


@dataclass(frozen=True, repr=False)
class Comparison(MarkdownText):
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
        columns: Names of the elements of an anchor, where it is a row of a table.
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
    columns: tuple[str, ...] = ()

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
        return [
            [*(cell_text(row[name]) for name in _COLUMNS), quality_text(row)]
            for row in self.table()
        ]


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
    indices: Any = None,
    quality: bool = True,
    columns: str | Sequence[str] | None = None,
    anchors_range: tuple[float, float] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    network: Any = None,
    seed: int = 0,
    verbose: bool = False,
) -> Any:
    """Run explainers on the same anchors and put their evidence side by side.

    Global methods (prototypes, views, effects) explain the whole set, local ones (attributions,
    counterfactuals) a few anchors of each group. A method that cannot serve the model is a row
    with the reason, one that fails a row with its error.

    Several models, as in ``compare({"VAE": vae, "DCGAN": gan}, X)``, get the same anchors and
    methods: their groups and who changes group, latent views, units and representatives next to
    each other, attributions of the same anchors, and the distances of their samples to the anchors.
    Each has its family's criteria, and all have one rule, ``Conformal(0.05, n_samples=2_000,
    joint=True)``: 95% of what a model makes is HIHE under it, so shares compare between models.

    Args:
        model: A model of :mod:`pxgen_plugins.models`, or a mapping from names to several.
        X: The anchors, as for :meth:`PXGen.explain`.
        labels: n labels, or a table's column.
        methods: Names of registered adapters, explainers (ours, Alibi's or a third party's),
            functions that make one (whose failure is then a row too), ``(label, method)`` pairs,
            ``(label, method, X)`` for one that explains something else than the anchors' pixels
            (codes, say), or a mapping from label to method. None takes an attribution, prototypes
            and a view that the model can serve; ``"all"`` every registered adapter. Of these two,
            methods that would take minutes are rows that say so. For several models: names, and
            classes or functions that make an explainer of the model they are given.
        groups: A PXGen explainer (fitted or not) or an explanation of these anchors; None makes
            one with default settings. For several models: a mapping from their names.
        target: What named adapters explain, where they take a target; None takes a criterion of
            the groups that has a gradient and is not costly, extrinsic before intrinsic.
        training: Samples that the model was trained on, for methods that learn from them. Without
            them influence methods are rows that say so: anchors are no training data.
        checkpoints: Of the training, as for VAETracIn.
        explainer: A fitted PXGen, for methods that take its thresholds where ``groups`` is an
            explanation; else the one of the groups. For several models: left out, or in options.
        n_anchors: Anchors that local methods explain, in turn one of each group; of several
            models, of each combination of groups, the most frequent one first.
        indices: Those anchors themselves, by index, in place of ``n_anchors``.
        quality: Measure quality too, which runs local methods several times more.
        columns: A table's columns of anchors, as for :meth:`PXGen.explain`.
        anchors_range: Lowest and highest value that ``X`` may hold, likewise.
        options: For several models, what differs between them: arguments of this function or of
            :class:`~pxgen_plugins.PXGen` by model's name, as in ``{"DCGAN": {"intrinsic":
            "realism", "target": "mse"}}``.
        network: For several models, what distances between their samples are measured in: from a
            batch as the first model takes it to features; None takes the elements
            themselves, of tables their own features.
        seed: Seed of adapters made here and of the measures.
        verbose: Show progress on stderr.

    Returns:
        A :class:`Comparison`; a :class:`~pxgen_plugins.comparison.ModelComparison` of several
        models.

    Raises:
        ParameterError: When ``model`` is no model, ``groups`` are another model's or other
            anchors', labels of methods do not differ, or an index is no anchor's.
        AnchorError: When the anchors do not fit the model.
    """
    whole, shared = Stopwatch(), Stopwatch()
    n_anchors = validation.integer(n_anchors, "n_anchors", minimum=1)
    if isinstance(model, Mapping):
        if explainer is not None:
            hint = "Pass groups={'VAE': explainer}, or options={'VAE': {'explainer': explainer}}."
            allowed = "left out for several models"
            raise ParameterError("explainer", allowed, type(explainer).__name__, hint)
        with whole.running():
            several = compare_models(
                compare,
                model,
                X,
                labels=labels,
                methods=methods,
                groups=groups,
                target=target,
                training=training,
                checkpoints=checkpoints,
                n_anchors=n_anchors,
                indices=indices,
                quality=quality,
                columns=columns,
                anchors_range=anchors_range,
                options=options,
                network=network,
                seed=seed,
                verbose=verbose,
            )
        return replace(several, seconds=whole.seconds)
    for name, value in (("options", options), ("network", network)):
        if value is not None:
            hint = "Pass several models, as in compare({'VAE': vae, 'DCGAN': gan}, X)."
            raise ParameterError(name, "left out for a single model", short_repr(value), hint)
    if not isinstance(model, Model):
        hint = "Wrap it, as in VAE(net, sample_shape=...)."
        allowed = "a model of pxgen_plugins.models"
        raise ParameterError("model", allowed, type(model).__name__, hint)
    automatic = methods is None or (isinstance(methods, str) and methods == ALL)
    parsed = [] if automatic else methods_of(methods)
    with keep_codes(), whole.running():
        with shared.running():
            anchors = open_for(
                model, X, labels=labels, columns=columns, anchors_range=anchors_range
            )
        explanation, fitted, cost = explain_groups(model, anchors, groups, seed)
        with shared.running():
            given = {
                "explainer": fitted_explainer(explainer, fitted, model),
                "training": training,
                "checkpoints": checkpoints,
            }
            task = _prepare(
                model, anchors, explanation, n_anchors, indices, target, quality, seed, given
            )
            task.pass_seconds.update({k: v for k, v in cost.items() if k == "score"})
            parsed = choose_methods(methods, task) if automatic else parsed
        outcomes = [pxgen_outcome(explanation, cost, task)]
        with bar(len(parsed), "comparing", "method", verbose) as progress:
            for method in parsed:
                outcomes.append(run(method, task))
                progress.update()
        with shared.running():
            scorer, result = scorer_of(model, explanation, seed), Result.of(explanation)
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
        columns=tuple(column.name for column in getattr(model, "columns", ())),
    )


def _prepare(
    model: Model,
    anchors: Anchors,
    explanation: Any,
    n_anchors: int,
    indices: Any,
    target: Any,
    quality: bool,
    seed: int,
    given: Mapping[str, Any],
) -> Task:
    """Return what all methods share; ``given`` is what only some of them take."""
    scorer, result = scorer_of(model, explanation, seed), Result.of(explanation)
    local = local_anchors(result, n_anchors)
    if indices is not None:
        rows = validation.positions(indices, "indices", len(anchors))
        local = np.array(rows, dtype=np.int64)
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
