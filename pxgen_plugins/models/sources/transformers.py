"""Causal language models of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.models.language_model import LanguageModel
from pxgen_plugins.models.runtime import EvaluationMode
from pxgen_plugins.models.sources._tokenizer import Tokenizer
from pxgen_plugins.models.sources.base import Source, is_of, register
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError, caller, short_repr
from pxgen_plugins.utils.progress import count_passes

__all__ = ["from_transformers"]

_TEXT_PARTS = (
    "text_config", "thinker_config", "language_config", "llm_config", "decoder", "generator",
)  # fmt: skip


@caller("from_transformers")
def from_transformers(
    obj: Any,
    *,
    tokenizer: Any,
    max_tokens: int = 64,
    prompts: Sequence[str] | None = None,
    max_chars: int = 1_000,
    prompt: float = 0.5,
) -> LanguageModel:
    """Return a causal language model of transformers as a :class:`LanguageModel`.

    Probabilities, continuations and samples are computed from its logits, by loops of our own:
    samples are drawn from the full distribution with their own generator, the same whatever else is
    drawn with them. With a token for the beginning of texts (``bos_token_id``) the first token is
    scored too. ``embed`` is the mean of the last hidden states. Prompts are cut between tokens and
    continued as tokens. Texts are decoded without clean-up (``clean_up_tokenization_spaces``), and
    a sample that reaches ``max_chars`` or breaks off within a character ends at a token before.

    Args:
        obj: The model, as ``AutoModelForCausalLM`` loads it.
        tokenizer: Its tokenizer; what is used of one is ``tokenizer(texts,
            add_special_tokens=False)["input_ids"]``, ``decode``, ``bos_token_id`` and
            ``eos_token_id``, and ``all_special_ids`` if it is there.
        max_tokens: Most tokens of a sample.
        prompts: Texts of which samples continue one each; None starts from the beginning, which
            needs a ``bos_token_id`` or an ``eos_token_id``.
        max_chars: Most characters of a text.
        prompt: Which part of a text's tokens the model is given to continue.

    Raises:
        ParameterError: When an argument is not allowed.
        ModelError: When what the model says of a token depends on later ones.

    Cost: one pass per text for its loss; one per token, over the whole text so far, for
    continuations and samples.

    A text with more tokens than the model takes is one bad anchor, and so is one with fewer than
    two where nothing stands for the beginning.
    """
    if not callable(obj) or not hasattr(obj, "config"):
        hint = "Pass the model, as AutoModelForCausalLM.from_pretrained(folder) returns it."
        raise ParameterError("obj", "a causal model of transformers", short_repr(obj), hint)
    if not callable(tokenizer) or not hasattr(tokenizer, "decode"):
        hint = "Pass AutoTokenizer.from_pretrained(folder)."
        raise ParameterError("tokenizer", "its tokenizer", short_repr(tokenizer), hint)
    validation.integer(max_tokens, "max_tokens", minimum=1)
    longest = validation.integer(max_chars, "max_chars", minimum=1)
    texts = _Causal(obj, tokenizer, max_tokens, longest, None if prompts is None else list(prompts))
    if not texts.is_causal():
        hint = "Load it by AutoModelForCausalLM; a model of BERT's kind needs is_decoder=True."
        got = f"a {type(obj).__name__}, whose logits depend on later tokens"
        raise ModelError("obj", "a causal model of transformers", got, hint)
    able = texts.tokens.start or prompts
    model = LanguageModel(
        log_probs=texts.log_probs,
        extend=texts.extend,
        sample=texts.sample if able else None,
        embed=texts.embed,
        tokenize=lambda text: texts.tokens.encode([text])[0],
        detokenize=lambda ids: texts.tokens.text(list(ids)),
        max_chars=max_chars,
        prompt=prompt,
        max_tokens=max_tokens,
        modules=obj,
    )
    model.origin = f"transformers {type(obj).__name__}, {_text_config(obj).vocab_size} tokens"
    return model


def _text_config(net: Any) -> Any:
    """Return the configuration of a model's text part: composite ones (Gemma 3) hold it inside.

    Raises:
        ModelError: When no part has a ``vocab_size``.
    """
    parts = [net.config]
    for part in parts:  # grows on the way: a part may be composite itself
        if getattr(part, "vocab_size", None) is not None:
            return part
        inner = (getattr(part, name, None) for name in _TEXT_PARTS)
        parts += [one for one in inner if one is not None and not isinstance(one, (str, dict))]
    hint = "Pass the language model inside, as in model.language_model with its lm_head."
    got = f"a {type(net.config).__name__} without one"
    raise ModelError("obj", "a model whose configuration has a vocab_size", got, hint)


class _Causal:
    """What is asked of a causal model, on texts."""

    def __init__(
        self, net: Any, tokenizer: Any, max_tokens: int, longest: int, prompts: list[str] | None
    ) -> None:
        self.net, self.max_tokens, self.longest = net, max_tokens, longest
        self.prompts = prompts
        ends = getattr(getattr(net, "generation_config", None), "eos_token_id", None)
        listed = ends if isinstance(ends, (list, tuple)) else [] if ends is None else [ends]
        self.tokens = Tokenizer(tokenizer, int(_text_config(net).vocab_size), listed)
        self.most = getattr(_text_config(net), "max_position_embeddings", None)
        self.evaluating = EvaluationMode([net])
        self.device = next(net.parameters()).device

    def log_probs(self, texts: list[str]) -> list[Tensor]:
        rows = [self.tokens.scored + ids for ids in self.tokens.encode(texts)]
        for ids in rows:
            if len(ids) < 2:
                raise ValueError("a text of fewer than two tokens, and nothing stands before it")
        logits = self._forward(rows).logits.float()
        chances = []
        for ids, row in zip(rows, logits, strict=True):
            tokens = torch.tensor(ids[1:], device=self.device)
            each = row[: len(ids) - 1].log_softmax(1)
            chances.append(each.gather(1, tokens[:, None])[:, 0])
        return chances

    def embed(self, texts: list[str]) -> Tensor:
        """Return the mean of the last hidden states over the tokens, (n, d)."""
        rows = [self.tokens.start + ids for ids in self.tokens.encode(texts)]
        hidden = self._forward(rows, output_hidden_states=True).hidden_states[-1]
        means = [row[: len(ids)].mean(0) for ids, row in zip(rows, hidden, strict=True)]
        return torch.stack(means)

    def extend(self, heads: list[list[int]], n_tokens: list[int]) -> list[list[int]]:
        """Return the likeliest tokens that follow those of each prompt."""
        return self._extend(heads, n_tokens, None)

    def sample(self, n: int, seed: int) -> list[str]:
        generator = torch.Generator().manual_seed(seed)
        draws = torch.rand(n, self.max_tokens, generator=generator, dtype=torch.float32)
        heads: list[list[int]] = [[]] * n
        if self.prompts:
            chosen = torch.randint(len(self.prompts), (n,), generator=generator)
            heads = self.tokens.encode([self.prompts[int(which)] for which in chosen])
        ends = []
        for low in range(0, n, 64):  # a block at a time bounds the memory of the logits
            part = slice(low, low + 64)
            lengths = [self.max_tokens] * len(heads[part])
            ends += self._extend(heads[part], lengths, draws[part])
        whole = [head + ids for head, ids in zip(heads, ends, strict=True)]
        return [self.tokens.ending(ids, self.longest) for ids in whole]

    def is_causal(self) -> bool:
        """Return whether what is said of a token leaves the later ones out of account."""
        if getattr(self.net.config, "is_encoder_decoder", False):
            return False
        most = int(_text_config(self.net).vocab_size)
        tokens = [(7 * k + 1) % most for k in range(min(4, self.most or 4))]
        other = [*tokens[:-1], (tokens[-1] + 1) % most]
        one, two = (self._forward([ids]).logits.float()[0, :-1] for ids in (tokens, other))
        return bool(torch.allclose(one, two, rtol=1e-4, atol=1e-5))

    def _extend(
        self, heads: list[list[int]], lengths: list[int], draws: Tensor | None
    ) -> list[list[int]]:
        """Return the tokens that follow each head: drawn by numbers in [0, 1), or the likeliest."""
        rows = [self.tokens.start + ids for ids in heads]
        starts = [len(ids) for ids in rows]
        done = [length == 0 for length in lengths]
        for step in range(max(lengths, default=0)):
            active = [i for i, finished in enumerate(done) if not finished]
            if not active:
                break
            logits = self._forward([rows[i] for i in active]).logits.float()
            for i, row in zip(active, logits, strict=True):
                last = row[len(rows[i]) - 1]
                room = lengths[i] if self.most is None else min(lengths[i], self.most - starts[i])
                if draws is None:
                    token = int(last.argmax())
                else:
                    barred = self.tokens.barred(heads[i], rows[i][starts[i] :], step + 1 >= room)
                    last[barred.to(last.device)] = -1e9
                    token = int(_token_at(last, draws[i, step]))
                if token in self.tokens.ends:
                    done[i] = True
                    continue
                rows[i].append(token)
                done[i] = step + 1 >= room
        return [ids[start:] for ids, start in zip(rows, starts, strict=True)]

    def _forward(self, rows: list[list[int]], **options: Any) -> Any:
        longest = max(len(ids) for ids in rows)
        if self.most is not None and longest > self.most:
            raise ValueError(f"a text of {longest} tokens, more than the model's {self.most}")
        ids = torch.zeros(len(rows), longest, dtype=torch.int64)
        mask = torch.zeros(len(rows), longest, dtype=torch.int64)
        for at, row in enumerate(rows):
            ids[at, : len(row)] = torch.tensor(row)
            mask[at, : len(row)] = 1
        with torch.no_grad(), self.evaluating():
            returned = self.net(
                input_ids=ids.to(self.device), attention_mask=mask.to(self.device), **options
            )
        count_passes(len(rows))
        return returned


def _token_at(logits: Tensor, number: Tensor) -> Tensor:
    """Return the token at which the cumulative probability first exceeds ``number``."""
    cumulative = logits.double().softmax(0).cumsum(0)
    at = torch.searchsorted(cumulative, number.double().to(cumulative.device) * cumulative[-1])
    return at.clamp(max=len(logits) - 1)


@register("transformers")
class Transformers(Source):
    """Causal language models of transformers."""

    order = 20
    what = "a causal language model of transformers"
    build = staticmethod(from_transformers)

    @classmethod
    def matches(cls, obj: Any) -> bool:
        """Return whether ``obj`` is a model of transformers that predicts tokens."""
        return is_of(obj, "transformers") and hasattr(obj, "config") and hasattr(obj, "generate")
