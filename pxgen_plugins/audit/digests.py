"""Digests of models and anchors: by them a run is continued only with the same ones."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

import torch

from pxgen_plugins import __version__
from pxgen_plugins.anchors.folder import open_inside
from pxgen_plugins.anchors.image_csv import image_columns
from pxgen_plugins.anchors.tables import Columns
from pxgen_plugins.audit.settings import Config
from pxgen_plugins.audit.settings_model import AnchorSettings, ModelSettings

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
        return _digest({p.relative_to(root).as_posix(): path_digest(p) for p in files})
    with root.open("rb") as file:
        return _stream_digest(file)


def _stream_digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def versions() -> dict[str, str | None]:
    """Return the versions of this package and of those on which values may depend."""
    return {"pxgen-plugins": __version__, **{name: _version(name) for name in _PACKAGES}}


def plan_digest(digests: Mapping[str, str]) -> str:
    """Return one digest for all those of a plan, by which shards know theirs."""
    return _digest(dict(digests))


def model_digest(config: Config, model: Any) -> str:
    """Return a digest of the model: settings, files, weights, and the code that it is made of.

    The code is that of the factory's module and of those that define the model's torch modules;
    what these import is not looked into.
    """
    settings: Mapping[str, Any] = config["model"]
    files: list[Any] = []
    for name in ModelSettings.path_keys():
        files += settings[name].values() if isinstance(settings[name], dict) else [settings[name]]
    parts: dict[str, Any] = {"settings": _without(settings, ModelSettings.path_keys())}
    parts["files"] = [path_digest(file) for file in files if file is not None]
    weights = hashlib.sha256()
    modules = list(getattr(model, "modules", ()))
    for module in modules:
        for name, tensor in sorted(module.state_dict().items()):
            weights.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            weights.update(tensor.detach().cpu().contiguous().reshape(-1).view(_BYTES).numpy())
    parts["code"] = _code([inner for module in modules for inner in module.modules()], settings)
    return _digest(parts | {"weights": weights.hexdigest()})


def _code(modules: list[Any], settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the digests of the source files, by name of the module."""
    names = {type(module).__module__ for module in modules}
    if settings["factory"] is not None:
        names.add(str(settings["factory"]).partition(":")[0])
    digests = {}
    for name in sorted(names):
        file = getattr(sys.modules.get(name), "__file__", None) or ""
        foreign = name.partition(".")[0] not in {"torch", "pxgen_plugins"}
        if foreign and file.endswith(".py") and Path(file).is_file():
            digests[name] = path_digest(file)
    return digests


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def anchors_digest(config: Config, name: str) -> str:
    """Return a digest of the anchors or the reference data: settings and content."""
    settings = config[name]
    if settings is None:
        return _digest(None)
    content: Any = None  # shipped data is checked when it is loaded
    if settings["path"] is not None:
        path = Path(settings["path"])
        content = path_digest(path)
        if path.suffix.lower() == ".csv":
            content = [content, _image_digests(path, settings["columns"])]
    return _digest({"settings": _without(settings, AnchorSettings.path_keys()), "content": content})


def _image_digests(path: Path, columns: Any) -> dict[str, str | None]:
    """Return the digests of the images that a CSV file lists, None of those that are not there."""
    root = os.path.dirname(os.path.realpath(path))
    names = image_columns(path, Columns.of(columns, None, None)).cells.get("path", [])
    return {name: _digest_inside(root, name) for name in names}


def _digest_inside(root: str, name: str) -> str | None:
    try:
        with os.fdopen(open_inside(root, name), "rb") as file:
            return _stream_digest(file)
    except (OSError, ValueError):  # a bad anchor, with a reason of its own
        return None


def _without(values: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Return settings without their paths, which may differ between machines."""
    return {key: value for key, value in values.items() if key not in keys}


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, allow_nan=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
