"""A copy of a model that shares no network with it, functions around networks included."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from torch import nn

__all__ = ["copied"]

_DEPTH = 4  # how deep functions are looked for: model, dict of calls, call, partial


def copied(model: Any) -> Any | None:
    """Return a copy of ``model`` whose functions run the copies of its networks, or None.

    ``copy.deepcopy`` takes functions as they are, so a model made of ``lambda x: net.encode(x)``
    would run the original network after copying. Here such functions are made anew, over copies of
    what they close over and of the objects that they name globally.

    Args:
        model: A model of :mod:`pxgen_plugins.models`; it is left as it was.

    Returns:
        The copy; None when something in it cannot be copied.

    Example:
        >>> from types import SimpleNamespace
        >>> import torch
        >>> net = nn.Linear(1, 1)
        >>> other = copied(SimpleNamespace(call=lambda x: net(x), net=net))
        >>> with torch.no_grad():
        ...     _ = other.net.bias.fill_(5.0), other.net.weight.fill_(0.0)
        >>> other.call(torch.ones(1)).item(), net.bias.item() == 5.0
        (5.0, False)
    """
    memo: dict[int, Any] = {}
    try:
        return _copy(model, memo)
    except Exception:  # whatever cannot be copied may raise anything
        return None


def _functions(thing: Any, depth: int) -> Iterator[FunctionType]:
    """Yield the plain functions that an object holds, directly or inside what it holds."""
    if isinstance(thing, FunctionType):
        yield thing
    elif depth and not isinstance(thing, nn.Module):
        for part in _parts(thing):
            yield from _functions(part, depth - 1)


def _parts(thing: Any) -> list[Any]:
    """Return what an object holds; nothing for classes, modules and plain values."""
    if isinstance(thing, functools.partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, MethodType):
        return [thing.__self__]
    if isinstance(thing, Mapping):
        return list(thing.values())
    if isinstance(thing, (list, tuple)):
        return list(thing)
    return (
        [] if isinstance(thing, (type, ModuleType)) else [*getattr(thing, "__dict__", {}).values()]
    )


def _rebuilt(function: FunctionType, memo: dict[int, Any]) -> None:
    """Put into ``memo``, which deepcopy obeys, the function over copies of what it refers to."""
    if id(function) in memo:
        return
    scope, closed = function.__globals__, function.__closure__ or ()
    own = [name for name in set(_names(function.__code__)) if _leads_to_network(scope.get(name))]
    held = [_content(cell) for cell in closed]
    if not own and not any(_leads_to_network(content) for content in held):
        memo[id(function)] = function
        return
    cells = tuple(CellType() for _ in closed)
    twin = FunctionType(
        function.__code__, dict(scope), function.__name__, function.__defaults__, cells
    )
    twin.__kwdefaults__ = function.__kwdefaults__
    memo[id(function)] = twin  # before its parts, which may refer to it
    for name in own:
        twin.__globals__[name] = _copy(scope[name], memo)
    for cell, before, content in zip(cells, closed, held, strict=True):
        if content is not before:  # an empty cell stays empty
            cell.cell_contents = _copy(content, memo) if _leads_to_network(content) else content


def _content(cell: CellType) -> Any:
    """Return what a cell holds; the cell itself when it is empty."""
    try:
        return cell.cell_contents
    except ValueError:
        return cell


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _leads_to_network(thing: Any, depth: int = _DEPTH) -> bool:
    if isinstance(thing, (nn.Module, FunctionType)):
        return bool(_modules_of(thing))
    return depth > 0 and any(_leads_to_network(part, depth - 1) for part in _parts(thing))


def _copy(value: Any, memo: dict[int, Any]) -> Any:
    for function in _functions(value, _DEPTH):
        _rebuilt(function, memo)
    return copy.deepcopy(value, memo)


def _modules_of(function: Any) -> list[nn.Module]:
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
