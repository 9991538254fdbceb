"""Language models: texts are the anchors, tokens are what is scored."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pxgen_plugins.anchors.documents import from_rows, open_texts, to_rows
from pxgen_plugins.anchors.tables import BY_NAME, Columns
from pxgen_plugins.models._seeded_callable import Draw
from pxgen_plugins.models.base import GenerativeModel, register
from pxgen_plugins.models.callables import method
from pxgen_plugins.models.runtime import EvaluationMode, Modules, modules_behind
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError, caller, short_repr

__all__ = ["LanguageModel"]

_FARTHEST = 64  # characters from where the prompt should end to where a token does
_ROUNDING = 1e-4
_FEW = 4  # different prompts, which no model repeats by chance
_SEVERAL = 8  # different lengths of texts, which by chance never have the same number of tokens
_REMEDIES = {
    "sample": "Build the LanguageModel with sample=f, where f(n, seed) returns n texts.",
    "continuation": "Build the LanguageModel with generate=f, or with tokenize=f and extend=g.",
    "embed": "Build the LanguageModel with embed=f.",
}


@register("language_model")
class LanguageModel(GenerativeModel):
    """Any model of text that gives log-probabilities of tokens.

    Anchors are texts: whatever :func:`~pxgen_plugins.anchors.documents.open_texts` opens. Inside
    they are rows of code points, (n, max_chars).

    Args:
        module: The network. While the model is called it is in evaluation mode; afterwards every
            flag is as before.
        log_probs: Name of its method, or a function, from n texts to n sequences: the
            log-probability of each token given those before, nats.
        generate: Likewise, ``generate(prompts, n_tokens)`` to the continuations, one for each
            prompt, without the prompt: the likeliest (greedy) one, the same each time, such that
            prompt + continuation is a text. ``n_tokens`` says how many tokens each should have.
        extend: Likewise, in place of ``generate`` and beside ``tokenize``: ``extend(ids,
            n_tokens)``, from the token ids of n prompts to the ids that follow. Nothing is decoded
            on the way.
        sample: Likewise, ``sample(n, seed)`` to n texts of the model's own.
        embed: Likewise, from n texts to vectors (n, d).
        tokenize: Likewise, from a text to its token ids; None takes the code points.
        detokenize: Likewise, from token ids to a text: beside ``extend``, where ends are embedded.
        max_chars: Most characters of a text; samples are cut there.
        prompt: Which part of a text the model is given to continue, in (0, 1), at least a token
            and never all. With ``extend`` it is a part of the tokens; with ``generate``, of the
            characters, moved to the nearest place where the prompt's tokens are the text's first.
        max_tokens: Most tokens of a sample, each of which costs a pass; None takes ``max_chars``.
        modules: The torch modules inside functions (see :class:`~pxgen_plugins.models.VAE`).

    Raises:
        ParameterError: When an argument is not allowed.
        ModelError: When a function does not give what it should, at the first use.

    Cost in passes: one for a text's loss, ``max_tokens`` for a sample, and the part of them that
    ``prompt`` leaves for a continuation.

    Example:
        >>> model = LanguageModel(log_probs=lambda texts: [[-0.5] * len(text) for text in texts],
        ...                       modules=(), max_chars=8)
        >>> x = model.rows(["abc", "d"])
        >>> model.token_loss(x).tolist(), model.render(x)
        ([0.5, 0.5], ['abc', 'd'])
    """

    sample_shape: tuple[int, ...]

    @caller("LanguageModel")
    def __init__(
        self,
        module: Any = None,
        *,
        log_probs: str | Callable[[list[str]], Sequence[Any]] = "log_probs",
        generate: str | Callable[[list[str], list[int]], Sequence[str]] | None = None,
        extend: str | Callable[[list[list[int]], list[int]], Sequence[Sequence[int]]] | None = None,
        sample: str | Callable[[int, int], Sequence[str]] | None = None,
        embed: str | Callable[[list[str]], Any] | None = None,
        tokenize: str | Callable[[str], Sequence[int]] | None = None,
        detokenize: str | Callable[[Sequence[int]], str] | None = None,
        max_chars: int = 1_000,
        prompt: float = 0.5,
        max_tokens: int | None = None,
        modules: Modules = None,
    ) -> None:
        if extend is not None and (generate is not None or tokenize is None):
            hint = "Pass extend and tokenize, or generate."
            allowed = "given beside tokenize and without generate"
            raise ParameterError("extend", allowed, short_repr(extend), hint)
        others = {"generate": generate, "extend": extend, "embed": embed}
        functions = {"log_probs": log_probs} | {r: f for r, f in others.items() if f is not None}
        self._functions = {role: method(module, f, role) for role, f in functions.items()}
        self._evaluating = EvaluationMode(modules_behind(self._functions, modules, module))
        self._draw = None if sample is None else Draw(method(module, sample, "sample"), "sample")
        self._tokenize = _code_points if tokenize is None else method(module, tokenize, "tokenize")
        self._detokenize = None
        if detokenize is not None:
            self._detokenize = method(module, detokenize, "detokenize")
        self.max_chars = validation.integer(max_chars, "max_chars", minimum=1)
        self.prompt = validation.real(prompt, "prompt", above=0.0, below=1.0)
        self.sample_shape = (self.max_chars,)
        tokens = self.max_chars if max_tokens is None else max_tokens
        tokens = validation.integer(tokens, "max_tokens", minimum=1)
        self.costs = {"sample": tokens, "continuation": math.ceil((1.0 - self.prompt) * tokens)}
        names = {
            "log_probs": "token_loss", "generate": "continuation", "extend": "continuation",
            "embed": "embed",
        }  # fmt: skip
        able = {names[role] for role in self._functions}
        self.capabilities = frozenset(able if sample is None else able | {"sample"})
        self.remedies = _REMEDIES
        if embed is not None:
            self.latent_shape = (self._width(),)

    def rows(self, texts: Sequence[str]) -> Tensor:
        """Return texts as rows of code points, float32 (n, max_chars); longer ones are cut."""
        return torch.from_numpy(to_rows(texts, self.max_chars))

    def probe(self, n: int) -> Tensor:
        """Return ``n`` texts to time a pass on, of about as many tokens as a sample."""
        return self.rows(["word " * self.costs["sample"]] * n)

    def open_anchors(self, X: Any, named: Columns = BY_NAME) -> Any:
        """Return the anchors behind texts; ``named`` are the columns that the user named."""
        return open_texts(X, self.max_chars, named)

    def render(self, x: Tensor) -> list[str]:
        """Return the texts behind rows."""
        return from_rows(x.detach().cpu().numpy())

    @caller("LanguageModel")
    def token_loss(self, x: Tensor) -> Tensor:
        """Return the mean negative log-likelihood per token, nats, float64 (n,); NaN without any.

        Raises:
            ModelError: When ``log_probs`` does not give one sequence of numbers per text.
        """
        texts = self.render(x)
        rows = list(self._call("log_probs", texts))
        if len(rows) != len(texts):
            hint = "Return one sequence of log-probabilities per text."
            got = f"{len(rows)} sequences"
            raise ModelError("log_probs' result", f"of {len(texts)}", got, hint)
        losses = [_log_numbers(row) for row in rows]
        _expect_no_padding(texts, losses)
        means = [np.mean(row) if len(row) else np.nan for row in losses]
        return -torch.tensor(means, dtype=torch.float64)

    @caller("LanguageModel")
    def token_costs(self, x: Tensor) -> list[list[tuple[str, float | None]]]:
        """Return each text's tokens with their negative log-likelihoods, nats.

        The first token of a model without a mark in front has none, None; of a mark behind the text
        none is shown. Tokens that cannot be made texts again are their numbers in the vocabulary,
        and those of a model that cuts texts otherwise than ``tokenize`` are numbered.

        Raises:
            ModelError: When ``log_probs`` does not give one sequence of numbers per text.
        """
        costs = []
        for text in self.render(x):
            ids = [int(i) for i in self._tokenize(text)]
            (row,) = self._call("log_probs", [text])
            losses: list[float | None] = (-_log_numbers(row)).tolist()
            more = len(losses) - len(ids)
            if more not in (-1, 0, 1):
                costs.append([(f"token {i}", loss) for i, loss in enumerate(losses)])
                continue
            losses = [None, *losses] if more < 0 else losses[: len(ids)]
            costs.append(list(zip(self._token_texts(ids), losses, strict=True)))
        return costs

    def _token_texts(self, ids: list[int]) -> list[str]:
        if self._tokenize is _code_points:
            return [chr(i) for i in ids]
        if self._detokenize is None:
            return [f"[{i}]" for i in ids]
        return [self._detokenize([i]) for i in ids]

    @caller("LanguageModel")
    def continuation(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return the token ids of each text's own end and of the model's, of the same length.

        Raises:
            CapabilityError: Without ``generate`` and ``extend``.
            ModelError: When it does not give one continuation per prompt.
        """
        texts = self.render(x)
        if "extend" in self._functions:
            pairs = self._extended([list(self._tokenize(text)) for text in texts])
        elif "generate" in self._functions:
            pairs = self._generated(texts)
        else:
            raise self._refusal("continuation")
        return [(_ids(end), _ids(own[: len(end)])) for end, own in pairs]

    @caller("LanguageModel")
    def ends(self, x: Tensor) -> list[tuple[str, str]]:
        """Return each text's own end and what the model writes in its place, as texts.

        Raises:
            CapabilityError: Without ``generate`` and ``extend``.
            ModelError: When it does not give one continuation per prompt, or tokens without
                ``detokenize``.
        """
        texts = self.render(x)
        if "extend" not in self._functions:
            if "generate" not in self._functions:
                raise self._refusal("continuation")
            prompts, own, _, _ = self._continued(texts)
            heads = zip(texts, prompts, own, strict=True)
            return [(text[len(prompt) :], made) for text, prompt, made in heads]
        if self._detokenize is None:
            hint = "Pass detokenize=f with f(ids) -> text."
            raise ModelError("detokenize", "given, to make texts of tokens", "None", hint)
        pairs = self._extended([list(self._tokenize(text)) for text in texts])
        text_of = self._detokenize
        return [(text_of(end), text_of(own[: len(end)])) for end, own in pairs]

    def _extended(self, rows: list[list[int]]) -> list[tuple[list[int], list[int]]]:
        """Return the ends of rows of tokens, and those of the model."""
        at = [_part(self.prompt, len(row)) for row in rows]
        ends = [row[cut:] for row, cut in zip(rows, at, strict=True)]
        heads = [row[:cut] for row, cut in zip(rows, at, strict=True)]
        own = self._call("extend", heads, [len(end) for end in ends])
        if len(own) != len(rows):
            hint = "Return the token ids behind each prompt, without the prompt's."
            allowed = f"{len(rows)} sequences of ids"
            raise ModelError("extend's result", allowed, short_repr(own), hint)
        return [(end, [int(i) for i in ids]) for end, ids in zip(ends, own, strict=True)]

    def _generated(self, texts: list[str]) -> list[tuple[list[int], list[int]]]:
        """Return the tokens of each text behind its prompt, and of the prompt with what follows.

        Both are tokens of whole texts: alone, an end may have others, as with a mark in front.
        """
        prompts, own, rows, at = self._continued(texts)
        pairs = []
        for prompt, text, whole, cut in zip(prompts, own, rows, at, strict=True):
            made = list(self._tokenize(prompt + text))
            pairs.append((whole[cut:], made[_n_shared(made, whole[:cut]) :]))
        return pairs

    def _continued(
        self, texts: list[str]
    ) -> tuple[list[str], list[str], list[list[int]], list[int]]:
        """Return prompts, what the model writes behind them, tokens of texts and of the prompts."""
        prompts, at, rows = [], [], []
        for text in texts:
            whole = list(self._tokenize(text))
            prompt = self._prompt(text, whole)
            rows.append(whole)
            prompts.append(prompt)
            at.append(_n_shared(list(self._tokenize(prompt)), whole))
        lengths = [len(whole) - cut for whole, cut in zip(rows, at, strict=True)]
        own = self._call("generate", prompts, lengths)
        if len(own) != len(texts) or not all(isinstance(text, str) for text in own):
            hint = "Return one text per prompt, without the prompt."
            raise ModelError("generate's result", f"{len(texts)} texts", short_repr(own), hint)
        pairs = list(zip(prompts, own, strict=True))
        again = all(text.startswith(head) and len(text) > len(head) for head, text in pairs)
        if again and len(set(prompts)) >= _FEW:
            hint = "Return text[len(prompt):] for each prompt."
            got = "texts that begin with their prompts, all of them"
            raise ModelError("generate's result", "what follows the prompts", got, hint)
        return prompts, list(own), rows, at

    @caller("LanguageModel")
    def sample(self, n: int, seed: int) -> Tensor:
        """Return ``n`` texts of the model's own as rows, (n, max_chars).

        Raises:
            CapabilityError: Without ``sample``.
            ModelError: When it does not give n texts.
        """
        if self._draw is None:
            raise self._refusal("sample")
        with self._evaluating():
            texts = self._draw.ask(n, seed)
        if len(texts) != n or not all(isinstance(text, str) for text in texts):
            hint = "Return a list of n texts."
            raise ModelError("sample's result", f"{n} texts", short_repr(texts), hint)
        return self.rows(list(texts))

    def embed(self, x: Tensor) -> Tensor:
        """Return one vector per text, (n, d).

        Raises:
            CapabilityError: Without ``embed``.
        """
        if "embed" not in self._functions:
            raise self._refusal("embed")
        return torch.as_tensor(self._call("embed", self.render(x))).detach().float()

    def _call(self, role: str, *arguments: Any) -> Any:
        with self._evaluating():
            return self._functions[role](*arguments)

    def _width(self) -> int:
        """Return the length of a vector, by embedding two texts."""
        allowed, hint = "vectors of shape (n, d)", "Pool over tokens inside embed, as by a mean."
        try:
            vectors = torch.as_tensor(self._call("embed", ["a", "b"]))
        except Exception as error:
            got = f"{type(error).__name__}: {str(error)[:300]}"
            raise ModelError("embed", f"a callable that gives {allowed}", got, hint) from error
        if vectors.ndim != 2 or len(vectors) != 2:
            raise ModelError("embed's result", allowed, short_repr(vectors), hint)
        return int(vectors.shape[1])

    def _prompt(self, text: str, whole: list[int]) -> str:
        """Return the beginning of a text, whose tokens are the text's first."""
        at = _part(self.prompt, len(text))
        if self._tokenize is _code_points:
            return text[:at]
        for away in range(min(len(text), _FARTHEST)):
            for cut in (at - away, at + away):
                if 0 < cut < len(text):
                    head = list(self._tokenize(text[:cut]))
                    if head and len(head) < len(whole) and whole[: len(head)] == head:
                        return text[:cut]
        return text[:at]

    def __repr__(self) -> str:
        return f"LanguageModel(max_chars={self.max_chars}, prompt={self.prompt:g})"


def _part(share: float, n: int) -> int:
    """Return how many of ``n`` things make a share of them: at least one, and not all of several.

    Example:
        >>> _part(0.5, 4), _part(0.9, 2), _part(0.1, 2), _part(0.5, 1)
        (2, 1, 1, 1)
    """
    return max(1, min(round(share * n), n - 1))


def _n_shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many first tokens two sequences have in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _code_points(text: str) -> list[int]:
    return [ord(character) for character in text]


def _ids(tokens: Sequence[int]) -> Tensor:
    return torch.tensor(list(tokens), dtype=torch.int64)


def _expect_no_padding(texts: Sequence[str], rows: Sequence[Any]) -> None:
    """Refuse the rows of a padded matrix: what fills them up would count as tokens."""
    lengths = {len(row) for row in rows}
    if len({len(text) for text in texts}) >= _SEVERAL and len(lengths) == 1 and max(lengths) > 1:
        got = f"{max(lengths)} numbers for every text, whatever its length"
        hint = "Cut each row to its text's tokens: what fills it up would count."
        raise ModelError("log_probs' result", "one number for each token of a text", got, hint)


def _log_numbers(values: Any) -> Any:
    array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    if array.ndim != 1 or array.dtype.kind not in "fiu":
        hint = "Return the log-probability of each token."
        raise ModelError("log_probs' result", "sequences of numbers", short_repr(values), hint)
    if (array > _ROUNDING).any():
        hint = "Take the logarithm of probabilities."
        got = f"{array.max():.3g}"
        raise ModelError("log_probs' result", "logarithms of probabilities, <= 0", got, hint)
    return array.astype(np.float64)
