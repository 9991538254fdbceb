"""Archives that ``torch.export.save`` wrote, read without unpickling."""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.models.sources._graph import DTYPES, RefusedError

__all__ = ["read_archive"]

_MOST_JSON = 1 << 28  # bytes of a graph; a large language model's has some 10^7


def read_archive(
    path: str | os.PathLike[str],
) -> tuple[dict[str, Any], dict[str, tuple[Tensor, bool]]]:
    """Return the graph of an archive, and its tensors with whether each is a parameter.

    Tensors are read as bytes with a stated type and shape. What is pickled in an archive (sample
    inputs, objects, tensors of foreign classes) is not opened, and refused where the graph needs
    it.

    Args:
        path: A ``.pt2`` file.

    Raises:
        RefusedError: When what is needed is pickled, compressed, or written by an older torch.
        OSError, ValueError, KeyError, TypeError, RuntimeError, RecursionError,
        zipfile.BadZipFile: When the file is not such an archive.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        packed = [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
        if packed or sum(entry.file_size for entry in entries) > os.path.getsize(path):
            raise RefusedError(
                "compressed or overlapping entries, which torch.export does not write"
            )
        names = {entry.filename.partition("/")[2]: entry.filename for entry in entries}
        graphs = [name for name in names if name.startswith("models/") and name.endswith(".json")]
        if len(graphs) != 1:
            raise RefusedError(f"{len(graphs)} graphs, where one is read")
        if archive.read(names["byteorder"]) != b"little":
            raise RefusedError("big-endian numbers")
        model = graphs[0][len("models/") : -len(".json")]
        tensors: dict[str, tuple[Tensor, bool]] = {}
        for kind in ("weights", "constants"):
            listed = _parsed(archive, names[f"data/{kind}/{model}_{kind}_config.json"])["config"]
            whole: dict[str, Tensor] = {}  # several tensors may be views of one payload
            for name, payload in listed.items():
                tensors[name] = _tensor(archive, names, f"data/{kind}/", payload, whole)
        return _parsed(archive, names[graphs[0]]), tensors


def _parsed(archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
    if archive.getinfo(name).file_size > _MOST_JSON:
        raise RefusedError(f"a graph of more than {_MOST_JSON >> 20} MiB")
    content = json.loads(archive.read(name))
    if not isinstance(content, dict):
        raise TypeError(f"{name} holds no mapping")
    return content


def _tensor(
    archive: zipfile.ZipFile,
    names: Mapping[str, str],
    folder: str,
    payload: Mapping[str, Any],
    whole: dict[str, Tensor],
) -> tuple[Tensor, bool]:
    place, meta = payload["path_name"], payload["tensor_meta"]
    if payload["use_pickle"] is not False or meta is None:
        raise RefusedError(f"{place[:80]!r} is pickled; only plain tensors are read")
    dtype = DTYPES[meta["dtype"]]
    sizes, strides = (_integers(meta[key]) for key in ("sizes", "strides"))
    if math.prod(sizes) == 0:
        return torch.empty(sizes, dtype=dtype), bool(payload["is_param"])
    if place not in whole:
        content = bytearray(archive.read(names[folder + place]))
        whole[place] = torch.frombuffer(content, dtype=torch.uint8)
    flat = whole[place].view(dtype)
    # as_strided refuses what lies outside the payload
    start = _integers([meta["storage_offset"]])[0]
    return flat.as_strided(sizes, strides, start), bool(payload["is_param"])


def _integers(given: list[Mapping[str, Any]]) -> list[int]:
    found = [size["as_int"] for size in given]
    if any(type(size) is not int or size < 0 for size in found):
        raise ValueError("sizes are whole numbers")
    return found
