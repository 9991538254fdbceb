"""Whose classes a process uses: Alibi's or ours. Decided once, when they are first needed.

Alibi takes 4 to 7 seconds to import, so nothing is imported before. The command ``pxgen`` never
hands an explainer to Alibi and sets ``PXGEN_WITHOUT_ALIBI=1``, which its worker processes inherit.
"""

from __future__ import annotations

import importlib
import json
import os
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from pxgen_plugins.host import exceptions, interfaces, json_encoder
from pxgen_plugins.utils.errors import warn

__all__ = ["WITHOUT_ALIBI", "alibi_version", "classes"]

WITHOUT_ALIBI = "PXGEN_WITHOUT_ALIBI"
"""Environment variable: any value but "" and "0" means our classes, installed Alibi or not."""

_HOMES = {
    "Explainer": ("alibi.api.interfaces", interfaces),
    "Explanation": ("alibi.api.interfaces", interfaces),
    "FitMixin": ("alibi.api.interfaces", interfaces),
    "NotFittedError": ("alibi.exceptions", exceptions),
    "NumpyEncoder": ("alibi.saving", json_encoder),
    "PredictorCallError": ("alibi.exceptions", exceptions),
    "PredictorReturnTypeError": ("alibi.exceptions", exceptions),
}

_lock = threading.RLock()
_chosen: dict[str, Any] = {}
_version: str | None = None


def classes() -> Mapping[str, Any]:
    """Return the classes of this process by name; the first call decides, the others repeat it.

    Warns when Alibi is installed and does not work; ours then take its place.

    Example:
        >>> sorted(classes()) == sorted(_HOMES)
        True
    """
    global _version
    with _lock:
        if not _chosen:
            alibis = {} if os.environ.get(WITHOUT_ALIBI, "0") not in {"", "0"} else _of_alibi()
            ours = {name: getattr(module, name) for name, (_, module) in _HOMES.items()}
            if alibis:
                _version = str(importlib.import_module("alibi").__version__)
            _chosen.update(alibis or ours)
        return _chosen


def alibi_version() -> str | None:
    """Return the version of the Alibi whose classes are used; None where they are ours."""
    classes()
    return _version


def _of_alibi() -> dict[str, Any]:
    """Return Alibi's classes; none when it is absent or does not work."""
    try:
        found = {
            name: getattr(importlib.import_module(home), name) for name, (home, _) in _HOMES.items()
        }
        # under numpy 2 Alibi imports, but can write no explanation with an array in it
        json.dumps(np.zeros(1), cls=found["NumpyEncoder"])
    except Exception as error:  # its own needs missing, it fails with more than ImportError
        if isinstance(error, ModuleNotFoundError) and error.name == "alibi":
            return {}
        warn(
            f"PXGen: the installed alibi does not work ({type(error).__name__}: "
            f"{str(error)[:200]}) and is left out; mend it with "
            "pip install 'alibi>=0.9.4,<0.10' 'numpy<2' click, or uninstall it"
        )
        return {}
    return found
