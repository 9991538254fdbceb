"""Directions from all other instances to those of a class: difference of means, and LDA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from torch import Tensor

from pxgen_plugins.adapters._codes import codes_of
from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.directions._classes import classes_of
from pxgen_plugins.adapters.directions._response import Floats
from pxgen_plugins.adapters.directions.base import DirectionAdapter
from pxgen_plugins.axes import Axis
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import AnchorError, ParameterError, short_repr

__all__ = ["ClassDirections"]

METHODS = ("means", "lda")
_FEWEST = 2  # codes of a class


@register("class_directions")
@dataclass(repr=False, eq=False)
class ClassDirections(DirectionAdapter):
    """For every class of instances the direction from all others to it.

    ``"means"`` is the difference of the class's mean code and that of the others; ``"lda"`` is the
    normal of Fisher's (1936) linear discriminant with the shrinkage of Ledoit and Wolf (2004),
    which takes the spread inside the classes out; Shen et al. (2020) use the normal of a linear
    separator in this way. One step is a standard deviation of the codes along the direction.
    Nothing has to be differentiable.

    Args:
        predictor: A model that can decode.
        classifier: A callable from a batch of instances (b, *sample_shape) to classes, (b,), or
            logits, (b, c), by which codes drawn from the model get their class. None takes labels:
            ``fit(X, labels)``, for models that encode or embed.
        method: ``"lda"`` or ``"means"``.
        assessors, span, n_frames, n_codes, n_shown, n_random, keep, realism, seed, batch_size,
            verbose: See :class:`~pxgen_plugins.adapters.directions.base.DirectionAdapter`.

    What ``explain`` returns, and what a shell is, says
    :class:`~pxgen_plugins.adapters.directions.base.DirectionAdapter`, field by field.

    Raises:
        ParameterError: From ``fit`` or ``explain``, without a classifier and labels.
        AnchorError: When there are fewer than two classes of two codes each.

    Cost of ``fit``: a decoder and classifier pass per code; O(n d^2 + d^3) for ``"lda"``.
    ``explain``: 20 n_codes n_frames decoder passes for every class, one for the class and 19 for
    random directions of its step length: 70,000 by default.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> adapter = ClassDirections(LinearModel(), lambda x: x[:, 0, 4, 4] > 0.5, method="means")
        >>> adapter.explain(None).labels
        ['False', 'True']
    """

    importance_name = "distance of the means, in deviations inside the classes"
    learns_from = "data"

    classifier: Callable[[Any], Any] | None = None
    method: str = "lda"
    _: KW_ONLY
    n_codes: int = 500

    def _check(self) -> None:
        super()._check()
        self.method = validation.choice(self.method, "method", METHODS)
        if self.classifier is not None:
            validation.function(self.classifier, "classifier", "instances -> classes")

    def fit(self, X: Any = None, labels: Any = None) -> ClassDirections:
        """Find the axes.

        Args:
            X: Instances whose codes are taken; None draws codes, which the classifier labels.
            labels: n labels of ``X``; None takes those that ``X`` has, or the classifier's.

        Raises:
            ParameterError: Without labels and classifier.
            AnchorError: When the labels do not fit, or there are too few classes.
        """
        with self._call("fit"):
            self._fit(X, labels)
        return self

    def _fit(self, X: Any, labels: Any = None) -> None:
        if X is None:
            z, names = self._fitting_codes(None), None
        else:
            z, usable, reader = codes_of(X, self.predictor, self.batch_size)
            given = reader.anchors.labels if labels is None else _strings(labels, len(reader))
            names = None if given is None else np.asarray(given)[usable]
        if names is None:
            names = self._classified(z)
        self.axes, self.importance = self._between(z, names)

    def _classified(self, z: Tensor) -> Any:
        if self.classifier is None:
            hint = "Give classifier=f, or call fit(X, labels) with instances and their classes."
            raise ParameterError("classifier", "given where there are no labels", "None", hint)
        arguments = (self.predictor, z, self.batch_size, "classifier")
        return classes_of(self.classifier, *arguments).astype(str)

    def _between(self, z: Tensor, names: Any) -> tuple[list[Axis], Floats]:
        codes = z.flatten(1).double().numpy()
        classes, counts = np.unique(names, return_counts=True)
        usable = [c for c, n in zip(classes, counts, strict=True) if n >= _FEWEST]
        usable = [c for c in usable if (names != c).sum() >= _FEWEST]
        if not usable:
            hint = "Give more instances, or a classifier that tells them apart."
            got = ", ".join(f"{c}: {n}" for c, n in zip(classes, counts, strict=True))
            raise AnchorError("labels", f"of two classes of {_FEWEST} codes each", got, hint)
        axes, gaps = [], []
        for name in usable:
            inside, others = codes[names == name], codes[names != name]
            vector = self._vector(inside, others)
            along = codes @ vector / np.linalg.norm(vector)
            here, there = along[names == name], along[names != name]
            within = np.concatenate([here - here.mean(), there - there.mean()])
            gaps.append(float(here.mean() - there.mean()) / max(float(within.std()), 1e-12))
            axes.append(
                Axis(
                    str(name),
                    vector.reshape(self.predictor.latent_shape).astype(np.float32),
                    max(float(along.std()), 1e-6),
                    type(self).__name__,
                    self._keep(),
                )
            )
        return axes, np.array(gaps)

    def _vector(self, inside: Floats, others: Floats) -> Floats:
        gap: Floats = inside.mean(axis=0) - others.mean(axis=0)
        if self.method == "means":
            return gap
        from sklearn.covariance import ledoit_wolf

        centred = np.concatenate([inside - inside.mean(axis=0), others - others.mean(axis=0)])
        covariance, _ = ledoit_wolf(centred, assume_centered=True)
        normal: Floats = np.linalg.lstsq(covariance, gap, rcond=None)[0]
        return normal


def _strings(labels: Any, n: int) -> Any:
    names = np.asarray(labels)
    if names.shape != (n,):
        hint = "Give one label per instance of X."
        raise AnchorError("labels", f"{n} labels", short_repr(labels), hint)
    return names.astype(str)
