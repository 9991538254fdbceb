"""The function that looks for training data in what a model makes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from pxgen_plugins import defaults
from pxgen_plugins.criteria.fitted_criterion import FittedCriterion
from pxgen_plugins.criteria.parsing import parse_mixed
from pxgen_plugins.evaluation.memorisation.answers import Budget, ask, number_of_samples
from pxgen_plugins.evaluation.memorisation.completion import LEFT_HALF
from pxgen_plugins.evaluation.memorisation.conclusion import conclude
from pxgen_plugins.evaluation.memorisation.extraction import PROMPTS
from pxgen_plugins.evaluation.memorisation.result import Copies
from pxgen_plugins.evaluation.memorisation.sets import open_sets
from pxgen_plugins.evaluation.memorisation.space import Space
from pxgen_plugins.models.base import require
from pxgen_plugins.models.predictor import as_model
from pxgen_plugins.scoring import Scorer, fit_criteria
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import CapabilityError, caller
from pxgen_plugins.utils.seeds import derive

__all__ = ["copies"]


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
    captions: int = 4,
    parts: int = 0,
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
    - **Collapse**: training instances that several samples fall on.
    - **Extraction**: whether a language model writes the ends of training texts, and whether others
      make training pictures of their captions, or of their left halves, more closely than held-out
      ones.

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
        captions: Samples for each caption, where the model reads prompts and both sets have them;
            0 for none.
        parts: Pictures of each set of which the model fills in the right half, where it can; 0 for
            none, as it is costly (see :func:`.inpainting.fill`).
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

    Cost: one pass over both sets for each criterion, ``n_samples`` samples, ``captions`` samples
    for each instance with a caption, and distances of all training and held-out instances to the
    samples and to 20,000 real ones: O((n + m)(N + 20,000) d), exact; memory the features of the
    sets, and blocks of distances.

    Example:
        >>> import numpy as np
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
    captions = validation.integer(captions, "captions", minimum=0)
    parts = validation.integer(parts, "parts", minimum=0)
    scorer = _scorer(model, criteria, seed, batch_size, notes)
    require(scorer.model, ["sample"], "Copies are looked for among samples.")
    space = Space(scorer.model, network, scorer.batch_size)
    sets = open_sets(space, training, held_out)
    n = number_of_samples(scorer.model, sets)
    n_samples = n if n_samples is None else validation.integer(n_samples, "n_samples", minimum=1)
    budget = Budget(prompts, captions, parts, fdr)
    answers = ask(scorer, space, sets, n_samples, budget, seed, verbose)
    if parts and not any(found.given == LEFT_HALF for found in answers.completions):
        notes.append("The model cannot fill in parts of its instances, so that was not tried.")
    names = [criterion.name for criterion in scorer.criteria]
    return conclude(space, sets, answers, names, fdr, seed, notes)


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
