"""Which channels fire for one group of anchors and not for another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from pxgen_plugins.adapters._activation_hooks import (
    ActiveLayer,
    active_layers,
    choose_layers,
    record,
)
from pxgen_plugins.adapters._anchors import AnchorReader, Floats, Indices, check_space
from pxgen_plugins.adapters._groups import group_names, sort_groups
from pxgen_plugins.adapters.base import Adapter, register
from pxgen_plugins.criteria import Batch
from pxgen_plugins.host import Explanation
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.progress import bar

__all__ = ["DEFAULT_DATA_ACTIVATION_STATISTICS", "ActivationStatistics"]

_OFTEN = 0.5  # share of a group from which a channel counts as firing for it
_SELDOM = 0.1  # share up to which it counts as silent

DEFAULT_DATA_ACTIVATION_STATISTICS: dict[str, Any] = {
    "layers": {},
    "group_names": [],
    "counts": None,
    "contrast": [],
    "contrasts": {},
    "invalid": None,
    "reasons": [],
}
"""Default data of ActivationStatistics, to be deep-copied; its docstring has the keys."""


@register("activation_statistics")
@dataclass(repr=False, eq=False)
class ActivationStatistics(Adapter):
    """Channel activations of every layer, by group of anchors, and what tells two groups apart.

    The model reconstructs each anchor; the activation of a channel is its mean over positions. A
    channel fires for an anchor when its activation is above the channel's ``quantile`` over all
    anchors explained, so that layers of any scale and sign compare. A layer called several times
    counts with its last call.

    Args:
        predictor: A torch model with ``encode`` or ``embed``, ``decode`` and ``layers``. Where it
            embeds by inverting its generator, only the last pass counts.
        layers: Names of layers; None takes every layer without sub-layers, those that only reshape
            excepted.
        contrast: Two groups to compare; None takes HIHE and HILE where both occur.
        quantile: Of a channel's activations, above which it fires, in [0, 1).
        seed: Unused: nothing is drawn.
        batch_size: Anchors per model call.
        verbose: Show a progress bar on stderr.

    Fields:
        layers (dict): By layer of c channels, in the order of the calls: ``mean`` and ``std``,
            float64 (g, c), of the activation in each of g groups; ``fires`` (g, c), share of the
            group's anchors for which the channel fires; ``threshold`` (c,), above which it does.
            NaN for a group without anchors.
        group_names (list of str): g names, "all" without groups.
        counts (int64 (g,)): Usable anchors of each group.
        contrast (list of str): The two groups compared, [] for none.
        contrasts (dict): By layer: ``difference`` (c,), fires in the first minus fires in the
            second; ``effect`` (c,), difference of the means in pooled standard deviations (Cohen's
            d); ``only_first``, ``only_second``: channels that fire for at least half of one group
            and at most a tenth of the other, by falling size of the difference.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

    Raises:
        ParameterError: When an argument is not allowed, or a layer is not called.
        CapabilityError: When the model cannot embed or decode, or names no layers.

    Cost: n model passes; memory 4 n bytes per channel watched.

    Example:
        >>> from pxgen_plugins.models import VAE
        >>> net = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Sigmoid())
        >>> model = VAE(encode=lambda x: (x[:, :2], x[:, :2]), decode=net.forward,
        ...             latent_shape=(2,), modules=net, check=False)
        >>> X = torch.rand(6, 4, generator=torch.Generator().manual_seed(0)).numpy()
        >>> result = ActivationStatistics(model).explain(X, groups=["HIHE"] * 3 + ["HILE"] * 3)
        >>> list(result.layers), result.contrasts["0"]["difference"].shape
        (['0', '1'], (4,))
    """

    evidence = "groups"
    access = "gradients"
    requires = frozenset({"decode", "layers"})
    scope: ClassVar[list[str]] = ["global"]
    defaults = DEFAULT_DATA_ACTIVATION_STATISTICS

    layers: Any = None
    contrast: Any = None
    _: KW_ONLY
    quantile: float = 0.75

    def _check(self) -> None:
        super()._check()
        self.layers = None if self.layers is None else _strings(self.layers, "layers")
        if self.contrast is not None:
            groups = _strings(self.contrast, "contrast")
            if len(set(groups)) != 2:
                hint = "Name two different groups, as in contrast=('HIHE', 'HILE')."
                raise ParameterError("contrast", "two groups", short_repr(self.contrast), hint)
            self.contrast = groups
        self.quantile = validation.real(self.quantile, "quantile", minimum=0.0, below=1.0)

    def _check_model(self, model: Any) -> None:
        check_space("latent", ("latent",), model)

    def explain(  # type: ignore[override]  # the arguments of this adapter, by name
        self, X: Any, groups: Any = None
    ) -> Explanation:
        """Return statistics of every layer, by group.

        Args:
            X: Anchors, n of them: anything :func:`pxgen_plugins.anchors.open_anchors` reads.
            groups: Name of each anchor's group, n strings; None makes one group of all.

        Raises:
            AnchorError: When the anchors do not fit the model, or the groups the anchors.
        """
        return super().explain(X, groups=groups)

    def model_calls(self, n: int) -> Mapping[str, float]:
        """Return how often ``explain`` calls the model for ``n`` anchors."""
        return {"embed": n, "decode": n}

    def _explain(self, X: Any, groups: Any = None) -> dict[str, Any]:
        reader = AnchorReader(X, self.predictor, self.batch_size)
        given = group_names(groups, len(reader))
        usable = reader.usable()
        names = np.full(len(reader), "all") if given is None else given
        present = sort_groups(names)
        pair = self._pair(present)
        tables = self._tables(reader, usable)
        finite = np.ones(len(usable), dtype=bool)
        for table in tables.values():
            finite &= np.isfinite(table).all(axis=1)
        for row in usable[~finite]:  # it would take every quantile and mean with it
            reader.errors[int(row)] = "an activation is not finite"
        usable, tables = usable[finite], {name: table[finite] for name, table in tables.items()}
        masks = {name: names[usable] == name for name in present}
        layers: dict[str, Any] = {}
        contrasts: dict[str, Any] = {}
        for layer, table in tables.items():
            layers[layer] = self._statistics(table, list(masks.values()))
            if pair:
                first, second = (present.index(name) for name in pair)
                contrasts[layer] = self._compare(layers[layer], first, second, masks, pair)
        return {
            "layers": layers,
            "group_names": present,
            "counts": np.array([mask.sum() for mask in masks.values()], dtype=np.int64),
            "contrast": pair,
            "contrasts": contrasts,
            **reader.exclusions(),
        }

    def _pair(self, present: list[str]) -> list[str]:
        """Return the two groups to compare, [] for none."""
        if self.contrast is None:
            return ["HIHE", "HILE"] if {"HIHE", "HILE"} <= set(present) else []
        missing = [name for name in self.contrast if name not in present]
        if missing:
            hint = "Pass groups= with anchors of both, or another contrast."
            allowed = "groups that occur: " + (", ".join(present) or "none")
            raise ParameterError("contrast", allowed, missing[0], hint)
        return list(self.contrast)

    def _tables(self, reader: AnchorReader, usable: Indices) -> dict[str, NDArray[np.float32]]:
        """Return the activations (n, c) of every layer."""
        model = self.predictor
        low, _ = model.data_range or (0.0, 1.0)
        probe = torch.full((1, *model.sample_shape), low).to(model.device, model.dtype)
        active = active_layers(model, lambda x: model.decode(Batch(model, x).code), probe)
        names = choose_layers(self.layers, model, active)
        layers: dict[str, ActiveLayer] = {name: active[name] for name in names}
        modules = {name: layer.module for name, layer in layers.items()}
        parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
        with bar(len(usable), "activations", "anchor", self.verbose) as progress:
            for start in range(0, len(usable), self.batch_size):
                x = reader.inputs(usable[start : start + self.batch_size])
                with torch.no_grad(), record(modules) as outputs:
                    model.decode(Batch(model, x).code)
                for name in names:
                    rows = layers[name].channel_means(outputs[name])
                    parts[name].append(rows.float().cpu().numpy())
                progress.update(len(x))
        return {name: np.concatenate(some) for name, some in parts.items() if some}

    def _statistics(
        self, table: NDArray[np.float32], masks: list[NDArray[np.bool_]]
    ) -> dict[str, Any]:
        threshold = np.quantile(table, self.quantile, axis=0)
        shape = (len(masks), table.shape[1])
        mean, std, fires = (np.full(shape, np.nan) for _ in range(3))
        for position, mask in enumerate(masks):
            if mask.any():
                rows = table[mask].astype(np.float64)
                mean[position], std[position] = rows.mean(axis=0), rows.std(axis=0)
                fires[position] = (table[mask] > threshold).mean(axis=0)
        return {"mean": mean, "std": std, "fires": fires, "threshold": threshold}

    def _compare(
        self,
        of: dict[str, Floats],
        first: int,
        second: int,
        masks: dict[str, NDArray[np.bool_]],
        pair: list[str],
    ) -> dict[str, Any]:
        sizes = np.array([masks[name].sum() for name in pair], dtype=np.float64)
        squares = sizes[0] * of["std"][first] ** 2 + sizes[1] * of["std"][second] ** 2
        pooled = np.sqrt(squares / max(sizes.sum() - 2, 1))
        gap = of["mean"][first] - of["mean"][second]
        # a channel that never varies inside the groups has no scale to measure the gap in
        effect = np.divide(gap, pooled, out=np.zeros_like(gap), where=pooled > 0)
        difference = of["fires"][first] - of["fires"][second]
        return {
            "difference": difference,
            "effect": effect,
            "only_first": self._only(of["fires"][first], of["fires"][second]),
            "only_second": self._only(of["fires"][second], of["fires"][first]),
        }

    def _only(self, here: Floats, there: Floats) -> Indices:
        fires = np.flatnonzero((here >= _OFTEN) & (there <= _SELDOM))
        order: Indices = fires[np.argsort(there[fires] - here[fires], kind="stable")]
        return order


def _strings(value: Any, parameter: str) -> list[str]:
    names = [value] if isinstance(value, str) else value
    good = isinstance(names, (list, tuple)) and len(names) > 0
    if not good or not all(isinstance(entry, str) for entry in names):
        hint = "Give a list of names."
        raise ParameterError(parameter, "names", short_repr(value), hint)
    return list(names)
