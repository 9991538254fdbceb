"""Registries by name: how a new criterion, selector, model or adapter is one file and no edit."""

from __future__ import annotations

import importlib
import pkgutil
import threading
import warnings
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from pxgen_plugins.errors import ParameterError, PXGenWarning, describe
from pxgen_plugins.validation import nearest

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Generic[T]):
    """Names and the objects they stand for.

    The modules of ``package`` are imported when the registry is first read, so a file dropped into
    that package registers itself; then the entry points of ``group`` are loaded, so an
    installed third-party package does too. A broken entry point warns and is left out.

    Args:
        kind: What is registered, in the singular, for messages ("criterion").
        package: The package whose modules register.
        group: Name of the entry-point group; None takes the package's name.

    Example:
        >>> shapes = Registry[type]("shape", "pxgen_plugins.no_such_package")
        >>> @shapes.register("ball")
        ... class Ball: ...
        >>> shapes.get("ball").__name__
        'Ball'
    """

    def __init__(self, kind: str, package: str, group: str | None = None) -> None:
        self.kind = kind
        self.package = package
        self.group = package if group is None else group
        self._items: dict[str, T] = {}
        self._lock = threading.RLock()
        self._discovered = False

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers its argument as ``name``.

        Raises:
            ParameterError: When ``name`` is no lower-case identifier or names another object.
        """
        where = f"register {self.kind}"
        if not str(name).isidentifier() or name != str(name).lower():
            hint = "Use letters, digits and underscores, as in 'my_name'."
            raise ParameterError("name", where, "a lower-case identifier", describe(name), hint)

        def add(item: T) -> T:
            with self._lock:
                known = self._items.get(name, item)
                if known is not item and not _same_definition(known, item):
                    hint = "Choose another name, or do not import both."
                    raise ParameterError("name", where, "a new name", f"{name!r}, taken", hint)
                self._items[name] = item
            return item

        return add

    def get(self, name: str) -> T:
        """Return what ``name`` stands for.

        Raises:
            ParameterError: When nothing of that name is registered; the nearest name is proposed.
        """
        self._discover()
        if str(name) in self._items:
            return self._items[str(name)]
        allowed = "one of " + ", ".join(repr(known) for known in self.names())
        hint = nearest(str(name), self._items)
        raise ParameterError(self.kind, "registry", allowed, describe(name), hint)

    def names(self) -> list[str]:
        """Return all registered names, sorted."""
        self._discover()
        return sorted(self._items)

    def lookup_class(self, name: str, module: str) -> T:
        """Return the registered object whose own name is ``name``, for a module's ``__getattr__``.

        Raises:
            AttributeError: When there is none, as Python expects of a missing module attribute.
        """
        if not name.startswith("_"):
            self._discover()
            for item in self._items.values():
                if getattr(item, "__name__", None) == name:
                    return item
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    def _discover(self) -> None:
        with self._lock:
            if self._discovered:
                return
            self._discovered = True
            self._import_modules()
            for point in entry_points(group=self.group):
                self._load(point)

    def _load(self, point: EntryPoint) -> None:
        try:
            item: Any = point.load()
            self.register(point.name)(item)
        except Exception as error:  # a third party's fault must not take the package down
            text = f"{self.kind} {point.name!r} of {point.value!r} was left out: {error}"
            warnings.warn(f"registry: {text}", PXGenWarning, stacklevel=4)

    def _import_modules(self) -> None:
        try:
            package = importlib.import_module(self.package)
        except ModuleNotFoundError:
            return
        for module in pkgutil.iter_modules(package.__path__):
            if not module.name.startswith("_"):
                importlib.import_module(f"{self.package}.{module.name}")


def _same_definition(one: Any, other: Any) -> bool:
    """Whether two objects are one definition seen twice, as after ``importlib.reload``."""
    return (getattr(one, "__module__", 1), getattr(one, "__qualname__", 1)) == (
        getattr(other, "__module__", 2),
        getattr(other, "__qualname__", 2),
    )
