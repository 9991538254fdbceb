"""The function that looks for training data in what a model makes."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins import defaults
from pxgen_plugins.anchors import Anchors, Subset
from pxgen_plugins.criteria.fitted_criterion import FittedCriterion
from pxgen_plugins.criteria.parsing import parse_mixed
from pxgen_plugins.evaluation.memorisation.attraction import (
    attraction,
    authenticity,
    cell_test,
    near_training,
)
from pxgen_plugins.evaluation.memorisation.difference import difference
from pxgen_plugins.evaluation.memorisation.extraction import PROMPTS, extraction
from pxgen_plugins.evaluation.memorisation.membership import (
    COMBINED,
    Membership,
    combined_values,
    membership,
)
from pxgen_plugins.evaluation.memorisation.neighbours import len_of, nearest
from pxgen_plugins.evaluation.memorisation.result import Copies, Pair
from pxgen_plugins.evaluation.memorisation.returned import Returned, returned
from pxgen_plugins.evaluation.memorisation.space import Space
from pxgen_plugins.models.base import require
from pxgen_plugins.models.predictor import as_model
from pxgen_plugins.scoring import Scorer, fit_criteria
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import AnchorError, CapabilityError, caller
from pxgen_plugins.utils.seeds import derive

__all__ = ["copies"]

Floats = NDArray[np.float64]
_LEAST = 20  # instances of either set
_LARGEST = 10_000  # samples by default
_DIFFERS = 0.01
_SHOWN = 24  # pairs whose instances are kept


@caller("copies")
def copies(
    model: Any,
    training: Any,
    held_out: Any,
    *,
    criteria: Sequence[Any] | None = None,
    network: Any = None,
    n_samples: int | None = None,
    prompts: Sequence[float] = PROMPTS,
    fdr: float = 0.05,
    seed: int = 0,
    batch_size: int | None = None,
    verbose: bool = False,
) -> Copies:
    """Look for training data in what a model makes, with held-out data as the control.

    Both sets must come from the same source, split at random: then whatever tells them apart in the
    model's values or samples is memory. A two-sample test says so where they differ in kind.

    - **Membership**: how well each criterion, and all together, tell training from held-out.
    - **Given back**: training instances to which samples come closer than to held-out ones, each
      with a p-value, at a false discovery rate.
    - **Attraction, authenticity, cells**: whether samples as a whole lie nearer to training data
      than new instances do.
    - **Extraction**: whether a language model writes the ends of training texts.

    Args:
        model: Any model that samples (see :mod:`pxgen_plugins.models`), or a PXGen explainer of
            one, whose criteria are then used.
        training: Instances that the model was trained on, anything ``explain`` takes.
        held_out: Instances of the same source that it was not trained on; as many as possible: a
            p-value is never below 1 / (1 + their number).
        criteria: Criteria for membership: names, mappings with a name, or objects; None takes the
            explainer's, or the family's. One that learns from reference data takes part only when
            it has learned; else a note says so.
        network: Callable from a batch to features, in which distances are measured; None takes the
            elements, of tables the columns over their ranges, of texts runs of characters.
        n_samples: Samples to draw; None takes as many as there are training instances, at most
            10,000.
        prompts: Parts of a text that a language model is given.
        fdr: Highest false discovery rate of the training instances that are listed, in (0, 1).
        seed: Seed of samples and draws.
        batch_size: Instances per model call; None as for scoring.
        verbose: Show progress bars.

    Returns:
        What was found.

    Raises:
        AnchorError: When a set cannot be read, or has fewer than 20 distinct instances.
        CapabilityError: When the model cannot sample.
        ParameterError: When an argument is not allowed.

    Cost: one pass over both sets for each criterion, ``n_samples`` samples, and distances of all
    training and held-out instances to the samples and to 20,000 real ones: O((n + m)(N + 20,000)
    d), exact; memory the features of the sets, and blocks of distances.

    Example:
        >>> from pxgen_plugins.models import SampleBank
        >>> rows = np.random.default_rng(0).normal(size=(400, 3)).astype("f4")
        >>> thief = SampleBank(rows[:200], data_range=None)
        >>> found = copies(thief, rows[:200], rows[200:])
        >>> found.count, copies(SampleBank(rows[200:300], data_range=None), rows[:100],
        ...                     rows[300:]).count
        (200, 0)
    """
    fdr = validation.real(fdr, "fdr", above=0.0, below=1.0)
    seed = validation.integer(seed, "seed", minimum=0)
    for place, part in enumerate(prompts):
        validation.real(part, f"prompts[{place}]", above=0.0, below=1.0)
    notes: list[str] = []
    scorer = _scorer(model, criteria, seed, batch_size, notes)
    require(scorer.model, ["sample"], "Copies are looked for among samples.")
    space = Space(scorer.model, network, scorer.batch_size)
    anchors, rows = space.open(training, "training")
    others, control = space.open(held_out, "held_out")
    places = _places(rows)
    kept, counts = _distinct(places)
    kept_control = _new(_places(control), places, notes)
    for name, index in (("training", kept), ("held_out", kept_control)):
        if len(index) < _LEAST:
            hint = "Give more: a rank among few says nothing."
            allowed = f"at least {_LEAST} distinct instances, none of them in both sets"
            raise AnchorError(name, allowed, f"{len(index)}", hint)
    anchors_of = {"training": Subset(anchors, kept), "held_out": Subset(others, kept_control)}
    rows, control = rows[kept], control[kept_control]
    n = min(getattr(scorer.model, "n_held", None) or len(kept), _LARGEST)
    n_samples = n if n_samples is None else validation.integer(n_samples, "n_samples", minimum=1)
    drawn, samples = space.draw(n_samples, derive(seed, "copies"))
    differs = difference(rows, control, seed)
    if differs < _DIFFERS:
        notes.append(
            "Training and held-out instances differ in kind (two-sample test, p = "
            f"{differs:.2g}): what tells them apart need not be memory. Split one source at random."
        )
    members = _membership(scorer, anchors_of, seed, notes, verbose)
    found = returned(rows, control, samples, counts, seed)
    pairs = _pairs(found, fdr, kept, kept_control, counts, anchors, space, drawn, samples, control)
    _warn_of_power(len(kept), len(kept_control), fdr, notes)
    instances = _instances(pairs[:_SHOWN], anchors, others, space, drawn)
    texts = {k: space.render(x) for k, x in instances.items()} if _renders(scorer.model) else {}
    lines = []
    if space.texts:
        known, new = (space.reader.inputs(a, np.arange(len(a))) for a in anchors_of.values())
        lines = extraction(scorer.model, known, new, prompts, verbose=verbose)
    repeated = sorted(
        ((int(kept[i]), int(counts[i])) for i in np.flatnonzero(counts > 1)),
        key=lambda pair: (-pair[1], pair[0]),
    )
    near = near_training(rows, control, samples)
    about = {
        "model": type(scorer.model).__name__,
        "n_training": len(kept),
        "n_held_out": len(kept_control),
        "n_samples": len(drawn),
        "distances": space.name,
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
        lines,
        repeated,
        kept,
        found.p_values,
        found.closeness,
        found.control,
        notes,
        about,
        instances,
        texts,
    )


def _scorer(
    model: Any, criteria: Sequence[Any] | None, seed: int, batch_size: int | None, notes: list[str]
) -> Scorer:
    """Return the model with criteria that have learned; a note names those that cannot."""
    chosen: Sequence[Any] | None = None if criteria is None else parse_mixed(criteria)
    if hasattr(model, "calibration") and callable(getattr(model, "scorer", None)):
        scorer: Scorer = model.scorer()
        if model.calibration is not None and chosen is None:
            return scorer
        model = scorer.model
        chosen = [copy.copy(c) for c in scorer.criteria] if chosen is None else chosen
    model = as_model(model, None, 2)
    if chosen is None:
        try:
            chosen = defaults.choose(model).criteria
        except CapabilityError:
            chosen = []  # its samples can still be looked at
    scorer = Scorer(model, chosen, batch_size=batch_size, seed=seed)
    if "sample" in model.capabilities:
        _teach(scorer, seed, notes)
    return scorer


def _teach(scorer: Scorer, seed: int, notes: list[str]) -> None:
    """Let criteria learn from samples; those that need reference data are left out, with a note."""
    new = [c for c in scorer.criteria if isinstance(c, FittedCriterion) and not c.state]
    lost = [c for c in new if c.learns_from == "data"]
    kept = [c for c in scorer.criteria if c not in lost]
    scorer.criteria = [c for c in new if c not in lost]
    fit_criteria(scorer, None, derive(seed, "criteria"))
    scorer.criteria = kept
    if lost:
        names = ", ".join(c.name for c in lost)
        notes.append(
            f"Membership was not measured by {names}: such criteria learn from reference data. "
            "Give an explainer that is fitted with some, in neither of the two sets."
        )


def _places(rows: Any) -> dict[bytes, list[int]]:
    """Return where each distinct row stands, by its digest, in the order of their first places."""
    places: dict[bytes, list[int]] = {}
    for place in range(len_of(rows)):
        places.setdefault(_key(rows, place), []).append(place)
    return places


def _distinct(places: Mapping[bytes, list[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first position of each distinct row, rising, and how often each stands there."""
    first = [at[0] for at in places.values()]
    times = [len(at) for at in places.values()]
    return np.array(first, dtype=np.int64), np.array(times, dtype=np.int64)


def _new(
    control: Mapping[bytes, list[int]], known: Mapping[bytes, list[int]], notes: list[str]
) -> NDArray[np.int64]:
    """Return the distinct held-out rows that are no training rows; say how many were."""
    new = [at[0] for key, at in control.items() if key not in known]
    if len(new) < len(control):
        notes.append(
            f"{len(control) - len(new):,} held-out instances also stand in the training set and "
            "are left out."
        )
    return np.array(new, dtype=np.int64)


def _key(rows: Any, place: int) -> bytes:
    from hashlib import blake2b

    if isinstance(rows, np.ndarray):
        return blake2b(np.ascontiguousarray(rows[place]).tobytes(), digest_size=16).digest()
    ends = rows.indptr[place : place + 2]
    return blake2b(rows.indices[ends[0] : ends[1]].tobytes(), digest_size=16).digest()


def _membership(
    scorer: Scorer, sets: Mapping[str, Anchors], seed: int, notes: list[str], verbose: bool
) -> dict[str, Membership]:
    if not scorer.criteria:
        notes.append("No criterion fits the model, so membership was not measured.")
        return {}
    values = []
    for name, anchors in sets.items():
        table = scorer.score(anchors, verbose).values
        good = np.isfinite(table).all(axis=1)
        if not good.all():
            notes.append(f"{int((~good).sum()):,} {name} instances have no finite values.")
        values.append(table[good])
    if min(len(table) for table in values) < 2:
        notes.append("Too few instances have finite values, so membership was not measured.")
        return {}
    found = {
        criterion.name: membership(values[0][:, j], values[1][:, j])
        for j, criterion in enumerate(scorer.criteria)
    }
    if len(scorer.criteria) > 1 and min(len(table) for table in values) >= 2 * _LEAST:
        found[COMBINED] = membership(*combined_values(values[0], values[1], seed))
    return found


def _pairs(
    found: Returned,
    fdr: float,
    kept: NDArray[np.int64],
    kept_control: NDArray[np.int64],
    counts: NDArray[np.int64],
    anchors: Anchors,
    space: Space,
    drawn: NDArray[np.float32],
    samples: Any,
    control: Any,
) -> list[Pair]:
    """Return the training instances that are given back, surest first."""
    hits = np.flatnonzero(found.adjusted <= fdr)
    hits = hits[np.lexsort((found.closeness[hits], found.adjusted[hits]))]
    if not len(hits):
        return []
    of_sample, other = nearest(samples[found.sample[hits]], control)
    known = space.reader.inputs(anchors, kept[hits]) if space.texts else drawn[:0]
    edits = space.edits(known, drawn[found.sample[hits]])
    labels = anchors.labels
    return [
        Pair(
            int(kept[i]),
            int(found.sample[i]),
            int(kept_control[other[k]]),
            float(found.distance[i]),
            float(of_sample[k]),
            float(found.p_values[i]),
            float(found.adjusted[i]),
            int(counts[i]),
            None if edits is None else edits[k],
            None if labels is None else str(labels[kept[i]]),
        )
        for k, i in enumerate(hits)
    ]


def _instances(
    pairs: Sequence[Pair], training: Anchors, held_out: Anchors, space: Space, drawn: Any
) -> dict[str, NDArray[np.float32]]:
    """Return the instances of pairs as the model takes them; nothing without pairs."""
    if not pairs:
        return {}
    return {
        "training": space.reader.inputs(training, np.array([p.training for p in pairs])),
        "sample": drawn[[p.sample for p in pairs]],
        "held_out": space.reader.inputs(held_out, np.array([p.held_out for p in pairs])),
    }


def _warn_of_power(n: int, m: int, fdr: float, notes: list[str]) -> None:
    """Say how many copies there must be before one can be listed."""
    least = math.ceil(n / ((m + 1) * fdr))
    if least > 1:
        notes.append(
            f"With {m:,} held-out instances, fewer than {least:,} copies of instances that stand "
            "once in the training set cannot be told from chance at this rate: give more held-out "
            "instances, or name fewer training instances that matter."
        )


def _renders(model: Any) -> bool:
    return callable(getattr(model, "render", None))
