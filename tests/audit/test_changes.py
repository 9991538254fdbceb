"""Changes between two runs: published intervals, slow twins, refusals, inert tables."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pxgen_plugins.audit.changes import STATES, Changes
from pxgen_plugins.audit.escaping import code, visible
from pxgen_plugins.audit.intervals import paired_interval
from pxgen_plugins.audit.run_comparison import compare_runs
from pxgen_plugins.groups import mid_p_interval
from pxgen_plugins.utils.errors import ParameterError

HOSTILE = [
    "a|b", "`x`", "``", "<script>alert(1)</script>", "[x](javascript:1)", "@you #1 https://e.vil",
    "\x1b[31mred\x07", "\u202eoverride", "a\nb\r\n# head", "\ud800", "\x00", " ", "", "\\|", "]]>",
    "x" * 500, "a\u2028b", "'\"&amp;",
]  # fmt: skip
texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=20))
groups = st.lists(st.sampled_from(STATES), max_size=40)


def run(group: Any, **other: Any) -> dict[str, Any]:
    return {
        "criteria": ["kld", "mse"],
        "kinds": ["intrinsic", "extrinsic"],
        "rule": "all",
        "thresholds": {"kld": 20.0, "mse": 0.1},
        "values": None,
        "group": np.asarray(group, dtype=str),
        "groups": {},
        "ids": None,
        "labels": None,
        **other,
    }


def spans(text: str) -> list[tuple[str, str]]:
    """Plain text and code spans of a line, by the rule of CommonMark 0.31 (6.1), slowly."""
    parts: list[tuple[str, str]] = []
    plain, at = "", 0
    while at < len(text):
        if text[at] != "`":
            plain, at = plain + text[at], at + 1
            continue
        opened = at
        while at < len(text) and text[at] == "`":
            at += 1
        fence, close = at - opened, at
        while close < len(text):
            stop = close
            while stop < len(text) and text[stop] == "`":
                stop += 1
            if stop - close == fence:
                break
            close = max(stop, close + 1)
        if close >= len(text):
            plain += text[opened:at]
            continue
        inside = text[at:close]
        if inside.strip(" ") and inside[0] == inside[-1] == " ":
            inside = inside[1:-1]
        parts += [("plain", plain), ("code", inside)]
        plain, at = "", close + fence
    return [*parts, ("plain", plain)]


def wilson(count: int, n: int) -> list[float]:
    """The roots of (p - share)^2 = z^2 p (1 - p) / n."""
    z2, share = 1.959963984540054**2, count / n
    return sorted(np.roots([1 + z2 / n, -2 * share - z2 / n, share**2]).real)


def test_the_paired_interval_is_the_published_one():
    # complete response before and after consolidation therapy (Cavo et al. 2012), as the R package
    # contingencytables gives it, first less second: -0.0621 (-0.1186 to -0.0046)
    assert paired_interval(59, 6, 16, 80) == pytest.approx((0.0046, 0.1186), abs=5e-5)


@given(st.tuples(*[st.integers(0, 60)] * 4).filter(any))
def test_the_paired_interval_follows_from_wilsons_and_the_correlation(table):
    both, first, second, neither = table
    n = sum(table)
    p, q = (both + first) / n, (both + second) / n
    (l1, u1), (l2, u2) = wilson(both + first, n), wilson(both + second, n)
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    product = both * neither - first * second
    if product > n / 2:
        product -= n / 2
    elif product >= 0:
        product = 0
    phi = product / math.sqrt(margins) if margins else 0.0
    low = (q - p) - math.sqrt(
        max(0.0, (q - l2) ** 2 - 2 * phi * (q - l2) * (u1 - p) + (u1 - p) ** 2)
    )
    high = (q - p) + math.sqrt(
        max(0.0, (u2 - q) ** 2 - 2 * phi * (u2 - q) * (p - l1) + (p - l1) ** 2)
    )
    found = paired_interval(*table)
    assert found == pytest.approx((low, high), abs=1e-6)
    assert -1 <= found[0] <= (second - first) / n <= found[1] <= 1
    assert paired_interval(both, second, first, neither) == pytest.approx((-found[1], -found[0]))
    wider = paired_interval(*table, 0.999)
    assert wider[0] <= found[0] + 1e-12
    assert wider[1] >= found[1] - 1e-12


def test_the_paired_interval_holds_the_truth_nineteen_times_in_twenty():
    n = 24
    tables = [
        (a, b, c, n - a - b - c)
        for a in range(n + 1)
        for b in range(n + 1 - a)
        for c in range(n + 1 - a - b)
    ]
    ends = np.array([paired_interval(*table) for table in tables])
    ways = [math.factorial(n) / math.prod(map(math.factorial, table)) for table in tables]
    covered = []
    for chances in ((0.6, 0.1, 0.1, 0.2), (0.7, 0.15, 0.05, 0.1), (0.3, 0.02, 0.2, 0.48)):
        weight = np.array(ways) * np.prod(np.power(chances, tables), axis=1)
        assert weight.sum() == pytest.approx(1.0)
        truth = chances[2] - chances[1]
        covered.append(weight[(ends[:, 0] <= truth) & (truth <= ends[:, 1])].sum())
    assert min(covered) > 0.92
    assert np.mean(covered) > 0.94


def test_no_anchors_have_no_interval():
    assert paired_interval(0, 0, 0, 0) is None
    changes = compare_runs(run([]), run([]))
    assert changes.n == 0
    assert np.isnan(changes.intervals).all()
    assert "No anchors were compared." in changes.to_markdown()
    json.dumps(changes.to_dict(), allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(groups, st.data())
def test_runs_are_matched_by_id_whatever_their_order(before, data):
    n = len(before)
    after = data.draw(st.lists(st.sampled_from(STATES), min_size=n, max_size=n))
    labels = data.draw(st.lists(st.sampled_from("abc"), min_size=n, max_size=n))
    order = np.array(data.draw(st.permutations(range(n))), dtype=int)
    ids = np.array([f"id {k}" for k in range(n)], dtype=str)
    first = run(before, ids=ids, labels=np.array(labels, dtype=str))
    second = run(np.array(after, dtype=str)[order], ids=ids[order])
    found = compare_runs(first, second, min_label=1)
    # the slow twin: one anchor after the other, by its id
    where = {str(one): place for place, one in enumerate(second["ids"])}
    cells: Counter[tuple[str, str]] = Counter()
    hihe: dict[str, list[tuple[bool, bool]]] = {}
    moved = set()
    for place, one in enumerate(ids):
        then = str(second["group"][where[str(one)]])
        cells[before[place], then] += 1
        hihe.setdefault(labels[place], []).append((before[place] == "HIHE", then == "HIHE"))
        if before[place] != then:
            moved.add(where[str(one)])
    assert found.matched_by == "ids"
    assert found.matrix.tolist() == [[cells[a, b] for b in STATES] for a in STATES]
    assert set(found.moved.tolist()) == moved
    assert found.moved.tolist() == sorted(moved)
    ways = {(a, b): found.moved_between(a, b) for a in STATES for b in STATES}
    assert {way: len(index) for way, index in ways.items()} == {way: cells[way] for way in ways}
    for one in found.labels:
        pairs = hihe[one.name]
        assert one.n == len(pairs)
        assert one.before == pytest.approx(np.mean([a for a, _ in pairs]))
        assert one.change == pytest.approx(np.mean([int(b) - int(a) for a, b in pairs]))
        kinds = Counter(pairs)
        table = [kinds[True, True], kinds[True, False], kinds[False, True], kinds[False, False]]
        assert (one.low, one.high) == pytest.approx(paired_interval(*table))
    assert {one.name for one in found.labels} == set(labels)
    by_place = compare_runs(run(before), run(after))
    assert by_place.matched_by == "position"
    assert by_place.matrix.tolist() == found.matrix.tolist()


def test_each_cell_has_the_interval_of_its_share():
    before = ["HIHE"] * 30 + ["HILE"] * 10
    found = compare_runs(run(before), run(["HIHE"] * 24 + ["HILE"] * 16))
    assert found.intervals[0, 1].tolist() == pytest.approx(mid_p_interval(6, 40))
    assert found.groups["HILE"].change == pytest.approx(0.15)
    assert (found.groups["HILE"].low, found.groups["HILE"].high) == pytest.approx(
        paired_interval(10, 0, 6, 24)
    )


def test_an_anchor_that_became_invalid_is_no_longer_hihe():
    found = compare_runs(
        run(["HIHE"] * 20, labels=["a"] * 20),
        run(["HIHE"] * 15 + ["invalid"] * 5, labels=["a"] * 20),
    )
    (label,) = found.labels
    assert (label.n, label.before, label.after) == (20, 1.0, 0.75)
    assert found.moved_between("HIHE", "invalid").tolist() == [15, 16, 17, 18, 19]
    assert found.groups["invalid"].after == 0.25


def test_labels_come_by_how_sure_their_change_is_and_small_ones_are_counted():
    labels = ["large"] * 400 + ["noisy"] * 10 + ["still"] * 50 + ["tiny"] * 9
    after = np.array(["HIHE"] * 469)
    after[:100] = "HILE"
    after[400:403] = "LIHE"
    found = compare_runs(
        run(["HIHE"] * 469, labels=labels), run(after, labels=labels), min_label=10
    )
    assert [one.name for one in found.labels] == ["large", "noisy", "still"]
    assert found.n_small_labels == 1
    assert "1 labels with fewer than 10 anchors are not compared" in found.to_markdown()


def test_different_anchors_are_refused_unless_the_common_ones_are_asked_for():
    first = run(["HIHE", "HILE", "LILE"], ids=["a", "b", "c"])
    second = run(["HILE", "LILE", "HIHE", "HIHE"], ids=["b", "c", "d", "e"])
    with pytest.raises(ParameterError, match="1 only before, 2 only after, 2 in both"):
        compare_runs(first, second)
    found = compare_runs(first, second, partial=True)
    assert found.n == 2
    assert (found.ids_only_before, found.ids_only_after) == (("a",), ("d", "e"))
    assert (found.index_before.tolist(), found.index_after.tolist()) == ([1, 2], [0, 1])
    assert "1 only before (`a`); 2 only after (`d`, `e`)" in found.to_markdown()
    with pytest.raises(ParameterError, match="got none"):
        compare_runs(first, run(["HIHE"], ids=["z"]), partial=True)


@pytest.mark.parametrize(
    ("before", "after", "options", "words"),
    [
        ({"ids": ["a", "b"]}, {}, {}, "only one of the runs has ids"),
        ({"ids": ["a", "b"]}, {}, {"match": "ids"}, "a run without ids"),
        ({"ids": ["a", "a"]}, {"ids": ["a", "b"]}, {}, "'a' 2 times"),
        ({"ids": ["a"]}, {"ids": ["a", "b"]}, {}, "one for each of the 2 anchors"),
        ({"labels": ["x", "y"]}, {"labels": ["y", "x"]}, {}, "2 of 2 positions with two labels"),
        ({"group": ["HIHE"]}, {}, {}, "1 anchors before and 2 after"),
        ({"group": ["HIHE"]}, {}, {"partial": True}, "no telling which"),
        ({"group": ["HIHE", "HIHI"]}, {}, {}, "'HIHI' for anchor 1"),
        ({"group": None}, {}, {}, "dict without 'group'"),
        ({"criteria": ["kld", "ssim"]}, {}, {}, "criteria must be the same"),
        ({"rule": "any"}, {}, {}, "rule must be the same"),
        ({}, {}, {"match": "id"}, "'ids'"),
        ({}, {}, {"confidence": 1.0}, "confidence"),
        ({}, {}, {"min_label": 0}, "min_label"),
        ({}, {}, {"partial": 1}, "partial"),
    ],
)
def test_what_cannot_be_compared_is_refused(before, after, options, words):
    whole = run(["HIHE", "HILE"])
    with pytest.raises(ParameterError, match=words):
        compare_runs({**whole, **before}, {**whole, **after}, **options)


def test_something_else_than_data_is_refused():
    with pytest.raises(ParameterError, match="NoneType without 'criteria'"):
        compare_runs(None, run([]))  # type: ignore[arg-type]


def test_by_id_a_new_label_counts_and_is_reported():
    one = {"ids": [str(k) for k in range(12)]}
    found = compare_runs(
        run(["HIHE"] * 12, labels=["a"] * 12, **one),
        run(["HIHE"] * 12, labels=["a"] * 11 + ["b"], **one),
    )
    assert found.n_relabelled == 1
    assert [(label.name, label.n) for label in found.labels] == [("a", 11)]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (2.0, 3.0, (2.0, 3.0, 1.5)),
        (0.0, 1.0, (0.0, 1.0, None)),
        (None, 1.0, (None, 1.0, None)),
        (math.inf, 1.0, (None, 1.0, None)),
        (math.nan, math.nan, (None, None, None)),
    ],
)
def test_a_threshold_shift_is_a_ratio_where_there_is_one(before, after, expected):
    first = run(["HIHE"], thresholds={"kld": before, "mse": 1.0})
    second = run(["HIHE"], thresholds={"kld": after, "mse": 1.0})
    assert tuple(compare_runs(first, second).thresholds["kld"]) == expected


def calibrated(method: str, seed: int = 0, n: int = 500, kld: float = 20.0, **params: Any) -> Any:
    source = params.get("source", "samples")
    calibration = {"method": method, "params": params, "seed": seed, "n_samples": n}
    calibration |= {"source": source, "repeats": [[kld, 0.1]]}
    values = np.zeros((1, 2))
    given = {"thresholds": {"kld": kld, "mse": 0.1}, "values": values, "anchor_value": [0.0]}
    return run(["HIHE"], calibration=calibration, **given)


REFERENCE = calibrated("Conformal", alpha=0.05, source="reference")


@pytest.mark.parametrize(
    ("after", "words", "noted"),
    [
        (REFERENCE, "with the same seeds", False),
        (calibrated("Conformal", 1, alpha=0.05, source="reference"), "different seeds", False),
        (calibrated("Conformal", n=400, alpha=0.05, source="reference"), "numbers of inst", False),
        (calibrated("Conformal", alpha=0.1, source="reference"), "by different rules", True),
        (calibrated("MeanMax", n_samples=1_000, n_repeats=100), "by different rules", True),
        (calibrated("Fixed", values={"kld": 20.0, "mse": 0.1}), "thresholds of the first", False),
        (calibrated("Fixed", kld=21.0, values={"kld": 21.0, "mse": 0.1}), "different rules", True),
        (run(["HIHE"]), "", False),
    ],
)
def test_runs_under_different_threshold_rules_are_compared_with_a_note(after, words, noted):
    found = compare_runs(REFERENCE, after)
    assert words in found.calibrations
    assert bool(found.calibrations) == bool(words)
    assert len(found.notes) == noted
    text = found.to_markdown()
    assert found.calibrations in text
    assert ("**Note:**" in text) == noted
    if noted:
        rule, parameter = after["calibration"]["method"], next(iter(after["calibration"]["params"]))
        assert "Conformal(alpha=0.05, source=reference) before" in text
        assert f"{rule}({parameter}=" in text.split(" before and ")[1]
    again = Changes.from_dict(json.loads(json.dumps(found.to_dict())))
    assert (again.calibrations, again.notes) == (found.calibrations, found.notes)


def hostile_changes(names: list[str]) -> Changes:
    labels = np.array(names, dtype=object).astype(str)
    ids = [f"{k}-{name}" for k, name in enumerate(names)]
    other = {"criteria": ["kld", names[0]], "thresholds": {names[0]: 1.0}, "labels": labels}
    first = run(["HIHE"] * len(names), ids=ids, **other)
    second = run(["HILE"] * len(names), ids=[*ids[1:], "new"], **other)
    return compare_runs(first, second, partial=True, min_label=1)


@settings(max_examples=60, deadline=None)
@given(st.lists(texts, min_size=2, max_size=14))
def test_tables_hold_names_in_code_spans_only(names):
    words = hostile_changes(names).to_markdown()
    assert all(visible(line) == line for line in words.split("\n"))
    lines = [line for line in words.split("\n") if line.startswith("|")]
    columns = {line.count("|") for line in lines}
    assert columns <= {5, 7, 8, 9}
    outside = "".join(text for kind, text in spans(words.replace("\n", " ")) if kind == "plain")
    ours = set("abcdefghijklmnopqrstuvwxyzCEHILN0123456789 |-+±:;,.%()\\%~/")
    assert set(outside) <= ours


@given(st.one_of(texts, st.text(alphabet="`| \\a", max_size=12)))
def test_a_code_span_is_one_span_that_shows_the_text(text):
    shown = code(text, 1000)
    expected = visible(text, 1000).replace("|", "¦")
    if not expected.strip():
        assert shown == ("(blank)" if text else "(empty)")
        return
    assert spans(shown) == [("plain", ""), ("code", expected), ("plain", "")]
    assert "|" not in shown


@given(texts)
def test_visible_text_is_one_printable_line_that_encodes(text):
    shown = visible(text)
    shown.encode()
    assert shown.isprintable() or any(c.isspace() for c in shown)
    assert len(shown.splitlines()) <= 1
    assert not set(shown) & set("\x1b\x00\u202e\u200b\x7f\x9b")
    assert len(visible(text, 7)) <= 7


@settings(max_examples=30, deadline=None)
@given(st.lists(texts, min_size=2, max_size=14))
def test_changes_are_strict_json(names):
    changes = hostile_changes(names)
    back = json.loads(json.dumps(changes.to_dict(), allow_nan=False))
    assert back["matrix"] == changes.matrix.tolist()
    assert back["moved"] == {"HIHE->HILE": changes.moved.tolist()}
    assert back["n"] == len(names) - 1
    assert back["states"] == list(STATES)
    again = Changes.from_dict(back)
    assert again.to_dict() == back
    assert again.to_markdown() == changes.to_markdown()
    assert again.moved.tolist() == changes.moved.tolist()


def test_changes_draw_themselves():
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    (ax,) = compare_runs(run(["HIHE", "HILE"]), run(["HIHE", "HIHE"])).plot()
    assert {patch.get_gid() for patch in ax.patches} >= {"band:HILE:HIHE", "bar:after:HIHE"}
    plt.close(ax.figure)
