"""The Markdown summary: the verdict, the worst first, and nothing of the users' text obeyed."""

from __future__ import annotations

import re
from functools import partial
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxgen_plugins.audit.escaping import visible
from pxgen_plugins.audit.run_comparison import compare_runs
from pxgen_plugins.audit.writers.markdown import invalid_by_reason, summary
from pxgen_plugins.result import Result

from .reported import judgement

HOSTILE = [
    "a|b", "\\|", "`x`", "``` \n# head", "<img src=x onerror=alert(1)>", "[x](javascript:1)",
    "@you", "https://e.vil", "\x1b[31m", "\u202e", "\ud800", "", " ", "x" * 500, "| --- |", "&lt;",
]  # fmt: skip
texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=20))
NO_CONDITIONS = "Nothing was judged: the settings have no conditions."
DATA = {
    "criteria": ["kld", "mse"],
    "kinds": ["intrinsic", "extrinsic"],
    "thresholds": {"kld": 20.0, "mse": 0.1},
    "values": None,
    "group": ["HIHE"] * 6 + ["HILE"] * 3 + ["invalid"],
    "groups": {
        "HIHE": {"count": 6, "fraction": 0.6, "interval": [0.31, 0.83]},
        "HILE": {"count": 3, "fraction": 0.3, "interval": [0.11, 0.6]},
    },
}


def text(data, *rest):
    return summary(Result.of(data), *rest)


judged = partial(
    judgement,
    observed=0.3,
    low=0.11,
    high=0.6,
    bound=0.6,
    n=10,
    reason="the upper end 0.6 is above 0.02",
    anchors=tuple(range(6, 9)),
)
judgements = st.builds(
    judged,
    st.sampled_from(["passed", "failed", "warning", "error", "skipped"]),
    name=texts,
    text=texts,
    reason=texts,
)


def table(lines: list[str], head: str) -> list[list[str]]:
    """The rows of the table whose head starts so, cut at bars outside escapes."""
    start = next(place for place, line in enumerate(lines) if line.startswith(f"| {head}"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows


@pytest.mark.parametrize(
    ("states", "words"),
    [
        (["passed", "passed"], "passed"),
        (["passed", "skipped"], "passed"),
        (["passed", "warning"], "passed with warnings"),
        (["passed", "error", "warning"], "not judged: an error"),
        (["error", "failed"], "failed"),
        (["skipped"], "not judged: nothing was checked"),
        ([], "not judged: nothing was checked"),
    ],
)
def test_the_verdict_comes_first_and_is_that_of_the_worst(states, words):
    first = text(DATA, [judged(state) for state in states], "digits").split("\n")[0]
    assert first == f"## PXGen audit `digits`: {words}"


def test_conditions_stand_the_worst_first_with_what_was_seen():
    states = ["passed", "warning", "failed", "skipped", "error"]
    lines = text(DATA, [judged(state) for state in states], "x").split("\n")
    assert lines[2] == "5 conditions: 1 failed, 1 error, 1 warning, 1 skipped, 1 passed."
    rows = table(lines, "state")
    assert [row[0] for row in rows] == ["**failed**", "**error**", "warning", "skipped", "passed"]
    assert rows[0][1:] == [
        "`HILE.fraction <= 0.02`", "`the upper end 0.6 is above 0.02`", "`#6`, `#7`, `#8`",
        "0.3 (0.11 to 0.6)", "0.02", "10",
    ]  # fmt: skip


def test_groups_have_their_intervals_and_invalid_anchors_a_row():
    rows = table(text(DATA, [], "x").split("\n"), "group")
    assert rows[0] == ["HIHE", "6", "60.0 %", "31.0 % to 83.0 %"]
    assert rows[-1] == ["invalid", "1", "10.0 %", "n/a"]


def test_invalid_anchors_are_counted_by_reason_the_commonest_first():
    reasons = {"invalid": [3, 5, 9], "reasons": ["too long", "NaN", "too long"]}
    assert invalid_by_reason(Result.of({**DATA, **reasons})) == [("too long", 2, 3), ("NaN", 1, 5)]
    lines = text({**DATA, **reasons}, [], "x").split("\n")
    assert "Not scored: 2, `too long`, the first `#3`." in lines
    assert invalid_by_reason(Result.of(DATA)) == []


def test_many_conditions_are_cut_and_counted():
    found = [judged("passed")] * 70 + [judged("failed")]
    lines = text(DATA, found, "x").split("\n")
    rows = table(lines, "state")
    assert len(rows) == 50
    assert rows[0][0] == "**failed**"
    assert "21 more conditions are left out here." in lines


def test_what_changed_stands_below():
    moved = {**DATA, "group": ["HILE"] * 9 + ["invalid"]}
    changes = compare_runs(DATA, moved)
    lines = text(DATA, [], "x", changes).split("\n")
    assert lines.index("### What changed") > lines.index(NO_CONDITIONS)
    assert table(lines, "before")[0] == ["HIHE", "0", "6", "0", "0", "0", "6"]
    other = SimpleNamespace(to_markdown=lambda: "as it says\n")
    assert text(DATA, [], "x", other).endswith("### What changed\n\nas it says\n")


@given(st.lists(judgements, min_size=1, max_size=5), texts)
def test_text_of_users_breaks_no_row_and_stands_in_code(found, name):
    words = text(DATA, found, name)
    lines = words.split("\n")
    assert words.encode()
    assert all(visible(line) == line for line in lines)
    assert [line[0] for line in lines if line.startswith("#")] == ["#"]
    rows = table(lines, "state")
    assert len(rows) == len(found)
    assert {len(row) for row in rows} == {7}
    fence = r"(`+)(?!`).*?(?<!`)\1(?!`)"
    for row in rows:
        outside = re.sub(fence, "", row[1]) + re.sub(fence, "", row[2])
        assert re.fullmatch(r"(: |:|\(empty\)|\(blank\)|\s)*", outside), row


def test_the_longest_summary_fits_into_a_comment():
    names = ["x" * 500 for _ in range(200)]
    found = [judged(name=one, text=one, reason=one, anchors=tuple(range(50))) for one in names]
    group = ["HIHE"] * 400
    labels = [f"{k % 40}{'y' * 500}" for k in range(400)]
    data = {**DATA, "group": group, "labels": labels, "ids": [f"{k}{'z' * 99}" for k in range(400)]}
    changes = compare_runs(data, data)
    assert len(text(data, found, "x" * 500, changes)) < 65_536
