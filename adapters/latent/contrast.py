"""Contrasts in latent space: the least change that decides otherwise, or the part that suffices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.adapters._anchors import AnchorReader
from pxgen_plugins.adapters.base import Adapter, NotFittedError, register
from pxgen_plugins.adapters.latent import _contrast_arguments as arguments
from pxgen_plugins.adapters.latent._boundary import (
    Border,
    ClassBorder,
    GroupBorder,
    border_of,
)
from pxgen_plugins.adapters.latent._elastic_net import Settings, search
from pxgen_plugins.criteria import Batch
from pxgen_plugins.models.runtime import Autocast, EvaluationMode, modules_of
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import AnchorError, ParameterError, short_repr
from pxgen_plugins.utils.progress import bar

__all__ = ["DEFAULT_DATA_CONTRAST", "LatentContrast"]

PERTINENT = ("negative", "positive")
_PATH = 5  # points of a decoded path, both ends included
_EXAMPLES = 8  # anchors whose ends and path are decoded

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
"""Default data of LatentContrast, to be deep-copied; its docstring has the keys."""


@register("latent_contrast")
@dataclass(repr=False, eq=False)
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
        goal: Group to reach, as in "HIHE", or "HE" for one kind alone; with a classifier a class.
            None takes any other group or class than the anchor's own. A group may be out of reach:
            no code of a model of zeros decodes to a six. Positives ignore it.
        classifier: From a tensor of decoded instances (b, *sample_shape) to logits (b, c).
        pertinent: ``"negative"`` or ``"positive"``.
        beta: Weight of the absolute values against the squares, >= 0: more is sparser.
        constants: Weights of the border that are tried.
        kappa: How far beyond the border to go, >= 0: in thresholds, or in logits.
        baseline: Where positives start: ``"prior"`` (its mean, 0), ``"mean"`` (of the posterior
            means of the data given to ``fit``), or a code.
        n_steps: FISTA steps, >= 1.
        step: Length of the first step at weight 1, > 0.
        seed: Seed of the criteria's own noise; with a PXGen as boundary that of the PXGen is taken.
        batch_size: Instances per model call; a weight of an anchor counts as one.
        verbose: Show a progress bar on stderr.

    Fields:
        pertinent (str): ``"negative"`` or ``"positive"``.
        status (str (n,)): Of each of n anchors: "found", "already" (it is where the goal is),
            "none" (nothing was found: a result, not a fault) or "invalid".
        success (bool (n,)): Whether that is "found" or "already".
        start (float32 (n, *latent_shape)): The posterior mean, for a positive the baseline; NaN for
            anchors left out.
        end (float32 (n, *latent_shape)): The contrast, or the part that suffices; equal to
            ``start`` where nothing was found; NaN for anchors left out.
        sparsity (int64 (n,)): Dimensions that change: 0 for an empty positive, or none found.
        distance (float64 (n,)): Euclidean length of the change; NaN where nothing was found.
        cost (float64 (n,)): Its elastic net; NaN where nothing was found.
        constant (float64 (n,)): Weight of the border that found it; NaN but for "found".
        start_decision, end_decision (str (n,)): Group or class of both ends; "invalid" if left out.
        start_violation, end_violation (float64 (n,)): Distance of both from the goal, in thresholds
            or logits, below 0 = there; NaN for anchors left out.
        success_rate (float): Share of "found" in "found" and "none"; None without these.
        examples (dict): Of the first 8 valid anchors ``indices``, int64 (e,), and decoded
            ``start``, ``end`` (e, *sample_shape) and ``path`` (e, 5, *sample_shape), with both
            ends, float32; None without any.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

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
        ...             modules=(), sample_shape=(4,))
        >>> def classifier(x): return torch.stack([x[:, 0], 1 - x[:, 0]], 1)
        >>> contrast = LatentContrast(model, classifier=classifier)
        >>> explanation = contrast.explain(torch.tensor([[0.4, 0.9, 0.0, 0.0]]))
        >>> explanation.status.tolist(), explanation.sparsity.tolist()
        (['found'], [1])
    """

    evidence = "counterfactual"
    access = "gradients"
    requires = frozenset({"encode", "decode"})
    explainer_argument = "boundary"
    defaults = DEFAULT_DATA_CONTRAST

    boundary: Any = None
    goal: str | int | None = None
    _: KW_ONLY
    classifier: Callable[[Any], Any] | None = None
    pertinent: str = "negative"
    beta: float = 1.0
    constants: Sequence[float] = (1.0, 10.0, 100.0)
    kappa: float = 1e-3
    baseline: Any = "prior"
    n_steps: int = 200
    step: float = 0.02

    def _check(self) -> None:
        super()._check()
        given = self.classifier
        if given is not None and (self.boundary is not None or not callable(given)):
            hint = "Give either a boundary between groups or a classifier, a callable to logits."
            raise ParameterError("classifier", "callable and alone", short_repr(given), hint)
        self._by_class = given is not None
        self.pertinent = validation.choice(self.pertinent, "pertinent", PERTINENT)
        self.beta = validation.real(self.beta, "beta", minimum=0.0)
        self.kappa = validation.real(self.kappa, "kappa", minimum=0.0)
        self.n_steps = validation.integer(self.n_steps, "n_steps", minimum=1)
        self.step = validation.real(self.step, "step", above=0.0)
        self.constants = arguments.constants(self.constants)
        self.baseline = arguments.baseline(self.baseline)
        self._goal = arguments.goal(self.goal, self._by_class)
        self._mean: NDArray[np.float64] | None = None
        self._border: GroupBorder | None = None
        self._fixed = isinstance(self.boundary, Mapping)
        if self.boundary is not None:  # a fitted PXGen holds a model: only its thresholds are kept
            self._border = self._group_border(self.boundary)
            self.boundary = arguments.as_json(self._border)

    def _check_model(self, model: Any) -> None:
        for criterion in self._border.criteria if self._border is not None else []:
            criterion.check(model)

    def _params(self) -> dict[str, Any]:
        params = super()._params()
        del params["classifier"]
        named = isinstance(self.baseline, str)
        return {**params, "baseline": self.baseline if named else self.baseline.tolist()}

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
        with self._call("fit"):
            if self._border is None and not self._by_class:
                self._border = self._calibrate()
            if isinstance(self.baseline, str) and self.baseline == "mean":
                self._mean = self._mean_code(X)
        return self

    def _calibrate(self) -> GroupBorder:
        from pxgen_plugins.explainer import PXGen
        from pxgen_plugins.thresholds import MeanMax

        rule, size = MeanMax(n_samples=1_000, n_repeats=5), self.batch_size
        explainer = PXGen(self.predictor, threshold=rule, seed=self.seed, batch_size=size)
        return self._group_border(explainer.fit())

    def _mean_code(self, X: Any) -> NDArray[np.float64]:
        if X is None:
            hint = "Call fit(X) with data of the kind the model was trained on."
            raise ParameterError("X", "given, for baseline='mean'", "None", hint)
        codes = AnchorReader(X, self.predictor, self.batch_size).features("latent")
        codes = codes[np.isfinite(codes).all(axis=1)]
        if not len(codes):
            hint = "Check the data for NaN and infinity."
            raise AnchorError("X", "at least one finite instance", "none", hint)
        mean: NDArray[np.float64] = codes.mean(axis=0)
        return mean

    def _group_border(self, boundary: Any) -> GroupBorder:
        return border_of(boundary, None if self._goal is None else str(self._goal))

    def _forget(self) -> None:
        self._mean = None
        if not self._fixed:  # thresholds found on the samples of the model that goes
            self._border = None

    def _ready(self) -> Border:
        if self._by_class:
            if self.classifier is None:
                hint = "It is not saved with the explainer: set explainer.classifier again."
                raise ParameterError("classifier", "set", "None", hint)
            return ClassBorder(self.classifier, None if self._goal is None else int(self._goal))
        if self._border is None:
            raise NotFittedError(type(self).__name__)
        return self._border

    def _origin(self, size: int) -> NDArray[np.float64]:
        if not isinstance(self.baseline, str):
            code = np.asarray(self.baseline, dtype=np.float64).reshape(-1)
            if len(code) != size:
                hint = "Give one number per latent dimension."
                got = str(len(code))
                raise ParameterError("baseline", f"of {size} numbers", got, hint)
            return code
        if self.baseline == "prior":
            return np.zeros(size)
        if self._mean is None:
            raise NotFittedError(type(self).__name__)
        return self._mean

    def _explain(self, X: Any) -> dict[str, Any]:
        border, model = self._ready(), self.predictor
        size = int(np.prod(model.latent_shape))
        origin = self._origin(size)
        reader = AnchorReader(X, model, self.batch_size)
        parts: list[dict[str, Any]] = []
        classifier = EvaluationMode(modules_of(self.classifier) if self.classifier else [])
        with bar(len(reader), "contrasts", "anchor", self.verbose) as progress, classifier():
            for _, x in reader.batches():
                parts.append(self._batch(border, x.clone(), origin))
                progress.update(len(x))
            keys = parts[0] if parts else {}
            data = {key: np.concatenate([part[key] for part in parts]) for key in keys}
            for row in np.flatnonzero(~np.isfinite(data.get("start_violation", np.empty(0)))):
                reader.errors.setdefault(int(row), "the border is not finite at its code")
            data = _without(data, reader.invalid)
            if not parts:
                empty = np.empty((0, *model.latent_shape), dtype=np.float32)
                data = {"start": empty, "end": empty}
            data["examples"] = self._examples(data, reader)
        rate = None
        if parts and (searched := np.isin(data["status"], ["found", "none"])).any():
            rate = float((data["status"][searched] == "found").mean())
        return {
            **data,
            "pertinent": self.pertinent,
            "success_rate": rate,
            **reader.exclusions(),
        }

    def _batch(self, border: Border, x: Tensor, origin: NDArray[np.float64]) -> dict[str, Any]:
        """Return all keys with one entry per anchor of a batch."""
        model = self._model()
        with torch.no_grad():
            mean, log_var = model.encode(x)
            code = mean.flatten(1)
            scores = border.scores(self._moved(x, (mean, log_var)))
            decisions = border.decide(scores)
            keep = self.pertinent == "positive"
            goals = border.goals(decisions, keep)
        base = torch.as_tensor(origin, device=code.device, dtype=code.dtype).expand_as(code)
        start = base if keep else code
        settings = Settings(self.beta, self.kappa, self.n_steps, self.step)
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
                self._violation(
                    border, x[pick], log_var[pick], start[pick], goals[pick.cpu().numpy()]
                ),
                weight[part],
                code.shape[1],
                settings,
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
                posterior = (position.reshape(mean.shape), log_var)
                scores = border.scores(self._moved(x, posterior))
                ends[f"{name}_violation"] = border.violation(scores, goals).double().cpu().numpy()
                names = [border.name(int(one)) for one in border.decide(scores)]
                ends[f"{name}_decision"] = np.array(names, dtype="<U24")
                ends[name] = position.reshape(mean.shape).float().cpu().numpy()
        success = torch.isfinite(cost).cpu().numpy()
        there = success & (ends["start_violation"] < -self.kappa) & (not keep)
        constants = np.asarray(self.constants)[which.cpu().numpy()]
        return {
            "status": np.where(there, "already", np.where(success, "found", "none")).astype("<U7"),
            "success": success,
            "sparsity": (delta != 0).sum(1).cpu().numpy().astype(np.int64),
            "distance": np.where(success, delta.double().norm(dim=1).cpu().numpy(), np.nan),
            "cost": np.where(success, cost.double().cpu().numpy(), np.nan),
            "constant": np.where(success & ~there, constants, np.nan),
            **ends,
        }

    def _model(self) -> Any:
        """Return the model, run in the precision that the thresholds were found in."""
        model = self.predictor
        narrow = self._border is not None and self._border.precision == "bfloat16"
        return Autocast(model, torch.device(model.device).type) if narrow else model

    def _moved(self, x: Tensor, posterior: tuple[Tensor, Tensor]) -> Batch:
        """Return anchors with their codes moved, and the noise that the thresholds belong to."""
        seed = None if self._border is None else self._border.seed
        seed = self.seed if seed is None else seed
        return Batch(self._model(), x, seed=seed, posterior=posterior)

    def _violation(
        self, border: Border, x: Tensor, log_var: Tensor, start: Tensor, goals: Any
    ) -> Callable[[Tensor], Tensor]:
        def violation(delta: Tensor) -> Tensor:
            z = (start + delta).reshape(log_var.shape)
            return border.violation(border.scores(self._moved(x, (z, log_var))), goals)

        return violation

    def _examples(self, data: dict[str, Any], reader: AnchorReader) -> dict[str, Any] | None:
        valid = np.setdiff1d(np.arange(len(reader)), reader.invalid)[:_EXAMPLES]
        if not len(valid):
            return None
        share = np.linspace(0.0, 1.0, _PATH).astype(np.float32)
        start, end = data["start"][valid], data["end"][valid]
        ahead = share.reshape(1, -1, *[1] * (start.ndim - 1))
        codes = torch.from_numpy(start[:, None] + ahead * (end - start)[:, None]).flatten(0, 1)
        model = self.predictor
        codes = codes.to(model.device, model.dtype)
        with torch.no_grad():
            parts = [
                model.decode(codes[low : low + self.batch_size]).float().cpu().numpy()
                for low in range(0, len(codes), self.batch_size)
            ]
        path = np.concatenate(parts).reshape(len(valid), _PATH, *model.sample_shape)
        return {"indices": valid, "start": path[:, 0], "end": path[:, -1], "path": path}

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        if state.get("_predictor") is None:  # being saved: a classifier is a model, too
            state["classifier"] = None
        return state


def _without(data: dict[str, Any], invalid: NDArray[np.int64]) -> dict[str, Any]:
    """Return the data with no result in the rows of invalid anchors."""
    for values in data.values():
        if values.dtype.kind == "f":
            values[invalid] = np.nan
        else:
            values[invalid] = "invalid" if values.dtype.kind == "U" else 0
    return data
