"""How a foreign object becomes a model: recognised by one of the sources, which wraps it."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any, ClassVar

from pxgen_plugins.models.base import CAPABILITIES, Model
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr
from pxgen_plugins.utils.registry import Registry
from pxgen_plugins.utils.validation import nearest

__all__ = ["REGISTRY", "Source", "is_of", "register", "wrap"]

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
    """

    order: ClassVar[int] = 50
    what: ClassVar[str]
    families: ClassVar[tuple[type[Any], ...]] = ()
    roles: ClassVar[frozenset[str]] = frozenset(
        {"encode", "decode", "codebook", "log_prob", "embed", "sample"}
    )
    build: ClassVar[Callable[..., Any]]

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
    ``{"encode": f, "decode": g}``; modules with ``encode`` and ``decode``, and generators that know
    their ``encoding_dims``; synthesizers of tables; and arrays or folders of generated instances.

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
    source = REGISTRY.first_match(obj)
    if source is not None:
        _check_options(source, options)
        model = source.build(obj, **options)
        logger.info("%s: %s", type(model).__name__, model.origin)
        return model
    if _declares(obj) and not options:
        return obj
    kinds = "; ".join(sorted(REGISTRY.get(name).what for name in REGISTRY.names()))
    hint = "Use a family of pxgen_plugins.models by name, such as VAE(net, sample_shape=...)."
    raise ParameterError("obj", f"one of: {kinds}", short_repr(obj), hint)


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
            raise ParameterError(name, allowed, "an unknown option", nearest(name, names))
    for parameter in own:
        if parameter.default is parameter.empty and parameter.name not in options:
            allowed = f"given, for {source.what}"
            hint = f"Pass {parameter.name}=... to wrap."
            raise ParameterError(parameter.name, allowed, "nothing", hint)
