"""How far answers to one question agree, and which of them the others agree with most."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.adapters.language.answers import Answer, contradict
from pxgen_plugins.utils.errors import ModelError, ParameterError, short_repr

__all__ = ["AGREEMENTS", "agreement_table", "certainty_of", "check_agreement", "conformal_p"]

Floats = NDArray[np.float64]
Agreement = str | Callable[[dict[str, Any], dict[str, Any]], float]
AGREEMENTS = ("slots", "words")
# Agreement on what changes but not on the way. With a half, left and right in turns would be 0.7
# sure of five answers, more than three equal answers and two others.
_OPPOSITE = 0.25


def check_agreement(value: Any) -> Agreement:
    """Return the agreement that a user asked for.

    Raises:
        ParameterError: When it is no name of one, and no callable.
    """
    if callable(value) or value in AGREEMENTS:
        return value  # type: ignore[no-any-return]
    allowed = "'slots', 'words' or a callable"
    hint = "A callable takes two answers, as mappings, and returns a number in [0, 1]."
    raise ParameterError("agreement", allowed, short_repr(value), hint)


def agreement_table(answers: Sequence[Answer | None], agreement: Agreement = "slots") -> Floats:
    """Return the agreement of every answer with every other, (r, r), 0 on the diagonal.

    An answer that could not be read, or that names no change, agrees with none: what is measured is
    how sure a *change* is.

    Args:
        answers: r answers in common words (see
            :class:`~pxgen_plugins.adapters.language.answers.Vocabulary`); None for one that could
            not be read.
        agreement: ``"slots"``: 1 for the same attribute and no opposite direction, 0.25 for the
            same attribute alone, else 0. ``"words"``: cosine of the sentences' words, as
            LatentExplainer (Zhu et al. 2024) has it, for comparison. Or a callable of two answers,
            as mappings.

    Raises:
        ModelError: When a callable returns something else than a number in [0, 1].

    Example:
        >>> one, other = (Answer(True, "size", way) for way in ("larger", "smaller"))
        >>> agreement_table([one, one, other]).tolist()
        [[0.0, 1.0, 0.25], [1.0, 0.0, 0.25], [0.25, 0.25, 0.0]]
    """
    table = np.zeros((len(answers), len(answers)))
    for i, one in enumerate(answers):
        for j, other in enumerate(answers[:i]):
            if one is not None and other is not None and one.changes and other.changes:
                # the earlier answer comes first, also for a callable that is not symmetric
                table[i, j] = table[j, i] = _alike(other, one, agreement)
    return table


def certainty_of(table: Floats) -> float:
    """Return the mean agreement of two different answers; NaN for fewer than two.

    Example:
        >>> certainty_of(np.array([[0.0, 0.5], [0.5, 0.0]]))
        0.5
    """
    r = len(table)
    return float(table.sum() / (r * (r - 1))) if r > 1 else math.nan


def conformal_p(value: float, null: Sequence[float]) -> float:
    """Return (1 + the number of null values at least as large) / (1 + m), Vovk's p-value.

    Under exchangeability with the null values it is at most alpha with a probability of at most
    alpha, whatever the distribution.

    Example:
        >>> conformal_p(0.9, [0.1, 0.9, 0.2])
        0.5
    """
    return (1 + sum(one >= value for one in null)) / (1 + len(null))


def _alike(one: Answer, other: Answer, agreement: Agreement) -> float:
    if agreement == "slots":
        if one.attribute != other.attribute:
            return 0.0
        against = contradict(one.attribute, one.direction, other.direction)
        return _OPPOSITE if against else 1.0
    if agreement == "words":
        return _cosine(_bag(one.sentence), _bag(other.sentence))
    assert callable(agreement)
    value = agreement(one.to_data(), other.to_data())
    number = isinstance(value, (int, float, np.floating)) and not isinstance(value, bool)
    if not number or not 0.0 <= value <= 1.0:
        hint = "Return how far two answers agree."
        raise ModelError("agreement", "a number in [0, 1]", short_repr(value), hint)
    return float(value)


def _bag(text: str) -> Counter[str]:
    return Counter(re.findall(r"\b\w\w+\b", text.lower()))


def _cosine(one: Counter[str], other: Counter[str]) -> float:
    norms = [math.sqrt(sum(n * n for n in bag.values())) for bag in (one, other)]
    product = sum(n * other[word] for word, n in one.items())
    return product / (norms[0] * norms[1]) if all(norms) else 0.0
