"""Checks of how an explainer treats predictor and input (points 15-17)."""

from __future__ import annotations

import linecache
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.testing.checks import expect, skip
from pxgen_plugins.testing.explainer_case import ExplainerCase
from pxgen_plugins.testing.explainer_interface import SUITE
from pxgen_plugins.testing.guards import module_changes, module_state
from pxgen_plugins.testing.trees import differences

__all__: list[str] = []


@SUITE.check(15)
def model_is_left_as_it_was(case: ExplainerCase) -> None:
    """Weights, gradients, flags of every submodule and hooks are the same after use."""
    predictor, module = _mixed_module(case)
    before = module_state(module)
    explainer = case.fit_new(predictor)
    case.explain(explainer)
    changes = module_changes(before, module_state(module))
    expect(not changes, f"changed: {', '.join(changes[:5])}")


@SUITE.check(15)
def model_is_left_as_it_was_after_a_failure(case: ExplainerCase) -> None:
    """The model is also as it was when ``explain`` fails half-way."""
    predictor, module = _mixed_module(case)
    explainer = case.fit_new(predictor)
    before = module_state(module)
    leaf = [part for part in module.modules() if not list(part.children())][-1]
    calls = 0

    def fail(*_: Any) -> None:
        nonlocal calls
        calls += 1
        raise FloatingPointError("raised by the check")

    hook = leaf.register_forward_hook(fail)
    try:
        case.explain(explainer)
    except Exception:
        failed = True
    else:
        failed = False
    finally:
        hook.remove()
    if not (failed or calls):
        skip("explain does not call the last layer")
    changes = module_changes(before, module_state(module))
    expect(not changes, f"changed: {', '.join(changes[:5])}")


@SUITE.check(16)
def float_types_give_the_same_result(case: ExplainerCase) -> None:
    """float64 and float32 input gives the same result, or one type is refused clearly."""
    expected = case.explain_new().data
    for dtype in (np.float32, np.float64):
        X = case.X.astype(dtype)
        explainer = case.fit_new()
        returned = _result_or_refusal(explainer, partial(case.explain, explainer, X))
        if returned is not None:
            changes = differences(returned.data, expected, rtol=case.rtol, atol=case.atol)
            expect(not changes, f"{np.dtype(dtype)} against {case.X.dtype}: {changes[:3]}")


@SUITE.check(16)
def memory_layouts_give_the_same_result(case: ExplainerCase) -> None:
    """Strided, Fortran-ordered and read-only input gives the result of contiguous input."""
    expected = case.explain_new().data
    wide = np.repeat(case.X, 2, axis=-1)
    strided = wide[..., ::2]
    frozen = case.X.copy()
    frozen.setflags(write=False)
    layouts = {"strided": strided, "Fortran": np.asfortranarray(case.X), "read-only": frozen}
    for name, X in layouts.items():
        changes = differences(case.explain_new(X).data, expected, rtol=case.rtol, atol=case.atol)
        expect(not changes, f"{name} input: {changes[:3]}")


@SUITE.check(16)
def input_is_not_modified(case: ExplainerCase) -> None:
    """``explain`` and ``fit`` leave the arrays they are given unchanged."""
    X = case.X.copy()
    explainer = case.new()
    if case.fit_args is not None:
        arrays = [np.array(part) if _is_array(part) else part for part in case.fit_args]
        explainer.fit(*arrays)
        for part, original in zip(arrays, case.fit_args, strict=True):
            same = not _is_array(part) or np.array_equal(part, original)
            expect(same, "fit changed an array it was given")
    case.explain(explainer, X)
    expect(np.array_equal(X, case.X, equal_nan=X.dtype.kind == "f"), "explain changed its input")


@SUITE.check(16)
def single_instance_is_a_batch_of_one(case: ExplainerCase) -> None:
    """One instance without a batch axis is a batch of one, or is refused clearly."""
    if not case.batched:
        skip("explain takes one instance")
    explainer = case.fit_new()
    one = partial(explainer.explain, case.X[0].copy(), **case.kwargs(case.X[:1]))
    returned = _result_or_refusal(explainer, one)
    if returned is None:
        return
    expected = case.explain_new(case.X[:1].copy())
    changes = differences(returned.data, expected.data, rtol=case.rtol, atol=case.atol)
    expect(not changes, f"against a batch of one: {changes[:3]}")


@SUITE.check(16)
def empty_batch_is_defined(case: ExplainerCase) -> None:
    """A batch of no instances has a result, or is refused clearly."""
    if not case.batched:
        skip("explain takes one instance")
    explainer = case.fit_new()
    _result_or_refusal(explainer, partial(case.explain, explainer, case.X[:0].copy()))


@SUITE.check(17)
def batch_size_does_not_matter(case: ExplainerCase) -> None:
    """Batches of 1, 7 and all instances give the same result."""
    if not case.has_option(case.batch_option):
        skip("no batch size to choose")
    sizes = (1, 7, max(1, len(case.X)))
    results = [case.explain(case.fit_new(**{case.batch_option: size})).data for size in sizes]
    for size, data in zip(sizes[:-1], results[:-1], strict=True):
        changes = differences(data, results[-1], rtol=case.rtol, atol=case.atol)
        expect(not changes, f"batch size {size} against {sizes[-1]}: {changes[:3]}")


@SUITE.check(17)
def batches_stay_as_small_as_asked(case: ExplainerCase) -> None:
    """The model never sees more instances at once than the batch size, so memory is bounded."""
    if not case.has_option(case.batch_option):
        skip("no batch size to choose")
    predictor = case.make_predictor()
    sizes: list[int] = []
    if case.module is not None:
        for part in case.module(predictor).modules():
            part.register_forward_pre_hook(_recorder(sizes))
        observed = predictor
    elif callable(predictor):
        observed = _counter(predictor, sizes)
    else:
        skip("neither a module nor a callable to watch")
    explainer = case.fit_new(observed, **{case.batch_option: 5})
    sizes.clear()  # probes at construction are allowed to be of any size
    case.explain(explainer, case.rows(23) if case.batched else None)
    expect(sizes, "explain did not call the model")
    expect(max(sizes) <= 5, f"batch size 5, but the model saw {max(sizes)} instances at once")


def _mixed_module(case: ExplainerCase) -> tuple[Any, Any]:
    """Return a predictor and its module, in a state that careless code would not restore."""
    if case.module is None:
        skip("no torch module behind the predictor")
    predictor = case.make_predictor()
    module = case.module(predictor)
    for index, part in enumerate(module.modules()):
        part.training = index % 2 == 0
    for index, parameter in enumerate(module.parameters()):
        parameter.grad = parameter.detach().clone() if index % 2 == 0 else None
    return predictor, module


def _result_or_refusal(explainer: Any, call: Callable[[], Any]) -> Any:
    """Return the call's result, or None when it was refused by an error raised on purpose."""
    try:
        return call()
    except Exception as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        kind = f"{type(error).__name__}: {str(error)[:200]}"
        if trace is None:
            raise AssertionError(kind) from error
        frame = trace.tb_frame
        home = str(frame.f_globals.get("__name__", "")).split(".")[0]
        own = type(explainer).__module__.split(".")[0]
        expect(home == own, f"an error from inside {home}, not from the explainer: {kind}")
        line = linecache.getline(frame.f_code.co_filename, trace.tb_lineno).strip()
        expect(not line or line.startswith("raise"), f"not refused but broken, at '{line}': {kind}")
        expect(str(error), f"{type(error).__name__} without a message")
        return None


def _recorder(sizes: list[int]) -> Callable[..., None]:
    def record(_: Any, inputs: tuple[Any, ...]) -> None:
        sizes.extend(int(part.shape[0]) for part in inputs if getattr(part, "ndim", 0) > 0)

    return record


def _counter(predictor: Callable[..., Any], sizes: list[int]) -> Callable[..., Any]:
    def count(X: NDArray[Any], *rest: Any, **named: Any) -> Any:
        sizes.append(len(X))
        return predictor(X, *rest, **named)

    return count


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)
