"""Work units: parts of an audit that are computed by whoever comes first, and written once, whole.

A stage of an audit (the samples, the reference data, the anchors) is divided into units, and a unit
is a file. What is in it depends on its stage and its number alone, not on who computes it or when.
"""

from __future__ import annotations

import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.scoring import Scorer
from pxgen_plugins.utils.errors import ParameterError
from pxgen_plugins.utils.files import checksum
from pxgen_plugins.utils.limits import Limit, LimitError
from pxgen_plugins.utils.storage import Place, storage_of
from pxgen_plugins.utils.tensors import parse_tensors, read_metadata

__all__ = [
    "Content",
    "Stage",
    "batch_note",
    "found",
    "halved_batches",
    "missing",
    "read",
    "write",
]

Arrays = Mapping[str, NDArray[Any]]
Texts = Mapping[str, str]
Content = tuple[Arrays, Texts]

_ABOUT = "unit"  # key of the metadata
_BATCH = "batch_size"
_MOST_HEADER = 1 << 16  # bytes


class Stage(ABC):
    """A part of an audit, in units of whole batches.

    Attributes:
        name: Of its folder in the run folder, as ``"shards"``; the units are numbered files in it.
        passes: Passes of the model's network that an instance takes at most.
    """

    name: str
    passes: int

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of units."""

    @abstractmethod
    def n_instances(self, index: int) -> int:
        """Return how many instances a unit has."""

    @abstractmethod
    def compute(self, index: int) -> Content:
        """Return arrays and texts of a unit: the same whoever does it.

        Raises:
            PXGenError: When instances or the model fail as a whole.
        """

    @abstractmethod
    def n_bytes(self, index: int) -> int:
        """Return how large the arrays and texts of a unit may be."""

    @abstractmethod
    def fits(self, index: int, content: Content) -> bool:
        """Return whether arrays and texts can be those of a unit; it may raise where not."""


def write(folder: Place, stage: Stage, index: int, content: Content, plan: str) -> None:
    """Write a unit.

    Args:
        folder: The run folder.
        stage: The stage.
        index: Which unit.
        content: Its arrays and texts.
        plan: Digest of the plan, which the unit bears.

    Raises:
        ParameterError: When it is larger than what is read again.
        OSError: When it cannot be written.
    """
    from safetensors.numpy import save

    arrays = {name: np.asarray(array, order="C") for name, array in sorted(content[0].items())}
    texts = {**content[1], "plan": plan}
    about = texts | {"checksum": _checksum(stage.name, index, arrays, texts)}
    # a single key: safetensors writes several in an order that differs between calls
    name, blob = _name(stage.name, index), save(arrays, {_ABOUT: json.dumps(about)})
    try:
        _limit(stage, index).check(len(blob))
    except LimitError as error:
        hint = "Use a smaller shard_size, or raise the limit for every worker."
        allowed = "so small that units are within the limit"
        raise ParameterError("shard_size", allowed, str(error), hint) from error
    try:
        storage_of(folder).write(name, blob)
    except FileNotFoundError:  # swept away by a process whose clock is an hour ahead
        storage_of(folder).write(name, blob)


def read(folder: Place, stage: Stage, index: int, plan: str) -> Content | None:
    """Return a unit; None where it is not there, not as it was written, or of another plan."""
    try:
        content = storage_of(folder).read(_name(stage.name, index), _limit(stage, index))
        arrays, metadata = parse_tensors(content)
        texts = json.loads(metadata[_ABOUT])
        found = texts.pop("checksum")
        if texts["plan"] != plan or found != _checksum(stage.name, index, arrays, texts):
            return None
        return (arrays, texts) if stage.fits(index, (arrays, texts)) else None
    except Exception:  # absent, or not one of ours: it is computed again
        return None


def found(folder: Place, stage: Stage, index: int, plan: str) -> Content:
    """Return a unit.

    Raises:
        FileNotFoundError: When :func:`read` does not give it.
    """
    content = read(folder, stage, index, plan)
    if content is None:
        raise FileNotFoundError(f"unit {index} of {folder / stage.name}")
    return content


def missing(
    folder: Place, stage: Stage, plan: str, among: Iterable[int] | None = None
) -> list[int]:
    """Return those units of a stage, or of some, that :func:`read` does not give."""
    indices = list(range(len(stage)) if among is None else among)
    names = {index: _file(index) for index in indices}
    there = storage_of(folder).some(stage.name, names.values())
    return [
        index
        for index in indices
        if names[index] not in there or read(folder, stage, index, plan) is None
    ]


def batch_note(asked: int, scorer: Scorer) -> dict[str, str]:
    """Return the text of a unit in which memory ran out: the batches that were left; else none.

    Args:
        asked: Instances per batch at first.
        scorer: Who computed the unit, and halved its batches when memory ran out.
    """
    return {} if scorer.batch_size == asked else {_BATCH: str(scorer.batch_size)}


def halved_batches(folder: Place) -> dict[str, int]:
    """Return the units of a run in which memory ran out, and their instances per batch since.

    Args:
        folder: The run folder.
    """
    storage, found = storage_of(folder), {}
    among = ("calibration", "copies")
    stages = [f"{place}/{name}" for place in among for name in storage.names(place)]
    for stage in (*stages, "shards"):
        for name in (name for name in storage.names(stage) if name[0].isdigit()):
            with contextlib.suppress(OSError, ValueError, KeyError):
                with storage.open(f"{stage}/{name}") as file:
                    texts = json.loads(read_metadata(file)[_ABOUT])
                if _BATCH in texts:
                    found[f"{stage}/{name.partition('.')[0]}"] = int(texts[_BATCH])
    return found


def _limit(stage: Stage, index: int) -> Limit:
    return Limit("SHARD", _MOST_HEADER + stage.n_bytes(index), "bytes of a shard")


def _name(stage: str, index: int) -> str:
    return f"{stage}/{_file(index)}"


def _file(index: int) -> str:
    return f"{index:06d}.safetensors"


def _checksum(stage: str, index: int, arrays: Arrays, texts: Texts) -> str:
    """Return the checksum of a unit, its place among the others included."""
    heads = [[name, array.shape, str(array.dtype)] for name, array in sorted(arrays.items())]
    head = json.dumps([stage, index, heads, dict(texts)], sort_keys=True)
    return checksum(head.encode() + b"".join(arrays[name].tobytes() for name in sorted(arrays)))
