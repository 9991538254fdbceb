"""Parse the criteria that the user of an explainer names."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from pxgen_plugins.criteria.base import KINDS, Criterion, Kind, make
from pxgen_plugins.criteria.black_box import Column
from pxgen_plugins.utils.errors import ParameterError, short_repr

__all__ = ["as_list", "parse", "parse_mixed", "settings"]


def as_list(value: Any) -> list[Any]:
    """Return a list or tuple as a list, anything else as a list of one."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def parse(intrinsic: Any, extrinsic: Any, black_box: bool = False) -> list[Criterion]:
    """Return the intrinsic criteria followed by the extrinsic ones.

    Args:
        intrinsic: One or several of what :func:`~pxgen_plugins.criteria.make` takes.
        extrinsic: Likewise.
        black_box: The criteria are columns of a black box, and only their names are given.

    Raises:
        ParameterError: When one is unknown, of the wrong kind, or occurs twice, or a kind is empty.

    Example:
        >>> parse("kld", ["mse", "mae"])
        [KLD(), MSE(reduction='mean'), MAE(reduction='mean')]
    """
    made: list[Criterion] = []
    for kind, specs in zip(KINDS, (intrinsic, extrinsic), strict=True):
        for spec in as_list(specs):
            made.append(_criterion(spec, kind, len(made), black_box))
        if not any(criterion.kind == kind for criterion in made):
            hint = f"Name at least one {kind} criterion."
            raise ParameterError(kind, "one criterion or several", "none", hint)
    for criterion in made:
        if isinstance(criterion, Column):
            criterion.n_columns = len(made)
    _check_names(made)
    return made


def parse_mixed(specs: Any, parameter: str = "criteria") -> list[Criterion]:
    """Return criteria of either kind, in the order in which they are named.

    Args:
        specs: A list of what :func:`~pxgen_plugins.criteria.make` takes.
        parameter: Name of the parameter, for the error.

    Raises:
        ParameterError: When it is no list, or one is unknown or occurs twice.

    Example:
        >>> parse_mixed(["mse", {"name": "kld"}])
        [MSE(reduction='mean'), KLD()]
    """
    if not isinstance(specs, (list, tuple)):
        hint = f"Give a list, as in {parameter}=['kld', 'mse']."
        raise ParameterError(parameter, "a list of criteria", short_repr(specs), hint)
    # copies, because what one caller's criterion learns is not another's
    made = [copy.copy(make(spec, f"{parameter}[{at}]")) for at, spec in enumerate(specs)]
    _check_names(made)
    return made


def _check_names(made: Sequence[Criterion]) -> None:
    names = [criterion.name for criterion in made]
    for name in names:
        if names.count(name) > 1:
            hint = "Give one of them a 'name' of its own (set criterion.name)."
            raise ParameterError("criteria", "of different names", repr(name), hint)


def _criterion(spec: Any, kind: Kind, column: int, black_box: bool) -> Criterion:
    if black_box:
        if isinstance(spec, Mapping):
            spec = spec.get("name")
        if not isinstance(spec, str):
            hint = "Name the predictor's columns, as in intrinsic='kld'."
            raise ParameterError(kind, "names of columns", short_repr(spec), hint)
        return Column(column=column, name=spec, kind=kind)
    # a copy, because what one explainer's criterion learns is not another's
    criterion = copy.copy(make(spec, kind))
    if criterion.kind != kind:
        hint = f"Pass it as {criterion.kind}={criterion.name!r}."
        got = f"{criterion.name!r}, which is {criterion.kind}"
        raise ParameterError(kind, f"an {kind} criterion", got, hint)
    return criterion


def settings(criteria: Sequence[Criterion], kind: str) -> list[dict[str, Any]]:
    """Return name and parameters of the criteria of one kind, as JSON-able mappings."""
    return [
        {"name": c.name} if isinstance(c, Column) else {"name": c.name, **c.params}
        for c in criteria
        if c.kind == kind
    ]
