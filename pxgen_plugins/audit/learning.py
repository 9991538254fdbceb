"""The units of criteria that learn first: features of instances, and what they come to."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.audit import units
from pxgen_plugins.audit.shards import count
from pxgen_plugins.scoring import Lesson
from pxgen_plugins.utils.limits import RUN_ARRAYS
from pxgen_plugins.utils.storage import Place

__all__ = ["Features", "Learned"]


class Features(units.Stage):
    """What a criterion learns from each of its instances.

    Args:
        lesson: The instances.
        place: Which criterion.
        size: Instances per unit at most, but a batch, or a block of samples, at least.
    """

    def __init__(self, lesson: Lesson, place: int, size: int) -> None:
        self.name = f"calibration/features-{place}"
        self.lesson, self.passes = lesson, lesson.passes
        reader = lesson.scorer
        least = reader.sample_block if lesson.anchors is None else reader.batch_size
        self._size = max(1, size // least) * least

    def __len__(self) -> int:
        return count(len(self.lesson), self._size)

    def n_instances(self, index: int) -> int:
        """Return how many instances a unit has."""
        return len(self._rows(index))

    def compute(self, index: int) -> units.Content:
        """Return the features of each batch, and why instances are left out, by position."""
        lesson = self.lesson
        arrays: dict[str, NDArray[np.generic]] = {}
        lesson.left_out.clear()
        with lesson.errors(), torch.no_grad():
            for batch in lesson.batches(self._rows(index)):
                arrays[f"{len(arrays):06d}"] = lesson.criterion.features(batch).cpu().numpy()
        return arrays, {"left_out": json.dumps(lesson.left_out)}

    def n_bytes(self, index: int) -> int:
        """Return what is read at most."""
        return RUN_ARRAYS.value

    def fits(self, index: int, content: units.Content) -> bool:
        """Return whether there are as many features as instances."""
        n = len(json.loads(content[1]["left_out"])) + sum(map(len, content[0].values()))
        return n == self.n_instances(index)

    def _rows(self, index: int) -> range:
        return range(index * self._size, min((index + 1) * self._size, len(self.lesson)))


class Learned(units.Stage):
    """What a criterion makes of all its features: a single unit, which asks the model nothing.

    Args:
        features: The features.
        folder: The run folder.
        plan: Digest of the plan.
    """

    passes = 0

    def __init__(self, features: Features, folder: Place, plan: str) -> None:
        self.name = features.name.replace("features", "learned")
        self._features, self._folder, self._plan = features, folder, plan

    def __len__(self) -> int:
        return 1

    def n_instances(self, index: int) -> int:
        """Return 0: its instances were counted before."""
        return 0

    def compute(self, index: int) -> units.Content:
        """Return the state of the criterion after it has learned."""
        lesson = self._features.lesson
        lesson.left_out.clear()
        with lesson.errors():
            criterion, model = lesson.criterion, lesson.scorer.model
            criterion.fit_features(self._stored(), model, lesson.batch_seed)
        return criterion.state, {}

    def n_bytes(self, index: int) -> int:
        """Return what is read at most."""
        return RUN_ARRAYS.value

    def fits(self, index: int, content: units.Content) -> bool:
        """Return True: only the criterion knows what it learns."""
        return True

    def restore(self) -> None:
        """Give the criterion what it learned.

        Raises:
            FileNotFoundError: When that is not there.
        """
        unit = units.found(self._folder, self, 0, self._plan)
        self._features.lesson.criterion.restore(unit[0])

    def _stored(self) -> Iterator[Tensor]:
        """Yield the features of each batch."""
        lesson = self._features.lesson
        for index in range(len(self._features)):
            arrays, texts = units.found(self._folder, self._features, index, self._plan)
            lesson.left_out |= {
                int(at): str(why) for at, why in json.loads(texts["left_out"]).items()
            }
            for name in sorted(arrays):
                yield torch.from_numpy(np.array(arrays[name]))
        lesson.end()
