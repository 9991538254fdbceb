"""Calls in a process of their own, and how much memory they take there.

A server process imports the package once and is then forked for every call, so that a call begins
with the memory of a fresh import, without its seconds.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext
from typing import ParamSpec, TypeVar

import psutil

__all__ = ["call", "context", "peak_growth"]

P = ParamSpec("P")
T = TypeVar("T")

_INTERVAL = 0.02


def context() -> ForkServerContext:
    """Return where processes come from: forks of a server that has only imported the package."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["pxgen_plugins.explainer", "pxgen_plugins.audit.engine"])
    return server


def call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a function of a module returns in a fresh process."""
    with ProcessPoolExecutor(max_workers=1, mp_context=context()) as pool:
        return pool.submit(function, *args, **kwargs).result()


@contextmanager
def peak_growth(mapped: bool = True) -> Iterator[Callable[[], int]]:
    """Watch the memory; yield a function that says by how many bytes its peak grew.

    Args:
        mapped: Count pages of mapped files too, which the system drops where memory is short.
    """
    process = psutil.Process()

    def resident() -> int:
        info = process.memory_info()
        return int(info.rss if mapped else info.rss - info.shared)

    before = peak = resident()
    done = threading.Event()

    def measure() -> int:
        nonlocal peak
        peak = max(peak, resident())
        return peak - before

    def watch() -> None:
        while not done.wait(_INTERVAL):
            measure()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield measure
    finally:
        done.set()
        thread.join()
