"""The guard for code that knows only the global generators."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest
import torch

from pxgen_plugins.models._global_rng import seeded
from pxgen_plugins.testing.guards import moved_generators, random_state


def drawn() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(()))  # noqa: NPY002


def test_a_seed_fixes_all_three_generators_and_leaves_them_as_they_were():
    before = random_state()
    found = []
    for seed in (1, 1, 2):
        with seeded(seed):
            found.append(drawn())
    assert found[0] == found[1]
    assert all(one != other for one, other in zip(found[0], found[2], strict=True))
    assert moved_generators(before) == []


def test_they_are_put_back_after_an_error_too():
    before = random_state()
    with pytest.raises(ZeroDivisionError), seeded(3):
        _ = drawn()[0] / 0
    assert moved_generators(before) == []


def test_threads_wait_for_each_other():
    found = []

    def work() -> None:
        for _ in range(50):
            with seeded(7):
                found.append((drawn(), drawn()))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
