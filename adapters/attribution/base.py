"""What the attribution adapters share: anchors in batches, one attribution per element."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from alibi.api.interfaces import Explanation
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.adapters.attribution._baselines import baseline_like, check_baseline
from pxgen_plugins.adapters.latent.base import Serial
from pxgen_plugins.adapters._latent_target import SPACES, Question
from pxgen_plugins.adapters.base import traceless
from pxgen_plugins.anchors import Anchors, open_for
from pxgen_plugins.models import require
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import (
    AnchorError,
    ModelError,
    ParameterError,
    PXGenError,
    short_repr,
)
from pxgen_plugins.utils.progress import bar

__all__ = ["DEFAULT_DATA_ATTRIBUTION", "Attribution", "Found", "nothing"]

Found = dict[str, Tensor]
"""What a method found for b points: ``attributions`` (b, *shape) and further rows by key."""

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
"""Data of every attribution of n anchors, to be deep-copied.

- ``attributions``: float32 (n, *sample_shape) in input space, (n, *latent_shape) in latent space;
  NaN for invalid anchors. Positive: the element raises the target.
- ``target``: label of what is explained; ``target_values``: float64 (n,), its values.
- ``space``: ``"input"`` or ``"latent"``.
- ``normalized``: whether ``attributions`` were scaled to [0, 1] per anchor; ``ranges``: float64
  (n, 2), lowest and highest attribution of each anchor before that.
- ``baseline``: what the anchor was compared with, in words or as a number; None without one.
- ``baseline_values``: float64 (n,), the target at the baseline; None without one.
- ``convergence_delta``: float64 (n,), sum of the attributions minus (value - baseline value);
  None where the method promises no such sum.
- ``layer``: name of the layer that was looked at, and ``maps``: its own map, float32
  (n, 1, *map_shape), before it was scaled up; None for methods without a layer.
- ``labels``, ``ids``: str (n,) or None.
- ``invalid``, ``reasons``: indices of the anchors without a finite result, and why.
"""


class Attribution(Serial):
    """Base of the attribution adapters.

    A subclass implements ``_attribute`` and perhaps ``_per_batch``. Calls run one at a time, since
    some libraries write to the model's modules while they work.

    Args:
        predictor: The model.
        target: What is explained: a criterion's name, mapping or object, ``"elbo"``, ``Latent(j)``
            or ``"latent[j]"``, ``Pixel(...)`` or ``"pixel[c, i, j]"``, or a callable from a
            :class:`~pxgen_plugins.criteria.Batch` to one number per anchor.
        params: Further arguments of the subclass, JSON-able, for the metadata.
        space: ``"input"`` attributes to the elements of the anchor, ``"latent"`` to its latent
            code, with the anchor and its posterior variance held fixed.
        normalize: Scale the attributions of each anchor to [0, 1]; a constant one becomes 0.
        baseline: What the anchor is compared with, for methods that do.
        words: Words that ``baseline`` may be.
        seed: Seed of the target's noise, >= 0.
        batch_size: Instances per model call, perturbed ones included, >= 1.
        verbose: Show a progress bar over the anchors on stderr.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model lacks what target or space needs.
    """

    access = "gradients"
    library = "captum"
    evidence = "attribution"
    compares: ClassVar[bool] = False
    defaults: ClassVar[Mapping[str, Any]] = DEFAULT_DATA_ATTRIBUTION

    def __init__(
        self,
        predictor: Any,
        target: Any,
        params: Mapping[str, Any],
        *,
        space: str = "input",
        normalize: bool = False,
        baseline: Any = None,
        words: tuple[str, ...] = (),
        seed: int = 0,
        batch_size: int = 256,
        verbose: bool = False,
    ) -> None:
        where = type(self).__name__
        self.target = target
        self.space = validation.choice(space, "space", where, SPACES)
        self.normalize = validation.boolean(normalize, "normalize", where)
        self.baseline = check_baseline(baseline, where, *words)
        self.reference: NDArray[np.float32] | None = None
        super().__init__(predictor, params, seed=seed, batch_size=batch_size, verbose=verbose)
        spec = self._question().target.spec if predictor is not None else short_repr(target)
        self._update_metadata({"target": spec}, params=True)
        if self.compares:
            self._update_metadata({"baseline": _plain(self.baseline)}, params=True)

    def fit(self, X: Any = None) -> Attribution:
        """Return the adapter; with ``baseline="mean"``, after taking the mean over ``X``.

        Args:
            X: Reference data, read in batches as the anchors are; their mean, or that of their
                posterior means in latent space, is the baseline.

        Raises:
            AnchorError: When the mean is wanted and ``X`` holds no finite instance.
        """
        if self.baseline != "mean" or X is None:
            return self
        total, count = None, 0
        for points in self._points(X):
            part = points.double().sum(0)
            total = part if total is None else total + part
            count += len(points)
        if total is None:
            raise nothing(X, type(self).__name__)
        self.reference = (total / count).float().cpu().numpy()
        return self

    def reset_predictor(self, predictor: Any) -> None:
        """Put ``predictor`` in the place of the model (see :meth:`Adapter.reset_predictor`)."""
        if predictor is not None and self.space == "latent":
            needed = ["encode", "decode"]
            require(predictor, needed, f"{type(self).__name__} in latent space", "Use 'input'.")
        super().reset_predictor(predictor)

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
            where, hint = f"{type(self).__name__}.explain", "Pass it to the constructor."
            raise ParameterError("arguments", where, "labels and ids", ", ".join(kwargs), hint)
        given = {"labels": labels, "ids": ids}
        # as arrays the metadata describe them instead of holding them
        named = {k: np.asarray(v) for k, v in given.items() if v is not None}
        return super().explain(X, **named)

    def _explain(self, X: Any, **kwargs: Any) -> dict[str, Any]:
        where = f"{type(self).__name__}.explain"
        question = self._question()
        anchors = open_for(self.predictor, X, where=where, **kwargs)
        reasons: dict[int, str] = {}
        tables: dict[str, list[NDArray[np.float64]]] = {}
        with bar(len(anchors), type(self).__name__, "anchor", self.verbose) as progress:
            for start, x in self._scorer().batches(anchors, None, reasons):
                found = self._guarded(question, x, checked=start > 0)
                for key, rows in found.items():
                    tables.setdefault(key, []).append(rows.detach().double().cpu().numpy())
                progress.update(len(x))
        table = {key: np.concatenate(parts) for key, parts in tables.items()}
        return {**self._result(anchors, table, reasons), "target": question.target.label}

    def _guarded(self, question: Question, x: Tensor, checked: bool) -> Found:
        """Return what was found at anchors ``x``; exceptions from below are told as ours."""
        try:
            with torch.enable_grad():
                if not checked and self.access == "gradients":
                    question.expect_gradient(x[:1])
                point, fixed = question.point(x)
                values = question.values(point, *fixed)
                point.requires_grad_(self.access == "gradients")
                found = self._attribute(question, point, fixed)
        except PXGenError:
            raise
        except (RuntimeError, TypeError, ValueError, AssertionError, IndexError) as error:
            raise ModelError(
                "model",
                type(self).__name__,
                f"one that {type(self).__name__} can run on {len(x)} instances",
                f"{type(error).__name__}: {str(error)[:300]}",
                "Use another method, or a smaller batch_size if memory ran out.",
            ) from error
        return {"target_values": values, **found}

    def _attribute(self, question: Question, point: Tensor, fixed: tuple[Tensor, ...]) -> Found:
        """Return the attributions at points (b, *shape), and further rows out of ``defaults``."""
        raise NotImplementedError

    def _per_batch(self) -> int:
        """Return how many anchors are taken at a time."""
        return self.batch_size

    def _result(
        self, anchors: Anchors, table: dict[str, NDArray[np.float64]], reasons: dict[int, str]
    ) -> dict[str, Any]:
        n = len(anchors)
        shape = self._shape()
        found = table.pop("attributions", np.empty((0, *(shape or ()))))
        values = table.pop("target_values", np.empty(0))
        flat = found.reshape(n, -1) if n else np.empty((0, 1))
        for row in np.flatnonzero(~(np.isfinite(values) & np.isfinite(flat).all(1))):
            reasons.setdefault(int(row), "the target or its attribution is not finite")
        invalid = np.array(sorted(reasons), dtype=np.int64)
        for rows in (found, values, *table.values()):
            rows[invalid] = np.nan
        ranges = np.stack([flat.min(1), flat.max(1)], 1) if n else np.empty((0, 2))
        if self.normalize:
            width = ranges[:, 1:] - ranges[:, :1]
            flat -= ranges[:, :1]
            np.divide(flat, width, out=flat, where=width > 0)
        maps = table.pop("maps", None)
        return {
            "attributions": found.astype(np.float32),
            "target_values": values,
            "space": self.space,
            "normalized": self.normalize,
            "ranges": ranges,
            "baseline": self._baseline_text(),
            "maps": None if maps is None else maps.astype(np.float32),
            "labels": anchors.labels,
            "ids": anchors.ids,
            "invalid": invalid,
            "reasons": [reasons[int(index)] for index in invalid],
            "evidence": "attribution" if self.space == "input" else "latent_attribution",
            **table,
        }

    def _shape(self) -> tuple[int, ...] | None:
        model = self.predictor
        shape: tuple[int, ...] | None = (
            model.sample_shape if self.space == "input" else model.latent_shape
        )
        return shape

    def _baseline_text(self) -> Any:
        if not self.compares:
            return None
        if self.baseline is None:
            return "low end of data_range" if self.space == "input" else "prior mean"
        return _plain(self.baseline)

    def _question(self) -> Question:
        where = type(self).__name__
        return Question.ask(self.target, self.predictor, self.space, self.seed, where)

    def _scorer(self) -> Scorer:
        return Scorer(self.predictor, [], batch_size=self._per_batch(), seed=self.seed)

    def _baseline(self, point: Tensor) -> Tensor:
        where = type(self).__name__
        return baseline_like(
            point, self.baseline, self.reference, self.predictor, self.space, where
        )

    def _points(self, X: Any) -> Iterator[Tensor]:
        """Yield the finite instances of ``X`` as points of the space, in batches."""
        where = f"{type(self).__name__}.fit"
        question = self._question()
        anchors = open_for(self.predictor, X, where=where)
        reasons: dict[int, str] = {}
        with traceless(self.predictor):
            for start, x in self._scorer().batches(anchors, None, reasons):
                good = [row for row in range(len(x)) if start + row not in reasons]
                if good:
                    yield question.point(x[good])[0]


def _plain(baseline: Any) -> Any:
    return short_repr(baseline) if isinstance(baseline, np.ndarray) else baseline


def nothing(X: Any, where: str) -> AnchorError:
    """Return the error of ``fit`` for data without a finite instance."""
    hint = "Give the data that the baseline is taken from."
    return AnchorError("X", f"{where}.fit", "at least one finite instance", short_repr(X), hint)
