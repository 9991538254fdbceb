"""Sanity checks of an explanation, one file each; a new check is one file."""

from __future__ import annotations

from pxgen_plugins.evaluation.checks.agreement import Agreement
from pxgen_plugins.evaluation.checks.base import REGISTRY as REGISTRY
from pxgen_plugins.evaluation.checks.base import Check, register
from pxgen_plugins.evaluation.checks.context import Context
from pxgen_plugins.evaluation.checks.row import STATES, Row

__all__ = ["STATES", "Agreement", "Check", "Context", "Row", "get", "names", "register"]

get = REGISTRY.get
names = REGISTRY.names
