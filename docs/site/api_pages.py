"""A page for every public name, and an index of them for every public package."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

from docstrings import escape, process

__all__ = ["MODULES", "PACKAGES", "public_names", "write_pages"]

PACKAGES = {  # what a user imports from, and what for
    "pxgen_plugins": "explain, compare, describe",
    "pxgen_plugins.models": "what is explained: one class per family, and `wrap`",
    "pxgen_plugins.criteria": "what an anchor's closeness is measured by",
    "pxgen_plugins.thresholds": "which values count as close",
    "pxgen_plugins.selection": "which members of a group are shown",
    "pxgen_plugins.result": "what an explanation holds, as typed arrays, JSON and tables",
    "pxgen_plugins.groups": "groups, their shares and intervals, from numbers alone",
    "pxgen_plugins.plots": "figures",
    "pxgen_plugins.anchors": "what anchors can be read from",
    "pxgen_plugins.adapters": "methods of other toolkits, on the same model and anchors",
    "pxgen_plugins.comparison": "several explainers or models, one table and one figure",
    "pxgen_plugins.evaluation": "is the explanation true? Checks, distances, experiments",
    "pxgen_plugins.concepts": "from instances to masks",
    "pxgen_plugins.painting": "units switched where a brush went",
    "pxgen_plugins.editing": "a word of a prompt that is read as another one",
    "pxgen_plugins.describers": "what looks at pictures and answers in words",
    "pxgen_plugins.explorer": "the page with sliders",
    "pxgen_plugins.audit": "audits from Python",
    "pxgen_plugins.datasets": "the shipped images and models",
    "pxgen_plugins.testing": "the conformance suites, for parts of your own",
}
MODULES = {  # public modules whose names no package repeats
    "pxgen_plugins.adapters.directions.base": "what direction adapters take and return alike",
    "pxgen_plugins.adapters.functions": "a criterion or a group as a plain function",
    "pxgen_plugins.adapters.margins": "how far inside a group an instance is, as a target",
    "pxgen_plugins.adapters.units.group_effect": "a group without the units that fire for it",
    "pxgen_plugins.models.inversion": "how a GAN's code is searched for",
}
# Their classes share a base class with a page of its own: repeated on each, it would hide the rest.
ALIKE = {"pxgen_plugins.criteria", "pxgen_plugins.models", "pxgen_plugins.thresholds"}
# Torch's and Python's own members are documented by torch and by Python.
FOREIGN = "Module, dict, tuple, object, BaseModel, Protocol"


def public_names(package: str) -> list[str]:
    """Return the public names of a package: its ``__all__``, and the adapters by their classes."""
    module = importlib.import_module(package)
    names = set(module.__all__)
    if package == "pxgen_plugins.adapters":
        from pxgen_plugins.adapters.base import REGISTRY

        names |= {REGISTRY.get(name).__name__ for name in REGISTRY.names()}
    return sorted(names - {"__version__"}, key=str.lower)


def write_pages(folder: Path) -> None:
    """Write the pages of the API reference into a folder, ``index.rst`` first."""
    folder.mkdir(parents=True)
    lines = [_title("API reference"), "Every public name, by the package it is imported from.\n"]
    documented: dict[int, Any] = {}  # by identity, and kept, so that no identity comes twice
    for package, purpose in {**PACKAGES, **MODULES}.items():
        lines.append(f"- :doc:`{package} <{package}>`: {purpose.replace('`', '``')}")
        _write_package(folder, package, documented)
    lines.append("\n.. toctree::\n   :hidden:\n")
    lines += [f"   {package}" for package in {**PACKAGES, **MODULES}]
    (folder / "index.rst").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_package(folder: Path, package: str, documented: dict[int, Any]) -> None:
    module = importlib.import_module(package)
    names = public_names(package)
    about = (inspect.getdoc(module) or "").splitlines()
    process(None, "module", package, module, None, about)
    lines = [_title(package), *about, ""]
    lines += [".. list-table::\n   :widths: 30 70\n"]
    for name in names:
        lines.append(f"   * - :doc:`{name} <{package}.{name}>`\n     - {_summary(module, name)}")
        _write_name(folder, module, name, documented)
    (folder / f"{package}.rst").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_name(folder: Path, module: ModuleType, name: str, documented: dict[int, Any]) -> None:
    full = f"{module.__name__}.{name}"
    item = getattr(module, name)
    package = module.__name__
    # Hundreds of entries in the menu of every page would make each page large and the build slow.
    lines = [":orphan:\n", _title(name), f"In :doc:`{package} <{package}>`.\n"]
    if inspect.isclass(item):
        lines.append(f".. autoclass:: {full}")
        if package not in ALIKE:
            lines.append(f"   :inherited-members: {FOREIGN}")
    elif callable(item):
        lines.append(f".. autofunction:: {full}")
    else:
        lines += [f".. py:data:: {full}", f"   :value: {_short(item)}"]
    if id(item) in documented:  # two packages export it: one page is the index's
        lines.append("   :no-index:")
    documented[id(item)] = item
    (folder / f"{full}.rst").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _title(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}..."


def _summary(module: ModuleType, name: str) -> str:
    """Return the first sentence of a docstring, on one line."""
    item = getattr(module, name)
    if not (inspect.isclass(item) or callable(item)):
        return "A constant."
    paragraph = (inspect.getdoc(item) or "").split("\n\n")[0]
    return escape(" ".join(paragraph.split()))
