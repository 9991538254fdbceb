"""The model and the anchors that an audit's settings name."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pxgen_plugins.anchors import Anchors, Subset, open_for
from pxgen_plugins.audit.settings import Config
from pxgen_plugins.datasets import load_mnist, load_mnist_vae
from pxgen_plugins.models import capabilities, sources, wrap
from pxgen_plugins.utils.errors import ModelError, ParameterError, caller, short_repr

__all__ = ["build_model", "open_set"]

_LIBRARIES = frozenset(
    {"cloudpickle", "dill", "joblib", "numpy", "pandas", "pip", "scipy", "setuptools", "sklearn",
     "torch", "yaml"}
)  # fmt: skip
_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@caller("settings")
def build_model(config: Config) -> Any:
    """Return the model that the settings name.

    A factory is imported from installed code, by the name that the settings spell out; it is the
    only code of others that runs. What it returns goes through :func:`pxgen_plugins.models.wrap`
    unless it is a model already.

    Raises:
        ParameterError: When the factory cannot be imported or is not spelled as it should be.
        ModelError: When it raises, or gives no model.
    """
    settings: Mapping[str, Any] = config["model"]
    options = dict(settings["options"])
    for name in ("sample_shape", "latent_shape", "data_range"):
        if isinstance(options.get(name), list):
            options[name] = tuple(options[name])
    for kind in ("onnx", "diffusers", "pythae"):
        if settings[kind] is not None:
            return _from_files(kind, settings[kind], options)
    if settings["shipped"] is not None:
        return wrap(load_mnist_vae(), **({"sample_shape": (1, 28, 28)} | options))
    factory = _import_factory(settings["factory"])
    arguments = config.arguments()
    if settings["weights"] is not None:
        if not settings["weights"].endswith(".safetensors"):
            hint = "Save the weights by safetensors, which holds no code."
            got = short_repr(settings["weights"])
            raise ParameterError("model.weights", "a .safetensors file", got, hint)
        if not Path(settings["weights"]).is_file():
            got = f"{short_repr(settings['weights'])}, which is no file"
            raise ParameterError("model.weights", "a file", got, "Check the path.")
        arguments["weights"] = settings["weights"]
    try:
        model = factory(**arguments)
    except (Exception, SystemExit) as error:
        hint = "Call it by hand to find the cause."
        got = f"{type(error).__name__}: {str(error)[:200]}"
        raise ModelError("model.factory", "callable", got, hint) from error
    return model if capabilities(model) and not options else wrap(model, **options)


def open_set(config: Config, name: str, model: Any) -> Anchors | None:
    """Return the anchors, or the reference data, that the settings name.

    Args:
        config: The settings.
        name: ``"anchors"`` or ``"reference"``.
        model: The model that takes them.

    Raises:
        AnchorError: When they cannot be read.
    """
    settings = config[name]
    if settings is None:
        return None
    if settings["shipped"] is not None:
        images, labels = load_mnist(settings["split"], digits=settings["digits"])
        limit = settings["limit"]
        ids = np.char.add(f"{settings['split']}-", np.arange(len(images)).astype(str))
        with caller(name):
            return open_for(model, images[:limit, None], labels=labels[:limit], ids=ids[:limit])
    with caller(name):
        names = ("columns", "labels", "ids", "resize", "transform", "background")
        options = {name: settings[name] for name in names}
        anchors = open_for(model, settings["path"], anchors_range=settings["range"], **options)
    return anchors if settings["limit"] is None else Subset(anchors, slice(settings["limit"]))


def _from_files(kind: str, files: Any, options: Mapping[str, Any]) -> Any:
    source = sources.get(kind)
    if not source.matches(files):  # wrap would try other kinds
        hint = "Check the path, and which key of model stands for it."
        raise ModelError(f"model.{kind}", source.what, short_repr(files), hint)
    return wrap(files, **options)


def _import_factory(name: str) -> Callable[..., Any]:
    allowed = "package.module:function of installed code"
    hint = "Write the name as Python imports it, as in my_package.models:load."
    if not _FACTORY.fullmatch(name):
        raise ParameterError("model.factory", allowed, short_repr(name), hint)
    module, _, function = name.partition(":")
    _refuse_foreign(name, module)
    try:
        factory = getattr(importlib.import_module(module), function)
    except (Exception, SystemExit) as error:  # whatever an import of users' code raises
        got = f"{name!r} ({type(error).__name__}: {str(error)[:160]})"
        if isinstance(error, ModuleNotFoundError):
            hint = "Install it (pip install -e .), or put its folder on PYTHONPATH."
        raise ParameterError("model.factory", allowed, got, hint) from error
    if not callable(factory):
        raise ParameterError("model.factory", allowed, short_repr(factory), hint)
    _refuse_foreign(name, str(getattr(factory, "__module__", "") or ""))
    return factory  # type: ignore[no-any-return]


def _refuse_foreign(name: str, module: str) -> None:
    """Raise when a function is Python's own, or of a library that builds no model of the user's."""
    top = module.partition(".")[0]
    if top in {*sys.stdlib_module_names, *sys.builtin_module_names, *_LIBRARIES}:
        # os:system with a command as argument is no model, and torch:load would unpickle
        hint = "Name a function of your own code."
        got = f"{name!r}, of {top}"
        allowed = "a function of your own code, installed"
        raise ParameterError("model.factory", allowed, got, hint)
