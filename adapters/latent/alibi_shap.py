"""Shapley values of groups of latent dimensions, by alibi's KernelShap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.latent.base import (
    Floats,
    LatentAdapter,
    Moved,
    by_group,
    group_names,
    quiet,
)
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.optional import load
from pxgen_plugins.utils.progress import bar

__all__ = ["DEFAULT_DATA_ALIBI_KERNEL_SHAP", "AlibiKernelShap"]

_LARGEST = 2**32  # seeds of numpy's legacy generators are 32 bits wide

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
"""Default data of AlibiKernelShap for n anchors and p players, to be deep-copied.

- ``target``: name of what is explained; ``feature_names``: the p players; ``dimensions``: the
  latent dimensions of each.
- ``weights``: float64 (n, p), Shapley values in units of the target; NaN where there is none.
- ``base_value``, ``prediction``, ``additivity_gap``: (n,), as for LatentSHAP.
- ``ranking``: int64 (p,), players by falling mean absolute weight over the anchors.
- ``groups``: by name: count, mean_abs_weight (p,), mean_weight (p,).
- ``invalid``, ``reasons``: indices of the anchors left out, and why.
"""


@register("alibi_kernel_shap")
class AlibiKernelShap(LatentAdapter):
    """Shapley values of latent dimensions or of groups of them, by alibi's KernelShap.

    As :class:`LatentSHAP` with ``method="kernel"``, but several dimensions may play as one: with
    200 of them, a few blocks are estimated far better than single ones (Lundberg and Lee 2017).

    Args:
        predictor: A model that can encode and decode.
        target: A criterion, ``"elbo"``, ``Latent``, ``Pixel`` or a callable.
        players: Name to dimensions, every dimension in exactly one, as in
            ``{"stroke": [0, 3], "rest": [1, 2]}``; None lets each dimension play alone.
        n_samples: Coalitions per anchor; None takes 2 p + 2048.
        n_background: Background codes that :meth:`fit` keeps, >= 2.
        seed: Seed of all draws; every anchor gets the same ones.
        batch_size: Codes per model call.
        verbose: Show a progress bar on stderr.

    Raises:
        ParameterError: When an argument is not allowed.
        CapabilityError: When the model cannot encode or decode, or the target needs more.
        MissingDependencyError: On ``explain``, when shap is not installed.

    Cost per anchor: n_samples x n_background decoder passes.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> pairs = {"first": [0], "others": [1, 2]}
        >>> AlibiKernelShap(LinearModel(), players=pairs).meta["params"]["players"]["others"]
        [1, 2]
    """

    evidence = "latent_attribution"
    library = "alibi"
    defaults = DEFAULT_DATA_ALIBI_KERNEL_SHAP

    def __init__(
        self,
        predictor: Any,
        target: Any = "kld",
        players: Mapping[str, Any] | None = None,
        n_samples: int | None = None,
        *,
        n_background: int = 50,
        seed: int = 0,
        batch_size: int = 256,
        verbose: bool = False,
    ) -> None:
        where = "AlibiKernelShap"
        self.players = None if players is None else _players(players)
        self.n_samples = n_samples
        if n_samples is not None:
            self.n_samples = validation.integer(n_samples, "n_samples", where, minimum=1)
        params = {"players": self.players, "n_samples": n_samples}
        super().__init__(
            predictor,
            target,
            n_background,
            params,
            seed=seed,
            batch_size=batch_size,
            verbose=verbose,
        )

    def reset_predictor(self, predictor: Any) -> None:
        """Put ``predictor`` in the place of the present model; fitted codes go with it.

        Raises:
            ParameterError: When it is no model, or target or players do not fit it.
            CapabilityError: When it lacks a capability.
        """
        shape = getattr(predictor, "latent_shape", None)
        if self.players is not None and shape is not None:
            named = sorted(j for dimensions in self.players.values() for j in dimensions)
            if named != list(range(int(np.prod(shape)))):
                hint = "Name every dimension once, the rest as one player perhaps."
                allowed = f"a partition of dimensions 0 to {int(np.prod(shape)) - 1}"
                got = short_repr(self.players)
                raise ParameterError("players", type(self).__name__, allowed, got, hint)
        super().reset_predictor(predictor)

    def _explain(self, X: Any, **kwargs: Any) -> dict[str, Any]:
        background = self._fitted()
        anchors = self._open(X)
        names = group_names(kwargs["groups"], len(anchors), "AlibiKernelShap.explain")
        broken = self._broken(anchors)
        players = self.players or {name: [j] for j, name in enumerate(self._names())}
        n = len(anchors)
        weights = np.full((n, len(players)), np.nan)
        base, prediction = np.full(n, np.nan), np.full(n, np.nan)
        # alibi logs a warning about scalar results, which is what a target is
        silence = quiet("alibi.explainers.shap_wrappers")
        with bar(n, "KernelShap", "anchor", self.verbose) as progress, silence:
            for anchor in self._each(anchors, broken):
                i, function = anchor.index, anchor.function
                base[i] = function(background).mean()
                prediction[i] = function(function.code[None])[0]
                weights[i] = self._values(function, background)
                progress.update(1)
        usable = weights[np.isfinite(weights).all(axis=1)]
        sizes = np.abs(usable).mean(axis=0) if len(usable) else np.zeros(len(players))
        return {
            "target": self._target().label,
            "feature_names": list(players),
            "dimensions": [list(dimensions) for dimensions in players.values()],
            "weights": weights,
            "base_value": base,
            "prediction": prediction,
            "additivity_gap": prediction - base - weights.sum(axis=1),
            "ranking": np.argsort(-sizes, kind="stable"),
            "groups": by_group(weights, names),
            "invalid": np.array(sorted(broken), dtype=np.int64),
            "reasons": [broken[i] for i in sorted(broken)],
        }

    def _values(self, function: Moved, background: NDArray[np.float32]) -> Floats:
        load("shap", "latent", "AlibiKernelShap")
        from alibi.explainers import KernelShap

        explainer = KernelShap(function, task="regression", seed=self.seed % _LARGEST)
        grouped: dict[str, Any] = {}
        if self.players is not None:
            grouped = {"group_names": list(self.players), "groups": list(self.players.values())}
        explainer.fit(background.astype(np.float64), **grouped)
        found = explainer.explain(
            function.code[None].astype(np.float64),
            silent=True,
            l1_reg=False,  # the default keeps 10 players
            nsamples=self.n_samples or "auto",
        )
        values: Floats = np.asarray(found.shap_values[0], dtype=np.float64).reshape(-1)
        return values


def _players(players: Any) -> dict[str, list[int]]:
    where = "AlibiKernelShap"
    if not isinstance(players, Mapping) or not players:
        hint = "Give names and dimensions, as in {'stroke': [0, 3], 'rest': [1, 2]}."
        raise ParameterError("players", where, "a mapping or None", short_repr(players), hint)
    return {
        str(name): [validation.integer(j, f"players[{name!r}]", where, minimum=0) for j in given]
        for name, given in players.items()
    }
