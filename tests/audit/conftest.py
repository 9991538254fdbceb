"""Folders that runs are written to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pxgen_plugins.utils import remote, tickets
from pxgen_plugins.utils.remote import Remote
from pxgen_plugins.utils.storage import Place
from tests.audit.folders import faulty_file_system

KINDS = ("local", "memory", "file", "faulty")


@pytest.fixture(params=KINDS)
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch) -> Iterator[Place]:
    """A folder for a run, where none is yet."""
    if request.param == "local":
        yield tmp_path / "run"
        return
    pytest.importorskip("fsspec")
    from fsspec.implementations.memory import MemoryFileSystem

    monkeypatch.setattr(remote, "_WAIT", 0.0)
    monkeypatch.setattr(tickets, "_LOOK", 0.01)
    url = f"file://{tmp_path.as_posix()}/run" if request.param == "file" else "memory://bucket/run"
    if request.param == "faulty":
        fs = faulty_file_system()
        monkeypatch.setattr(remote, "_file_system", lambda url: (fs, url.removeprefix("memory:/")))
        yield Remote(url)
        assert type(fs).n_failed > 0
    else:
        yield Remote(url)
    for name in tuple(MemoryFileSystem.store):
        MemoryFileSystem.store.pop(name)
