"""How many passes of a model's network the values of an anchor take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pxgen_plugins.criteria.base import Criterion
from pxgen_plugins.models.base import capabilities, passes

__all__ = ["value_passes"]

_ONCE = frozenset({"sample", "encode", "embed", "decode", "reconstruct", "values"})


def value_passes(model: Any, criteria: Sequence[Criterion]) -> int:
    """Return how many passes the values of one anchor take under all criteria together, at most.

    A batch computes codes and reconstructions once, whoever asks; the rest each criterion asks for
    itself (see :class:`~pxgen_plugins.criteria.Batch`).

    Example:
        >>> from pxgen_plugins.criteria import make
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> value_passes(LinearModel(), [make("kld"), make("mse"), make("ssim")])
        2
    """
    have = capabilities(model)
    asked = {name for criterion in criteria for name in criterion.requires}
    parts = {"values"} & asked
    if asked & {"encode", "embed"}:
        parts.add("encode" if "encode" in have else "embed")
    if asked & {"decode", "reconstruct"}:
        if have >= {"encode", "decode"}:
            parts |= {"encode", "decode"}
        elif have >= {"embed", "decode"} and getattr(model, "autoencodes", False):
            parts |= {"embed", "decode"}
        else:
            parts.add("reconstruct")
    own = [
        criterion.calls * passes(model, name)
        for criterion in criteria
        for name in criterion.requires - _ONCE
    ]
    return sum(passes(model, name) for name in parts) + sum(own)
