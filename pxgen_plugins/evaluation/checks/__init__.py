"""Sanity checks of an explanation, one file each; a new check is one file."""

from __future__ import annotations

from collections.abc import Callable

from pxgen_plugins.evaluation.checks.context import Context, Row
from pxgen_plugins.registry import Registry

__all__ = ["Check", "Context", "Row", "get", "names", "register"]

Check = Callable[[Context], list[Row]]
REGISTRY: Registry[Check] = Registry("check", "pxgen_plugins.evaluation.checks")
register = REGISTRY.register
get = REGISTRY.get
names = REGISTRY.names
