"""What the attribution adapters share: anchors in batches, one attribution per element."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.adapters._anchors import AnchorReader
from pxgen_plugins.adapters._latent_target import SPACES, TargetFunction
from pxgen_plugins.adapters.attribution._baselines import baseline_like, check_baseline
from pxgen_plugins.adapters.base import NotFittedError, TargetAdapter
from pxgen_plugins.host import Explanation
from pxgen_plugins.models import require
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import (
    AnchorError,
    ModelError,
    ParameterError,
    PXGenError,
    caller,
    short_repr,
)
from pxgen_plugins.utils.progress import bar

__all__ = ["DEFAULT_DATA_ATTRIBUTION", "Attribution", "Table", "TargetFunction"]

Table = dict[str, Tensor]
"""Results for b points: ``attributions`` (b, *shape), and further rows by key."""

DEFAULT_DATA_ATTRIBUTION: dict[str, Any] = {
    "attributions": None,
    "target": None,
    "target_values": None,
    "space": "input",
    "normalized": False,
    "ranges": None,
    "baseline": None,
    "baseline_values": None,
    "convergence_delta": None,
    "layer": None,
    "maps": None,
    "labels": None,
    "ids": None,
    "invalid": None,
    "reasons": [],
}
"""Data of every attribution, to be deep-copied; the docstrings of the adapters have the keys."""


@dataclass(repr=False, eq=False, kw_only=True)
class Attribution(TargetAdapter):
    """Base of the attribution adapters.

    A subclass implements ``_attribute``. What it can vary it declares as a field: ``space``,
    ``baseline`` and arguments of its own.

    Args:
        predictor: The model.
        target: What is explained (see :class:`~pxgen_plugins.adapters.base.TargetAdapter`).
        space: ``"input"`` attributes to the elements of the anchor, ``"latent"`` to its latent
            code, with the anchor and its posterior variance held fixed.
        baseline: What the anchor is compared with, by methods that do: None (the low end of
            ``data_range``, 0 when unbounded; the prior mean 0 in latent space), a number, an array
            of one instance's shape, or ``"mean"`` of the data given to ``fit``.
        normalize: Scale the attributions of each anchor to [0, 1]; a constant one becomes 0.
        seed: Seed of the target's noise, >= 0.
        batch_size: Instances per model call, perturbed ones included, >= 1.
        verbose: Show a progress bar over the anchors on stderr.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model lacks what target or space needs.
        NotFittedError: From ``explain``, when the mean was not fitted.
        ModelError: From ``explain``, when the model fails, or has no gradient where one is needed.
    """

    access = "gradients"
    library = "captum"
    evidence = "attribution"
    defaults: ClassVar[Mapping[str, Any]] = DEFAULT_DATA_ATTRIBUTION
    baseline_words: ClassVar[tuple[str, ...]] = ("mean",)

    normalize: bool = False
    # arguments of the subclasses that declare them again
    space: str = field(default="input", init=False)
    baseline: Any = field(default=None, init=False)

    def _check(self) -> None:
        super()._check()
        self.space = validation.choice(self.space, "space", SPACES)
        self.normalize = validation.boolean(self.normalize, "normalize")
        self.baseline = check_baseline(self.baseline, *self.baseline_words)
        self.reference: NDArray[np.float32] | None = None

    def _check_model(self, model: Any) -> None:
        if self.space == "latent":
            with caller(f"{type(self).__name__} in latent space"):
                require(model, ["encode", "decode"], "Use 'input'.")
        super()._check_model(model)

    def model_calls(self, n: int) -> Mapping[str, float]:
        """Return how often ``explain`` calls the model for ``n`` anchors."""
        return {"target": 3.0 * n * self._evaluations()}

    def fit(self, X: Any = None) -> Attribution:
        """Return the adapter; with ``baseline="mean"``, after taking the mean over ``X``.

        Args:
            X: Reference data, read in batches as the anchors are; their mean, or that of their
                posterior means in latent space, is the baseline.

        Raises:
            AnchorError: When the mean is wanted and ``X`` holds no finite instance.
        """
        if not self._learns("mean") or X is None:
            return self
        total, count = None, 0
        with self._call("fit"):
            for points in self._points(X):
                part = points.double().sum(0)
                total = part if total is None else total + part
                count += len(points)
        assert total is not None  # without a finite instance _points raises
        self.reference = (total / count).float().cpu().numpy()
        return self

    def _learns(self, word: str) -> bool:
        """Return whether the baseline is what ``fit`` finds under this name."""
        return isinstance(self.baseline, str) and self.baseline == word

    def _points(self, X: Any) -> Iterator[Tensor]:
        """Yield the finite instances of ``X`` as points of the space, in batches."""
        function, count = self._function(), 0
        reader = AnchorReader(X, self.predictor, self._per_batch())
        for rows, x in reader.batches():
            good = [place for place, row in enumerate(rows) if int(row) not in reader.errors]
            if good:
                count += len(good)
                yield function.point(x[good])[0]
        if not count:
            hint = "Give the data that the baseline is taken from."
            raise AnchorError("X", "at least one finite instance", short_repr(X), hint)

    def _forget(self) -> None:
        self.reference = None

    def explain(self, X: Any, labels: Any = None, ids: Any = None, **kwargs: Any) -> Explanation:
        """Return the attributions of anchors; the model is left as it was.

        Args:
            X: The n anchors, anything :func:`~pxgen_plugins.anchors.open_anchors` reads.
            labels: n labels, instead of those of ``X``.
            ids: n distinct names, instead of those of ``X``.
            kwargs: None others are taken.

        Raises:
            AnchorError: When the anchors do not fit the model, or labels or ids not the anchors.
            ModelError: When the model fails, or has no gradient where one is needed.
        """
        if kwargs:
            with self._call("explain"):
                hint = "Pass it to the constructor."
                raise ParameterError("arguments", "labels and ids", ", ".join(kwargs), hint)
        given = {"labels": labels, "ids": ids}
        # as arrays the metadata describe them instead of holding them
        named = {k: np.asarray(v) for k, v in given.items() if v is not None}
        return super().explain(X, **named)

    def _explain(self, X: Any, labels: Any = None, ids: Any = None) -> dict[str, Any]:
        function = self._function()
        reader = AnchorReader(X, self.predictor, self._per_batch(), labels=labels, ids=ids)
        tables: dict[str, list[NDArray[np.float64]]] = {}
        with bar(len(reader), type(self).__name__, "anchor", self.verbose) as progress:
            for _, x in reader.batches():
                for key, rows in self._batch(function, x, first=not tables).items():
                    tables.setdefault(key, []).append(rows.detach().double().cpu().numpy())
                progress.update(len(x))
        table = {key: np.concatenate(parts) for key, parts in tables.items()}
        return {**self._result(reader, table), "target": function.target.label}

    def _batch(self, function: TargetFunction, x: Tensor, first: bool) -> Table:
        """Return the results at anchors ``x``; what a library raises becomes our error."""
        gradients = self.access == "gradients"
        try:
            with torch.enable_grad():
                if first and gradients:
                    function.expect_gradient(x[:1])
                point, fixed = function.point(x)
                values = function.values(point, *fixed)
                point.requires_grad_(gradients)
                return {"target_values": values, **self._attribute(function, point, fixed)}
        except PXGenError:
            raise
        except (RuntimeError, TypeError, ValueError, AssertionError, IndexError) as error:
            raise ModelError(
                "model",
                f"one that {type(self).__name__} can run on {len(x)} instances",
                f"{type(error).__name__}: {str(error)[:300]}",
                "Use another method, or a smaller batch_size if memory ran out.",
            ) from error

    def _attribute(
        self, function: TargetFunction, point: Tensor, fixed: tuple[Tensor, ...]
    ) -> Table:
        """Return the attributions at points (b, *shape), and further rows out of ``defaults``.

        Args:
            function: The target: ``function(point, *fixed)`` are its values, (b,).
            point: Anchors or latent codes, (b, *shape).
            fixed: What stays as it is around them, rows that go with the points.
        """
        raise NotImplementedError

    def _evaluations(self) -> int:
        """Return how often the target is computed for one anchor, with gradient."""
        return 1

    def _per_batch(self) -> int:
        """Return how many anchors are taken at a time."""
        return self.batch_size

    def _result(
        self, reader: AnchorReader, table: dict[str, NDArray[np.float64]]
    ) -> dict[str, Any]:
        n = len(reader)
        values = table.pop("target_values", np.empty(0))
        weights = table.pop("attributions", np.empty((0, *(self._shape() or ()))))
        flat = weights.reshape(n, -1) if n else np.empty((0, 1))
        for row in np.flatnonzero(~(np.isfinite(values) & np.isfinite(flat).all(1))):
            reader.errors.setdefault(int(row), "the target or its attribution is not finite")
        for rows in (weights, values, *table.values()):
            rows[reader.invalid] = np.nan
        ranges = np.stack([flat.min(1), flat.max(1)], 1) if n else np.empty((0, 2))
        if self.normalize:
            width = ranges[:, 1:] - ranges[:, :1]
            flat -= ranges[:, :1]
            np.divide(flat, width, out=flat, where=width > 0)
        maps = table.pop("maps", None)
        return {
            "attributions": weights.astype(np.float32),
            "target_values": values,
            "space": self.space,
            "normalized": self.normalize,
            "ranges": ranges,
            "baseline": self._baseline_text(),
            "maps": None if maps is None else maps.astype(np.float32),
            "labels": reader.anchors.labels,
            "ids": reader.anchors.ids,
            "evidence": "attribution" if self.space == "input" else "latent_attribution",
            **reader.exclusions(),
            **table,
        }

    def _shape(self) -> tuple[int, ...] | None:
        model = self.predictor
        shape: tuple[int, ...] | None = (
            model.sample_shape if self.space == "input" else model.latent_shape
        )
        return shape

    def _baseline_text(self) -> Any:
        params = self._params()
        if "baseline" not in params:
            return None
        if self.baseline is None:
            return "low end of data_range" if self.space == "input" else "prior mean"
        return params["baseline"]

    def _function(self) -> TargetFunction:
        return TargetFunction(self._target(), self.predictor, self.space, self.seed)

    def _baseline(self, point: Tensor) -> Tensor:
        """Return the baseline of every row of ``point``, of its shape."""
        value = self.baseline
        if isinstance(value, str):
            if self.reference is None:
                raise NotFittedError(f"{type(self).__name__} (baseline='mean' needs data)")
            value = self.reference
        return baseline_like(point, value, self.predictor, self.space)
