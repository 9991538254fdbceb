"""A copy of a model that shares no network with it, functions around networks included."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, Mapping
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from torch import nn

from pxgen_plugins.models._eval_mode import modules_of

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
        return bool(modules_of(thing))
    return depth > 0 and any(_leads_to_network(part, depth - 1) for part in _parts(thing))


def _copy(value: Any, memo: dict[int, Any]) -> Any:
    for function in _functions(value, _DEPTH):
        _rebuilt(function, memo)
    return copy.deepcopy(value, memo)
