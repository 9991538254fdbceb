"""A small GPT-2 of characters (transformers), trained on the prose of scipy's docstrings.

``train_char_lm.py`` trains it; the weights are in half precision.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from family_models.common import Family, stored_weights
from family_models.sentences import code_lines, sentences, shuffled
from pxgen_plugins.models import wrap

__all__ = ["Characters", "build", "network"]

LONGEST = 128


class Characters:
    """A tokenizer of printable ASCII characters; 0 begins and ends a text, 1 stands for others."""

    bos_token_id = eos_token_id = 0
    size = 97

    def __call__(
        self, texts: Sequence[str], add_special_tokens: bool = True
    ) -> dict[str, list[list[int]]]:
        """Return the token ids of texts."""
        ends = [0] if add_special_tokens else []
        rows = [[ord(c) - 30 if " " <= c <= "~" else 1 for c in text] for text in texts]
        return {"input_ids": [[*ends, *row, *ends] for row in rows]}

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """Return the text behind token ids."""
        return "".join(chr(i + 30) if i > 1 else "?" for i in ids if i)


def network(seed: int = 0) -> nn.Module:
    """Return the untrained network: three layers of 96 dimensions, 0.4 million weights."""
    from transformers import GPT2Config, GPT2LMHeadModel

    settings = GPT2Config(  # type: ignore[no-untyped-call]
        vocab_size=Characters.size, n_positions=LONGEST, n_embd=96, n_layer=3, n_head=4,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net: nn.Module = GPT2LMHeadModel(settings)  # type: ignore[no-untyped-call]
    return net


def build() -> Family:
    """Return the model and what it is tried on."""
    net: Any = network()
    state = {name: value.float() for name, value in stored_weights("char_lm").items()}
    net.load_state_dict(state | {"lm_head.weight": state["transformer.wte.weight"]})
    texts = random.Random(0).sample(sentences(held_out=True), 200)
    letters = random.Random(1)
    alphabet = "abcdefghijklmnopqrstuvwxyz     "
    others = {
        "words shuffled": shuffled(texts, words=True),
        "characters shuffled": shuffled(texts, words=False),
        "random letters": ["".join(letters.choices(alphabet, k=len(text))) for text in texts],
        "program code": code_lines(200),
    }
    model = wrap(net, tokenizer=Characters(), max_chars=LONGEST - 2, max_tokens=LONGEST - 2)
    return Family(
        model,
        ["token_nll", "aggregate_mahalanobis"],
        ["token_edit"],
        texts,
        others,
        sentences(held_out=False)[:1_000],
    )
