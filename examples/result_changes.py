"""What differs between a committed file of results and one that was made anew."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

__all__ = ["Change", "changes_of_files", "changes_of_table"]

Value = float | str | bool | None
Interval = tuple[float, float]
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
_SIGNATURE = "Made by `"  # the line that says which command made the page
# Beside these keys of an object stands an interval, as "interval" or under the key named here.
_WITH_INTERVAL = {"share", "value", "gain", "fraction"}
_INTERVALS_OF = {"fractions": "intervals", "hihe_share": "hihe_interval"}


@dataclass(frozen=True)
class Change:
    """A difference between two files.

    Attributes:
        place: File, and path or line in it.
        old: The committed value.
        new: The new one.
        interval: The interval that is committed beside ``old``, where there is one.
        note: What else differs, for a person to look at, such as a picture; no move.
    """

    place: str
    old: Value = None
    new: Value = None
    interval: Interval | None = None
    note: str = ""

    def moved(self, tolerance: float) -> bool:
        """Return whether the difference is larger than ``tolerance`` times the larger value."""
        if self.note:
            return False
        if isinstance(self.old, float) and isinstance(self.new, float):
            return not math.isclose(self.old, self.new, rel_tol=tolerance, abs_tol=1e-12)
        return True

    def __str__(self) -> str:
        """Return place, old and new value, and where the new one lies."""
        if self.note:
            return f"{self.place}: {self.note}"
        text = f"{self.place}: {_text(self.old)} -> {_text(self.new)}"
        if self.interval is None or not isinstance(self.new, float):
            return text
        low, high = self.interval
        where = "inside" if low <= self.new <= high else "outside"
        return f"{text}, {where} its interval {low:.6g} to {high:.6g}"


def changes_of_files(old: Path, new: Path, volatile: Sequence[str] = ()) -> Iterator[Change]:
    """Yield what differs between two files: JSON by keys, Markdown by lines, others by bytes.

    Args:
        old: The committed file.
        new: The file that was made anew.
        volatile: Keys and columns that are not compared.
    """
    absent = [path for path in (old, new) if not path.exists()]
    if absent:
        yield Change(old.name, str(old.exists()), str(new.exists()))
    elif old.suffix == ".json":
        before, after = (json.loads(path.read_text("utf-8")) for path in (old, new))
        yield from _of_values(before, after, old.name, frozenset(volatile), None)
    elif old.suffix == ".md":
        before, after = (path.read_text("utf-8").splitlines() for path in (old, new))
        yield from _of_lines(before, after, old.name, volatile)
    elif old.read_bytes() != new.read_bytes():
        yield Change(old.name, note="another picture: look at it")


def changes_of_table(page: Path, new: Path, volatile: Sequence[str] = ()) -> Iterator[Change]:
    """Yield what differs between the tables of a new file and those of the same header in a page.

    Args:
        page: The committed page, with sentences around its tables.
        new: The Markdown file that was made anew.
        volatile: Columns that are not compared.
    """
    if not new.exists():
        yield Change(new.name, "a table", "no file")
        return
    before = {_cells(table[0]): table for table in _tables(page.read_text("utf-8").splitlines())}
    for table in _tables(new.read_text("utf-8").splitlines()):
        committed = before.get(_cells(table[0]))
        if committed is None:
            yield Change(page.name, "no table with this header", table[0])
        else:
            yield from _of_lines(committed, table, page.name, volatile)


def _of_values(
    old: Any, new: Any, place: str, volatile: frozenset[str], beside: Any
) -> Iterator[Change]:
    """Yield the changes of two JSON values; ``beside`` holds intervals for the keys of ``old``."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if key in volatile:
                continue
            if key not in old or key not in new:
                yield Change(f"{place}.{key}", str(key in old), str(key in new))
                continue
            within = old.get(_INTERVALS_OF.get(key, ""))
            if within is None and not isinstance(old[key], dict):
                within = _interval(old, key, beside)
            yield from _of_values(old[key], new[key], f"{place}.{key}", volatile, within)
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield Change(f"{place}, entries", float(len(old)), float(len(new)))
        for index, (one, other) in enumerate(zip(old, new, strict=False)):
            yield from _of_values(one, other, f"{place}[{index}{_label(one)}]", volatile, None)
    elif old != new:
        interval = beside if isinstance(beside, tuple) else None
        yield Change(place, _plain(old), _plain(new), interval)


def _interval(record: dict[str, Any], key: str, beside: Any) -> Interval | None:
    """Return the interval that a record states for one of its numbers."""
    stem = key.removesuffix("mean")
    if isinstance(beside, dict):
        found: Any = beside.get(key)
    elif key in _WITH_INTERVAL:
        found = record.get("interval")
    elif key.endswith("mean") and f"{stem}low" in record:
        found = [record[f"{stem}low"], record[f"{stem}high"]]
    else:
        found = None
    if isinstance(found, list) and len(found) == 2 and None not in found:
        return float(found[0]), float(found[1])
    return None


def _label(entry: Any) -> str:
    """Return the words of an entry of a list, so that a reader knows which one it is."""
    if not isinstance(entry, dict):
        return ""
    words = [value for value in entry.values() if isinstance(value, str) and value]
    return f": {', '.join(words[:3])}"[:80] if words else ""


def _of_lines(
    old: Sequence[str], new: Sequence[str], place: str, volatile: Sequence[str]
) -> Iterator[Change]:
    """Yield the changes of two texts: lines of the same words are compared number by number."""
    before, after = ([*_compared(lines, set(volatile))] for lines in (old, new))
    words = [[_NUMBER.sub("#", line) for line in lines] for lines in (before, after)]
    matcher = SequenceMatcher(None, words[0], words[1], autojunk=False)
    for kind, low, high, start, stop in matcher.get_opcodes():
        if kind != "equal":
            one, other = ("\n".join(part) for part in (before[low:high], after[start:stop]))
            yield Change(f"{place}, line {low + 1}", one, other)
            continue
        for index, (one, other) in enumerate(zip(before[low:high], after[start:stop], strict=True)):
            name = f"{place}, line {low + index + 1} ({one.strip('| ')[:30]})"
            numbers = zip(_numbers(one), _numbers(other), strict=True)
            for (number, interval), (now, _) in numbers:
                if number != now:
                    yield Change(name, number, now, interval)


def _compared(lines: Iterable[str], volatile: set[str]) -> Iterator[str]:
    """Yield the lines without the signature, tables without columns that are not compared."""
    hidden: set[int] = set()
    within = False
    for line in lines:
        if not line.strip() or line.startswith(_SIGNATURE):
            within = False
        elif line.startswith("|"):
            cells = _cells(line)
            if not within:
                hidden = {index for index, cell in enumerate(cells) if cell in volatile}
            within = True
            yield "|".join(cell for index, cell in enumerate(cells) if index not in hidden)
        else:
            within = False
            yield line.strip()


def _tables(lines: Iterable[str]) -> list[list[str]]:
    tables: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("|"):
            tables[-1].append(line)
        elif tables[-1]:
            tables.append([])
    return [table for table in tables if table]


def _cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.strip().strip("|").split("|"))


def _numbers(line: str) -> list[tuple[float, Interval | None]]:
    """Return the numbers of a line, each with the interval in brackets behind it."""
    found = list(_NUMBER.finditer(line))
    values = [float(match[0].replace(",", "")) for match in found]
    result: list[tuple[float, Interval | None]] = []
    for index, value in enumerate(values):
        interval = None
        if index + 2 < len(found):
            opening = line[found[index].end() : found[index + 1].start()]
            between = line[found[index + 1].end() : found[index + 2].start()]
            opens = re.fullmatch(r"\s*%?\s*[(\[]", opening)
            if opens and re.fullmatch(r"\s*%?(?: to |, ?)", between):
                interval = (values[index + 1], values[index + 2])
        result.append((value, interval))
    return result


def _plain(value: Any) -> Value:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    return value if isinstance(value, (str, bool)) or value is None else json.dumps(value)


def _text(value: Value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
