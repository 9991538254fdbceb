"""Colours, markers and words of the figures, in one place."""

from __future__ import annotations

from pxgen_plugins.result.style import (
    STYLES,
    GroupStyle,
    criterion_name,
    criterion_text,
    share_text,
)

__all__ = [
    "BASE",
    "BLOCK",
    "FAINT",
    "INK",
    "MUTED",
    "SMALL",
    "STYLES",
    "TINY",
    "GroupStyle",
    "criterion_name",
    "criterion_text",
    "share_text",
]

BASE, SMALL, TINY = 8.0, 7.0, 6.5  # font sizes in points: 6.5 is the smallest that prints well
INK, MUTED, FAINT, BLOCK = "#1A1A1A", "#5F5F5F", "#BDBDBD", "#E8E8E8"
