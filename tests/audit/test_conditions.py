"""Conditions as text."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxgen_plugins.audit.conditions import METRICS, PATTERN, Comparison, Condition, parse
from pxgen_plugins.groups import GROUPS
from pxgen_plugins.utils.errors import ParameterError

PAGE = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
STATES = st.sampled_from([*GROUPS, "invalid"])
OPS = st.sampled_from(["<=", ">=", "<", ">"])
LIMITS = st.floats(-1e6, 1e6)
CHANGES = st.sampled_from([None, "drop", "rise", "change"])
NAMES = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
COMPARISONS = st.one_of(
    st.builds(
        Comparison, st.just("group"), st.just("count"), OPS, LIMITS,
        label=st.none() | st.text(max_size=12), group=STATES, change=CHANGES,
    ),
    st.builds(Comparison, st.just("threshold"), st.just("value"), OPS, LIMITS, criterion=NAMES,
              change=CHANGES),
    st.builds(Comparison, st.just("median"), st.just("value"), OPS, LIMITS, criterion=NAMES,
              group=st.none() | STATES, change=CHANGES),
    st.builds(Comparison, st.just("group"), st.just("fraction"), OPS, st.floats(0, 1),
              label=st.none() | st.text(max_size=12), group=STATES, change=CHANGES),
    st.builds(Comparison, st.just("moved"), st.sampled_from(["fraction", "count"]), OPS,
              st.floats(0, 1),
              group=STATES, end=STATES),
    st.builds(Comparison, st.just("stability"), st.just("mean"), OPS, st.floats(0, 1)),
)  # fmt: skip


@given(COMPARISONS)
def test_a_condition_comes_back_from_its_text(comparison):
    assert parse(str(comparison)) == comparison


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HILE.fraction <= 0.02", Comparison("group", "fraction", "<=", 0.02, group="HILE")),
        ("HIHE.count>10", Comparison("group", "count", ">", 10.0, group="HIHE")),
        ("invalid.fraction < 1%", Comparison("group", "fraction", "<", 0.01, group="invalid")),
        ("label:0.HIHE.fraction >= 0.9",
         Comparison("group", "fraction", ">=", 0.9, label="0", group="HIHE")),
        ('label:"a.b \\"c\\"".LILE.count < 2',
         Comparison("group", "count", "<", 2.0, label='a.b "c"', group="LILE")),
        ("threshold.kld <= 30", Comparison("threshold", "value", "<=", 30.0, criterion="kld")),
        ("median.mse < 1", Comparison("median", "value", "<", 1.0, criterion="mse")),
        ("median.HIHE.mse < 1",
         Comparison("median", "value", "<", 1.0, criterion="mse", group="HIHE")),
        ("stability.mean >= .8", Comparison("stability", "mean", ">=", 0.8)),
        ("HIHE.fraction drop <= 5%",
         Comparison("group", "fraction", "<=", 0.05, group="HIHE", change="drop")),
        ("moved(HIHE -> HILE).count <= 10",
         Comparison("moved", "count", "<=", 10.0, group="HIHE", end="HILE")),
        ("moved.fraction < 0.1", Comparison("moved", "fraction", "<", 0.1)),
    ],
)  # fmt: skip
def test_conditions_are_understood(text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("HILE.fraction", "METRIC OP NUMBER"),
        ("HILE.fraction == 3", "condition"),
        ("HILI.fraction <= 1", "Did you mean 'HILE'"),
        ("HILE.fractoin <= 1", "Did you mean 'fraction'"),
        ("HILE.fraction falls <= 1", "drop, rise or change"),
        ("HILE.fraction <= nan", "finite"),
        ("HILE.fraction <= inf", "finite"),
        ("HILE.fraction <= much", "finite"),
        ("label:.HIHE.count < 1", "label"),
        ('label:"\\q".HIHE.count < 1', "JSON"),
        ("moved(HIHE->XX).count < 1", "HIHE, HILE"),
        ("moved.count drop < 1", "drop"),
        ("threshold <= 3", "one of GROUP"),
        ("__import__('os') < 1", "condition"),
        ("", "METRIC"),
    ],
)
def test_what_is_no_condition_is_explained(text, named):
    with pytest.raises(ParameterError, match=named):
        parse(text)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.form)
def test_a_metric_takes_what_its_row_on_the_page_says(metric):
    assert f"| `{metric.form}` | {metric.what} | `{metric.example}` |" in PAGE
    words = ["yes" if one else "no" for one in (metric.change, metric.percent)]
    assert f"| `{metric.example}` | {words[0]} | {words[1]} | {metric.interval} |" in PAGE
    found = parse(metric.example)
    written = metric.form.replace("NAME", found.label or "").replace("CRITERION", "")
    assert written.split(".")[0].split(":")[0].split("(")[0] in {"GROUP", "label", found.subject}
    left = metric.example.rpartition(" ")[0].rpartition(" ")[0]
    for text, allowed in (
        (f"{left} drop <= 0", metric.change),
        (f"{left} <= 5%", metric.percent),
    ):
        if allowed:
            parse(text)
        else:
            with pytest.raises(ParameterError):
                parse(text)


def test_the_page_and_messages_have_every_metric():
    rows = re.findall(r"^\| `([^`]*)` \| .*\| (?:yes|no) \| (?:yes|no) \|", PAGE, re.MULTILINE)
    assert rows == [metric.form for metric in METRICS]
    with pytest.raises(ParameterError) as found:
        parse("share <= 3")
    assert all(metric.form in str(found.value) for metric in METRICS)
    subjects = {parse(metric.example).subject for metric in METRICS}
    assert subjects == set(re.findall(r'``"(\w+)"``', Comparison.__doc__.partition("measure:")[0]))


@given(COMPARISONS)
def test_the_schemas_pattern_allows_every_condition(comparison):
    assert re.search(PATTERN, str(comparison))


@pytest.mark.parametrize("text", [
    "", "HILE.fraction", "HILI.fraction <= 1", "HILE.fractoin <= 1", "HILE.fraction falls <= 1",
    "HILE.fraction <= much", "HILE.fraction == 3", "moved(HIHE->XX).count < 1", "share <= 3",
])  # fmt: skip
def test_the_schemas_pattern_refuses_slips(text):
    assert not re.search(PATTERN, text)


def test_settings_hold_text_or_mappings():
    assert Condition.of("HILE.count < 3") == Condition("HILE.count < 3")
    found = Condition.of({"condition": "HILE.count < 3", "min_count": 5, "name": "few"})
    assert (found.min_count, found.name) == (5, "few")
    for given_, named in (
        (3, "conditions"),
        ({}, "conditions"),
        ({"condition": "HILE.count < 3", "severty": "warning"}, "severity"),
        ({"condition": "HILE.count < 3", "severity": "fatal"}, "severity"),
        ({"condition": "HILE.count < 3", "confidence": 1.0}, "confidence"),
        ({"condition": "HILE.count < 3", "min_count": -1}, "min_count"),
        ({"condition": ["HILE"]}, "condition"),
    ):
        with pytest.raises(ParameterError, match=named):
            Condition.of(given_)


def test_a_label_of_any_text_can_be_written():
    label = 'x".HIHE.count < 3\n$'
    text = f"label:{json.dumps(label)}.HIHE.count < 1"
    assert parse(text).label == label


@pytest.mark.parametrize(
    "text",
    ["HILE.fraction <= 20", "HILE.fraction <= 2000%", "HIHE.fraction drop <= -1.5",
     "stability.mean >= 80", "moved.fraction <= 5", "HILE.count <= 5%", "threshold.kld <= 5%"],
)  # fmt: skip
def test_a_limit_that_could_not_fail_or_not_hold_is_refused(text):
    with pytest.raises(ParameterError, match="must be a"):
        parse(text)


def test_comparisons_inside_a_quoted_label_are_its_text():
    found = parse('label:"a<b >= 1".HIHE.fraction>=0.9')
    assert (found.label, found.op, found.limit) == ("a<b >= 1", ">=", 0.9)
