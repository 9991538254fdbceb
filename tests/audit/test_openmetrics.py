"""OpenMetrics text, read back one character after the other."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxgen_plugins.audit.escaping import visible
from pxgen_plugins.audit.writers.metrics import openmetrics
from pxgen_plugins.result import Result

from .reported import judgement

STATES = ("passed", "failed", "warning", "error", "skipped")
HOSTILE = [
    '"', "\\", "\\n", 'x"} 1\npxgen_anchors{a="', "# EOF", "\n", "\r", "\x00", "\u2028", "\ud800",
    "\\\\\"", "", "x #2", "{}", ",",
]  # fmt: skip
texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=20))
numbers = st.one_of(st.none(), st.floats(), st.integers(0, 10**9))


judged = partial(judgement, observed=0.1, n=100, reason="")
judgements = st.builds(
    judged, st.sampled_from(STATES), name=texts, text=texts, observed=numbers, limit=numbers
)


def data(groups: Any = ("HIHE", "HIHE", "HILE", "invalid"), **thresholds: Any) -> Result:
    return result(groups, thresholds or {"kld": 20.0})


def result(groups: Any, thresholds: dict[str, Any]) -> Result:
    names = list(thresholds)
    return Result.of(
        {
            "criteria": names,
            "kinds": ["intrinsic"] * len(names),
            "thresholds": thresholds,
            "values": None,
            "group": list(groups),
            "groups": {},
        }
    )


def read_labels(text: str) -> tuple[dict[str, str], str]:
    """Labels in braces and what follows, by the grammar of OpenMetrics 1.0."""
    labels: dict[str, str] = {}
    assert text[0] == "{"
    text = text[1:]
    while text[0] != "}":
        name, text = text.split("=", 1)
        assert name.isidentifier()
        assert name.isascii()
        assert name not in labels
        assert text[0] == '"'
        text, value = text[1:], ""
        while text[0] != '"':
            if text[0] == "\\":
                value += {"\\": "\\", '"': '"', "n": "\n"}[text[1]]
                text = text[2:]
            else:
                value, text = value + text[0], text[1:]
        labels[name] = value
        text = text[1:]
        if text[0] == ",":
            text = text[1:]
            assert text[0] != "}"
    return labels, text[1:]


def read(content: bytes) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Families and their samples; refuses what the text format does not allow."""
    text = content.decode("utf-8")
    assert text.endswith("\n# EOF\n")
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    family = ""
    for line in text[: -len("# EOF\n")].split("\n")[:-1]:
        assert line
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            assert kind == "gauge"
            assert family not in found
            found[family] = []
        elif line.startswith("# HELP "):
            assert line.split(" ")[2] == family
            assert "\\" not in line
            assert not found[family]
        else:
            name, rest = line.split("{", 1)
            assert name == family
            labels, rest = read_labels("{" + rest)
            assert rest[0] == " "
            assert " " not in rest[1:]
            found[family].append((labels, float(rest[1:])))
    for samples in found.values():
        assert len({tuple(sorted(labels.items())) for labels, _ in samples}) == len(samples)
    return found


def test_groups_thresholds_and_conditions_are_gauges():
    conditions = [judged(), judged("passed", name="many known", severity="warning", observed=0.5)]
    found = read(openmetrics(data(kld=20.0, mse=0.125), conditions, "digits"))
    assert list(found) == [
        "pxgen_anchors", "pxgen_group_fraction", "pxgen_threshold", "pxgen_condition_state",
        "pxgen_condition_observed", "pxgen_condition_limit",
    ]  # fmt: skip
    counts = {labels["group"]: value for labels, value in found["pxgen_anchors"]}
    assert counts == {"HIHE": 2, "HILE": 1, "LIHE": 0, "LILE": 0, "invalid": 1}
    shares = {labels["group"]: value for labels, value in found["pxgen_group_fraction"]}
    assert shares == {"HIHE": 0.5, "HILE": 0.25, "LIHE": 0.0, "LILE": 0.0, "invalid": 0.25}
    assert [value for _, value in found["pxgen_threshold"]] == [20.0, 0.125]
    on = [labels for labels, value in found["pxgen_condition_state"] if value]
    audit = {"audit": "digits"}
    assert on == [
        {**audit, "condition": "HILE.fraction <= 0.02", "severity": "error", "state": "failed"},
        {**audit, "condition": "many known", "severity": "warning", "state": "passed"},
    ]
    assert [value for _, value in found["pxgen_condition_observed"]] == [0.1, 0.5]
    assert {labels["audit"] for samples in found.values() for labels, _ in samples} == {"digits"}


@given(
    st.lists(judgements, max_size=5), texts, st.dictionaries(texts, numbers, min_size=1, max_size=4)
)
def test_every_text_is_read_back(found, name, thresholds):
    written = openmetrics(result([], thresholds), found, name)
    assert written == openmetrics(result([], thresholds), found, name)
    back = read(written)
    assert {labels["audit"] for s in back.values() for labels, _ in s} == {visible(name)}
    for (labels, value), (criterion, limit) in zip(
        back["pxgen_threshold"], thresholds.items(), strict=True
    ):
        assert labels["criterion"].startswith(visible(criterion))
        known = limit is not None and math.isfinite(limit)
        assert value == pytest.approx(limit if known else math.nan, nan_ok=True)
    shown = back["pxgen_condition_observed"]
    for (labels, value), one in zip(shown, found, strict=True):
        assert labels["condition"].startswith(visible(one.name or one.text))
        expected = math.nan if one.observed is None else one.observed
        assert value == pytest.approx(expected, nan_ok=True)
    states = back["pxgen_condition_state"]
    assert [labels["state"] for labels, value in states if value == 1] == [
        one.state for one in found
    ]
    assert len(states) == len(STATES) * len(found)


def test_conditions_of_one_name_stay_apart():
    conditions = [judged(text=text) for text in ("a", "a", "a #2", "a")]
    found = read(openmetrics(data(), conditions, "x"))["pxgen_condition_limit"]
    assert [labels["condition"] for labels, _ in found] == ["a", "a #3", "a #2", "a #4"]


def test_without_anchors_there_are_counts_but_no_shares():
    found = read(openmetrics(data(()), [], "x"))
    assert all(value == 0 for _, value in found["pxgen_anchors"])
    assert all(math.isnan(value) for _, value in found["pxgen_group_fraction"])
