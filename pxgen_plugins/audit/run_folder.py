"""The run folder: what an audit writes, and how it is read again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.audit.changes import Changes
from pxgen_plugins.audit.checksums import CHECKSUMS, Results, write_checksums
from pxgen_plugins.audit.run_table import RunTable
from pxgen_plugins.audit.verdicts import Judgement
from pxgen_plugins.groups import GROUPS, INVALID, members
from pxgen_plugins.result import Examples, Result, write_parquet
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.files import plain, write_atomic
from pxgen_plugins.utils.json_files import parse_json
from pxgen_plugins.utils.limits import IMAGE_FILE, JSON_FILE, RUN_ARRAYS, RUN_FILE
from pxgen_plugins.utils.redaction import redact_values
from pxgen_plugins.utils.remote import place_of
from pxgen_plugins.utils.storage import Place, storage_of
from pxgen_plugins.utils.tensors import parse_tensors

if TYPE_CHECKING:
    from pxgen_plugins.evaluation import Copies

__all__ = [
    "FORMAT",
    "NOT_RUN",
    "NO_EVIDENCE",
    "QUESTIONS",
    "RESULTS",
    "Evidence",
    "Run",
    "mark_complete",
    "remove_verdict",
    "write_json",
    "write_results",
]

FORMAT = 1
_VERDICT = "conditions.json"
RESULTS = (
    "anchors.parquet", "calibration.json", "changes.json", CHECKSUMS, _VERDICT, "copies.json",
    "copies.safetensors", "evidence.json",
    "evidence.png", "explanation.json", "manifest.json", "pictures.safetensors",
)  # fmt: skip
"""Files that hold what a run found, from which it is opened again; writers add others."""

QUESTIONS = "questions"  # folder of what describers were asked and answered
_MANIFEST = {
    "name": str, "pxgen": str, "digests": dict, "seed": int, "settings": dict, "n_anchors": int,
    "model": str, "versions": dict, "machine": dict,
}  # fmt: skip
_PER_ANCHOR = (
    "values", "affinity", "group", "group_stability", "distance", "p_value", "anchor_value",
    "labels", "ids", "examples", "calibration",
)  # fmt: skip


NOT_RUN = "not run"
"""Head of the last column of a table of methods, which says why one did not run."""


class Evidence(NamedTuple):
    """What other methods say of the anchors that PXGen picked.

    Attributes:
        tables: Titles, each with rows of text, the head first; empty without adapters.
        figure: PNG of what they show, None without adapters.
    """

    tables: Sequence[tuple[str, Sequence[Any]]] = ()
    figure: bytes | None = None

    @property
    def not_run(self) -> list[tuple[str, str]]:
        """The methods that could not run, each with the reason."""
        tables = [rows for _, rows in self.tables if rows and rows[0] and rows[0][-1] == NOT_RUN]
        return [(row[0], row[-1]) for _, *rows in tables for row in rows if row and row[-1]]


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
        copies: What the search for training data found, where there was one.
    """

    path: Place
    manifest: dict[str, Any]
    result: Result
    judgements: list[Judgement]
    changes: Changes | None = None
    evidence: Evidence = NO_EVIDENCE
    copies: Copies | None = None

    @classmethod
    def open(cls, path: str | Place) -> Run:
        """Return the run in a folder, of a path or a URL.

        Raises:
            ParameterError: When it is not a finished run, or a file of it cannot be read.
        """
        folder = place_of(path) if isinstance(path, str) else path
        hint = "Give the output folder of a finished pxgen audit, or run the audit again."
        try:
            results = Results(folder)
            manifest = _json(results, "manifest.json")
            judgements = [Judgement.from_dict(one) for one in _json(results, _VERDICT)]
            result = _read_result(results)
            if result.n != manifest["n_anchors"]:
                raise ValueError("anchors.parquet has another number of anchors")
            wrong = [k for k, kind in _MANIFEST.items() if not isinstance(manifest.get(k), kind)]
            changes, evidence = _changes(results), _evidence(results)
            copies = _copies(results)
        except Exception as error:  # files of others may be broken in any way
            name, why = type(error).__name__, str(error)[:200]
            got = f"{short_repr(str(folder))} ({name}: {why})"
            raise ParameterError("run", "a finished run folder", got, hint) from error
        if manifest.get("format") != FORMAT:
            got = f"format {manifest.get('format')!r}"
            raise ParameterError("run", f"of format {FORMAT}", got, hint)
        if wrong:
            got = f"a manifest.json without a good {wrong[0]!r}"
            raise ParameterError("run", "a finished run folder", got, hint)
        return cls(folder, manifest, result, judgements, changes, evidence, copies)


def remove_verdict(folder: Place, names: Sequence[str], *, strict: bool = True) -> None:
    """Remove what an earlier run judged, so that it does not outlive a newer one that fails.

    Args:
        folder: The run folder.
        names: The files for readers, which show the verdict too.
        strict: Raise where a file cannot be removed; otherwise it is left, and the others go.

    Raises:
        OSError: When one cannot be removed.
    """
    for name in (CHECKSUMS, _VERDICT, *names):  # in this order: without the first there is no run
        try:
            storage_of(folder).remove(name)
        except OSError:
            if strict:
                raise


def write_results(folder: Path, run: Run) -> None:
    """Write what was found: all that :meth:`Run.open` reads, but the judgements.

    Args:
        folder: A folder of this machine.
        run: The run.
    """
    data = run.result.to_data()
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
    _write_copies(folder, run.copies)
    write_json(folder / "evidence.json", run.evidence.tables)
    if run.evidence.figure is None:
        (folder / "evidence.png").unlink(missing_ok=True)
    else:
        write_atomic(folder / "evidence.png", run.evidence.figure)


def mark_complete(folder: Path, run: Run) -> None:
    """Write the judgements and, last of all, the checksums: with them a run is finished."""
    write_json(folder / _VERDICT, [judgement.as_dict() for judgement in run.judgements])
    write_checksums(folder, set(RESULTS) - {CHECKSUMS})


def write_json(path: Path, content: Any) -> None:
    """Write strict JSON; the same bytes for the same content."""
    text = json.dumps(redact_values(plain(content)), indent=1, allow_nan=False)
    write_atomic(path, (text + "\n").encode())


def _json(results: Results, name: str) -> Any:
    return parse_json(results.read(name, JSON_FILE))


def _read_result(results: Results) -> Result:
    """Return the result, put together from its files."""
    data: dict[str, Any] = _json(results, "explanation.json")
    data["calibration"] = _json(results, "calibration.json")
    data |= _columns(results.read_large("anchors.parquet", RUN_FILE), data["criteria"])
    for name in GROUPS:
        data["groups"][name]["indices"] = members(data["group"], name)
    data["invalid"] = members(data["group"], INVALID)
    examples = _examples(results.find("pictures.safetensors", RUN_ARRAYS))
    result = Result.of(data)
    if examples is not None and any(not 0 <= i < result.n for i in examples.indices.tolist()):
        raise ValueError("pictures.safetensors shows an anchor that is none of the run's")
    return replace(result, examples=examples)


def _changes(results: Results) -> Changes | None:
    content = results.find("changes.json", JSON_FILE)
    with _readable("changes.json"):
        return None if content is None else Changes.from_dict(parse_json(content))


def _evidence(results: Results) -> Evidence:
    with _readable("evidence.json"):
        tables = parse_json(results.find("evidence.json", JSON_FILE) or b"[]")
        rows = [(str(title), [list(row) for row in table]) for title, table in tables]
    return Evidence(rows, results.find("evidence.png", IMAGE_FILE))


def _write_copies(folder: Path, copies: Copies | None) -> None:
    from safetensors.numpy import save

    if copies is None:
        for name in ("copies.json", "copies.safetensors"):
            (folder / name).unlink(missing_ok=True)
        return
    content, arrays = copies.to_data()
    write_json(folder / "copies.json", content)
    write_atomic(folder / "copies.safetensors", save(arrays))


def _copies(results: Results) -> Copies | None:
    content = results.find("copies.json", JSON_FILE)
    arrays = results.find("copies.safetensors", RUN_ARRAYS)
    if content is None or arrays is None:
        return None
    from pxgen_plugins.evaluation import Copies  # torch, which other runs need not

    with _readable("copies.json"):
        return Copies.of(parse_json(content), parse_tensors(arrays)[0])


@contextlib.contextmanager
def _readable(name: str) -> Iterator[None]:
    """Say which file it is that cannot be read."""
    try:
        yield
    except Exception as error:  # files of others may be broken in any way
        raise ValueError(f"{name}: {type(error).__name__}: {str(error)[:100]}") from error


def _columns(content: NDArray[np.uint8], criteria: Sequence[str]) -> dict[str, Any]:
    """Return the per-anchor arrays of an explanation from its table."""
    table = RunTable(content)
    # a criterion that is called like another column has a prefix there
    own = [f"criterion_{c}" if f"criterion_{c}" in table.names else c for c in criteria]
    group = table.texts("group")
    if group is None:
        raise ValueError("there is no column 'group'")
    return {
        "values": table.numbers(own),
        "affinity": table.numbers([f"{name}_high_affinity" for name in own], bool),
        "distance": table.numbers([f"{name}_distance" for name in own]),
        "p_value": table.numbers([f"{name}_p_value" for name in own]),
        "group": group,
        "group_stability": table.numbers(["group_stability"])[:, 0],
        "anchor_value": table.numbers(["anchor_value"])[:, 0],
        "labels": table.texts("label"),
        "ids": table.texts("id"),
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


def _examples(content: bytes | None) -> Examples | None:
    if content is None:
        return None
    arrays, metadata = parse_tensors(content)
    rest: dict[str, Any] = parse_json(metadata["rest"].encode())
    return Examples.of(arrays | rest)
