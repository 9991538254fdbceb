"""Representatives: k of n rows, picked by a selector; one file per selector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pxgen_plugins.lazy import attach
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
    from pxgen_plugins.selection.sharded import coreset_k_center, sharded_k_center

get = REGISTRY.get
names = REGISTRY.names

__all__ = [
    "Selection",
    "Selector",
    "coreset_k_center",
    "default_space",
    "get",
    "k_center",
    "k_dispersion",
    "k_means",
    "k_medoids",
    "names",
    "register",
    "sharded_k_center",
    "starts_lowest",
    "top",
]

_OVER_SHARDS = {"coreset_k_center": "sharded", "sharded_k_center": "sharded"}
_over_shards, _ = attach(__name__, _OVER_SHARDS)


def __getattr__(name: str) -> Any:
    # They take shards where a selector takes X, so they are not registered.
    return _over_shards(name) if name in _OVER_SHARDS else REGISTRY.lookup_class(name, __name__)
