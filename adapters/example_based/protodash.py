"""ProtoDash: weighted prototypes whose kernel mean is nearest to that of the anchors."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.adapters._anchors import AnchorReader, Floats
from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.example_based._kernels import gaussian, kernel_mean, pair_scale
from pxgen_plugins.adapters.example_based._protodash import Prototypes, select
from pxgen_plugins.adapters.example_based._prototypes import PrototypeAdapter, label_keys
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.optional import load
from pxgen_plugins.utils.seeds import derive

__all__ = ["DEFAULT_DATA_PROTODASH", "ProtoDash"]

KERNELS = ("gaussian", "linear")
BACKENDS = ("native", "aix360")

DEFAULT_DATA_PROTODASH: dict[str, Any] = {
    "indices": np.empty(0, dtype=np.int64),
    "weights": np.empty(0),
    "normalized_weights": np.empty(0),
    "objective": np.empty(0),
    "labels": None,
    "label_counts": {},
    "source": "anchors",
    "kernel": "gaussian",
    "sigma": None,
    "space": "latent",
    "n_explained": 0,
    "n_candidates": 0,
    "invalid": np.empty(0, dtype=np.int64),
    "reasons": [],
}
"""Default data of ProtoDash, to be deep-copied; its docstring has the keys."""


@register("protodash")
@dataclass(repr=False, eq=False, kw_only=True)
class ProtoDash(PrototypeAdapter):
    """Prototypes with importance weights (Gurumoorthy, Dhurandhar, Cecchi and Aggarwal 2019).

    Maximises w' u - w' K w / 2 over w >= 0 with at most ``n_prototypes`` entries above 0, where u
    is the mean kernel between candidate and explained anchors and K the kernel between candidates:
    minus half the squared maximum mean discrepancy between the anchors and the weighted
    prototypes, up to a constant. Greedily: the candidate with the steepest gradient joins, and all
    weights are found anew by non-negative least squares.

    The native backend agrees with AIX360's on indices and weights, but for one fault of AIX360:
    its first remaining candidate can never win a step, so row 0 is never the first prototype, good
    as it may be. AIX360 also takes weights below 0 under a linear kernel whose first step has them.

    Args:
        predictor: A model.
        n_prototypes: Prototypes to pick, >= 1; with fewer candidates, all of them.
        kernel: ``"gaussian"`` or ``"linear"`` (of little use on centred latent codes).
        sigma: Width of the Gaussian kernel exp(-d^2 / (2 sigma^2)), in the space's units; None
            takes the median distance between candidates.
        backend: ``"native"`` or ``"aix360"`` (slower, for reference).
        seed: Seed of the anchors that the median distance is taken from.
        space, batch_size, verbose: See the base class.

    Fields:
        indices (int64 (k,)): The k prototypes in the order in which they were picked, as indices
            into the anchors, or into what ``fit`` was given (see ``source``). Empty, as all that
            follows, without a usable anchor or candidate.
        weights (float64 (k,)): Importance of each; higher = it stands for more of the anchors. >=
            0, but for AIX360 with a linear kernel.
        normalized_weights (float64 (k,)): The same as shares: their sum is 1, or 0 where all are 0.
        objective (float64 (k,)): Value of the objective after each pick; higher = closer to the
            anchors.
        labels (str (k,)): Labels of the prototypes; None where none were given.
        label_counts (dict): How many prototypes have each label, by label; {} without labels.
        source (str): Where prototypes come from: ``"anchors"`` or ``"fit"``.
        kernel (str): The kernel.
        sigma (float): Its width, in units of the space; None for the linear kernel, and where
            nothing was explained.
        space (str): The space, or a callable in words.
        n_explained (int): Anchors explained.
        n_candidates (int): Instances that could be picked.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model lacks what the space needs.

    Cost: n model passes, O(n c d) for the kernel mean (c candidates), O(c k d + c k^2) for the
    picks; memory O((n + c) d + c k).

    Example:
        >>> import numpy as np, torch
        >>> from pxgen_plugins.models import VAE
        >>> model = VAE(encode=lambda x: (x[:, :2], torch.zeros_like(x[:, :2]) - 1),
        ...             decode=lambda z: torch.cat([z, z], 1).sigmoid(),
        ...             modules=(), sample_shape=(4,))
        >>> X = np.zeros((6, 4)); X[3:, :2] = 1.0
        >>> explanation = ProtoDash(model, n_prototypes=2, sigma=0.5).explain(X)
        >>> explanation.indices.tolist(), explanation.normalized_weights.tolist()
        ([0, 3], [0.5, 0.5])
    """

    defaults = DEFAULT_DATA_PROTODASH

    kernel: str = "gaussian"
    sigma: float | None = None
    backend: str = "native"

    def _check(self) -> None:
        super()._check()
        self.kernel = validation.choice(self.kernel, "kernel", KERNELS)
        if self.sigma is not None:
            self.sigma = validation.real(self.sigma, "sigma", above=0.0)
        self.backend = validation.choice(self.backend, "backend", BACKENDS)
        self._pool: Floats | None = None
        self._pool_labels: NDArray[np.str_] | None = None

    def fit(self, X: Any = None, labels: Any = None) -> ProtoDash:
        """Take the candidates from ``X`` instead of from the anchors explained.

        Args:
            X: Candidates, such as the training set; None goes back to the anchors. Their features
                are kept, not their pixels.
            labels: Labels of the candidates, for the counts in the explanation.

        Returns:
            The explainer itself.

        Raises:
            AnchorError: When ``X`` does not fit the model.
        """
        self._forget()
        if X is not None:
            with self._call("fit"):
                reader = AnchorReader(X, self.predictor, self.batch_size, labels=labels)
                self._pool = reader.features(self.space, verbose=self.verbose)
                self._pool_labels = reader.anchors.labels
        return self

    def _forget(self) -> None:
        self._pool = self._pool_labels = None

    def _explain(self, X: Any, members: Any, labels: Any) -> dict[str, Any]:
        reader, indices, table = self._read(X, members, labels)
        explained = np.isfinite(table).all(axis=1)
        if self._pool is None:
            origin, candidates, names = indices[explained], table[explained], reader.anchors.labels
        else:
            valid = np.isfinite(self._pool).all(axis=1)
            origin, candidates = np.flatnonzero(valid), self._pool[valid]
            names = self._pool_labels
        data = {
            "source": "anchors" if self._pool is None else "fit",
            "kernel": self.kernel,
            "space": self._params()["space"],
            "n_explained": int(explained.sum()),
            "n_candidates": len(candidates),
            **reader.exclusions(),
        }
        if not explained.any() or not len(candidates):
            return data
        sigma = None
        if self.kernel == "gaussian":
            sigma = self.sigma or pair_scale(candidates, derive(self.seed, "sigma"))
        pick = self._aix360 if self.backend == "aix360" else self._native
        prototypes = pick(table[explained], candidates, sigma)
        total = prototypes.weights.sum()
        return {
            **data,
            "indices": origin[prototypes.indices],
            "weights": prototypes.weights,
            "normalized_weights": prototypes.weights / (total if total > 0 else 1.0),
            "objective": prototypes.objective,
            "sigma": sigma,
            **label_keys(names, origin[prototypes.indices]),
        }

    def _native(self, rows: Floats, candidates: Floats, sigma: float | None) -> Prototypes:
        mean = kernel_mean(rows, candidates, sigma)
        if sigma is None:
            norms = np.einsum("ij,ij->i", candidates, candidates)
            return select(mean, norms, lambda i: candidates @ candidates[i], self.n_prototypes)

        def column(i: int) -> Floats:
            return gaussian(candidates, candidates[[i]], sigma)[:, 0]

        return select(mean, np.ones(len(candidates)), column, self.n_prototypes)

    def _aix360(self, rows: Floats, candidates: Floats, sigma: float | None) -> Prototypes:
        home = load("aix360.algorithms.protodash", "aix360")
        noise = io.StringIO()  # its solver writes to standard output
        with contextlib.redirect_stdout(noise), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            weights, indices, objective = home.ProtodashExplainer().explain(
                rows,
                candidates,
                m=min(self.n_prototypes, len(candidates)),
                kernelType="other" if sigma is None else "Gaussian",  # any other word is linear
                sigma=1.0 if sigma is None else sigma,
            )
        return Prototypes(
            np.asarray(indices, dtype=np.int64),
            np.asarray(weights, dtype=np.float64).reshape(-1),
            np.asarray(objective, dtype=np.float64).reshape(-1),
        )
