"""How a foreign object becomes a model: recognised by one of the sources, which wraps it."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from pxgen_plugins.models.base import CAPABILITIES, Model
from pxgen_plugins.models.sources._wrappers import unwrapped
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.registry import Registry
from pxgen_plugins.utils.validation import nearest

__all__ = ["REGISTRY", "Source", "is_of", "register", "wrap"]

_MOST = 12  # names of methods in a message
_KEYWORD = inspect.Parameter.KEYWORD_ONLY
logger = logging.getLogger(__name__)


class Source:
    """A kind of object that can be wrapped; subclasses are registered under a name.

    Attributes:
        order: When it is asked, lower first.
        what: What it recognises, for messages.
        families: Classes whose arguments ``build`` takes as further options.
        roles: Of these arguments, the functions that ``build`` finds by itself.
        build: Function from the object, and keyword options, to a model.
        advice: A sentence for who gives it the wrong options.
    """

    order: ClassVar[int] = 50
    what: ClassVar[str]
    families: ClassVar[tuple[type[Any], ...]] = ()
    roles: ClassVar[frozenset[str]] = frozenset(
        {"encode", "decode", "codebook", "log_prob", "embed", "sample"}
    )
    build: ClassVar[Callable[..., Any]]
    advice: ClassVar[str] = ""

    @classmethod
    def matches(cls, obj: Any) -> bool:
        """Return whether ``obj`` is of this kind; cheap, and never raises."""
        raise NotImplementedError(f"{cls.__name__} recognises nothing")


REGISTRY: Registry[type[Source]] = Registry("model source", "pxgen_plugins.models.sources")
register = REGISTRY.register


def is_of(obj: Any, library: str) -> bool:
    """Return whether a class of ``obj`` comes from ``library``, which is not imported for it."""
    return any(kind.__module__.partition(".")[0] == library for kind in type(obj).__mro__)


@caller("wrap")
def wrap(obj: Any, **options: Any) -> Any:
    """Return the model that ``obj`` is, behind the protocol of :mod:`pxgen_plugins.models`.

    Recognised are: models of this package, and anything that declares ``capabilities`` as they do;
    autoencoders, UNets and pipelines of diffusers, and their folders; models of pythae; flows of
    zuko, nflows and normflows; a pair of a transformers model and its tokenizer; files of ONNX
    by role, ``{"encoder": path, "decoder": path}``; functions by role,
    ``{"encode": f, "decode": g}``; modules with methods or sub-modules that encode and decode, or
    whose ``forward`` gives reconstruction, mean and log variance; generators, with
    ``latent_shape``; modules with ``log_prob``; densities of scikit-learn; synthesizers of tables;
    and arrays or folders of generated instances. Modules are taken out of ``DataParallel``,
    ``DistributedDataParallel`` and ``torch.compile`` first.

    Args:
        obj: The object.
        options: Passed on to the function that wraps this kind, such as ``sample_shape``.

    Returns:
        The model. Its attribute ``origin`` says what was concluded, and
        :func:`pxgen_plugins.describe` which criteria work with it.

    Raises:
        ParameterError: When nothing recognises ``obj``, or an option is unknown or missing.
        ModelError: When it does not behave as its kind does.

    Example:
        >>> import torch
        >>> model = wrap({"encode": lambda x: x[:, :2], "decode": lambda z: torch.cat([z, z], 1)},
        ...              modules=(), sample_shape=(4,), data_range=None)
        >>> type(model).__name__, model.origin
        ('Autoencoder', 'functions by role: encode, decode')
    """
    obj, shell = unwrapped(obj)
    source = REGISTRY.first_match(obj)
    if source is not None:
        _check_options(source, options)
        model = source.build(obj, **options)
        text = shell + "".join(f"; {one}" for one in getattr(model, "remarks", ()))
        if text:
            model.origin += text
        logger.info("%s: %s", type(model).__name__, model.origin)
        return model
    if _declares(obj) and not options:
        return obj
    raise _unknown(obj, options)


def _unknown(obj: Any, options: dict[str, Any]) -> ParameterError:
    """Return the error for what no source recognises: what it has, and what to write instead."""
    allowed = "a model, a module, functions by role, or samples"
    if _declares(obj):
        got = f"a {type(obj).__name__}, a model already, with options {', '.join(options)}"
        return ParameterError("obj", "wrapped without options", got, "Pass it without them.")
    if isinstance(obj, (str, os.PathLike)):
        got = f"the path {short_repr(os.fspath(obj))}, where nothing is"
        return ParameterError("obj", allowed, got, "Check the path.")
    if isinstance(obj, Mapping):
        got = f"a {type(obj).__name__} with keys {short_repr(list(obj))}"
        hint = "Name functions by role: wrap({'encode': f, 'decode': g}, modules=net)."
        return ParameterError("obj", allowed, got, hint)
    if isinstance(obj, type):
        got, hint = f"the class {obj.__name__}", f"Pass an instance: wrap({obj.__name__}(), ...)."
        return ParameterError("obj", allowed, got, hint)
    if isinstance(obj, (list, tuple)):
        got, hint = f"a {type(obj).__name__} of {len(obj)}", "Of samples make one array: np.stack."
        return ParameterError("obj", allowed, got, hint)
    if callable(obj):
        hint = (
            "Say what it does, by role: wrap({'generator': f}, latent_shape=(100,), modules=net), "
            "or SampleBank(f) for f(n, seed) -> n samples."
        )
        return ParameterError("obj", allowed, short_repr(obj), hint)
    methods = [n for n in dir(obj) if not n.startswith("_") and callable(getattr(obj, n, None))]
    got = f"a {type(obj).__name__} with "
    got += "methods " + ", ".join(methods[:_MOST]) if methods else "no methods"
    hint = "Name its functions by role: wrap({'encode': obj.f, 'decode': obj.g}, modules=net)."
    return ParameterError("obj", allowed, got, hint)


def _declares(obj: Any) -> bool:
    return isinstance(obj, Model) and set(obj.capabilities) <= set(CAPABILITIES)


def _check_options(source: type[Source], options: dict[str, Any]) -> None:
    own = [p for p in inspect.signature(source.build).parameters.values() if p.kind is _KEYWORD]
    names = [p.name for p in own]
    for family in source.families:
        parameters = inspect.signature(family).parameters.values()
        names += [p.name for p in parameters if p.kind is _KEYWORD and p.name not in names]
    names = [name for name in names if name not in source.roles]
    for name in options:
        if name not in names:
            allowed = f"an option for {source.what}: " + (", ".join(names) or "none")
            hint = " ".join(filter(None, (nearest(name, names), source.advice)))
            raise ParameterError(name, allowed, "an unknown option", hint)
    for parameter in own:
        if parameter.default is parameter.empty and parameter.name not in options:
            allowed = f"given, for {source.what}"
            hint = source.advice or f"Pass {parameter.name}=... to wrap."
            raise ParameterError(parameter.name, allowed, "nothing", hint)
