"""A scorecard as a Markdown table and as an HTML page."""

from __future__ import annotations

import html
from typing import Any

from pxgen_plugins.utils.html import rows_card
from pxgen_plugins.utils.text import html_page, html_table, markdown_table

__all__ = ["card_html", "markdown", "page"]

_HEAD = ("check", "case", "measure", "value", "expected", "state", "note")


def markdown(card: Any) -> str:
    """Return the rows of a :class:`~pxgen_plugins.evaluation.Scorecard` as a Markdown table."""
    lines = markdown_table(_HEAD, [_cells(row) for row in card.rows])
    return "\n".join([*lines, "", _summary(card)]) + "\n"


def page(card: Any) -> str:
    """Return the same as one self-contained HTML page; all text is escaped."""
    states = [row.state.replace(" ", "-") for row in card.rows]
    table = html_table(_HEAD, [_cells(row) for row in card.rows], states)
    body = f"<p>{html.escape(_summary(card))}</p>{table}"
    return html_page("Scorecard", body, ".failed td{font-weight:bold;color:#a84a00}")


def card_html(card: Any) -> str:
    """Return the same for a notebook, inert and small."""
    return rows_card("Scorecard", [_cells(row) for row in card.rows], [_summary(card)], _HEAD)


def _cells(row: Any) -> list[str]:
    value = "" if row.value is None else f"{row.value:.3f}"
    if value and row.interval is not None:
        value += f" ({row.interval[0]:.3f} to {row.interval[1]:.3f})"
    return [row.check, row.case, row.measure, value, row.expected, row.state, row.note]


def _summary(card: Any) -> str:
    counts = {state: count for state, count in card.counts().items() if count}
    states = ", ".join(f"{count} {state}" for state, count in counts.items())
    return (
        f"{states or 'nothing was checked'}. Behind a share its 95% interval, behind a mean over "
        "seeds the lowest and highest."
    )
