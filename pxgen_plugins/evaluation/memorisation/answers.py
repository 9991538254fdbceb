"""What a model is asked in a search for copies: samples, values of both sets, ends of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.evaluation.memorisation.extraction import continues, edits_of
from pxgen_plugins.evaluation.memorisation.sets import Sets
from pxgen_plugins.evaluation.memorisation.space import Space
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.utils.progress import bar
from pxgen_plugins.utils.seeds import derive

__all__ = ["Answers", "ask", "number_of_samples", "seed_of_samples"]

Floats = NDArray[np.float64]
_LARGEST = 10_000  # samples by default


@dataclass(frozen=True)
class Answers:
    """All that a search needs of a model; an audit asks for it in units.

    Attributes:
        samples: The samples, (N, *sample_shape).
        values: Values of the training and of the held-out instances, (n, c) and (m, c).
        edits: By part of a text that is given: edits between its end and the model's, over the
            longer length, of training and of held-out texts; empty for what writes no texts.
    """

    samples: NDArray[np.float32]
    values: tuple[Floats, Floats]
    edits: Mapping[float, tuple[Floats, Floats]] = field(default_factory=dict)


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
    prompts: Sequence[float],
    seed: int,
    verbose: bool,
) -> Answers:
    """Return what a model answers.

    Args:
        scorer: The model, with criteria that have learned.
        space: What distances are measured in.
        sets: The two sets.
        n_samples: Samples to draw.
        prompts: Parts of a text that a language model is given.
        seed: Seed of the search.
        verbose: Show progress bars.
    """
    samples = space.draw(n_samples, seed_of_samples(seed))
    both = sets.known, sets.new
    one, other = (scorer.score(anchors, verbose).values for anchors in both)
    edits = {}
    if continues(scorer.model):
        known, new = (space.reader.inputs(one, np.arange(len(one))) for one in both)
        total = len(prompts) * (len(known) + len(new))
        with bar(total, "continuing", "text", verbose) as progress:
            for prompt in prompts:
                edits[prompt] = (
                    edits_of(scorer.model, known, prompt, progress.update),
                    edits_of(scorer.model, new, prompt, progress.update),
                )
    return Answers(samples, (one, other), edits)
