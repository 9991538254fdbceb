"""Evaluation mode for the length of a call, safe when several threads call at once."""

from __future__ import annotations

import functools
import inspect
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

__all__ = ["EvaluationMode", "modules_of", "set_training_flag", "training_flag"]


# For each submodule in use: how many use it, and the flag that the last one restores. One table for
# all models, because two models may wrap the same network.
_IN_USE: weakref.WeakKeyDictionary[nn.Module, list[Any]] = weakref.WeakKeyDictionary()
_LOCK = threading.Lock()


class EvaluationMode:
    """Puts modules in evaluation mode while anyone uses them, then restores every flag.

    The first user of a submodule records its flag and the last restores it, so two threads, or two
    models around one network, never restore each other's temporary state.

    Args:
        modules: Root modules; their submodules are handled one by one.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self.modules = tuple(modules)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        submodules = [m for root in self.modules for m in root.modules()]
        with _LOCK:
            for module in submodules:
                _IN_USE.setdefault(module, [0, module.training])[0] += 1
                # not module.train(): that would overwrite the flags of the submodules
                module.training = False
        try:
            yield
        finally:
            with _LOCK:
                for module in submodules:
                    entry = _IN_USE[module]
                    entry[0] -= 1
                    if entry[0] == 0:
                        module.training = entry[1]
                        del _IN_USE[module]


def training_flag(module: nn.Module) -> bool:
    """Return a module's own training flag, also while someone evaluates it."""
    with _LOCK:
        entry = _IN_USE.get(module)
        return bool(module.training if entry is None else entry[1])


def set_training_flag(module: nn.Module, training: bool) -> None:
    """Set a module's own training flag; while someone evaluates it, for when they are done."""
    with _LOCK:
        entry = _IN_USE.get(module)
        if entry is None:
            module.training = training
        else:
            entry[1] = training


def modules_of(function: Any) -> list[nn.Module]:
    """Return the modules that a callable is or reaches: bound to, in its closure, or named in it.

    Found are a module itself, the owner of a bound method or its attributes, those of a callable
    object, what a ``partial`` binds, and the modules a plain function refers to as closure or
    global variables; of lists and dictionaries among these, the items. A module hidden deeper is
    not found: pass it as ``modules=``.
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
        inner = [function.__self__, function.__func__, *_held(function.__self__)]
    elif inspect.isfunction(function):
        names = inspect.getclosurevars(function) if _readable(function) else None
        if names is not None:
            inner = [*names.nonlocals.values(), *names.globals.values()]
    elif not inspect.isclass(function):
        inner = _held(function)
    for thing in _with_items(inner):
        if isinstance(thing, nn.Module) or _is_plain(thing):
            yield from _reached(thing, depth - 1)


def _held(owner: Any) -> list[Any]:
    """Return the attributes of an object that is no module and no class."""
    if isinstance(owner, nn.Module) or inspect.isclass(owner) or inspect.ismodule(owner):
        return []
    return list(getattr(owner, "__dict__", {}).values())


def _with_items(things: Iterable[Any]) -> Iterator[Any]:
    """Yield things, and of lists, tuples and dictionaries the items."""
    for thing in things:
        if isinstance(thing, (list, tuple)):
            yield from thing
        elif isinstance(thing, dict):
            yield from thing.values()
        yield thing


def _is_plain(thing: Any) -> bool:
    is_function = isinstance(thing, functools.partial) or inspect.ismethod(thing)
    return is_function or inspect.isfunction(thing)


def _readable(function: Callable[..., Any]) -> bool:
    try:
        inspect.getclosurevars(function)
    except (ValueError, TypeError):  # an empty cell: the variable is not bound yet
        return False
    return True
