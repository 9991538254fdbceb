"""Representatives of groups: which selectors, in which space, with which anchors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins import selection
from pxgen_plugins.anchors import Anchors
from pxgen_plugins.models.base import capabilities, require
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.large_arrays import from_blocks, std, take

__all__ = ["SPACES", "Choice", "parse", "select"]

_OF_EVERY_SELECTOR = ("X", "k", "start", "seed")
SPACES = ("criterion", "latent", "pixel", "anchor_value")


@dataclass(frozen=True)
class Choice:
    """A selector with its settings.

    Attributes:
        label: Name in the results.
        selector: The function.
        space: Name of the feature space, or a callable from model inputs to features.
        standardize: Whether features are scaled to unit variance within a group; None does so in
            criterion space, where units differ.
        lowest: Whether it starts at the member with the lowest anchor value.
        options: Further arguments of the selector.
    """

    label: str
    selector: Callable[..., selection.Selection]
    space: str | Callable[[Any], Any]
    standardize: bool | None
    lowest: bool = False
    options: dict[str, Any] = field(default_factory=dict)


def parse(
    selectors: Any, space: Any = "criterion", standardize: bool | None = None
) -> list[Choice]:
    """Return the selectors that ``selectors`` stands for.

    Args:
        selectors: A name, or a sequence of names, mappings (``{"name": "k_center", "outliers": 5,
            "space": "latent", "label": "core"}``) and functions like those of
            :mod:`pxgen_plugins.selection`.
            ``outliers`` is cut, group by group, to what the group has beyond the wanted number.
        space: Space of those that name none: ``"criterion"``, ``"latent"`` (codes),
            ``"pixel"`` (the elements; of a table, its own features), ``"anchor_value"``, or a
            callable from a batch as the model takes it to features with one row per anchor.
        standardize: See :class:`Choice`.

    Raises:
        ParameterError: When a selector, an option or a space is not known, or a label occurs twice.

    Example:
        >>> [choice.label for choice in parse(["k_center", {"name": "top", "label": "best"}])]
        ['k_center', 'best']
    """
    single = isinstance(selectors, (str, Mapping)) or callable(selectors)
    specs = [selectors] if single else selectors
    if not isinstance(specs, Sequence):
        allowed = "a sequence of names, mappings or functions"
        hint = "Registered names: " + ", ".join(selection.names()) + "."
        raise ParameterError("selectors", allowed, short_repr(selectors), hint)
    choices = [_choice(spec, space, standardize) for spec in specs]
    labels = [choice.label for choice in choices]
    for label in labels:
        if labels.count(label) > 1:
            hint = "Give each its own 'label'."
            raise ParameterError("selectors", "of different labels", repr(label), hint)
    return choices


def select(
    choices: Sequence[Choice],
    members: NDArray[np.int64],
    k: int,
    *,
    values: NDArray[np.float64],
    anchor_value: NDArray[np.float64],
    scorer: Scorer,
    anchors: Anchors,
) -> tuple[dict[str, NDArray[np.int64]], dict[str, dict[str, float | None]]]:
    """Return the representatives of one group, and how good each selection is.

    k-dispersion starts at the member with the lowest anchor value, as the paper's code does; the
    others where their own default says.

    Args:
        choices: The selectors.
        members: Indices of the group in the anchor set, (c,).
        k: Representatives wanted; a smaller group gives all its members.
        values: Criterion values of all anchors, (n, m).
        anchor_value: Anchor values of all anchors, (n,).
        scorer: Computes features.
        anchors: The anchor set.

    Returns:
        Indices into the anchor set by label, and objective and lower bound by label.
    """
    chosen: dict[str, NDArray[np.int64]] = {}
    quality: dict[str, dict[str, float | None]] = {}
    features: dict[Any, NDArray[Any]] = {}
    if not len(members):
        empty = {choice.label: np.empty(0, dtype=np.int64) for choice in choices}
        return empty, {label: {"objective": None, "lower_bound": None} for label in empty}
    start = int(np.argmin(take(anchor_value, members)))
    for choice in choices:
        key = choice.space
        if key not in features:
            features[key] = _features(choice.space, members, values, anchor_value, scorer, anchors)
        matrix = features[key]
        if choice.standardize or (choice.standardize is None and choice.space == "criterion"):
            matrix = _standardize(matrix)
        options = dict(choice.options)
        if "outliers" in options:  # a small group cannot leave out more than it does not need
            spare = len(members) - min(k, len(members))
            options["outliers"] = min(options["outliers"], spare)
        result = choice.selector(
            matrix,
            min(k, len(members)),
            start=start if choice.lowest else None,
            seed=scorer.seed,
            **options,
        )
        chosen[choice.label] = members[result.indices]
        quality[choice.label] = {
            "objective": float(result.objective),
            "lower_bound": None if result.lower_bound is None else float(result.lower_bound),
        }
    return chosen, quality


def _choice(spec: Any, space: Any, standardize: bool | None) -> Choice:
    lowest = False
    options: dict[str, Any] = {}
    if callable(spec):
        selector = spec
        name = getattr(spec, "__name__", type(spec).__name__)
    else:
        selector, options = selection.REGISTRY.parse(spec, "selectors")
        name = spec if isinstance(spec, str) else spec["name"]
        preferred = selection.properties(name).space
        lowest = selection.properties(name).starts_lowest
        space = space if preferred is None else preferred
    label = str(options.pop("label", name))
    space = options.pop("space", space)
    standardize = options.pop("standardize", standardize)
    with caller(f"selector {label!r}"):
        if not callable(space):
            validation.choice(space, "space", SPACES)
        if standardize is not None:
            validation.boolean(standardize, "standardize")
        known = [n for n in inspect.signature(selector).parameters if n not in _OF_EVERY_SELECTOR]
        for option in options:
            if option not in known:
                allowed = "one of its own: " + (", ".join(known) or "it has none")
                hint = validation.nearest(option, known) if known else "Leave it out."
                raise ParameterError("option", allowed, short_repr(option), hint)
        if "outliers" in options:
            validation.integer(options["outliers"], "outliers", minimum=0)
    return Choice(label, selector, space, standardize, lowest, options)


def _features(
    space: Any,
    members: NDArray[np.int64],
    values: NDArray[np.float64],
    anchor_value: NDArray[np.float64],
    scorer: Scorer,
    anchors: Anchors,
) -> NDArray[Any]:
    if space == "criterion":
        return take(values, members)
    if space == "anchor_value":
        return take(anchor_value, members)[:, None]
    if space == "latent":
        code = "encode" if "encode" in capabilities(scorer.model) else "embed"
        with caller("space 'latent'"):
            require(scorer.model, [code], "Use space='criterion' or 'pixel'.")
        return scorer.features(anchors, members, lambda batch: batch.code)
    if space == "pixel":
        return scorer.features(anchors, members, lambda batch: batch.comparable(batch.x))
    return scorer.features(anchors, members, lambda batch: space(batch.x))


def _standardize(matrix: NDArray[Any]) -> NDArray[Any]:
    """Scale columns to zero mean and unit variance; constant ones become zero."""
    n = len(matrix)
    mean = matrix.mean(axis=0, dtype=np.float64)
    deviation = std(matrix)
    divisor = np.where(deviation > 0, deviation, 1.0)
    dtype = np.result_type(matrix, mean)
    return from_blocks(lambda rows: (matrix[rows] - mean) / divisor, n, dtype, matrix.shape[1])
