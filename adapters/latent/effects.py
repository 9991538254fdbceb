"""ALE and partial dependence of targets over latent dimensions, by alibi."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from pxgen_plugins.adapters._anchors import AnchorReader, Floats, Indices
from pxgen_plugins.adapters.base import Adapter, register
from pxgen_plugins.adapters.targets import Target, resolve
from pxgen_plugins.criteria import Batch
from pxgen_plugins.host import Explanation
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import AnchorError, ParameterError, short_repr
from pxgen_plugins.utils.optional import load
from pxgen_plugins.utils.progress import bar

__all__ = [
    "DEFAULT_DATA_LATENT_ALE",
    "DEFAULT_DATA_LATENT_PD",
    "LatentALE",
    "LatentPartialDependence",
]

KINDS = ("average", "individual", "both")

DEFAULT_DATA_LATENT_ALE: dict[str, Any] = {
    "ale_values": [],
    "ale0": [],
    "constant_value": None,
    "feature_values": [],
    "feature_names": None,
    "target_names": None,
    "feature_deciles": [],
    "features": None,
    "effect_range": None,
    "n_anchors": None,
    "invalid": None,
    "reasons": [],
}
"""Default data of LatentALE, to be deep-copied; its docstring has the keys."""

DEFAULT_DATA_LATENT_PD: dict[str, Any] = {
    "feature_deciles": [],
    "pd_values": None,
    "ice_values": None,
    "feature_values": [],
    "feature_names": None,
    "target_names": None,
    "features": None,
    "effect_range": None,
    "n_anchors": None,
    "invalid": None,
    "reasons": [],
}
"""Default data of LatentPartialDependence, to be deep-copied; its docstring has the keys."""


class _Surface:
    """Targets as a function of rows that hold a code and, in the last column, whose it is.

    Both methods move a code and keep the rest of its row, so the last column tells which anchor the
    moved code belongs to: its pixels and its log variance stay.
    """

    def __init__(
        self,
        reader: AnchorReader,
        usable: Indices,
        targets: Sequence[Target],
        seed: int,
        batch_size: int,
    ) -> None:
        self._reader, self._usable, self._targets = reader, usable, targets
        self._seed, self._batch_size = seed, batch_size
        self._shape = tuple(reader.model.latent_shape)
        parts = []
        for start in range(0, len(usable), batch_size):
            x = reader.inputs(usable[start : start + batch_size])
            with torch.no_grad():
                parts.append(torch.stack([p.flatten(1) for p in reader.model.encode(x)]))
        mean, self._log_var = torch.cat(parts, dim=1)
        codes = mean.double().cpu().numpy()
        self.rows: Floats = np.column_stack([codes, np.arange(len(usable), dtype=np.float64)])

    def __call__(self, rows: Floats) -> Floats:
        size = self._batch_size
        parts = [self._values(rows[low : low + size], low) for low in range(0, len(rows), size)]
        return np.concatenate(parts) if parts else np.empty((0, len(self._targets)))

    def _values(self, rows: Floats, first: int) -> Floats:
        model = self._reader.model
        whose = rows[:, -1].astype(np.int64)
        different, place = np.unique(whose, return_inverse=True)
        x = self._reader.inputs(self._usable[different])[torch.from_numpy(place)]
        log_var = self._log_var[torch.from_numpy(whose)].reshape(len(rows), *self._shape)
        z = torch.from_numpy(rows[:, :-1].astype(np.float32)).to(log_var.device, log_var.dtype)
        posterior = (z.reshape(log_var.shape), log_var)
        batch = Batch(model, x, first=first, seed=self._seed, posterior=posterior)
        with torch.no_grad():
            columns = [target.of(batch).double().cpu() for target in self._targets]
        values: Floats = torch.stack(columns, dim=1).numpy()
        return values


@dataclass(repr=False, eq=False)
class _Effect(Adapter):
    """What the two share: targets, dimensions, and the surface that alibi walks over."""

    evidence = "effect"
    access = "latent"
    requires = frozenset({"encode", "decode"})
    library = "alibi"
    scope: ClassVar[list[str]] = ["global"]

    target: Any = "kld"
    features: Any = None

    def _check(self) -> None:
        super()._check()
        if isinstance(self.target, (list, tuple)) and not self.target:
            hint = "Name one, as in target='kld'."
            raise ParameterError("target", "one target or several", "none", hint)
        self.features = None if self.features is None else _dimensions(self.features)

    def _check_model(self, model: Any) -> None:
        self._targets(model)
        size = int(np.prod(model.latent_shape))
        for feature in self.features or []:
            if feature >= size:
                hint = f"Choose out of 0 to {size - 1}."
                raise ParameterError("features", f"below {size}", str(feature), hint)

    def _params(self) -> dict[str, Any]:
        specs = [target.spec for target in self._targets()]
        several = isinstance(self.target, (list, tuple))
        return {**super()._params(), "target": specs if several else specs[0]}

    def _targets(self, model: Any = None) -> list[Target]:
        given = self.target if isinstance(self.target, (list, tuple)) else [self.target]
        return [resolve(target, model or self.predictor) for target in given]

    def _explain(self, X: Any) -> dict[str, Any]:
        reader = AnchorReader(X, self.predictor, self.batch_size)
        usable = reader.usable()
        targets = self._targets()
        _expect_some(usable)
        surface = _Surface(reader, usable, targets, self.seed, self.batch_size)
        finite = np.isfinite(surface(surface.rows)).all(axis=1)
        for row in usable[~finite]:
            reader.errors[int(row)] = "a target is not finite"
        if not finite.all():  # one such anchor would take every mean with it
            usable = usable[finite]
            _expect_some(usable)
            surface = _Surface(reader, usable, targets, self.seed, self.batch_size)
        dimensions = self.features or list(range(surface.rows.shape[1] - 1))
        names = [f"z{j}" for j in range(surface.rows.shape[1] - 1)] + ["anchor"]
        labels = [target.label for target in targets]
        # one dimension at a time, so that a progress bar has something to show
        parts = []
        with bar(len(dimensions), type(self).__name__, "dimension", self.verbose) as progress:
            for j in dimensions:
                parts.append(self._dimension_effect(surface, j, list(names), list(labels)))
                progress.update(1)
        return {
            **self._join(parts, surface),
            "feature_names": np.array([names[j] for j in dimensions]),
            "target_names": np.array(labels),
            "feature_values": [part["feature_values"][0] for part in parts],
            "feature_deciles": [part["feature_deciles"][0] for part in parts],
            "features": np.array(dimensions, dtype=np.int64),
            "n_anchors": len(usable),
            **reader.exclusions(),
        }

    def _dimension_effect(
        self, surface: _Surface, j: int, names: list[str], labels: list[str]
    ) -> dict[str, Any]:
        raise NotImplementedError

    def _join(self, parts: list[dict[str, Any]], surface: _Surface) -> dict[str, Any]:
        raise NotImplementedError


@register("latent_ale")
@dataclass(repr=False, eq=False)
class LatentALE(_Effect):
    """Accumulated local effects of targets over latent dimensions (Apley and Zhu 2020), by alibi.

    How much a target changes, on average over the anchors, as one dimension of the code moves along
    its range: differences inside narrow intervals, so that no code is moved far from where anchors
    are. Each anchor stays what it was while its code moves.

    Args:
        predictor: A model that can encode and decode.
        target: One target or a list: criteria, ``"elbo"``, ``Latent``, ``Pixel``, callables.
        features: Dimensions; None takes all.
        min_bin_points: Anchors that each interval of the grid holds at least, >= 1.
        seed: Seed of the targets' own noise.
        batch_size: Codes per model call.
        verbose: Show a progress bar on stderr.

    Fields:
        feature_names (str (f,)): The f dimensions, as in "z3".
        features (int64 (f,)): The same as numbers.
        target_names (str (t,)): Labels of the t targets.
        feature_values (list of float64 (g,)): For each dimension its grid, g values of the code.
        feature_deciles (list of float64 (11,)): For each dimension the deciles of the anchors'
            codes, lowest and highest included.
        ale_values (list of float64 (g, t)): For each dimension the accumulated effects on the grid,
            centred, in units of the targets. Positive = the target is higher there than it is on
            average.
        ale0 (list of float64 (t,)): For each dimension what was taken off to centre them.
        constant_value (float64 (t,)): Mean of each target over the anchors (alibi's is the mean
            over targets, too, whatever their units).
        effect_range (float64 (f, t)): Highest minus lowest effect on the grid; higher = the
            dimension matters more.
        n_anchors (int): Anchors used.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model cannot encode or decode, or a target needs more.

    Cost: 2 n model passes, and 2 n per dimension.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel, noise
        >>> from pxgen_plugins.adapters.targets import Latent
        >>> ale = LatentALE(LinearModel(), target=Latent(1), features=[0, 1])
        >>> explanation = ale.explain(noise(LinearModel(), 20).numpy())
        >>> [round(float(value), 6) for value in explanation.effect_range[:1, 0]]
        [0.0]
    """

    defaults = DEFAULT_DATA_LATENT_ALE

    _: KW_ONLY
    min_bin_points: int = 4

    def _check(self) -> None:
        super()._check()
        self.min_bin_points = validation.integer(self.min_bin_points, "min_bin_points", minimum=1)

    def _dimension_effect(
        self, surface: _Surface, j: int, names: list[str], labels: list[str]
    ) -> dict[str, Any]:
        ALE = load("alibi.explainers", "alibi").ALE

        # a new one each time: alibi's remembers the names of its first call
        explainer = ALE(surface, feature_names=names, target_names=labels)
        effect = explainer.explain(surface.rows, features=[j], min_bin_points=self.min_bin_points)
        data: dict[str, Any] = effect.data
        return data

    def _join(self, parts: list[dict[str, Any]], surface: _Surface) -> dict[str, Any]:
        curves = [np.asarray(part["ale_values"][0]) for part in parts]
        return {
            "ale_values": curves,
            "ale0": [np.asarray(part["ale0"][0]) for part in parts],
            "constant_value": surface(surface.rows).mean(axis=0),
            "effect_range": np.stack([np.ptp(curve, axis=0) for curve in curves]),
        }


@register("latent_partial_dependence")
@dataclass(repr=False, eq=False)
class LatentPartialDependence(_Effect):
    """Partial dependence of targets over latent dimensions (Friedman 2001), by alibi.

    The mean of a target over the anchors when one dimension of every code is set to a value of the
    grid; each anchor stays what it was. ``kind="individual"`` keeps the curve of every anchor
    (individual conditional expectation, Goldstein et al. 2015).

    Args:
        predictor: A model that can encode and decode.
        target: One target or a list: criteria, ``"elbo"``, ``Latent``, ``Pixel``, callables.
        features: Dimensions; None takes all.
        kind: ``"average"``, ``"individual"`` or ``"both"``.
        grid_resolution: Grid points per dimension, >= 2; with fewer different codes than that, the
            codes themselves are the grid.
        seed: Seed of the targets' own noise.
        batch_size: Codes per model call.
        verbose: Show a progress bar on stderr.

    Fields:
        feature_names (str (f,)): The f dimensions, as in "z3".
        features (int64 (f,)): The same as numbers.
        target_names (str (t,)): Labels of the t targets.
        feature_values (list of float64 (g,)): For each dimension its grid, g values of the code.
        feature_deciles (list of float64 (11,)): For each dimension the deciles of the anchors'
            codes, lowest and highest included.
        pd_values (list of float64 (t, g)): For each dimension the mean of the targets over the
            anchors on the grid, in units of the targets; None for ``"individual"``.
        ice_values (list of float64 (t, m, g)): For each dimension the targets of every anchor used;
            None for ``"average"``.
        effect_range (float64 (f, t)): Highest minus lowest mean on the grid; higher = the dimension
            matters more.
        n_anchors (int): m, the anchors used.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model cannot encode or decode, or a target needs more.

    Cost: n grid_resolution model passes per dimension.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel, noise
        >>> from pxgen_plugins.adapters.targets import Latent
        >>> effect = LatentPartialDependence(LinearModel(), Latent(1), [0, 1], grid_resolution=5)
        >>> explanation = effect.explain(noise(LinearModel(), 20).numpy())
        >>> explanation.pd_values[1].shape
        (1, 5)
    """

    defaults = DEFAULT_DATA_LATENT_PD

    _: KW_ONLY
    kind: str = "average"
    grid_resolution: int = 20

    def _check(self) -> None:
        super()._check()
        self.kind = validation.choice(self.kind, "kind", KINDS)
        self.grid_resolution = validation.integer(
            self.grid_resolution, "grid_resolution", minimum=2
        )

    def explain(self, X: Any) -> Explanation:  # type: ignore[override]  # as for LatentALE
        """Return the curves, with the names in the metadata too (see :meth:`Adapter.explain`)."""
        explanation = super().explain(X)
        # where alibi's plot_pd looks for them
        named = {key: explanation.data[key].tolist() for key in ("feature_names", "target_names")}
        explanation.meta["params"].update({**named, "categorical_names": {}})
        return explanation

    def _dimension_effect(
        self, surface: _Surface, j: int, names: list[str], labels: list[str]
    ) -> dict[str, Any]:
        PartialDependence = load("alibi.explainers", "alibi").PartialDependence

        column = surface.rows[:, j]
        low, high = column.min(), column.max()
        # alibi refuses a dimension that hardly varies, as collapsed ones do: give it its grid
        flat = np.allclose(low, high)
        grid = {j: np.unique([low, high])} if flat else None
        explainer = PartialDependence(surface, feature_names=names, target_names=labels)
        effect = explainer.explain(
            surface.rows,
            features=[j],
            kind=self.kind,
            grid_resolution=self.grid_resolution,
            grid_points=grid,
        )
        data: dict[str, Any] = effect.data
        return data

    def _join(self, parts: list[dict[str, Any]], surface: _Surface) -> dict[str, Any]:
        average = [part["pd_values"] for part in parts if part["pd_values"] is not None]
        single = [part["ice_values"] for part in parts if part["ice_values"] is not None]
        means = [part[0] for part in average] or [part[0].mean(axis=1) for part in single]
        return {
            "pd_values": [np.asarray(part[0]) for part in average] or None,
            "ice_values": [np.asarray(part[0]) for part in single] or None,
            "effect_range": np.stack([np.ptp(mean, axis=-1) for mean in means]),
        }


def _expect_some(usable: Indices) -> None:
    if not len(usable):
        hint = "Give anchors that the effect is to be averaged over."
        raise AnchorError("X", "at least one finite anchor, with finite targets", "none", hint)


def _dimensions(features: Any) -> list[int]:
    given = list(features) if isinstance(features, (list, tuple, range, np.ndarray)) else [features]
    hint = "Give different dimensions, as in [0, 3], or None for all."
    places = [validation.integer(entry, "features", minimum=0, hint=hint) for entry in given]
    if not places or len(set(places)) < len(places):
        raise ParameterError("features", "different dimensions", short_repr(features), hint)
    return places
