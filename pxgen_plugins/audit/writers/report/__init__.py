"""The report of an audit: one self-contained HTML file that opens offline."""

from __future__ import annotations

from pathlib import Path

from pxgen_plugins.audit.run_folder import Run
from pxgen_plugins.audit.writers.base import Writer, register
from pxgen_plugins.audit.writers.report.page import build_report
from pxgen_plugins.utils.files import write_atomic

__all__ = ["ReportWriter", "build_report"]


@register("report")
class ReportWriter(Writer):
    """The page for people."""

    files = ("report.html",)

    def write(self, folder: Path, run: Run) -> None:
        """Write ``report.html``."""
        page = build_report(
            run.manifest, run.result, run.judgements, run.changes, run.evidence, run.copies
        )
        write_atomic(folder / "report.html", page.encode())
