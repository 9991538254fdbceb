"""Which parts of an image keep it in its group: alibi's AnchorImage on PXGen's groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pxgen_plugins import groups as grouping
from pxgen_plugins.adapters._anchors import AnchorReader
from pxgen_plugins.adapters._isolation import quiet
from pxgen_plugins.adapters.attribution._superpixels import (
    all_channels_last,
    channels_first,
    channels_last,
    survival,
)
from pxgen_plugins.adapters.base import Adapter, NotFittedError, register
from pxgen_plugins.anchors import open_for
from pxgen_plugins.criteria import Batch, make
from pxgen_plugins.criteria.base import Criterion
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import AnchorError, ParameterError, caller, short_repr
from pxgen_plugins.utils.optional import load
from pxgen_plugins.utils.progress import bar
from pxgen_plugins.utils.seeds import derive

__all__ = ["DEFAULT_DATA_GROUP_ANCHOR", "GroupAnchorImage"]

SEGMENTATIONS = ("slic", "grid")
_LARGEST = 2**32  # seeds of numpy's legacy generators are 32 bits wide

DEFAULT_DATA_GROUP_ANCHOR: dict[str, Any] = {
    "group": None,
    "asked": None,
    "in_group": None,
    "attributions": None,
    "segments": None,
    "n_segments": None,
    "n_kept": None,
    "precision": None,
    "precision_interval": None,
    "coverage": None,
    "success": None,
    "thresholds": {},
    "invalid": None,
    "reasons": [],
}
"""Default data of GroupAnchorImage, to be deep-copied; its docstring has the keys."""


@register("group_anchor_image")
@dataclass(repr=False, eq=False)
class GroupAnchorImage(Adapter):
    """Superpixels that suffice to keep an image in, or out of, a group (Ribeiro et al. 2018).

    The question "is this anchor in group G?" is answered by the criteria and their thresholds; the
    search for a smallest set of superpixels that fixes the answer, whatever the others show, is
    alibi's AnchorImage. Superpixels that are not kept show their mean colour or, after ``fit(X)``,
    pieces of the images in X.

    Args:
        predictor: The model, of 2-dimensional images or images with a leading channel axis.
        thresholds: A fitted PXGen of the same model, or a mapping from criterion to threshold with
            at least one intrinsic and one extrinsic criterion.
        group: ``"HIHE"``, ``"HILE"``, ``"LIHE"`` or ``"LILE"``; None asks each anchor about the
            group that it is in.
        segmentation: ``"slic"`` (Achanta et al. 2012) or ``"grid"`` (squares, for tiny images).
        n_segments: About how many superpixels, >= 2.
        precision: Precision asked for, in (0, 1).
        n_draws: Perturbed images per round of the search, >= 1; independent of ``batch_size``.
        coverage_samples: Perturbations that coverage is measured on, >= 1.
        precision_samples: Perturbed images that the precision of the result is measured on, >= 1.
        n_background: Most images that :meth:`fit` keeps, >= 1.
        seed: Seed of all draws; every anchor gets the same ones. Criteria draw with the seed of
            the PXGen that the thresholds come from.
        batch_size: Images per model call.
        verbose: Show a progress bar on stderr.

    Fields:
        group (str (n,)): The group that each of n anchors is in; "invalid" for one left out.
        asked (str (n,)): The group asked about; for ``group=None`` the anchor's own.
        in_group (bool (n,)): Whether the anchor is in it. Where not, what is explained is that it
            is *not* in it; also False for an anchor left out.
        attributions (float32 (n, *sample_shape)): 1 on the superpixels that the answer rests on, 0
            elsewhere; NaN for an anchor left out.
        segments (int64 (n, height, width)): Superpixel of each pixel, from 0 on; 0 for an anchor
            left out.
        n_segments (int64 (n,)): How many superpixels there are; 0 for an anchor left out.
        n_kept (int64 (n,)): How many of them the answer rests on: 0 where it stays whatever is
            hidden, and for an anchor left out.
        precision (float64 (n,)): Share of perturbed images with these superpixels kept that give
            the same answer, in [0, 1], on ``precision_samples`` draws that the search has not seen;
            NaN for an anchor left out.
        precision_interval (float64 (n, 2)): Its exact 95% interval (Clopper-Pearson); NaN likewise.
        coverage (float64 (n,)): Share of random perturbations that keep these superpixels, in [0,
            1]: higher = fewer of them; NaN likewise.
        success (bool (n,)): Whether the precision reaches the one asked for. Where not, the best
            found is shown, and it is no explanation.
        thresholds (dict): By name of the criterion, float, in its unit.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

    Raises:
        ParameterError: When an argument is not allowed, the PXGen is not fitted or of another
            model, or the model's instances are no images.
        CapabilityError: When a criterion needs what the model lacks.

    Cost: ``precision_samples`` and hundreds to thousands of model passes per anchor, more as the
    answer gets closer to the thresholds; one by one for a PXGen of drawn reconstructions.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel, noise
        >>> model = LinearModel()
        >>> explainer = GroupAnchorImage(model, {"kld": 1e9, "mse": 1e9}, segmentation="grid")
        >>> explanation = explainer.explain(noise(model, 1).numpy())
        >>> explanation.group.tolist(), explanation.n_kept.tolist()
        (['HIHE'], [0])
    """

    evidence = "attribution"
    access = "black box"
    library = "alibi"
    explainer_argument = "thresholds"
    defaults = DEFAULT_DATA_GROUP_ANCHOR

    thresholds: Any
    group: str | None = None
    _: KW_ONLY
    segmentation: str = "slic"
    n_segments: int = 10
    precision: float = 0.95
    n_draws: int = 100
    coverage_samples: int = 1000
    precision_samples: int = 1000
    n_background: int = 100

    def __post_init__(self, predictor: Any) -> None:
        owner = getattr(self.thresholds, "predictor", None)
        if owner is not None and owner is not predictor:
            with caller(type(self).__name__):
                hint = "Give both the same model: thresholds belong to it."
                got = "a PXGen of another model"
                raise ParameterError("thresholds", "of the same model", got, hint)
        super().__post_init__(predictor)

    def _check(self) -> None:
        super()._check()
        if self.group is not None:
            self.group = validation.choice(self.group, "group", grouping.GROUPS)
        self.segmentation = validation.choice(self.segmentation, "segmentation", SEGMENTATIONS)
        self.n_segments = validation.integer(self.n_segments, "n_segments", minimum=2)
        self.precision = validation.real(self.precision, "precision", above=0.0, below=1.0)
        self.n_draws = validation.integer(self.n_draws, "n_draws", minimum=1)
        self.coverage_samples = validation.integer(
            self.coverage_samples, "coverage_samples", minimum=1
        )
        self.precision_samples = validation.integer(
            self.precision_samples, "precision_samples", minimum=1
        )
        self.n_background = validation.integer(self.n_background, "n_background", minimum=1)
        self.background: NDArray[np.float32] | None = None
        self.rule = "all"
        # of the PXGen that the thresholds come from: other noise gives other groups
        self.settings: dict[str, Any] = {"seed": self.seed}
        self.scale: NDArray[np.float64] | None = None
        self._from_pxgen = not isinstance(self.thresholds, Mapping)
        self.criteria, self.thresholds = self._read(self.thresholds)

    def _check_model(self, model: Any) -> None:
        for criterion in self.criteria:
            criterion.check(model)
        shape = model.sample_shape
        if shape is None or len(shape) not in (2, 3):
            hint = "Use an attribution of Captum's for other data."
            allowed = "of images, sample_shape (H, W) or (C, H, W)"
            raise ParameterError("predictor", allowed, str(shape), hint)

    def _params(self) -> dict[str, Any]:
        return {**super()._params(), "thresholds": dict(self.thresholds), "rule": self.rule}

    def model_calls(self, n: int) -> Mapping[str, float]:
        """Return how often ``explain`` calls the model for ``n`` anchors."""
        return {"score": 3.0 * n * self.precision_samples}

    def fit(self, X: Any = None) -> GroupAnchorImage:
        """Keep images whose pieces stand in for superpixels that are not kept.

        Args:
            X: Images as the model takes them, ``n_background`` of which are kept, drawn with the
                seed. None goes back to mean colours, which is also what an unfitted one shows.

        Raises:
            AnchorError: When ``X`` does not fit the model or holds no finite image.
        """
        self.background = None
        if X is None:
            return self
        with self._call("fit"):
            reader = AnchorReader(X, self.predictor, self.batch_size)
            usable = reader.usable()
            if not len(usable):
                hint = "Fit on data of the kind the model was trained on."
                raise AnchorError("X", "finite images", "none", hint)
            if len(usable) > self.n_background:
                rng = np.random.default_rng(derive(self.seed, "background"))
                usable = np.sort(rng.choice(usable, self.n_background, replace=False))
            self.background = reader.inputs(usable).float().cpu().numpy()
        return self

    def _forget(self) -> None:
        # thresholds that came from a PXGen belong to its model
        self.background = None
        if self._from_pxgen:
            self.thresholds = None

    def _read(self, thresholds: Any) -> tuple[list[Criterion], dict[str, float] | None]:
        """Return the criteria and their thresholds by name."""
        if isinstance(thresholds, Mapping):
            criteria = [make(name, "thresholds") for name in thresholds]
            bounds = {
                criterion.name: validation.real(value, f"threshold {criterion.name!r}")
                for criterion, value in zip(criteria, thresholds.values(), strict=True)
            }
            for kind in ("intrinsic", "extrinsic"):
                if not any(criterion.kind == kind for criterion in criteria):
                    hint = "Give both, as in {'kld': 30.0, 'mse': 0.05}."
                    got = short_repr(dict(thresholds))
                    raise ParameterError("thresholds", f"with an {kind} criterion", got, hint)
            return criteria, bounds
        from pxgen_plugins.explainer import PXGen

        if not isinstance(thresholds, PXGen):
            hint = "Give PXGen(model).fit(), or {'kld': 30.0, 'mse': 0.05}."
            allowed = "a fitted PXGen or a mapping from criterion to threshold"
            raise ParameterError("thresholds", allowed, short_repr(thresholds), hint)
        calibration = thresholds.calibration
        if calibration is None:
            raise ParameterError("thresholds", "fitted", "a new PXGen", "Call its fit().")
        self.rule = thresholds.rule
        names = ("seed", "reconstruction", "precision")
        self.settings = {name: getattr(thresholds, name) for name in names}
        self.scale = np.array(calibration.scale)
        bounds = dict(zip(calibration.names, calibration.thresholds.tolist(), strict=True))
        return list(thresholds.criteria), bounds

    def _groups(self, X: Any, position: int | None = None) -> NDArray[np.str_]:
        """Return the groups of anchors, or of perturbed images of the anchor at ``position``."""
        scorer = Scorer(
            self.predictor,
            self.criteria,
            batch_size=self.batch_size,
            **self.settings,
        )
        # a drawn reconstruction belongs to a position: perturbed images get the noise of theirs
        one_by_one = position is not None and scorer.reconstruction == "sample"
        if one_by_one:
            values = np.concatenate([_values_at(scorer, x, position or 0) for x in X])
        else:
            values = scorer.score(open_for(self.predictor, X)).values
        bounds = np.array(list((self.thresholds or {}).values()))
        kinds = [criterion.kind for criterion in self.criteria]
        return grouping.assign(values, bounds, kinds, self.rule, self.scale)

    def _explain(self, X: Any) -> dict[str, Any]:
        if self.thresholds is None:
            raise NotFittedError(type(self).__name__)
        reader = AnchorReader(X, self.predictor, self.batch_size)
        n, shape = len(reader), tuple(self.predictor.sample_shape)
        groups = self._groups(reader.anchors) if n else np.empty(0, dtype="<U7")
        reader.usable()
        for i in np.flatnonzero(groups == grouping.INVALID):
            reader.errors.setdefault(int(i), "a criterion is not finite")
        question = groups.copy() if self.group is None else np.full(n, self.group, dtype="<U7")
        data: dict[str, Any] = {
            "attributions": np.full((n, *shape), np.nan, dtype=np.float32),
            "segments": np.zeros((n, *shape[-2:]), dtype=np.int64),
            "n_segments": np.zeros(n, dtype=np.int64),
            "n_kept": np.zeros(n, dtype=np.int64),
            "precision": np.full(n, np.nan),
            "precision_interval": np.full((n, 2), np.nan),
            "coverage": np.full(n, np.nan),
        }
        # alibi logs a search without success; here ``success`` says it
        silence = quiet("alibi.explainers.anchors.anchor_base")
        with bar(n, "AnchorImage", "anchor", self.verbose) as progress, silence:
            for i in range(n):
                if i not in reader.errors:
                    x = reader.inputs([i]).float().cpu().numpy()[0]
                    self._one(x, str(question[i]), i, data)
                progress.update(1)
        return {
            **data,
            "group": groups,
            "asked": question,
            "in_group": (groups == question) & (groups != grouping.INVALID),
            "success": data["precision"] >= self.precision,
            "thresholds": dict(self.thresholds),
            **reader.exclusions(),
        }

    def _one(self, x: NDArray[np.float32], group: str, i: int, data: dict[str, Any]) -> None:
        """Fill row ``i`` of ``data``: the superpixels that keep ``x`` in, or out of, ``group``."""
        AnchorImage = load("alibi.explainers", "alibi").AnchorImage

        shape = x.shape
        image = channels_last(x)
        segments = self._segments(image)

        def inside(images: NDArray[Any]) -> NDArray[np.bool_]:
            rows = np.asarray(images, dtype=np.float32)
            answers: NDArray[np.bool_] = self._groups(channels_first(rows, shape), i) == group
            return answers

        def columns(images: NDArray[Any]) -> NDArray[np.float64]:
            # two columns of scores: alibi takes a single one for labels without a word
            answers = inside(images)
            return np.column_stack([~answers, answers]).astype(np.float64)

        background = None if self.background is None else all_channels_last(self.background)
        explainer = AnchorImage(
            columns,
            image.shape,
            segmentation_fn=lambda _: segments,
            images_background=background,
            # a second call of one explainer differs, so each anchor has its own
            seed=self.seed % _LARGEST,
        )
        with np.errstate(all="ignore"):  # alibi scales the image by its range, which may be 0
            result = explainer.explain(
                image,
                threshold=self.precision,
                batch_size=self.n_draws,
                coverage_samples=self.coverage_samples,
            )
        kept = [int(segment) for segment in result.raw["feature"]]
        data["attributions"][i] = np.broadcast_to(np.isin(segments, kept), shape)
        data["segments"][i] = segments
        data["n_segments"][i] = int(segments.max()) + 1
        data["n_kept"][i] = len(kept)
        # the search took the best of many on its own draws, whose share is too high by that
        rng, size = np.random.default_rng(derive(self.seed, "precision")), self.precision_samples
        data["precision"][i], data["precision_interval"][i] = survival(
            inside, image, segments, kept, background, rng, size
        )
        data["coverage"][i] = float(np.asarray(result.coverage).reshape(-1)[0])

    def _segments(self, image: NDArray[np.float32]) -> NDArray[np.int64]:
        height, width, channels = image.shape
        if self.segmentation == "grid":
            side = max(1, round((height * width / self.n_segments) ** 0.5))
            rows, columns = np.indices((height, width)) // side
            labels = rows * (width // side + 1) + columns
        else:
            labels = self._slic(image, channels)
        # alibi needs 0 to K-1 without gaps, and scikit-image does not promise it
        _, ranks = np.unique(labels, return_inverse=True)
        numbered: NDArray[np.int64] = np.asarray(ranks, dtype=np.int64).reshape(height, width)
        return numbered

    def _slic(self, image: NDArray[np.float32], channels: int) -> NDArray[np.int64]:
        from skimage.segmentation import slic

        bounds = self.predictor.data_range
        low, high = bounds or (float(image.min()), float(image.max()))
        # the colour space of slic takes values in [0, 1] for granted
        scaled = (image - low) / ((high - low) or 1.0)
        colours = np.repeat(scaled, 3, axis=2) if channels == 1 else scaled
        labels: NDArray[np.int64] = slic(
            colours, n_segments=self.n_segments, compactness=10, sigma=0.5, start_label=0
        )
        return labels


def _values_at(scorer: Scorer, x: NDArray[np.float32], position: int) -> NDArray[np.float64]:
    """Return the criterion values (1, m) of an image with the noise of a position."""
    batch = Batch(
        scorer.model,
        torch.from_numpy(x[None]).to(scorer.device, scorer.model.dtype),
        first=position,
        seed=scorer.seed,
        reconstruction=scorer.reconstruction,
    )
    with torch.no_grad():
        columns = [criterion(batch).double() for criterion in scorer.criteria]
        values: NDArray[np.float64] = torch.stack(columns, 1).cpu().numpy()
    return values
