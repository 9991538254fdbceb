"""A log on disk: a row is a line, appended whole, so that a killed session goes on."""

from __future__ import annotations

import os
import stat
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pxgen_plugins.evaluation.steering.log import different, head_row, parse_rows, row_line
from pxgen_plugins.utils.errors import ParameterError
from pxgen_plugins.utils.limits import JSON_FILE

__all__ = ["LogFile"]

_OWN = ("user", "participant", "unit")
_FLAGS = ("O_APPEND", "O_CLOEXEC", "O_NONBLOCK", "O_NOFOLLOW", "O_BINARY")


class LogFile:
    """An open log; new, or one that a session of the same task left behind.

    Args:
        path: The file; folders on the way are made. Only its owner may read it.
        about: The head that it has, or must have.

    Attributes:
        rows: What was in it.
        close: Closes it; again, nothing happens.

    Raises:
        ParameterError: When it is another task's or person's log, something else, or in use.
        OSError: When it cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str], about: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | sum(getattr(os, name, 0) for name in _FLAGS)
        self._file = os.open(self.path, flags, 0o600)
        # also when nobody calls close: a notebook's cell may simply be run again
        self.close = weakref.finalize(self, os.close, self._file)
        try:
            if not stat.S_ISREG(os.fstat(self._file).st_mode):
                hint = "Name a new file, such as 'log.jsonl'."
                raise ParameterError("path", "a regular file", str(self.path), hint)
            self._lock()
            self.rows = self._resume(about)
        except BaseException:
            self.close()
            raise

    def _lock(self) -> None:
        """Keep another session out for as long as the file is open, also where this one dies."""
        try:
            import fcntl
        except ImportError:  # Windows
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            hint = "Close the other session, or name another file."
            raise ParameterError("path", "free", f"{self.path}, in use", hint) from error
        except OSError:  # a file system without locks
            return

    def _resume(self, about: Mapping[str, Any]) -> list[dict[str, Any]]:
        size = os.fstat(self._file).st_size
        JSON_FILE.check(size)
        with open(self._file, "rb", closefd=False) as file:
            content = file.read()
        first = row_line(head_row(about)).encode()
        if len(content) < len(first) and first.startswith(content):
            os.ftruncate(self._file, 0)  # new, or killed before its first line was whole
            self.append(head_row(about))
            return []
        head, rows, length = parse_rows(content)
        names = different(head, about)
        names += [name for name in _OWN if head.get(name) != about[name]]
        if names:
            hint = "Name another file, or make the task as it was."
            got = f"{self.path}, which differs in {', '.join(names)}"
            raise ParameterError("path", "new, or of the same task", got, hint)
        if length < len(content):
            os.ftruncate(self._file, length)
        return rows

    def append(self, row: Mapping[str, Any]) -> None:
        """Write a row in one call; a line that does not fit the disk is taken back.

        Raises:
            OSError: When it cannot be written.
        """
        line = row_line(row).encode()
        before = os.fstat(self._file).st_size
        if os.write(self._file, line) < len(line):
            os.ftruncate(self._file, before)
            raise OSError(28, "the line does not fit", str(self.path))
