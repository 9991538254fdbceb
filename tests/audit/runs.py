"""Runs that tests begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from pxgen_plugins.audit.checksums import CHECKSUMS, write_checksums
from pxgen_plugins.audit.cli import PASSED, run
from pxgen_plugins.audit.run_folder import RESULTS


def finished_run(factory: pytest.TempPathFactory, settings: str, code: int = PASSED) -> Path:
    """Return a folder with ``audit.yaml`` and what its audit, which ended with ``code``, left."""
    folder = factory.mktemp("finished")
    (folder / "audit.yaml").write_text(settings, encoding="utf-8")
    assert run(["audit", str(folder / "audit.yaml"), "--quiet"]) == code
    return folder


def reseal(folder: Path) -> None:
    """Compute the checksums of a run folder anew, as somebody who changed a file on purpose may."""
    write_checksums(folder, set(RESULTS) - {CHECKSUMS})
