"""Models as other libraries keep them, recognised and wrapped: one file per kind of source."""

from __future__ import annotations

from pxgen_plugins.models.sources.base import REGISTRY, Source, register, wrap

get = REGISTRY.get
names = REGISTRY.names

__all__ = ["Source", "get", "names", "register", "wrap"]
