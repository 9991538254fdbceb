"""Attributes that are computed when they are first read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

__all__ = ["lazy_property"]

T = TypeVar("T")


class lazy_property(Generic[T]):  # a decorator, named as one
    """A property that is computed once, as ``functools.cached_property``, but without its lock.

    Before Python 3.12 that lock is one for all instances and is held while the value is computed:
    a thread that waits inside for another one would keep every thread out, that one included.

    Example:
        >>> class Box:
        ...     @lazy_property
        ...     def size(self): return print("measured") or 3
        >>> box = Box()
        >>> box.size + box.size
        measured
        6
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> lazy_property[T]: ...

    @overload
    def __get__(self, instance: Any, owner: type) -> T: ...

    def __get__(self, instance: Any, owner: type) -> lazy_property[T] | T:
        if instance is None:
            return self
        # without __set__ the value in the instance is what is read from now on
        value = instance.__dict__[self.name] = self.compute(instance)
        return value
