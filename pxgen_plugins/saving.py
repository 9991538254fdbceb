"""The files of an explainer, JSON and safetensors: plain data in, plain data out; no unpickling."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.thresholds import Calibration
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.files import checksum, read_regular, write_atomic
from pxgen_plugins.utils.json_files import read_json
from pxgen_plugins.utils.limits import RUN_ARRAYS, LimitError
from pxgen_plugins.utils.tensors import parse_tensors

__all__ = ["ExplainerState", "read", "write"]

Arrays = dict[str, NDArray[Any]]

_FORMAT = 1
_SETTINGS = "pxgen.json"
_ARRAYS = "calibration.safetensors"
_PLAIN = (
    "method", "params", "names", "n_samples", "n_invalid", "seed", "source", "n_learning",
    "resampled",
)  # fmt: skip


@dataclass(frozen=True)
class ExplainerState:
    """What the files of an explainer hold.

    Attributes:
        explainer: Name of its class.
        params: Its settings, as ``meta["params"]`` holds them.
        sample_shape: Shape of one instance, where a callable predictor showed it.
        calibration: Thresholds; None before ``fit``.
        states: What each criterion learned, in the order of the criteria.
    """

    explainer: str
    params: dict[str, Any]
    sample_shape: tuple[int, ...] | None = None
    calibration: Calibration | None = None
    states: Sequence[Mapping[str, NDArray[Any]]] = field(default=())


def write(saved: ExplainerState, path: str | os.PathLike[str]) -> None:
    """Write ``pxgen.json`` and, with a calibration, ``calibration.safetensors`` into a folder.

    Raises:
        ParameterError: When ``path`` cannot be written.
    """
    from safetensors.numpy import save as to_bytes

    folder, calibration = Path(path), saved.calibration
    content: dict[str, Any] = {
        "format": _FORMAT,
        "explainer": saved.explainer,
        "params": saved.params,
        "sample_shape": saved.sample_shape,
        "calibration": None,
    }
    blob = b""
    try:
        if calibration is not None:
            content["calibration"] = {name: getattr(calibration, name) for name in _PLAIN}
            arrays: Arrays = {
                "thresholds": calibration.thresholds,
                "repeats": calibration.repeats,
            }
            if calibration.reference is not None:
                arrays["reference"] = calibration.reference
            for index, state in enumerate(saved.states):
                arrays |= {f"criteria.{index}.{name}": array for name, array in state.items()}
            arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
            blob = to_bytes(arrays)
            write_atomic(folder / _ARRAYS, blob)
        content = json.loads(json.dumps(content, allow_nan=False))  # as it will be read
        content["checksum"] = _checksum(content, blob)
        text = json.dumps(content, indent=2, allow_nan=False)
        write_atomic(folder / _SETTINGS, text.encode())
    except OSError as error:
        hint = f"Choose another folder ({error.strerror})."
        raise ParameterError("path", "writable", short_repr(str(path)), hint) from error


def read(path: str | os.PathLike[str]) -> ExplainerState:
    """Return what :func:`write` wrote to ``path``.

    Raises:
        ParameterError: When the folder is not readable, or its files do not fit each other.
    """
    folder = Path(path)
    content = _settings(folder)
    shape, saved = content.get("sample_shape"), content["calibration"]
    calibration: Calibration | None = None
    arrays: Arrays = {}
    try:
        blob = b"" if saved is None else read_regular(folder / _ARRAYS, RUN_ARRAYS)
        # explainers that versions before 0.2 saved have none
        if content.get("checksum", "") not in {"", _checksum(content, blob)}:
            raise ValueError("its checksum differs: it was changed")
        if saved is not None:
            arrays, _ = parse_tensors(blob)
            calibration = _calibration(arrays, saved)
    except LimitError as error:
        got = f"{short_repr(str(folder / _ARRAYS))} ({error})"
        hint = "Raise the limit where you trust the file."
        raise ParameterError("path", "within the limit", got, hint) from error
    except Exception as error:  # safetensors raises its own type, and files may be damaged
        hint = f"Save the explainer again ({type(error).__name__}: {str(error)[:100]})."
        got = short_repr(str(folder / (_SETTINGS if saved is None else _ARRAYS)))
        raise ParameterError("path", "intact", got, hint) from error
    return ExplainerState(
        explainer=str(content.get("explainer")),
        params=content["params"],
        sample_shape=None if shape is None else tuple(int(side) for side in shape),
        calibration=calibration,
        states=[] if calibration is None else _states(arrays, len(calibration.names)),
    )


def _settings(folder: Path) -> dict[str, Any]:
    hint = "Give a folder that PXGen.save wrote."
    if (folder / "explainer.dill").exists():
        hint = (
            "alibi.saving wrote it: use alibi.saving.load_explainer, which runs code from the file."
        )
    allowed = f"a folder with {_SETTINGS} of format {_FORMAT}"
    try:
        content = read_json(folder / _SETTINGS)
        if content["format"] == _FORMAT and isinstance(content["params"], dict):
            return {"calibration": None, **content}
        got = f"format {content['format']!r}"
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        got = f"{short_repr(str(folder))} ({type(error).__name__}: {str(error)[:200]})"
    raise ParameterError("path", allowed, got, hint)


def _checksum(content: Mapping[str, Any], arrays: bytes) -> str:
    """Return the SHA-256 of all that is saved: the settings, but for this, and the arrays."""
    rest = {key: value for key, value in content.items() if key != "checksum"}
    return checksum(json.dumps(rest, sort_keys=True).encode() + arrays)


def _calibration(arrays: Arrays, saved: Mapping[str, Any]) -> Calibration:
    thresholds, repeats = arrays["thresholds"], arrays["repeats"]
    m = len(saved["names"])
    if thresholds.shape != (m,) or repeats.shape[1:] != (m,):
        raise ValueError(f"arrays for {m} criteria expected")
    return Calibration(
        method=saved["method"],
        params=saved["params"],
        names=list(saved["names"]),
        thresholds=thresholds,
        repeats=repeats,
        reference=arrays.get("reference"),
        n_samples=int(saved["n_samples"]),
        n_invalid=int(saved["n_invalid"]),
        seed=int(saved["seed"]),
        source=str(saved.get("source", "samples")),  # files of version 1.0 know no other
        n_learning=int(saved.get("n_learning", 0)),
        resampled=bool(saved.get("resampled", False)),
    )


def _states(arrays: Arrays, m: int) -> list[Arrays]:
    """Return the arrays that each of m criteria learned, by their own names."""
    prefixes = [f"criteria.{index}." for index in range(m)]
    return [
        {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}
        for prefix in prefixes
    ]
