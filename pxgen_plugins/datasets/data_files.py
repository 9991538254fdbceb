"""Files that come with the package, each checked against the checksum on its card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pxgen_plugins.utils.errors import PXGenError
from pxgen_plugins.utils.files import checksum, read_regular
from pxgen_plugins.utils.json_files import read_json
from pxgen_plugins.utils.limits import RUN_ARRAYS

__all__ = ["DataFileError", "read"]

_FOLDER = Path(__file__).parent / "files"


class DataFileError(PXGenError, RuntimeError):
    """A file that belongs to the package is missing or damaged."""


def read(name: str, folder: Path = _FOLDER) -> tuple[bytes, dict[str, Any]]:
    """Return a shipped file's bytes and its card.

    Args:
        name: File name, as in ``"mnist.npz"``; its card is the file of the same stem in ``.json``.
        folder: Where the two files are; the package's own by default.

    Returns:
        The content of the file, and the card, whose ``"sha256"`` the content has.

    Raises:
        DataFileError: When either file is missing or cannot be read, or the checksum is another.

    Example:
        >>> content, card = read("mnist.npz")
        >>> card["licence"]
        'CC-BY-SA-3.0'
    """
    try:
        content = read_regular(folder / name, RUN_ARRAYS)
        card = read_json((folder / name).with_suffix(".json"))
        expected = card["sha256"]
    except FileNotFoundError as error:
        missing = Path(str(error.filename)).name
        raise _error(name, "present in the package", f"no file {missing!r}") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        got = f"one that is not ({type(error).__name__}: {str(error)[:200]})"
        raise _error(name, "a file that can be read, and its card", got) from error
    digest = checksum(content)
    if digest != expected:
        allowed = f"a file with SHA-256 {expected}"
        raise _error(name, allowed, f"{len(content)} bytes with SHA-256 {digest}")
    return content, card


def _error(name: str, allowed: str, got: str) -> DataFileError:
    return DataFileError(name, allowed, got, "Install pxgen-plugins again.")
