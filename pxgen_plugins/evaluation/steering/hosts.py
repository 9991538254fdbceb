"""Who shows the task to a person: rooms above this one register themselves here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pxgen_plugins.utils.registry import Registry

__all__ = ["HOSTS"]

HOSTS: Registry[Callable[..., Any]] = Registry(
    "host", "pxgen_plugins.evaluation.steering.no_modules", "pxgen_plugins.task_hosts"
)
"""Functions ``show(session, **options)`` by name.

A host draws what a :class:`~pxgen_plugins.evaluation.steering.session.TaskSession` says, shows its
consent text first, and calls it for every movement. It may return at once, as a notebook does.
"""
