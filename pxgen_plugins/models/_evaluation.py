"""Evaluation mode for the length of a call, safe when several threads call at once."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

__all__ = ["EvaluationMode", "modules_of"]


class EvaluationMode:
    """Puts modules in evaluation mode while anyone uses them, then restores every flag.

    The first user to enter records the flags and the last to leave restores them, so two threads
    never restore each other's temporary state.

    Args:
        modules: Root modules; their submodules are handled one by one.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self.modules = tuple(modules)
        self._lock = threading.Lock()
        self._users = 0
        self._training: list[nn.Module] = []

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._users == 0:
                self._training = [m for root in self.modules for m in root.modules() if m.training]
                self._set(False)
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._set(True)
                    self._training = []

    def _set(self, training: bool) -> None:
        # not module.train(): that would overwrite the flags of the submodules
        for module in self._training:
            module.training = training

    def __getstate__(self) -> dict[str, Any]:
        return {"modules": self.modules}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["modules"])  # type: ignore[misc]


def modules_of(function: Any) -> list[nn.Module]:
    """Return the modules that a callable is or reaches: bound to, in its closure, or named in it.

    Found are a module itself, the owner of a bound method, what a ``partial`` binds, and the
    modules a plain function refers to as closure or global variables. A module hidden deeper (in
    an attribute of another object, say) is not found: pass it as ``modules=``.
    """
    found: list[nn.Module] = []
    for thing in _reached(function):
        if isinstance(thing, nn.Module) and not any(thing is known for known in found):
            found.append(thing)
    return found


def _reached(function: Any, depth: int = 3) -> Iterator[Any]:
    yield function
    if depth == 0 or isinstance(function, nn.Module):
        return
    inner: list[Any] = []
    if isinstance(function, functools.partial):
        inner = [function.func, *function.args, *function.keywords.values()]
    elif inspect.ismethod(function):
        inner = [function.__self__, function.__func__]
    elif inspect.isfunction(function):
        names = inspect.getclosurevars(function) if _readable(function) else None
        if names is not None:
            inner = [*names.nonlocals.values(), *names.globals.values()]
    for thing in inner:
        if isinstance(thing, nn.Module) or _is_plain(thing):
            yield from _reached(thing, depth - 1)


def _is_plain(thing: Any) -> bool:
    is_function = isinstance(thing, functools.partial) or inspect.ismethod(thing)
    return is_function or inspect.isfunction(thing)


def _readable(function: Callable[..., Any]) -> bool:
    try:
        inspect.getclosurevars(function)
    except (ValueError, TypeError):  # an empty cell: the variable is not bound yet
        return False
    return True
