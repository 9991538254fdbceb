"""Maps from features to the plane: made from rows, and applied to new ones where they can be."""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.adapters._anchors import Floats
from pxgen_plugins.utils.errors import AnchorError, ParameterError
from pxgen_plugins.utils.optional import install_line, load

__all__ = ["MAPS", "Map", "tsne_backend"]

_FEWEST = 4  # different rows: a perplexity of 1 has three neighbours
_FIRST = 50  # components kept before t-SNE and UMAP, as van der Maaten and Hinton 2008 did


class Map(Protocol):
    """A fitted map; its attributes are arrays and numbers, so that it can be saved."""

    coordinates: Floats

    def transform(self, rows: Floats) -> Floats:
        """Return coordinates (b, c) of new rows (b, d)."""


class PCAMap:
    """Principal components; signs are fixed so that the largest loading of each is positive.

    Attributes:
        coordinates: Of the rows it was made from, (n, c).
        loadings: Components, (c, d).
        ratio: Share of the variance that each explains, (c,).
    """

    def __init__(self, rows: Floats, components: int, seed: int, **_: Any) -> None:
        from sklearn.decomposition import PCA

        kept = min(components, *rows.shape)
        # centred here: a solver may subtract the mean's square from sums of squares, which far from
        # 0 are the same up to rounding
        self.mean: Floats = rows.mean(axis=0)
        pca = PCA(kept, random_state=seed).fit(rows - self.mean)
        self.loadings: Floats = np.zeros((components, rows.shape[1]))
        self.ratio: Floats = np.zeros(components)
        self.loadings[:kept] = pca.components_
        self.ratio[:kept] = np.nan_to_num(pca.explained_variance_ratio_)
        largest = np.abs(self.loadings).argmax(axis=1)
        signs = np.sign(self.loadings[np.arange(components), largest])
        self.loadings *= np.where(signs == 0, 1.0, signs)[:, None]
        self.coordinates = self.transform(rows)

    def transform(self, rows: Floats) -> Floats:
        """Return the scores of rows, (b, c)."""
        scores: Floats = (rows - self.mean) @ self.loadings.T
        return scores


class _AfterPCA:
    """Centred and scaled, and principal components first, where dimensions are many.

    Neither t-SNE nor UMAP depends on the scale, but their arithmetic does: on equal points
    scikit-learn's t-SNE divides by zero and takes the process down, so these are refused here.

    Raises:
        AnchorError: When fewer than 4 rows differ.
    """

    def __init__(self, rows: Floats, seed: int) -> None:
        self.middle: Floats = rows.mean(axis=0)
        self.size = float(np.abs(rows - self.middle).max()) or 1.0
        scaled = (rows - self.middle) / self.size
        different = _different(scaled.astype(np.float32))
        if different < _FEWEST:
            hint = "Use method='pca'; equal codes of different anchors mean a collapsed encoder."
            allowed = f"at least {_FEWEST} anchors with different features, for such a map"
            got = f"{len(rows)} anchors, {different} different"
            raise AnchorError("X", allowed, got, hint)
        self.first = PCAMap(scaled, _FIRST, seed) if rows.shape[1] > _FIRST else None
        self.rows = self.reduce(rows)
        self.seed = seed

    def reduce(self, rows: Floats) -> Floats:
        scaled: Floats = (rows - self.middle) / self.size
        return scaled if self.first is None else self.first.transform(scaled)


def _different(rows: NDArray[np.float32]) -> int:
    """Return how many rows differ, at most 4; O(n d)."""
    count = 0
    while len(rows) and count < _FEWEST:
        rows = rows[(rows != rows[0]).any(axis=1)]
        count += 1
    return count


class OpenTSNEMap(_AfterPCA):
    """t-SNE by openTSNE (Policar, Strazar and Zupan 2019), which can place new rows."""

    def __init__(self, rows: Floats, components: int, seed: int, *, perplexity: float) -> None:
        super().__init__(rows, seed)
        self.perplexity = min(perplexity, max(1.0, (len(rows) - 1) / 3.0))
        home = load("openTSNE", "opentsne")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            points = home.TSNE(
                n_components=components,
                perplexity=self.perplexity,
                random_state=seed,
                n_jobs=1,
                negative_gradient_method="auto" if components <= 2 else "bh",
            ).fit(self.rows)
        self.coordinates: Floats = np.asarray(points, dtype=np.float64)

    def transform(self, rows: Floats) -> Floats:
        """Return where new rows fit among the old, (b, c); a row does not move another."""
        home = load("openTSNE", "opentsne")
        affinity = load("openTSNE.affinity", "opentsne")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            between = affinity.PerplexityBasedNN(
                self.rows, perplexity=self.perplexity, random_state=self.seed, n_jobs=1
            )
            points = home.TSNEEmbedding(
                self.coordinates.copy(), between, random_state=self.seed, n_jobs=1
            ).transform(self.reduce(rows))
        return np.asarray(points, dtype=np.float64)


class SklearnTSNEMap(_AfterPCA):
    """t-SNE by scikit-learn, which cannot place new rows."""

    def __init__(self, rows: Floats, components: int, seed: int, *, perplexity: float) -> None:
        from sklearn.manifold import TSNE

        super().__init__(rows, seed)
        limit = max(1.0, (len(rows) - 1) / 3.0)
        points = TSNE(
            n_components=components,
            perplexity=min(perplexity, limit),
            random_state=seed,
            init="pca" if min(self.rows.shape) >= components else "random",
        ).fit_transform(self.rows)
        self.coordinates: Floats = np.asarray(points, dtype=np.float64)

    def transform(self, rows: Floats) -> Floats:
        """Raise: this map has no place for new rows.

        Raises:
            ParameterError: Always.
        """
        hint = f"Install openTSNE ({install_line('opentsne')}), or use method='pca'."
        allowed = "a method that can place new anchors"
        raise ParameterError("backend", allowed, "'sklearn'", hint)


class UMAPMap(_AfterPCA):
    """UMAP (McInnes, Healy and Melville 2018); costs 10 to 45 s of compilation per process.

    Its own object cannot be kept as arrays, so a map that was loaded is made anew, with the same
    seed, when new rows come.
    """

    def __init__(self, rows: Floats, components: int, seed: int, *, n_neighbors: int) -> None:
        super().__init__(rows, seed)
        self.components = components
        self.n_neighbors = max(2, min(n_neighbors, len(rows) - 1))
        self._fitted: Any = self._fit()
        self.coordinates: Floats = np.asarray(self._fitted.embedding_, dtype=np.float64)

    def _fit(self) -> Any:
        home = load("umap", "umap")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return home.UMAP(
                n_components=self.components,
                n_neighbors=self.n_neighbors,
                random_state=self.seed,
                n_jobs=1,
                init="spectral" if len(self.rows) > self.components + 2 else "random",
            ).fit(self.rows)

    def transform(self, rows: Floats) -> Floats:
        """Return where new rows fit among the old, (b, c)."""
        if self._fitted is None:
            self._fitted = self._fit()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(self._fitted.transform(self.reduce(rows)), dtype=np.float64)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_fitted": None}


MAPS: dict[str, Any] = {
    "pca": PCAMap,
    "opentsne": OpenTSNEMap,
    "sklearn": SklearnTSNEMap,
    "umap": UMAPMap,
}


def tsne_backend(backend: str | None) -> str:
    """Return the t-SNE to use: as named, else openTSNE where it is installed."""
    if backend is not None:
        return backend
    return "opentsne" if importlib.util.find_spec("openTSNE") is not None else "sklearn"
