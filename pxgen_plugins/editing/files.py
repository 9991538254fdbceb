"""An edit's files: the new matrices, and what was done, with checksums of the weights before."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pxgen_plugins import __version__
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.files import checksum, plain, read_regular, write_atomic
from pxgen_plugins.utils.json_files import read_json

__all__ = ["Matrices", "SavedMatrices", "expect_same_weights", "read_edit", "write_edit"]

_TENSORS, _SETTINGS = "edit.safetensors", "edit.json"
_FORMAT = 1
_TEXTS = ("edits", "preserve", "templates", "layers")


@dataclass(frozen=True)
class Matrices:
    """Matrices by name, before and after.

    Attributes:
        before: Copies of the weights that the edit was made for.
        after: What stands in their place, of the same shapes and types.
    """

    before: dict[str, Tensor]
    after: dict[str, Tensor]


@dataclass(frozen=True)
class SavedMatrices:
    """The new matrices of a file, and checksums of those that they stand for."""

    tensors: dict[str, Tensor]
    checksums: dict[str, str]

    def expect_made_for(self, weights: Mapping[str, Tensor]) -> None:
        """Raise unless weights are those that the edit was made for.

        Raises:
            ParameterError: When one is not.
        """
        for name, weight in weights.items():
            new = self.tensors[name]
            same = new.shape == weight.shape and new.dtype == weight.dtype
            if not same or _digest(weight) != self.checksums.get(name):
                _refuse(name)


def expect_same_weights(weights: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> None:
    """Raise unless weights are still those that an edit was made for.

    Raises:
        ParameterError: When one is not.
    """
    for name, weight in weights.items():
        if not torch.equal(weight.detach(), before[name].to(weight.device)):
            _refuse(name)


def write_edit(
    folder: str | os.PathLike[str], matrices: Matrices, settings: Mapping[str, Any]
) -> None:
    """Write an edit into a folder, the settings last: what they name is there whole.

    Raises:
        OSError: When it cannot be written.
    """
    from safetensors.torch import save

    content = save({name: t.detach().cpu().contiguous() for name, t in matrices.after.items()})
    root = Path(folder)
    write_atomic(root / _TENSORS, content)
    record = {
        "format": _FORMAT,
        "pxgen_plugins_version": __version__,
        "settings": plain(dict(settings)),
        "matrices": checksum(content),
        "before": {name: _digest(weight) for name, weight in matrices.before.items()},
    }
    write_atomic(root / _SETTINGS, json.dumps(record, indent=2).encode())


def read_edit(folder: str | os.PathLike[str]) -> tuple[SavedMatrices, dict[str, Any]]:
    """Return the matrices and the settings of a saved edit.

    Raises:
        ParameterError: When the folder holds none, or a damaged one.
    """
    from safetensors.torch import load

    root = Path(folder)
    try:
        record = read_json(root / _SETTINGS)
        content = read_regular(root / _TENSORS)
        if record["format"] != _FORMAT or checksum(content) != record["matrices"]:
            raise ValueError("its files do not belong together")
        tensors = load(content)
        before = {str(name): str(digest) for name, digest in record["before"].items()}
        settings = dict(record["settings"])
        if set(before) != set(tensors) or not all(
            isinstance(settings[key], (list, dict)) for key in _TEXTS
        ):
            raise ValueError("its settings are not those of an edit")
        tensors = {name: tensors[name] for name in before}  # the file keeps no order
    except Exception as error:  # whatever a damaged file raises
        hint = "Give a folder that ConceptEdit.save wrote."
        got = f"{short_repr(str(folder))} ({type(error).__name__}: {str(error)[:100]})"
        raise ParameterError("folder", "a saved edit", got, hint) from error
    return SavedMatrices(tensors, before), settings


def _digest(tensor: Tensor) -> str:
    """Return the SHA-256 of a tensor's bytes."""
    return checksum(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())


def _refuse(name: str) -> None:
    hint = "Leave the other edit first, or make a new one for these weights."
    allowed = "those that the edit was made for"
    raise ParameterError("weights", allowed, f"another {short_repr(name)}", hint)
