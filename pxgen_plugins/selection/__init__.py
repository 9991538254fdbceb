"""Representatives: k of n rows, picked by a selector; one file per selector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pxgen_plugins.selection.base import REGISTRY as REGISTRY
from pxgen_plugins.selection.base import (
    Selection,
    Selector,
    default_space,
    register,
    starts_lowest,
)

if TYPE_CHECKING:
    from pxgen_plugins.selection.center import k_center
    from pxgen_plugins.selection.dispersion import k_dispersion
    from pxgen_plugins.selection.lowest import top
    from pxgen_plugins.selection.means import k_means
    from pxgen_plugins.selection.medoids import k_medoids

get = REGISTRY.get
names = REGISTRY.names

__all__ = [
    "Selection",
    "Selector",
    "default_space",
    "get",
    "k_center",
    "k_dispersion",
    "k_means",
    "k_medoids",
    "names",
    "register",
    "starts_lowest",
    "top",
]


def __getattr__(name: str) -> Any:
    return REGISTRY.lookup_class(name, __name__)
