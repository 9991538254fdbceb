"""How far the samples of several models are from the anchors, and from each other."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.evaluation.features import extract_features
from pxgen_plugins.evaluation.frechet import frechet_distance
from pxgen_plugins.evaluation.kernel import kernel_distance
from pxgen_plugins.utils.errors import PXGenWarning
from pxgen_plugins.utils.files import plain
from pxgen_plugins.utils.seeds import derive
from pxgen_plugins.utils.sequences import even_positions

__all__ = ["ANCHORS", "SampleDistance", "SampleSets"]

ANCHORS = "anchors"
"""Name of the anchors among the sets."""

MOST = 2_000
"""Instances of a set, at most."""

_SUBSETS = 10  # of the kernel distance: enough for a standard error
_LARGEST = 500  # rows of a subset: its default


@dataclass(frozen=True)
class SampleDistance:
    """Two distances of two sets of n instances each.

    Attributes:
        frechet: Squared Frechet distance (:func:`pxgen_plugins.evaluation.frechet_distance`).
        kernel: Squared kernel distance, unbiased
            (:func:`pxgen_plugins.evaluation.kernel_distance`).
        kernel_error: Its standard error; NaN where there is a single subset.
        n: Instances of each set.
        n_features: Features of an instance.
    """

    frechet: float
    kernel: float
    kernel_error: float
    n: int
    n_features: int

    @classmethod
    def of(cls, one: NDArray[Any], other: NDArray[Any], seed: int) -> SampleDistance:
        """Return the distances of two sets of features, (n, d) each, n >= 2."""
        n, d = one.shape
        size = min(max(n // _SUBSETS, 2), _LARGEST)
        with warnings.catch_warnings():
            # the bias of few rows is the same in all of them, and SampleSets.notes says so
            warnings.simplefilter("ignore", PXGenWarning)
            frechet = frechet_distance(one, other)
        kernel = kernel_distance(one, other, subset_size=size, seed=seed)
        return cls(frechet, kernel.value, kernel.standard_error, n, d)

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as strict JSON holds them."""
        content: dict[str, Any] = plain(asdict(self))
        return content


@dataclass
class SampleSets:
    """As many samples of every model as there are anchors, in one range, and their features.

    Args:
        anchors: The usable anchors, (n, *sample_shape), as ``data_range`` says.
        data_range: The range of all sets; None takes them as they are.
        network: What makes features of a batch in that range, as for
            :func:`pxgen_plugins.evaluation.extract_features`; None takes the elements themselves.
        seed: Seed of all models' samples.

    Attributes:
        samples: By model, (n, *sample_shape).
        notes: What a reader of the distances must know.
    """

    anchors: NDArray[np.float32]
    data_range: tuple[float, float] | None
    network: Any = None
    seed: int = 0
    samples: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.anchors = self.anchors[even_positions(len(self.anchors), MOST)]

    def draw(self, name: str, model: Any) -> None:
        """Draw a model's samples, and scale them to the common range."""
        if "sample" not in model.capabilities:
            self.notes.append(f"{name} cannot sample: it has no distances.")
            return
        drawn = model.sample(len(self.anchors), derive(self.seed, "samples"))
        x = drawn.detach().float().cpu().numpy()
        if self.data_range is not None and model.data_range not in (None, self.data_range):
            (low, high), (first, last) = self.data_range, model.data_range
            x = low + (x - first) * ((high - low) / (last - first))
            x = np.clip(x, low, high)  # rounding must not leave the range
        self.samples[name] = x

    def distances(self) -> dict[str, SampleDistance]:
        """Return the distances of every model's samples to the anchors, then of all pairs.

        By pair of names, as in ``"VAE / anchors"``; empty with fewer than two anchors.
        """
        if len(self.anchors) < 2 or not self.samples:
            return {}
        sets: Mapping[str, NDArray[np.float32]] = {**self.samples, ANCHORS: self.anchors}
        features = {
            name: extract_features(x, self.network, data_range=self.data_range)
            for name, x in sets.items()
        }
        pairs = [(name, ANCHORS) for name in self.samples]
        pairs += list(itertools.combinations(self.samples, 2))
        found = {
            f"{a} / {b}": SampleDistance.of(features[a], features[b], self.seed) for a, b in pairs
        }
        n, d = features[ANCHORS].shape
        if n <= d:
            self.notes.append(
                f"Frechet distances of {n:,} instances in {d:,} features are biased upwards, all "
                "alike: compare them with each other only, or measure in fewer features (network=)."
            )
        return found
