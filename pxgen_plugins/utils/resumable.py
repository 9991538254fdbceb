"""Folders of long runs that go on where they were killed: ``plan.json`` says which run it is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from pxgen_plugins.utils.files import plain
from pxgen_plugins.utils.json_files import parse_json
from pxgen_plugins.utils.limits import JSON_FILE
from pxgen_plugins.utils.storage import Place, storage_of

__all__ = ["PLAN", "begin", "read_plan"]

PLAN = "plan.json"
_TRIES, _WAIT = 10, 0.05  # seconds

Plan = Mapping[str, Any]


def begin(folder: Place, plan: Plan, identity: Callable[[Plan], Plan] = dict) -> list[str]:
    """Begin a run in a folder, or go on with one whose plan has the same identity.

    The plan appears whole. Of two processes that begin at once one writes it, and the other
    compares its own with it. Where a run goes on, the parts of the plan that are no identity are
    brought up to date.

    Args:
        folder: The folder; it is made.
        plan: What the run does, of JSON types.
        identity: From a plan to what must be equal, by name; it is given plans as JSON holds them.

    Returns:
        The names in which the plan in the folder differs; then nothing was written. Empty when the
        folder is this run's.

    Raises:
        ValueError: When ``plan.json`` is no plan.
        OSError: When the folder cannot be read or written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as name:
        ...     folder = Path(name, "run")
        ...     [begin(folder, {"seed": seed, "n": 5}) for seed in (1, 1, 2)]
        [[], [], ['seed']]
    """
    content = (json.dumps(plain(plan), indent=1, allow_nan=False) + "\n").encode()
    own = json.loads(content)
    known = read_plan(folder)
    if known is None:
        if storage_of(folder).create(PLAN, content):
            return []
        known = read_plan(folder) or {}
    ours = identity(own)
    try:
        theirs = identity(known)
        differences = [name for name in ours if theirs.get(name) != ours[name]]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{PLAN} is no plan") from error
    if not differences and known != own:
        storage_of(folder).write(PLAN, content)
    return differences


def read_plan(folder: Place) -> dict[str, Any] | None:
    """Return the plan in a folder; None without one.

    Raises:
        ValueError: When ``plan.json`` holds something else.
        OSError: When it cannot be read.
    """
    storage, content = storage_of(folder), b""
    for _ in range(_TRIES):
        if not storage.exists(PLAN):
            return None
        content = storage.read(PLAN, JSON_FILE)
        if content:
            break
        time.sleep(_WAIT)  # another process is about to fill it
    try:
        plan = parse_json(content)
    except RecursionError as error:
        raise ValueError(f"{PLAN} is no plan") from error
    if not isinstance(plan, dict):
        raise ValueError(f"{PLAN} is no plan")
    return plan
