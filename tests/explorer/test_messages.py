"""Whatever is sent, a session answers: with what was asked for, or with one sentence."""

from __future__ import annotations

import json
import math
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pxgen_plugins.explorer import Session
from pxgen_plugins.explorer.messages import KINDS, Answer, parse, schema
from pxgen_plugins.testing.guards import moved_generators, random_state
from pxgen_plugins.utils.errors import ParameterError

few = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
numbers = st.floats(-5, 5, width=32)
codes = st.lists(numbers, min_size=3, max_size=3)
amounts = st.dictionaries(st.integers(0, 2).map(str), st.floats(-3, 3), max_size=3)
GOOD = st.one_of(
    st.fixed_dictionaries({"kind": st.just("decode"), "z": codes, "amounts": amounts}),
    st.fixed_dictionaries({"kind": st.just("decode"), "z": codes, "small": st.just(True)}),
    st.fixed_dictionaries({"kind": st.just("anchor"), "index": st.integers(0, 29)}),
    st.fixed_dictionaries({"kind": st.just("sample"), "seed": st.integers(0, 2**63 - 1)}),
    st.fixed_dictionaries(
        {"kind": st.just("walk"), "from": codes, "to": st.integers(0, 29),
         "steps": st.integers(2, 5)}
    ),
    st.fixed_dictionaries({"kind": st.just("compare"), "z": codes}),
    st.fixed_dictionaries(
        {"kind": st.just("select"), "indices": st.lists(st.integers(0, 29), unique=True)}
    ),
    st.fixed_dictionaries({"kind": st.sampled_from(["open", "undo", "reset", "state"])}),
)  # fmt: skip


def is_error(answer: Answer) -> bool:
    """Whether an answer is one line that says what was wrong, and nothing else."""
    content = answer.content
    json.dumps(content, allow_nan=False)
    if "error" not in content:
        return False
    assert set(content) == {"id", "kind", "error"}
    assert not answer.buffers
    assert "\n" not in content["error"]
    assert 20 < len(content["error"]) <= 600
    assert "Traceback" not in content["error"]
    return True


@few
@given(message=GOOD, number=st.integers(0, 2**53 - 1))
def test_what_fits_the_schema_is_answered(session: Session, message, number):
    sent = json.loads(json.dumps({"id": number, **message}))
    jsonschema.validate(sent, schema())
    answer = session.handle(sent)
    assert not is_error(answer), answer.content
    assert (answer.content["id"], answer.content["kind"]) == (number, message["kind"])
    buffers = json.dumps(answer.content).count('"buffer"')
    assert buffers == len(answer.buffers)
    assert all(file.startswith(b"\x89PNG") for file in answer.buffers)


@few
@given(message=anything)
def test_what_is_no_message_is_refused(session: Session, message):
    assert is_error(session.handle(message))


@few
@given(kind=st.sampled_from(KINDS), rest=st.dictionaries(st.text(max_size=8), anything))
def test_entries_that_no_schema_knows_are_refused_or_the_message_is_good(
    session: Session, kind, rest
):
    answer = session.handle({**rest, "kind": kind})
    assert is_error(answer)  # the number is missing, or something else
    answer = session.handle({"id": 3, "kind": kind, "nonsense": rest})
    assert is_error(answer)
    assert answer.content["id"] == 3


Z = [0.0, 0.0, 0.0]
STROKE = {"units": [0]}
BAD: list[dict[str, Any]] = [
    {"kind": "decode", "z": [0.0, 0.0]},
    {"kind": "decode", "z": [0.0] * 10_000},
    {"kind": "decode", "z": [0.0] * 200_000},
    {"kind": "decode", "z": []},
    {"kind": "decode", "z": [0.0, math.nan, 0.0]},
    {"kind": "decode", "z": [0.0, math.inf, 0.0]},
    {"kind": "decode", "z": [0.0, 1e300, 0.0]},
    {"kind": "decode", "z": [0.0, True, 0.0]},
    {"kind": "decode", "z": [0.0, "1", 0.0]},
    {"kind": "decode", "z": [0.0, 10**400, 0.0]},
    {"kind": "decode", "z": "000"},
    {"kind": "decode", "z": {"0": 1.0}},
    {"kind": "decode", "z": np.zeros(3)},
    {"kind": "decode", "z": Z, "amounts": {"0": 101.0}},
    {"kind": "decode", "z": Z, "amounts": {"0": math.nan}},
    {"kind": "decode", "z": Z, "amounts": {"3": 1.0}},
    {"kind": "decode", "z": Z, "amounts": {"-1": 1.0}},
    {"kind": "decode", "z": Z, "amounts": {"a": 1.0}},
    {"kind": "decode", "z": Z, "amounts": {"٣": 1.0}},
    {"kind": "decode", "z": Z, "amounts": {str(i): 0.0 for i in range(5_000)}},
    {"kind": "decode", "z": Z, "model": 1},
    {"kind": "decode", "z": Z, "model": -1},
    {"kind": "decode", "z": Z, "small": 1},
    {"kind": "decode", "z": Z, "strokes": [{"units": [64]}]},
    {"kind": "decode", "z": Z, "strokes": [{**STROKE, "layer": "another"}]},
    {"kind": "decode", "z": Z, "strokes": [STROKE, {**STROKE, "layer": "another"}]},
    {"kind": "decode", "z": Z, "strokes": [{**STROKE, "mask": {"size": [8, 8], "cells": "A"}}]},
    {"kind": "decode", "z": Z, "strokes": [STROKE], "amounts": {"9": 1.0}},
    {"kind": "decode", "z": Z, "strokes": [STROKE] * 33},
    {"kind": "decode", "z": Z, "strokes": [{"units": []}]},
    {"kind": "decode", "z": Z, "strokes": [{"units": [0], "strength": 1.5}]},
    {"kind": "decode", "z": Z, "strokes": [{"units": [0], "value": "low"}]},
    {"kind": "decode", "z": Z, "client": "x" * 65},
    {"kind": "anchor", "index": 30},
    {"kind": "anchor", "index": -1},
    {"kind": "anchor", "index": 1.0},
    {"kind": "sample", "seed": -1},
    {"kind": "sample", "seed": 2**63},
    {"kind": "walk", "from": Z, "to": Z, "steps": 1},
    {"kind": "walk", "from": Z, "to": Z, "steps": 65},
    {"kind": "walk", "from": Z, "to": 99, "steps": 3},
    {"kind": "walk", "from": Z, "to": [0.0], "steps": 3},
    {"kind": "compare"},
    {"kind": "compare", "z": Z, "anchor": 1},
    {"kind": "select", "indices": [1, 1]},
    {"kind": "select", "indices": [30]},
    {"kind": "select", "indices": list(range(60_000))},
    {"kind": "reset", "axis": -1},
    {"kind": "restore", "state": {}, "other": 1},
    {"kind": "restore", "state": {"version": 2}},
    {"kind": "restore", "state": {"version": 1, "z": [0.0]}},
    {"kind": "restore", "state": {"version": 1, "axes": ["another"]}},
    {"kind": "restore", "state": {"version": 1, "selected": [30]}},
    {"kind": "save_page", "axes": [7]},
    {"kind": "task_start"},
    {"kind": "eval"},
    {"kind": ["decode"]},
    {"kind": np.zeros(2)},
    {"kind": None},
]


@pytest.mark.parametrize("message", BAD, ids=lambda m: str(m)[:60])
def test_each_of_these_is_refused_and_changes_nothing(session: Session, message):
    before, generators = session.state(), random_state()
    assert is_error(session.handle({"id": 1, **message}))
    assert session.state() == before
    assert moved_generators(generators) == []


def test_a_number_that_is_none_is_not_sent_back(session: Session):
    for number in (None, -1, 2**53, True, 1.0, "1", [1]):
        answer = session.handle({"id": number, "kind": "open"})
        assert is_error(answer)
        assert answer.content["id"] is None


def test_masks_are_bytes_of_their_size():
    stroke = {"units": [0], "mask": {"size": [1, 3], "cells": "AH//"}}
    message: Any = parse({"id": 1, "kind": "decode", "z": [], "strokes": [stroke]})
    mask = message.strokes[0].mask.array()
    np.testing.assert_allclose(mask, np.array([[0, 127, 255]]) / 255, atol=1e-6)
    for cells in ("AH8=", "AH//A", "A", "\u0660", "AH//AH//"):
        stroke["mask"] = {"size": [1, 3], "cells": cells}
        message = parse({"id": 1, "kind": "decode", "z": [], "strokes": [stroke]})
        with pytest.raises(ParameterError, match=r"mask\.cells"):
            message.strokes[0].mask.array()


def test_an_answer_puts_its_pictures_where_they_belong():
    answer = Answer.of({"a": b"1", "b": [{"buffer": b"2", "height": 3}], "c": math.nan})
    assert answer.content == {
        "a": {"buffer": 0}, "b": [{"buffer": 1, "height": 3}], "c": None,
    }  # fmt: skip
    assert answer.inline() == {
        "a": {"png": "MQ=="}, "b": [{"height": 3, "png": "Mg=="}], "c": None,
    }  # fmt: skip
