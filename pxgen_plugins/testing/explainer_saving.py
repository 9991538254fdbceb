"""Checks of saving, loading and exchanging the predictor (points 20-23 and 26)."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pxgen_plugins.testing.checks import alibi_module, expect, skip
from pxgen_plugins.testing.explainer_case import ExplainerCase
from pxgen_plugins.testing.explainer_interface import SUITE
from pxgen_plugins.testing.fresh import explain_in_fresh_process
from pxgen_plugins.testing.trees import differences, leaves, plain

__all__: list[str] = []

_SLACK = 2_000  # bytes by which two saved states of equal content may differ


@SUITE.check(20)
def loads_in_a_fresh_process(case: ExplainerCase) -> None:
    """``load_explainer`` in another process gives the same class, metadata and explanation."""
    saving = alibi_module("saving")

    explainer = case.fit_new()
    expected = case.explain_new()
    meta = plain(explainer.meta, json=True)
    with _folder() as path:
        saving.save_explainer(explainer, path / "saved")
        loaded = explain_in_fresh_process(
            path / "saved", case.make_predictor, case.X, case.kwargs(case.X)
        )
    own = f"{type(explainer).__module__}.{type(explainer).__qualname__}"
    expect(loaded["class"] == own, f"the loaded class is {loaded['class']}, the saved one {own}")
    changes = differences(meta, loaded["meta"], json=True)
    expect(not changes, f"metadata differs: {changes[:3]}")
    changes = differences(
        loaded["explanation"]["data"], expected.data, rtol=1e-6, atol=1e-9, json=True
    )
    expect(not changes, f"the explanation differs: {changes[:3]}")


@SUITE.check(22)
def fitted_state_survives_loading(case: ExplainerCase) -> None:
    """A loaded explainer explains without another ``fit``, with the same result."""
    saving = alibi_module("saving")

    explainer = case.fit_new()
    with _folder() as path:
        saving.save_explainer(explainer, path)
        loaded = saving.load_explainer(path, case.make_predictor())
    expected = case.explain_new().data
    changes = differences(case.explain(loaded).data, expected, rtol=1e-6, atol=1e-9)
    expect(not changes, f"the explanation differs: {changes[:3]}")


@SUITE.check(21)
def saved_files_hold_no_model(case: ExplainerCase) -> None:
    """The saved files are no larger for a model with many more parameters."""
    saving = alibi_module("saving")

    if case.make_grown is None:
        skip("no larger predictor of the same shapes (make_grown)")
    small, large = case.fit_new(), case.fit_new(case.make_grown())
    sizes = []
    for explainer in (small, large):
        with _folder() as path:
            saving.save_explainer(explainer, path)
            sizes.append(sum(file.stat().st_size for file in path.rglob("*") if file.is_file()))
    expect(
        abs(sizes[1] - sizes[0]) <= _SLACK,
        f"{sizes[0]} bytes for the small model, {sizes[1]} for the large one",
    )


@SUITE.check(22)
def reset_predictor_is_overridden(case: ExplainerCase) -> None:
    """``reset_predictor`` works and puts the new predictor in ``predictor``."""
    from pxgen_plugins.host import Explainer

    explainer = case.fit_new()
    method = getattr(type(explainer), "reset_predictor", None)
    expect(method is not None, "there is no reset_predictor")
    expect(method is not getattr(Explainer, "reset_predictor", None), "it is not overridden")
    explainer.reset_predictor(case.make_predictor())
    expect(getattr(explainer, "predictor", None) is not None, "no predictor after reset_predictor")


@SUITE.check(22)
def another_predictor_leaves_nothing_stale(case: ExplainerCase) -> None:
    """After ``reset_predictor`` results are those of the new model, or a new fit is asked for."""
    from pxgen_plugins.host import NotFittedError

    if case.make_other is None:
        skip("no other predictor (make_other)")
    other = case.make_other()
    expected = case.explain(case.fit_new(other)).data
    explainer = case.fit_new()
    before = case.explain(explainer).data
    expect(differences(before, expected), "make_other gives the same explanation: nothing to see")
    explainer.reset_predictor(other)
    try:
        after = case.explain(explainer).data
    except NotFittedError:
        after = case.explain(case.fit(explainer)).data
    changes = differences(after, expected, rtol=1e-6, atol=1e-9)
    expect(not changes, f"against a new explainer of that model: {changes[:3]}")


@SUITE.check(23)
def predictor_can_be_none(case: ExplainerCase) -> None:
    """``explainer.predictor = None`` is accepted, as alibi's saving needs."""
    explainer = case.fit_new()
    explainer.predictor = None


@SUITE.check(23)
def saving_twice_works(case: ExplainerCase) -> None:
    """Saving twice to the same place works, and the explainer is usable afterwards."""
    saving = alibi_module("saving")

    explainer = case.fit_new()
    with _folder() as path:
        saving.save_explainer(explainer, path)
        saving.save_explainer(explainer, path)
        saving.load_explainer(path, case.make_predictor())
    expect(getattr(explainer, "predictor", None) is not None, "saving took the predictor away")
    case.explain(explainer)


@SUITE.check(23)
def failed_write_keeps_the_predictor(case: ExplainerCase) -> None:
    """When the file cannot be written, the explainer still has its predictor."""
    saving = alibi_module("saving")

    explainer = case.fit_new()
    with _folder() as path:
        (path / "explainer.dill").mkdir()  # stands for a full disk: opening the file fails
        try:
            saving.save_explainer(explainer, path)
        except OSError:
            pass
        else:
            skip("saving writes no explainer.dill")
    expect(getattr(explainer, "predictor", None) is not None, "the predictor is gone")
    case.explain(explainer)


@SUITE.check(23)
def failed_pickling_keeps_the_predictor(case: ExplainerCase) -> None:
    """When a part of the state cannot be pickled, the explainer still has its predictor."""
    saving = alibi_module("saving")

    explainer = case.fit_new()
    unpicklable: Iterator[int] = (number for number in range(0))
    try:
        explainer.put_by_the_check = unpicklable
    except AttributeError:
        skip("the class has no place for a further attribute")
    with _folder() as path:
        try:
            saving.save_explainer(explainer, path)
        except Exception:
            failed = True
        else:
            failed = False
    del explainer.put_by_the_check
    gone = getattr(explainer, "predictor", None) is None
    expect(not gone, f"the predictor is gone after a save that {'failed' if failed else 'worked'}")


@SUITE.check(26)
def saved_state_holds_no_tensor(case: ExplainerCase) -> None:
    """What is saved holds no torch tensor, so a state fitted on a GPU loads without one."""
    torch = sys.modules.get("torch")
    if torch is None:
        skip("torch is not imported")
    explainer = case.fit_new()
    case.explain(explainer)
    saved = _saved_state(explainer)
    kinds = (torch.Tensor, torch.nn.Module, torch.device)
    tensors = [path for path, leaf in leaves(saved) if isinstance(leaf, kinds)]
    expect(not tensors, f"torch objects in the state: {', '.join(tensors[:5])}")


def _saved_state(explainer: Any) -> dict[str, Any]:
    """Return the state as alibi's saving gets it: with ``predictor`` set to None."""
    explainer.predictor = None
    hook = getattr(type(explainer), "__getstate__", None)
    state = hook(explainer) if hook is not None else None
    parts = _dicts(state) or [dict(vars(explainer))]
    return {key: value for part in parts for key, value in part.items()}


def _dicts(state: Any) -> list[dict[str, Any]]:
    parts = state if isinstance(state, tuple) else (state,)
    return [dict(part) for part in parts if isinstance(part, dict)]


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pxgen-check-") as name:
        yield Path(name)
