"""Descriptions against what is known: factors of a renderer, or sentences of people."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pxgen_plugins.adapters.language.answers import Answer, Vocabulary
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr

__all__ = ["attribute_scores", "text_scores"]

_LONGEST = 4  # words of an n-gram of BLEU

Truth = str | tuple[str, str] | None


@caller("attribute_scores")
def attribute_scores(
    explanation: Any,
    truth: Mapping[str, Truth],
    *,
    synonyms: Mapping[str, str] | None = None,
    confirmed: bool = False,
) -> dict[str, float]:
    """Return how many axes were named rightly, against their known factors.

    Args:
        explanation: What a LatentDescription's ``explain`` returned.
        truth: For each axis, by label, the attribute that it moves, or attribute and direction;
            None for one that moves nothing visible. Axes that are not in it do not count.
        synonyms: From words to attributes, as for the adapter.
        confirmed: Count an axis as named only where its sentence is confirmed.

    Returns:
        ``precision``, the share of the axes named whose attribute is right; ``recall``, the share
        of the axes with a factor that are named rightly; ``f1``, their harmonic mean;
        ``direction``, the share of right directions among the rightly named whose direction is
        known; ``dead``, the share of the axes without a factor that were not named. NaN where there
        is nothing to count.

    Raises:
        ParameterError: When the explanation holds no descriptions, or no axis of that label.

    Example:
        >>> from types import SimpleNamespace
        >>> found = SimpleNamespace(data={
        ...     "evidence": "description", "axes": ["z0", "z1"], "status": ["clear", "unclear"],
        ...     "attribute": ["size", ""], "direction": ["larger", ""], "confirmed": [True, False]})
        >>> scores = attribute_scores(found, {"z0": ("scale", "bigger"), "z1": "shape"})
        >>> scores["precision"], scores["recall"], scores["direction"]
        (1.0, 0.5, 1.0)
    """
    data = _data(explanation)
    words = Vocabulary(synonyms)
    axes = [str(label) for label in data["axes"]]
    named = right = factors = dead = quiet = ways = right_ways = 0
    for label, known in truth.items():
        row = _row(axes, label)
        says = data["status"][row] == "clear" and (bool(data["confirmed"][row]) or not confirmed)
        named += says
        if known is None:
            dead += 1
            quiet += not says
            continue
        factors += 1
        attribute, direction = (known, "") if isinstance(known, str) else known
        wanted = words.common(Answer(True, attribute, direction))
        if says and words.attribute(data["attribute"][row]) == wanted.attribute:
            right += 1
            ways += bool(direction)
            right_ways += bool(direction) and data["direction"][row] == wanted.direction
    precision, recall = _share(right, named), _share(right, factors)
    return {
        "precision": precision,
        "recall": recall,
        "f1": _share(2 * right, named + factors),
        "direction": _share(right_ways, ways),
        "dead": _share(quiet, dead),
    }


@caller("text_scores")
def text_scores(
    explanation: Any, references: Mapping[str, str | Sequence[str]]
) -> dict[str, float]:
    """Return BLEU and ROUGE-L of the sentences against those of people.

    Both count words in common, so that a right sentence in other words scores low; they are here to
    compare with published numbers. No installed library has them: their definitions are these.

    Args:
        explanation: What a LatentDescription's ``explain`` returned.
        references: One sentence or several for each axis, by label. Axes without a clear sentence
            count as an empty one.

    Returns:
        ``bleu``: over all axes, with n-grams up to four words (Papineni et al. 2002). ``rouge_l``:
        mean over axes of the best F1 by the longest common subsequence of words (Lin 2004).

    Raises:
        ParameterError: When the explanation holds no descriptions, or no axis of that label.

    Example:
        >>> from types import SimpleNamespace
        >>> found = SimpleNamespace(data={"evidence": "description", "axes": ["z0"],
        ...     "status": ["clear"], "sentence": ["The digit grows much larger."]})
        >>> scores = text_scores(found, {"z0": "The digit grows much wider."})
        >>> round(scores["rouge_l"], 3), round(scores["bleu"], 3)
        (0.8, 0.669)
    """
    data = _data(explanation)
    axes = [str(label) for label in data["axes"]]
    pairs = []
    for label, known in references.items():
        row = _row(axes, label)
        own = data["sentence"][row] if data["status"][row] == "clear" else ""
        texts = [known] if isinstance(known, str) else list(known)
        if not texts:
            hint = "Give a sentence, or leave the axis out."
            raise ParameterError("references", "sentences for every axis", "none", hint)
        pairs.append((_words(own), [_words(text) for text in texts]))
    rouge = [max(_rouge_l(own, other) for other in others) for own, others in pairs]
    return {"bleu": _bleu(pairs), "rouge_l": _share(sum(rouge), len(rouge))}


def _data(explanation: Any) -> Mapping[str, Any]:
    data = getattr(explanation, "data", None)
    if not isinstance(data, Mapping) or data.get("evidence") != "description":
        hint = "Pass what explain of a LatentDescription returned."
        raise ParameterError("explanation", "a description", short_repr(explanation), hint)
    return data


def _row(axes: Sequence[str], label: str) -> int:
    if label not in axes:
        hint = f"The axes are: {', '.join(axes[:12])}."
        raise ParameterError("axis", "one that was described", short_repr(label), hint)
    return axes.index(label)


def _share(count: float, of: float) -> float:
    return count / of if of else math.nan


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _bleu(pairs: Sequence[tuple[list[str], list[list[str]]]]) -> float:
    """Return the geometric mean of clipped n-gram precisions, times the penalty of brevity."""
    logs = []
    for n in range(1, _LONGEST + 1):
        hits = total = 0
        for own, others in pairs:
            counts = _grams(own, n)
            most: Counter[tuple[str, ...]] = Counter()
            for other in others:
                most |= _grams(other, n)
            hits += sum((counts & most).values())
            total += sum(counts.values())
        if not hits:
            return 0.0
        logs.append(math.log(hits / total))
    length = sum(len(own) for own, _ in pairs)
    # of several references the one of the nearest length, the shorter of two
    sizes = [(len(own), list(map(len, others))) for own, others in pairs]
    wanted = sum(min((abs(size - n), size) for size in others)[1] for n, others in sizes)
    brevity = min(0.0, 1.0 - wanted / length)
    return math.exp(sum(logs) / _LONGEST + brevity)


def _grams(words: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def _rouge_l(own: list[str], other: list[str]) -> float:
    """Return 2 L / (m + n) for the length L of the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for word in own:
        before = row
        row = [0]
        for j, match in enumerate(other):
            row.append(before[j] + 1 if word == match else max(row[j], before[j + 1]))
    return _share(2 * row[-1], len(own) + len(other)) if own or other else 0.0
