"""Shards: the units of an anchor set, consecutive anchors each."""

from __future__ import annotations

import json
from typing import Protocol

import numpy as np

from pxgen_plugins.anchors import Anchors
from pxgen_plugins.anchors.scale import Span
from pxgen_plugins.audit import units
from pxgen_plugins.criteria import Criterion
from pxgen_plugins.scoring import Scorer, Scores
from pxgen_plugins.utils.large_arrays import empty
from pxgen_plugins.utils.redaction import without_addresses
from pxgen_plugins.utils.storage import Place

__all__ = ["SHARDS", "Scoring", "Shards", "count", "gather"]

SHARDS = "shards"
_MOST_REASON = 4096  # bytes in a shard for each anchor


class Scoring(Protocol):
    """What shards are scored by: an explainer, or a part of one."""

    criteria: list[Criterion]

    def scorer(self) -> Scorer:
        """Return a new scorer of the criteria."""


class Shards(units.Stage):
    """The values of an anchor set.

    Args:
        explainer: Whose criteria are asked; they have learned, or learn none.
        anchors: The anchors.
        size: Anchors per shard.
        name: Of the stage.
    """

    def __init__(self, explainer: Scoring, anchors: Anchors, size: int, name: str = SHARDS) -> None:
        self.name = name
        self.anchors, self.size, self._explainer = anchors, size, explainer
        self.width, self.passes = len(explainer.criteria), explainer.scorer().passes

    def __len__(self) -> int:
        return count(len(self.anchors), self.size)

    def n_instances(self, index: int) -> int:
        """Return the number of anchors of a shard."""
        return len(self.rows(index))

    def rows(self, index: int) -> range:
        """Return the positions of a shard's anchors."""
        return range(index * self.size, min((index + 1) * self.size, len(self.anchors)))

    def compute(self, index: int) -> units.Content:
        """Return values, reasons by place in the shard, and span."""
        scorer = self._explainer.scorer()
        asked = scorer.batch_size
        scores = scorer.score(self.anchors, rows=self.rows(index))
        # addresses in what a model raised differ between runs
        whys = {str(at): without_addresses(why) for at, why in sorted(scores.reasons.items())}
        texts = {"reasons": json.dumps(whys), "span": json.dumps(scores.span.to_data())}
        return {"values": scores.values}, texts | units.batch_note(asked, scorer)

    def n_bytes(self, index: int) -> int:
        """Return the bytes of the values and of reasons."""
        return self.n_instances(index) * (_MOST_REASON + 8 * self.width)

    def fits(self, index: int, content: units.Content) -> bool:
        """Return whether there is a value per anchor and criterion, and reasons for these alone."""
        values, n = content[0]["values"], self.n_instances(index)
        Span.of(json.loads(content[1]["span"]))
        good = values.shape == (n, self.width) and values.dtype == np.float64
        return good and all(0 <= int(at) < n for at in json.loads(content[1]["reasons"]))


def count(n_anchors: int, size: int) -> int:
    """Return the number of shards.

    Example:
        >>> count(10, 4), count(8, 4), count(0, 4)
        (3, 2, 0)
    """
    return -(-n_anchors // size)


def gather(folder: Place, stage: Shards, plan: str) -> Scores:
    """Return the scores of all shards, in the order of the anchors.

    Args:
        folder: The run folder.
        stage: What is gathered.
        plan: Digest of the plan.

    Raises:
        FileNotFoundError: When one is not there.
    """
    values = empty((len(stage.anchors), stage.width), np.float64)
    reasons: dict[int, str] = {}
    span = Span()
    for index in range(len(stage)):
        arrays, texts = units.found(folder, stage, index, plan)
        rows, whys = stage.rows(index), json.loads(texts["reasons"])
        values[rows.start : rows.stop] = arrays["values"]
        reasons |= {rows.start + int(at): str(why) for at, why in whys.items()}
        span.merge(Span.of(json.loads(texts["span"])))
    return Scores(values, reasons, span)
