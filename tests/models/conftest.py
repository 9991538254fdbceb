"""What tests of models from other libraries share."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def seeded_weights():
    """Networks that a test makes have the same weights in every run."""
    with torch.random.fork_rng():
        torch.random.set_rng_state(torch.Generator().manual_seed(0).get_state())
        yield


@pytest.fixture
def diffusers():
    return pytest.importorskip("diffusers")
