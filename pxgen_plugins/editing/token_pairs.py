"""Which token's state is to be read as which other token's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.adapters.text_to_image.cross_attention import states_of
from pxgen_plugins.utils.errors import ParameterError, short_repr

__all__ = ["TOKENS", "aligned", "concept_states", "fill", "preserved_states"]

TOKENS = ("last", "onward", "all")


def fill(template: str, concept: str) -> str:
    """Return a template with a concept at its place.

    Example:
        >>> fill("a thin {} left", "three"), fill("a painting in the style of {}", "")
        ('a thin three left', 'a painting in the style of')
    """
    return " ".join(template.replace("{}", concept).split())


def aligned(
    source: Sequence[int], other: Sequence[int], n_tokens: int, tokens: str
) -> list[tuple[int, int]]:
    """Return pairs of positions in two prompts that differ in one concept.

    Args:
        source: Positions of the concept in the one prompt, at least one.
        other: Positions of what stands there in the other.
        n_tokens: Length of both.
        tokens: ``"last"``: the last tokens of the concepts; ``"onward"``: these and all behind
            them, which in a text encoder that reads forwards know of the concept too; ``"all"``:
            those before as well.

    Example:
        >>> aligned([2, 3], [2], 6, "all")
        [(0, 0), (1, 1), (3, 2), (4, 3), (5, 4)]
        >>> aligned([2, 3], [2], 6, "last")
        [(3, 2)]
    """
    one, two = source[-1], other[-1]
    pairs = [(one, two)]
    if tokens != "last":
        pairs += [(one + k, two + k) for k in range(1, n_tokens - max(one, two))]
    if tokens == "all":
        common = min(len(source), len(other))
        inside = [(one - k, two - k) for k in range(common - 1, 0, -1)]
        before = [(k, k) for k in range(min(source[0], other[0]))]
        pairs = before + inside + pairs
    return pairs


def concept_states(
    model: Any, concept: str, target: str, templates: Iterable[str], tokens: str
) -> tuple[Tensor, Tensor]:
    """Return states of a concept and of those it is to be read as, (n, width) each.

    Raises:
        ParameterError: When the text encoder does not tell the two apart, or finds no token.
    """
    inputs, others = [], []
    for template in templates:
        prompts = fill(template, concept), fill(template, target)
        states = [states_of(model, prompt) for prompt in prompts]
        if bool((states[0] == states[1]).all()):
            hint = "Give words that the text encoder tells apart."
            got = f"{short_repr(prompts[0])} and {short_repr(prompts[1])} with the same states"
            raise ParameterError("edits", "from one prompt to another", got, hint)
        source = list(model.token_positions(prompts[0], concept))
        if not source:
            hint = "Give words that are tokens of the prompt."
            raise ParameterError("edits", f"in {short_repr(prompts[0])}", short_repr(concept), hint)
        # what is left of a prompt that loses its concept ends at its last word
        words = target or prompts[1]
        other = list(model.token_positions(prompts[1], words)) if words else []
        pairs = aligned(source, other or source, len(states[0]), tokens)
        inputs.append(states[0][[one for one, _ in pairs]])
        others.append(states[1][[two for _, two in pairs]])
    return torch.cat(inputs), torch.cat(others)


def preserved_states(model: Any, concepts: Iterable[str], templates: Sequence[str]) -> Tensor:
    """Return the states of every token of concepts in templates, (m, width); (0, 0) for none."""
    states = [states_of(model, fill(t, concept)) for concept in concepts for t in templates]
    return torch.cat(states) if states else torch.empty(0, 0)
