"""Numbers, tables and pages as text, and files whose format their suffix names."""

from __future__ import annotations

import html
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence

from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.files import write_atomic

__all__ = [
    "duration_text",
    "html_page",
    "html_table",
    "markdown_table",
    "number",
    "percent",
    "percent_interval",
    "points",
    "write",
]

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em}table{border-collapse:"
    "collapse}td,th{border-bottom:1px solid #ccc;padding:.3em .6em;text-align:left;"
    "vertical-align:top}"
)


def number(value: float | None, digits: int = 4) -> str:
    """Return a number in some significant digits; whole numbers in full, ``n/a`` without a value.

    Args:
        value: The number; None and NaN mean that there is none.
        digits: Significant digits of a fraction.

    Example:
        >>> [number(value) for value in (0.0834, 1234567, 1234.56, -1.23e-7, float("inf"), None)]
        ['0.0834', '1,234,567', '1,235', '-1.23e-07', 'inf', 'n/a']
    """
    if value is None or value != value:
        return "n/a"
    if isinstance(value, int):
        return f"{value:,}"
    if 1e3 <= abs(value) < 1e15:
        return (
            f"{float(f'{value:.{digits}g}'):,.0f}"
            if abs(value) >= 10 ** (digits - 1)
            else f"{value:,.{digits}g}"
        )
    return f"{value:.{digits}g}"


def percent(share: float | None, decimals: int = 1) -> str:
    """Return a share in percent; one that would round to 0 or 100 says so.

    Args:
        share: The share, or the change of one.
        decimals: Digits behind the point, >= 1.

    Example:
        >>> [percent(share) for share in (0.0523, 0.0001, 0.0, 0.9999, None)]
        ['5.2 %', '<0.1 %', '0 %', '>99.9 %', 'n/a']
    """
    if share is None or share != share:
        return "n/a"
    if share < 0:  # a change of a share
        return "-" + percent(-share, decimals)
    if share in (0.0, 1.0):
        return f"{100 * share:.0f} %"
    least = 10.0**-decimals
    if 100 * share < least / 2:
        return f"<{least:.{decimals}f} %"
    if 100 - least / 2 <= 100 * share < 100:
        return f">{100 - least:.{decimals}f} %"
    return f"{100 * share:.{decimals}f} %"


def percent_interval(low: float | None, high: float | None) -> str:
    """Return the ends of an interval in percent, with enough digits to differ; "" without ends.

    Example:
        >>> percent_interval(0.1, 0.25), percent_interval(0.000049, 0.000127)
        ('10.0 % to 25.0 %', '0.005 % to 0.013 %')
        >>> percent_interval(0.0, 0.0031), percent_interval(None, None)
        ('0 % to 0.3 %', '')
    """
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    width = 100 * (high - low)
    decimals = min(max(1, math.ceil(-math.log10(width))), 6) if width > 0 else 1
    return f"{percent(low, decimals)} to {percent(high, decimals)}"


def points(change: float | None) -> str:
    """Return the change of a share in percentage points, with its sign.

    Example:
        >>> points(-0.0523), points(None)
        ('-5.2', 'n/a')
    """
    return "n/a" if change is None or not math.isfinite(change) else f"{100 * change:+.1f}"


def markdown_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], n_left: int | None = None
) -> list[str]:
    r"""Return the lines of a Markdown table; what would break it in a cell is escaped.

    Args:
        head: Names of the columns.
        rows: Cells of each row.
        n_left: How many columns stand at the left, the others at the right; None sets no side.

    Example:
        >>> markdown_table(["case", "n"], [["a|b", "3"]], n_left=1)
        ['| case | n |', '|---|--:|', '| a\\|b | 3 |']
    """
    left = len(head) if n_left is None else n_left
    lines = [_line(head), "|" + "---|" * left + "--:|" * (len(head) - left)]
    return [*lines, *(_line(row) for row in rows)]


def duration_text(duration: float) -> str:
    """Return a duration in words, no more exact than it is.

    Example:
        >>> [duration_text(t) for t in (0.2, 8.4, 75, 7300)]
        ['a second', '8 seconds', '1.2 minutes', '2 hours']
    """
    if duration < 1.5:
        return "a second"
    if duration < 60:
        return f"{duration:.0f} seconds"
    unit, name = (60, "minutes") if duration < 3600 else (3600, "hours")
    return f"{duration / unit:.2g} {name}"


def html_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], classes: Iterable[str] | None = None
) -> str:
    """Return an HTML table; cells and classes are escaped, the names of columns are ours.

    Args:
        head: Names of the columns.
        rows: Cells of each row.
        classes: A class for each row.
    """
    names = "".join(f"<th>{name}</th>" for name in head)
    cells = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
    marks = [""] * len(cells)
    if classes is not None:
        marks = [f" class='{html.escape(mark, quote=True)}'" for mark in classes]
    body = "".join(f"<tr{mark}>{row}</tr>\n" for mark, row in zip(marks, cells, strict=True))
    return f"<table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>"


def html_page(title: str, body: str, style: str = "") -> str:
    """Return one self-contained HTML page.

    Args:
        title: Its title and heading, ours.
        body: What stands below the heading, escaped already.
        style: Rules beside those of every page.
    """
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title>"
        f"<style>{_STYLE}{style}</style><h1>{title}</h1>{body}</html>\n"
    )


def write(path: str | os.PathLike[str], writers: Mapping[str, Callable[[], str]]) -> None:
    """Write a file by the function for its suffix; it appears whole.

    Args:
        path: The file.
        writers: Functions that return its content, by suffix.

    Raises:
        ParameterError: For another suffix.
    """
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if suffix not in writers:
        hint = "Choose the format by the file's suffix."
        allowed = "a file name that ends in " + ", ".join(writers)
        raise ParameterError("path", allowed, short_repr(str(path)), hint)
    write_atomic(path, writers[suffix]().encode())


def _line(cells: Sequence[str]) -> str:
    escaped = [cell.replace("|", "\\|").replace("\n", " ") for cell in cells]
    return "| " + " | ".join(escaped) + " |"
