"""Anchors by URL: copied to this machine once, and read from there."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from pxgen_plugins.utils.errors import AnchorError, short_repr
from pxgen_plugins.utils.files import checksum
from pxgen_plugins.utils.remote import Remote, is_url

__all__ = ["local_copy"]


def local_copy(path: str, parameter: str) -> str:
    """Return the path of a file or folder; of a URL, that of its copy on this machine.

    The copy lies in the user's cache (``$XDG_CACHE_HOME/pxgen_plugins``, or ``~/.cache``), and is
    made again when a file behind the URL changes, as the file system says by its size, time or tag.

    Args:
        path: The path or URL.
        parameter: What it was given as, for messages.

    Raises:
        AnchorError: When nothing is there, or it is a ``.csv``, whose pictures lie elsewhere.
        OSError: When it cannot be read, or the disk is full.
    """
    if not is_url(path):
        return path
    remote = Remote(path)
    if remote.name.lower().endswith(".csv"):
        hint = "Give the folder of its pictures, or a .parquet, .npy, .jsonl or .txt file."
        raise AnchorError(parameter, "a path where it is a .csv", short_repr(path), hint)
    try:
        files = remote.files()
    except FileNotFoundError:
        files = {}
    if not files or any(os.pardir in Path(name).parts for name in files):
        hint = "Check the spelling, and the credentials in the environment."
        raise AnchorError(parameter, "the URL of what is there", short_repr(path), hint)
    key = checksum(json.dumps([remote.url, files], sort_keys=True).encode())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "pxgen_plugins"
    place = cache / key
    if not place.exists():
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        _download(remote, files, place)
    return str(place / remote.name)


def _download(remote: Remote, files: dict[str, str], place: Path) -> None:
    """Copy files; the place is there when all are."""
    draft = place.with_name(f".{place.name}.{secrets.token_hex(8)}")
    try:
        for name in files:
            remote.download(name, draft / remote.name / name)
        with suppress(OSError):  # another process was faster
            draft.rename(place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
