"""Distance between the embeddings of a text's own end and of the model's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.criteria.base import REGISTRY, Batch, Criterion, Kind, named_caller
from pxgen_plugins.utils.errors import ModelError, ParameterError, caller, short_repr

__all__ = ["ContinuationDistance"]


@REGISTRY.register("continuation_distance")
class ContinuationDistance(Criterion):
    """Cosine distance between the embeddings of a text's own end and of the model's continuation.

    The model is given the beginning and continues it, as for
    :class:`~pxgen_plugins.criteria.TokenEdit`; but an end that says the same in other words is
    near. 1 - cos of the two vectors: 0 for the same direction, 1 for unrelated ends, up to 2
    (Reimers and Gurevych 2019, "Sentence-BERT"). What is near is the embedder's matter. NaN where a
    text is too short to have an end, or a vector is 0.

    Args:
        embed: Callable from a list of n texts to vectors (n, d), an ndarray or a tensor; the user's:
            nothing is downloaded. With sentence-transformers it is ``encoder.encode``. None takes
            the model's own ``embed_texts``, where it has an embedder.

    Raises:
        ParameterError: When ``embed`` is neither callable nor None.
        ModelError: When it does not give one vector of real numbers per text, or there is none.

    Cost: the continuation, and two embeddings.

    Example:
        >>> import torch
        >>> from pxgen_plugins.criteria import Batch
        >>> class Writer:
        ...     capabilities = {"continuation"}
        ...     def continuation(self, x): return [(torch.tensor([97]), torch.tensor([98]))]
        ...     def ends(self, pairs): return ["a"], ["b"]
        >>> letters = lambda texts: [[text == "a", text == "b"] for text in texts]
        >>> ContinuationDistance(embed=letters)(Batch(Writer(), torch.zeros(1, 1))).tolist()
        [1.0]
    """
