"""How an audit gets its run folder: begun, gone on with, or refused."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pxgen_plugins.audit.run_folder import QUESTIONS, remove_verdict
from pxgen_plugins.audit.work import FOLDERS, plan_checksum, sweep
from pxgen_plugins.audit.writers.base import file_names
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.files import plain
from pxgen_plugins.utils.locks import BusyError
from pxgen_plugins.utils.resumable import PLAN, begin, read_plan
from pxgen_plugins.utils.storage import Place, storage_of

__all__ = ["alone", "claim", "clear"]

# faults of a disk, for which no setting is to blame
_FULL = frozenset(getattr(errno, name, -1) for name in ("ENOSPC", "EDQUOT", "EIO"))

_OWN = (*FOLDERS, QUESTIONS)  # folders in a run folder


@contextmanager
def alone(folder: Place, part: tuple[int, int] | None = None) -> Iterator[None]:
    """Keep other audits out of a run folder meanwhile, which is made; parts of one share it.

    Args:
        folder: The run folder.
        part: (i, n) of a part; None for a whole run.

    Raises:
        ParameterError: When another audit works there, or the folder cannot be made.
        OSError: When the disk is full or fails.
    """
    with ExitStack() as stack:
        try:
            with _named(folder):
                stack.enter_context(storage_of(folder).alone(shared=part is not None))
            yield
        except BusyError as error:  # at once, or when another one took the folder over
            hint = "Wait until it has ended, or choose another output; parts of one run share it."
            allowed, got = "a folder where no other audit runs", short_repr(str(folder))
            raise ParameterError("output", allowed, f"{got}, where one does", hint) from error


def claim(folder: Place, plan: Mapping[str, Any], fresh: bool, say: Callable[[str], None]) -> None:
    """Begin a run in a folder, or go on with one of the same plan, whose verdict is removed.

    Args:
        folder: The run folder.
        plan: What the run does: settings, digests, number of anchors.
        fresh: Remove what an earlier run left.
        say: Gets a line of text when a run goes on.

    Raises:
        ParameterError: When the folder holds another run, files of others, or links.
        OSError: When the disk is full or fails, or the files of a run cannot be changed.
    """
    with _named(folder):
        _begin_or_resume(folder, plan, fresh, say)


@contextmanager
def _named(folder: Place) -> Iterator[None]:
    """Say of faults of a folder which one it is, and what to do."""
    try:
        yield
    except ValueError as error:
        if isinstance(error, ParameterError):
            raise
        got = f"{short_repr(str(folder))} ({error})"
        raise ParameterError("output", "a run folder, or empty", got, "Use --fresh.") from error
    except OSError as error:
        if error.errno in _FULL or not isinstance(folder, Path) or (folder / PLAN).is_file():
            raise
        hint = "Choose another output, or mend its permissions."
        got = f"{short_repr(str(folder))} ({type(error).__name__}: {error.strerror})"
        raise ParameterError("output", "a folder that can be written", got, hint) from error


def _begin_or_resume(
    folder: Place, plan: Mapping[str, Any], fresh: bool, say: Callable[[str], None]
) -> None:
    content = plain(plan)
    content["checksum"] = plan_checksum(content)
    is_new = not _is_run(folder)
    if is_new and _has_files(folder):
        hint = "Choose an empty folder; nothing of others is written over."
        raise ParameterError("output", "empty, or a run", "other files", hint)
    if not is_new and isinstance(folder, Path):
        sweep(folder)
    if not is_new and fresh:
        clear(folder)
        is_new = True
    if isinstance(folder, Path):
        _check_places(folder)
    different = begin(folder, content, identity=lambda plan: plan["digests"])
    if different and is_new:
        got = "another run, begun at the same time"
        raise ParameterError("output", "a folder of one run", got, "Choose another output.")
    if different:
        hint = "Choose another output, or start over with --fresh."
        got = "other " + ", ".join(different)
        raise ParameterError("output", "a run of the same plan", got, hint)
    if not is_new:
        say(f"going on in {folder}")
        remove_verdict(folder, file_names())


def _check_places(folder: Path) -> None:
    """Raise when a folder of the run is not its own: nothing is written elsewhere."""
    for name in _OWN:
        place = folder / name
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            kind = "a link" if place.is_symlink() else "a file"
            hint = "Remove it, or start over with --fresh."
            allowed = "a run folder whose parts lie in it"
            raise ParameterError("output", allowed, f"one where {name} is {kind}", hint)


def _is_run(folder: Place) -> bool:
    """Return whether a folder holds a plan; raise where it is none of an audit."""
    try:
        plan = read_plan(folder)
        if plan is None or plan.keys() == {"settings", "digests", "n_anchors", "checksum"}:
            return plan is not None
    except (OSError, ValueError):
        pass
    hint = "Choose an empty folder; nothing of others is written over."
    raise ParameterError("output", "empty, or a run", f"a {PLAN} that is none of ours", hint)


def clear(folder: Place) -> None:
    """Remove what is ours; the plan goes last, because it marks the folder as a run.

    Raises:
        OSError: When a file cannot be removed.
    """
    remove_verdict(folder, file_names())
    for name in (*_OWN, PLAN):
        storage_of(folder).remove(name)


def _has_files(folder: Place) -> bool:
    return any(not name.startswith(".") for name in storage_of(folder).names())
