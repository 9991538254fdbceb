"""Shapley values of groups of latent dimensions, by alibi's KernelShap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pxgen_plugins.adapters._isolation import quiet
from pxgen_plugins.adapters._latent_target import LatentTarget
from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.latent._shapley import ShapleyAdapter
from pxgen_plugins.adapters.latent.base import LARGEST_SEED, Codes
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.optional import load

__all__ = ["DEFAULT_DATA_ALIBI_KERNEL_SHAP", "AlibiKernelShap"]

DEFAULT_DATA_ALIBI_KERNEL_SHAP: dict[str, Any] = {
    "target": None,
    "feature_names": [],
    "dimensions": [],
    "weights": None,
    "base_value": None,
    "prediction": None,
    "additivity_gap": None,
    "ranking": None,
    "groups": {},
    "invalid": None,
    "reasons": [],
}
"""Default data of AlibiKernelShap, to be deep-copied; its docstring has the keys."""


@register("alibi_kernel_shap")
@dataclass(repr=False, eq=False)
class AlibiKernelShap(ShapleyAdapter):
    """Shapley values of latent dimensions or of groups of them, by alibi's KernelShap.

    As ``LatentSHAP`` with ``method="kernel"``, but several dimensions may play as one: with
    200 of them, a few blocks are estimated far better than single ones (Lundberg and Lee 2017).

    Args:
        predictor: A model that can encode and decode.
        players: Name to dimensions, every dimension in exactly one, as in
            ``{"stroke": [0, 3], "rest": [1, 2]}``; None lets each dimension play alone.
        n_samples: Coalitions per anchor; None takes 2 p + 2048.
        target, n_background, seed, batch_size, verbose: See
            :class:`~pxgen_plugins.adapters.latent.base.LatentAdapter`.

    Fields:
        target (str): Label of what is explained.
        feature_names (list of str): The p players.
        dimensions (list of list): p lists, the latent dimensions of each player.
        weights (float64 (n, p)): Shapley value of each player for each of n anchors, in units of
            the target. Positive = it raises the target above ``base_value``; NaN for anchors left
            out.
        base_value (float64 (n,)): Mean of the anchor's target over the background codes; NaN for
            anchors left out.
        prediction (float64 (n,)): The target at the anchor's own code; NaN for anchors left out.
        additivity_gap (float64 (n,)): prediction - base_value - sum of the weights, 0 at best:
            rounding. NaN for anchors left out.
        ranking (int64 (p,)): Players by falling mean absolute weight over the anchors.
        groups (dict): By name of the group: ``count``, its usable anchors; ``mean_abs_weight`` (p,)
            and ``mean_weight`` (p,), float64, over them, NaN where there are none. {} without
            groups.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

    Raises:
        ParameterError: When the players are no partition of the dimensions.
        MissingDependencyError: On ``explain``, when shap is not installed.

    Cost per anchor: n_samples x n_background decoder passes.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> pairs = {"first": [0], "others": [1, 2]}
        >>> AlibiKernelShap(LinearModel(), players=pairs).meta["params"]["players"]["others"]
        [1, 2]
    """

    library = "alibi"
    defaults = DEFAULT_DATA_ALIBI_KERNEL_SHAP

    players: Mapping[str, Any] | None = None
    n_samples: int | None = None

    def _check(self) -> None:
        super()._check()
        self.players = None if self.players is None else _players(self.players)
        if self.n_samples is not None:
            self.n_samples = validation.integer(self.n_samples, "n_samples", minimum=1)

    def _check_model(self, model: Any) -> None:
        super()._check_model(model)
        if self.players is not None:
            named = sorted(j for dimensions in self.players.values() for j in dimensions)
            size = int(np.prod(model.latent_shape))
            if named != list(range(size)):
                hint = "Name every dimension once, the rest as one player perhaps."
                allowed = f"a partition of dimensions 0 to {size - 1}"
                raise ParameterError("players", allowed, short_repr(self.players), hint)

    def _names(self) -> list[str]:
        return super()._names() if self.players is None else list(self.players)

    def _explain(self, X: Any, groups: Any = None) -> dict[str, Any]:
        data = super()._explain(X, groups)
        weights = data["weights"]
        usable = weights[np.isfinite(weights).all(axis=1)]
        sizes = np.abs(usable).mean(axis=0) if len(usable) else np.zeros(weights.shape[1])
        alone = {name: [j] for j, name in enumerate(super()._names())}
        return {
            **data,
            "dimensions": [list(members) for members in (self.players or alone).values()],
            "ranking": np.argsort(-sizes, kind="stable"),
        }

    def _values(self, function: LatentTarget, background: Codes) -> Any:
        load("shap", "shap")
        KernelShap = load("alibi.explainers", "alibi").KernelShap

        explainer = KernelShap(function, task="regression", seed=self.seed % LARGEST_SEED)
        grouped: dict[str, Any] = {}
        if self.players is not None:
            grouped = {"group_names": list(self.players), "groups": list(self.players.values())}
        # alibi logs a warning about scalar results, which is what a target is
        with quiet("alibi.explainers.shap_wrappers"):
            explainer.fit(background.astype(np.float64), **grouped)
            result = explainer.explain(
                function.code[None].astype(np.float64),
                silent=True,
                l1_reg=False,  # the default keeps 10 players
                nsamples=self.n_samples or "auto",
            )
        return result.shap_values[0]


def _players(players: Any) -> dict[str, list[int]]:
    if not isinstance(players, Mapping) or not players:
        hint = "Give names and dimensions, as in {'stroke': [0, 3], 'rest': [1, 2]}."
        raise ParameterError("players", "a mapping or None", short_repr(players), hint)
    return {
        str(name): [validation.integer(j, f"players[{name!r}]", minimum=0) for j in given]
        for name, given in players.items()
    }
