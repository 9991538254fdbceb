"""The files that a path of a model stands for: what its library reads when it is given the path."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from pxgen_plugins.utils.errors import ModelError, short_repr
from pxgen_plugins.utils.files import read_regular
from pxgen_plugins.utils.json_files import read_json
from pxgen_plugins.utils.limits import ONNX_FILE

__all__ = ["check_folder", "files_behind"]

_PART = re.compile(r"(.+)-\d{5}-of-(\d{5})(\.\w+)")
_INDEX = ".index.json"

# Where an ONNX file holds tensors, by message: numbers of fields, and the messages in them.
# Source: onnx.proto of ONNX (IR version 10); field 13 of a tensor names its file.
_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_MOST_LEVELS = 200  # messages inside each other


def files_behind(path: str | os.PathLike[str]) -> dict[str, Path]:
    """Return every file that is read when a library is given ``path``, by its relative name.

    Of a folder these are all files below it, through links too, as in the cache of a model hub; of
    an ONNX file itself and the files that hold its weights; of an index of shards
    (``*.index.json``), or of one shard (``*-00001-of-00002.*``), all shards.

    Raises:
        OSError: When an ONNX file or an index cannot be read.
        ModelError: When an ONNX file is larger than the limit.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as name:
        ...     for i in (1, 2):
        ...         _ = Path(name, f"w-0000{i}-of-00002.safetensors").write_bytes(b"")
        ...     list(files_behind(Path(name, "w-00001-of-00002.safetensors")))
        ['w-00001-of-00002.safetensors', 'w-00002-of-00002.safetensors']
    """
    root = Path(path)
    if root.is_dir():
        return dict(sorted(_below(root)))
    names = {root.name, *_companions(root)}
    return {name: root.parent / name for name in sorted(names)}


def check_folder(folder: Path) -> None:
    """Raise when a model's folder holds a pipe or a device, which its library would wait for.

    Raises:
        ModelError: Naming it.
    """
    for name, path in _below(folder):
        if path.exists() and not path.is_file():
            hint = "Remove it from the folder."
            raise ModelError("obj", "a folder of regular files", short_repr(name), hint)


def _below(root: Path) -> Iterator[tuple[str, Path]]:
    seen: set[str] = set()  # a folder that is linked into itself has no end
    for folder, below, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        below.sort()
        for name in files:
            path = Path(folder, name)
            yield path.relative_to(root).as_posix(), path


def _companions(path: Path) -> set[str]:
    """Return the names of further files, relative to the folder of ``path``."""
    if path.suffix.lower() == ".onnx":
        try:
            return set(_external_data(read_regular(path, ONNX_FILE)))
        except ValueError as error:
            hint = "Keep its weights in a file beside it, as onnx.save can."
            got = f"{short_repr(path.name)} ({error})"
            raise ModelError("obj", "an ONNX file within the limit", got, hint) from error
    if path.name.endswith(_INDEX):
        try:
            content = read_json(path)
            return {str(name) for name in content["weight_map"].values()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return set()  # no index of shards
    part = _PART.fullmatch(path.name)
    if part is None:
        return set()
    stem, n, suffix = part.groups()
    return {f"{stem}-{i:05d}-of-{n}{suffix}" for i in range(1, min(int(n), 10_000) + 1)}


def _external_data(content: bytes) -> list[str]:
    """Return the files that tensors of an ONNX file lie in; what is no ONNX file has none."""
    names: list[str] = []
    todo = [("model", 0, len(content), 0)]
    try:
        while todo:
            kind, start, stop, level = todo.pop()
            if kind == "entry":
                fields = {n: content[a:b] for n, a, b in _messages(content, start, stop)}
                if fields.get(1) == b"location":
                    names.append(fields.get(2, b"").decode("utf-8", "surrogateescape"))
            elif level < _MOST_LEVELS:
                inner = _FIELDS[kind]
                for number, first, last in _messages(content, start, stop):
                    if number in inner:
                        todo.append((inner[number], first, last, level + 1))
    except (ValueError, IndexError):  # onnxruntime will refuse it
        pass
    return names


def _messages(content: bytes, at: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield (field, first byte, last byte + 1) of what has a length, in a protobuf message."""
    while at < stop:
        key, at = _integer(content, at)
        kind = key & 7
        if kind == 0:
            _, at = _integer(content, at)
        elif kind == 2:
            size, at = _integer(content, at)
            if at + size > stop:
                raise ValueError("a field is longer than its message")
            yield key >> 3, at, at + size
            at += size
        elif kind in {1, 5}:
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"kind {kind} of a field")


def _integer(content: bytes, at: int) -> tuple[int, int]:
    """Return an integer of variable length and where it ends."""
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("an integer of more than 64 bits")
