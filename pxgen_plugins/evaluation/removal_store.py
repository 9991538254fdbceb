"""The points of a removal experiment on disk, so that a killed run goes on where it was."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from pxgen_plugins.evaluation.removal_plan import Plan, Point
from pxgen_plugins.utils.errors import ParameterError, warn
from pxgen_plugins.utils.files import read_regular, write_atomic
from pxgen_plugins.utils.json_files import read_json
from pxgen_plugins.utils.limits import RUN_ARRAYS
from pxgen_plugins.utils.resumable import begin

__all__ = ["Reference", "Store"]

Arrays = dict[str, NDArray[np.float64]]
Reference = tuple[Arrays, dict[str, Any]]
_FEATURES, _REFERENCE = "reference.safetensors", "reference.json"


class Store:
    """Trained points, in a folder or (without one) in memory.

    ``plan.json`` says which experiment the folder belongs to; ``reference.safetensors`` holds the
    features of the reference model's samples, one array per feature space; every point is one JSON
    file in ``points``. All are written whole or not at all.

    Args:
        folder: Where; None keeps the points in memory.
        plan: The experiment.

    Raises:
        ParameterError: When the folder belongs to another experiment, or is not a folder.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, plan: Plan) -> None:
        self.plan = plan
        self.folder = None if folder is None else Path(folder)
        self._memory: dict[Point, dict[str, Any]] = {}
        if self.folder is not None:
            self._claim(self.folder)

    def _claim(self, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            hint = "Name a folder; it is made when it does not exist."
            raise ParameterError("folder", "a folder", f"file {folder}", hint)
        plan = {"digest": self.plan.digest(), **self.plan.record()}
        try:
            differences = begin(folder, plan, _identity)
        except ValueError:
            differences = ["unreadable"]
        if differences:
            raise ParameterError(
                "folder",
                "new, or of the same experiment",
                f"{folder}, whose plan.json differs in: {', '.join(differences)}",
                "Use another folder for another experiment, or delete this one.",
            )

    def reference(self) -> Reference | None:
        """Return the features of the reference's samples and its record, or None."""
        if self.folder is None or not (self.folder / _REFERENCE).exists():
            return None
        try:
            record = _read(self.folder / _REFERENCE)
            content = read_regular(self.folder / _FEATURES, RUN_ARRAYS)
            if hashlib.sha256(content).hexdigest() != record["sha256"]:
                raise ValueError("features are not those that were written")
            for values in record["same_model"].values():
                _check_finite(values, len(self.plan.seeds))
            _check_measures(record["same_model"], self.plan.measures)
            return load(content), record
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            _warn(self.folder / _REFERENCE, error)
            return None

    def put_reference(self, features: Arrays, record: dict[str, Any]) -> None:
        """Write the features of the reference's samples and its record."""
        if self.folder is None:
            return
        content = save({name: np.ascontiguousarray(rows) for name, rows in features.items()})
        record = {**record, "sha256": hashlib.sha256(content).hexdigest()}
        write_atomic(self.folder / _FEATURES, content)
        write_atomic(self.folder / _REFERENCE, _bytes(record))

    def get(self, point: Point) -> dict[str, Any] | None:
        """Return the record of a point, or None when it is to be trained."""
        if self.folder is None:
            return self._memory.get(point)
        path = self._path(point)
        if not path.exists():
            return None
        try:
            record = _read(path)
            if record["point"] != vars(point):
                raise ValueError("it is of another point")
            _check_measures(record["distances"], self.plan.measures)
            _check_finite(list(record["distances"].values()), len(self.plan.measures))
            _check_finite([record["n_kept"], record["seconds"], record["train_seconds"]], 3)
            return record
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            _warn(path, error)
            return None

    def put(self, point: Point, record: dict[str, Any]) -> None:
        """Keep the record of a point."""
        record = {"point": dict(vars(point)), **record}
        if self.folder is None:
            self._memory[point] = record
        else:
            write_atomic(self._path(point), _bytes(record))

    def _path(self, point: Point) -> Path:
        assert self.folder is not None
        return self.folder / "points" / f"{self.plan.name(point)}.json"


def _identity(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is compared: the digest follows from it."""
    return {key: value for key, value in plan.items() if key != "digest"}


def _read(path: Path) -> dict[str, Any]:
    try:
        record = read_json(path)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    return record


def _bytes(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, indent=1, allow_nan=False) + "\n").encode()


def _check_measures(distances: dict[str, Any], measures: list[str]) -> None:
    if list(distances) != measures:
        raise ValueError("it has other distances")


def _check_finite(values: list[Any], n: int) -> None:
    if len(values) != n or not all(math.isfinite(value) for value in values):
        raise ValueError("a number is missing or not finite")


def _warn(path: Path, error: Exception) -> None:
    warn(f"RemovalExperiment: {path} cannot be used ({error}); its model is trained again")
