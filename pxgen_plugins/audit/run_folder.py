"""The run folder: what an audit writes, and how it is read again."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pxgen_plugins.audit.writers.shared import read
from pxgen_plugins.groups import GROUPS, INVALID
from pxgen_plugins.result.tables import write_parquet
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.files import plain, write_atomic

__all__ = ["FILES", "FORMAT", "Run", "write_json", "write_results"]

FORMAT = 1
_LARGEST = 1 << 34  # bytes of one file that is read
FILES = (
    "anchors.parquet", "calibration.json", "changes.json", "conditions.json", "evidence.json",
    "evidence.png", "explanation.json", "junit.xml", "manifest.json", "metrics.prom",
    "pictures.safetensors", "report.html", "summary.md",
)  # fmt: skip
"""Every file that a run may hold beside its plan and its shards."""

_MANIFEST = {
    "name": str, "pxgen": str, "digests": dict, "seed": int, "settings": dict, "n_anchors": int,
    "model": str, "versions": dict, "machine": dict,
}  # fmt: skip
_PER_ANCHOR = (
    "values", "affinity", "group", "group_stability", "distance", "p_value", "anchor_value",
    "labels", "ids", "examples", "calibration",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        path: Its folder.
        manifest: What was run: versions, digests, seeds, machine, counts.
        data: The data of the explanation, as PXGen gives it.
        conditions: The judged conditions, as mappings.
        pictures: Pixels or texts of the anchors that are shown, or None.
    """

    path: Path
    manifest: dict[str, Any]
    data: dict[str, Any]
    conditions: list[dict[str, Any]]
    pictures: dict[str, Any] | None

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Return the run in a folder.

        Raises:
            ParameterError: When it is not a finished run, or a file of it cannot be read.
        """
        folder = Path(path)
        hint = "Give the output folder of a finished pxgen audit."
        try:
            manifest = _read(folder / "manifest.json")
            data = _read(folder / "explanation.json")
            calibration = _read(folder / "calibration.json")
            conditions = _read(folder / "conditions.json")
            data |= _columns(folder / "anchors.parquet", data["criteria"])
            if len(data["group"]) != manifest["n_anchors"]:
                raise ValueError("anchors.parquet has another number of anchors")
            for name in ("repeats", "reference", "scale"):
                if calibration.get(name) is not None:
                    calibration[name] = np.array(calibration[name], dtype=float)
            data["calibration"] = calibration
            for name in GROUPS:
                data["groups"][name]["indices"] = np.flatnonzero(data["group"] == name)
            data["invalid"] = np.flatnonzero(data["group"] == INVALID)
            read(conditions, "Run.open")
            pictures = _pictures(folder)
            wrong = [k for k, kind in _MANIFEST.items() if not isinstance(manifest.get(k), kind)]
        except Exception as error:  # files of others may be broken in any way
            got = f"{short_repr(str(folder))} ({type(error).__name__}: {str(error)[:120]})"
            raise ParameterError("run", "pxgen", "a finished run folder", got, hint) from error
        if manifest.get("format") != FORMAT:
            got = f"format {manifest.get('format')!r}"
            raise ParameterError("run", "pxgen", f"of format {FORMAT}", got, hint)
        if wrong:
            got = f"a manifest.json without a good {wrong[0]!r}"
            raise ParameterError("run", "pxgen", "a finished run folder", got, hint)
        return cls(folder, manifest, data, conditions, pictures)

    def extra(self, name: str) -> Any:
        """Return the content of another JSON file, or a picture, None when it is not there.

        Raises:
            ParameterError: When it cannot be read.
        """
        path = self.path / name
        try:
            if not path.exists():
                return None
            return _read(path) if path.suffix == ".json" else _regular(path).read_bytes()
        except (OSError, ValueError, RecursionError) as error:
            hint = "Run the audit again."
            got = type(error).__name__
            raise ParameterError(name, "pxgen", "a readable file", got, hint) from error


def write_results(folder: Path, explanation: Any, manifest: Mapping[str, Any]) -> None:
    """Write what was found: anchors.parquet, explanation.json, calibration.json, pictures.

    Args:
        folder: The run folder.
        explanation: As PXGen returns it.
        manifest: See :class:`Run`.
    """
    data = dict(explanation.data)
    write_parquet(explanation, folder / "anchors.parquet")
    groups = {
        name: {key: value for key, value in group.items() if key != "indices"}
        for name, group in data["groups"].items()
    }
    kept = {key: value for key, value in data.items() if key not in _PER_ANCHOR}
    write_json(folder / "explanation.json", kept | {"groups": groups})
    write_json(folder / "calibration.json", data["calibration"])
    _write_pictures(folder, data["examples"])
    write_json(folder / "manifest.json", manifest)


def write_json(path: Path, content: Any) -> None:
    """Write strict JSON; the same bytes for the same content."""
    text = json.dumps(plain(content), indent=1, allow_nan=False)
    write_atomic(path, (text + "\n").encode())


def _read(path: Path) -> Any:
    return json.loads(_regular(path).read_text(encoding="utf-8"))


def _regular(path: Path) -> Path:
    """Return the path of a file that ends, before anything of it is read."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
        raise ValueError(f"{path.name} is no regular file of at most {_LARGEST} bytes")
    return path


def _columns(path: Path, criteria: list[str]) -> dict[str, Any]:
    """Return the per-anchor arrays of an explanation from its table."""
    from pyarrow import parquet

    table = parquet.read_table(_regular(path))
    names = table.column_names

    def floats(name: str) -> Any:
        found = table[name].to_numpy(zero_copy_only=False)
        return np.asarray(found, dtype=np.float64)

    def texts(name: str) -> Any:
        return np.array(table[name].to_pylist(), dtype=str) if name in names else None

    own = [f"criterion_{c}" if f"criterion_{c}" in names else c for c in criteria]
    n, m = table.num_rows, len(criteria)

    def stacked(suffix: str, columns: list[str]) -> Any:
        if not m:
            return np.empty((n, 0))
        return np.stack([floats(f"{name}{suffix}") for name in columns], 1)

    affinity = [table[f"{c}_high_affinity"].to_numpy(zero_copy_only=False) for c in criteria]
    return {
        "values": stacked("", own),
        "affinity": np.stack(affinity, 1) if m else np.empty((n, 0), dtype=bool),
        "distance": stacked("_distance", criteria),
        "p_value": stacked("_p_value", criteria),
        "group": np.array(table["group"].to_pylist(), dtype=str),
        "group_stability": floats("group_stability"),
        "anchor_value": floats("anchor_value"),
        "labels": texts("label"),
        "ids": texts("id"),
    }


def _write_pictures(folder: Path, examples: Mapping[str, Any] | None) -> None:
    from safetensors.numpy import save

    if examples is None:
        (folder / "pictures.safetensors").unlink(missing_ok=True)
        return
    arrays = {
        name: np.ascontiguousarray(value)
        for name, value in examples.items()
        if isinstance(value, np.ndarray)
    }
    rest = {name: plain(value) for name, value in examples.items() if name not in arrays}
    text = json.dumps(rest, sort_keys=True, allow_nan=False)
    write_atomic(folder / "pictures.safetensors", save(arrays, {"rest": text}))


def _pictures(folder: Path) -> dict[str, Any] | None:
    from safetensors import safe_open

    path = folder / "pictures.safetensors"
    if not path.exists():
        return None
    _regular(path)
    with safe_open(path, framework="numpy") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        rest: dict[str, Any] = json.loads(file.metadata()["rest"])
        return found | rest
