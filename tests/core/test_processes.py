"""The pool of processes: results, threads, and workers that die or cannot start."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

from pxgen_plugins.utils import processes


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the workers, which take over this process's path, import the functions below."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])


def work(base: int, number: int) -> tuple[int, int, int]:
    if number == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    if number < 0:
        raise ValueError(f"{number} is negative")
    return base + number, torch.get_num_threads(), os.getpid()


class Unknown:
    """What no new process can import."""

    def __reduce__(self):
        return (_load, ())


def _load():
    if os.environ.get("PXGEN_TEST_PARENT") != str(os.getpid()):
        raise ImportError("not here")


@pytest.mark.slow
def test_every_task_is_done_once_in_other_processes_on_one_thread_each() -> None:
    results = list(processes.run(work, [(number,) for number in range(6)], 2, (100,)))
    assert sorted(value for value, _, _ in results) == list(range(100, 106))
    assert {threads for _, threads, _ in results} == {1}
    assert os.getpid() not in {process for _, _, process in results}


def test_an_error_of_a_task_comes_back_as_it_was() -> None:
    with pytest.raises(ValueError, match="-2 is negative"):
        list(processes.run(work, [(-2,)], 1, (0,)))


def test_a_worker_that_dies_is_told_from_one_that_does_not_start(monkeypatch) -> None:
    with pytest.raises(processes.WorkerLostError) as caught:
        list(processes.run(work, [(13,)], 1, (0,)))
    assert not isinstance(caught.value, processes.WorkerStartError)
    monkeypatch.setenv("PXGEN_TEST_PARENT", str(os.getpid()))
    with pytest.raises(processes.WorkerStartError):
        list(processes.run(work, [(1,)], 1, (Unknown(),)))
