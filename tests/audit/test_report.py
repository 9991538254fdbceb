"""The report: one inert file within its limit, that shows what it was given."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import re
import sys
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pxgen_plugins.audit.run_comparison import compare_runs
from pxgen_plugins.audit.run_folder import Evidence
from pxgen_plugins.audit.writers.report import page
from pxgen_plugins.audit.writers.report.points import Axis, choose_points
from pxgen_plugins.audit.writers.report.sprites import Sprites, pack_pictures
from pxgen_plugins.result import Examples
from pxgen_plugins.utils.errors import MissingDependencyError, ParameterError
from tests.audit.reported import PAYLOADS, data_of, grid, judgement, pictures_of, report

TAGS = {
    "html", "head", "meta", "title", "style", "body", "header", "main", "section", "article", "nav",
    "h1", "h2", "h3", "p", "a", "div", "span", "bdi", "br", "code", "b", "figure", "figcaption",
    "table", "thead", "tbody", "tr", "th", "td", "dl", "dt", "dd", "canvas", "label", "select",
    "input", "button", "textarea", "noscript", "script", "svg", "defs", "image", "use", "line",
    "circle", "rect",
}  # fmt: skip
finite = st.floats(-1e6, 1e6, allow_subnormal=False)


class Page(HTMLParser):
    """The elements of a page in their order, and what stands in each kind."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)
        self.inside.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        for tag in self._open[-1:]:
            self.inside[tag][-1] += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def hostile() -> str:
    """A page with a payload at every place that takes text."""
    joined = " ".join(PAYLOADS)
    data = data_of(grid(), labels=PAYLOADS)
    data["criteria"] = ["kld" + joined, "mse"]
    data["thresholds"] = {"kld" + joined: 10.5, "mse": 10.5}
    data["ids"] = np.array([PAYLOADS[i % len(PAYLOADS)] + str(i) for i in range(401)])
    data["groups"]["HILE"]["representatives"][joined] = [10]
    texts = {"indices": np.arange(10, 24), "texts": PAYLOADS, "reconstructed_texts": PAYLOADS}
    before = {**data, "group": np.roll(data["group"], 7)}
    changes = compare_runs(before, data, match="position", min_label=1)
    judged = [judgement(name=one, text=one, reason=one) for one in PAYLOADS]
    evidence = Evidence([(joined, [PAYLOADS, PAYLOADS])])
    manifest = {"name": joined, "seed": 0, "digests": {joined: joined}}
    return report(manifest, data, texts, judged, changes, evidence)


def embedded(text: str) -> Any:
    """The page's data block."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert found is not None
    return json.loads(found[1])


def test_the_verdict_comes_first_and_every_part_has_its_section() -> None:
    data = data_of(grid(), labels=["a", "b"])
    changes = compare_runs(data, data, match="position")
    evidence = Evidence([("LIME", [["a"], ["b"]])])
    text = report({"seed": 0}, data, None, [judgement()], changes, evidence)
    parsed = Page(text)
    headings = [name for name, _ in parsed.elements if name in {"h1", "h2"}]
    assert headings[0] == "h1"
    assert parsed.inside["h1"] == ["Failed"]
    assert [section["id"] for section in parsed.of("section")] == [
        "conditions", "anchors", "representatives", "strips", "labels", "changes", "evidence",
        "provenance",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("states", "word"),
    [
        (["passed", "failed", "error"], "Failed"),
        (["passed", "error"], "Not judged"),
        (["passed", "warning"], "Passed with warnings"),
        (["passed", "skipped"], "Passed"),
        (["skipped"], "Nothing judged"),
        ([], "Nothing judged"),
    ],
)
def test_the_verdict_is_the_worst_state_and_an_error_is_no_pass(
    states: list[str], word: str
) -> None:
    text = report({}, data_of(grid()), None, [judgement(state) for state in states])
    assert Page(text).inside["h1"] == [word]


def test_a_failing_condition_shows_its_anchors_and_a_passed_one_does_not() -> None:
    pictures = pictures_of([10, 11, 12])
    bare = data_of(grid()) | {"groups": {}, "strips": {}}
    shown = {}
    for state in ("failed", "error", "warning", "passed", "skipped"):
        text = report({}, bare, pictures, [judgement(state)])
        shown[state] = text.count('aria-label="anchor ')
    assert shown == {"failed": 3, "error": 3, "warning": 3, "passed": 0, "skipped": 0}


def test_anchors_of_another_run_are_passed_over() -> None:
    text = report({}, data_of(grid()), None, [judgement(anchors=[10**6, 3])])
    assert "#3</span>" in text
    assert "1000000" not in text


def test_payloads_everywhere_are_inert() -> None:
    text = hostile()
    parsed = Page(text)
    assert {name for name, _ in parsed.elements} <= TAGS
    assert [a for _, attributes in parsed.elements for a in attributes if a.startswith("on")] == []
    assert len(parsed.of("script")) == 2
    assert len(parsed.of("style")) == 1
    for payload in PAYLOADS[:5]:
        assert payload not in text
    for character in ("\x1b", "\x00", "\u202e", "\u2028", "\ud800"):
        assert character not in text
    assert "49" not in parsed.inside["h1"][0]
    text.encode()


def test_the_page_loads_nothing_and_has_no_inline_style_or_handler() -> None:
    for text in (hostile(), report({}, data_of(grid()), pictures_of([10]), [judgement()])):
        for name, attributes in Page(text).elements:
            links = [
                attributes[key] or "" for key in ("src", "href", "action") if key in attributes
            ]
            assert all(link.startswith(("#", "data:image/")) for link in links), (name, links)
            assert "style" not in attributes
            assert name not in {"link", "iframe", "object", "embed", "base", "form"}


def test_the_policy_allows_the_style_and_the_script_inside_and_nothing_else() -> None:
    text = hostile()
    style = re.search(r"<style>(.*?)</style>", text, re.S)
    script = re.search(r'<script type="module">(.*?)</script>', text, re.S)
    assert style is not None
    assert script is not None
    hashes = [
        base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
        for found in (style, script)
    ]
    (policy,) = (m["content"] for m in Page(text).of("meta") if "http-equiv" in m)
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{hashes[0]}'; "
        f"script-src 'sha256-{hashes[1]}'; base-uri 'none'; form-action 'none'"
    )
    assert "\r" not in style[1] + script[1]  # a parser would turn it, and the hash would not fit


def test_the_same_arguments_give_the_same_bytes() -> None:
    given = {}, data_of(grid(), labels=["a", "b"]), pictures_of([10, 11]), [judgement()]
    assert report(*given) == report(*given)


def many(n: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    data = data_of(rng.lognormal(size=(n, 2)), (1.0, 1.0))
    return data | {"labels": np.array([f"label {k}" for k in range(500)])[np.arange(n) % 500]}


def test_100_000_anchors_are_drawn_in_full_within_the_limit() -> None:
    text = report({}, many(100_000), pictures_of(list(range(100)), (3, 64, 64)), [])
    assert len(text.encode()) <= page.LIMIT == 5_000_000
    points = embedded(text)["points"]
    assert points["n"] == points["n_sample"] == 100_000
    assert "random sample" not in text


@pytest.mark.slow
def test_a_million_anchors_are_sampled_within_the_limit_and_the_page_says_so() -> None:
    data = many(1_000_000)
    text = report({"seed": 3}, data, None, [])
    assert len(text.encode()) <= page.LIMIT
    points = embedded(text)["points"]
    index = np.frombuffer(base64.b64decode(points["index"]), "<u4")
    assert points["n_sample"] == len(np.unique(index)) < points["n"] == 1_000_000
    assert f"Drawn are {len(index):,} of 1,000,000 anchors" in text
    group = np.array(points["groups"])[np.frombuffer(base64.b64decode(points["group"]), "u1")]
    np.testing.assert_array_equal(group, data["group"][index])


@pytest.mark.slow
def test_long_tables_and_texts_are_cut_to_keep_the_limit_and_the_page_says_so() -> None:
    judged = [judgement(name="&" * 3000, reason="&" * 5000, anchors=[1] * 50) for _ in range(300)]
    data = data_of(grid(), labels=[f"{k}" + "&" * 500 for k in range(400)])
    tables = [("table", [["&" * 1000] * 30] * 500)] * 30
    text = report({}, data, None, judged, None, Evidence(tables))
    assert len(text.encode()) <= page.LIMIT
    assert re.search(r"\d+ more conditions are in conditions.json", text)
    assert re.search(r"\d+ rarer labels are left out", text)
    assert re.search(r"\d+ more rows are left out", text)
    assert "10 more tables are left out" in text


def test_what_cannot_fit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "LIMIT", 1_000)
    with pytest.raises(ParameterError, match="1,000 bytes"):
        report({}, data_of(grid()))


def test_without_jinja_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingDependencyError, match=r"pip install .*jinja2"):
        report({}, data_of(grid()))


def test_no_anchors_and_invalid_anchors_are_reported() -> None:
    assert "0 anchors" in report({}, data_of(np.empty((0, 2))))
    values = grid()
    values[5] = np.nan, 1.0
    values[6] = 1.0, np.inf
    text = report({}, data_of(values))
    assert '<div class="tile" data-group="invalid">' in text
    codes = embedded(text)["points"]["criteria"][0]["codes"]
    assert np.frombuffer(base64.b64decode(codes), "<u2")[5] == 65535


def test_shares_of_labels_are_those_counted_by_hand() -> None:
    data = data_of(grid(), labels=["a", "b", "c"])
    text = report({}, data)
    label, group = data["labels"], data["group"]
    share = 100 * sum(group[i] == "HILE" for i in range(401) if label[i] == "b")
    share /= sum(label == "b")
    row = text[text.index("<td><bdi>b</bdi></td>") :].split("</tr>")[0]
    assert f"{share:.1f} %" in row


@given(st.lists(finite, min_size=1, max_size=30), finite)
def test_codes_lie_below_the_cut_exactly_where_values_lie_below_the_threshold(
    values: list[float], threshold: float
) -> None:
    array = np.array([*values, threshold, math.nextafter(threshold, -math.inf)])
    axis = Axis(array, threshold)
    codes = axis.codes(array)
    np.testing.assert_array_equal(codes < axis.cut, array < threshold)
    order = np.argsort(array, kind="stable")
    assert (np.diff(codes[order].astype(int)) >= 0).all()
    assert codes.max() < 65535


def test_a_code_gives_the_value_back_to_a_tenth_of_a_percent() -> None:
    values = np.random.default_rng(0).lognormal(3, 1, 10_000)
    axis = Axis(values, 20.0)
    back = axis.scale * np.sinh(axis.origin + (axis.codes(values) + 0.5) * axis.step)
    assert (np.abs(back - values) <= 1e-3 * np.abs(values) + 1e-3 * axis.scale).all()


@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 9), st.data())
def test_a_sample_has_each_anchor_once_and_all_that_are_always_held(
    n: int, limit: int, seed: int, data: st.DataObject
) -> None:
    always = np.array(data.draw(st.lists(st.integers(0, n - 1), unique=True)), dtype=np.int64)
    held, n_sample = choose_points(n, limit, seed, always)
    assert n_sample == min(n, limit)
    assert len(np.unique(held)) == len(held)
    assert set(always.tolist()) <= set(held.tolist())
    np.testing.assert_array_equal(held, choose_points(n, limit, seed, always)[0])


def cut_out(sprites: Sprites, index: int) -> list[NDArray[np.uint8]]:
    found = []
    for cell in sprites.cells(index):
        content = base64.b64decode(sprites.sheets[cell.sheet].url.partition(",")[2])
        sheet = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        found.append(sheet[cell.y : cell.y + cell.height, cell.x : cell.x + cell.width])
    return found


@pytest.mark.parametrize("shape", [(1, 12, 10), (12, 10), (3, 12, 10), (12, 10, 3)])
def test_small_pictures_come_back_pixel_by_pixel_from_their_cells(shape: tuple[int, ...]) -> None:
    pictures = pictures_of(list(range(100, 130)), shape)
    sprites = pack_pictures(Examples.of(pictures), [117, 104], 1_000_000)
    assert [sprites.place[117], sprites.place[104]] == [0, 1]
    for row, index in enumerate(range(100, 130)):
        for kind, shown in zip(
            ("anchors", "reconstructions"), cut_out(sprites, index), strict=True
        ):
            pixels = pictures[kind][row]
            if shape[0] in (1, 3) and len(shape) == 3:
                pixels = np.moveaxis(pixels, 0, -1)
            pixels = np.broadcast_to(pixels.reshape(12, 10, -1), (12, 10, 3))
            np.testing.assert_array_equal(shown, pixels)


def test_pictures_grow_smaller_and_then_fewer_to_keep_the_budget_the_wanted_ones_last() -> None:
    pictures = pictures_of(list(range(8)), (3, 128, 128))
    for budget in (120_000, 12_000, 2_500):
        sprites = pack_pictures(Examples.of(pictures), [6, 2], budget)
        assert sum(len(sheet.url) for sheet in sprites.sheets) <= budget
        assert 6 in sprites.place
    assert len(sprites.place) < 8
    assert pack_pictures(Examples.of(pictures), [], 10).place == {}


def test_flat_anchors_become_bars() -> None:
    pictures = pictures_of([0], (7,)) | {"reconstructions": None}
    pictures["anchors"][0] = [0, 255, 0, 0, 0, 0, 0]
    (bars,) = cut_out(pack_pictures(Examples.of(pictures), [], 100_000), 0)
    width = bars.shape[1] // 7
    assert bars[0, :, 0].reshape(7, width).min(axis=1).tolist() == [40, 220, 40, 40, 40, 40, 40]


def test_texts_are_shown_as_texts_cut_where_they_are_long() -> None:
    texts = {"indices": np.array([10, 11]), "texts": ["one\ntwo", "x" * 5000]}
    text = report({}, data_of(grid()), texts, [judgement(anchors=[10, 11])])
    assert '<p class="words">one\ntwo</p>' in text
    assert "x" * 990 in text
    assert "x" * 1001 not in text


@pytest.mark.parametrize(
    "figure", [b"", b"<svg onload=alert(1)>", b"\x89PNG\r\n\x1a\n" + b"0" * 600_000]
)
def test_a_figure_that_is_no_png_or_too_large_is_left_out(figure: bytes) -> None:
    tables = [("methods", [["a"], ["b"]])]
    without = report({}, data_of(grid()), evidence=Evidence(tables))
    assert report({}, data_of(grid()), evidence=Evidence(tables, figure)) == without
