"""Runs that tests begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from pxgen_plugins.audit.cli import PASSED, run


def finished_run(factory: pytest.TempPathFactory, settings: str, code: int = PASSED) -> Path:
    """Return a folder with ``audit.yaml`` and what its audit, which ended with ``code``, left."""
    folder = factory.mktemp("finished")
    (folder / "audit.yaml").write_text(settings, encoding="utf-8")
    assert run(["audit", str(folder / "audit.yaml"), "--quiet"]) == code
    return folder
