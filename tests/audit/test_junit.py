"""JUnit XML: read back by a parser, whatever stands in a condition."""

from __future__ import annotations

from functools import partial
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from pxgen_plugins.audit.escaping import visible
from pxgen_plugins.audit.writers.junit import junit

from .reported import judgement

STATES = ("passed", "failed", "warning", "error", "skipped")
HOSTILE = [
    "]]>", "<![CDATA[x]]>", "</testcase>", "&lol;", "<!DOCTYPE x>", "\x00\x1b[31m", "\ufffe\uffff",
    "\ud800", "\u202e", "a\nb\tc\r", "'\"", "-->",
]  # fmt: skip
texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=20))
numbers = st.one_of(st.none(), st.floats(), st.integers(-5, 10**30))


judged = partial(
    judgement,
    observed=0.1,
    low=0.05,
    high=0.2,
    bound=0.2,
    n=100,
    reason="the upper end 0.2 is above 0.02",
    anchors=(3, 5),
)
judgements = st.builds(
    judged, st.sampled_from(STATES), name=texts, text=texts, reason=texts, observed=numbers,
    low=numbers, high=numbers, limit=numbers, n=st.integers(0, 10**7),
    anchors=st.lists(st.integers(0, 10**6), max_size=5).map(tuple),
)  # fmt: skip


def test_each_state_has_its_element():
    root = ElementTree.fromstring(junit([judged(state) for state in STATES], "digits"))
    (suite,) = root
    assert root.tag == "testsuites"
    assert suite.get("name") == "digits"
    kinds = [[child.tag for child in case] for case in suite]
    assert kinds == [[], ["failure"], ["system-out"], ["error"], ["skipped"]]
    counts = {"tests": "5", "failures": "1", "errors": "1", "skipped": "1"}
    assert root.attrib == {key: value for key, value in counts.items() if key != "skipped"}
    assert suite.attrib == {"name": "digits", **counts}
    assert not any(element.get("time") for element in root.iter())  # none is stored


def test_a_failure_says_what_was_seen_and_where():
    (case,) = ElementTree.fromstring(junit([judged()], "digits"))[0]
    (failure,) = case
    assert failure.get("message") == "the upper end 0.2 is above 0.02"
    assert failure.text.split("\n") == [
        "condition: HILE.fraction <= 0.02",
        "observed: 0.1 (0.05 to 0.2)",
        "limit: 0.02",
        "n: 100",
        "anchors: #3, #5",
    ]


def test_a_name_stands_before_the_text():
    cases = ElementTree.fromstring(junit([judged(), judged(name="few delusions")], "x"))[0]
    assert [case.get("name") for case in cases] == ["HILE.fraction <= 0.02", "few delusions"]


@given(st.lists(judgements, max_size=6), texts)
def test_a_parser_reads_back_every_text(found, name):
    written = junit(found, name)
    assert written == junit(found, name)
    root = ElementTree.fromstring(written)
    (suite,) = root
    assert suite.get("name") == visible(name)
    assert [case.get("name") for case in suite] == [visible(one.name or one.text) for one in found]
    for case, one in zip(suite, found, strict=True):
        if one.state in ("failed", "error", "skipped"):
            assert case[0].get("message") == visible(one.reason or one.state)
            assert case[0].text.split("\n")[0] == f"condition: {visible(one.text)}"
    states = [one.state for one in found]
    counted = {
        "failures": sum(1 for case in suite if case.find("failure") is not None),
        "errors": sum(1 for case in suite if case.find("error") is not None),
        "skipped": sum(1 for case in suite if case.find("skipped") is not None),
    }
    assert {key: int(suite.get(key)) for key in counted} == counted
    assert counted["failures"] == states.count("failed")


@given(texts)
def test_no_byte_is_forbidden_in_xml(text):
    shown = junit([judged(text=text, reason=text)], text).decode()
    allowed = (range(0x20, 0xD800), range(0xE000, 0xFFFE), range(0x10000, 0x110000))
    assert all(c == "\n" or any(ord(c) in one for one in allowed) for c in shown)
    assert "]]>" not in shown


def test_no_conditions_are_an_empty_suite():
    (suite,) = ElementTree.fromstring(junit([], "digits"))
    assert (suite.get("tests"), len(suite)) == ("0", 0)


def test_anchors_are_named_by_their_ids():
    (case,) = ElementTree.fromstring(junit([judged(anchors=(1, 0))], "x", ["a.png", "b\x1b.png"]))[
        0
    ]
    assert "anchors: b\\x1b.png, a.png" in case[0].text
