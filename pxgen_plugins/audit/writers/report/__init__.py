"""The report of an audit: one self-contained HTML file that opens offline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pxgen_plugins.utils.lazy import attach

if TYPE_CHECKING:
    from pxgen_plugins.audit.writers.report.page import build_report

__all__ = ["build_report"]

__getattr__, __dir__ = attach(__name__, {"build_report": "page"})
