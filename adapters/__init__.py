"""Explanation methods of other libraries, each behind Alibi's interface: a folder per evidence.

This folder is installed as ``pxgen_plugins.adapters``; import it by that name. Every module in it
registers itself when the registry is first read, as do the entry points of the group
``pxgen_plugins.adapters``. An adapter imports its library when it is used, not when it is loaded.

Adapters are imported by class name, whichever folder they are in::

    from pxgen_plugins.adapters import LatentSHAP, ProtoDash
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pxgen_plugins.adapters.base import REGISTRY, register

    get = REGISTRY.get
    names = REGISTRY.names

__all__ = ["get", "names", "register"]


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # on first use, so that importing the package does not import torch
    from pxgen_plugins.adapters.base import REGISTRY

    return getattr(REGISTRY, name) if name in __all__ else REGISTRY.lookup_class(name, __name__)


def __dir__() -> list[str]:
    from pxgen_plugins.adapters.base import REGISTRY

    classes = (REGISTRY.get(name).__name__ for name in REGISTRY.names())
    return sorted({*globals(), *__all__, *classes})
