"""What a check is, and the registry of checks."""

from __future__ import annotations

from collections.abc import Callable

from pxgen_plugins.evaluation.checks.context import Context
from pxgen_plugins.evaluation.checks.row import Row
from pxgen_plugins.utils.registry import Registry

__all__ = ["REGISTRY", "Check", "register"]

Check = Callable[[Context], list[Row]]
"""A function from a fitted explainer and its anchors to rows of the scorecard."""

REGISTRY: Registry[Check] = Registry("check", "pxgen_plugins.evaluation.checks")
register = REGISTRY.register
