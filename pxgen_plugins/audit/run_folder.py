"""The run folder: what an audit writes, and how it is read again."""

from __future__ import annotations

import contextlib
import json
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.audit.changes import Changes
from pxgen_plugins.audit.run_table import read_table
from pxgen_plugins.audit.verdicts import Judgement
from pxgen_plugins.groups import GROUPS, INVALID
from pxgen_plugins.result import Examples, Result, write_parquet
from pxgen_plugins.utils.contents import read_bytes, read_json
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.files import plain, write_atomic
from pxgen_plugins.utils.limits import IMAGE_FILE, RUN_ARRAYS
from pxgen_plugins.utils.redaction import redact_values

__all__ = [
    "FORMAT",
    "NO_EVIDENCE",
    "RESULTS",
    "Evidence",
    "Run",
    "mark_complete",
    "write_json",
    "write_results",
]

FORMAT = 1
_LARGEST = 1 << 34  # bytes of one file that is read
_COMPLETE = "conditions.json"
RESULTS = (
    "anchors.parquet", "calibration.json", "changes.json", _COMPLETE, "evidence.json",
    "evidence.png", "explanation.json", "manifest.json", "pictures.safetensors",
)  # fmt: skip
"""Files that hold what a run found, from which it is opened again; writers add others."""

_MANIFEST = {
    "name": str, "pxgen": str, "digests": dict, "seed": int, "settings": dict, "n_anchors": int,
    "model": str, "versions": dict, "machine": dict,
}  # fmt: skip
_PER_ANCHOR = (
    "values", "affinity", "group", "group_stability", "distance", "p_value", "anchor_value",
    "labels", "ids", "examples", "calibration",
)  # fmt: skip


class Evidence(NamedTuple):
    """What other methods say of the anchors that PXGen picked.

    Attributes:
        tables: Titles, each with rows of text, the head first; empty without adapters.
        figure: PNG of what they show, None without adapters.
    """

    tables: Sequence[tuple[str, Sequence[Any]]] = ()
    figure: bytes | None = None


NO_EVIDENCE = Evidence()
"""Without adapters."""


@dataclass(frozen=True)
class Run:
    """A finished run: what writers get, and what a folder is opened as.

    Attributes:
        path: Its folder.
        manifest: What was run: versions, digests, seeds, machine, counts.
        result: What PXGen found out; its examples are those that the report shows.
        judgements: Of the conditions, in their order.
        changes: Since the baseline, where there is one.
        evidence: What other methods say.
    """

    path: Path
    manifest: dict[str, Any]
    result: Result
    judgements: list[Judgement]
    changes: Changes | None = None
    evidence: Evidence = NO_EVIDENCE

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
            judgements = [Judgement.from_dict(content) for content in _read(folder / _COMPLETE)]
            result = _read_result(folder)
            if result.n != manifest["n_anchors"]:
                raise ValueError("anchors.parquet has another number of anchors")
            wrong = [k for k, kind in _MANIFEST.items() if not isinstance(manifest.get(k), kind)]
        except Exception as error:  # files of others may be broken in any way
            got = f"{short_repr(str(folder))} ({type(error).__name__}: {str(error)[:120]})"
            raise ParameterError("run", "a finished run folder", got, hint) from error
        if manifest.get("format") != FORMAT:
            got = f"format {manifest.get('format')!r}"
            raise ParameterError("run", f"of format {FORMAT}", got, hint)
        if wrong:
            got = f"a manifest.json without a good {wrong[0]!r}"
            raise ParameterError("run", "a finished run folder", got, hint)
        changes, evidence = _changes(folder), _evidence(folder)
        return cls(folder, manifest, result, judgements, changes, evidence)


def write_results(run: Run) -> None:
    """Write what was found: all that :meth:`Run.open` reads, but the judgements."""
    folder, data = run.path, run.result.to_data()
    write_parquet(run.result, folder / "anchors.parquet")
    groups = {
        name: {key: value for key, value in group.items() if key != "indices"}
        for name, group in data["groups"].items()
    }
    kept = {key: value for key, value in data.items() if key not in _PER_ANCHOR}
    write_json(folder / "explanation.json", kept | {"groups": groups})
    write_json(folder / "calibration.json", data["calibration"])
    _write_examples(folder / "pictures.safetensors", run.result.examples)
    write_json(folder / "manifest.json", run.manifest)
    if run.changes is None:
        (folder / "changes.json").unlink(missing_ok=True)
    else:
        write_json(folder / "changes.json", run.changes.to_dict())
    write_json(folder / "evidence.json", run.evidence.tables)
    if run.evidence.figure is None:
        (folder / "evidence.png").unlink(missing_ok=True)
    else:
        write_atomic(folder / "evidence.png", run.evidence.figure)


def mark_complete(run: Run) -> None:
    """Write the judgements, the last file of all: a folder that holds it is a finished run."""
    write_json(run.path / _COMPLETE, [judgement.as_dict() for judgement in run.judgements])


def write_json(path: Path, content: Any) -> None:
    """Write strict JSON; the same bytes for the same content."""
    text = json.dumps(redact_values(plain(content)), indent=1, allow_nan=False)
    write_atomic(path, (text + "\n").encode())


def _read(path: Path) -> Any:
    return read_json(path)


def _regular(path: Path) -> Path:
    """Return the path of a file that ends, before anything of it is read."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
        raise ValueError(f"{path.name} is no regular file of at most {_LARGEST} bytes")
    return path


def _read_result(folder: Path) -> Result:
    """Return the result, put together from its files."""
    data: dict[str, Any] = _read(folder / "explanation.json")
    data["calibration"] = _read(folder / "calibration.json")
    data |= _columns(folder / "anchors.parquet", data["criteria"])
    for name in GROUPS:
        data["groups"][name]["indices"] = np.flatnonzero(data["group"] == name)
    data["invalid"] = np.flatnonzero(data["group"] == INVALID)
    result, examples = Result.of(data), _read_examples(folder / "pictures.safetensors")
    if examples is not None and any(not 0 <= i < result.n for i in examples.indices.tolist()):
        raise ValueError("pictures.safetensors shows an anchor that is none of the run's")
    return replace(result, examples=examples)


def _changes(folder: Path) -> Changes | None:
    path = folder / "changes.json"
    with _readable(path):
        return Changes.from_dict(_read(path)) if path.exists() else None


def _evidence(folder: Path) -> Evidence:
    tables, figure = folder / "evidence.json", folder / "evidence.png"
    with _readable(tables):
        content = _read(tables) if tables.exists() else []
        rows = [(str(title), [list(row) for row in table]) for title, table in content]
    with _readable(figure):
        return Evidence(rows, read_bytes(figure, IMAGE_FILE) if figure.exists() else None)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Say which file it is that cannot be read."""
    try:
        yield
    except Exception as error:  # files of others may be broken in any way
        got = f"one that is not ({type(error).__name__})"
        raise ParameterError(path.name, "a readable file", got, "Run the audit again.") from error


def _columns(path: Path, criteria: Sequence[str]) -> dict[str, Any]:
    """Return the per-anchor arrays of an explanation from its table."""
    table = read_table(_regular(path))
    names = table.column_names
    # a criterion that is called like another column has a prefix there
    own = [f"criterion_{c}" if f"criterion_{c}" in names else c for c in criteria]

    def array(name: str, dtype: Any = np.float64) -> NDArray[Any]:
        return np.asarray(table[name].to_numpy(zero_copy_only=False), dtype=dtype)

    def matrix(suffix: str, dtype: Any = np.float64) -> NDArray[Any]:
        return np.stack([array(f"{name}{suffix}", dtype) for name in own], axis=1)

    def texts(name: str) -> NDArray[np.str_] | None:
        return np.array(table[name].to_pylist(), dtype=np.str_) if name in names else None

    return {
        "values": matrix(""),
        "affinity": matrix("_high_affinity", bool),
        "distance": matrix("_distance"),
        "p_value": matrix("_p_value"),
        "group": texts("group"),
        "group_stability": array("group_stability"),
        "anchor_value": array("anchor_value"),
        "labels": texts("label"),
        "ids": texts("id"),
    }


def _write_examples(path: Path, examples: Examples | None) -> None:
    from safetensors.numpy import save

    if examples is None:
        path.unlink(missing_ok=True)
        return
    data = examples.to_data()
    arrays = {
        name: np.ascontiguousarray(value)
        for name, value in data.items()
        if isinstance(value, np.ndarray)
    }
    rest = {name: plain(value) for name, value in data.items() if name not in arrays}
    text = json.dumps(redact_values(rest), sort_keys=True, allow_nan=False)
    write_atomic(path, save(arrays, {"rest": text}))


def _read_examples(path: Path) -> Examples | None:
    from safetensors import safe_open

    if not path.exists():
        return None
    RUN_ARRAYS.check(_regular(path).stat().st_size)
    with safe_open(path, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        rest: dict[str, Any] = json.loads(file.metadata()["rest"])
        return Examples.of(arrays | rest)
