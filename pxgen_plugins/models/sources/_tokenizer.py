"""A tokenizer of transformers as texts need it: what is decoded gives the same tokens again."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

__all__ = ["Tokenizer"]

_BROKEN = "\ufffd"  # stands for bytes that are no character


class Tokenizer:
    """Tokens of texts and texts of tokens.

    Texts are decoded without clean-up, which would take out spaces that the model wrote.

    Args:
        tokenizer: What is used of it: see
            :func:`~pxgen_plugins.models.sources.transformers.from_transformers`.
        n_tokens: Number of tokens that the network knows.
        ends: Further tokens that end a text, where the tokenizer calls them special.
    """

    def __init__(self, tokenizer: Any, n_tokens: int, ends: Iterable[int] = ()) -> None:
        self._tokenizer, self._n_tokens = tokenizer, n_tokens
        self._backend = _without_cleanup(tokenizer)
        self._options = _options(tokenizer.decode)
        first, last = (getattr(tokenizer, f"{n}_token_id", None) for n in ("bos", "eos"))
        special = getattr(tokenizer, "all_special_ids", None) or ()
        self._special = {int(i) for i in special} | {i for i in (first, last) if i is not None}
        self.start = [i for i in (first, last) if i is not None][:1]
        self.scored = [first] if first is not None else []
        self.ends = ({last} if last is not None else set()) | (self._special & set(ends))

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of texts, without special ones."""
        rows = self._tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return [[int(token) for token in ids] for ids in rows]

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, without a space in front that encoding would put back."""
        text = self._decode(list(ids))
        if text.startswith(" ") and text != " " and self.encode([text[1:]])[0] == list(ids):
            return text[1:]
        return text

    def ending(self, ids: list[int], longest: int) -> str:
        """Return the text of tokens, without its last ones where it is too long or broken off.

        Args:
            ids: The tokens.
            longest: Most characters of the text.
        """
        text = self.text(ids)
        while len(text) > longest or (text.endswith(_BROKEN) and self.encode([text])[0] != ids):
            ids = ids[:-1]
            shorter = self.text(ids)
            if not shorter:
                break
            text = shorter
        return text[:longest]

    def barred(self, before: Sequence[int], made: Sequence[int], is_last: bool) -> Tensor:
        """Return the tokens that must not come next in a sample.

        Never those without text; while there is no text, none that ends it.

        Args:
            before: The tokens of the prompt, without special ones.
            made: The tokens drawn so far.
            is_last: Whether no more follow.
        """
        blank = self._without_text[1]
        if made and (not blank.issuperset(made) or self._decode([*before, *made])):
            return self._barred[0]
        return self._barred[2 if is_last and not before else 1]

    @cached_property
    def _barred(self) -> tuple[Tensor, Tensor, Tensor]:
        never, blank = self._without_text
        rows = (never, [*never, *self.ends], [*never, *self.ends, *blank])
        one, two, three = (torch.tensor(sorted(row), dtype=torch.int64) for row in rows)
        return one, two, three

    @cached_property
    def _without_text(self) -> tuple[list[int], set[int]]:
        """Tokens without text, as special ones, and pieces that only alone decode to nothing.

        Those that end a text are among neither.
        """
        alone = [self._piece([i]) for i in range(self._n_tokens)]
        plain = (i for i, text in enumerate(alone) if text.strip() and text != _BROKEN)
        other = next((i for i in plain if i not in self._special), None)
        never, blank = [], set()
        for i, text in enumerate(alone):
            if i in self.ends:
                continue
            if i in self._special:
                never.append(i)
            elif not text:
                # a piece, alone nothing, may stand for a space between two others
                around = [] if other is None else [other]
                real = self._piece([*around, i, *around]) != self._piece([*around, *around])
                blank.add(i) if real else never.append(i)
        return never, blank

    def _piece(self, ids: list[int]) -> str:
        try:
            return self._decode(ids)
        except Exception:  # a network may know more tokens than its tokenizer
            return ""

    def _decode(self, ids: list[int]) -> str:
        if self._backend is not None:
            return str(self._backend.decode(ids, skip_special_tokens=True))
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, **self._options))


def _options(decode: Any) -> dict[str, bool]:
    """Return the options of ``decode`` that keep spaces as they are, those that it has."""
    wanted = {"clean_up_tokenization_spaces": False, "spaces_between_special_tokens": False}
    try:
        parameters = inspect.signature(decode).parameters.values()
    except (TypeError, ValueError):
        return {}
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return wanted
    return {name: wanted[name] for name in wanted if name in {one.name for one in parameters}}


def _without_cleanup(tokenizer: Any) -> Any:
    """Return a copy of a fast tokenizer whose decoder cleans up by itself, without that; or None.

    The decoder of WordPiece takes out spaces before commas and in "do not", whatever is asked.
    """
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    try:
        content = json.loads(backend.to_str()) if backend is not None else {}
    except Exception:  # parts that are written in Python cannot be copied
        return None
    decoder = content.get("decoder")
    if not _switch_off(decoder):
        return None
    plain = copy.deepcopy(backend)
    plain.decoder = type(backend).from_str(json.dumps(content)).decoder
    return plain


def _switch_off(decoder: Any) -> bool:
    """Switch off every clean-up in the description of a decoder; return whether there was one."""
    if not isinstance(decoder, dict):
        return False
    inner = [_switch_off(one) for one in decoder.get("decoders") or ()]
    own = bool(decoder.get("cleanup"))
    if own:
        decoder["cleanup"] = False
    return own or any(inner)
