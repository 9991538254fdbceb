"""Who shows the task to a person: rooms above this one register themselves here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pxgen_plugins.utils.registry import Registry

__all__ = ["HOSTS"]

HOSTS: Registry[Callable[..., Any]] = Registry("host", "pxgen_plugins.task_hosts")
"""Functions ``show(session, **options)`` by name.

A host draws what a :class:`~pxgen_plugins.evaluation.steering.session.TaskSession` says, shows the
task's consent text first, calls the session for every movement, and closes it at the end. It may
return at once, as in a notebook. Hosts of other packages are entry points of this group.
"""
