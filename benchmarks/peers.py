"""Other packages' ways to pick k rows that cover a table, each behind the same call.

None of them is needed: the benchmark names those that are not installed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["PEERS", "Peer", "Pick", "Table"]

Table = NDArray[np.float32]
Pick = Callable[[Table, int], NDArray[np.int64]]


@dataclass(frozen=True)
class Peer:
    """A function of another package.

    Attributes:
        name: The package and, where it has several, the function.
        how: The algorithm, in words.
        load: Imports the package; returns a function of a table and k that returns the picks.
    """

    name: str
    how: str
    load: Callable[[], Pick]


def _fpsample() -> Pick:
    import fpsample

    return lambda X, k: _index(fpsample.fps_sampling(X, k, start_idx=0))


def _scikit_activeml() -> Pick:
    from skactiveml.pool import k_greedy_center

    def pick(X: Table, k: int) -> NDArray[np.int64]:
        labels = np.full(len(X), np.nan)
        labels[0] = 0.0  # the first pick; the others are queried
        return np.append(0, _index(k_greedy_center(X, labels, batch_size=k - 1)[0]))

    return pick


def _scikit_learn() -> Pick:
    from sklearn.cluster import kmeans_plusplus

    return lambda X, k: _index(kmeans_plusplus(X, k, random_state=0)[1])


def _scikit_matter() -> Pick:
    from skmatter.sample_selection import FPS

    return lambda X, k: _index(FPS(n_to_select=k, initialize=0).fit(X).selected_idx_)


def _small_text() -> Pick:
    from small_text.query_strategies.coresets import greedy_coreset

    def pick(X: Table, k: int) -> NDArray[np.int64]:
        rows, first = np.arange(len(X)), np.array([0])
        # batches of its default size of 100 would be copied 10,000 times each step
        others = greedy_coreset(X, rows, first, k - 1, "euclidean", batch_size=100_000)
        return np.append(0, _index(others))

    return pick


def _torch_cluster() -> Pick:
    from torch_cluster import fps

    return lambda X, k: _index(fps(torch.from_numpy(X), ratio=k / len(X), random_start=False))


def _index(picks: Any) -> NDArray[np.int64]:
    return np.asarray(picks, dtype=np.int64)


_FARTHEST = "farthest-first"
PEERS = (
    Peer("fpsample", _FARTHEST, _fpsample),
    Peer("scikit-activeml k_greedy_center", _FARTHEST, _scikit_activeml),
    Peer("scikit-learn kmeans_plusplus", "drawn by squared distance", _scikit_learn),
    Peer("scikit-matter", _FARTHEST, _scikit_matter),
    Peer("small-text greedy_coreset", _FARTHEST, _small_text),
    Peer("torch-cluster", _FARTHEST, _torch_cluster),
)
