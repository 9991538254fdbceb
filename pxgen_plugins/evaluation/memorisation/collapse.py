"""Samples that collapse onto one instance, and whether such instances are training data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pxgen_plugins.evaluation.memorisation.returned import stack
from pxgen_plugins.utils.nearest import len_of, nearest
from pxgen_plugins.utils.seeds import derive

__all__ = ["Collapse", "collapse"]

_WITHIN = 0.5  # of the distance to the nearest other real instance
_LEAST = 2  # samples of a cluster
_DRAWS = 999


@dataclass(frozen=True)
class Collapse:
    """Clusters of samples around single real instances, of as many training as held-out ones.

    Attributes:
        share: Share of samples in clusters around training instances.
        control: Around held-out ones.
        p_value: That clusters lie no more often around training instances, by 999 shuffles.
        clusters: Training instances (row, number of samples) with at least two samples, the
            largest first.
        n: Instances of each set.
    """

    share: float
    control: float
    p_value: float
    clusters: tuple[tuple[int, int], ...]
    n: int

    @classmethod
    def from_dict(cls, content: Any) -> Collapse:
        """Return what :meth:`to_dict` gave, read from a file."""
        clusters = tuple((int(row), int(size)) for row, size in content["clusters"])
        return cls(**{**content, "clusters": clusters})

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers under their names."""
        return asdict(self)


def collapse(training: Any, held_out: Any, samples: Any, seed: int) -> Collapse:
    """Return which training instances several samples fall on.

    Carlini et al. 2023, "Extracting training data from diffusion models", look for samples of a
    model that lie close together, as those of remembered pictures do. Here a cluster is two samples
    or more within half of the distance between a real instance and its nearest other one. A
    generator may collapse onto what it was never shown: under the null that it knows neither set
    the names of the two are a coin, and shuffling them gives the p-value.

    Args:
        training: Rows of training instances; as many as there are held-out ones are drawn.
        held_out: Rows of held-out instances.
        samples: Rows of samples.
        seed: Seed of the draw and the shuffles.

    Example:
        >>> rows = np.arange(40.0)[:, None]
        >>> found = collapse(rows[::2], rows[1::2], np.repeat(rows[:20:2], 3, 0) + 0.1, seed=0)
        >>> found.share, found.control, found.clusters[0], found.p_value
        (1.0, 0.0, (0, 3), 0.001)
    """
    rng = np.random.default_rng(derive(seed, "collapse"))
    k = min(len_of(training), len_of(held_out))
    kept = [np.sort(rng.permutation(len_of(rows))[:k]) for rows in (training, held_out)]
    real = stack(training[kept[0]], held_out[kept[1]])
    gap, _ = nearest(real, real, np.arange(2 * k, dtype=np.int64))
    distance, place = nearest(samples, real)
    counts = np.bincount(place[distance <= _WITHIN * gap[place]], minlength=2 * k)
    counts[counts < _LEAST] = 0
    found, n = int(counts[:k].sum()), len_of(samples)
    shuffled = np.array([counts[rng.permutation(2 * k)[:k]].sum() for _ in range(_DRAWS)])
    hits = np.flatnonzero(counts[:k])
    hits = hits[np.argsort(-counts[hits], kind="stable")]
    clusters = tuple((int(kept[0][at]), int(counts[at])) for at in hits)
    p_value = (1 + int((shuffled >= found).sum())) / (_DRAWS + 1)
    return Collapse(found / n, int(counts[k:].sum()) / n, p_value, clusters, k)
