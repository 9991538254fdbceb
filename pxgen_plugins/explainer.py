"""PXGen as an Alibi explainer."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pxgen_plugins import __version__, defaults, saving, scoring
from pxgen_plugins.anchors import open_for
from pxgen_plugins.criteria.base import KINDS
from pxgen_plugins.criteria.fitted_criterion import FittedCriterion
from pxgen_plugins.criteria.parsing import as_list, settings
from pxgen_plugins.description import model_summary
from pxgen_plugins.estimate import Estimate, estimate, warn_if_long
from pxgen_plugins.groups import RULES
from pxgen_plugins.host import (
    Explainer,
    FitMixin,
    PredictorHolder,
    warn_version,
)
from pxgen_plugins.host.unfitted import unfitted
from pxgen_plugins.models import BlackBox
from pxgen_plugins.models.predictor import as_model, sample_shape
from pxgen_plugins.parameters import NOT_ARGUMENTS, Parameters, as_global_explainer
from pxgen_plugins.representatives import parse
from pxgen_plugins.result.assembly import assemble
from pxgen_plugins.result.explanation import DEFAULT_META_PXGEN, build
from pxgen_plugins.result.readable import Explanation
from pxgen_plugins.scoring import PRECISIONS, RECONSTRUCTIONS, Scorer, fit_criteria
from pxgen_plugins.thresholds import Calibration, calibrate
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.files import plain

__all__ = ["PXGen"]


@as_global_explainer
class PXGen(Parameters, PredictorHolder, Explainer, FitMixin):
    """Explains a generative model by example (Huang, Weng and Yang 2025).

    Anchors are scored by intrinsic criteria (how the model's latent space takes them) and
    extrinsic ones (how their reconstruction differs), split at thresholds found on the model's own
    samples (or on held-out reference data) into four groups, and a few representatives of each
    group are picked.

    Args:
        predictor: A model (see :mod:`pxgen_plugins.models`), or a callable from an ndarray of
            anchors (n, ...) to criterion values (n, m), columns in the order of ``intrinsic`` then
            ``extrinsic``.
        intrinsic: One or several intrinsic criteria: a registered name, a mapping with ``"name"``
            and parameters, or a Criterion. For a callable predictor: the names of its columns.
            None chooses by what the model can do and what that costs it, as do ``extrinsic`` and
            ``threshold`` (see :mod:`pxgen_plugins.defaults`): the paper's criteria and rule for a
            model with a posterior. ``meta["params"]["chosen"]`` says what was chosen, and why.
        extrinsic: Likewise, extrinsic.
        threshold: A rule of :mod:`pxgen_plugins.thresholds`, its name, or a mapping with its
            ``"name"``.
        selectors: Selectors of representatives (see :func:`pxgen_plugins.representatives.parse`).
            k-center and k-dispersion are both farthest-first and often agree; ``{"name":
            "k_center", "refine": True}`` moves the centres inwards.
        n_representatives: Representatives per group and selector, >= 1.
        rule: How several criteria of a kind decide: ``"all"``, ``"any"`` or ``"mean"``.
        space: Where selectors measure distance: ``"criterion"``, ``"latent"``, ``"pixel"``, or a
            callable from a batch of anchors to features.
        standardize: Scale features to unit variance within a group; None does in criterion space.
        reconstruction: ``"mean"`` decodes the posterior mean, ``"sample"`` a seeded draw, as the
            paper's own code does.
        precision: ``"float32"`` or ``"bfloat16"`` (faster, less exact).
        sampler: For a callable predictor: ``sampler(n, seed)`` to an ndarray of n model samples.
        examples: Keep pixels and reconstructions of the anchors that the figures show: True,
            False, or None to keep them while they are small.
        batch_size: Anchors per batch; None chooses.
        device: Where batches are put; None takes the model's.
        seed: Seed of everything drawn, >= 0.
        verbose: Show progress bars on stderr.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When a criterion needs what the model lacks.
        PredictorCallError: When a callable predictor raises.
        PredictorReturnTypeError: When it returns anything but one finite row per instance.

    Example:
        >>> import torch
        >>> from pxgen_plugins.models import VAE
        >>> from pxgen_plugins.thresholds import MeanMax
        >>> model = VAE(encode=lambda x: (x[:, :2] * 4 - 2, torch.zeros_like(x[:, :2]) - 1),
        ...             decode=lambda z: torch.cat([z, z], 1).sigmoid(),
        ...             modules=(), sample_shape=(4,))
        >>> explainer = PXGen(model, threshold=MeanMax(n_samples=100, n_repeats=2)).fit()
        >>> explanation = explainer.explain(torch.rand(50, 4, generator=torch.Generator()))
        >>> sum(group["count"] for group in explanation.groups.values())
        50
    """

    @caller("PXGen")
    def __init__(
        self,
        predictor: Any,
        intrinsic: Any = None,
        extrinsic: Any = None,
        threshold: Any = None,
        selectors: Any = ("k_center", "k_dispersion"),
        n_representatives: int = 10,
        *,
        rule: str = "all",
        space: str | Callable[[Any], Any] = "criterion",
        standardize: bool | None = None,
        reconstruction: str = "mean",
        precision: str = "float32",
        sampler: Callable[[int, int], Any] | None = None,
        examples: bool | None = None,
        batch_size: int | None = None,
        device: str | None = None,
        seed: int = 0,
        verbose: bool = False,
    ) -> None:
        self.rule = validation.choice(rule, "rule", RULES)
        self.reconstruction = validation.choice(reconstruction, "reconstruction", RECONSTRUCTIONS)
        self.precision = validation.choice(precision, "precision", PRECISIONS)
        self.n_representatives = validation.integer(
            n_representatives, "n_representatives", minimum=1
        )
        self.batch_size = batch_size
        if batch_size is not None:
            self.batch_size = validation.integer(batch_size, "batch_size", minimum=1)
        self.device = None if device is None else str(device)
        self.seed = validation.integer(seed, "seed", minimum=0)
        self.verbose = validation.boolean(verbose, "verbose")
        self.examples = examples
        if examples is not None:
            self.examples = validation.boolean(examples, "examples")
        self.choices = parse(selectors, space, standardize)
        self.sampler = sampler
        choice = defaults.choose(predictor, intrinsic, extrinsic, threshold)
        self.criteria, self.threshold = choice.criteria, choice.threshold
        kinds = [criterion.kind for criterion in self.criteria]
        several = max(kinds.count(kind) for kind in KINDS) > 1
        if rule == "mean" and several and not self.threshold.samples:
            hint = "Use a threshold rule that samples, or another rule."
            allowed = f"'all' or 'any' with {type(self.threshold).__name__}, which knows no scale"
            raise ParameterError("rule", allowed, short_repr(rule), hint)
        self.calibration: Calibration | None = None
        self.reference: scoring.Reference | None = None  # of the last fit; not saved
        self._shape: tuple[int, ...] | None = None
        super().__init__(meta=copy.deepcopy(DEFAULT_META_PXGEN))
        params = {
            "intrinsic": settings(self.criteria, "intrinsic"),
            "extrinsic": settings(self.criteria, "extrinsic"),
            "threshold": {"name": type(self.threshold).__name__, **self.threshold.params},
            "selectors": [plain(selector) for selector in as_list(selectors)],
            "n_representatives": self.n_representatives,
            "rule": rule,
            "space": plain(space),
            "standardize": standardize,
            "reconstruction": reconstruction,
            "precision": precision,
            "examples": examples,
            "batch_size": self.batch_size,
            "device": self.device,
            "seed": self.seed,
            "verbose": verbose,
            "chosen": choice.reasons,
            "pxgen_plugins_version": __version__,
        }
        self._update_metadata(params, params=True)
        self.reset_predictor(predictor)

    @caller("PXGen.estimate")
    def estimate(
        self, X: Any = None, n: int | None = None, *, n_reference: int | None = None
    ) -> Estimate:
        """Return what :meth:`fit` and :meth:`explain` will cost, before they are spent.

        Args:
            X: The anchors, whose first ones are timed; anything :meth:`explain` takes.
            n: How many anchors, without ``X``; with neither, 1,000.
            n_reference: Instances of reference data, where something uses it; None takes n.

        Cost: a few timed instances, seconds; no long loop is run to its end.
        """
        scorer = self.scorer()
        anchors = None if X is None else open_for(scorer.model, X)
        if n is not None or anchors is None:
            n = validation.integer(1_000 if n is None else n, "n", minimum=0)
        count = len(anchors) if n is None and anchors is not None else n or 0
        return estimate(scorer, self.threshold, count, anchors, n_reference)

    @caller("PXGen.fit")
    def fit(self, X: Any = None, columns: Any = None, *, anchors_range: Any = None) -> PXGen:
        """Find the thresholds, on the model's own samples or on reference data, as the rule says.

        Args:
            X: Reference data: held-out instances of the kind the model was trained on, anything
                :meth:`explain` takes. Rules with ``source="reference"`` use it, and criteria that
                learn from data; where both do, each gets a random half.
            columns: A table's columns of instances; as for :meth:`explain`.
            anchors_range: Lowest and highest value in ``X``; as for :meth:`explain`.

        Raises:
            ParameterError: When a criterion or the rule needs reference data and ``X`` is None.
            AnchorError: When the reference data cannot be read or is too small.
            CapabilityError: When the model cannot sample and the rule needs samples.
            ModelError: When the model raises or gives no finite value.

        Cost: n_samples x n_repeats samples and model passes, or one pass over ``X``.
        """
        scorer = self.scorer()
        self.threshold.check_reference(X)
        named = {"columns": columns, "anchors_range": anchors_range}
        parts = scoring.divide(scorer, X, self.threshold.source == "reference", self.seed, **named)
        n = sum(len(part) for part in (parts.learning, parts.thresholds) if part is not None)
        warn_if_long("PXGen.fit", scorer, self.threshold, parts.thresholds or parts.learning, n)
        fit_criteria(scorer, parts.learning, self.seed, self.verbose)
        self.calibration = calibrate(self.threshold, scorer, parts, self.seed, self.verbose)
        self.reference = parts
        return self

    @caller("PXGen.explain")
    def explain(
        self,
        X: Any,
        labels: Any = None,
        ids: Any = None,
        columns: Any = None,
        *,
        anchors_range: Any = None,
    ) -> Explanation:
        """Group the anchors and pick representatives.

        Args:
            X: Anchors, (n, *sample_shape): numpy (uint8 is scaled to the model's range), torch,
                a Dataset or DataLoader, a memory-mapped ``.npy``, the path of one, a folder of
                images (sub-folders are labels), a Parquet file, or a DataFrame.
            labels: n labels, of any type, or a table's column; they override those of ``X``.
            ids: n unique names of the anchors, or a table's column.
            columns: A table's columns of anchors (see :func:`~pxgen_plugins.anchors.open_anchors`);
                ``meta["params"]["anchors"]`` says what was taken for what.
            anchors_range: Lowest and highest value in ``X``; as for ``open_anchors``.

        Returns:
            Alibi's Explanation, which ``print`` shows by its ``summary()``; data is described at
            :data:`pxgen_plugins.result.explanation.DEFAULT_DATA_PXGEN`. An empty anchor set gives
            empty groups, and fractions of None.

        Raises:
            NotFittedError: Before :meth:`fit`.
            AnchorError: When the anchors do not fit the model.
            ModelError: When the model raises for every anchor of the first batch.

        Cost: n model passes, then O(n k) per selector; about 140 bytes an anchor beyond one batch
        for two criteria, in temporary files where that is much (``TMPDIR`` says where).
        """
        calibration = self.calibration
        if calibration is None:
            hint = "Call fit() first: it finds the thresholds, on samples of the model."
            raise unfitted("PXGen.explain", type(self).__name__, hint)
        scorer = self.scorer()
        anchors = open_for(
            scorer.model, X, labels=labels, ids=ids, columns=columns, anchors_range=anchors_range
        )
        warn_if_long("PXGen.explain", scorer, None, anchors)
        scores = scorer.score(anchors, self.verbose)
        result = assemble(
            scores,
            calibration,
            scorer,
            anchors,
            rule=self.rule,
            choices=self.choices,
            k=self.n_representatives,
            examples=self.examples,
            combine=self.threshold.combine,
        )
        meta = copy.deepcopy(self.meta)
        meta["params"]["n_anchors"] = len(anchors)
        meta["params"]["anchors"] = anchors.describe()
        meta["params"]["model"] = model_summary(scorer.model)
        return build(meta, result.to_data(), copy_arrays=False)

    @caller("PXGen")
    def reset_predictor(self, predictor: Any) -> None:
        """Put ``predictor`` in the place of the present one.

        Thresholds belong to a model: replacing a live model drops them, and ``fit`` has to be
        called again. An explainer that holds none (one just loaded) keeps its thresholds.

        Raises:
            ParameterError: When it is neither a model nor a callable.
            CapabilityError: When a criterion needs what it lacks.
            PredictorCallError: When a callable predictor raises.
            PredictorReturnTypeError: When it returns anything but one finite row per instance.
        """
        shape = self._shape if self.predictor is None else None
        if predictor is not None:
            model = as_model(predictor, self.sampler, len(self.criteria))
            for criterion in self.criteria:
                criterion.check(model)
            if isinstance(model, BlackBox):
                shape = sample_shape(model) or shape
            if self.predictor is not None and self.predictor is not predictor:
                self.calibration = self.reference = None
        self._predictor, self._shape, self._saving = predictor, shape, False

    @caller("PXGen.save")
    def save(self, path: str | os.PathLike[str]) -> None:
        """Save settings and thresholds, without the model, as JSON and safetensors.

        Args:
            path: A folder; made when absent. Each file appears whole or not at all.

        Raises:
            ParameterError: When ``path`` cannot be written.
        """
        states = [c.state if isinstance(c, FittedCriterion) else {} for c in self.criteria]
        params, shape = self.meta["params"], self._shape
        name = type(self).__name__
        saving.write(saving.ExplainerState(name, params, shape, self.calibration, states), path)

    @classmethod
    @caller("PXGen.load")
    def load(cls, path: str | os.PathLike[str], predictor: Any, **overrides: Any) -> PXGen:
        """Return the explainer saved at ``path``, for ``predictor``; nothing is unpickled.

        Args:
            path: A folder written by :meth:`save`.
            predictor: The model, which is not saved.
            overrides: Arguments of the constructor that JSON cannot hold: callables as ``space``,
                ``selectors`` or ``sampler``, and criteria that are not registered.

        Raises:
            ParameterError: When the folder is not readable, or an override is needed.
        """
        saved = saving.read(path)
        params = {k: v for k, v in saved.params.items() if k not in NOT_ARGUMENTS}
        try:
            explainer = cls(predictor, **{**params, **overrides})
        except (ParameterError, TypeError) as error:
            hint = f"Pass what JSON cannot hold to load, as in load(path, model, space=f): {error}"
            got = short_repr(str(path))
            raise ParameterError("settings", "complete without callables", got, hint) from error
        explainer.meta["params"]["chosen"] = saved.params.get("chosen", {})
        warn_version(saved.params.get("pxgen_plugins_version"))
        explainer._shape = saved.sample_shape if explainer._shape is None else explainer._shape
        explainer.calibration = saved.calibration
        if saved.calibration is not None:
            explainer._restore(saved.calibration, saved.states)
        return explainer

    def _restore(self, calibration: Calibration, states: Sequence[Mapping[str, Any]]) -> None:
        """Give the criteria what they learned; refuse thresholds of other criteria."""
        names = [criterion.name for criterion in self.criteria]
        if calibration.names != names:
            allowed = "the saved ones: " + ", ".join(calibration.names)
            hint = "Load with the criteria it was fitted with."
            raise ParameterError("criteria", allowed, ", ".join(names), hint)
        for criterion, state in zip(self.criteria, states, strict=True):
            if isinstance(criterion, FittedCriterion):
                criterion.restore(state)

    @caller("PXGen")
    def scorer(self) -> Scorer:
        """Return the scorer that :meth:`fit` and :meth:`explain` use: model, criteria, settings.

        Raises:
            ParameterError: When the explainer holds no model.
        """
        if self.predictor is None:
            hint = "Call reset_predictor(model)."
            raise ParameterError("predictor", "set", "None", hint)
        model = as_model(self.predictor, self.sampler, len(self.criteria))
        if isinstance(model, BlackBox):
            model.sample_shape = self._shape
        return Scorer(
            model,
            self.criteria,
            batch_size=self.batch_size,
            device=self.device,
            seed=self.seed,
            reconstruction=self.reconstruction,
            precision=self.precision,
        )

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state["reference"] = None  # data, which may be large
        if state["_predictor"] is None:  # a sampler would carry the model along
            state["sampler"] = None
        return state
