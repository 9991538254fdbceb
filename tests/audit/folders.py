"""Run folders that tests use in each other's place: local, by URL, and one that fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pxgen_plugins.utils import tickets
from pxgen_plugins.utils.storage import Place, storage_of


def faulty_file_system(share: float = 0.05, seed: int = 0) -> Any:
    """Return a file system in memory: one write in twenty fails, half done, and one read."""
    from fsspec.implementations.memory import MemoryFileSystem

    class Faulty(MemoryFileSystem):
        cachable = False
        draws, n_failed = np.random.default_rng(seed), 0

        def pipe_file(self, path, value, **options):
            if self.draws.random() < share:
                Faulty.n_failed += 1
                super().pipe_file(path, value[: len(value) // 2], **options)
                raise OSError("the connection was closed")
            super().pipe_file(path, value, **options)

        def _open(self, path, mode="rb", **options):
            if mode == "rb" and self.draws.random() < share:
                raise OSError("the connection was closed")
            return super()._open(path, mode, **options)

    return Faulty()


def content(run: Place) -> dict[str, bytes]:
    """Return every file of a run."""

    def below(folder: str) -> Iterator[tuple[str, bytes]]:
        for name in storage.names(folder):
            if name == tickets.FOLDER:
                continue
            inner = f"{folder}/{name}".lstrip("/")
            if storage.names(inner):
                yield from below(inner)
            else:
                yield inner, storage.read(inner)

    storage = storage_of(run)
    return dict(below(""))


def remove(run: Place) -> None:
    """Remove a run."""
    for name in storage_of(run).names():
        storage_of(run).remove(name)
