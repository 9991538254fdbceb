"""Who is answered next."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Turns"]

_CLIENTS = 1_000  # pages whose newest decode is known


class Turns:
    """One message at a time, in the order in which they come; of decodes, a client's newest.

    Example:
        >>> turns = Turns()
        >>> with turns.alone(), turns.alone():  # a thread that has the turn keeps it
        ...     pass
    """

    def __init__(self) -> None:
        self._newest: dict[str, int] = {}
        self._count = 0
        self._counting = threading.Lock()
        self._door, self._room = threading.Lock(), threading.Lock()
        self._inside: int | None = None  # the thread that is being answered

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until nobody else is answered, and keep others out meanwhile."""
        if self._inside == threading.get_ident():
            yield
            return
        # Whoever waits for the room holds the door: a thread that leaves the room and returns at
        # once, as a walk does between frames, then stands behind it. One lock would let it back in.
        with self._door:
            self._room.acquire()
        self._inside = threading.get_ident()
        try:
            yield
        finally:
            self._inside = None
            self._room.release()

    def take(self, message: Any) -> int:
        """Return the number of a message that has come; 0 for what nothing supersedes."""
        if message.kind != "decode":
            return 0
        with self._counting:
            self._count += 1
            self._newest.pop(message.client, None)
            self._newest[message.client] = self._count
            if len(self._newest) > _CLIENTS:
                del self._newest[next(iter(self._newest))]
            return self._count

    def is_over(self, message: Any, turn: int) -> bool:
        """Return whether a newer message of the same client has come."""
        with self._counting:
            return turn != 0 and self._newest.get(message.client, turn) > turn
