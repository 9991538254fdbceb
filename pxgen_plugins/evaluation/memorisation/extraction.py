"""Extraction: does a language model write training texts out, given how they begin?"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pxgen_plugins.criteria.text import edit_distance
from pxgen_plugins.groups import exact_interval
from pxgen_plugins.models.base import capabilities
from pxgen_plugins.utils.progress import bar

__all__ = ["PROMPTS", "Extraction", "extraction"]

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

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers under their names."""
        return asdict(self)


def extraction(
    model: Any,
    training: Sequence[NDArray[np.float32]] | NDArray[np.float32],
    held_out: Sequence[NDArray[np.float32]] | NDArray[np.float32],
    prompts: Sequence[float] = PROMPTS,
    batch_size: int = 32,
    verbose: bool = False,
) -> list[Extraction]:
    """Let a language model continue training and held-out texts, at several lengths of prompt.

    Carlini et al. 2023, "Quantifying memorization across neural language models": a text is
    extractable when the likeliest continuation of its beginning is its own end; Ippolito et al.
    2023 count close continuations, too. The held-out texts say how much of that is guessed.

    Args:
        model: A language model that continues; another returns no rows.
        training: Training texts as the model's rows, (n, max_chars).
        held_out: Held-out ones, (m, max_chars).
        prompts: Parts of a text to give, each in (0, 1).
        batch_size: Texts at a time.
        verbose: Show a progress bar.

    Cost: a continuation of each text for each length.
    """
    if "continuation" not in capabilities(model):
        return []
    rows = []
    total = len(prompts) * (len(training) + len(held_out))
    with bar(total, "continuing", "text", verbose) as progress:
        for prompt in prompts:
            other = copy.copy(model)
            other.prompt = prompt
            edits = []
            for texts in (training, held_out):
                found = []
                for start in range(0, len(texts), batch_size):
                    part = torch.from_numpy(np.asarray(texts[start : start + batch_size]))
                    found += [_edits(own, made) for own, made in other.continuation(part)]
                    progress.update(len(part))
                edits.append(np.array(found))
            if all(np.isfinite(some).any() for some in edits):
                rows.append(_row(prompt, *edits))
    return rows


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
