"""What is written for readers: conditions, JUnit, Markdown, metrics and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pxgen_plugins.audit.changes import Changes
from pxgen_plugins.audit.other_methods import Evidence
from pxgen_plugins.audit.run_folder import write_json
from pxgen_plugins.audit.writers.junit import junit
from pxgen_plugins.audit.writers.markdown import summary
from pxgen_plugins.audit.writers.metrics import openmetrics
from pxgen_plugins.audit.writers.report import build_report
from pxgen_plugins.utils.files import write_atomic

__all__ = ["write_outputs"]


def write_outputs(
    folder: Path,
    manifest: Mapping[str, Any],
    data: Mapping[str, Any],
    judged: Sequence[Mapping[str, Any]],
    changes: Changes | None = None,
    evidence: Evidence | None = None,
) -> None:
    """Write the files for readers, report.html among them.

    Args:
        folder: The run folder.
        manifest: What was run.
        data: The explanation's data.
        judged: The judged conditions, as mappings.
        changes: Since the baseline, where there is one.
        evidence: What other methods say.
    """
    name = str(manifest["name"])
    found = list(judged)
    write_atomic(folder / "junit.xml", junit(found, name))
    write_atomic(folder / "summary.md", summary(data, found, name, changes).encode())
    write_atomic(folder / "metrics.prom", openmetrics(data, found, name))
    since = None if changes is None else changes.to_dict()
    if since is None:
        (folder / "changes.json").unlink(missing_ok=True)
    else:
        write_json(folder / "changes.json", since)
    tables, figure = ([], None) if evidence is None else evidence
    write_json(folder / "evidence.json", tables)
    if figure is None:
        (folder / "evidence.png").unlink(missing_ok=True)
    else:
        write_atomic(folder / "evidence.png", figure)
    page = build_report(manifest, data, data.get("examples"), found, since, tables, figure)
    write_atomic(folder / "report.html", page.encode())
    write_json(folder / "conditions.json", found)  # last: with it the run is complete
