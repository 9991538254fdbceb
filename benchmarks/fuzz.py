"""Damage on purpose: flipped bits in every file of a run folder, and damaged files of every kind.

A run folder is followed by show, report, compare and resume, a file by its reader. What must not
happen: exit code 4 or an exception that is none of ours, a command that does not end, a process
that dies, and a verdict or numbers other than those of the undamaged files without a message.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import fresh_process
import numpy as np
from rows import Row

__all__ = ["Hang", "Outcomes", "damage", "flip", "run", "time_limit"]

_BATCH = 250  # cases in one process, which one of them may end
_SECONDS = 60  # for one command
_MOST_NOTES = 12


class Hang(BaseException):
    """A command did not end in time; no handler of Exception catches it."""


@dataclass
class Outcomes:
    """How the cases of a batch ended.

    Attributes:
        n: Commands, or readers, that ran.
        faults: Kinds of ends that must not be, each counted by where it happened.
    """

    n: int = 0
    faults: dict[str, Counter[str]] = field(default_factory=dict)

    def note(self, fault: str, where: str) -> None:
        """Count a fault."""
        self.faults.setdefault(fault, Counter())[where] += 1

    def add(self, other: Outcomes) -> None:
        """Take in the outcomes of another batch."""
        self.n += other.n
        for fault, places in other.faults.items():
            self.faults.setdefault(fault, Counter()).update(places)


Batch = Callable[[Path, int, int, bool], Outcomes]
FAULTS = ("exit code 4", "hangs", "dead processes", "other results without a message")


def run(quick: bool = False) -> Iterator[Row]:
    """Yield how often each fault happened: to flipped bits of run folders, to damaged files."""
    import fuzz_files
    import fuzz_run_folder

    plans: list[tuple[str, Batch, int]] = [
        ("run folder", fuzz_run_folder.batch, 24 if quick else 5_000),
        ("files", fuzz_files.batch, 30 if quick else 3_000),
    ]
    for name, batch, n in plans:
        with tempfile.TemporaryDirectory() as folder:
            outcomes = _batches(Path(folder), batch, n, quick)
        setting = f"{n:,} damages, {outcomes.n:,} commands"
        for fault in FAULTS:
            places = outcomes.faults.get(fault, Counter())
            note = "; ".join(f"{where} {count}" for where, count in places.most_common(_MOST_NOTES))
            yield Row(f"fuzz {name}: {fault}", setting, places.total(), "cases", 0, note)


def _batches(folder: Path, batch: Batch, n: int, quick: bool) -> Outcomes:
    total = Outcomes()
    for number, first in enumerate(range(0, n, _BATCH)):
        place = folder / str(number)
        place.mkdir()
        try:
            total.add(fresh_process.call(batch, place, number, min(_BATCH, n - first), quick))
        except BrokenProcessPool:
            marker = place / "case.txt"
            where = marker.read_text(encoding="utf-8") if marker.exists() else "before the first"
            total.note("dead processes", where)
        counts = {fault: places.total() for fault, places in total.faults.items()}
        print(f"{first + _BATCH:,} of {n:,}: {counts or 'nothing'}", file=sys.stderr, flush=True)
    return total


@contextmanager
def time_limit() -> Iterator[None]:
    """Raise :class:`Hang` in what takes too long; only in the main thread of a process."""

    def stop(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, _SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def flip(content: bytes, draws: np.random.Generator) -> bytes:
    """Return a content of at least one byte with one bit of it changed."""
    changed = bytearray(content)
    changed[int(draws.integers(len(content)))] ^= 1 << int(draws.integers(8))
    return bytes(changed)


def damage(content: bytes, draws: np.random.Generator) -> bytes:
    """Return a content with flipped bits, or a piece cut off, blanked, doubled or put in."""
    at, length = int(draws.integers(len(content))), int(draws.integers(1, 64))
    kind = int(draws.integers(5))
    if kind == 0:
        for _ in range(int(draws.integers(1, 9))):
            content = flip(content, draws)
        return content
    piece = (b"", b"", bytes(length), 2 * content[at : at + length], draws.bytes(length))[kind]
    return content[:at] + piece + (b"" if kind == 1 else content[at + length :])
