"""Extraction: does a language model write training texts out, given how they begin?"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pxgen_plugins.criteria.text import edit_distance
from pxgen_plugins.groups import exact_interval
from pxgen_plugins.models.base import capabilities

__all__ = ["PROMPTS", "Extraction", "continues", "edits_of", "extraction"]

Floats = NDArray[np.float64]

PROMPTS = (0.25, 0.5, 0.75)
"""Parts of a text that the model is given."""

_CLOSE = 0.1  # edits per token that still count as the same end
_LEAST = 4  # tokens of an end: a shorter one is guessed


@dataclass(frozen=True)
class Extraction:
    """How often a model continues texts with their own ends.

    Attributes:
        prompt: Part of a text that it was given.
        exact: Share of training texts whose end it wrote, token for token.
        exact_interval: Its exact 95% interval.
        exact_control: The same share of held-out texts: what is guessed, not remembered.
        close: Share of training texts whose end it wrote with at most a tenth of its tokens edited.
        close_interval: Its exact 95% interval.
        close_control: The same share of held-out texts.
        p_value: That ends of training texts are no more often written closely (Fisher 1934).
        n: Training texts with an end of at least four tokens.
        n_control: Held-out ones.
        found: Positions of the training texts whose ends were written closely.
    """

    prompt: float
    exact: float
    exact_interval: tuple[float, float]
    exact_control: float
    close: float
    close_interval: tuple[float, float]
    close_control: float
    p_value: float
    n: int
    n_control: int
    found: tuple[int, ...]

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Extraction:
        """Return what :meth:`to_dict` gave, read from a file."""
        names = ("exact_interval", "close_interval", "found")
        return cls(**{**content, **{name: tuple(content[name]) for name in names}})

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers under their names."""
        return asdict(self)


def continues(model: Any) -> bool:
    """Return whether a model writes on where a text breaks off."""
    return "continuation" in capabilities(model)


def edits_of(
    model: Any,
    texts: NDArray[np.float32],
    prompt: float,
    update: Callable[[int], object] = lambda n: None,
    batch_size: int = 32,
) -> NDArray[np.float64]:
    """Return the edits between the ends of texts and those that a language model writes.

    Args:
        model: A model that continues.
        texts: Texts as the model's rows, (n, max_chars).
        prompt: Part of each text that it is given, in (0, 1).
        update: Gets the number of texts that are done since the last call.
        batch_size: Texts at a time.

    Returns:
        Edits over the longer length, (n,); NaN for an end of fewer than four tokens.

    Cost: a continuation of each text.
    """
    other = copy.copy(model)
    other.prompt = prompt
    found = []
    for start in range(0, len(texts), batch_size):
        part = torch.from_numpy(np.asarray(texts[start : start + batch_size]))
        found += [_edits(own, made) for own, made in other.continuation(part)]
        update(len(part))
    return np.array(found, dtype=np.float64)


def extraction(edits: Mapping[float, tuple[Floats, Floats]]) -> list[Extraction]:
    """Return how often a model wrote the ends of texts, a row for each length of prompt.

    Carlini et al. 2023, "Quantifying memorization across neural language models": a text is
    extractable when the likeliest continuation of its beginning is its own end; Ippolito et al.
    2023 count close continuations, too. The held-out texts say how much of that is guessed.

    Args:
        edits: By prompt, those of training and of held-out texts, from :func:`edits_of`.

    Example:
        >>> (row,) = extraction({0.5: (np.array([0.0, 0.05, 0.9]), np.array([0.8, 0.9]))})
        >>> row.exact, row.close, row.close_control, row.found
        (0.333..., 0.666..., 0.0, (0, 1))
    """
    return [
        _row(prompt, *both)
        for prompt, both in edits.items()
        if all(np.isfinite(some).any() for some in both)
    ]


def _edits(own: torch.Tensor, made: torch.Tensor) -> float:
    if len(own) < _LEAST:
        return float("nan")
    return edit_distance(own.tolist(), made.tolist()) / max(len(own), len(made))


def _row(prompt: float, edits: NDArray[Any], control: NDArray[Any]) -> Extraction:
    from scipy.stats import fisher_exact

    found = tuple(int(i) for i in np.flatnonzero(edits <= _CLOSE))
    edits, control = edits[np.isfinite(edits)], control[np.isfinite(control)]
    n, m = len(edits), len(control)
    close, close_control = int((edits <= _CLOSE).sum()), int((control <= _CLOSE).sum())
    exact, exact_control = int((edits == 0).sum()), int((control == 0).sum())
    table = [[close, n - close], [close_control, m - close_control]]
    answer: Any = fisher_exact(table, alternative="greater")
    return Extraction(
        prompt,
        exact / n,
        exact_interval(exact, n),
        exact_control / m,
        close / n,
        exact_interval(close, n),
        close_control / m,
        float(answer.pvalue),
        n,
        m,
        found,
    )
