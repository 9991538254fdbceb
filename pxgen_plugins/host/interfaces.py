"""Explainer, FitMixin and Explanation for where Alibi is not installed.

They keep what an explainer and its users can see of Alibi's classes: the five keys of the metadata,
keys as attributes, equality, copies, pickling and JSON. ``meta["version"]``, Alibi's version, is
None.
"""

from __future__ import annotations

import abc
import json
import pprint
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pxgen_plugins.host.json_encoder import NumpyEncoder
from pxgen_plugins.utils.errors import MissingDependencyError, ParameterError, short_repr
from pxgen_plugins.utils.optional import install_line

if TYPE_CHECKING:
    import os

__all__ = ["Base", "Explainer", "Explanation", "FitMixin"]

T = TypeVar("T", bound="Explanation")


class _Record:
    """Equality and representation by some attributes; mutable, so without a hash."""

    _record_fields: tuple[str, ...] = ("meta",)
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return _values(self) == _values(other)

    def __repr__(self) -> str:
        parts = [
            f"{name}={pprint.pformat(value, sort_dicts=False)}"
            for name, value in zip(self._record_fields, _values(self), strict=True)
        ]
        return f"{type(self).__qualname__.rpartition('>.')[2]}({', '.join(parts)})"


# no method: subclasses are other people's, and may have one of this name
def _values(record: _Record) -> tuple[Any, ...]:
    return tuple(getattr(record, name) for name in record._record_fields)


class Base(_Record):
    """Metadata of an explainer, whose keys are attributes too.

    Args:
        meta: ``name``, ``type``, ``explanations``, ``params`` and ``version``; the name becomes
            that of the class and the version None.

    Example:
        >>> Base({"name": None, "type": [], "explanations": [], "params": {}}).name
        'Base'
    """

    def __init__(self, meta: dict[str, Any] | None = None) -> None:
        if meta is None:
            meta = {"name": None, "type": [], "explanations": [], "params": {}, "version": None}
        self.meta = meta
        meta["name"], meta["version"] = type(self).__name__, None
        for key, value in meta.items():
            setattr(self, key, value)

    def _update_metadata(self, data_dict: Mapping[str, Any], params: bool = False) -> None:
        """Put ``data_dict`` into the metadata, or with ``params`` into its ``params``."""
        (self.meta["params"] if params else self.meta).update(data_dict)


class Explainer(abc.ABC, Base):
    """Base of explainers."""

    @abc.abstractmethod
    def explain(self, X: Any) -> Explanation:
        """Return the explanation of ``X``."""

    @classmethod
    def load(cls, path: str | os.PathLike[str], predictor: Any) -> Any:
        """Refuse: only Alibi loads explainers that have no format of their own."""
        raise _needs_alibi(f"{cls.__name__}.load")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Refuse: only Alibi saves explainers that have no format of their own."""
        raise _needs_alibi(f"{type(self).__name__}.save")

    def reset_predictor(self, predictor: Any) -> None:
        """Put ``predictor`` in the place of the present one; subclasses say how."""
        raise NotImplementedError


class FitMixin(abc.ABC):
    """For explainers that are fitted."""

    @abc.abstractmethod
    def fit(self, X: Any) -> Any:
        """Fit to ``X`` and return the explainer."""


class Explanation(_Record):
    """What an explainer returns; all keys of its metadata and data are attributes too.

    Args:
        meta: The explainer's metadata with the arguments of the call.
        data: The explanation itself. A key that is in ``meta`` too is hidden by that one.

    Example:
        >>> explanation = Explanation({"name": "Mean"}, {"value": 0.5})
        >>> explanation.value
        0.5
        >>> Explanation.from_json(explanation.to_json()) == explanation
        True
    """

    _record_fields = ("meta", "data")

    def __init__(self, meta: dict[str, Any], data: dict[str, Any]) -> None:
        self.meta = meta
        self.data = data
        for key, value in {**data, **meta}.items():
            setattr(self, key, value)

    if TYPE_CHECKING:  # the keys of meta and data

        def __getattr__(self, name: str) -> Any: ...

    def to_json(self) -> str:
        """Return metadata and data as JSON, arrays as lists.

        Raises:
            TypeError: When a value is neither plain nor numpy's.
        """
        return json.dumps(_without_sets({"meta": self.meta, "data": self.data}), cls=NumpyEncoder)

    @classmethod
    def from_json(cls: type[T], jsonrepr: str) -> T:
        """Return the explanation behind :meth:`to_json`, with lists where arrays were.

        Raises:
            ParameterError: When the text is no explanation.
        """
        parsed = json.loads(jsonrepr)
        if not isinstance(parsed, dict) or not {"meta", "data"} <= set(parsed):
            hint = "Give the text that to_json returned."
            allowed = "JSON with the keys meta and data"
            where = f"{cls.__name__}.from_json"
            raise ParameterError("jsonrepr", allowed, short_repr(jsonrepr), hint, where=where)
        return cls(meta=parsed["meta"], data=parsed["data"])

    def __getitem__(self, item: str) -> Any:
        """Return an attribute, as Alibi once did; deprecated there, and here."""
        message = "Read explanation.key instead of explanation['key']: the latter is deprecated."
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return getattr(self, item)


def _without_sets(value: Any) -> Any:
    """Return ``value`` with lists for sets, which Alibi writes and JSON does not know."""
    if isinstance(value, Mapping):
        return {key: _without_sets(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_without_sets(part) for part in value]
    return value


def _needs_alibi(where: str) -> MissingDependencyError:
    return MissingDependencyError(
        "alibi",
        "installed and importable, to save or load this explainer",
        "an environment without it",
        f"Run: {install_line('alibi')}. PXGen saves itself without it.",
        where=where,
    )
