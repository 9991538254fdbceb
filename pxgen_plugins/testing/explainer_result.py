"""Checks of what ``explain`` returns (points 6-12)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pxgen_plugins.testing.checks import expect, skip
from pxgen_plugins.testing.explainer_case import ExplainerCase
from pxgen_plugins.testing.explainer_interface import SUITE
from pxgen_plugins.testing.trees import differences, foreign_values, plain, superset

__all__: list[str] = []

_RESERVED = {"name", "type", "explanations", "params", "version"}
_RESERVED |= {"meta", "data", "to_json", "from_json", "summary"}
_LONGEST_REPR = 15_000  # characters, without the white space of alibi's indentation


@SUITE.check(6)
def representations_stay_short(case: ExplainerCase) -> None:
    """``repr`` of explainer and explanation works and stays short for many instances."""
    explainer = case.fit_new()
    # numpy writes arrays of up to 1,000 elements in full, so fewer instances may be the worse case
    for n in (case.many // 4, case.many) if case.batched else (1,):
        explanation = case.explain(explainer, case.rows(n) if case.batched else None)
        length = _length(explanation)
        expect(0 < length <= _LONGEST_REPR, f"repr of {n} explained: {length} characters")
    length = _length(explainer)
    expect(0 < length <= _LONGEST_REPR, f"repr of the explainer: {length} characters")


@SUITE.check(7)
def result_is_alibis_explanation(case: ExplainerCase) -> None:
    """``explain`` returns alibi's Explanation, with the documented keys in its data.

    A subclass may add methods, but no state: it pickles and serialises as its base does.
    """
    from alibi.api.interfaces import Explanation

    explanation = case.explain_new()
    expect(isinstance(explanation, Explanation), f"it returned {type(explanation)}")
    base = Explanation(meta=explanation.meta, data=explanation.data)
    expect(base.to_json() == explanation.to_json(), "its JSON is not that of alibi's Explanation")
    extra = set(vars(explanation)) - set(vars(base))
    expect(not extra, f"it holds more than meta and data: {sorted(extra)}")
    if case.data_keys is not None:
        extra, missing = (
            set(explanation.data) - case.data_keys,
            case.data_keys - set(explanation.data),
        )
        expect(not missing, f"data lacks the documented {sorted(missing)}")
        expect(not extra, f"data has the undocumented {sorted(extra)}")


@SUITE.check(7)
def data_keys_are_attributes(case: ExplainerCase) -> None:
    """Every data key is an identifier that hides nothing and reads as an attribute."""
    explanation = case.explain_new()
    for key, value in explanation.data.items():
        expect(isinstance(key, str) and key.isidentifier(), f"{key!r} is no identifier")
        expect(key not in _RESERVED, f"the data key {key!r} hides alibi's own attribute")
        expect(getattr(explanation, key, None) is value, f"explanation.{key} is not data[{key!r}]")


@SUITE.check(8)
def values_are_plain(case: ExplainerCase) -> None:
    """Metadata and data hold no tensor, ``np.bool_`` scalar, bytes, function or tuple key."""
    for explanation in _explanations(case):
        foreign = foreign_values({"meta": explanation.meta, "data": explanation.data})
        expect(not foreign, f"not plain data: {'; '.join(foreign[:5])}")


@SUITE.check(9)
def json_is_strict(case: ExplainerCase) -> None:
    """``to_json`` writes strict JSON: neither NaN nor Infinity, whatever the values are."""

    def fail(constant: str) -> None:
        raise AssertionError(f"to_json wrote {constant}, which is not JSON")

    for explanation in _explanations(case):
        json.loads(explanation.to_json(), parse_constant=fail)


@SUITE.check(10)
def json_round_trip_keeps_values(case: ExplainerCase) -> None:
    """``from_json(to_json())`` has the same keys, and the same values but for types."""
    from alibi.api.interfaces import Explanation

    for explanation in _explanations(case):
        back = Explanation.from_json(explanation.to_json())
        for part in ("meta", "data"):
            changes = differences(getattr(explanation, part), getattr(back, part), json=True)
            expect(not changes, f"{part} differs after the round trip: {changes[:3]}")


@SUITE.check(11)
def json_holds_no_copy_of_the_input(case: ExplainerCase) -> None:
    """JSON grows by less than the instances themselves would take, so none is copied by default."""
    if not case.batched:
        skip("explain takes one instance")
    few, many = case.rows(case.many // 4), case.rows(case.many)
    explainer = case.fit_new()
    growth = len(case.explain(explainer, many).to_json()) - len(
        case.explain(explainer, few).to_json()
    )
    bound = len(json.dumps(plain(many, json=True))) - len(json.dumps(plain(few, json=True)))
    added = len(many) - len(few)
    expect(
        growth < bound,
        f"{growth // added} characters per instance; the instance itself takes {bound // added}",
    )


@SUITE.check(12)
def explanation_metadata_is_a_superset(case: ExplainerCase) -> None:
    """The explanation's metadata holds all of the explainer's."""
    explainer = case.fit_new()
    missing = superset(case.explain(explainer).meta, explainer.meta)
    expect(not missing, f"against the explainer's metadata: {missing[:5]}")


@SUITE.check(12)
def explanation_metadata_is_independent(case: ExplainerCase) -> None:
    """Writing to the explanation's metadata changes nothing in the explainer's."""
    explainer = case.fit_new()
    explanation = case.explain(explainer)
    before = plain(explainer.meta)
    for part in _dicts(explanation.meta):
        part["written_by_the_check"] = True
    changes = differences(before, explainer.meta)
    expect(not changes, f"the explainer's metadata changed: {changes[:3]}")


@SUITE.check(12)
def explain_leaves_metadata_alone(case: ExplainerCase) -> None:
    """``explain`` leaves the explainer's own metadata as it was."""
    explainer = case.fit_new()
    before = plain(explainer.meta)
    case.explain(explainer)
    changes = differences(before, explainer.meta)
    expect(not changes, f"explain changed the explainer's metadata: {changes[:3]}")


def _explanations(case: ExplainerCase) -> Iterator[Any]:
    explainer = case.fit_new()
    yield case.explain(explainer)
    if case.X_invalid is not None:
        yield case.explain(explainer, case.X_invalid.copy())


def _length(thing: Any) -> int:
    return len("".join(repr(thing).split()))


def _dicts(value: Any) -> list[dict[Any, Any]]:
    if not isinstance(value, dict):
        return []
    return [value] + [part for entry in list(value.values()) for part in _dicts(entry)]
