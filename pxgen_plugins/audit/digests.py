"""Digests of models and anchors, by which a run knows that it goes on with the same ones."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from pxgen_plugins import __version__
from pxgen_plugins.anchors.folder import open_inside
from pxgen_plugins.anchors.listing import listed
from pxgen_plugins.audit.config import Config

__all__ = ["anchors_digest", "model_digest", "path_digest"]

_CHUNK = 2**20


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


def model_digest(config: Config, model: Any) -> str:
    """Return a digest of the model: its settings, its files, and the weights of its modules."""
    given: Mapping[str, Any] = config["model"]
    files = [given["weights"], given["diffusers"], given["pythae"], *(given["onnx"] or {}).values()]
    parts: dict[str, Any] = {"settings": _named(given)}
    parts["files"] = [path_digest(file) for file in files if file is not None]
    weights = hashlib.sha256()
    for module in getattr(model, "modules", ()):
        for name, tensor in sorted(module.state_dict().items()):
            weights.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            weights.update(tensor.detach().cpu().contiguous().flatten().float().numpy().tobytes())
    return _of(parts | {"weights": weights.hexdigest()})


def anchors_digest(config: Config, name: str) -> str:
    """Return a digest of the anchors or the reference data: settings and content."""
    given = config[name]
    if given is None:
        return _of(None)
    content: Any = __version__
    if given["path"] is not None:
        path = Path(given["path"])
        content = path_digest(path)
        if path.suffix.lower() == ".csv":
            content = [content, _listed(path)]
    return _of({"settings": _named(given), "content": content})


def _listed(path: Path) -> dict[str, str | None]:
    """Return the digests of the images that a CSV file lists, None of those that are not there."""
    root = os.path.dirname(os.path.realpath(path))
    names = listed(path, "pxgen audit").get("path", [])
    return {name: _inside(root, name) for name in names}


def _inside(root: str, name: str) -> str | None:
    try:
        with os.fdopen(open_inside(root, name), "rb") as file:
            return _stream_digest(file)
    except (OSError, ValueError):  # a bad anchor, with a reason of its own
        return None


def _named(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without folders, which may differ between machines."""
    paths = {"path", "weights", "diffusers", "pythae", "onnx"}
    return {key: value for key, value in given.items() if key not in paths}


def _of(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, allow_nan=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
