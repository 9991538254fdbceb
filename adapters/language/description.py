"""What a latent axis does, in words, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.adapters._codes import codes_of, draw_codes
from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.directions.classes import ClassDirections
from pxgen_plugins.adapters.language.base import (
    LanguageAdapter,
    conclusions,
)
from pxgen_plugins.adapters.language.films import AxisFilms
from pxgen_plugins.adapters.language.interview import Rules, Subject, interview
from pxgen_plugins.adapters.language.prompts import BIASES, describe_prompt
from pxgen_plugins.adapters.language.strips import Strips, spans_of
from pxgen_plugins.axes import Axis, check_shapes, dimensions
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import AnchorError, ParameterError, short_repr, warn
from pxgen_plugins.utils.seeds import derive

__all__ = ["LatentDescription"]

_MOST_AXES = 24  # that nobody named: each costs calls of a describer
_FEW = 2  # codes on which the axes are found that change most
_POOL = 256  # codes that anchors, and frames of null films, are taken from


@register("latent_description")
@dataclass(repr=False, eq=False)
class LatentDescription(LanguageAdapter):
    """Latent axes in words: a describer looks at films of each, and is not simply believed.

    After LatentExplainer (Zhu et al. 2024), with other measures. Along every axis instances are
    decoded between quantiles of the codes, from several anchors. Axes that change nothing visible
    are left out before anything is asked. The describer answers ``n_answers`` times, every second
    time with the frames in reversed order; answers are compared by their content. What it says of
    films in which nothing can be found (equal frames, frames in random order, frames of other
    codes) gives the certainty that has to be exceeded, by the conformal p-value. Last, each
    sentence must find its film among ``n_choices`` from new anchors, more often than by chance and
    more often than this film is chosen for the sentences of other axes: one that fits every film
    is not confirmed, however sure it is.

    Args:
        predictor: A model that can decode.
        describe: A describer, ``describe(images, prompt, *, seed) -> str`` (see
            :mod:`pxgen_plugins.describers`).
        axes: A list of :class:`~pxgen_plugins.axes.Axis`, or what has one in ``axes``, such as a
            fitted direction adapter; None takes the latent dimensions, of more than 24 those that
            change instances most.
        bias: What the question says of the film: ``"disentanglement"`` (one control was moved),
            ``"combination"`` (two films, between which a second control of the axes differs), or
            ``"conditional"`` (the control is meant to stand for the axis's label; without ``axes``,
            ``fit(X, labels)`` takes the directions of the class means).
        n_anchors: Codes that films start from, and as many new ones for the match test, one for
            each question, >= 1; half of the anchors each where there are fewer.
        n_steps: Frames of a film, >= 2.
        span: Quantiles of the codes along an axis, between which it is walked.
        visible: Smallest visible change of an instance, as a share of the data range; axes below
            it are not asked about.
        n_answers, agreement, alpha, least, n_null, n_choices, context, synonyms, folder, seed,
            batch_size, verbose: See
            :class:`~pxgen_plugins.adapters.language.base.LanguageAdapter`.

    Fields:
        axes (list of str): Labels of the u axes.
        sentence (list of str): u sentences; "no visible change", "no clear explanation" or "no
            answer" where there is none.
        attribute, direction (list of str): The same in common words: what changes, and which way;
            "" where it is not clear.
        status (list of str): ``"clear"``, ``"unclear"``, ``"not visible"`` (nothing was asked) or
            ``"missing"`` (answers are).
        confirmed (bool (u,)): Whether the sentence is clear, and found its film more often than by
            chance and more often than that film is chosen for other sentences.
        certainty (float64 (u,)): Mean agreement of two answers, in [0, 1]; NaN where nothing was
            asked or where fewer than two came.
        p_value (float64 (u,)): Its conformal p-value; lower = less likely for films in which
            nothing can be found. NaN where ``certainty`` is, and where too few null films were
            answered for any to be clear.
        threshold (float): The certainty that a clear one exceeds; None where too few null films
            were answered.
        least (float): The certainty that a clear one has at least.
        null_certainty (float64 (m,)): Certainties about the m null films; NaN for those with fewer
            than two answers.
        hit_rate (float64 (u,)): Share of the match questions in which the sentence found its film,
            in [0, 1]; NaN where none was answered.
        hit_interval (float64 (u, 2)): Its exact 95% interval; NaN where nothing was asked, (0, 1)
            without answers.
        n_match (int64 (u,)): Match questions that were answered; 0 where none.
        control_rate (float64 (u,)): Share of the questions with another sentence in which its film
            was chosen; NaN where none was answered.
        chance (float): The rate of guessing.
        answers (list of list): For each axis its answers that came, in common words and forward
            order: ``changes``, ``attribute``, ``direction``, ``sentence`` and ``confidence``; None
            for one that could not be read.
        missing (list of str): For each axis why answers are missing, those about null films and of
            the match test included; "" where none is.
        visible_change (float64 (u,)): Largest mean absolute change of an instance along the axis,
            mean over codes; 1 is the data range.
        strips (float32 (u, 1, s, *sample_shape)): Along each axis s frames from the first code.
        directions (float32 (u, *latent_shape)): The axes as unit vectors.
        strength (float64 (u,)): Length of one step along each, in latent space.
        keep (list of str): How codes move along each: ``"free"`` or ``"shell"`` (see
            :class:`~pxgen_plugins.adapters.directions.base.DirectionAdapter`).
        span (float64 (u, 2)): Where each was walked, first and last place, in steps from the
            origin.
        questions (list of dict): Every question that was asked, and its answer: ``about``, the
            number of its ``prompt``, ``n_images``, ``seed``, ``answer`` (None where it failed) and
            ``error``.
        prompts (list of str): The texts of the questions, each once.
        n_calls (int): Calls of the describer, answers kept in ``folder`` included.
        n_images (int): Pictures in them.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model cannot decode.

    ``fit(X)`` takes the quantiles from the codes of X; else they are the prior's.
    ``explain(X)`` starts from codes of X, ``explain(None)`` from codes that the model draws.

    Cost: u n_steps n_anchors decoder passes to see what changes, then :meth:`estimate` says how
    many calls.

    Example:
        >>> from pxgen_plugins.describers import Scripted
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> said = {"changes": True, "attribute": "size", "direction": "larger",
        ...         "sentence": "It grows."}
        >>> describe = Scripted({"describe": said, "match": {"choice": "A"}})
        >>> found = LatentDescription(LinearModel(), describe, n_anchors=4).explain(None)
        >>> found.certainty.tolist(), found.p_value.tolist(), found.confirmed.tolist()
        ([0.55, 0.55, 0.55], [1.0, 1.0, 1.0], [False, False, False])
    """

    access = "latent"
    requires = frozenset({"decode"})
    example: ClassVar[Mapping[str, Any]] = {}

    axes: Any = None
    _: KW_ONLY
    bias: str = "disentanglement"
    n_anchors: int = 6
    n_steps: int = 5
    span: tuple[float, float] = (0.05, 0.95)
    visible: float = 0.01

    def _check(self) -> None:
        super()._check()
        self.bias = validation.choice(self.bias, "bias", tuple(BIASES))
        self.n_anchors = validation.integer(self.n_anchors, "n_anchors", minimum=1)
        self.n_steps = validation.integer(self.n_steps, "n_steps", minimum=2)
        self.visible = validation.real(self.visible, "visible", minimum=0.0)
        self.span = _span(self.span)
        self._codes: NDArray[np.float32] | None = None
        self._fitted_axes: list[Axis] | None = None

    def _check_model(self, model: Any) -> None:
        super()._check_model(model)
        if self.axes is not None:
            _axes(self.axes, model)

    def _params(self) -> dict[str, Any]:
        params = super()._params()
        if self.axes is not None:
            given = _axes(self.axes, None)
            params["axes"] = [axis.label for axis in given]
        return {**params, "span": list(self.span)}

    def _forget(self) -> None:
        self._codes = self._fitted_axes = None

    def model_calls(self, n: int) -> Mapping[str, float]:
        """Return how often ``explain`` calls the model; calls of the describer do not count."""
        size = math.prod(self.predictor.latent_shape)
        u = size if self.axes is None else len(_axes(self.axes, None))
        films = u * self.n_anchors * (1 + self.n_choices) + u * self.n_answers * 2
        return {"embed": min(n, _POOL), "decode": float(films * self.n_steps)}

    def fit(self, X: Any = None, labels: Any = None) -> LatentDescription:
        """Take the quantiles of every axis, and conditional axes, from instances.

        Args:
            X: Instances whose codes are taken; None leaves the model's prior in place.
            labels: n labels of ``X``, for ``bias="conditional"``; None takes those that X has.

        Raises:
            CapabilityError: When the model cannot embed ``X``.
            AnchorError: When labels do not fit, or there are too few classes.
        """
        with self._call("fit"):
            self._forget()
            if X is not None:
                codes, _, _ = codes_of(X, self.predictor, self.batch_size)
                self._codes = codes.numpy()
            if self.bias == "conditional" and self.axes is None:
                classes = ClassDirections(self.predictor, method="means", seed=self.seed)
                self._fitted_axes = classes.fit(X, labels).axes
        return self

    def estimate(self, X: Any = None) -> dict[str, Any]:
        """Return what ``explain(X)`` will ask, before anything is asked.

        Returns:
            ``axes`` and ``visible_axes``, numbers of them; ``calls`` and ``images``, of the
            describer, with every sentence sent through the match test; ``most_calls``, where
            every answer has to be repaired.

        Cost: the decoder passes that show which axes change anything.
        """
        with self._call("estimate"):
            strips, anchors, others, _ = self._prepare(X)
            moving = int((self._changes(strips, anchors) >= self.visible).sum())
        rules = self._rules(len(others))
        calls = rules.n_calls(moving)
        return {
            "axes": len(strips.axes),
            "visible_axes": moving,
            "calls": calls,
            "images": rules.n_images(moving, self._n_films()),
            "most_calls": 2 * calls,
        }

    def bound(self) -> dict[str, int]:
        """Return the most calls and images of ``explain``: those where every axis is visible.

        Example:
            >>> from pxgen_plugins.describers import Scripted
            >>> from pxgen_plugins.testing.examples import LinearModel
            >>> LatentDescription(LinearModel(), Scripted({})).bound()
            {'calls': 78, 'images': 132}
        """
        rules = self._rules(self.n_anchors)
        size = math.prod(self.predictor.latent_shape)
        u = min(size, _MOST_AXES) if self.axes is None else len(_axes(self.axes, None))
        return {"calls": rules.n_calls(u), "images": rules.n_images(u, self._n_films())}

    def _n_films(self) -> int:
        return 2 if self.bias == "combination" else 1

    def _rules(self, n_new: int) -> Rules:
        # an anchor a match question: a second one about the same films would not be another
        return self.rules(self.n_steps, min(self.n_anchors, n_new))

    def _prepare(self, X: Any) -> tuple[Strips, Tensor, Tensor, dict[str, Any]]:
        """Return strips, codes of anchors and of new ones, (a, ...) each, and exclusions."""
        exclusions: dict[str, Any] = {}
        if X is None:
            pool = draw_codes(self.predictor, _POOL, derive(self.seed, "anchors"))
        else:
            pool, _, reader = codes_of(X, self.predictor, self.batch_size, _POOL)
            exclusions = reader.exclusions()
        if len(pool) < 2:
            hint = "Give more anchors, or None for codes that the model draws."
            raise AnchorError("X", "at least two finite anchors", str(len(pool)), hint)
        # files are often sorted, by class for example
        order = np.random.default_rng(derive(self.seed, "order")).permutation(len(pool))
        pool = pool[torch.from_numpy(order)]
        a = min(self.n_anchors, len(pool) // 2)
        return self._strips(self._axes(), pool), pool[:a], pool[a:], exclusions

    def _axes(self) -> list[Axis]:
        if self.axes is not None:
            return _axes(self.axes, self.predictor)
        if self._fitted_axes is not None:
            return self._fitted_axes
        if self.bias == "conditional":
            hint = "Call fit(X, labels), or name axes whose labels say what they stand for."
            raise ParameterError("axes", "given for bias='conditional'", "None", hint)
        return dimensions(self.predictor.latent_shape)

    def _strips(self, axes: list[Axis], codes: Tensor) -> Strips:
        """Return the walks along axes; of many that nobody named, along those that change most."""
        fitted = None if self._codes is None else torch.from_numpy(self._codes)
        spans = spans_of(self.predictor, axes, self.span, fitted, self.seed)
        strips = Strips(self.predictor, axes, spans, self.n_steps, self.batch_size)
        if self.axes is not None or len(axes) <= _MOST_AXES:
            return strips
        change = self._changes(strips, codes[:_FEW])
        chosen = np.sort(np.argsort(-change, kind="stable")[:_MOST_AXES])
        warn(
            f"{type(self).__name__}: {len(chosen)} of {len(axes)} axes are described, those that "
            "change instances most; axes= names others."
        )
        return replace(strips, axes=[axes[u] for u in chosen], spans=spans[chosen])

    def _subject(self, films: AxisFilms, u: int) -> Subject:
        """Return an axis as what is asked about."""
        label = films.strips.axes[u].label
        prompt = describe_prompt(self.n_steps, self.bias, label, self.context)
        return Subject(label, prompt, partial(films.shown, u), partial(films.choices, u))

    def _spare(self, strips: Strips, moving: list[int]) -> Strips:
        """Return walks along random directions at right angles to the axes that change something.

        As many as a match question lacks; fewer where codes have no further dimensions.
        """
        lacking = self.n_choices - len(moving)
        shape = tuple(self.predictor.latent_shape)
        axes = []
        if moving and lacking > 0:
            known = np.stack([strips.axes[u].vector.ravel() for u in moving]).astype(np.float64)
            size = known.shape[1]
            drawn = np.random.default_rng(derive(self.seed, "spare")).standard_normal(
                (max(0, min(lacking, size - len(known))), size)
            )
            # by QR the rows become orthonormal, those of the axes first
            basis = np.linalg.qr(np.concatenate([known, drawn]).T)[0].T[len(known) :]
            scale, keep = strips.axes[0].scale, strips.axes[0].keep
            axes = [Axis("", one.reshape(shape), scale, "random", keep) for one in basis]
        fitted = None if self._codes is None else torch.from_numpy(self._codes)
        spans = spans_of(self.predictor, axes, self.span, fitted, self.seed)
        return replace(strips, axes=axes, spans=spans)

    def _changes(self, strips: Strips, anchors: Tensor) -> Any:
        return np.array([strips.change(u, anchors) for u in range(len(strips.axes))])

    def _explain(self, X: Any) -> dict[str, Any]:
        strips, anchors, others, exclusions = self._prepare(X)
        change = self._changes(strips, anchors)
        moving = [int(u) for u in np.flatnonzero(change >= self.visible)]
        if self.bias == "combination" and len(moving) == 1:
            hint = "Use bias='disentanglement'."
            raise ParameterError("bias", "another with one visible axis", repr(self.bias), hint)
        spare = self._spare(strips, moving)
        films = AxisFilms(
            strips, anchors, others, moving, spare, self._n_films(), self.n_choices, self.seed
        )
        subjects = [self._subject(films, u) for u in moving]
        rules = self._rules(len(others))
        with self.questions(rules.n_calls(len(moving))) as questions:
            found = interview(questions, subjects, films.null, rules)
        u = len(strips.axes)
        shown = anchors[:1]
        frames = [strips.instances(i, shown) for i in range(u)]
        return {
            "axes": [axis.label for axis in strips.axes],
            "directions": np.stack([axis.vector for axis in strips.axes]),
            "strength": np.array([axis.scale for axis in strips.axes]),
            "keep": [axis.keep for axis in strips.axes],
            "span": strips.spans,
            "visible_change": change,
            "strips": np.stack(frames),
            **conclusions(found, moving, u, self.alpha, self.least),
            **self.costs(questions),
            **exclusions,
        }


def _axes(given: Any, model: Any) -> list[Axis]:
    """Return the axes behind what users pass; their shape is checked where there is a model."""
    if isinstance(given, Axis):
        given = [given]
    axes = getattr(given, "axes", given)
    if not isinstance(axes, (list, tuple)) or not axes or not all(
        isinstance(axis, Axis) for axis in axes
    ):  # fmt: skip
        hint = "Pass Axis objects, or a direction adapter after its fit."
        raise ParameterError("axes", "a list of axes", short_repr(given), hint)
    if model is not None:
        check_shapes(axes, model.latent_shape)
    return list(axes)


def _span(value: Any) -> tuple[float, float]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        hint = "Give two quantiles, as in (0.05, 0.95)."
        raise ParameterError("span", "two quantiles", short_repr(value), hint)
    low = validation.real(value[0], "span", above=0.0)
    high = validation.real(value[1], "span", above=low)
    if high >= 1.0:
        hint = "Give two quantiles, as in (0.05, 0.95)."
        raise ParameterError("span", "below 1", str(high), hint)
    return low, high
