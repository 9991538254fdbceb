"""Registries by name: how a new criterion, selector, model or adapter is one file and no edit."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import threading
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

from pxgen_plugins.utils.errors import ParameterError, short_repr, warn
from pxgen_plugins.utils.validation import nearest

__all__ = ["Registry", "check_options"]

_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

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
        lowercase: Whether names are lower-case; False for classes that users know by their own
            names, such as threshold rules.
        nested: Whether the modules of sub-packages register too.

    Example:
        >>> shapes = Registry[type]("shape", "pxgen_plugins.no_such_package")
        >>> @shapes.register("ball")
        ... class Ball: ...
        >>> shapes.get("ball").__name__
        'Ball'
    """

    def __init__(
        self,
        kind: str,
        package: str,
        group: str | None = None,
        *,
        lowercase: bool = True,
        nested: bool = False,
    ) -> None:
        self.kind = kind
        self.lowercase = lowercase
        self.nested = nested
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
        if not str(name).isidentifier() or (self.lowercase and name != str(name).lower()):
            hint = "Use letters, digits and underscores, as in 'my_name'."
            allowed = "a lower-case identifier" if self.lowercase else "an identifier"
            raise ParameterError("name", allowed, short_repr(name), hint, where=where)

        def add(item: T) -> T:
            with self._lock:
                known = self._items.get(name, item)
                if known is not item and not _same_definition(known, item):
                    hint = "Choose another name, or do not import both."
                    taken = f"{name!r}, taken"
                    raise ParameterError("name", "a new name", taken, hint, where=where)
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
        raise ParameterError(self.kind, allowed, short_repr(name), hint)

    def parse(self, spec: Any, parameter: str = "") -> tuple[T, dict[str, Any]]:
        """Return the registered object that ``spec`` names, and its options.

        Args:
            spec: A name, or a mapping with a ``"name"`` and options, as settings files hold it.
            parameter: Name of the parameter, for the error; empty takes the kind.

        Raises:
            ParameterError: When it is neither, or the name is not registered.

        Example:
            >>> from pxgen_plugins.selection.base import REGISTRY
            >>> function, options = REGISTRY.parse({"name": "k_center", "refine": True})
            >>> function.__name__, options
            ('k_center', {'refine': True})
        """
        options = {"name": spec} if isinstance(spec, str) else spec
        if not isinstance(options, Mapping) or "name" not in options:
            allowed = f"the name of a {self.kind}, or a mapping with 'name'"
            hint = "Registered names: " + ", ".join(self.names()) + "."
            raise ParameterError(parameter or self.kind, allowed, short_repr(spec), hint)
        return self.get(options["name"]), {k: v for k, v in options.items() if k != "name"}

    def make(self, spec: Any, kind: type[Any], parameter: str = "") -> Any:
        """Return the object that ``spec`` stands for: itself, or one built from name and options.

        Args:
            spec: An instance of ``kind``, or what :meth:`parse` takes.
            kind: The class of what is registered.
            parameter: Name of the parameter, for the error; empty takes the kind.

        Raises:
            ParameterError: When it is none of these, or an option is unknown or missing.
        """
        if isinstance(spec, kind):
            return spec
        item, options = self.parse(spec, parameter)
        check_options(item, options, parameter or self.kind)
        return cast("Callable[..., Any]", item)(**options)

    def first_match(self, obj: Any) -> T | None:
        """Return the first registered object that recognises ``obj``; None when none does.

        They are asked by rising ``order``, then by name, with their ``matches(obj)``.
        """
        known = [(cast("Any", self.get(name)), name) for name in self.names()]
        for item, _ in sorted(known, key=lambda pair: (pair[0].order, pair[1])):
            if item.matches(obj):
                return cast("T", item)
        return None

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
            warn(f"registry: {text}")

    def _import_modules(self) -> None:
        try:
            package = importlib.import_module(self.package)
        except ModuleNotFoundError:
            return
        self._import_below(self.package, package.__path__)

    def _import_below(self, name: str, path: Iterable[str]) -> None:
        for module in pkgutil.iter_modules(path):
            if module.name.startswith("_"):
                continue
            imported = importlib.import_module(f"{name}.{module.name}")
            if self.nested and module.ispkg:
                self._import_below(imported.__name__, imported.__path__)


def check_options(function: Any, options: Mapping[str, Any], parameter: str) -> None:
    """Raise ParameterError when ``function`` does not take an option, or needs one more.

    Args:
        function: What is called with the options as keyword arguments.
        options: The options, by name.
        parameter: Name of the parameter that holds them, for the error.
    """
    known = inspect.signature(function).parameters
    unknown = [name for name in options if name not in known]
    if unknown:
        takes = f"keys that {_name(function)} takes: {', '.join(known)}"
        allowed = "a mapping with " + (takes if known else f"no option: {_name(function)} has none")
        hint = nearest(unknown[0], known) if known else f"Leave {unknown[0]!r} out."
        raise ParameterError(parameter, allowed, short_repr(dict(options)), hint)
    needed = [n for n, p in known.items() if p.default is p.empty and p.kind not in _VARIABLE]
    missing = [name for name in needed if name not in options]
    if missing:
        hint = f"Add {missing[0]!r}."
        allowed = f"a mapping with what {_name(function)} needs: {', '.join(needed)}"
        raise ParameterError(parameter, allowed, short_repr(dict(options)), hint)


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _same_definition(one: Any, other: Any) -> bool:
    """Whether two objects are one definition seen twice, as after ``importlib.reload``."""
    return (getattr(one, "__module__", 1), getattr(one, "__qualname__", 1)) == (
        getattr(other, "__module__", 2),
        getattr(other, "__qualname__", 2),
    )
