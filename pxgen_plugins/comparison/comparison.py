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
from pxgen_plugins.comparison.cost import measure_cost
from pxgen_plugins.comparison.methods import methods_of, pxgen_outcome, run
from pxgen_plugins.comparison.outcome import Outcome, Task
from pxgen_plugins.comparison.shared_task import compare_models
from pxgen_plugins.explainer import PXGen
from pxgen_plugins.models import Model
from pxgen_plugins.result import Result
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.files import plain
from pxgen_plugins.utils.progress import bar
from pxgen_plugins.utils.text import html_page, html_table, markdown_table, number, write

__all__ = ["Comparison", "compare"]

_METHODS = ("saliency", "protodash", "latent_view")
_PICTURES = 10  # of a method, at most
_COLUMNS = ("method", "evidence", "access", "seconds", "peak_mib", "repeatable", "seed_agreement")
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
        pictures: The anchors that prototype methods and PXGen (HIHE, by selector) picked, and the
            training samples that influence methods found most helpful, at most 10 each, by label.
        agreement: Rank correlation or Jaccard index of methods of one kind, by kind, then by pair
            ("a / b").
    """

    groups: Any
    anchors: NDArray[np.float32]
    indices: NDArray[np.int64]
    reconstructions: NDArray[np.float32] | None
    outcomes: list[Outcome]
    pictures: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    agreement: dict[str, dict[str, float]] = field(default_factory=dict)

    def table(self) -> list[dict[str, Any]]:
        """Return one row per method: what it is, what it cost, how good it is, or its error."""
        return [outcome.row() for outcome in self.outcomes]

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
    methods: Sequence[Any] | Mapping[str, Any] | None = None,
    groups: Any = None,
    *,
    target: Any = None,
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
    counterfactuals) a few anchors of each group. A method that fails is a row with its error.

    Several models, as in ``compare({"VAE": vae, "DCGAN": gan}, X)``, get the same anchors and
    methods: their groups and who changes group, latent views, units and representatives next to
    each other, attributions of the same anchors, and the distances of their samples to the anchors.
    Each has its family's criteria, and all have one rule, ``Conformal(0.05, n_samples=2_000,
    joint=True)``: 95% of what a model makes is HIHE under it, so shares compare between models.

    Args:
        model: A model of :mod:`pxgen_plugins.models`, or a mapping from names to several.
        X: The anchors, as for :meth:`PXGen.explain`.
        labels: n labels, or a table's column.
        methods: Names of registered adapters, explainers (ours, Alibi's or a third party's, already
            fitted where they need more than anchors to fit), functions that make one (whose
            failure is then a row too), ``(label, method)`` pairs, ``(label, method, X)`` for one
            that explains something else than the anchors' pixels (codes, say), or a mapping from
            label to method.
            None takes saliency, ProtoDash and the latent view. For several models: names, and
            classes or functions that make an explainer of the model they are given.
        groups: A PXGen explainer (fitted or not) or an explanation of these anchors; None makes
            one with default settings. For several models: a mapping from their names.
        target: What named adapters explain, where they take a target; None takes ``"mse"``.
        n_anchors: Anchors that local methods explain, in turn one of each group; of several models,
            of each combination of groups, the most frequent one first.
        indices: Those anchors themselves, by index, in place of ``n_anchors``.
        quality: Measure quality too, which runs local methods several times more.
        columns: A table's columns of anchors, as for :meth:`PXGen.explain`.
        anchors_range: Lowest and highest value that ``X`` may hold, likewise.
        options: For several models, what differs between them: arguments of this function or of
            :class:`~pxgen_plugins.PXGen` by model's name, as in ``{"DCGAN": {"intrinsic":
            "realism", "target": "mse"}}``.
        network: For several models, what distances between their samples are measured in: from a
            batch as the first model takes it to features; None takes the elements themselves.
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
    n_anchors = validation.integer(n_anchors, "n_anchors", minimum=1)
    if isinstance(model, Mapping):
        return compare_models(
            compare,
            model,
            X,
            labels=labels,
            methods=methods,
            groups=groups,
            **({} if target is None else {"target": target}),
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
    for name, value in (("options", options), ("network", network)):
        if value is not None:
            hint = "Pass several models, as in compare({'VAE': vae, 'DCGAN': gan}, X)."
            raise ParameterError(name, "left out for a single model", short_repr(value), hint)
    if not isinstance(model, Model):
        hint = "Wrap it, as in VAE(net, sample_shape=...)."
        allowed = "a model of pxgen_plugins.models"
        raise ParameterError("model", allowed, type(model).__name__, hint)
    parsed = methods_of(_METHODS if methods is None else methods)
    anchors = open_for(model, X, labels=labels, columns=columns, anchors_range=anchors_range)
    explanation, cost = _explain_groups(model, anchors, groups, seed)
    result = Result.of(explanation)
    scorer = _scorer(model, explanation, seed)
    local = _local_anchors(result, n_anchors)
    if indices is not None:
        rows = validation.positions(indices, "indices", len(anchors))
        local = np.array(rows, dtype=np.int64)
    able = "reconstruct" in model.capabilities
    task = Task(
        model=model,
        anchors=anchors,
        local=local,
        inputs=scorer.inputs(anchors, local),
        features=_features(scorer, anchors, result),
        group=result.group,
        target="mse" if target is None else target,
        quality=quality,
        seed=seed,
    )
    outcomes = [pxgen_outcome(explanation, cost, task)]
    with bar(len(parsed), "comparing", "method", verbose) as progress:
        for method in parsed:
            outcomes.append(run(method, task))
            progress.update()
    return Comparison(
        groups=explanation,
        anchors=task.inputs,
        indices=local,
        reconstructions=scorer.reconstruct(anchors, local) if able else None,
        outcomes=outcomes,
        pictures=_pictures(scorer, anchors, result, outcomes),
        agreement=agreements(outcomes),
    )


def _explain_groups(
    model: Model, anchors: Anchors, groups: Any, seed: int
) -> tuple[Any, dict[str, float]]:
    """Return PXGen's explanation, and what it cost where it is made here."""
    if groups is not None and not isinstance(groups, PXGen):
        if evidence_of(groups) != "groups" or len(groups.group) != len(anchors):
            hint = "Pass what PXGen.explain returned for these anchors."
            allowed = f"a PXGen, or its explanation of the {len(anchors)} anchors"
            raise ParameterError("groups", allowed, type(groups).__name__, hint)
        return groups, {}
    explainer = groups if groups is not None else PXGen(model, seed=seed)
    if explainer.predictor is not model:
        hint = "Make it with the model that is compared."
        raise ParameterError("groups", "a PXGen of the same model", "another's", hint)
    with measure_cost() as cost:
        if explainer.calibration is None:
            explainer.fit()
        explanation = explainer.explain(anchors)
    return explanation, cost


def _scorer(model: Model, explanation: Any, seed: int) -> Scorer:
    """Return a scorer with the explanation's settings: shown is the reconstruction it scored."""
    params = explanation.meta.get("params", {})
    names = ("seed", "reconstruction", "precision")
    known = {name: params[name] for name in names if params.get(name) is not None}
    return Scorer(model, [], **{"seed": seed, **known})


def _local_anchors(result: Result, n: int) -> NDArray[np.int64]:
    """Take anchors in turn from each group's first selector, most representative first."""
    groups = result.groups.values()
    queues = [list(next(iter(group.representatives.values()), [])) for group in groups]
    rows: list[int] = []
    while len(rows) < n and any(queues):
        for queue in queues:
            if queue and len(rows) < n:
                rows.append(int(queue.pop(0)))
    return np.array(rows, dtype=np.int64)


def _pictures(
    scorer: Scorer, anchors: Anchors, result: Result, outcomes: list[Outcome]
) -> dict[str, NDArray[np.float32]]:
    """Return the first anchors that each selector of PXGen and each prototype method picked.

    And the training samples that influence methods found most helpful.
    """
    hihe = result.groups["HIHE"].representatives
    picks = [(f"PXGen {name}, HIHE", rows) for name, rows in hihe.items()]
    picks += [
        (outcome.label, np.asarray(outcome.explanation.data.get("indices", []), dtype=np.int64))
        for outcome in outcomes
        if outcome.evidence == "prototypes" and outcome.explanation is not None
    ]
    pictures = {
        label: scorer.inputs(anchors, rows[:_PICTURES]) for label, rows in picks if len(rows)
    }
    helpful = {f"{o.label}, most helpful": o.helpful for o in outcomes if o.helpful is not None}
    return {**pictures, **helpful}


def _features(scorer: Scorer, anchors: Anchors, result: Result) -> NDArray[np.float32]:
    """Return posterior means (or pixels) of all anchors, NaN for the invalid ones."""
    valid = np.flatnonzero(~result.is_invalid)
    latent = "encode" in scorer.model.capabilities
    known = scorer.features(anchors, valid, lambda batch: batch.mean if latent else batch.x)
    features = np.full((len(anchors), known.shape[1]), np.nan, dtype=np.float32)
    features[valid] = known
    return features


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value, 3) if isinstance(value, float) else str(value)


def _quality(row: Mapping[str, Any]) -> str:
    if row["error"]:
        return f"failed: {row['error']}"
    return ", ".join(f"{k} {_cell(v)}" for k, v in row["quality"].items() if v is not None)
