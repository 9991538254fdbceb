"""The fitted explainer of a run: stored with its plan's digest and its files' checksums."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pxgen_plugins.explainer import PXGen
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.files import checksum, read_regular, write_atomic
from pxgen_plugins.utils.json_files import read_json
from pxgen_plugins.utils.limits import RUN_ARRAYS

__all__ = ["FIT", "is_stored", "load", "store"]

FIT = "fit"
_SEAL = "checksums.json"


def store(folder: Path, explainer: PXGen, plan: str) -> None:
    """Write a fitted explainer into a run folder; its checksums come last.

    Args:
        folder: The run folder.
        explainer: The explainer.
        plan: Digest of the plan that it was fitted for.

    Raises:
        OSError: When it cannot be written.
    """
    place = folder / FIT
    try:
        explainer.save(place)
    except ParameterError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        raise
    content = {"plan": plan, "files": _checksums(place)}
    text = json.dumps(content, indent=1) + "\n"
    write_atomic(place / _SEAL, text.encode(), root=folder)


def is_stored(folder: Path, plan: str) -> bool:
    """Return whether the fit in a run folder is whole, as it was written, and of this plan."""
    place = folder / FIT
    try:
        seal: Any = read_json(place / _SEAL)
        return bool(seal == {"plan": plan, "files": _checksums(place)})
    except (OSError, ValueError, RecursionError):
        return False


def load(folder: Path, model: Any, plan: str) -> PXGen:
    """Return the fitted explainer in a run folder.

    Raises:
        ParameterError: When it is not there, was changed, or belongs to another plan.
    """
    if is_stored(folder, plan):
        return PXGen.load(folder / FIT, model)
    hint = "Run pxgen audit again: it fits anew."
    got = f"{short_repr(str(folder / FIT))}, which is incomplete, changed or of another plan"
    raise ParameterError("the fit", "as it was written", got, hint)


def _checksums(place: Path) -> dict[str, str]:
    names = [name for name in sorted(os.listdir(place)) if name[0] != "." and name != _SEAL]
    return {name: checksum(read_regular(place / name, RUN_ARRAYS)) for name in names}
