"""Which training instances the model gives back, each with a p-value against held-out ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.groups.p_values import control_p_values
from pxgen_plugins.utils.nearest import len_of, nearest
from pxgen_plugins.utils.seeds import derive

__all__ = ["Returned", "returned"]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
_SCALE_ROWS = 20_000  # real instances that say how far apart neighbours are


@dataclass(frozen=True)
class Returned:
    """Closeness of real instances to the model's samples.

    Attributes:
        closeness: Distance of each training instance to the nearest sample over that to the nearest
            other real instance, (n,).
        control: The same of the held-out instances, (m,).
        sample: The sample nearest to each training instance, int64 (n,).
        distance: Its distance, (n,).
        p_values: Of "no more remembered than a held-out one", (n,).
        adjusted: Adjusted for their number, (n,).
    """

    closeness: Floats
    control: Floats
    sample: Indices
    distance: Floats
    p_values: Floats
    adjusted: Floats


def returned(
    training: Any, held_out: Any, samples: Any, counts: NDArray[np.int64], seed: int
) -> Returned:
    """Return how close samples come to each training instance, against held-out ones.

    Training and held-out instances are split at random, so that to a model that remembers none of
    them they are exchangeable: the rank of a training instance's closeness among the held-out ones
    is a valid p-value, whatever the samples look like. Distances are relative to the nearest
    other real instance, which treats crowded and empty regions alike.

    Instances that stand several times in the training set are adjusted among themselves, each set
    at half of the false discovery rate (their values here are doubled): they are few, and what
    gets memorised (Lee et al. 2022, "Deduplicating training data makes language models better").

    Args:
        training: Rows of distinct training instances, (n, d).
        held_out: Rows of distinct held-out ones, (m, d), none of them in ``training``.
        samples: Rows of the model's samples, (N, d).
        counts: How often each training instance stands in the training set, int64 (n,).
        seed: Seed of the real instances that distances are relative to, at most 20,000.

    Cost: O((n + m)(N + min(n + m, 20,000)) d).
    """
    from scipy.stats import false_discovery_control

    n, m = len_of(training), len_of(held_out)
    distance, sample = nearest(training, samples)
    of_control, _ = nearest(held_out, samples)
    rng = np.random.default_rng(derive(seed, "scale"))
    chosen = np.sort(rng.permutation(n + m)[:_SCALE_ROWS])
    places = np.full(n + m, -1, dtype=np.int64)
    places[chosen] = np.arange(len(chosen))
    real = stack(training, held_out)
    scale, _ = nearest(real, real[chosen], places)
    closeness = _ratio(distance, scale[:n])
    control = _ratio(of_control, scale[n:])
    p_values = control_p_values(closeness, control)
    several = counts > 1
    both = several.any() and not several.all()
    final = np.empty(n)
    for some in (several, ~several):
        if some.any():
            rates = false_discovery_control(p_values[some]) * (2.0 if both else 1.0)
            final[some] = np.minimum(rates, 1.0)
    return Returned(closeness, control, sample, distance, p_values, final)


def stack(one: Any, other: Any) -> Any:
    """Return the rows of two arrays or sparse matrices under each other."""
    if isinstance(one, np.ndarray):
        return np.concatenate([one, other])
    from scipy.sparse import vstack

    return vstack([one, other], format="csr")


def _ratio(distance: Floats, scale: Floats) -> Floats:
    # distinct instances with equal features are at 0 of each other: nothing is closer than that
    return np.where(distance > 0.0, distance / np.where(scale > 0.0, scale, np.nan), 0.0)
