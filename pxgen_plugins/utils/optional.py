"""Optional packages: imported when used, with one clear message when they cannot be."""

from __future__ import annotations

import importlib
from types import ModuleType

from pxgen_plugins.utils.errors import MissingDependencyError

__all__ = ["load"]


def load(module: str, extra: str) -> ModuleType:
    """Return an imported optional module.

    Args:
        module: Its full name, as in ``"captum.attr"``.
        extra: The extra of this package that installs it.

    Raises:
        MissingDependencyError: When it does not import, for whatever reason.

    Example:
        >>> load("json", "none").__name__
        'json'
    """
    try:
        return importlib.import_module(module)
    except Exception as error:  # a half-broken installation raises more than ImportError
        name = module.partition(".")[0]
        raise MissingDependencyError(
            name,
            "installed and importable",
            f"{type(error).__name__}: {str(error)[:200]}",
            f"Run: pip install 'pxgen-plugins[{extra}]'",
        ) from error
