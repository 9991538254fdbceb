"""Checks of an explainer's class, metadata and signatures (points 1-5, 25 and 28)."""

from __future__ import annotations

import copy
import inspect
import json
import sys
from typing import Any

from pxgen_plugins.testing.checks import Suite, alibi_module, expect, skip
from pxgen_plugins.testing.explainer_case import ExplainerCase
from pxgen_plugins.testing.trees import differences, mutable_parts

__all__ = ["SUITE"]

SUITE: Suite[ExplainerCase] = Suite("explainer")

_META_KEYS = {"name", "type", "explanations", "params", "version"}
_SCOPES = {"local", "global"}


@SUITE.check(1)
def class_is_an_alibi_explainer(case: ExplainerCase) -> None:
    """The class derives from alibi's Explainer, and from FitMixin when it has ``fit``."""
    from pxgen_plugins.host import Explainer, FitMixin

    explainer = case.new()
    expect(isinstance(explainer, Explainer), f"{type(explainer)} is no alibi Explainer")
    if hasattr(explainer, "fit"):
        expect(isinstance(explainer, FitMixin), "it has fit, but is no alibi FitMixin")


@SUITE.check(1)
def predictor_is_the_first_argument(case: ExplainerCase) -> None:
    """The first argument of ``__init__`` is ``predictor`` and is attribute under that name."""
    parameters = list(case.init_parameters().values())
    expect(parameters, "__init__ takes no argument")
    first = parameters[0]
    positional = (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD)
    expect(first.kind in positional, f"the first argument, {first.name}, is not positional")
    expect(first.name == "predictor", f"the first argument is {first.name!r}, not 'predictor'")
    predictor = case.make_predictor()
    attribute = getattr(case.new(predictor), "predictor", None)
    expect(attribute is not None, "there is no attribute 'predictor' after __init__")


@SUITE.check(2)
def metadata_has_the_five_keys(case: ExplainerCase) -> None:
    """``meta`` has name, type, explanations, params and version, with alibi's meaning."""
    from pxgen_plugins.host import alibi_version

    explainer = case.new()
    meta = explainer.meta
    missing = sorted(_META_KEYS - set(meta))
    expect(not missing, f"meta lacks {missing}")
    own = type(explainer).__name__
    expect(meta["name"] == own, f"meta['name'] is {meta['name']!r}, the class is {own!r}")
    version = alibi_version()
    expect(meta["version"] == version, f"meta['version'] is {meta['version']!r}, alibi's {version}")
    expect(isinstance(meta["params"], dict), "meta['params'] is no dict")
    for key in ("type", "explanations"):
        good = isinstance(meta[key], list) and meta[key]
        good = good and all(isinstance(entry, str) for entry in meta[key])
        expect(good, f"meta[{key!r}] must be a list of strings; it is {meta[key]!r}")
    expect(set(meta["explanations"]) <= _SCOPES, f"explanations are {meta['explanations']}")


@SUITE.check(2)
def own_version_is_recorded(case: ExplainerCase) -> None:
    """The plugin's version is in ``meta``, elsewhere than under ``version``, which is alibi's."""
    explainer = case.new()
    if _belongs_to_alibi(explainer):
        skip("alibi's own explainer: meta['version'] is its version")
    places = {**explainer.meta.get("params", {}), **explainer.meta}
    keys = [key for key in places if "version" in str(key) and key != "version"]
    expect(keys, "no key of meta or meta['params'] names the plugin's version")


@SUITE.check(3)
def init_arguments_are_in_params(case: ExplainerCase) -> None:
    """Every argument of ``__init__`` but models and callables is in ``meta['params']``."""
    explainer = case.fit_new()
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    names = [name for name, p in case.init_parameters().items() if p.kind not in variadic]
    arguments = [name for name in names[1:] if name not in case.not_in_params]
    missing = [name for name in arguments if name not in explainer.meta["params"]]
    expect(not missing, f"meta['params'] lacks {', '.join(missing)}")
    if case.has_option(case.seed_option):
        params = case.new(**{case.seed_option: 3}).meta["params"]
        expect(
            params[case.seed_option] == 3, "meta['params'] does not hold the seed that was given"
        )


@SUITE.check(3)
def metadata_is_json_at_every_stage(case: ExplainerCase) -> None:
    """``meta`` can be written as JSON by alibi's encoder after init, fit and explain."""
    from pxgen_plugins.host import NumpyEncoder

    explainer = case.new()
    json.dumps(explainer.meta, cls=NumpyEncoder)
    case.fit(explainer)
    json.dumps(explainer.meta, cls=NumpyEncoder)
    explanation = case.explain(explainer)
    json.dumps(explainer.meta, cls=NumpyEncoder)
    json.dumps(explanation.meta, cls=NumpyEncoder)


@SUITE.check(4)
def instances_share_no_metadata(case: ExplainerCase) -> None:
    """Two instances share no mutable part of their metadata."""
    one, other = case.fit_new(), case.fit_new()
    parts, others = mutable_parts(one.meta), mutable_parts(other.meta)
    shared = sorted(parts[key] or "meta" for key in parts.keys() & others.keys())
    expect(not shared, f"two instances share the objects {shared}")
    one.meta["params"]["written_by_the_check"] = True
    fresh = case.new().meta["params"]
    expect("written_by_the_check" not in fresh, "a new instance shows what was written to another")


@SUITE.check(4)
def default_tables_stay_unchanged(case: ExplainerCase) -> None:
    """Module tables of defaults (``DEFAULT_*``) are the same after init, fit and explain."""
    case.new()  # imports whatever holds the tables
    before = _default_tables(case)
    case.explain_new()
    after = _default_tables(case)
    changes = differences(before, after)
    expect(not changes, f"use of the explainer changed {changes[:3]}")


@SUITE.check(5)
def fit_returns_self(case: ExplainerCase) -> None:
    """``fit`` returns the explainer itself."""
    if case.fit_args is None:
        skip("no fit")
    explainer = case.new()
    returned = explainer.fit(*copy.deepcopy(case.fit_args or ()))
    expect(returned is explainer, f"fit returned {type(returned).__name__}, not the explainer")


@SUITE.check(5)
def explain_before_fit_is_refused(case: ExplainerCase) -> None:
    """``explain`` of an unfitted explainer raises alibi's NotFittedError."""
    from pxgen_plugins.host import NotFittedError

    if case.fit_args is None:
        skip("no fit")
    try:
        case.explain(case.new())
    except NotFittedError:
        return
    except Exception as error:
        raise AssertionError(f"it raised {type(error).__name__}: {error}") from error
    raise AssertionError("it returned an explanation")


@SUITE.check(25)
def class_name_is_free(case: ExplainerCase) -> None:
    """The class has no name that alibi's saving dispatches on, or that alibi's classes have."""
    saving, homes = alibi_module("saving"), (alibi_module("explainers"), alibi_module("prototypes"))
    explainer = case.new()
    if _belongs_to_alibi(explainer):
        skip("alibi's own explainer: the name is its own")
    name = type(explainer).__name__
    hooks = [f"{verb}{name}" for verb in ("_save_", "_load_") if _has(saving, verb + name)]
    expect(not hooks, f"alibi.saving has {hooks}, which would take over {name}")
    expect(name not in saving.NOT_SUPPORTED, f"alibi refuses to save a class named {name}")
    clash = any(_has(home, name) for home in homes)
    expect(not clash, f"alibi has a class {name} of its own")


@SUITE.check(28)
def explain_takes_the_input_first(case: ExplainerCase) -> None:
    """The first argument of ``explain`` is the input; defaults of the others are JSON."""
    from pxgen_plugins.host import NumpyEncoder

    parameters = list(inspect.signature(case.new().explain).parameters.values())
    expect(parameters, "explain takes no argument")
    first, *others = parameters
    positional = (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD)
    expect(first.kind in positional, "the first argument of explain is not positional")
    expect(
        first.default is first.empty, f"the first argument of explain, {first.name}, is optional"
    )
    for parameter in others:
        if parameter.default is not parameter.empty:
            json.dumps(parameter.default, cls=NumpyEncoder)


@SUITE.check(28)
def explain_arguments_survive_json(case: ExplainerCase) -> None:
    """``explain`` accepts its further arguments as JSON gives them back, with the same result."""
    from pxgen_plugins.host import NumpyEncoder

    X = case.X.copy()
    kwargs = case.kwargs(X)
    if not kwargs:
        skip("explain is used without further arguments")
    read_back = json.loads(json.dumps(kwargs, cls=NumpyEncoder))
    changes = differences(case.explain_new().data, case.fit_new().explain(X, **read_back).data)
    expect(not changes, f"the result differs: {changes[:3]}")


def _belongs_to_alibi(explainer: Any) -> bool:
    return type(explainer).__module__.split(".")[0] == "alibi"


def _has(module: Any, name: str) -> bool:
    return getattr(module, name, None) is not None


def _default_tables(case: ExplainerCase) -> dict[str, Any]:
    homes = {cls.__module__ for cls in type(case.new()).__mro__} | {"alibi.api.defaults"}
    return {
        f"{home}.{name}": copy.deepcopy(value)
        for home in sorted(homes & set(sys.modules))
        for name, value in vars(sys.modules[home]).items()
        if name.startswith("DEFAULT_") and isinstance(value, dict | list)
    }
