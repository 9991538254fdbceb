"""The search for training data in an audit: units of what the model is asked, then statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.audit import units
from pxgen_plugins.audit.inputs import open_set
from pxgen_plugins.audit.settings import Config
from pxgen_plugins.audit.shards import Scoring, Shards, count, gather
from pxgen_plugins.criteria import Criterion
from pxgen_plugins.evaluation import Copies
from pxgen_plugins.evaluation.memorisation.answers import (
    Answers,
    number_of_samples,
    seed_of_samples,
)
from pxgen_plugins.evaluation.memorisation.conclusion import conclude
from pxgen_plugins.evaluation.memorisation.extraction import PROMPTS, continues, edits_of
from pxgen_plugins.evaluation.memorisation.sets import Sets, open_sets
from pxgen_plugins.evaluation.memorisation.space import Space
from pxgen_plugins.models.base import passes, require
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.limits import RUN_ARRAYS
from pxgen_plugins.utils.storage import Place

__all__ = ["COPIES", "CopiesSearch", "check_copies"]

COPIES = "copies"
_MOST_BYTES = 1 << 28  # of the samples of a unit


def check_copies(config: Config, scoring: Scoring) -> None:
    """Raise where the settings name a criterion for memberships that the audit does not have.

    Raises:
        ParameterError: When a criterion is none of the audit's.
        CapabilityError: When the model cannot sample.
    """
    settings = config.table(COPIES)
    if settings is None:
        return
    with caller("settings"):
        _chosen(settings["criteria"], scoring.criteria)
    require(scoring.scorer().model, ["sample"], "Remove copies: from the settings.")


class CopiesSearch:
    """What an audit's search for training data asks of the model, and what comes of it.

    Args:
        config: The settings, in which ``copies`` is there.
        scoring: The explainer; its criteria have learned, or nothing is computed.

    Attributes:
        stages: What is asked, in units: the values of both sets, samples, and ends of texts.
    """

    def __init__(self, config: Config, scoring: Scoring) -> None:
        self._settings: dict[str, Any] = config.table(COPIES) or {}
        self._seed: int = config["seed"]
        scorer = scoring.scorer()
        self._space = Space(scorer.model, None, scorer.batch_size)
        names = ("copies.training", "copies.held_out")
        one, other = (open_set(config, name, scorer.model) for name in names)
        with caller("copies"):
            self._sets: Sets = open_sets(self._space, one, other)
        some = _Some(scoring, _chosen(self._settings["criteria"], scoring.criteria))
        self._criteria = [criterion.name for criterion in some.criteria]
        size = config["shard_size"]
        both = (self._sets.known, self._sets.new)
        self._values = [
            Shards(some, anchors, size, name.replace(".", "/"))
            for anchors, name in zip(both, names, strict=True)
        ]
        n = self._settings["n_samples"] or number_of_samples(scorer.model, self._sets)
        self._drawn = Drawn(self._space, n, seed_of_samples(self._seed), size)
        prompts = self._settings["prompts"] or PROMPTS
        self._ends = (
            [
                Ends(self._space, anchors, prompt, size, f"copies/ends-{at}-{kind}")
                for at, prompt in enumerate(prompts)
                for kind, anchors in zip(("training", "held_out"), both, strict=True)
            ]
            if continues(scorer.model)
            else []
        )
        self.stages: list[units.Stage] = [*self._values, self._drawn, *self._ends]

    def conclude(self, folder: Place, plan: str) -> Copies:
        """Return what the units say.

        Args:
            folder: The run folder.
            plan: Digest of the plan.

        Raises:
            FileNotFoundError: When a unit is not there.
        """
        one, other = (gather(folder, stage, plan).values for stage in self._values)
        ends = [stage.gather(folder, plan) for stage in self._ends]
        prompts = [stage.prompt for stage in self._ends[::2]]
        edits = dict(zip(prompts, zip(ends[::2], ends[1::2], strict=True), strict=True))
        answers = Answers(self._drawn.gather(folder, plan), (one, other), edits)
        fdr = self._settings["fdr"]
        return conclude(self._space, self._sets, answers, self._criteria, fdr, self._seed)


class _Some:
    """Some of an explainer's criteria, as it would ask them."""

    def __init__(self, scoring: Scoring, criteria: list[Criterion]) -> None:
        self._scoring, self.criteria = scoring, criteria

    def scorer(self) -> Scorer:
        """Return a scorer of these criteria."""
        scorer = self._scoring.scorer()
        return Scorer(
            scorer.model,
            self.criteria,
            batch_size=scorer.batch_size,
            device=scorer.device,
            seed=scorer.seed,
            reconstruction=scorer.reconstruction,
        )


def _chosen(names: Sequence[str] | None, criteria: Sequence[Criterion]) -> list[Criterion]:
    if names is None:
        return list(criteria)
    known = {criterion.name: criterion for criterion in criteria}
    for at, name in enumerate(names):
        if name not in known or name in names[:at]:
            allowed = "different criteria of the audit: " + ", ".join(known)
            hint = validation.nearest(name, list(known))
            raise ParameterError(f"copies.criteria[{at}]", allowed, short_repr(name), hint)
    return [known[name] for name in names]


class Drawn(units.Stage):
    """The samples that copies are looked for in.

    Args:
        space: The model.
        n: How many samples.
        seed: Their seed.
        size: Samples per unit, in whole blocks, as these have a seed each.
    """

    name = "copies/samples"

    def __init__(self, space: Space, n: int, seed: int, size: int) -> None:
        self._space, self._seed = space, seed
        self._shape = space.model.sample_shape
        self._bytes = 4 * math.prod(self._shape or (1,))
        self.passes = passes(space.model, "sample")
        block = space.reader.sample_block
        step = max(1, min(size, _MOST_BYTES // self._bytes) // block) * block
        self._parts = [
            (portion, range(at, min(at + step, portion[1])))
            for portion in space.portions(n)
            for at in range(0, portion[1], step)
        ]

    def __len__(self) -> int:
        return len(self._parts)

    def n_instances(self, index: int) -> int:
        """Return the number of samples of a unit."""
        return len(self._parts[index][1])

    def compute(self, index: int) -> units.Content:
        """Return the samples of a unit."""
        portion, rows = self._parts[index]
        return {"samples": self._space.part(portion, self._seed, rows)}, {}

    def n_bytes(self, index: int) -> int:
        """Return the bytes of the samples."""
        return RUN_ARRAYS.value if self._shape is None else self.n_instances(index) * self._bytes

    def fits(self, index: int, content: units.Content) -> bool:
        """Return whether there are as many samples as there must be, of the model's shape."""
        x = content[0]["samples"]
        good = len(x) == self.n_instances(index) and x.dtype == np.float32
        return good and (self._shape is None or x.shape[1:] == tuple(self._shape))

    def gather(self, folder: Place, plan: str) -> NDArray[np.float32]:
        """Return all samples.

        Raises:
            FileNotFoundError: When a unit is not there.
        """
        samples: NDArray[np.float32] = _joined(folder, self, plan, "samples")
        return samples


class Ends(units.Stage):
    """The edits between the ends of texts and those that a language model writes.

    Args:
        space: The model.
        texts: The texts.
        prompt: Part of each that it is given.
        size: Texts per unit.
        name: Of the stage.
    """

    def __init__(self, space: Space, texts: Any, prompt: float, size: int, name: str) -> None:
        self._space, self._texts, self.prompt, self._size = space, texts, prompt, size
        self.name, self.passes = name, passes(space.model, "continuation")

    def __len__(self) -> int:
        return count(len(self._texts), self._size)

    def n_instances(self, index: int) -> int:
        """Return the number of texts of a unit."""
        return len(self._rows(index))

    def compute(self, index: int) -> units.Content:
        """Return the edits of a unit's texts."""
        rows = self._rows(index)
        x = self._space.reader.inputs(self._texts, np.arange(rows.start, rows.stop))
        return {"edits": edits_of(self._space.model, x, self.prompt)}, {}

    def n_bytes(self, index: int) -> int:
        """Return the bytes of the edits."""
        return 8 * self.n_instances(index)

    def fits(self, index: int, content: units.Content) -> bool:
        """Return whether there is a number per text."""
        edits = content[0]["edits"]
        return edits.shape == (self.n_instances(index),) and edits.dtype == np.float64

    def gather(self, folder: Place, plan: str) -> NDArray[np.float64]:
        """Return the edits of all texts.

        Raises:
            FileNotFoundError: When a unit is not there.
        """
        edits: NDArray[np.float64] = _joined(folder, self, plan, "edits")
        return edits

    def _rows(self, index: int) -> range:
        return range(index * self._size, min((index + 1) * self._size, len(self._texts)))


def _joined(folder: Place, stage: units.Stage, plan: str, name: str) -> NDArray[Any]:
    """Return an array of all units of a stage, one after the other."""
    parts = [units.found(folder, stage, index, plan)[0] for index in range(len(stage))]
    return np.concatenate([part[name] for part in parts])
