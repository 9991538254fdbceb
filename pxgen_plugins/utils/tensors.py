"""Safetensors files read as bytes, not mapped: no process ends because a file was cut short."""

from __future__ import annotations

import os
from typing import IO, Any

from numpy.typing import NDArray

from pxgen_plugins.utils.files import read_regular
from pxgen_plugins.utils.json_files import parse_json
from pxgen_plugins.utils.limits import Limit

__all__ = ["parse_tensors", "read_metadata", "read_tensors"]

_MOST_HEADER = 1 << 28  # bytes


def read_tensors(
    path: str | os.PathLike[str], limit: Limit | None = None
) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return the arrays and the metadata of a file.

    Args:
        path: The file.
        limit: How many bytes it may have; None for any number.

    Raises:
        OSError: When it cannot be read, or is no regular file.
        ValueError: When it is larger than the limit.
        Exception: Whatever safetensors raises on a damaged file.
    """
    return parse_tensors(read_regular(path, limit))


def read_metadata(file: IO[bytes]) -> dict[str, str]:
    """Return the metadata of an open file alone; its arrays are not read.

    Raises:
        OSError: When it cannot be read.
        ValueError: When it is none, or its header is larger than any of ours.
    """
    size = int.from_bytes(file.read(8), "little")
    if size > _MOST_HEADER:
        raise ValueError("its header is too large")
    header = parse_json(file.read(size))
    return dict(header.get("__metadata__") or {})


def parse_tensors(content: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return the arrays and the metadata in the bytes of a safetensors file.

    Raises:
        Exception: Whatever safetensors raises on what is none.

    Example:
        >>> import numpy as np
        >>> from safetensors.numpy import save
        >>> arrays, metadata = parse_tensors(save({"x": np.ones(2)}, {"unit": "nats"}))
        >>> arrays["x"].tolist(), metadata
        ([1.0, 1.0], {'unit': 'nats'})
    """
    from safetensors.numpy import load

    arrays: dict[str, NDArray[Any]] = load(content)  # which checks the header that follows
    size = int.from_bytes(content[:8], "little")
    header = parse_json(content[8 : 8 + size])
    return arrays, dict(header.get("__metadata__") or {})
