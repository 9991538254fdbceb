"""An explainer with what is needed to build, fit and use it: the subject of its suite."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.testing.checks import expect

__all__ = ["ExplainerCase"]


@dataclass(frozen=True)
class ExplainerCase:
    """An explainer with everything to build, fit and use it, for ``check_explainer``.

    Any Alibi-style explainer fits, PXGen's, Alibi's own and a third party's.

    Args:
        name: Name of the case, for reports and test ids.
        make: ``make(predictor, **options)`` builds a new, unfitted explainer; ``options`` are
            arguments of the class's ``__init__`` that it passes on, such as ``seed=1``.
        make_predictor: Builds the predictor; the same one each time. A function at the top level
            of a module, because a fresh process imports it to load a saved explainer.
        X: Small input of ``explain``, an ndarray; batch axis first when ``batched``.
        fit_args: Positional arguments of ``fit``; None when the explainer has no ``fit``.
        explain_kwargs: Further arguments of ``explain``, or a function of X that returns them
            (for labels that go with the rows of X).
        make_other: Builds a predictor that differs, of the same shapes. Needed for the checks of
            ``reset_predictor``.
        make_grown: Builds a predictor of the same shapes with at least 100,000 more parameters.
            Needed for the check that a saved explainer holds no model.
        module: Returns the ``torch.nn.Module`` behind a predictor; None when there is none.
        data_keys: The documented keys of ``explanation.data``; None skips the comparison.
        batched: Whether ``explain`` takes several instances.
        not_in_params: Arguments of ``__init__`` that are models, callables or modules, and
            therefore are not in ``meta["params"]``.
        seed_option: Name of the seed argument; ignored when ``__init__`` has none.
        batch_option: Name of the batch-size argument; ignored when ``__init__`` has none.
        verbose_option: Name of the argument that silences output; likewise.
        seed_matters: Whether another seed gives another explanation.
        X_invalid: Input like X with rows that have no finite result (NaN pixels, say); None when
            such input has no defined result.
        many: Number of instances for the checks of size.
        rtol: Relative tolerance of comparisons across dtypes and batch sizes.
        atol: Absolute tolerance of the same.
        expected_failures: Reasons, by name of the checks that fail today. Strict: one that passes
            is reported.
        not_run: Reasons, by name of the checks that would end the process or never return.
    """

    name: str
    make: Callable[..., Any]
    make_predictor: Callable[[], Any]
    X: NDArray[Any]
    fit_args: tuple[Any, ...] | None = None
    explain_kwargs: Mapping[str, Any] | Callable[[NDArray[Any]], Mapping[str, Any]] = field(
        default_factory=dict
    )
    make_other: Callable[[], Any] | None = None
    make_grown: Callable[[], Any] | None = None
    module: Callable[[Any], Any] | None = None
    data_keys: frozenset[str] | None = None
    batched: bool = True
    not_in_params: frozenset[str] = frozenset()
    seed_option: str = "seed"
    batch_option: str = "batch_size"
    verbose_option: str = "verbose"
    seed_matters: bool = False
    X_invalid: NDArray[Any] | None = None
    many: int = 2000
    rtol: float = 1e-4
    atol: float = 1e-6
    expected_failures: Mapping[str, str] = field(default_factory=dict)
    not_run: Mapping[str, str] = field(default_factory=dict)

    def new(self, predictor: Any = None, **options: Any) -> Any:
        """Return a new, unfitted explainer of ``predictor`` (default: a new one)."""
        return self.make(self.make_predictor() if predictor is None else predictor, **options)

    def fit(self, explainer: Any) -> Any:
        """Fit ``explainer`` if it can be fitted; return it."""
        if self.fit_args is not None:
            explainer.fit(*copy.deepcopy(self.fit_args))
        return explainer

    def fit_new(self, predictor: Any = None, **options: Any) -> Any:
        """Return a new explainer, fitted."""
        return self.fit(self.new(predictor, **options))

    def kwargs(self, X: NDArray[Any]) -> dict[str, Any]:
        """Return the further arguments of ``explain`` for the input ``X``, as own copies."""
        kwargs = self.explain_kwargs
        return copy.deepcopy(dict(kwargs(X) if callable(kwargs) else kwargs))

    def explain(self, explainer: Any, X: NDArray[Any] | None = None) -> Any:
        """Return the explanation of ``X`` (default: a copy of the case's)."""
        rows = self.X.copy() if X is None else X
        return explainer.explain(rows, **self.kwargs(rows))

    def explain_new(self, X: NDArray[Any] | None = None) -> Any:
        """Return the explanation of ``X`` (default: the case's) by a new, fitted explainer."""
        return self.explain(self.fit_new(), X)

    def rows(self, n: int) -> NDArray[Any]:
        """Return ``n`` instances: the rows of X repeated, each slightly different."""
        expect(self.batched, f"{self.name}: explain takes one instance")
        repeated = np.resize(self.X, (n, *self.X.shape[1:]))
        # exact duplicates would hide how much a result grows with the number of instances
        factors = 1.0 - 1e-3 * np.random.default_rng(0).random((n,) + (1,) * (self.X.ndim - 1))
        scaled: NDArray[Any] = (repeated * factors).astype(self.X.dtype)
        return scaled

    def init_parameters(self) -> dict[str, inspect.Parameter]:
        """Return the parameters of the class's ``__init__``, without ``self``."""
        signature = inspect.signature(type(self.new()).__init__)
        return dict(list(signature.parameters.items())[1:])

    def has_option(self, name: str) -> bool:
        """Whether ``__init__`` has a parameter of that name."""
        return name in self.init_parameters()
