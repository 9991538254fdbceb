"""Digests of models and anchors: by them a run is continued only with the same ones."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pxgen_plugins import __version__
from pxgen_plugins.anchors.folder import scan
from pxgen_plugins.anchors.image_csv import image_columns
from pxgen_plugins.anchors.tables import Columns
from pxgen_plugins.audit.contents import content_digest
from pxgen_plugins.audit.local_copy import local_copy
from pxgen_plugins.audit.settings import Config
from pxgen_plugins.audit.settings_tables import AnchorSettings, ModelSettings
from pxgen_plugins.audit.source_code import code_digests, homes_of
from pxgen_plugins.explainer import PXGen
from pxgen_plugins.models.files import files_behind
from pxgen_plugins.utils.errors import AnchorError, ModelError, short_repr
from pxgen_plugins.utils.files import file_checksum, open_inside, stream_checksum

__all__ = [
    "anchors_digest",
    "files_digest",
    "model_digest",
    "parts_digest",
    "path_digest",
    "plan_digest",
    "sources_digest",
    "versions",
]

_PACKAGES = (
    "alibi", "diffusers", "numpy", "onnxruntime", "pillow", "pyarrow", "pythae", "safetensors",
    "scikit-learn", "scipy", "tokenizers", "torch", "transformers", "zuko",
)  # fmt: skip

_LONGEST_PATH = 4096
_MODEL_FILES = (".safetensors", ".bin", ".pt", ".pth", ".onnx", "config.json", "tokenizer.json",
                "model_index.json")  # fmt: skip


def path_digest(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file; of a folder, that of its files' names and digests, sorted.

    Files behind links count by their content.

    Raises:
        OSError: When a file cannot be read, or is no regular one.
    """
    root = Path(path)
    if root.is_dir():
        return _digest({name: path_digest(file) for name, file in files_behind(root).items()})
    return file_checksum(root)


def versions() -> dict[str, str | None]:
    """Return the versions of this package and of those on which values may depend."""
    return {"pxgen-plugins": __version__, **{name: _version(name) for name in _PACKAGES}}


def plan_digest(digests: Mapping[str, str]) -> str:
    """Return one digest for all those of a plan, by which shards know theirs."""
    return _digest(dict(digests))


def files_digest(config: Config) -> str:
    """Return a digest of the files that the model's settings name, and of those behind them.

    They are the weights, the ONNX files with the files that hold their weights, every file of a
    folder, all shards of weights; and what an argument of the factory names: a file, or a folder
    with a model in it. Taken before the model is built, it is that of what is read then.

    Raises:
        ModelError: When a file cannot be read, or is no regular one.
    """
    settings: Mapping[str, Any] = config["model"]
    found: dict[str, Any] = {}
    for key in ModelSettings.path_keys():
        value = settings[key]
        named = value if isinstance(value, dict) else {"": value}
        for role, path in named.items():
            if path is not None and os.path.lexists(path):  # else it is refused in words of its own
                found[f"{key}.{role}"] = _digests_behind(f"model.{key}", Path(path))
    for place, text in _texts(config.arguments(), "arguments"):
        path = Path(text)
        if path.is_file() or _is_model_folder(path):
            found[place] = _digests_behind("model.arguments", path)
    return _digest(found)


def _digests_behind(parameter: str, path: Path) -> dict[str, str | None]:
    """Return the digests of the files that a path stands for; None of those that are not there."""
    try:
        files = files_behind(path)
        return {
            name: path_digest(file) if file == path or os.path.exists(file) else None
            for name, file in files.items()
        }
    except OSError as error:
        hint = "Check the path and its permissions."
        got = f"{short_repr(str(error.filename or path))} ({error.strerror})"
        raise ModelError(parameter, "regular files that can be read", got, hint) from error


def _texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield the texts in nested settings that may be paths, by place."""
    if isinstance(value, str) and 0 < len(value) < _LONGEST_PATH and "\0" not in value:
        yield place, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, f"{place}.{key}")
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _texts(inner, f"{place}.{at}")


def _is_model_folder(path: Path) -> bool:
    try:
        return any(name.endswith(_MODEL_FILES) for name in os.listdir(path))
    except OSError:
        return False


def sources_digest(config: Config, model: Any, files: str | None = None) -> str:
    """Return a digest of the files and of the code that the model is made of.

    The code is that of the factory and of the classes of the model's torch modules, see
    :func:`~pxgen_plugins.audit.source_code.code_digests`.

    Args:
        config: The settings.
        model: The model.
        files: :func:`files_digest` from before it was built; None takes it now.

    Raises:
        ModelError: When a file cannot be read.
    """
    names = homes_of(m for one in getattr(model, "modules", ()) for m in one.modules())
    if config["model"]["factory"] is not None:
        names.add(str(config["model"]["factory"]).partition(":")[0])
    files = files_digest(config) if files is None else files
    return _digest({"files": files, "code": code_digests(names)})


def model_digest(config: Config, model: Any, sources: str) -> str:
    """Return a digest of the model: settings, sources, and what it holds in memory.

    Args:
        config: The settings.
        model: The model, right after it was built.
        sources: :func:`sources_digest` of it.
    """
    settings = _without(config["model"], ModelSettings.path_keys())
    parts = {"settings": settings, "sources": sources, "contents": content_digest(model)}
    return _digest(parts)


def parts_digest(explainer: PXGen) -> str:
    """Return a digest of the code of criteria, threshold rule and selectors of the user's own."""
    parts = [*explainer.criteria, explainer.threshold, *(one.selector for one in explainer.choices)]
    return _digest(code_digests(homes_of(parts)))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def anchors_digest(config: Config, name: str) -> str:
    """Return a digest of a set that the settings name, as ``"anchors"``: settings and content.

    Raises:
        AnchorError: When they cannot be read.
    """
    settings = config.table(name)
    if settings is None:
        return _digest(None)
    content: Any = None  # shipped data is checked when it is loaded
    if settings["path"] is not None:
        path = local_copy(settings["path"], f"{name}.path")
        if os.path.lexists(path):
            content = _anchor_content(Path(path), name, settings["columns"])
    return _digest({"settings": _without(settings, AnchorSettings.path_keys()), "content": content})


def _anchor_content(path: Path, name: str, columns: Any) -> Any:
    try:
        if path.is_dir():
            root = os.path.realpath(path)
            files, others = scan(root, ("",))
            return [{one: _digest_inside(root, one) for one in files}, others]
        content: Any = path_digest(path)
    except OSError as error:
        hint = "Check the path and its permissions."
        got = f"{short_repr(str(path))} ({error.strerror})"
        allowed = "a regular file or a folder that can be read"
        raise AnchorError(f"{name}.path", allowed, got, hint) from error
    return [content, _image_digests(path, columns)] if path.suffix.lower() == ".csv" else content


def _image_digests(path: Path, columns: Any) -> dict[str, str | None]:
    """Return the digests of the images that a CSV file lists, None of those that are not there."""
    root = os.path.dirname(os.path.realpath(path))
    names = image_columns(path, Columns.of(columns, None, None)).cells.get("path", [])
    return {name: _digest_inside(root, name) for name in names}


def _digest_inside(root: str, name: str) -> str | None:
    try:
        with os.fdopen(open_inside(root, name), "rb") as file:
            return stream_checksum(file)
    except (OSError, ValueError):  # a bad anchor, with a reason of its own
        return None


def _without(values: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Return settings without their paths, which may differ between machines."""
    return {key: value for key, value in values.items() if key not in keys}


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, allow_nan=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
