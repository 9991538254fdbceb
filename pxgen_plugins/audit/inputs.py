"""The model and the anchors that an audit's settings name."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

import numpy as np
import torch

from pxgen_plugins.anchors import Anchors, Subset, open_for
from pxgen_plugins.anchors.sampling import lost_labels, stratified_sample
from pxgen_plugins.audit.devices import move
from pxgen_plugins.audit.local_copy import local_copy
from pxgen_plugins.audit.settings import Config
from pxgen_plugins.audit.weights import check_weights
from pxgen_plugins.datasets import load_mnist, load_mnist_vae
from pxgen_plugins.explainer import PXGen
from pxgen_plugins.models import capabilities, sources, wrap
from pxgen_plugins.utils.errors import ModelError, ParameterError, PXGenError, caller, short_repr
from pxgen_plugins.utils.redaction import redact

__all__ = ["build_explainer", "build_model", "open_set"]

_LIBRARIES = frozenset(
    {"cloudpickle", "dill", "joblib", "numpy", "pandas", "pip", "scipy", "setuptools", "sklearn",
     "torch", "yaml"}
)  # fmt: skip
_GROUP = "pxgen_plugins.factories"
# What this package offers as factories; no other function of it may be called from settings.
_OWN = frozenset(
    {
        "pxgen_plugins.datasets:load_mnist_text",
        "pxgen_plugins.datasets:load_mnist_vae",
        "pxgen_plugins.testing.examples:LinearModel",
    }
)
_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@caller("settings")
def build_model(config: Config) -> Any:
    """Return the model that the settings name.

    A factory is a function of an entry point (group ``pxgen_plugins.factories``), or of a package
    that both the settings and the command line allow; it is the only code of others that runs. What
    it returns goes through :func:`pxgen_plugins.models.wrap` unless it is a model already.

    Raises:
        ParameterError: When the factory cannot be imported, is not spelled as it should be, or is
            of a package that is not allowed; or the device is not here.
        ModelError: When it raises, or gives no model.
    """
    settings: Mapping[str, Any] = config["model"]
    options = dict(settings["options"])
    for name in ("sample_shape", "latent_shape", "data_range"):
        if isinstance(options.get(name), list):
            options[name] = tuple(options[name])
    model = _build(config, settings, options)
    move(model, config.values.get("device"))
    return model


def _build(config: Config, settings: Mapping[str, Any], options: dict[str, Any]) -> Any:
    """Return the model, where whoever made it put it."""
    for kind in ("onnx", "diffusers", "pythae"):
        if settings[kind] is not None:
            return _from_files(kind, settings[kind], options)
    if settings["shipped"] is not None:
        return wrap(load_mnist_vae(), **({"sample_shape": (1, 28, 28)} | options))
    factory = _find_factory(settings["factory"], config.values.get("allow", ()))
    arguments = config.arguments()
    if settings["weights"] is not None:
        check_weights(settings["weights"])
        arguments["weights"] = settings["weights"]
    try:
        model = factory(**arguments)
    except PXGenError:  # of a model of this package that the factory makes: it says what is wrong
        raise
    except (Exception, SystemExit) as error:
        hint = f"Call {settings['factory']} by hand to find the cause."
        if settings["weights"] is not None:
            whole = "Check that model.weights is a whole file, and of this network."
            hint = f"{whole} {hint}"
        got = f"none: the factory failed: {_reason(error)}"
        raise ModelError("what model.factory returns", "a model", got, hint) from error
    # a network has methods of these names, too, and is no model for that
    bare = isinstance(model, torch.nn.Module) and getattr(model, "capabilities", None) is None
    return wrap(model, **options) if options or bare or not capabilities(model) else model


def _reason(error: BaseException, most: int = 300) -> str:
    """Return what an exception of others says, on one line, cut between words, without its end."""
    words = " ".join(redact(str(error)).split()).rstrip(".")
    if len(words) > most:
        words = (words[:most].rpartition(" ")[0] or words[:most]) + " ..."
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def build_explainer(config: Config, model: Any) -> PXGen:
    """Return the explainer that the settings describe, not fitted.

    Args:
        config: The settings.
        model: The model.

    Raises:
        PXGenError: When a criterion, the rule or a selector is not as it should be.
    """
    names = (
        "intrinsic", "extrinsic", "threshold", "selectors", "n_representatives", "rule",
        "batch_size", "precision", "seed",
    )  # fmt: skip
    return PXGen(model, **{name: config[name] for name in names}, examples=True)


def open_set(config: Config, name: str, model: Any) -> Anchors | None:
    """Return the anchors, or another set, that the settings name; None where they name none.

    Args:
        config: The settings.
        name: ``"anchors"``, ``"reference"``, ``"copies.training"`` or ``"copies.held_out"``.
        model: The model that takes them.

    Raises:
        AnchorError: When they cannot be read.
    """
    settings = config.table(name)
    if settings is None:
        return None
    if settings["shipped"] is not None:
        images, labels = load_mnist(settings["split"], digits=settings["digits"])
        ids = np.char.add(f"{settings['split']}-", np.arange(len(images)).astype(str))
        with caller(name):
            anchors = open_for(model, images[:, None], labels=labels, ids=ids)
            return _part(anchors, settings)
    with caller(name):
        keys = ("columns", "labels", "ids", "resize", "transform", "background")
        options = {key: settings[key] for key in keys}
        path = local_copy(settings["path"], f"{name}.path")
        anchors = open_for(model, path, anchors_range=settings["range"], **options)
        return _part(anchors, settings)


def _part(anchors: Anchors, settings: Mapping[str, Any]) -> Anchors:
    """Return the first ``limit`` anchors, of them a random ``sample``; what is lost is noted."""
    if settings["limit"] is not None and settings["limit"] < len(anchors):
        first = Subset(anchors, slice(settings["limit"]))
        hint = "sample: instead of limit: takes some of each"
        lost = lost_labels(anchors, first, f"limit: {settings['limit']:,}", hint)
        first.notes = (*anchors.notes, *lost)
        anchors = first
    if settings["sample"] is None:
        return anchors
    return stratified_sample(anchors, settings["sample"], settings["sample_seed"])


def _from_files(kind: str, files: Any, options: Mapping[str, Any]) -> Any:
    source = sources.get(kind)
    if not source.matches(files):  # wrap would try other kinds
        hint = "Check the path, and which key of model stands for it."
        raise ModelError(f"model.{kind}", source.what, short_repr(files), hint)
    return wrap(files, **options)


def _find_factory(name: str, allowed: Sequence[str]) -> Callable[..., Any]:
    """Return the function that a name stands for: of an entry point, or of an allowed package."""
    if ":" not in name:
        return _entry_point(name)
    form = "package.module:function of installed code, or an entry point's name"
    hint = "Write the name as Python imports it, as in my_package.models:load."
    if not _FACTORY.fullmatch(name):
        raise ParameterError("model.factory", form, short_repr(name), hint)
    module, _, function = name.partition(":")
    if name not in _OWN:
        _check_package(name, module, allowed)
    try:
        factory = getattr(importlib.import_module(module), function)
    except (Exception, SystemExit) as error:  # whatever an import of users' code raises
        got = f"{name!r} ({_reason(error, 160)})"
        if isinstance(error, ModuleNotFoundError):
            hint = "Install it (pip install -e .), or put its folder on PYTHONPATH."
        raise ParameterError("model.factory", form, got, hint) from error
    if not callable(factory):
        raise ParameterError("model.factory", form, short_repr(factory), hint)
    if name not in _OWN:  # where it was defined counts too: a module names what it imports
        _check_package(name, str(getattr(factory, "__module__", "") or ""), allowed)
    return factory  # type: ignore[no-any-return]


def _entry_point(name: str) -> Callable[..., Any]:
    points = {point.name: point for point in entry_points(group=_GROUP)}
    if name not in points:
        known = ", ".join(sorted(points)) or "none is installed"
        hint = "Write package.module:function, or register an entry point."
        allowed = f"an entry point of the group {_GROUP} ({known}), or package.module:function"
        raise ParameterError("model.factory", allowed, short_repr(name), hint)
    try:
        factory = points[name].load()
    except (Exception, SystemExit) as error:  # whatever an import of users' code raises
        got = f"{name!r} ({_reason(error, 160)})"
        hint = "Mend the package that registers it."
        raise ParameterError("model.factory", "importable", got, hint) from error
    if not callable(factory):
        got, hint = short_repr(factory), "Mend the package that registers it."
        raise ParameterError("model.factory", "a function", got, hint)
    return factory  # type: ignore[no-any-return]


def _check_package(name: str, module: str, allowed: Sequence[str]) -> None:
    """Raise unless the user allows the package of a factory, or for Python's own and the like."""
    top = module.partition(".")[0]
    if top in {*sys.stdlib_module_names, *sys.builtin_module_names, *_LIBRARIES}:
        # os:system with a command as argument is no model, and torch:load would unpickle
        got = f"{name!r}, of {top}"
        hint = "Name a function of your own code."
        raise ParameterError("model.factory", "a function of your own code, installed", got, hint)
    if not any(module == one or module.startswith(f"{one}.") for one in allowed):
        got = f"{name!r}, of {top or 'no package'}"
        hint = (
            f"If you trust it with these settings, write allow: [{top}] in them and --allow {top} "
            "on the command line."
        )
        raise ParameterError("model.factory", "of a package that you allow", got, hint)
