"""The units of calibration on samples: some repeats each, or a part of one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.audit import units
from pxgen_plugins.explainer import PXGen
from pxgen_plugins.models.base import passes
from pxgen_plugins.utils.storage import Place

__all__ = ["SAMPLES", "Samples"]

SAMPLES = "calibration/samples"


class Samples(units.Stage):
    """The values of the samples that a threshold rule draws, repeat by repeat.

    A unit has about as many samples as a shard has anchors: several repeats, or a part of one, of
    whole blocks of samples, as these have a seed each. Values are those of
    :meth:`~pxgen_plugins.thresholds.Rule.calibrate` without units.

    Args:
        explainer: The explainer, whose criteria have learned, or learn none.
        size: Samples per unit, at most, but a block at least.
    """

    name = SAMPLES

    def __init__(self, explainer: PXGen, size: int) -> None:
        self._explainer, self._rule = explainer, explainer.threshold
        scorer = explainer.scorer()
        self.width = len(explainer.criteria)
        self.passes = passes(scorer.model, "sample") + scorer.passes
        self.n: int = getattr(self._rule, "n_samples", 0)
        self.n_repeats: int = getattr(self._rule, "n_repeats", 0)
        block = scorer.sample_block
        blocks = -(-self.n // block)
        per_unit = max(1, size // block)
        self._parts = max(1, -(-blocks // per_unit))  # of a repeat
        self._step = max(1, -(-blocks // self._parts) * block)
        self._parts = max(1, -(-self.n // self._step))
        self._repeats = max(1, size // max(1, self.n)) if self._parts == 1 else 1

    def __len__(self) -> int:
        if not self.n:
            return 0
        return self._parts * -(-self.n_repeats // self._repeats)

    def n_instances(self, index: int) -> int:
        """Return the number of samples of a unit."""
        return sum(len(rows) for _, rows in self.pieces(index))

    def pieces(self, index: int) -> Iterator[tuple[int, range]]:
        """Yield the repeats that a unit has samples of, and which ones."""
        group, part = divmod(index, self._parts)
        rows = range(part * self._step, min((part + 1) * self._step, self.n))
        first = group * self._repeats
        for repeat in range(first, min(first + self._repeats, self.n_repeats)):
            yield repeat, rows

    def of_repeats(self, start: int, stop: int) -> range:
        """Return the units that have the samples of repeats ``start`` to ``stop``."""
        return range(start // self._repeats * self._parts, -(-stop // self._repeats) * self._parts)

    def compute(self, index: int) -> units.Content:
        """Return the values of a unit's samples."""
        rule, seed, scorer = self._rule, self._explainer.seed, self._explainer.scorer()
        asked = scorer.batch_size
        parts = [
            scorer.score_samples(self.n, rule.sample_seed(seed, repeat), rows=rows)
            for repeat, rows in self.pieces(index)
        ]
        return {"values": np.concatenate(parts)}, units.batch_note(asked, scorer)

    def n_bytes(self, index: int) -> int:
        """Return the bytes of the values."""
        return 8 * self.n_instances(index) * self.width

    def fits(self, index: int, content: units.Content) -> bool:
        """Return whether there is a value per sample and criterion."""
        values = content[0]["values"]
        shape = (self.n_instances(index), self.width)
        return values.shape == shape and values.dtype == np.float64

    def values(self, folder: Place, repeat: int, plan: str) -> NDArray[np.float64]:
        """Return the values (n, m) of a repeat.

        Args:
            folder: The run folder.
            repeat: Which repeat.
            plan: Digest of the plan.

        Raises:
            FileNotFoundError: When a unit of it is not there.
        """
        table = np.empty((self.n, self.width))
        for index in self.of_repeats(repeat, repeat + 1):
            arrays, start = units.found(folder, self, index, plan)[0], 0
            for other, rows in self.pieces(index):
                if other == repeat:
                    part = arrays["values"][start : start + len(rows)]
                    table[rows.start : rows.stop] = part
                start += len(rows)
        return table
