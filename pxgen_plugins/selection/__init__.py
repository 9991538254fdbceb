"""Representatives: k of n rows, picked by a selector; one file per selector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pxgen_plugins.selection.base import REGISTRY as REGISTRY
from pxgen_plugins.selection.base import (
    Properties,
    Selection,
    Selector,
    properties,
    register,
)
from pxgen_plugins.utils.errors import caller

if TYPE_CHECKING:
    from pxgen_plugins.selection.center import k_center
    from pxgen_plugins.selection.dispersion import k_dispersion
    from pxgen_plugins.selection.lowest import top
    from pxgen_plugins.selection.means import k_means
    from pxgen_plugins.selection.medoids import k_medoids

get = caller("selection.get", fallback=True)(REGISTRY.get)
names = REGISTRY.names

__all__ = [
    "Properties",
    "Selection",
    "Selector",
    "get",
    "k_center",
    "k_dispersion",
    "k_means",
    "k_medoids",
    "names",
    "properties",
    "register",
    "top",
]


def __getattr__(name: str) -> Any:
    return REGISTRY.lookup_class(name, __name__)
