"""Flipped bits in the files of a run folder, then the commands that read it."""

from __future__ import annotations

import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from fuzz import Hang, Outcomes, flip, time_limit

from pxgen_plugins.audit import cli

__all__ = ["batch", "prepare"]

# One in so many flips of a result is followed by a report, the slowest reader, or an audit, which
# writes the result anew.
_REPORTS, _RESUMES = 3, 8
SETTINGS = """
model: {factory: "pxgen_plugins.testing.examples:LinearModel"}
anchors: {path: anchors.npz}
threshold: {name: Quantile, n_samples: 60, n_repeats: 3}
n_representatives: 3
shard_size: 16
conditions: ["HIHE.fraction >= 0.1", "label:b.HIHE.count >= 2", "threshold.kld < 100"]
output: before
"""


def prepare(folder: Path) -> dict[str, bytes]:
    """Write two finished runs, the second against the first; return the files of the second."""
    draws = np.random.default_rng(0)
    labels = [("a", "b", "c")[i % 3] for i in range(48)]
    ids = [f"anchor {i}" for i in range(48)]
    x = draws.random((48, 1, 8, 8), np.float32)
    np.savez(folder / "anchors.npz", x=x, y=labels, id=ids)
    (folder / "audit.yaml").write_text(SETTINGS, encoding="utf-8")
    second = ["--output", str(folder / "run"), "--set", "baseline=before", "--set", "seed=1"]
    for extra in ([], second):
        code, _ = _call(["audit", str(folder / "audit.yaml"), "--quiet", *extra])
        if code not in (cli.PASSED, cli.FAILED):
            raise RuntimeError(f"the audit to be damaged ended with {code}")
    return _files(folder / "run")


def batch(folder: Path, seed: int, n: int, quick: bool) -> Outcomes:
    """Flip a bit ``n`` times, of a file drawn at random, and see what each command makes of it."""
    setattr(os, "fsync", lambda descriptor: None)  # no power is cut here  # noqa: B010
    clean = prepare(folder)
    commands = _commands(folder)
    results = {name: _call(arguments) for name, arguments in commands.items()}
    _restore(folder / "run", clean)
    draws, outcomes = np.random.default_rng([7, seed]), Outcomes()
    names = sorted(name for name, content in clean.items() if content)
    for number in range(n):
        name = names[int(draws.integers(len(names)))]
        (folder / "case.txt").write_text(f"{name} ({seed}, {number})", encoding="utf-8")
        (folder / "run" / name).write_bytes(flip(clean[name], draws))
        inner = "/" in name or name == "plan.json"  # which only an audit reads
        tried = [] if inner else ["show", "compare"]
        tried += ["report"] if not inner and number % _REPORTS == 0 else []
        tried += ["resume"] if inner or number % _RESUMES == 0 else []
        for command in tried:
            _judge(command, name, commands[command], results[command], outcomes)
        _restore(folder / "run", clean)
    return outcomes


def _commands(folder: Path) -> dict[str, list[str]]:
    run, before = str(folder / "run"), str(folder / "before")
    again = ["--output", run, "--set", "baseline=before", "--set", "seed=1", "--json"]
    return {
        "show": ["show", run, "--json"],
        "compare": ["compare", before, run, "--json"],
        "report": ["report", run],
        "resume": ["audit", str(folder / "audit.yaml"), "--quiet", *again],
    }


def _judge(
    command: str, name: str, arguments: list[str], expected: tuple[int, Any], outcomes: Outcomes
) -> None:
    where = f"{command} after {name}"
    outcomes.n += 1
    try:
        with time_limit():
            code, result = _call(arguments)
    except Hang:
        outcomes.note("hangs", where)
        return
    if code == cli.INTERNAL:
        outcomes.note("exit code 4", where)
    elif code in (cli.PASSED, cli.FAILED) and (code, result) != expected:
        outcomes.note("other results without a message", where)


def _call(arguments: list[str]) -> tuple[int, Any]:
    """Return the exit code of a command, and what it says of the run."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        code = cli.run(arguments)
    try:
        return code, json.loads(out.getvalue())
    except ValueError:
        return code, None  # a path, or nothing


def _files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _restore(folder: Path, clean: dict[str, bytes]) -> None:
    for name, content in _files(folder).items():
        if name not in clean:
            (folder / name).unlink()
        elif content != clean[name]:
            (folder / name).write_bytes(clean[name])
    for name in clean.keys() - _files(folder).keys():
        (folder / name).write_bytes(clean[name])
