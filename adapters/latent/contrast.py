"""Contrasts in latent space: the least change that decides otherwise, or the part that suffices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.adapters.latent import _contrast_arguments as options
from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.latent._boundary import At, Border, ClassBorder, GroupBorder, thresholds_of
from pxgen_plugins.adapters.latent._elastic_net import Settings, search
from pxgen_plugins.adapters._anchors import Rows
from pxgen_plugins.adapters.base import Adapter, NotFittedError
from pxgen_plugins.models._eval_mode import EvaluationMode, modules_of
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import AnchorError, ParameterError, short_repr
from pxgen_plugins.utils.progress import bar

__all__ = ["DEFAULT_DATA_CONTRAST", "LatentContrast"]

PERTINENT = ("negative", "positive")

DEFAULT_DATA_CONTRAST: dict[str, Any] = {
    "pertinent": "negative",
    "status": np.empty(0, dtype=np.str_),
    "success": np.empty(0, dtype=np.bool_),
    "start": None,
    "end": None,
    "sparsity": np.empty(0, dtype=np.int64),
    "distance": np.empty(0),
    "cost": np.empty(0),
    "constant": np.empty(0),
    "start_decision": np.empty(0, dtype=np.str_),
    "end_decision": np.empty(0, dtype=np.str_),
    "start_violation": np.empty(0),
    "end_violation": np.empty(0),
    "success_rate": None,
    "examples": None,
    "invalid": np.empty(0, dtype=np.int64),
    "reasons": [],
}
"""Data of an explanation by :class:`LatentContrast`, for n anchors.

- ``pertinent``: ``"negative"`` or ``"positive"``.
- ``status``: str (n,): "found"; "already" (the anchor is where the goal is); "none" (nothing was
  found: a result, not a fault); "invalid".
- ``success``: bool (n,), "found" or "already"; ``success_rate``: "found" among the valid anchors
  that were not there already, None when there is none.
- ``start``, ``end``: float32 (n, *latent_shape). Negative: from the posterior mean to the contrast.
  Positive: from the baseline to the part that suffices. NaN for invalid anchors; equal where
  nothing was found.
- ``sparsity``: int64 (n,), dimensions that change; 0 is the empty pertinent positive.
- ``distance``: float64 (n,), Euclidean length of the change; ``cost``: its elastic net; NaN where
  nothing was found. ``constant``: weight of the border that found it.
- ``start_decision``, ``end_decision``: str (n,), groups or classes of both ends.
- ``start_violation``, ``end_violation``: float64 (n,), distance from the goal, below 0 there; in
  thresholds, or logits.
- ``examples``: for the first anchors: ``indices`` (e,), and decoded ``start``, ``end``
  (e, *sample_shape), ``path`` (e, p, *sample_shape) with both ends; float32.
- ``invalid``, ``reasons``: anchors that are not finite.
"""


@register("latent_contrast")
class LatentContrast(Adapter):
    """Pertinent negatives and positives in latent space (after Dhurandhar et al. 2018).

    A *negative* is the smallest sparse change of an anchor's code that moves it into another group,
    or makes a classifier decide otherwise on what it decodes to. A *positive* is the smallest part
    of the code's deviation from a baseline that keeps group or decision; it may be empty, when the
    baseline has them already. Size is the elastic net beta |d|_1 + |d|_2^2, minimised by FISTA for
    several weights of the border at once; the cheapest change that crosses it is reported.

    For groups the anchor stays what it was and its code is moved: intrinsic criteria see the moved
    mean (with the anchor's own variance), extrinsic ones the anchor beside the moved code's image.

    Args:
        predictor: A model.
        boundary: A fitted PXGen, or a mapping from criteria to thresholds. None, without a
            classifier, lets ``fit`` calibrate KLD and MSE on 5 x 1,000 of the model's samples.
        goal: Group to reach ("HIHE" by default, "HE" for one kind alone), or with a classifier a
            class, None for any other one. Positives ignore it.
        classifier: From a tensor of decoded instances (b, *sample_shape) to logits (b, c).
        pertinent: ``"negative"`` or ``"positive"``.
        beta: Weight of the absolute values against the squares, >= 0: more is sparser.
        constants: Weights of the border that are tried.
        kappa: How far beyond the border to go, >= 0: in thresholds, or in logits.
        baseline: Where positives start: ``"prior"`` (its mean, 0), ``"mean"`` (of the posterior
            means of the data given to ``fit``), or a code.
        n_steps: FISTA steps, >= 1.
        step: Length of the first step at weight 1, > 0.
        n_path: Points of a decoded path, both ends included, >= 2.
        n_examples: Anchors whose ends and path are decoded, >= 0.
        seed: Seed of the criteria's own noise.
        batch_size: Instances per model call; a weight of an anchor counts as one.
        verbose: Show a progress bar on stderr.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model lacks encode or decode, or what a criterion needs.

    Cost: (2 n_steps + 14) decodings per anchor and constant, half of them with gradient; memory
    that of one batch, and O(n d).

    Example:
        >>> import torch
        >>> from pxgen_plugins.models import VAE
        >>> model = VAE(encode=lambda x: (x[:, :2], torch.zeros_like(x[:, :2]) - 1),
        ...             decode=lambda z: torch.cat([z, z], 1).sigmoid(),
        ...             latent_shape=(2,), sample_shape=(4,))
        >>> def classifier(x): return torch.stack([x[:, 0], 1 - x[:, 0]], 1)
        >>> contrast = LatentContrast(model, classifier=classifier)
        >>> explanation = contrast.explain(torch.tensor([[0.4, 0.9, 0.0, 0.0]]))
        >>> explanation.status.tolist(), explanation.sparsity.tolist()
        (['found'], [1])
    """

    evidence = "counterfactual"
    access = "gradients"
    requires = frozenset({"encode", "decode"})
    defaults = DEFAULT_DATA_CONTRAST

    def __init__(
        self,
        predictor: Any,
        boundary: Any = None,
        goal: str | int | None = None,
        *,
        classifier: Callable[[Any], Any] | None = None,
        pertinent: str = "negative",
        beta: float = 1.0,
        constants: Sequence[float] = (1.0, 10.0, 100.0),
        kappa: float = 1e-3,
        baseline: str | Sequence[float] = "prior",
        n_steps: int = 200,
        step: float = 0.02,
        n_path: int = 5,
        n_examples: int = 8,
        seed: int = 0,
        batch_size: int = 256,
        verbose: bool = False,
    ) -> None:
        where = type(self).__name__
        if classifier is not None and (boundary is not None or not callable(classifier)):
            hint = "Give either a boundary between groups or a classifier, a callable to logits."
            raise ParameterError(
                "classifier", where, "callable and alone", short_repr(classifier), hint
            )
        self.classifier = classifier
        self._by_class = classifier is not None
        self.pertinent = validation.choice(pertinent, "pertinent", where, PERTINENT)
        self.settings = Settings(
            beta=validation.real(beta, "beta", where, minimum=0.0),
            kappa=validation.real(kappa, "kappa", where, minimum=0.0),
            n_steps=validation.integer(n_steps, "n_steps", where, minimum=1),
            step=validation.real(step, "step", where, above=0.0),
        )
        self.constants = options.constants(constants, where)
        self.baseline: Any = options.baseline(baseline, where)
        self.n_path = validation.integer(n_path, "n_path", where, minimum=2)
        self.n_examples = validation.integer(n_examples, "n_examples", where, minimum=0)
        self.goal = options.goal(goal, self._by_class, where)
        self._border: GroupBorder | None = None
        self._mean: NDArray[np.float64] | None = None
        self._fixed = isinstance(boundary, Mapping)
        if boundary is not None:
            self._border = self._of(boundary)
        params = {
            "boundary": None if self._border is None else options.as_json(self._border),
            "goal": goal,
            "pertinent": pertinent,
            "beta": beta,
            "constants": self.constants,
            "kappa": kappa,
            "baseline": baseline if isinstance(baseline, str) else np.asarray(baseline).tolist(),
            "n_steps": n_steps,
            "step": step,
            "n_path": n_path,
            "n_examples": n_examples,
        }
        super().__init__(predictor, params, seed=seed, batch_size=batch_size, verbose=verbose)

    def fit(self, X: Any = None) -> LatentContrast:
        """Find what is needed and was not given: thresholds, the mean of the data's codes.

        Args:
            X: Reference data, for ``baseline="mean"``; else unused.

        Returns:
            The explainer itself.

        Raises:
            ParameterError: When ``baseline="mean"`` and ``X`` is None.
            AnchorError: When ``X`` does not fit the model, or has no finite instance.
        """
        if self._border is None and not self._by_class:
            from pxgen_plugins.explainer import PXGen
            from pxgen_plugins.thresholds import MeanMax

            rule = MeanMax(n_samples=1_000, n_repeats=5)
            size = self.batch_size
            explainer = PXGen(self.predictor, threshold=rule, seed=self.seed, batch_size=size)
            self._border = self._of(explainer.fit())
        if isinstance(self.baseline, str) and self.baseline == "mean":
            where = "LatentContrast.fit"
            if X is None:
                hint = "Call fit(X) with data of the kind the model was trained on."
                raise ParameterError("X", where, "given, for baseline='mean'", "None", hint)
            codes = Rows(X, self.predictor, where, self.batch_size).features("latent")
            codes = codes[np.isfinite(codes).all(axis=1)]
            if not len(codes):
                hint = "Check the data for NaN and infinity."
                raise AnchorError("X", where, "at least one finite instance", "none", hint)
            self._mean = codes.mean(axis=0)
        return self

    def _of(self, boundary: Any) -> GroupBorder:
        criteria, thresholds, rule, scale = thresholds_of(boundary)
        return GroupBorder(criteria, thresholds, str(self.goal), rule, scale)

    def _forget(self) -> None:
        self._mean = None
        if not self._fixed:  # thresholds found on the samples of the model that goes
            self._border = None

    def reset_predictor(self, predictor: Any) -> None:
        """See :meth:`Adapter.reset_predictor`."""
        if predictor is not None and self._border is not None:
            for criterion in self._border.criteria:
                criterion.check(predictor)
        super().reset_predictor(predictor)

    def _ready(self) -> Border:
        if self._by_class:
            if self.classifier is None:
                hint = "It is not saved with the explainer: set explainer.classifier again."
                raise ParameterError("classifier", "LatentContrast", "set", "None", hint)
            return ClassBorder(self.classifier, None if self.goal is None else int(self.goal))
        if self._border is None:
            raise NotFittedError(type(self).__name__)
        return self._border

    def _origin(self, size: int) -> NDArray[np.float64]:
        if not isinstance(self.baseline, str):
            code = np.asarray(self.baseline, dtype=np.float64).reshape(-1)
            if len(code) != size:
                hint = "Give one number per latent dimension."
                got = str(len(code))
                raise ParameterError("baseline", "LatentContrast", f"of {size} numbers", got, hint)
            return code
        if self.baseline == "prior":
            return np.zeros(size)
        if self._mean is None:
            raise NotFittedError(type(self).__name__)
        return self._mean

    def _explain(self, X: Any, **kwargs: Any) -> dict[str, Any]:
        border, model = self._ready(), self.predictor
        size = int(np.prod(model.latent_shape))
        origin = self._origin(size)
        rows = Rows(X, model, "LatentContrast.explain", self.batch_size)
        parts: list[dict[str, Any]] = []
        classifier = EvaluationMode(modules_of(self.classifier) if self.classifier else [])
        with bar(len(rows), "contrasts", "anchor", self.verbose) as progress, classifier():
            for _, x in rows.batches():
                parts.append(self._batch(border, x.clone(), origin))
                progress.update(len(x))
            keys = parts[0] if parts else {}
            found = {key: np.concatenate([part[key] for part in parts]) for key in keys}
            found = self._without(found, rows.invalid)
            if not parts:
                empty = np.empty((0, *model.latent_shape), dtype=np.float32)
                found = {"start": empty, "end": empty}
            found["examples"] = self._examples(found, rows)
        tried = np.isin(found.get("status", np.empty(0, dtype=np.str_)), ["found", "none"])
        rate = float((found["status"][tried] == "found").mean()) if tried.any() else None
        return {
            **found,
            "pertinent": self.pertinent,
            "success_rate": rate,
            **rows.found_invalid(),
        }

    def _batch(self, border: Border, x: Tensor, origin: NDArray[np.float64]) -> dict[str, Any]:
        """Return all keys with one entry per anchor of a batch."""
        model = self.predictor
        with torch.no_grad():
            mean, log_var = model.encode(x)
            code = mean.flatten(1)
            scores = border.scores(At(model, x, mean, log_var, self.seed))
            decisions = border.decide(scores)
            keep = self.pertinent == "positive"
            wanted = border.wanted(decisions, keep)
        base = torch.as_tensor(origin, device=code.device, dtype=code.dtype).expand_as(code)
        start = base if keep else code
        n, many = len(x), len(self.constants)
        anchor = torch.arange(n, device=x.device).repeat_interleave(many)
        weight = torch.tensor(self.constants, device=x.device, dtype=code.dtype).repeat(n)
        steps, costs = torch.zeros(n * many, code.shape[1]).to(code), torch.zeros(n * many).to(code)
        for low in range(0, n * many, self.batch_size):
            pick = anchor[low : low + self.batch_size]
            part = slice(low, low + len(pick))
            away = (code - base)[pick]
            zero = torch.zeros_like(away)
            box = (torch.minimum(away, zero), torch.maximum(away, zero)) if keep else None
            solution = search(
                self._violation(border, x[pick], log_var[pick], start[pick], wanted[pick.cpu()]),
                weight[part],
                code.shape[1],
                self.settings,
                box,
                away if keep else None,
            )
            steps[part], costs[part] = solution.delta, solution.cost
        cost, which = costs.reshape(n, many).min(1)
        chosen = torch.arange(n, device=x.device) * many + which
        delta = torch.where(torch.isfinite(cost)[:, None], steps[chosen], torch.zeros_like(code))
        ends = {}
        for name, position in (("start", start), ("end", start + delta)):
            with torch.no_grad():
                at = At(model, x, position.reshape(mean.shape), log_var, self.seed)
                scores = border.scores(at)
                ends[f"{name}_violation"] = border.violation(scores, wanted).double().cpu().numpy()
                names = [border.name(int(one)) for one in border.decide(scores)]
                ends[f"{name}_decision"] = np.array(names, dtype="<U24")
                ends[name] = position.reshape(mean.shape).float().cpu().numpy()
        found = torch.isfinite(cost).cpu().numpy()
        there = found & (ends["start_violation"] < -self.settings.kappa) & (not keep)
        constants = np.asarray(self.constants)[which.cpu().numpy()]
        return {
            "status": np.where(there, "already", np.where(found, "found", "none")).astype("<U7"),
            "success": found,
            "sparsity": (delta != 0).sum(1).cpu().numpy().astype(np.int64),
            "distance": np.where(found, delta.double().norm(dim=1).cpu().numpy(), np.nan),
            "cost": np.where(found, cost.double().cpu().numpy(), np.nan),
            "constant": np.where(found & ~there, constants, np.nan),
            **ends,
        }

    def _violation(
        self, border: Border, x: Tensor, log_var: Tensor, start: Tensor, wanted: Any
    ) -> Callable[[Tensor], Tensor]:
        model, seed = self.predictor, self.seed

        def violation(delta: Tensor) -> Tensor:
            z = (start + delta).reshape(log_var.shape)
            return border.violation(border.scores(At(model, x, z, log_var, seed)), wanted)

        return violation

    def _without(self, found: dict[str, Any], invalid: NDArray[np.int64]) -> dict[str, Any]:
        for values in found.values():
            if values.dtype.kind == "f":
                values[invalid] = np.nan
            elif values.dtype.kind == "U":
                values[invalid] = "invalid"
            else:
                values[invalid] = 0
        return found

    def _examples(self, found: dict[str, Any], rows: Rows) -> dict[str, Any] | None:
        valid = np.setdiff1d(np.arange(len(rows)), rows.invalid)[: self.n_examples]
        if not len(valid):
            return None
        share = np.linspace(0.0, 1.0, self.n_path).astype(np.float32)
        start, end = found["start"][valid], found["end"][valid]
        ahead = share.reshape(1, -1, *[1] * (start.ndim - 1))
        codes = torch.from_numpy(start[:, None] + ahead * (end - start)[:, None]).flatten(0, 1)
        model = self.predictor
        codes = codes.to(model.device, model.dtype)
        with torch.no_grad():
            parts = [
                model.decode(codes[low : low + self.batch_size]).float().cpu().numpy()
                for low in range(0, len(codes), self.batch_size)
            ]
        path = np.concatenate(parts).reshape(len(valid), self.n_path, *model.sample_shape)
        return {"indices": valid, "start": path[:, 0], "end": path[:, -1], "path": path}

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        if state.get("_predictor") is None:  # being saved: a classifier is a model, too
            state["classifier"] = None
        return state
