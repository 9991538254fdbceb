"""Digests of the source files that a model and the parts of an audit are made of."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pxgen_plugins.utils.files import file_checksum

__all__ = ["code_digests", "homes_of"]

_VERSIONED = frozenset({"pxgen_plugins", "torch", *sys.stdlib_module_names})
_INSTALLED = frozenset({"site-packages", "dist-packages"})


def homes_of(parts: Iterable[Any]) -> set[str]:
    """Return the names of the modules that define functions, classes, or classes of objects."""
    named = (part if hasattr(part, "__qualname__") else type(part) for part in parts)
    return {str(part.__module__) for part in named}


def code_digests(names: Iterable[str]) -> dict[str, str]:
    """Return the digests of the source files of modules, by name.

    A module in a package of the user's own brings every source file of the package, because it may
    import any of them; an installed one, whose version is stored too, its own file. Modules of
    Python, torch and this package are left out.

    Args:
        names: Full names of modules that are imported; what has no file is passed over.

    Raises:
        OSError: When a file cannot be read.
    """
    digests: dict[str, str] = {}
    for name in sorted(names):
        top = name.partition(".")[0]
        file = getattr(sys.modules.get(name), "__file__", None)
        if top in _VERSIONED or not file or not os.path.isfile(file):
            continue
        folders = list(getattr(sys.modules.get(top), "__path__", ()))
        if _INSTALLED.isdisjoint(Path(file).parts) and folders:
            for label, source in _sources(top, folders):
                digests[label] = file_checksum(source)
        else:
            digests[name] = file_checksum(file)
    return digests


def _sources(top: str, folders: list[str]) -> Iterator[tuple[str, Path]]:
    for folder in folders:
        for path in sorted(Path(folder).rglob("*.py")):
            if path.is_file():
                yield f"{top}/{path.relative_to(folder).as_posix()}", path
