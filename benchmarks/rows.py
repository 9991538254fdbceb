"""What a benchmark yields: one measured number, its setting, and the target beside it."""

from __future__ import annotations

from dataclasses import dataclass

from pxgen_plugins.utils.errors import short_repr

__all__ = ["HEADER", "Row", "describe", "line"]


@dataclass(frozen=True)
class Row:
    """One number of the table.

    Attributes:
        name: What was measured.
        setting: The sizes.
        value: The number; None where there is none, and then ``note`` or ``error`` says why.
        unit: Its unit; times are ratios of two times of the same run, where that is possible.
        target: What it should be at most; None without a target.
        note: What else one should know.
        error: Why the benchmark failed; empty when it did not.
    """

    name: str
    setting: str
    value: float | None
    unit: str
    target: float | None = None
    note: str = ""
    error: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the target was reached; None without a target or a value."""
        if self.target is None or self.value is None:
            return None
        return self.value <= self.target


def describe(error: Exception) -> str:
    """Return an exception as the text of a row, on one line."""
    return f"{type(error).__name__}: {short_repr(str(error))}"


def line(row: Row, judge: bool) -> str:
    """Return a row as a line of the table; with ``judge`` it says when the target was missed."""
    value = "-" if row.value is None else f"{row.value:.3g}"
    target = "" if row.target is None else f"<= {row.target:g}"
    note = f"FAILED: {row.error}" if row.error else row.note
    if judge and row.reached is False:
        note = f"target missed; {note}" if note else "target missed"
    return _align(row.name, row.setting, value, row.unit, target, note)


def _align(name: str, setting: str, value: str, unit: str, target: str, note: str) -> str:
    # rows are printed as they come, so the widths cannot follow from the whole table
    columns = f"{name:<50}  {setting:<50}  {value:>8}  {unit:<20}  {target:<8}  {note}"
    return columns.rstrip()


HEADER = _align("benchmark", "setting", "value", "unit", "target", "note")
