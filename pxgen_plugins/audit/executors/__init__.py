"""Executors: how the shards of an audit are distributed. One file each."""

from __future__ import annotations

from pxgen_plugins.audit.executors.base import REGISTRY, Executor, WorkerLostError, register

get = REGISTRY.get
names = REGISTRY.names

__all__ = ["Executor", "WorkerLostError", "get", "names", "register"]
