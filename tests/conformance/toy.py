"""A small explainer that keeps the whole contract."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from pxgen_plugins.host import Explainer, Explanation, FitMixin, NotFittedError
from pxgen_plugins.testing import ExplainerCase

FEATURES = 3
X = np.random.default_rng(0).normal(size=(9, FEATURES))
DATA_KEYS = frozenset({"score", "threshold", "noise"})


class Model(nn.Module):
    """Two linear layers; `seed` gives other weights, `width` more of them."""

    def __init__(self, seed: int = 0, width: int = 8) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.first = nn.Linear(FEATURES, width, dtype=torch.float64)
        self.last = nn.Linear(width, 1, dtype=torch.float64)
        for parameter in self.parameters():
            weights = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.data = weights * width**-0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.tanh(self.first(x)))[:, 0]


def make_predictor() -> Model:
    return Model()


def make_other() -> Model:
    return Model(seed=1)


def make_grown() -> Model:
    return Model(width=40_000)


class ToyWithoutMixin(Explainer):
    """Scores against the mean score of the fitted data, with seeded noise."""

    def __init__(self, predictor: Any, seed: int = 0, batch_size: int = 4, verbose: bool = False):
        params = {"seed": seed, "batch_size": batch_size, "verbose": verbose, "toy_version": "1"}
        super().__init__(
            meta={
                "name": None,
                "type": ["whitebox"],
                "explanations": ["local"],
                "params": params,
                "version": None,
            }
        )
        self._model = predictor
        self.seed, self.batch_size, self.threshold = seed, batch_size, None

    @property
    def predictor(self) -> Any:
        return self._model

    @predictor.setter
    def predictor(self, value: Any) -> None:
        if value is not None:  # a save that fails half-way must not take the model away
            self._model = value

    def __getstate__(self) -> dict[str, Any]:
        names = ("meta", "seed", "batch_size", "threshold", "name", "type", "explanations")
        state = {name: getattr(self, name) for name in (*names, "params", "version")}
        return {**state, "_model": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def reset_predictor(self, predictor: Any) -> None:
        if self._model is not None:
            self.threshold = None
        self._model = predictor

    def fit(self, X: Any) -> Any:
        self.threshold = float(self._scores(np.asarray(X)).mean())
        return self

    def explain(self, X: Any, scale: float = 1.0) -> Explanation:
        if self.threshold is None:
            raise NotFittedError(type(self).__name__)
        X = np.asarray(X)
        if X.ndim not in (1, 2) or X.shape[-1] != FEATURES:
            raise ValueError(f"Toy: X must have {FEATURES} columns; got shape {X.shape}.")
        scores = scale * self._scores(np.atleast_2d(X))
        noise = np.random.default_rng(self.seed).random(2)
        data = {
            "score": scores if np.isfinite(scores).all() else _holes(scores),
            "threshold": self.threshold,
            "noise": noise,
        }
        meta = {**self.meta, "params": {**self.meta["params"], "scale": scale}}
        meta["type"], meta["explanations"] = list(meta["type"]), list(meta["explanations"])
        return Explanation(meta=meta, data=data)

    def _scores(self, X: np.ndarray) -> np.ndarray:
        parts = [np.empty(0)]
        with torch.no_grad():
            for start in range(0, len(X), self.batch_size):
                batch = torch.tensor(X[start : start + self.batch_size], dtype=torch.float64)
                parts.append(self._model(batch).numpy())
        return np.concatenate(parts)


class Toy(ToyWithoutMixin, FitMixin):
    """The good explainer."""


def _holes(scores: np.ndarray) -> list[float | None]:
    return [float(score) if np.isfinite(score) else None for score in scores]


def identity(module: Any) -> Any:
    return module


def toy_case(cls: type[ToyWithoutMixin] = Toy, **changes: Any) -> ExplainerCase:
    invalid = X.copy()
    invalid[2] = np.nan
    settings: dict[str, Any] = {
        "name": cls.__name__,
        "make": cls,
        "make_predictor": make_predictor,
        "make_other": make_other,
        "make_grown": make_grown,
        "module": identity,
        "X": X,
        "fit_args": (X,),
        "explain_kwargs": {"scale": 2.0},
        "data_keys": DATA_KEYS,
        "seed_matters": True,
        "X_invalid": invalid,
        "rtol": 1e-6,
        **changes,
    }
    return ExplainerCase(**settings)
