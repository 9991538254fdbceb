"""Saving an explainer as JSON and safetensors, and loading it; nothing is ever unpickled."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pxgen_plugins import __version__
from pxgen_plugins.criteria.fitted import Fitted
from pxgen_plugins.thresholds.calibration import Calibration
from pxgen_plugins.utils.errors import ParameterError, PXGenWarning, short_repr
from pxgen_plugins.utils.files import write_atomic

if TYPE_CHECKING:
    from pxgen_plugins.explainer import PXGen

__all__ = ["load", "save", "warn_version"]

T = TypeVar("T", bound="PXGen")

_FORMAT = 1
_SETTINGS = "pxgen.json"
_ARRAYS = "calibration.safetensors"
_NOT_ARGUMENTS = ("pxgen_plugins_version",)


def save(explainer: PXGen, path: str | os.PathLike[str]) -> None:
    """Write settings to ``pxgen.json`` and thresholds to ``calibration.safetensors`` in ``path``.

    Raises:
        ParameterError: When ``path`` cannot be written.
    """
    from safetensors.numpy import save as to_bytes

    folder = Path(path)
    calibration = explainer.calibration
    content: dict[str, Any] = {
        "format": _FORMAT,
        "explainer": type(explainer).__name__,
        "params": explainer.meta["params"],
        "sample_shape": explainer._shape,
        "calibration": None,
    }
    try:
        if calibration is not None:
            content["calibration"] = {
                "method": calibration.method,
                "params": calibration.params,
                "names": calibration.names,
                "n_samples": calibration.n_samples,
                "n_invalid": calibration.n_invalid,
                "seed": calibration.seed,
            }
            arrays: dict[str, np.ndarray[Any, Any]] = {
                "thresholds": calibration.thresholds,
                "repeats": calibration.repeats,
            }
            if calibration.reference is not None:
                arrays["reference"] = calibration.reference
            for index, criterion in enumerate(explainer.criteria):
                if isinstance(criterion, Fitted):
                    named = criterion.state.items()
                    arrays |= {f"criteria.{index}.{name}": array for name, array in named}
            arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
            write_atomic(folder / _ARRAYS, to_bytes(arrays))
        text = json.dumps(content, indent=2, allow_nan=False)
        write_atomic(folder / _SETTINGS, text.encode())
    except OSError as error:
        hint = f"Choose another folder ({error.strerror})."
        raise ParameterError(
            "path", "PXGen.save", "writable", short_repr(str(path)), hint
        ) from error


def load(
    cls: type[T], path: str | os.PathLike[str], predictor: Any, overrides: Mapping[str, Any]
) -> T:
    """Return the explainer that :func:`save` wrote to ``path``, for ``predictor``.

    Raises:
        ParameterError: When the folder is not readable, or holds what needs an override.
    """
    content = _read(Path(path))
    params = {k: v for k, v in content["params"].items() if k not in _NOT_ARGUMENTS}
    params.update(overrides)
    try:
        explainer = cls(predictor, **params)
    except (ParameterError, TypeError) as error:
        hint = f"Pass what JSON cannot hold to load, as in load(path, model, space=f): {error}"
        allowed = "complete without callables"
        raise ParameterError(
            "settings", "PXGen.load", allowed, short_repr(str(path)), hint
        ) from error
    warn_version(content["params"].get("pxgen_plugins_version"))
    if explainer._shape is None and content.get("sample_shape") is not None:
        explainer._shape = tuple(int(side) for side in content["sample_shape"])
    saved = content["calibration"]
    if saved is not None:
        arrays = _arrays(Path(path) / _ARRAYS)
        explainer.calibration = _calibration(Path(path) / _ARRAYS, arrays, saved)
        for index, criterion in enumerate(explainer.criteria):
            if isinstance(criterion, Fitted):
                own = f"criteria.{index}."
                learned = {k[len(own) :]: v for k, v in arrays.items() if k.startswith(own)}
                criterion.restore(learned)
        names = [criterion.name for criterion in explainer.criteria]
        if explainer.calibration.names != names:
            allowed = "the saved ones: " + ", ".join(saved["names"])
            hint = "Load with the criteria it was fitted with."
            raise ParameterError("criteria", "PXGen.load", allowed, ", ".join(names), hint)
    return explainer


def warn_version(saved: str | None) -> None:
    """Warn when an explainer was saved by another version of this package."""
    if saved != __version__:
        warnings.warn(
            f"PXGen: saved by pxgen-plugins {saved}, loaded by {__version__}; "
            "fit again if results differ",
            PXGenWarning,
            stacklevel=3,
        )


def _read(folder: Path) -> dict[str, Any]:
    hint = "Give a folder that PXGen.save wrote."
    if (folder / "explainer.dill").exists():
        hint = (
            "alibi.saving wrote it: use alibi.saving.load_explainer, which runs code from the file."
        )
    allowed = f"a folder with {_SETTINGS} of format {_FORMAT}"
    try:
        content = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
        if content["format"] == _FORMAT and isinstance(content["params"], dict):
            return dict(content)
        got = f"format {content['format']!r}"
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        got = f"{short_repr(str(folder))} ({type(error).__name__})"
    raise ParameterError("path", "PXGen.load", allowed, got, hint)


def _arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except Exception as error:  # safetensors raises its own error type
        raise _damaged(path, error) from error


def _calibration(
    path: Path, arrays: Mapping[str, np.ndarray[Any, Any]], saved: Mapping[str, Any]
) -> Calibration:
    try:
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
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ParameterError:
    hint = f"Save the explainer again ({type(error).__name__}: {str(error)[:100]})."
    return ParameterError("path", "PXGen.load", "intact", short_repr(str(path)), hint)
