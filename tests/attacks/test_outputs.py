"""What comes from data is inert in every file and on the terminal that an audit writes."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from pxgen_plugins.audit import escaping
from pxgen_plugins.audit.cli import FAILED, PASSED, run

yaml = pytest.importorskip("yaml")
pytest.importorskip("jinja2")

PAYLOADS = [
    "</script><img src=x onerror=alert(1)>", "<svg/onload=alert(1)>", "'\"><b>x</b>", "]]><x/>",
    "<!--", "--><script>alert(1)</script>", "{{7*7}}{% raw %}", "=cmd|' /C calc'!A0", "@SUM(1)",
    "\x1b[2J\x1b]0;owned\x07", "\u202egnp.exe", "\u2028", "a\nb\r\nc", "`code`|cell|", "\x00nul",
    "[link](http://x.example)", "![i](http://x.example/i.png)", "@someone #1", "&lt;&#x41;",
    "\ufeff\u200bzero",
    "a\ufe0f", "\u3164", "a\u00a0b", "\u115f\u2800", "see #54 and GH-54, a/b#1",
    "# EOF", 'x="1"} 2', "../../etc/passwd", "C:\\con", "x" * 900,
]  # fmt: skip
FORBIDDEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\xa0\u115f\u2800\u200b-\u200f\u2028-\u202e\u2066-\u2069"
    r"\u3164\ufe0f\ufeff]"
)


class Tags(HTMLParser):
    """Every element and attribute of a page, and its visible text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [str(value) for name, value in attrs if name in {"href", "src"}]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    """Two finished runs, the second against the first, with a payload wherever text can stand."""
    folder = tmp_path_factory.mktemp("hostile")
    n = 4 * len(PAYLOADS)
    pixels = np.random.default_rng(0).integers(0, 256, (n, 1, 28, 28), dtype=np.uint8)
    pixels[: n // 2] //= 8
    labels = [PAYLOADS[i % len(PAYLOADS)] for i in range(n)]
    ids = [f"{i}{label}" for i, label in enumerate(labels)]
    np.savez(folder / "anchors.npz", x=pixels / np.float32(255), y=labels, id=ids)
    settings = {
        "name": "".join(PAYLOADS),
        "model": {"shipped": "mnist_vae"},
        "anchors": {"path": "anchors.npz"},
        "threshold": {"name": "Quantile", "n_samples": 40, "n_repeats": 2},
        "output": "first",
        "conditions": [
            {"condition": f"label:{json.dumps(one)}.HIHE.fraction >= 0.99", "name": one}
            for one in PAYLOADS
        ],
    }
    text = yaml.safe_dump(settings, allow_unicode=False)
    (folder / "audit.yaml").write_text(text, encoding="utf-8")
    assert run(["audit", str(folder / "audit.yaml"), "--quiet"]) == FAILED
    more = ["--output", str(folder / "second"), "--set", "seed=1", "--set", "baseline=first"]
    assert run(["audit", str(folder / "audit.yaml"), "--quiet", *more]) == FAILED
    return folder / "second"


def test_the_page_has_no_element_attribute_or_link_of_theirs(hostile: Path):
    text = (hostile / "report.html").read_text(encoding="utf-8")
    found = Tags()
    found.feed(text)
    found.close()
    assert found.tags.isdisjoint({"b", "x", "iframe", "object", "form", "base"})
    assert not [name for name in found.attributes if name.startswith("on")]
    assert all(link.startswith(("#", "data:image/", "blob:")) for link in found.links)
    assert text.count("</script>") == text.count("<script")
    assert not FORBIDDEN.search(text)


def test_json_is_strict_and_gives_the_texts_back(hostile: Path):
    def refuse(name):
        raise AssertionError(name)

    for path in hostile.glob("*.json"):
        content = path.read_bytes()
        json.loads(content, parse_constant=refuse)
        assert content.isascii()
        assert not FORBIDDEN.search(content.decode())
    names = {one["name"] for one in json.loads((hostile / "conditions.json").read_text())}
    assert names == set(PAYLOADS)


def test_the_table_gives_labels_and_ids_back(hostile: Path):
    found = parquet.read_table(hostile / "anchors.parquet")
    expected = [one.rstrip("\0") for one in PAYLOADS]  # numpy's strings end before trailing NULs
    assert sorted(set(found["label"].to_pylist())) == sorted(set(expected))
    assert len(set(found["id"].to_pylist())) == 4 * len(PAYLOADS)


def test_junit_is_xml_with_a_case_for_each_condition(hostile: Path):
    root = ElementTree.fromstring((hostile / "junit.xml").read_bytes())
    assert len(list(root.iter("testcase"))) == len(PAYLOADS)
    kinds = {"testsuites", "testsuite", "testcase", "failure", "error", "skipped", "properties",
             "property", "system-out"}  # fmt: skip
    assert {element.tag for element in root.iter()} <= kinds
    texts = [value for element in root.iter() for value in element.attrib.values()]
    assert not any(FORBIDDEN.search(text) for text in texts)


def test_markdown_keeps_them_in_code(hostile: Path):
    text = (hostile / "summary.md").read_text(encoding="utf-8")
    assert not FORBIDDEN.search(text)
    bare = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", text)
    for part in ("<img", "<svg", "<script", "onerror", "](http", "@someone", "<b>", "<!--"):
        assert part not in bare
    assert not re.search(r"#\d|GH-\d", bare)  # which GitHub makes links of


def test_metrics_are_one_sample_a_line_and_end_once(hostile: Path):
    lines = (hostile / "metrics.prom").read_text(encoding="utf-8").split("\n")
    assert lines[-2:] == ["# EOF", ""]
    label = r'[a-z_]+="(?:[^"\\\n]|\\["\\n])*"'
    sample = re.compile(rf"pxgen_[a-z_]+\{{{label}(?:,{label})*\}} [-+0-9.eNaInf]+")
    for line in lines[:-2]:
        assert line.startswith(("# TYPE pxgen_", "# HELP pxgen_")) or sample.fullmatch(line), line
        assert not FORBIDDEN.search(line)


@pytest.mark.parametrize(
    "extra", [["show"], ["show", "--json"], ["compare"], ["compare", "--json"]]
)
def test_the_terminal_gets_no_escape_sequence(hostile: Path, extra: list[str], capsys):
    before = [str(hostile.parent / "first")] if extra[0] == "compare" else []
    assert run([extra[0], *before, str(hostile), *extra[1:]]) == PASSED
    out, err = capsys.readouterr()
    shown = re.sub(r"\x1b\[\d*m", "", out) + err  # our own colours
    assert not FORBIDDEN.search(shown)


def test_names_of_files_are_ids_and_nothing_else(tmp_path: Path, capsys):
    folder = tmp_path / "anchors"
    names = [one.replace("/", "|").replace("\0", "") for one in PAYLOADS]
    for name in names:
        place = folder / name[:60]
        place.mkdir(parents=True)
        Image.new("L", (28, 28), 9).save(place / f"{name[:60]}.png")
    (folder / b"\xff\xfe.png".decode(errors="surrogateescape")).write_bytes(b"no image")
    settings = {
        "model": {"shipped": "mnist_vae"}, "anchors": {"path": "anchors"}, "output": "run",
        "threshold": {"name": "Quantile", "n_samples": 40, "n_repeats": 1},
    }  # fmt: skip
    (tmp_path / "audit.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    code = run(["audit", str(tmp_path / "audit.yaml"), "--quiet"])
    assert code == PASSED, capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["anchors", "audit.yaml", "run"]
    found = parquet.read_table(tmp_path / "run" / "anchors.parquet").to_pydict()
    seen = [name for name in names if name[0] != "."]  # the others are hidden folders
    assert len(found["id"]) == len(seen) + 1
    assert found["group"].count("invalid") == 1
    for name in ("report.html", "summary.md", "junit.xml", "metrics.prom"):
        assert not FORBIDDEN.search((tmp_path / "run" / name).read_text(encoding="utf-8"))


def test_a_table_for_a_spreadsheet_is_not_written(hostile: Path):
    """Formulas in labels cannot run, as no CSV file is among the results."""
    assert not list(hostile.rglob("*.csv"))


def test_names_in_an_edited_run_reach_no_terminal_raw(hostile: Path, tmp_path: Path, capsys):
    """Whatever text of a run folder somebody changed, and whatever the command makes of it."""
    evil = "\x1b]0;owned\x07\u202e\u3164"
    for name in ("explanation.json", "conditions.json", "changes.json", "manifest.json"):
        folder = tmp_path / name.partition(".")[0]
        shutil.copytree(hostile, folder)
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        (folder / name).write_text(json.dumps(_with(content, evil)), encoding="utf-8")
        for command in (["show"], ["report"], ["compare", str(hostile.parent / "first")]):
            run([*command, str(folder)])
            out, err = capsys.readouterr()
            assert not FORBIDDEN.search(re.sub(r"\x1b\[\d*m", "", out) + err)


def _with(content, evil: str):
    """The same with something behind every text and every key that is no name of ours."""
    if isinstance(content, str):
        return content + evil
    if isinstance(content, dict):
        return {key: _with(value, evil) for key, value in content.items()} | {evil: {"count": 1}}
    if isinstance(content, list):
        return [_with(value, evil) for value in content]
    return content


def test_labels_that_differ_in_what_is_invisible_look_different():
    labels = ["a", "a\ufe0f", "a\u3164", "a\u200b", "a\u202e", "a\u034f", "a\u2060", "a\U000e0101"]
    shown = [escaping.visible(one) for one in labels]
    assert len(set(shown)) == len(labels)
    assert all(one.isascii() for one in shown)
    for text in ("naïve café", "日本語", "한글", "עברית", "❤", "a b"):  # what shows itself stays
        assert escaping.visible(text) == text
