"""Writers of files for readers of a finished run: one file each, found by the registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from pxgen_plugins.audit.run_folder import RESULTS, Run
from pxgen_plugins.utils.registry import Registry

__all__ = ["REGISTRY", "Writer", "file_names", "register", "write_outputs"]


class Writer(ABC):
    """Writes files for readers into a run folder.

    It is made without arguments, and gets a run that has everything but these files. The same run
    gives the same bytes; text from users is made inert
    (:func:`pxgen_plugins.audit.escaping.visible`).

    Attributes:
        files: Names of every file that it may write. What an audit starts anew with ``--fresh``
            loses these, and nothing else of the folder's.
    """

    files: ClassVar[tuple[str, ...]]

    @abstractmethod
    def write(self, folder: Path, run: Run) -> None:
        """Write the files.

        Args:
            folder: The run folder.
            run: The run.
        """


REGISTRY: Registry[type[Writer]] = Registry(
    "writer", "pxgen_plugins.audit.writers", "pxgen_plugins.writers"
)
register = REGISTRY.register


def file_names() -> list[str]:
    """Return the name of every file that a run may hold beside its plan and its shards."""
    names = {name for key in REGISTRY.names() for name in REGISTRY.get(key).files}
    return sorted(names.union(RESULTS))


def write_outputs(folder: Path, run: Run) -> None:
    """Write the files for readers into a folder of this machine, each writer its own."""
    for name in REGISTRY.names():
        REGISTRY.get(name)().write(folder, run)
