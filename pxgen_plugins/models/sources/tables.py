"""Synthesizers of tables: objects that sample DataFrames."""

from __future__ import annotations

from typing import Any

from torch import nn

from pxgen_plugins.models.sources.base import Source, register
from pxgen_plugins.models.tabular import Tabular

__all__ = ["from_synthesizer"]


def from_synthesizer(obj: Any, *, like: Any, **settings: Any) -> Tabular:
    """Return the :class:`~pxgen_plugins.models.Tabular` of a trained synthesizer.

    Args:
        obj: An object with ``sample(n)`` to a DataFrame, as those of SDV and CTGAN.
        like: A DataFrame that fixes columns, categories and ranges, as the training data.
        settings: Further arguments of the family.

    Raises:
        ParameterError: When an argument is not allowed.
        ModelError: When the samples do not fit ``like``.
    """
    model = Tabular(obj, like, **settings)
    model.origin = f"{type(obj).__name__}, {len(model.columns)} columns"
    return model


@register("tables")
class Tables(Source):
    """Objects that sample rows of a table."""

    order = 80
    what = "a synthesizer of tables, with sample(n)"
    advice = (
        "Pass like=table, the training data; for samples that are arrays write "
        "SampleBank(obj.sample)."
    )
    families = (Tabular,)
    roles = frozenset()
    build = staticmethod(from_synthesizer)

    @classmethod
    def matches(cls, obj: Any) -> bool:
        """Return whether ``obj`` samples, and is neither a model of this package nor a module."""
        plain = not hasattr(obj, "capabilities") and not isinstance(obj, nn.Module)
        return plain and callable(getattr(obj, "sample", None))
