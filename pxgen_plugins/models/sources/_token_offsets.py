"""Where the tokens of a prompt stand in it, for every kind of tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from pxgen_plugins.utils.errors import ModelError, ParameterError, short_repr

__all__ = ["check_length", "offsets_of", "padded"]

_ENDLESS = 10**6  # tokenizers without a limit state a larger one


def longest(tokenizer: Any, text_encoder: Any = None) -> int:
    """Return how many tokens prompts are padded to.

    Raises:
        ModelError: When neither says it.
    """
    config = getattr(text_encoder, "config", None)
    stated = (
        getattr(tokenizer, "model_max_length", None),
        getattr(config, "max_position_embeddings", None),
    )
    for n in stated:
        if isinstance(n, int) and 0 < n < _ENDLESS:
            return n
    hint = "Set tokenizer.model_max_length, the length it was trained with."
    raise ModelError("tokenizer", "one with a model_max_length", short_repr(stated[0]), hint)


def padded(tokenizer: Any, prompts: list[str], n: int, **options: Any) -> Any:
    """Return the tokens of prompts, each padded to ``n``.

    Raises:
        ParameterError: When a prompt has more: pipelines would cut it.
    """
    check_length(tokenizer, prompts, n)
    return tokenizer(prompts, padding="max_length", max_length=n, truncation=False, **options)


def check_length(tokenizer: Any, prompts: list[str], n: int) -> None:
    """Raise when a prompt has more than ``n`` tokens, of which pipelines would drop the last."""
    rows = tokenizer(prompts, truncation=False, verbose=False)["input_ids"]
    for prompt, ids in zip(prompts, rows, strict=True):
        if len(ids) > n:
            got = f"{len(ids)} of {short_repr(prompt)}"
            raise ParameterError("prompt", f"at most {n} tokens", got, "Shorten it.")


def offsets_of(tokenizer: Any, n: int) -> Callable[[str], list[tuple[int, int]]]:
    """Return the function from a prompt to the places (start, end) of its ``n`` tokens.

    Tokenizers in Python do not tell places: the same rules are built in the ``tokenizers`` library,
    and its tokens are compared.

    Args:
        tokenizer: Of transformers, fast or not.
        n: How many tokens prompts are padded to; special ones and padding are at (0, 0).
    """
    if getattr(tokenizer, "is_fast", False):

        def fast(prompt: str) -> list[tuple[int, int]]:
            found = padded(tokenizer, [prompt], n, return_offsets_mapping=True)
            return [(int(start), int(end)) for start, end in found["offset_mapping"][0]]

        return fast

    @cache
    def backend() -> Any:
        from transformers.convert_slow_tokenizer import convert_slow_tokenizer

        return convert_slow_tokenizer(tokenizer)

    def slow(prompt: str) -> list[tuple[int, int]]:
        ids = list(padded(tokenizer, [prompt], n)["input_ids"][0])
        found = backend().encode(prompt)
        if ids[: len(found.ids)] != found.ids:
            hint = "Load the fast tokenizer of the same name."
            got = f"other tokens of {short_repr(prompt)} in the fast form of the tokenizer"
            raise ModelError("tokenizer", "one whose tokens can be placed", got, hint)
        special = found.special_tokens_mask
        places = [(0, 0) if s else o for o, s in zip(found.offsets, special, strict=True)]
        return places + [(0, 0)] * (n - len(places))

    return slow
