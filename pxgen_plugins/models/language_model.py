"""Language models: texts are the anchors, tokens are what is scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pxgen_plugins.anchors.documents import from_rows, open_texts, to_rows
from pxgen_plugins.models import register
from pxgen_plugins.models._seeded_callable import Draw
from pxgen_plugins.models.base import GenerativeModel
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError, short_repr

__all__ = ["LanguageModel"]

_FARTHEST = 64  # characters from where the prompt should end to where a token does
_ROUNDING = 1e-4


@register("language_model")
class LanguageModel(GenerativeModel):
    """Any model of text that gives log-probabilities of tokens.

    Anchors are texts: whatever :func:`~pxgen_plugins.anchors.documents.open_texts` opens. Inside
    they are rows of code points, (n, max_chars).

    Args:
        log_probs: Callable from n texts to n sequences: the log-probability of each token given
            those before, nats.
        generate: Callable ``generate(prompts, n_tokens)`` to the continuations, one for each
            prompt, without the prompt: the likeliest (greedy) one, the same each time.
            ``n_tokens`` says how many tokens each should have.
        sample: Callable ``sample(n, seed)`` to n texts of the model's own.
        embed: Callable from n texts to vectors (n, d).
        tokenize: Callable from a text to its token ids; None takes the code points.
        max_chars: Most characters of a text; samples are cut there.
        prompt: Which part of a text the model is given to continue, in (0, 1). The cut is moved to
            the nearest place between two tokens.

    Raises:
        ParameterError: When an argument is not allowed.
        ModelError: When a callable does not give what it should, at the first use.

    Example:
        >>> model = LanguageModel(lambda texts: [[-0.5] * len(text) for text in texts], max_chars=8)
        >>> x = model.rows(["abc", "d"])
        >>> model.token_loss(x).tolist(), model.render(x)
        ([0.5, 0.5], ['abc', 'd'])
    """

    sample_shape: tuple[int, ...]

    def __init__(
        self,
        log_probs: Callable[[list[str]], Sequence[Any]],
        *,
        generate: Callable[[list[str], list[int]], Sequence[str]] | None = None,
        sample: Callable[[int, int], Sequence[str]] | None = None,
        embed: Callable[[list[str]], Any] | None = None,
        tokenize: Callable[[str], Sequence[int]] | None = None,
        max_chars: int = 1_000,
        prompt: float = 0.5,
    ) -> None:
        where = type(self).__name__
        given: dict[str, Any] = {
            "log_probs": log_probs,
            "generate": generate,
            "sample": sample,
            "embed": embed,
        }
        for role, function in (given | {"tokenize": tokenize}).items():
            if not callable(function) and (function is not None or role == "log_probs"):
                hint = "Pass a function on a list of texts; see the class for each."
                raise ParameterError(role, where, "callable", short_repr(function), hint)
        self._where = where
        self._functions: dict[str, Callable[..., Any] | None] = dict(given)
        self._log_probs = log_probs
        self._draw = None if sample is None else Draw(sample, "sample", where)
        self._tokenize = tokenize or _code_points
        self.max_chars = validation.integer(max_chars, "max_chars", where, minimum=1)
        self.prompt = validation.real(prompt, "prompt", where, above=0.0, below=1.0)
        self.sample_shape = (self.max_chars,)
        names = {"log_probs": "token_loss", "generate": "continuation"}
        self.capabilities = frozenset(
            names.get(role, role) for role, function in given.items() if function is not None
        )
        if embed is not None:
            self.latent_shape = (_width(embed, where),)

    def rows(self, texts: Sequence[str]) -> Tensor:
        """Return texts as rows of code points, float32 (n, max_chars); longer ones are cut."""
        return torch.from_numpy(to_rows(texts, self.max_chars))

    def open_anchors(self, X: Any) -> Any:
        """Return the anchors behind texts."""
        return open_texts(X, self.max_chars)

    def render(self, x: Tensor) -> list[str]:
        """Return the texts behind rows."""
        return from_rows(x.detach().cpu().numpy())

    def token_loss(self, x: Tensor) -> Tensor:
        """Return the mean negative log-likelihood per token, nats, float64 (n,); NaN without any.

        Raises:
            ModelError: When ``log_probs`` does not give one sequence of numbers per text.
        """
        texts = self.render(x)
        found = list(self._log_probs(texts))
        if len(found) != len(texts):
            hint = "Return one sequence of log-probabilities per text."
            got = f"{len(found)} sequences"
            raise ModelError("log_probs' result", self._where, f"of {len(texts)}", got, hint)
        given = [_log_numbers(one, self._where) for one in found]
        means = [np.mean(one) if len(one) else np.nan for one in given]
        return -torch.tensor(means, dtype=torch.float64)

    def continuation(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return the token ids of each text's own end and of the model's, of the same length.

        Raises:
            CapabilityError: Without ``generate``.
            ModelError: When it does not give one text per prompt.
        """
        generate = self._functions["generate"]
        if generate is None:
            raise self._refusal("continuation")
        texts = self.render(x)
        at = [self._cut(text) for text in texts]
        ends = [list(self._tokenize(text[cut:])) for text, cut in zip(texts, at, strict=True)]
        prompts = [text[:cut] for text, cut in zip(texts, at, strict=True)]
        made = generate(prompts, [len(end) for end in ends])
        if len(made) != len(texts) or not all(isinstance(text, str) for text in made):
            hint = "Return one text per prompt, without the prompt."
            allowed = f"{len(texts)} texts"
            raise ModelError("generate's result", self._where, allowed, short_repr(made), hint)
        return [
            (_ids(end), _ids(list(self._tokenize(text))[: len(end)]))
            for end, text in zip(ends, made, strict=True)
        ]

    def sample(self, n: int, seed: int) -> Tensor:
        """Return ``n`` texts of the model's own as rows, (n, max_chars).

        Raises:
            CapabilityError: Without ``sample``.
            ModelError: When it does not give n texts.
        """
        if self._draw is None:
            raise self._refusal("sample")
        drawn = self._draw.ask(n, seed)
        if len(drawn) != n or not all(isinstance(text, str) for text in drawn):
            hint = "Return a list of n texts."
            raise ModelError("sample's result", self._where, f"{n} texts", short_repr(drawn), hint)
        return self.rows(list(drawn))

    def embed(self, x: Tensor) -> Tensor:
        """Return one vector per text, (n, d).

        Raises:
            CapabilityError: Without ``embed``.
        """
        embed = self._functions["embed"]
        if embed is None:
            raise self._refusal("embed")
        found = embed(self.render(x))
        return torch.as_tensor(found).detach().float()

    def _cut(self, text: str) -> int:
        """Return after how many characters the prompt ends: between tokens of the whole text."""
        at = max(1, round(self.prompt * len(text)))
        if self._tokenize is _code_points:
            return at
        whole = list(self._tokenize(text))
        for away in range(min(len(text), _FARTHEST)):
            for cut in (at - away, at + away):
                if 0 < cut < len(text):
                    ends = [list(self._tokenize(part)) for part in (text[:cut], text[cut:])]
                    if all(ends) and ends[0] + ends[1] == whole:
                        return cut
        return at

    def __repr__(self) -> str:
        return f"{self._where}(max_chars={self.max_chars}, prompt={self.prompt:g})"


def _code_points(text: str) -> list[int]:
    return [ord(character) for character in text]


def _ids(tokens: Sequence[int]) -> Tensor:
    return torch.tensor(list(tokens), dtype=torch.int64)


def _width(embed: Callable[[list[str]], Any], where: str) -> int:
    allowed, hint = "vectors of shape (n, d)", "Pool over tokens inside embed, as by a mean."
    try:
        probe = torch.as_tensor(embed(["a", "b"]))
    except Exception as error:
        got = f"{type(error).__name__}: {str(error)[:300]}"
        raise ModelError("embed", where, f"a callable that gives {allowed}", got, hint) from error
    if probe.ndim != 2 or len(probe) != 2:
        raise ModelError("embed's result", where, allowed, short_repr(probe), hint)
    return int(probe.shape[1])


def _log_numbers(values: Any, where: str) -> Any:
    array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    if array.ndim != 1 or array.dtype.kind not in "fiu":
        hint = "Return the log-probability of each token."
        raise ModelError(
            "log_probs' result", where, "sequences of numbers", short_repr(values), hint
        )
    if (array > _ROUNDING).any():
        hint = "Take the logarithm of probabilities."
        got = f"{array.max():.3g}"
        raise ModelError("log_probs' result", where, "logarithms of probabilities, <= 0", got, hint)
    return array.astype(np.float64)
