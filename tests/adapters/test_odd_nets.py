"""Every registered adapter on every odd net: a slow computation's numbers, or a named refusal."""

from __future__ import annotations

import pytest

from pxgen_plugins import adapters

from .odd_nets import NETS, wrap
from .oracles import ROWS, Case
from .slow import Slow

# one explains Keras models, no model of ours: tests/adapters/test_tensorflow.py has its oracles
NAMES = [name for name in adapters.names() if name != "tensorflow_integrated_gradients"]


def test_every_adapter_has_a_row():
    assert set(ROWS) >= set(NAMES), "describe in oracles.py what a new adapter has to equal"


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("name", NAMES)
def test_an_adapter_is_right_or_says_why_not(name, net):
    row = ROWS[name]
    case = Case(name, net, wrap(net), Slow(net), NETS[net].anchors(6), row.options)
    if net not in row.refusals:
        row.check(case)
        return
    error, words = row.refusals[net]
    with pytest.raises(error, match=words):
        row.check(case)
