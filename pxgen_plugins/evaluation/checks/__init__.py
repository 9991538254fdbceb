"""Sanity checks of an explanation, one file each; a new check is one file."""

from __future__ import annotations

from collections.abc import Callable

from pxgen_plugins.evaluation.checks.agreement import Agreement
from pxgen_plugins.evaluation.checks.context import Context
from pxgen_plugins.evaluation.checks.row import STATES, Row
from pxgen_plugins.utils.registry import Registry

__all__ = ["STATES", "Agreement", "Check", "Context", "Row", "get", "names", "register"]

Check = Callable[[Context], list[Row]]
REGISTRY: Registry[Check] = Registry("check", "pxgen_plugins.evaluation.checks")
register = REGISTRY.register
get = REGISTRY.get
names = REGISTRY.names
