"""Distance between the embeddings of a text's own end and of the model's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.criteria.base import REGISTRY, Batch, Criterion, Kind, named_caller
from pxgen_plugins.utils.errors import ModelError, ParameterError, caller, short_repr

__all__ = ["ContinuationDistance"]

Embedder = Callable[[list[str]], Any]


@REGISTRY.register("continuation_distance")
class ContinuationDistance(Criterion):
    """Cosine distance between the embeddings of a text's own end and of the model's.

    The model is given the beginning and continues it, as for
    :class:`~pxgen_plugins.criteria.TokenEdit`; an end that says the same in other words is near
    here. 1 - cos of the two vectors: 0 for the same direction, 1 for a right angle, at most 2
    (Reimers and Gurevych 2019, "Sentence-BERT"). NaN where a text is too short to have an end, or
    a vector is 0.

    Args:
        embed: Callable from a list of n texts to vectors (n, d), an ndarray or a tensor; the
            user's, as ``encoder.encode`` of sentence-transformers: nothing is downloaded. None
            counts tokens, and asks no more than which ones both ends share.

    Raises:
        ParameterError: When ``embed`` is neither callable nor None.
        ModelError: When it does not give a vector of numbers for each text, or the model gives
            tokens and no texts.

    Cost: the continuation, and two embeddings.

    Example:
        >>> from pxgen_plugins.models import LanguageModel
        >>> model = LanguageModel(log_probs=lambda texts: [[-1.0] * len(t) for t in texts],
        ...                       generate=lambda prompts, counts: ["b" * n for n in counts],
        ...                       modules=(), max_chars=4)
        >>> share = lambda texts: [[t.count("a"), t.count("b")] for t in texts]
        >>> criterion = ContinuationDistance(embed=share)
        >>> criterion(Batch(model, model.rows(["aaaa", "aabb"]))).tolist()
        [1.0, 0.0]
    """

    name = "continuation_distance"
    kind: Kind = "extrinsic"
    requires = frozenset({"continuation"})
    unit = "1 - cosine"

    @caller("ContinuationDistance")
    def __init__(self, *, embed: Embedder | None = None) -> None:
        if embed is not None and not callable(embed):
            hint = "Pass embed=encoder.encode, say; saved settings hold only its name."
            allowed = "callable on a list of texts, or None"
            raise ParameterError("embed", allowed, short_repr(embed), hint)
        self.embed = embed

    @named_caller
    def __call__(self, batch: Batch) -> Tensor:
        """Return the values, (b,)."""
        if self.embed is None:
            own, made = _counts(batch.model.continuation(batch.x))
        else:
            own, made = self._embedded(batch)
        norms = own.norm(dim=1) * made.norm(dim=1)
        # 0 / 0 of a vector of zeros is NaN, as it should be
        values = (1.0 - (own * made).sum(1) / norms).clamp(0.0, 2.0)
        result: Tensor = values.to(batch.x.device, batch.x.dtype)
        good = batch.x.flatten(1).isfinite().all(1)  # what is NaN has no tokens
        return result.where(good, torch.nan)

    def _embedded(self, batch: Batch) -> tuple[Tensor, Tensor]:
        ends = getattr(batch.model, "ends", None)
        if ends is None:
            hint = "Use a LanguageModel, or embed=None, which compares tokens."
            got = f"a {type(batch.model).__name__} without"
            raise ModelError("model", "one with ends(x) to texts", got, hint)
        pairs = ends(batch.x)
        own, made = (self._vectors([pair[k] for pair in pairs]) for k in (0, 1))
        own[[not end for end, _ in pairs]] = 0.0  # no end, whatever embed makes of ""
        return own, made

    def _vectors(self, texts: list[str]) -> Tensor:
        assert self.embed is not None
        returned = self.embed(texts)
        try:
            vectors = torch.as_tensor(returned).detach().double().cpu()
        except (TypeError, ValueError, RuntimeError):
            vectors = torch.empty(0)
        if vectors.ndim != 2 or len(vectors) != len(texts):
            hint = "Return one vector per text; pool over tokens, as by a mean."
            allowed = f"vectors of shape ({len(texts)}, d)"
            raise ModelError("embed's result", allowed, short_repr(returned), hint)
        return vectors.clone()


def _counts(pairs: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return how often each token occurs in both ends of each pair, (b, tokens) each."""
    tables = [[Counter(end.tolist()) for end in pair] for pair in pairs]
    places: dict[int, int] = {}
    for table in tables:
        for counter in table:
            for token in counter:
                places.setdefault(token, len(places))
    both = torch.zeros(2, len(pairs), max(1, len(places)), dtype=torch.float64)
    for row, table in enumerate(tables):
        for k, counter in enumerate(table):
            for token, n in counter.items():
                both[k, row, places[token]] = n
    return both[0], both[1]
