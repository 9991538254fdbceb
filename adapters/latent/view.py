"""The latent space in a plane: PCA, t-SNE or UMAP, with a judgement of what the plane keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.adapters._anchors import AnchorReader, Floats, as_array, check_space
from pxgen_plugins.adapters.base import Adapter, NotFittedError, register
from pxgen_plugins.adapters.latent._projections import MAPS, PCAMap, tsne_backend
from pxgen_plugins.adapters.latent._view_quality import view_quality
from pxgen_plugins.host import Explanation
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import AnchorError, ParameterError, short_repr
from pxgen_plugins.utils.seeds import derive

__all__ = ["DEFAULT_DATA_VIEW", "LatentView"]

METHODS = ("pca", "tsne", "umap")
SPACES = ("latent", "sample", "pixel")
BACKENDS = ("opentsne", "sklearn")
_MOST = 2_000  # rows whose neighbours are compared: 64 MB of distances

DEFAULT_DATA_VIEW: dict[str, Any] = {
    "coordinates": np.empty((0, 2)),
    "method": "pca",
    "backend": None,
    "space": "latent",
    "explained_variance_ratio": None,
    "loadings": None,
    "trustworthiness": None,
    "continuity": None,
    "neighbour_preservation": None,
    "n_neighbors": None,
    "n_judged": 0,
    "n_fitted": 0,
    "group": None,
    "labels": None,
    "ids": None,
    "criteria": [],
    "units": [],
    "values": None,
    "invalid": np.empty(0, dtype=np.int64),
    "reasons": [],
}
"""Default data of LatentView, to be deep-copied; its docstring has the keys."""


@register("latent_view")
@dataclass(repr=False, eq=False)
class LatentView(Adapter):
    """A view of the anchors' codes in few dimensions.

    ``explain(X)`` makes the map from ``X`` itself, or, after ``fit``, places ``X`` on the map of
    the data that ``fit`` was given.

    Args:
        predictor: A model.
        method: ``"pca"``, ``"tsne"`` (van der Maaten and Hinton 2008) or ``"umap"`` (McInnes, Healy
            and Melville 2018; compiles for 10 to 45 s in every process).
        n_components: Dimensions of the view, 2 or 3.
        space: ``"latent"`` (posterior means, or embeddings), ``"sample"`` (one seeded posterior
            draw per anchor), ``"pixel"``, or a callable from anchors as the model takes them, a
            tensor (b, *sample_shape), to features (of a classifier, say).
        n_neighbors: Neighbours that UMAP keeps together, and that the view is judged by.
        perplexity: Neighbours that t-SNE keeps together, about; less when there are few anchors.
        backend: t-SNE's: ``"opentsne"`` (can place new anchors), ``"sklearn"``, or None for the
            first that is installed.
        seed: Seed of draws and maps.
        batch_size: Instances per model call.
        verbose: Show progress bars on stderr.

    Fields:
        coordinates (float64 (n, c)): Of n anchors in c components; NaN for anchors left out.
        method (str): How the map was made.
        backend (str): Of t-SNE; None for other methods.
        space (str): The space, or a callable in words.
        explained_variance_ratio (float64 (c,)): Share of the variance along each axis of a PCA;
            None for other methods.
        loadings (float64 (c, d)): Weight of each of d features (latent dimensions) in each axis of
            a PCA; None for other methods.
        trustworthiness (float): 1 = no neighbours in the view are far apart in the features; lower
            is worse; None for fewer than 4 anchors.
        continuity (float): 1 = no neighbours in the features are far apart in the view; None
            likewise.
        neighbour_preservation (float): Mean share, in [0, 1], of the nearest neighbours that are
            the same in both; None likewise.
        n_neighbors (int): Neighbours that these three look at; None likewise.
        n_judged (int): Anchors that they are measured on.
        n_fitted (int): Rows that the map was made from.
        group, labels, ids (str (n,)): What points can be coloured by, and names; None where none
            were given.
        criteria (list of str): m criteria whose values were given.
        units (list of str): Their units, "" where unknown.
        values (float64 (n, m)): Values of the criteria, NaN where they have none; None where none
            were given.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model lacks what the space needs.

    Cost: n model passes; PCA O(n d^2), t-SNE and UMAP about O(n log n); the judgement O(m^2 d) with
    m = min(n, 2,000).

    Example:
        >>> import numpy as np, torch
        >>> from pxgen_plugins.models import VAE
        >>> model = VAE(encode=lambda x: (x[:, :2], torch.zeros_like(x[:, :2]) - 1),
        ...             decode=lambda z: torch.cat([z, z], 1).sigmoid(),
        ...             modules=(), sample_shape=(4,))
        >>> X = np.random.default_rng(0).random((20, 4))
        >>> explanation = LatentView(model).explain(X)
        >>> explanation.coordinates.shape, round(explanation.trustworthiness, 6)
        ((20, 2), 1.0)
    """

    evidence = "embedding"
    access = "latent"
    scope: ClassVar[list[str]] = ["global"]
    learns_from = ""
    defaults = DEFAULT_DATA_VIEW

    method: str = "pca"
    _: KW_ONLY
    n_components: int = 2
    space: str | Callable[[Any], Any] = "latent"
    n_neighbors: int = 15
    perplexity: float = 30.0
    backend: str | None = None

    def _check(self) -> None:
        super()._check()
        self.method = validation.choice(self.method, "method", METHODS)
        self.n_components = validation.integer(self.n_components, "n_components", minimum=2)
        if self.n_components > 3:
            hint = "A view has two or three dimensions."
            raise ParameterError("n_components", "2 or 3", str(self.n_components), hint)
        check_space(self.space, SPACES)
        self.n_neighbors = validation.integer(self.n_neighbors, "n_neighbors", minimum=1)
        self.perplexity = validation.real(self.perplexity, "perplexity", minimum=1.0)
        if self.backend is not None:
            self.backend = validation.choice(self.backend, "backend", BACKENDS)
        self._map: Any = None
        self._fitted_rows: Floats | None = None

    def _check_model(self, model: Any) -> None:
        check_space(self.space, SPACES, model)

    def fit(self, X: Any = None) -> LatentView:
        """Make the map from ``X``; later anchors are placed on it.

        Args:
            X: Reference anchors; None goes back to making a map from the anchors explained.

        Returns:
            The explainer itself.

        Raises:
            AnchorError: When ``X`` does not fit the model, or has fewer than 2 finite anchors.
            MissingDependencyError: When the method's library is not installed.
        """
        self._forget()
        if X is not None:
            with self._call("fit"):
                rows = self._reader(X).features(self.space, verbose=self.verbose)
                self._fitted_rows = rows[np.isfinite(rows).all(axis=1)]
                self._map = self._make_map(self._fitted_rows)
        return self

    def model_calls(self, n: int) -> Mapping[str, float]:
        """Return how often ``explain`` calls the model for ``n`` anchors."""
        return {"embed": n} if self.space in ("latent", "sample") else {}

    def explain(  # type: ignore[override]  # named arguments in the place of any
        self, X: Any, labels: Any = None, groups: Any = None, values: Any = None
    ) -> Explanation:
        """Return the view of the anchors.

        Args:
            X: Anchors, (n, *sample_shape).
            labels: n labels, to colour the points by.
            groups: n names of groups; or a PXGen explanation of the same anchors, which gives
                groups, criterion values and labels at once.
            values: {criterion: n values}.

        Returns:
            Alibi's Explanation, with :data:`DEFAULT_DATA_VIEW`.

        Raises:
            AnchorError: When the anchors do not fit the model, or are too few to make a map from.
            ParameterError: When groups or values are not one per anchor.
            MissingDependencyError: When the method's library is not installed.
        """
        names = groups if hasattr(groups, "data") else as_array(groups)
        table = _Table(values) if isinstance(values, Mapping) else values
        return super().explain(X, labels=as_array(labels), groups=names, values=table)

    def transform(self, X: Any) -> Floats:
        """Return the coordinates (n, c) of new anchors on the fitted map; NaN for invalid ones.

        Raises:
            NotFittedError: Before ``fit(X)``.
            ParameterError: When the method cannot place new anchors.
        """
        if self._map is None:
            raise NotFittedError(type(self).__name__)
        with self._call("transform"):
            return self._place(self._reader(X).features(self.space))

    def _forget(self) -> None:
        self._map = self._fitted_rows = None

    def _reader(self, X: Any, labels: Any = None) -> AnchorReader:
        seed = self.seed
        return AnchorReader(X, self.predictor, self.batch_size, seed=seed, labels=labels)

    def _make_map(self, rows: Floats) -> Any:
        if len(rows) < 2:
            hint = "Give more anchors, or check them for NaN and infinity."
            allowed = "at least 2 finite anchors, to make a map from"
            raise AnchorError("X", allowed, str(len(rows)), hint)
        options: dict[str, Any] = {}
        if self.method == "tsne":
            options = {"perplexity": self.perplexity}
        elif self.method == "umap":
            options = {"n_neighbors": self.n_neighbors}
        kind = tsne_backend(self.backend) if self.method == "tsne" else self.method
        return MAPS[kind](rows, self.n_components, derive(self.seed, "map") % 2**31, **options)

    def _place(self, rows: Floats) -> Floats:
        """Return coordinates on the fitted map; the rows it was made from keep their places."""
        valid = np.isfinite(rows).all(axis=1)
        places = np.full((len(rows), self.n_components), np.nan)
        if self._fitted_rows is not None and np.array_equal(rows[valid], self._fitted_rows):
            places[valid] = self._map.coordinates
        elif valid.any():
            places[valid] = self._map.transform(rows[valid])
        return places

    def _explain(
        self, X: Any, labels: Any = None, groups: Any = None, values: Any = None
    ) -> dict[str, Any]:
        reader = self._reader(X, labels)
        colours = _colours(groups, values, len(reader))
        table = reader.features(self.space, verbose=self.verbose)
        valid = np.isfinite(table).all(axis=1)
        projection = self._map
        if projection is None:
            projection = self._make_map(table[valid])
            coordinates = np.full((len(table), self.n_components), np.nan)
            coordinates[valid] = projection.coordinates
        else:
            coordinates = self._place(table)
        axes: dict[str, Any] = {}
        if isinstance(projection, PCAMap):
            axes = {"explained_variance_ratio": projection.ratio, "loadings": projection.loadings}
        seed = derive(self.seed, "judged")
        own_labels = reader.anchors.labels
        return {
            **axes,
            **colours,
            **view_quality(table[valid], coordinates[valid], self.n_neighbors, _MOST, seed),
            "coordinates": coordinates,
            "method": self.method,
            "backend": tsne_backend(self.backend) if self.method == "tsne" else None,
            "space": self._params()["space"],
            "n_fitted": len(projection.coordinates),
            "labels": colours.get("labels") if own_labels is None else own_labels,
            "ids": reader.anchors.ids,
            **reader.exclusions(),
        }


class _Table:
    """Values by criterion; described in metadata, not held."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = {str(name): as_array(column) for name, column in values.items()}

    def __repr__(self) -> str:
        return f"values of {', '.join(self.values)}"


def _colours(groups: Any, values: Any, n: int) -> dict[str, Any]:
    """Return groups, criteria, values and labels to colour by, checked to be one per anchor."""
    colours: dict[str, Any] = {}
    data = getattr(groups, "data", None)
    if isinstance(data, Mapping) and "group" in data:
        colours["group"] = _names(data["group"], "groups", n)
        colours["criteria"] = [str(name) for name in data["criteria"]]
        colours["units"] = [str(unit) for unit in data.get("units") or []]
        colours["values"] = np.asarray(data["values"], dtype=np.float64).reshape(n, -1)
        if data.get("labels") is not None:
            colours["labels"] = _names(data["labels"], "labels", n)
    elif groups is not None:
        colours["group"] = _names(groups, "groups", n)
    if values is not None:
        if not isinstance(values, _Table):
            hint = "Pass a mapping like {'kld': explanation.values[:, 0]}."
            allowed = "a mapping from criteria to values"
            raise ParameterError("values", allowed, short_repr(values), hint)
        columns = []
        for name, column in values.values.items():
            numbers = np.asarray(column, dtype=np.float64)
            if numbers.shape != (n,):
                hint = "Give the values of the same anchors, in the same order."
                got = short_repr(numbers)
                raise ParameterError(f"values[{name!r}]", f"of shape ({n},)", got, hint)
            columns.append(numbers)
        colours["criteria"], colours["units"] = list(values.values), [""] * len(columns)
        colours["values"] = np.stack(columns, axis=1) if columns else None
    return colours


def _names(value: Any, parameter: str, n: int) -> NDArray[np.str_]:
    names = np.asarray(value)
    if names.ndim != 1 or len(names) != n:
        hint = "Give those of the same anchors, in the same order."
        raise ParameterError(parameter, f"of shape ({n},)", short_repr(value), hint)
    return names.astype(np.str_)
