"""The latent space in a plane: PCA, t-SNE or UMAP, with a judgement of what the plane keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from alibi.api.interfaces import Explanation
from numpy.typing import NDArray

from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.latent._projections import MAPS, PCAMap, tsne_backend
from pxgen_plugins.adapters.latent._view_quality import judge
from pxgen_plugins.adapters._anchors import Floats, Rows, as_array, check_space, space_text
from pxgen_plugins.adapters.base import Adapter, NotFittedError, traceless
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import AnchorError, ParameterError, short_repr
from pxgen_plugins.utils.seeds import derive

__all__ = ["DEFAULT_DATA_VIEW", "LatentView"]

METHODS = ("pca", "tsne", "umap")
SPACES = ("latent", "sample", "pixel")
BACKENDS = ("opentsne", "sklearn")
_JUDGED = 2_000  # rows whose neighbours are compared: 64 MB of distances

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
"""Data of an explanation by :class:`LatentView`, for n anchors and c components.

- ``coordinates``: float64 (n, c), NaN for invalid anchors.
- ``method``, ``backend`` (of t-SNE, or None), ``space``: as they were used.
- ``explained_variance_ratio``: float64 (c,); ``loadings``: float64 (c, d), the weight of each
  feature (latent dimension) in each axis. PCA only, else None.
- ``trustworthiness``, ``continuity``, ``neighbour_preservation``: floats, 1 at best, over
  ``n_neighbors`` neighbours of ``n_judged`` anchors; None for fewer than 4.
- ``n_fitted``: rows the map was made from.
- ``group``, ``labels``, ``ids``: str (n,) or None. ``values``: float64 (n, m) of the ``criteria``
  (with ``units``), or None. What the points can be coloured by.
- ``invalid``, ``reasons``: anchors that could not be placed.
"""


@register("latent_view")
class LatentView(Adapter):
    """A view of the anchors' codes in few dimensions.

    ``explain(X)`` makes the map from ``X`` itself, or, after ``fit``, places ``X`` on the map of
    the data that ``fit`` was given.

    Args:
        predictor: A model.
        method: ``"pca"``, ``"tsne"`` (van der Maaten and Hinton 2008) or ``"umap"`` (McInnes, Healy
            and Melville 2018; compiles for 10 to 45 s in every process).
        n_components: Dimensions of the view, 2 or 3.
        space: ``"latent"`` (posterior means), ``"sample"`` (one seeded posterior draw per anchor),
            ``"pixel"``, or a callable from a batch of anchors to features (of a generator, say).
        n_neighbors: Neighbours that UMAP keeps together, and that the view is judged by.
        perplexity: Neighbours that t-SNE keeps together, about; less when there are few anchors.
        backend: t-SNE's: ``"opentsne"`` (can place new anchors), ``"sklearn"``, or None for the
            first that is installed.
        seed: Seed of draws and maps.
        batch_size: Instances per model call.
        verbose: Show progress bars on stderr.

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
        ...             latent_shape=(2,), sample_shape=(4,))
        >>> X = np.random.default_rng(0).random((20, 4))
        >>> explanation = LatentView(model).explain(X)
        >>> explanation.coordinates.shape, round(explanation.trustworthiness, 6)
        ((20, 2), 1.0)
    """

    evidence = "embedding"
    access = "latent"
    scope: ClassVar[list[str]] = ["global"]
    defaults = DEFAULT_DATA_VIEW

    def __init__(
        self,
        predictor: Any,
        method: str = "pca",
        *,
        n_components: int = 2,
        space: str | Callable[[Any], Any] = "latent",
        n_neighbors: int = 15,
        perplexity: float = 30.0,
        backend: str | None = None,
        seed: int = 0,
        batch_size: int = 256,
        verbose: bool = False,
    ) -> None:
        where = type(self).__name__
        self.method = validation.choice(method, "method", where, METHODS)
        self.n_components = validation.integer(n_components, "n_components", where, minimum=2)
        if self.n_components > 3:
            hint = "A view has two or three dimensions."
            raise ParameterError("n_components", where, "2 or 3", str(n_components), hint)
        self.n_neighbors = validation.integer(n_neighbors, "n_neighbors", where, minimum=1)
        self.perplexity = validation.real(perplexity, "perplexity", where, minimum=1.0)
        self.backend = backend
        if backend is not None:
            self.backend = validation.choice(backend, "backend", where, BACKENDS)
        self.space = space
        self._map: Any = None
        self._fitted_rows: Floats | None = None
        params = {
            "method": method,
            "n_components": n_components,
            "space": space_text(space),
            "n_neighbors": n_neighbors,
            "perplexity": perplexity,
            "backend": backend,
        }
        super().__init__(predictor, params, seed=seed, batch_size=batch_size, verbose=verbose)

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
            with traceless(self.predictor):
                rows = self._rows(X, "LatentView.fit").features(self.space, verbose=self.verbose)
                self._fitted_rows = rows[np.isfinite(rows).all(axis=1)]
                self._map = self._made(self._fitted_rows, "LatentView.fit")
        return self

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
        carried = groups if hasattr(groups, "data") else as_array(groups)
        table = None
        if values is not None:
            table = values if not isinstance(values, Mapping) else _Table(values)
        return super().explain(X, labels=as_array(labels), groups=carried, values=table)

    def transform(self, X: Any) -> Floats:
        """Return the coordinates (n, c) of new anchors on the fitted map; NaN for invalid ones.

        Raises:
            NotFittedError: Before ``fit(X)``.
            ParameterError: When the method cannot place new anchors.
        """
        if self._map is None:
            raise NotFittedError(type(self).__name__)
        with traceless(self.predictor):
            rows = self._rows(X, "LatentView.transform").features(self.space)
            return self._placed(rows)

    def reset_predictor(self, predictor: Any) -> None:
        """See :meth:`Adapter.reset_predictor`."""
        check_space(self.space, predictor, type(self).__name__, SPACES)
        super().reset_predictor(predictor)

    def _forget(self) -> None:
        self._map = self._fitted_rows = None

    def _rows(self, X: Any, where: str, labels: Any = None) -> Rows:
        seed = self.seed
        return Rows(X, self.predictor, where, self.batch_size, seed=seed, labels=labels)

    def _made(self, rows: Floats, where: str) -> Any:
        if len(rows) < 2:
            hint = "Give more anchors, or check them for NaN and infinity."
            allowed = "at least 2 finite anchors, to make a map from"
            raise AnchorError("X", where, allowed, str(len(rows)), hint)
        options: dict[str, Any] = {}
        if self.method == "tsne":
            options = {"perplexity": self.perplexity}
        elif self.method == "umap":
            options = {"n_neighbors": self.n_neighbors}
        kind = tsne_backend(self.backend) if self.method == "tsne" else self.method
        return MAPS[kind](rows, self.n_components, derive(self.seed, "map") % 2**31, **options)

    def _placed(self, rows: Floats) -> Floats:
        """Return coordinates on the fitted map; the rows it was made from keep their places."""
        valid = np.isfinite(rows).all(axis=1)
        found = np.full((len(rows), self.n_components), np.nan)
        if self._fitted_rows is not None and np.array_equal(rows[valid], self._fitted_rows):
            found[valid] = self._map.coordinates
        elif valid.any():
            found[valid] = self._map.transform(rows[valid])
        return found

    def _explain(self, X: Any, **kwargs: Any) -> dict[str, Any]:
        where = "LatentView.explain"
        rows = self._rows(X, where, kwargs["labels"])
        carried = _carried(kwargs["groups"], kwargs["values"], len(rows), where)
        table = rows.features(self.space, verbose=self.verbose)
        valid = np.isfinite(table).all(axis=1)
        made = self._map
        if made is None:
            made = self._made(table[valid], where)
            coordinates = np.full((len(table), self.n_components), np.nan)
            coordinates[valid] = made.coordinates
        else:
            coordinates = self._placed(table)
        axes: dict[str, Any] = {}
        if isinstance(made, PCAMap):
            axes = {"explained_variance_ratio": made.ratio, "loadings": made.loadings}
        seed = derive(self.seed, "judged")
        labels = rows.anchors.labels
        return {
            **axes,
            **carried,
            **judge(table[valid], coordinates[valid], self.n_neighbors, _JUDGED, seed),
            "coordinates": coordinates,
            "method": self.method,
            "backend": tsne_backend(self.backend) if self.method == "tsne" else None,
            "space": space_text(self.space),
            "n_fitted": len(made.coordinates),
            "labels": carried.get("labels") if labels is None else labels,
            "ids": rows.anchors.ids,
            **rows.found_invalid(),
        }


class _Table:
    """Values by criterion; described in metadata, not held."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = {str(name): as_array(column) for name, column in values.items()}

    def __repr__(self) -> str:
        return f"values of {', '.join(self.values)}"


def _carried(groups: Any, values: Any, n: int, where: str) -> dict[str, Any]:
    """Return groups, criteria, values and labels to colour by, checked to be one per anchor."""
    found: dict[str, Any] = {}
    data = getattr(groups, "data", None)
    if isinstance(data, Mapping) and "group" in data:
        found["group"] = _names(data["group"], "groups", n, where)
        found["criteria"] = [str(name) for name in data["criteria"]]
        found["units"] = [str(unit) for unit in data.get("units") or []]
        found["values"] = np.asarray(data["values"], dtype=np.float64).reshape(n, -1)
        if data.get("labels") is not None:
            found["labels"] = _names(data["labels"], "labels", n, where)
    elif groups is not None:
        found["group"] = _names(groups, "groups", n, where)
    if values is not None:
        if not isinstance(values, _Table):
            hint = "Pass a mapping like {'kld': explanation.values[:, 0]}."
            allowed = "a mapping from criteria to values"
            raise ParameterError("values", where, allowed, short_repr(values), hint)
        columns = []
        for name, column in values.values.items():
            numbers = np.asarray(column, dtype=np.float64)
            if numbers.shape != (n,):
                hint = "Give the values of the same anchors, in the same order."
                got = short_repr(numbers)
                raise ParameterError(f"values[{name!r}]", where, f"of shape ({n},)", got, hint)
            columns.append(numbers)
        found["criteria"], found["units"] = list(values.values), [""] * len(columns)
        found["values"] = np.stack(columns, axis=1) if columns else None
    return found


def _names(given: Any, parameter: str, n: int, where: str) -> NDArray[np.str_]:
    names = np.asarray(given)
    if names.ndim != 1 or len(names) != n:
        hint = "Give those of the same anchors, in the same order."
        raise ParameterError(parameter, where, f"of shape ({n},)", short_repr(given), hint)
    return names.astype(np.str_)
