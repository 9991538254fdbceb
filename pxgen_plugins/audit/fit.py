"""The fitted explainer of a run: stored with its plan's digest and its files' checksums."""

from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pxgen_plugins.explainer import PXGen
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.files import file_checksum, write_atomic
from pxgen_plugins.utils.json_files import read_json
from pxgen_plugins.utils.limits import RUN_ARRAYS, LimitError
from pxgen_plugins.utils.storage import Place, storage_of

__all__ = ["FIT", "is_stored", "load", "store"]

FIT = "fit"
_SEAL = "checksums.json"


def store(folder: Place, explainer: PXGen, plan: str) -> None:
    """Write a fitted explainer into a run folder; its checksums come last.

    Args:
        folder: The run folder.
        explainer: The explainer.
        plan: Digest of the plan that it was fitted for.

    Raises:
        ParameterError: When it is larger than what is read again.
        OSError: When it cannot be written.
    """
    with storage_of(folder).draft(FIT) as place:
        try:
            explainer.save(place)
        except ParameterError as error:
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from None
            raise
        try:
            content = {"plan": plan, "files": _checksums(place)}
        except LimitError as error:
            hint = "Let criteria learn from fewer instances, or raise the limit for every worker."
            raise ParameterError("the fit", "within the limit", str(error), hint) from error
        text = json.dumps(content, indent=1) + "\n"
        write_atomic(place / _SEAL, text.encode(), root=place.parent)


def is_stored(folder: Place, plan: str) -> bool:
    """Return whether the fit in a run folder is whole, as it was written, and of this plan."""
    with _copied(folder) as place:
        return not _fault(place, plan)


def _copied(folder: Place) -> AbstractContextManager[Path]:
    return storage_of(folder).copy(FIT, RUN_ARRAYS)


def _fault(place: Path, plan: str) -> str:
    """Return why a stored fit cannot be used; an empty text where it can."""
    try:
        seal: Any = read_json(place / _SEAL)
        files = _checksums(place)
    except LimitError as error:
        return f"is too large: {error}"
    except FileNotFoundError:
        return "is incomplete"
    except (OSError, ValueError, RecursionError) as error:
        return f"cannot be read ({type(error).__name__})"
    if seal == {"plan": plan, "files": files}:
        return ""
    return "was changed, or is of another plan"


def load(folder: Place, model: Any, plan: str) -> PXGen:
    """Return the fitted explainer in a run folder.

    Raises:
        ParameterError: When it is not there, was changed, or belongs to another plan.
    """
    with _copied(folder) as place:
        fault = _fault(place, plan)
        if not fault:
            return PXGen.load(place, model)
    hint = "Run pxgen audit again: it fits anew."
    got = f"{short_repr(str(folder / FIT))}, which {fault}"
    raise ParameterError("the fit", "as it was written", got, hint)


def _checksums(place: Path) -> dict[str, str]:
    names = [name for name in sorted(os.listdir(place)) if name[0] != "." and name != _SEAL]
    return {name: file_checksum(place / name, RUN_ARRAYS) for name in names}
