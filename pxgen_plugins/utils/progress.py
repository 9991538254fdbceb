"""Progress bars: on stderr, and only when asked for; they move with a network's passes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from pxgen_plugins.utils.errors import warn
from pxgen_plugins.utils.text import duration_text

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["PassMeter", "bar", "count_passes", "long_bar", "on_passes"]

_LONG = 10.0  # seconds of silence that are announced
_KNOWN = 1.0  # seconds after which the rest is estimated
_IN_LOGS = 10.0  # seconds between updates where nobody watches

_COUNTERS: ContextVar[tuple[Callable[[int], None], ...]] = ContextVar("counters", default=())


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


@contextmanager
def long_bar(
    total: int, what: str, unit: str, verbose: bool, hint: str, limit: float = _LONG
) -> Iterator[Callable[[int], None]]:
    """Yield what moves a progress bar; without one, warn once where it will take long.

    How long is estimated by what a second or so has done.

    Args:
        total: Units of work.
        what: Name of the work.
        unit: Name of a unit.
        verbose: Show the bar, and warn of nothing.
        hint: What costs less, a sentence.
        limit: Seconds from which silence is announced.

    Example:
        >>> with long_bar(2, "effects", "unit", False, "Take fewer.") as move:
        ...     move(2)
    """
    start, done, said = time.monotonic(), 0, verbose
    with bar(total, what, unit, verbose) as progress:

        def move(n: int) -> None:
            nonlocal done, said
            progress.update(n)
            done += n
            spent = time.monotonic() - start
            if said or spent < min(_KNOWN, limit) or done >= total:
                return
            said = True
            whole = spent * total / done
            if whole >= limit:
                text = f"{what} of {total:,} {unit}s take about {duration_text(whole)}"
                warn(f"{text}; verbose=True shows how far it is. {hint}")

        yield move


def count_passes(n: int) -> None:
    """Say that a model's network ran on ``n`` instances; whoever counts, such as a bar, hears it.

    A model that loops on its own calls it in the loop, so that bars move and counts are right.

    Example:
        >>> heard = []
        >>> with on_passes(heard.append):
        ...     count_passes(3)
        >>> heard
        [3]
    """
    for counter in _COUNTERS.get():
        counter(n)


@contextmanager
def on_passes(counter: Callable[[int], None]) -> Iterator[None]:
    """Let ``counter`` hear of all passes in this thread meanwhile, beside those around it."""
    token = _COUNTERS.set((*_COUNTERS.get(), counter))
    try:
        yield
    finally:
        _COUNTERS.reset(token)


class PassMeter:
    """Moves a bar of instances with the passes that they take, and not only when they are done.

    Args:
        update: What moves the bar, by instances or parts of one.
        total: How many instances there are.
        each: Passes that one takes at most; 0 where whoever asks the model has not said so.

    Example:
        >>> moves = []
        >>> meter = PassMeter(moves.append, total=2, each=4)
        >>> with on_passes(meter.count):
        ...     count_passes(2)
        >>> meter.finish(1)
        >>> moves
        [0.5, 0.5]
    """

    def __init__(self, update: Callable[[float], object], total: int, each: int) -> None:
        self._update, self._total, self._each = update, total, max(1, each)
        self._at, self._done = 0.0, 0

    def count(self, n: int) -> None:
        """Hear of ``n`` passes."""
        self._move(min(self._total, self._at + n / self._each))

    def finish(self, n: int) -> None:
        """Hear that ``n`` more instances are done, whatever passes they took."""
        self._done += n
        self._move(self._done)

    def _move(self, to: float) -> None:
        if to > self._at:
            self._update(to - self._at)
            self._at = to
