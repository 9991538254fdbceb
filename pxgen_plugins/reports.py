"""Tables of results as Markdown and as a page, and files whose format their suffix names."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Iterable, Mapping, Sequence

from pxgen_plugins.errors import ParameterError, describe
from pxgen_plugins.explanation import write_atomic

__all__ = ["html_page", "html_table", "markdown_table", "write"]

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em}table{border-collapse:"
    "collapse}td,th{border-bottom:1px solid #ccc;padding:.3em .6em;text-align:left;"
    "vertical-align:top}"
)


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


def write(
    path: str | os.PathLike[str], writers: Mapping[str, Callable[[], str]], where: str
) -> None:
    """Write a file by the function for its suffix; it appears whole.

    Args:
        path: The file.
        writers: Functions that return its content, by suffix.
        where: Who writes, for the error.

    Raises:
        ParameterError: For another suffix.
    """
    suffix = os.path.splitext(os.fspath(path))[1]
    if suffix not in writers:
        do = "Choose the format by the file's suffix."
        allowed = "a file name that ends in " + ", ".join(writers)
        raise ParameterError("path", where, allowed, describe(str(path)), do)
    write_atomic(path, writers[suffix]().encode())


def _line(cells: Sequence[str]) -> str:
    escaped = [cell.replace("|", "\\|").replace("\n", " ") for cell in cells]
    return "| " + " | ".join(escaped) + " |"
