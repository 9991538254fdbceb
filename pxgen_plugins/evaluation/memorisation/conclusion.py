"""What follows from the answers of a model: the statistics of a search for copies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.evaluation.memorisation.answers import Answers
from pxgen_plugins.evaluation.memorisation.attraction import (
    attraction,
    authenticity,
    cell_test,
    near_training,
)
from pxgen_plugins.evaluation.memorisation.collapse import Collapse, collapse
from pxgen_plugins.evaluation.memorisation.difference import difference
from pxgen_plugins.evaluation.memorisation.extraction import extraction
from pxgen_plugins.evaluation.memorisation.membership import (
    COMBINED,
    Membership,
    combined_values,
    membership,
)
from pxgen_plugins.evaluation.memorisation.result import Copies, Pair
from pxgen_plugins.evaluation.memorisation.returned import Returned, returned
from pxgen_plugins.evaluation.memorisation.sets import LEAST, Sets
from pxgen_plugins.evaluation.memorisation.space import Space
from pxgen_plugins.utils.nearest import nearest

__all__ = ["conclude"]

Floats = NDArray[np.float64]
_DIFFERS = 0.01
_SHOWN = 24  # pairs whose instances are kept


def conclude(
    space: Space,
    sets: Sets,
    answers: Answers,
    criteria: Sequence[str],
    fdr: float,
    seed: int,
    notes: Sequence[str] = (),
) -> Copies:
    """Return what the answers of a model say of its memory; no model is asked.

    Args:
        space: What distances are measured in.
        sets: The two sets.
        answers: Samples, values and ends of texts.
        criteria: Names of the columns of the values.
        fdr: Highest false discovery rate of the training instances that are listed.
        seed: Seed of what is drawn.
        notes: What a reader must know already.
    """
    said = [*notes, *sets.notes]
    rows, control, drawn = sets.rows, sets.control, answers.samples
    samples = space.rows(drawn)
    differs = difference(rows, control, seed)
    if differs < _DIFFERS:
        said.append(
            "Training and held-out instances differ in kind (two-sample test, p = "
            f"{differs:.2g}): what tells them apart need not be memory. Split one source at random."
        )
    members = _membership(criteria, answers.values, seed, said)
    found = returned(rows, control, samples, sets.counts, seed)
    pairs = _pairs(found, fdr, sets, space, drawn, samples)
    _warn_of_power(sets, fdr, said)
    instances = _instances(pairs[:_SHOWN], sets, space, drawn)
    texts = {k: space.render(x) for k, x in instances.items()} if _renders(space.model) else {}
    repeated = sorted(
        ((int(sets.kept[i]), int(sets.counts[i])) for i in np.flatnonzero(sets.counts > 1)),
        key=lambda pair: (-pair[1], pair[0]),
    )
    near = near_training(rows, control, samples)
    about = {
        "model": type(space.model).__name__,
        "n_training": len(sets.kept),
        "n_held_out": len(sets.kept_control),
        "n_samples": len(drawn),
        "distances": space.name,
        "data_range": space.model.data_range,
        "difference_p_value": differs,
        "fdr": fdr,
        "seed": seed,
    }
    return Copies(
        members,
        pairs,
        attraction(rows, control, samples, seed),
        authenticity(rows, control, samples, near),
        cell_test(rows, control, samples, seed, near=near),
        extraction(answers.edits),
        repeated,
        sets.kept,
        found.p_values,
        found.closeness,
        found.control,
        said,
        about,
        instances,
        texts,
        _with_positions(collapse(rows, control, samples, seed), sets),
        answers.completions,
    )


def _with_positions(found: Collapse, sets: Sets) -> Collapse:
    """Return clusters around positions in the training set, in the place of rows."""
    clusters = tuple((int(sets.kept[row]), size) for row, size in found.clusters)
    return replace(found, clusters=clusters)


def _membership(
    names: Sequence[str], values: Sequence[Floats], seed: int, notes: list[str]
) -> dict[str, Membership]:
    if not names:
        notes.append("No criterion fits the model, so membership was not measured.")
        return {}
    tables = []
    for name, table in zip(("training", "held-out"), values, strict=True):
        good = np.isfinite(table).all(axis=1)
        if not good.all():
            notes.append(f"{int((~good).sum()):,} {name} instances have no finite values.")
        tables.append(table[good])
    one, other = tables
    if min(len(one), len(other)) < 2:
        notes.append("Too few instances have finite values, so membership was not measured.")
        return {}
    found = {name: membership(one[:, j], other[:, j]) for j, name in enumerate(names)}
    if len(names) > 1 and min(len(one), len(other)) >= 2 * LEAST:
        found[COMBINED] = membership(*combined_values(one, other, seed))
    return found


def _pairs(
    found: Returned, fdr: float, sets: Sets, space: Space, drawn: NDArray[np.float32], samples: Any
) -> list[Pair]:
    """Return the training instances that are given back, surest first."""
    hits = np.flatnonzero(found.adjusted <= fdr)
    hits = hits[np.lexsort((found.closeness[hits], found.adjusted[hits]))]
    if not len(hits):
        return []
    of_sample, other = nearest(samples[found.sample[hits]], sets.control)
    known = space.reader.inputs(sets.training, sets.kept[hits]) if space.texts else drawn[:0]
    edits = space.edits(known, drawn[found.sample[hits]])
    labels = sets.training.labels
    return [
        Pair(
            int(sets.kept[i]),
            int(found.sample[i]),
            int(sets.kept_control[other[k]]),
            float(found.distance[i]),
            float(of_sample[k]),
            float(found.p_values[i]),
            float(found.adjusted[i]),
            int(sets.counts[i]),
            None if edits is None else edits[k],
            None if labels is None else str(labels[sets.kept[i]]),
        )
        for k, i in enumerate(hits)
    ]


def _instances(
    pairs: Sequence[Pair], sets: Sets, space: Space, drawn: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """Return the instances of pairs as the model takes them; nothing without pairs."""
    if not pairs:
        return {}
    return {
        "training": space.reader.inputs(sets.training, np.array([p.training for p in pairs])),
        "sample": drawn[[p.sample for p in pairs]],
        "held_out": space.reader.inputs(sets.held_out, np.array([p.held_out for p in pairs])),
    }


def _warn_of_power(sets: Sets, fdr: float, notes: list[str]) -> None:
    """Say how many copies there must be before one can be listed."""
    once, m = int((sets.counts == 1).sum()), len(sets.kept_control)
    share = fdr if once == len(sets.counts) else fdr / 2.0  # as in `returned`
    least = math.ceil(once / ((m + 1) * share))
    if least > 1:
        notes.append(
            f"With {m:,} held-out instances, fewer than {least:,} copies of instances that stand "
            "once in the training set cannot be told from chance at this rate: give more held-out "
            "instances, or name fewer training instances that matter."
        )


def _renders(model: Any) -> bool:
    return callable(getattr(model, "render", None))
