"""Locks in folders without locks of their own: tickets, whose numbers go on with their holders.

Who works in a folder has a ticket there, a small file that counts up every few seconds. Who comes
later watches it: a ticket that goes on is a living audit's, and one that stands still for a minute
was left by a killed one. No time is read, neither from a clock nor from a file: only how often one
has looked counts, so that no jump of a clock takes a lock from its holder.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pxgen_plugins.utils.locks import BusyError
from pxgen_plugins.utils.storage import Storage

__all__ = ["FOLDER", "check", "held"]

FOLDER = ".tickets"
_BEAT = 5.0  # seconds between two numbers of a ticket
_LOOK = 1.0  # seconds between two looks at the others'
_PATIENCE = 60  # looks at a ticket that stands still, before it is thought to be a dead one's

_held: dict[str, _Ticket] = {}  # of this process, by URL


class _Ticket:
    """A ticket in a folder, which counts up in a thread until it is given back.

    Args:
        storage: The folder.
        shared: Whether others may share it.
    """

    def __init__(self, storage: Storage, shared: bool) -> None:
        self.name = secrets.token_hex(8)
        self.shared, self.holds, self.lost, self.depth = shared, False, False, 1
        self._storage, self._number, self._end = storage, 0, threading.Event()
        self._writes = threading.Lock()
        self._thread = threading.Thread(target=self._count, daemon=True)
        self.write()
        self._thread.start()

    def write(self) -> None:
        with self._writes:
            self._number += 1
            content = {"shared": self.shared, "holds": self.holds, "number": self._number}
            self._storage.write(f"{FOLDER}/{self.name}", json.dumps(content).encode())

    def close(self) -> None:
        self._end.set()
        self._thread.join()
        with suppress(OSError):
            self._storage.remove(f"{FOLDER}/{self.name}")

    def _count(self) -> None:
        while not self._end.wait(_BEAT):
            with suppress(OSError):  # the next one may do
                if not self._storage.exists(f"{FOLDER}/{self.name}"):
                    self.lost = True  # who removed it thought that we were dead
                    return
                self.write()


@contextmanager
def held(storage: Storage, url: str, *, shared: bool = False) -> Iterator[None]:
    """Keep others out of a folder meanwhile; within one process it may be nested.

    Args:
        storage: The folder.
        url: Its URL.
        shared: Let others in that share it too.

    Raises:
        BusyError: When another one works there.
        OSError: When the folder cannot be read or written.

    Cost: seconds, if somebody is there; a minute, if somebody was killed there.
    """
    if url in _held:
        _held[url].depth += 1
    else:
        ticket = _Ticket(storage, shared)
        try:
            _wait(storage, ticket, url, time.sleep)
            ticket.holds = True
            ticket.write()
        except BaseException:
            ticket.close()
            raise
        _held[url] = ticket
    try:
        yield
        check(url)
    finally:
        _held[url].depth -= 1
        if not _held[url].depth:
            _held.pop(url).close()


def check(url: str) -> None:
    """Raise where this process had a folder, or one around it, and another took it over.

    Raises:
        BusyError: When that is so.
    """
    for own, ticket in tuple(_held.items()):
        if ticket.lost and f"{url}/".startswith(f"{own}/"):
            raise BusyError(own)


def _wait(storage: Storage, own: _Ticket, url: str, sleep: Callable[[float], None]) -> None:
    """Return once no ticket is in the way; remove those of dead holders.

    Of two that come at once the one with the lower name goes first, unless the other one holds the
    folder already. Each writes its ticket before it looks, so one of them at least sees the other.
    """
    seen: dict[str, tuple[Any, int]] = {}  # what a ticket said, and for how many looks
    while True:
        in_the_way = 0
        for name in storage.names(FOLDER):
            if name == own.name or name.startswith("."):
                continue
            said = _read(storage, name)
            if said is None or (own.shared and said.get("shared")):
                continue
            before, looks = seen.get(name, (said, 0))
            if said != before and (said.get("holds") or name < own.name):
                raise BusyError(url)
            seen[name] = (said, looks + 1 if said == before else 0)
            if seen[name][1] < _PATIENCE:
                in_the_way += 1
            else:
                storage.remove(f"{FOLDER}/{name}")
        if not in_the_way:
            return
        sleep(_LOOK)


def _read(storage: Storage, name: str) -> dict[str, Any] | None:
    """Return what a ticket says; None where it is gone, an empty one where it is torn."""
    try:
        said = json.loads(storage.read(f"{FOLDER}/{name}"))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
