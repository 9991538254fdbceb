"""Progress bars: on stderr, and only when asked for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["bar"]


def bar(total: int, what: str, unit: str, verbose: bool) -> tqdm[Any]:
    """Return a progress bar over ``total`` units; it prints nothing unless ``verbose``.

    Example:
        >>> with bar(2, "scoring", "anchor", verbose=False) as progress:
        ...     _ = progress.update(2)
    """
    from tqdm import tqdm

    return tqdm(
        total=total,
        desc=what,
        unit=unit,
        unit_scale=True,
        file=sys.stderr,
        disable=not verbose,
        leave=False,
    )
