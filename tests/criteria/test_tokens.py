"""Criteria of language models against slow oracles."""

from __future__ import annotations

from functools import lru_cache

import torch
from hypothesis import given
from hypothesis import strategies as st

from pxgen_plugins.criteria import Batch, TokenEdit
from pxgen_plugins.criteria.text import edit_distance

TOKENS = st.lists(st.integers(0, 3), max_size=7)


def slow(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """The definition, by recursion on first tokens."""

    @lru_cache(None)
    def distance(i: int, j: int) -> int:
        if i == len(one) or j == len(other):
            return len(one) - i + len(other) - j
        if one[i] == other[j]:
            return distance(i + 1, j + 1)
        return 1 + min(distance(i + 1, j), distance(i, j + 1), distance(i + 1, j + 1))

    return distance(0, 0)


@given(TOKENS, TOKENS)
def test_the_edit_distance_is_that_of_its_definition(one, other):
    assert edit_distance(one, other) == slow(tuple(one), tuple(other))


@given(TOKENS, TOKENS, TOKENS)
def test_the_edit_distance_is_a_metric(a, b, c):
    assert edit_distance(a, b) == edit_distance(b, a)
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)


def test_a_text_without_an_end_has_no_value():
    class Writer:
        capabilities = frozenset({"continuation"})

        def continuation(self, x):
            return [(torch.tensor([], dtype=torch.int64), torch.tensor([1]))] * len(x)

    assert TokenEdit()(Batch(Writer(), torch.zeros(2, 1))).isnan().all()
