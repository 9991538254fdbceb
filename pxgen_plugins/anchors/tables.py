"""Columns of tables, found by their names: the anchors, and the label and id of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pxgen_plugins.anchors.base import Anchors
from pxgen_plugins.anchors.label_text import NoScalarsError, as_labels
from pxgen_plugins.utils.errors import AnchorError, ParameterError, short_repr, warn

__all__ = [
    "ANCHOR_NAMES",
    "BY_NAME",
    "ID_NAMES",
    "LABEL_NAMES",
    "PROMPT_NAMES",
    "Choice",
    "Columns",
    "Kind",
    "choose",
    "find_columns",
    "origins",
    "set_labels",
]

ANCHOR_NAMES = ("anchor", "anchors", "image", "images", "x", "pixels")
LABEL_NAMES = ("label", "labels", "y")
ID_NAMES = ("id", "ids")
PROMPT_NAMES = ("prompt", "prompts")
Kind = Literal["number", "list", "image", "other"]
_PARAMETERS = {"label": "labels", "id": "ids", "prompt": "prompts"}  # by role
_HINT = "Name the columns of anchors: columns=[...]."
_SHOWN = 6


@dataclass(frozen=True)
class Columns:
    """The columns that the user named; what is None is found by names.

    Attributes:
        anchors: The features in their order, or the one column of lists, images, texts or paths.
        labels: The column, or level of a pandas index, of labels.
        ids: Likewise, of ids.
        prompts: The names that a column of prompts may have; none where the model reads none.
    """

    anchors: tuple[str, ...] | None = None
    labels: str | None = None
    ids: str | None = None
    prompts: tuple[str, ...] = ()

    @property
    def is_by_name(self) -> bool:
        """Whether the user named no column."""
        return replace(self, prompts=()) == BY_NAME

    @classmethod
    def of(cls, columns: Any, labels: Any, ids: Any) -> Columns:
        """Return the columns in public arguments, of which labels and ids may be values instead.

        Raises:
            ParameterError: When ``columns`` is neither a name nor several distinct ones.
        """
        names = (columns,) if isinstance(columns, str) else columns
        if names is not None:
            listed = isinstance(names, Sequence) and not isinstance(names, bytes)
            if not listed or not names or not all(isinstance(name, str) for name in names):
                hint = "Name columns of the table, as in columns=['age', 'income']."
                raise ParameterError("columns", "names of columns", short_repr(columns), hint)
            if len(set(names)) < len(names):
                hint = "Name each column once."
                raise ParameterError("columns", "distinct names", short_repr(columns), hint)
            names = tuple(names)
        label, name = (one if isinstance(one, str) else None for one in (labels, ids))
        return cls(names, label, name)

    def find(self, names: Iterable[str]) -> dict[str, str]:
        """Return the columns of labels and ids among ``names``, by ``"label"`` and ``"id"``.

        Raises:
            AnchorError: When a column that the user named is not there.
        """
        known = list(names)
        for parameter, given in (
            ("columns", self.anchors or ()),
            ("labels", () if self.labels is None else (self.labels,)),
            ("ids", () if self.ids is None else (self.ids,)),
        ):
            for name in given:
                if name not in known:
                    allowed, got = "a column of the table: " + short_repr(known), short_repr(name)
                    raise AnchorError(parameter, allowed, got, "Check the spelling.")
        free = set(known) - {*(self.anchors or ()), self.labels, self.ids}
        named = {"label": self.labels, "id": self.ids}
        found = find_columns(free) | find_columns(free, {"prompt": self.prompts})
        return found | {role: name for role, name in named.items() if name is not None}

    def places(self, names: Iterable[str], role: str, usual: Sequence[str]) -> dict[str, str]:
        """Return the columns of anchors, which are one, and of labels and ids, by role.

        Args:
            names: The table's columns.
            role: What the anchors are called, as in ``"text"``.
            usual: The names that their column may have, of which the first counts.

        Raises:
            AnchorError: When a column that the user named is not there, or several are of anchors.
        """
        known = list(names)
        texts = self.find(known)
        if len(self.anchors or ()) > 1:
            hint = "Name one."
            raise AnchorError("columns", f"one column of {role}s", short_repr(self.anchors), hint)
        return find_columns(known, {role: self.anchors or usual}) | texts


BY_NAME = Columns()
"""Nothing was named by the user."""


def find_columns(
    names: Iterable[str], roles: Mapping[str, Sequence[str]] | None = None
) -> dict[str, str]:
    """Return which column of a table plays which role; roles that none plays are left out.

    Args:
        names: The table's columns.
        roles: Each with the names that its column may have, of which the first counts. None takes
            ``"label"`` (label, labels or y) and ``"id"`` (id or ids).

    Example:
        >>> find_columns(["a", "y", "id"])
        {'label': 'y', 'id': 'id'}
    """
    known = set(names)
    roles = {"label": LABEL_NAMES, "id": ID_NAMES} if roles is None else roles
    columns = {role: [name for name in options if name in known] for role, options in roles.items()}
    return {role: synonyms[0] for role, synonyms in columns.items() if synonyms}


def set_labels(
    anchors: Anchors,
    columns: Mapping[str, Any],
    origins: Mapping[str, str] | None = None,
    named: Columns = BY_NAME,
) -> None:
    """Give anchors the labels and ids among the columns of a table, where it has any.

    A column that only its name makes labels or ids, but which holds lists, is left out with a
    warning.

    Args:
        anchors: n anchors. Whether ids are distinct is checked when the set is complete, as the
            user may give others.
        columns: n values each under ``"label"``, ``"id"`` and ``"prompt"``, or less.
        origins: Where anchors, labels and ids come from, for :meth:`Anchors.describe`.
        named: The columns that the user named.

    Raises:
        AnchorError: See :func:`~pxgen_plugins.anchors.label_text.as_labels`.
    """
    words = dict(origins or {})
    for role, parameter in _PARAMETERS.items():
        if columns.get(role) is None:
            continue
        try:
            setattr(anchors, parameter, as_labels(columns[role], len(anchors)))
        except NoScalarsError as error:
            if role == "prompt" or getattr(named, parameter) is not None:
                raise
            where = words.pop(parameter, f"what is named {role}")
            warn(f"anchors: {where} holds no {parameter} and was left out: {error.got}.")
    anchors.origins = words or anchors.origins


@dataclass(frozen=True)
class Choice:
    """The parts of a table.

    Attributes:
        kind: What holds the anchors: one column of lists or of images, or columns of numbers.
        names: That column, or those columns in the table's order.
        texts: The columns of labels and ids, by ``"label"`` and ``"id"``, where there are any.
        others: Columns that are not used.
    """

    kind: Kind
    names: tuple[str, ...]
    texts: Mapping[str, str]
    others: tuple[str, ...] = ()

    @property
    def origins(self) -> dict[str, str]:
        """Where anchors, labels and ids come from, in words."""
        return origins(self.names, self.texts, self.others)


def origins(
    names: Sequence[str], texts: Mapping[str, str], others: Sequence[str] = ()
) -> dict[str, str]:
    """Return where anchors, labels and ids come from, in words.

    Args:
        names: The columns of the anchors.
        texts: Those of labels and ids, by ``"label"`` and ``"id"``.
        others: Columns that are not used.

    Example:
        >>> origins(["a", "b"], {"label": "y"})
        {'anchors': "columns 'a', 'b'", 'labels': "column 'y'"}
    """
    words = {"anchors": _columns_text(names)}
    for role, parameter in _PARAMETERS.items():
        if role in texts:
            words[parameter] = f"column {short_repr(texts[role])}"
    return words | ({"others": _columns_text(others)} if others else {})


def _columns_text(names: Sequence[str]) -> str:
    shown = [short_repr(name) for name in names]
    if len(shown) > _SHOWN:
        return f"{len(shown)} columns, {shown[0]} to {shown[-1]}"
    return ("column " if len(shown) == 1 else "columns ") + ", ".join(shown)


def choose(
    columns: Iterable[tuple[str, Kind]],
    sample_shape: tuple[int, ...] | None = None,
    named: Columns = BY_NAME,
    index: Sequence[str] = (),
) -> Choice:
    """Return what each column is for.

    ``label``, ``labels`` or ``y`` holds the labels, ``id`` or ``ids`` the ids. Of the others, a
    column of lists or images named anchor, anchors, image, images, x or pixels holds the anchors,
    or else the only such column, or else all columns of numbers, one feature each.

    A column of numbers that is named like labels or ids may be a feature. The model's number of
    features decides: ``y`` beside ``x`` and ``z`` is a feature of a model of three.

    Args:
        columns: Name and kind of each column, in the table's order.
        sample_shape: Shape of one anchor; None when any will do.
        named: The columns that the user named.
        index: Names of the levels of a pandas index, which may hold labels and ids alone.

    Raises:
        AnchorError: When names repeat, several columns could hold the anchors, none could, or a
            column may be a feature as well as labels or ids.

    Example:
        >>> choose([("a", "number"), ("y", "number"), ("b", "number")]).names
        ('a', 'b')
        >>> choose([("x", "number"), ("y", "number"), ("z", "number")], (3,)).names
        ('x', 'y', 'z')
    """
    table = list(columns)
    kinds = dict(table)
    if len(kinds) < len(table):
        got = short_repr(sorted(name for name, _ in table))
        raise AnchorError("X", "a table with distinct column names", got, "Rename them.")
    texts = named.find([*kinds, *index])
    if named.anchors is not None:
        kind = _kind_of(named.anchors, kinds)
        return Choice(kind, named.anchors, texts, _others(kinds, named.anchors, texts))
    rest = {name: kind for name, kind in table if name not in texts.values()}
    whole = [name for name, kind in rest.items() if kind in ("list", "image")]
    usual = next((name for name in ANCHOR_NAMES if name in whole), None)
    if usual is None and len(whole) > 1:
        got = f"columns {short_repr(whole)}"
        allowed = "a table with one column of lists or images, or with one named 'anchor'"
        raise AnchorError("X", allowed, got, _HINT)
    if usual or whole:
        name = usual or whole[0]
        return Choice(rest[name], (name,), texts, _others(kinds, (name,), texts))
    features, texts = _features(kinds, texts, named, sample_shape)
    if not features:
        got = f"columns {short_repr([name for name, _ in table])}"
        allowed = "a table with columns of numbers, lists or images, as one named 'anchor'"
        raise AnchorError("X", allowed, got, _HINT)
    others = _others(kinds, features, texts)
    gone = [name for name in others if kinds[name] != "number"]
    if gone:
        warn(f"anchors: columns {short_repr(gone)} hold no numbers and were left out.")
    return Choice("number", features, texts, others)


def _features(
    kinds: Mapping[str, Kind],
    texts: dict[str, str],
    named: Columns,
    sample_shape: tuple[int, ...] | None,
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the features, and the columns of labels and ids that are none."""
    numbers = [name for name, kind in kinds.items() if kind == "number"]
    plain = [name for name in numbers if name not in texts.values()]
    # columns that only their names make labels or ids
    rivals = [n for n in numbers if n in texts.values() and n not in (named.labels, named.ids)]
    wanted = None if sample_shape is None else math.prod(sample_shape)
    usual = {*LABEL_NAMES, *ID_NAMES}
    if wanted is not None and len(plain) > wanted:  # as a second column that is named like labels
        core = [name for name in plain if name not in usual]
        plain = core if len(core) == wanted else plain
    doubt = sample_shape is None and "y" in rivals and "x" in plain
    missing = 0 if wanted is None else wanted - len(plain)
    if doubt or 0 < missing < len(rivals):
        features = "unknown" if wanted is None else str(wanted)
        got = f"{short_repr(rivals)} beside {short_repr(plain)} (features of the model: {features})"
        allowed = "a table whose features can be told from labels and ids"
        raise AnchorError("X", allowed, got, _HINT)
    if rivals and missing == len(rivals):
        return tuple(numbers), {r: name for r, name in texts.items() if name not in rivals}
    return tuple(plain), texts


def _kind_of(names: Sequence[str], kinds: Mapping[str, Kind]) -> Kind:
    """Return the kind of the columns of anchors that the user named."""
    chosen = {kinds.get(name, "other") for name in names}
    if chosen == {"number"}:
        return "number"
    if len(names) == 1 and chosen <= {"list", "image"}:
        return chosen.pop()
    got = ", ".join(f"{short_repr(name)} ({kinds.get(name, 'index')})" for name in names)
    hint = "Turn the others into numbers first."
    raise AnchorError("columns", "columns of numbers, or one of lists or images", got, hint)


def _others(
    kinds: Mapping[str, Kind], names: Sequence[str], texts: Mapping[str, str]
) -> tuple[str, ...]:
    used = {*names, *texts.values()}
    return tuple(name for name in kinds if name not in used)
