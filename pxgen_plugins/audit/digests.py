"""Digests of models and anchors, by which a run knows that it goes on with the same ones."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

import torch

from pxgen_plugins import __version__
from pxgen_plugins.anchors.folder import open_inside
from pxgen_plugins.anchors.image_csv import image_columns
from pxgen_plugins.audit.settings import Config
from pxgen_plugins.audit.settings_schema import SPEC

__all__ = ["anchors_digest", "model_digest", "path_digest", "plan_digest", "versions"]

_PACKAGES = (
    "alibi", "diffusers", "numpy", "onnxruntime", "pillow", "pyarrow", "pythae", "safetensors",
    "scikit-learn", "scipy", "torch",
)  # fmt: skip

_CHUNK = 2**20
_BYTES = torch.uint8


def path_digest(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file; of a folder, that of its files' names and digests, sorted.

    Raises:
        OSError: When a file cannot be read.
    """
    root = Path(path)
    if root.is_dir():
        files = sorted(p for p in root.rglob("*") if p.is_file() and not p.is_symlink())
        listed = {p.relative_to(root).as_posix(): path_digest(p) for p in files}
        return _of(listed)
    with root.open("rb") as file:
        return _stream_digest(file)


def _stream_digest(file: IO[bytes]) -> str:
    found = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        found.update(chunk)
    return found.hexdigest()


def versions() -> dict[str, str | None]:
    """Return the versions of this package and of those on which values may depend."""
    return {"pxgen-plugins": __version__, **{name: _version(name) for name in _PACKAGES}}


def plan_digest(digests: Mapping[str, str]) -> str:
    """Return one digest for all those of a plan, by which shards know theirs."""
    return _of(dict(digests))


def model_digest(config: Config, model: Any) -> str:
    """Return a digest of the model: settings, files, weights, and the code that it is made of.

    The code is that of the factory's module and of those that define the model's torch modules;
    what these import is not looked into.
    """
    given: Mapping[str, Any] = config["model"]
    files: list[Any] = [given[name] for name in _files("path")]
    for name in _files("paths"):
        files += (given[name] or {}).values()
    parts: dict[str, Any] = {"settings": _named(given)}
    parts["files"] = [path_digest(file) for file in files if file is not None]
    weights = hashlib.sha256()
    modules = list(getattr(model, "modules", ()))
    for module in modules:
        for name, tensor in sorted(module.state_dict().items()):
            weights.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            weights.update(tensor.detach().cpu().contiguous().reshape(-1).view(_BYTES).numpy())
    parts["code"] = _code([inner for module in modules for inner in module.modules()], given)
    return _of(parts | {"weights": weights.hexdigest()})


def _code(modules: list[Any], given: Mapping[str, Any]) -> dict[str, str]:
    """Return the digests of the source files, by name of the module."""
    names = {type(module).__module__ for module in modules}
    if given["factory"] is not None:
        names.add(str(given["factory"]).partition(":")[0])
    found = {}
    for name in sorted(names):
        file = getattr(sys.modules.get(name), "__file__", None) or ""
        theirs = name.partition(".")[0] not in {"torch", "pxgen_plugins"}
        if theirs and file.endswith(".py") and Path(file).is_file():
            found[name] = path_digest(file)
    return found


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def anchors_digest(config: Config, name: str) -> str:
    """Return a digest of the anchors or the reference data: settings and content."""
    given = config[name]
    if given is None:
        return _of(None)
    content: Any = None  # shipped data is checked when it is loaded
    if given["path"] is not None:
        path = Path(given["path"])
        content = path_digest(path)
        if path.suffix.lower() == ".csv":
            content = [content, _listed(path)]
    return _of({"settings": _named(given), "content": content})


def _listed(path: Path) -> dict[str, str | None]:
    """Return the digests of the images that a CSV file lists, None of those that are not there."""
    root = os.path.dirname(os.path.realpath(path))
    names = image_columns(path).get("path", [])
    return {name: _inside(root, name) for name in names}


def _inside(root: str, name: str) -> str | None:
    try:
        with os.fdopen(open_inside(root, name), "rb") as file:
            return _stream_digest(file)
    except (OSError, ValueError):  # a bad anchor, with a reason of its own
        return None


def _files(kind: str) -> list[str]:
    """Return the settings of a model that are of a kind: a path, or paths by role."""
    return [name for name, key in SPEC["model"].keys.items() if key.kind == kind]


def _named(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without folders, which may differ between machines."""
    paths = {"path", *_files("path"), *_files("paths")}
    return {key: value for key, value in given.items() if key not in paths}


def _of(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, allow_nan=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
