"""Executors: who scores the shards of an audit. One file each."""

from __future__ import annotations

from pxgen_plugins.audit.executors.base import REGISTRY, Executor, WorkerLostError

register = REGISTRY.register
get = REGISTRY.get
names = REGISTRY.names

__all__ = ["Executor", "WorkerLostError", "get", "names", "register"]
