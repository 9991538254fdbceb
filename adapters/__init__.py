"""Explanation methods of other libraries, each behind Alibi's interface: a folder per evidence.

This folder is installed as ``pxgen_plugins.adapters``; import it by that name. Every module in it
registers itself when the registry is first read, as do the entry points of the group
``pxgen_plugins.adapters``. An adapter imports its library when it is used, not when it is loaded.

Adapters are imported by class name, whichever folder they are in::

    from pxgen_plugins.adapters import LatentSHAP, ProtoDash
"""

from __future__ import annotations

from typing import Any

from pxgen_plugins.adapters.base import REGISTRY, register

get = REGISTRY.get
names = REGISTRY.names

__all__ = ["get", "names", "register"]


def __getattr__(name: str) -> Any:
    return REGISTRY.lookup_class(name, __name__)


def __dir__() -> list[str]:
    classes = (REGISTRY.get(name).__name__ for name in REGISTRY.names())
    return sorted({*globals(), *classes})
