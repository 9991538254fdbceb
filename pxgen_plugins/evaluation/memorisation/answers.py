"""What a model is asked in a search for copies: samples, values of both sets, ends of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.evaluation.memorisation.completion import Completion, by_captions, by_parts
from pxgen_plugins.evaluation.memorisation.extraction import PROMPTS, continues, edits_of
from pxgen_plugins.evaluation.memorisation.sets import Sets
from pxgen_plugins.evaluation.memorisation.space import Space
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.utils.progress import bar
from pxgen_plugins.utils.seeds import derive

__all__ = ["Answers", "Budget", "ask", "number_of_samples", "seed_of_samples"]

Floats = NDArray[np.float64]
_LARGEST = 10_000  # samples by default


@dataclass(frozen=True)
class Budget:
    """How hard a search tries to draw training data out of a model.

    Attributes:
        prompts: Parts of a text that a language model is given.
        captions: Samples for each caption, of a model that reads prompts; 0 for none.
        parts: Instances of each set of which the model fills in the right half; 0 for none.
        fdr: Highest false discovery rate of what is found.
    """

    prompts: Sequence[float] = PROMPTS
    captions: int = 0
    parts: int = 0
    fdr: float = 0.05


@dataclass(frozen=True)
class Answers:
    """All that a search needs of a model; an audit asks for it in units.

    Attributes:
        samples: The samples, (N, *sample_shape).
        values: Values of the training and of the held-out instances, (n, c) and (m, c).
        completions: What was made of captions and of parts of pictures.
        edits: By part of a text that is given: edits between its end and the model's, over the
            longer length, of training and of held-out texts; empty for what writes no texts.
    """

    samples: NDArray[np.float32]
    values: tuple[Floats, Floats]
    edits: Mapping[float, tuple[Floats, Floats]] = field(default_factory=dict)
    completions: Sequence[Completion] = ()


def number_of_samples(model: object, sets: Sets) -> int:
    """Return how many samples are drawn where nobody says: one for each training instance."""
    return min(getattr(model, "n_held", None) or len(sets.kept), _LARGEST)


def seed_of_samples(seed: int) -> int:
    """Return the seed of the samples of a search."""
    return derive(seed, "copies")


def ask(
    scorer: Scorer,
    space: Space,
    sets: Sets,
    n_samples: int,
    budget: Budget,
    seed: int,
    verbose: bool,
) -> Answers:
    """Return what a model answers.

    Args:
        scorer: The model, with criteria that have learned.
        space: What distances are measured in.
        sets: The two sets.
        n_samples: Samples to draw.
        budget: What else is tried.
        seed: Seed of the search.
        verbose: Show progress bars.
    """
    samples = space.draw(n_samples, seed_of_samples(seed))
    both = sets.known, sets.new
    one, other = (
        scorer.score(anchors, verbose).values if scorer.criteria else np.empty((len(anchors), 0))
        for anchors in both
    )
    edits = {}
    if continues(scorer.model):
        known, new = (space.reader.inputs(one, np.arange(len(one))) for one in both)
        total = len(budget.prompts) * (len(known) + len(new))
        with bar(total, "continuing", "text", verbose) as progress:
            for prompt in budget.prompts:
                edits[prompt] = (
                    edits_of(scorer.model, known, prompt, progress.update),
                    edits_of(scorer.model, new, prompt, progress.update),
                )
    tried = []
    total = (len(sets.kept) + len(sets.kept_control)) * budget.captions + 2 * budget.parts
    with bar(total, "completing", "instance", verbose and total > 0) as progress:
        if budget.captions:
            tried.append(
                by_captions(space, sets, budget.captions, budget.fdr, seed, progress.update)
            )
        if budget.parts:
            tried.append(by_parts(space, sets, budget.parts, budget.fdr, seed, progress.update))
    completions = [found for found in tried if found is not None]
    return Answers(samples, (one, other), edits, completions)
