"""Progress bars: on stderr, and only when asked for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["bar"]

_IN_LOGS = 10.0  # seconds between updates where nobody watches


def bar(total: int, what: str, unit: str, verbose: bool) -> tqdm[Any]:
    """Return a progress bar over ``total`` units; it prints nothing unless ``verbose``.

    Example:
        >>> with bar(2, "scoring", "anchor", verbose=False) as progress:
        ...     _ = progress.update(2)
    """
    from tqdm import tqdm

    # in a log each update is a line, or a part of a very long one
    seen = sys.stderr.isatty() or "ipykernel" in sys.modules
    return tqdm(
        total=total,
        desc=what,
        unit=unit,
        unit_scale=True,
        file=sys.stderr,
        disable=not verbose,
        leave=False,
        mininterval=0.1 if seen else _IN_LOGS,
    )
