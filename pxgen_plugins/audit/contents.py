"""A digest of what a model holds in memory: weights, arrays, tokenizers, whatever their source."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from pxgen_plugins.anchors import Anchors
from pxgen_plugins.models.files import files_behind
from pxgen_plugins.models.sources.onnx import OnnxFile
from pxgen_plugins.utils.files import file_checksum

__all__ = ["content_digest"]

_ROWS = 1_024  # of anchors that are read at once
_MOST_LEVELS = 12


def content_digest(model: Any) -> str:
    """Return a digest of the numbers behind a model, as it is right after it was built.

    These are the parameters and buffers of its torch modules, and the arrays, tensors, anchors
    and tokenizers that can be reached through attributes, containers and closures, by their
    places. What lies in objects of compiled code is not seen.
    """
    digest = hashlib.sha256()
    for module in getattr(model, "modules", ()):
        _add_module(digest.update, module)
    for place, value in _reach(model, "", 0, {}):
        digest.update(place.encode())
        _add(digest.update, value)
    return digest.hexdigest()


def _add(update: Callable[[Any], None], value: Any) -> None:
    if isinstance(value, nn.Module):
        _add_module(update, value)
    elif isinstance(value, torch.Tensor):
        _add_tensor(update, value)
    elif isinstance(value, np.ndarray):
        update(f"{value.shape}{value.dtype}".encode())
        for low in range(0, len(value) if value.ndim else 1, _ROWS):  # a map may be large
            update(np.ascontiguousarray(value[low : low + _ROWS] if value.ndim else value).data)
    elif isinstance(value, Anchors):
        for low in range(0, len(value), _ROWS):
            rows, failed = value.read(slice(low, low + _ROWS))
            update(np.ascontiguousarray(rows).data)
            update(repr(sorted(failed.items())).encode())
    elif isinstance(value, OnnxFile):
        for name, path in files_behind(value.path).items():
            update(name.encode())
            update(file_checksum(path).encode() if path.exists() else b"")
    else:
        backend = getattr(value, "backend_tokenizer", None)
        vocabulary = backend.to_str() if backend is not None else sorted(value.get_vocab().items())
        special = getattr(value, "special_tokens_map", None)
        update(json.dumps([vocabulary, special], sort_keys=True, default=str).encode())


def _add_module(update: Callable[[Any], None], module: nn.Module) -> None:
    tensors = dict(module.state_dict())
    tensors |= {name: one for name, one in module.named_buffers() if name not in tensors}
    for name, value in sorted(tensors.items()):
        update(name.encode())
        if isinstance(value, torch.Tensor):  # the state of others is a matter of theirs
            _add_tensor(update, value)


def _add_tensor(update: Callable[[Any], None], tensor: torch.Tensor) -> None:
    update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
    if tensor.is_meta or tensor.layout is not torch.strided:
        return
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    update(plain.reshape(-1).view(torch.uint8).numpy())


def _reach(value: Any, place: str, level: int, seen: dict[int, Any]) -> Iterator[tuple[str, Any]]:
    """Yield (place, value) of what holds numbers, each once, in an order that builds repeat."""
    plain = (str, bytes, int, float, complex, bool, type, types.ModuleType, type(None))
    if isinstance(value, plain) or id(value) in seen or level > _MOST_LEVELS:
        return
    seen[id(value)] = value  # kept, so that no other gets its id meanwhile
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        return
    numbers = (nn.Module, torch.Tensor, np.ndarray, Anchors, OnnxFile)
    if isinstance(value, numbers) or callable(getattr(value, "get_vocab", None)):
        yield place, value
        return
    for name, inner in _parts(value):
        yield from _reach(inner, f"{place}.{name}", level + 1, seen)


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what an object holds, by name."""
    if isinstance(value, dict):
        for at, (key, inner) in enumerate(list(value.items())):
            yield key if isinstance(key, str) else str(at), inner
    elif isinstance(value, (list, tuple)):
        yield from ((str(at), inner) for at, inner in enumerate(value))
    elif isinstance(value, types.MethodType):
        yield "self", value.__self__
        yield "function", value.__func__
    elif isinstance(value, functools.partial):
        yield from (("function", value.func), ("args", value.args), ("keywords", value.keywords))
    elif isinstance(value, types.FunctionType):
        for at, cell in enumerate(value.__closure__ or ()):
            with contextlib.suppress(ValueError):  # empty still
                yield f"cell{at}", cell.cell_contents
        yield "defaults", value.__defaults__
        yield "keywords", value.__kwdefaults__
    else:
        yield from dict(getattr(value, "__dict__", None) or {}).items()
