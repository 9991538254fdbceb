"""ProtoDash: weighted prototypes whose kernel mean is nearest to that of the anchors."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from alibi.api.interfaces import Explanation
from numpy.typing import NDArray

from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.example_based._protodash import Picked, select
from pxgen_plugins.adapters.example_based._kernels import gaussian, kernel_mean, pair_scale
from pxgen_plugins.adapters._anchors import (
    Floats,
    Rows,
    as_array,
    check_space,
    chosen_members,
    labels_of,
    space_text,
)
from pxgen_plugins.adapters.base import Adapter
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.optional import load
from pxgen_plugins.utils.seeds import derive

__all__ = ["DEFAULT_DATA_PROTODASH", "ProtoDash"]

KERNELS = ("gaussian", "linear")
BACKENDS = ("native", "aix360")
SPACES = ("latent", "pixel")

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
"""Data of an explanation by :class:`ProtoDash`; k prototypes, in the order they were picked.

- ``indices``: int64 (k,), into the anchors, or into what ``fit`` was given (see ``source``).
- ``weights``: float64 (k,), >= 0, the importance of each; ``normalized_weights`` sum to 1.
- ``objective``: float64 (k,), value of the objective after each pick; never falls.
- ``labels``: str (k,) or None; ``label_counts``: how many prototypes have each label.
- ``source``: ``"anchors"`` or ``"fit"``: where the prototypes come from.
- ``kernel``, ``sigma`` (width; None for the linear kernel), ``space``: as they were used.
- ``n_explained``, ``n_candidates``: anchors explained, and those that could be picked.
- ``invalid``, ``reasons``: anchors left out because they or their features are not finite.
"""


@register("protodash")
class ProtoDash(Adapter):
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
        space: ``"latent"`` (posterior means), ``"pixel"``, or a callable from a batch of anchors to
            features.
        backend: ``"native"`` or ``"aix360"`` (slower, for reference).
        seed: Seed of the anchors that the median distance is taken from.
        batch_size: Instances per model call.
        verbose: Show progress bars on stderr.

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
        ...             latent_shape=(2,), sample_shape=(4,))
        >>> X = np.zeros((6, 4)); X[3:, :2] = 1.0
        >>> explanation = ProtoDash(model, n_prototypes=2, sigma=0.5).explain(X)
        >>> explanation.indices.tolist(), explanation.normalized_weights.tolist()
        ([0, 3], [0.5, 0.5])
    """

    evidence = "prototypes"
    access = "latent"
    scope: ClassVar[list[str]] = ["global"]
    defaults = DEFAULT_DATA_PROTODASH

    def __init__(
        self,
        predictor: Any,
        n_prototypes: int = 10,
        *,
        kernel: str = "gaussian",
        sigma: float | None = None,
        space: str | Callable[[Any], Any] = "latent",
        backend: str = "native",
        seed: int = 0,
        batch_size: int = 256,
        verbose: bool = False,
    ) -> None:
        where = type(self).__name__
        self.n_prototypes = validation.integer(n_prototypes, "n_prototypes", where, minimum=1)
        self.kernel = validation.choice(kernel, "kernel", where, KERNELS)
        self.sigma = None if sigma is None else validation.real(sigma, "sigma", where, above=0.0)
        self.backend = validation.choice(backend, "backend", where, BACKENDS)
        self.space = space
        self._pool: Floats | None = None
        self._pool_labels: NDArray[np.str_] | None = None
        params = {
            "n_prototypes": n_prototypes,
            "kernel": kernel,
            "sigma": sigma,
            "space": space_text(space),
            "backend": backend,
        }
        super().__init__(predictor, params, seed=seed, batch_size=batch_size, verbose=verbose)

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
            rows = Rows(X, self.predictor, "ProtoDash.fit", self.batch_size, labels=labels)
            self._pool = rows.features(self.space, verbose=self.verbose)
            self._pool_labels = rows.anchors.labels
        return self

    def explain(  # type: ignore[override]  # named arguments in the place of any
        self, X: Any, members: Any = None, labels: Any = None
    ) -> Explanation:
        """Return the prototypes of the anchors, or of a group of them.

        Args:
            X: Anchors, (n, *sample_shape).
            members: Indices of the anchors that are explained, as in
                ``explanation.groups["HILE"]["indices"]``; None takes all.
            labels: n labels of the anchors.

        Returns:
            Alibi's Explanation, with :data:`DEFAULT_DATA_PROTODASH`. Without a valid anchor or
            candidate there is no prototype.

        Raises:
            AnchorError: When the anchors do not fit the model.
            ParameterError: When ``members`` are no indices of anchors.
            MissingDependencyError: When the backend is not installed.
        """
        given = None if members is None else np.asarray(members)
        return super().explain(X, members=given, labels=as_array(labels))

    def reset_predictor(self, predictor: Any) -> None:
        """See :meth:`Adapter.reset_predictor`."""
        check_space(self.space, predictor, type(self).__name__, SPACES)
        super().reset_predictor(predictor)

    def _forget(self) -> None:
        self._pool = self._pool_labels = None

    def _explain(self, X: Any, **kwargs: Any) -> dict[str, Any]:
        where = "ProtoDash.explain"
        rows = Rows(X, self.predictor, where, self.batch_size, labels=kwargs["labels"])
        members = chosen_members(kwargs["members"], len(rows), where)
        table = rows.features(self.space, members, verbose=self.verbose)
        explained = np.isfinite(table).all(axis=1)
        if self._pool is None:
            origin, candidates, names = members[explained], table[explained], rows.anchors.labels
        else:
            valid = np.isfinite(self._pool).all(axis=1)
            origin, candidates = np.flatnonzero(valid), self._pool[valid]
            names = self._pool_labels
        found = {
            "source": "anchors" if self._pool is None else "fit",
            "kernel": self.kernel,
            "space": space_text(self.space),
            "n_explained": int(explained.sum()),
            "n_candidates": len(candidates),
            **rows.found_invalid(),
        }
        if not explained.any() or not len(candidates):
            return found
        sigma = None
        if self.kernel == "gaussian":
            sigma = self.sigma or pair_scale(candidates, derive(self.seed, "sigma"))
        pick = self._aix360 if self.backend == "aix360" else self._native
        picked = pick(table[explained], candidates, sigma)
        indices = origin[picked.indices]
        total = picked.weights.sum()
        return {
            **found,
            "indices": indices,
            "weights": picked.weights,
            "normalized_weights": picked.weights / total if total > 0 else picked.weights,
            "objective": picked.objective,
            "sigma": sigma,
            **labels_of(names, indices),
        }

    def _native(self, rows: Floats, candidates: Floats, sigma: float | None) -> Picked:
        mean = kernel_mean(rows, candidates, sigma)
        if sigma is None:
            norms = np.einsum("ij,ij->i", candidates, candidates)
            return select(mean, norms, lambda i: candidates @ candidates[i], self.n_prototypes)

        def column(i: int) -> Floats:
            return gaussian(candidates, candidates[[i]], sigma)[:, 0]

        return select(mean, np.ones(len(candidates)), column, self.n_prototypes)

    def _aix360(self, rows: Floats, candidates: Floats, sigma: float | None) -> Picked:
        home = load("aix360.algorithms.protodash", "aix360", "ProtoDash: backend='aix360'")
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
        return Picked(
            np.asarray(indices, dtype=np.int64),
            np.asarray(weights, dtype=np.float64).reshape(-1),
            np.asarray(objective, dtype=np.float64).reshape(-1),
        )
