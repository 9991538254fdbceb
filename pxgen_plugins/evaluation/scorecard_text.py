"""A scorecard as Markdown and as a page."""

from __future__ import annotations

import html
from typing import Any

__all__ = ["markdown", "page"]

_HEAD = ("check", "case", "measure", "value", "expected", "state", "note")


def markdown(card: Any) -> str:
    """Return the rows of a :class:`~pxgen_plugins.evaluation.Scorecard` as a Markdown table."""
    lines = ["| " + " | ".join(_HEAD) + " |", "|" + "---|" * len(_HEAD)]
    for row in card.rows:
        shown = [cell.replace("|", "\\|").replace("\n", " ") for cell in _cells(row)]
        lines.append("| " + " | ".join(shown) + " |")
    return "\n".join([*lines, "", _summary(card)]) + "\n"


def page(card: Any) -> str:
    """Return the same as one self-contained HTML page; all text is escaped."""
    head = "".join(f"<th>{name}</th>" for name in _HEAD)
    body = "".join(
        f"<tr class='{html.escape(row.state.replace(' ', '-'), quote=True)}'>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in _cells(row))
        + "</tr>\n"
        for row in card.rows
    )
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Scorecard</title>"
        "<style>body{font:15px/1.5 system-ui,sans-serif;margin:2em}table{border-collapse:"
        "collapse}td,th{border-bottom:1px solid #ccc;padding:.3em .6em;text-align:left;"
        "vertical-align:top}.failed td{font-weight:bold;color:#a84a00}</style>"
        f"<h1>Scorecard</h1><p>{html.escape(_summary(card))}</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></html>\n"
    )


def _cells(row: Any) -> list[str]:
    value = "" if row.value is None else f"{row.value:.3f}"
    if value and row.interval is not None:
        value += f" ({row.interval[0]:.3f} to {row.interval[1]:.3f})"
    return [row.check, row.case, row.measure, value, row.expected, row.state, row.note]


def _summary(card: Any) -> str:
    counts = {state: count for state, count in card.counts().items() if count}
    said = ", ".join(f"{count} {state}" for state, count in counts.items()) or "nothing was checked"
    return (
        f"{said}. Behind a share its 95% interval, behind a mean over seeds the lowest and highest."
    )
