"""Progress: bars on stderr when asked for, a notice where much is left, counts of passes."""

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

__all__ = ["LongNotice", "PassMeter", "bar", "bar_or_notice", "count_passes", "on_passes"]

_IN_LOGS = 10.0  # seconds between updates where nobody watches
_TRIAL = 2.0  # seconds after which a notice judges what is left
_LONG = 30.0  # seconds left that are worth a notice

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


class LongNotice:
    """Warns once where so much is left that a user would wonder; is quiet otherwise.

    Nothing is timed beforehand: the work itself is, its first unit left out, in which libraries
    load and allocate.

    Args:
        total: How many units there are.
        what: What they are done for, the beginning of the notice.
        hint: What costs less, a full sentence.
        clock: What tells seconds.

    Example:
        >>> import warnings
        >>> seconds = iter([0.0, 1.0, 5.0, 9.0])
        >>> notice = LongNotice(100, "fit", "Take fewer.", clock=lambda: next(seconds))
        >>> with warnings.catch_warnings(record=True) as heard:
        ...     for _ in range(4):
        ...         notice.update(1)
        >>> [str(one.message) for one in heard]
        ['fit: about 4 minutes left; verbose=True shows a progress bar. Take fewer.']
    """

    def __init__(
        self, total: int, what: str, hint: str, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._total, self._what, self._hint, self._clock = total, what, hint, clock
        self._first: tuple[float, int] | None = None
        self._done, self._said = 0, False

    def update(self, n: int) -> None:
        """Hear that ``n`` more units are done."""
        if self._said:
            return
        self._done += n
        now = self._clock()
        if self._first is None:
            self._first = now, self._done
            return
        start, before = self._first
        if now - start < _TRIAL:
            return
        left = (now - start) / (self._done - before) * (self._total - self._done)
        if left > _LONG:
            self._said = True
            text = f"about {duration_text(left)} left; verbose=True shows a progress bar"
            warn(f"{self._what}: {text}. {self._hint}")


@contextmanager
def bar_or_notice(
    total: int, what: str, unit: str, verbose: bool, hint: str
) -> Iterator[Callable[[int], object]]:
    """Yield what hears of units done: a progress bar if ``verbose``, else a :class:`LongNotice`.

    Example:
        >>> with bar_or_notice(2, "scoring", "anchor", False, "Take fewer.") as update:
        ...     update(2)
    """
    if not verbose:
        yield LongNotice(total, what, hint).update
        return
    with bar(total, what, unit, verbose) as progress:
        yield progress.update


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
