"""Optional packages: imported when used, with one clear message when they cannot be."""

from __future__ import annotations

import importlib
import shlex
from importlib import metadata
from types import ModuleType

from pxgen_plugins.utils.errors import MissingDependencyError

__all__ = ["install_line", "load"]

_DISTRIBUTION = "pxgen-plugins"


def load(module: str, extra: str) -> ModuleType:
    """Return an imported optional module.

    Args:
        module: Its full name, as in ``"captum.attr"``.
        extra: The extra of this package that installs it; for what the base install brings, the
            package.

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
            f"Run: {install_line(extra)}",
        ) from error


def install_line(extra: str) -> str:
    """Return the command that installs what an extra of this package asks for.

    It names the packages of the extra and not the extra: this package is on no index, so that
    ``pip install 'pxgen-plugins[...]'`` finds nothing.

    Args:
        extra: A name under ``[project.optional-dependencies]``, or a package of the base install.

    Example:
        >>> install_line("captum")
        "pip install 'captum>=0.9'"
        >>> install_line("pyyaml")
        'pip install pyyaml'
    """
    try:
        lines = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # on the path, but not installed
        lines = []
    parts = [line.partition(";") for line in lines]
    names = [name.strip() for name, _, marker in parts if _is_of(extra, marker)]
    return shlex.join(["pip", "install", *(names or [extra if lines else f".[{extra}]"])])


def _is_of(extra: str, marker: str) -> bool:
    return marker.replace("'", '"').replace(" ", "").endswith(f'extra=="{extra}"')
