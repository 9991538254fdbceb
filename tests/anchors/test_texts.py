"""Texts as anchors."""

from __future__ import annotations

import codecs
import csv
import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pxgen_plugins.anchors import open_for
from pxgen_plugins.anchors.documents import Texts, from_rows, open_texts, to_rows
from pxgen_plugins.models import LanguageModel
from pxgen_plugins.utils.errors import AnchorError, PXGenWarning

TEXTS = ["one text", "déjà vu", "𝄞 clef"]
WELL_FORMED = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"))


@given(st.lists(WELL_FORMED, max_size=5))
def test_every_text_comes_back_from_its_row(texts):
    width = max([1, *map(len, texts)])
    rows = to_rows(texts, width)
    assert rows.shape == (len(texts), width)
    assert from_rows(rows) == texts


@pytest.mark.parametrize(
    "X",
    [
        TEXTS,
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        pd.Series(TEXTS),
        pd.DataFrame({"text": TEXTS}),
        {"text": TEXTS},
    ],
    ids=lambda X: type(X).__name__,
)
def test_texts_are_taken_from_whatever_holds_them(X):
    anchors = open_texts(X, 10)
    rows, failed = anchors.read(slice(None))
    assert (from_rows(rows), failed) == (TEXTS, {})
    rows, _ = anchors.read(np.array([2, 0]))
    assert from_rows(rows) == [TEXTS[2], TEXTS[0]]


def test_columns_beside_the_text_are_labels_and_ids(tmp_path):
    frame = pd.DataFrame({"text": TEXTS, "label": [1, 2, 2], "id": ["a", "b", "c"], "more": 0})
    frame.to_parquet(tmp_path / "texts.parquet")
    lines = "\n".join(json.dumps(row) for row in frame.to_dict("records"))
    (tmp_path / "texts.jsonl").write_text(lines, encoding="utf-8")
    frame.to_csv(tmp_path / "texts.csv", index=False)
    files = [tmp_path / f"texts.{kind}" for kind in ("parquet", "csv")]
    for X in (frame, *files, str(tmp_path / "texts.jsonl")):
        anchors = open_texts(X, 10)
        assert from_rows(anchors.read(slice(None))[0]) == TEXTS
        assert anchors.labels.tolist() == ["1", "2", "2"]
        assert anchors.ids.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_file_without_a_row_holds_no_text(kind, tmp_path):
    path = tmp_path / f"texts.{kind}"
    path.write_text("text,label\n" if kind == "csv" else "\n", encoding="utf-8")
    assert len(open_texts(path, 10)) == 0


CONTENTS = {
    "plain": TEXTS,
    "separators that end no line": [f"one{c}two" for c in "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e\r"],
    "blanks at the ends": [" in front", "behind ", "\ttab\t", "\u3000wide\xa0"],
    "quotes, commas and braces": ['he said "no"', "a,b;c", '{"text": 1}', "'", "#", "\\n \\"],
    "words that stand for something": ["NA", "null", "None", "nan", "true", "1", "1.0", "007", "="],
    "a mark within": ["a\ufeffb", "\ufeff\ufeff", "c"],
    "an empty one": ["first", "", "third"],
    "line ends": ["one\ntwo", "three\r\nfour", "five"],
}


def write_texts(path, texts, start=b"", end=b"\n"):
    """Write texts, labels and ids by the library of each format, none of which is ours."""
    kind = path.suffix.lower()
    table = {"text": texts, "label": [f"L{i % 2}" for i in range(len(texts))]}
    table["id"] = [f"n{i}" for i in range(len(texts))]
    if kind == ".txt":
        path.write_bytes(start + b"".join(text.encode() + end for text in texts))
    elif kind in (".jsonl", ".ndjson"):
        rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
        lines = [json.dumps(row, ensure_ascii=False).encode() + end for row in rows]
        path.write_bytes(start + b"".join(lines))
    elif kind == ".csv":
        file = io.StringIO(newline="")
        rows = csv.writer(file, lineterminator=end.decode(), quoting=csv.QUOTE_ALL)
        rows.writerows([list(table), *zip(*table.values(), strict=True)])
        path.write_bytes(start + file.getvalue().encode())
    else:
        pq.write_table(pa.table(table), path)


@pytest.mark.parametrize("content", CONTENTS)
def test_the_same_content_gives_the_same_anchors_in_every_format(content, tmp_path):
    texts = CONTENTS[content]
    expected, faults = Texts(texts, 20).read(slice(None))
    assert set(faults) == {i for i, text in enumerate(texts) if not text}
    names = ("txt", "TXT", "jsonl", "JSONL", "ndjson", "csv", "CSV", "parquet", "PARQUET", "pq")
    for name in names:
        for start, end in ((b"", b"\n"), (b"\xef\xbb\xbf", b"\n"), (b"", b"\r\n")):
            if name.lower() == "txt" and any("\n" in text for text in texts):
                continue  # which it cannot hold
            path = tmp_path / f"texts.{name}"
            if not start and texts[0][0] == "\ufeff":
                continue
            write_texts(path, texts, start, end)
            anchors = open_texts(path, 20)
            rows, failed = anchors.read(slice(None))
            np.testing.assert_array_equal(rows, expected, err_msg=f"{name} {start!r} {end!r}")
            assert failed == faults
            if name.lower() != "txt":
                assert anchors.labels.tolist() == [f"L{i % 2}" for i in range(len(texts))]
                assert anchors.ids.tolist() == [f"n{i}" for i in range(len(texts))]
            assert f"{len(texts)} anchors from column 'text'" in anchors.describe()


def test_the_last_line_needs_no_end_and_a_second_end_is_an_empty_text(tmp_path):
    for content, n, bad in ((b"a\nb", 2, []), (b"a\nb\n", 2, []), (b"a\n\nb\n\n", 4, [1, 3])):
        (tmp_path / "a.txt").write_bytes(content)
        anchors = open_texts(tmp_path / "a.txt", 9)
        assert len(anchors) == n
        assert sorted(anchors.read(slice(None))[1]) == bad
    (tmp_path / "mac.txt").write_bytes(b"one\rtwo")
    with pytest.warns(PXGenWarning, match="one text"):
        assert len(open_texts(tmp_path / "mac.txt", 9)) == 1


BAD_LINES = {
    "no JSON": b'{"text": "a"',
    "no JSON object": b'["a"]',
    "no key 'text'": b'{"label": "x", "id": "q"}',
    "no UTF-8": b'{"text": "caf\xe9"}',
    "a key stands in it twice": b'{"text": "a", "text": "b"}',
    "no JSON:": b'{"text": "' + b"\x0c" + b'"}',  # JSON has no raw control characters in strings
}


@pytest.mark.parametrize("why", BAD_LINES)
def test_one_bad_record_among_good_ones_is_one_bad_row_that_names_its_line(why, tmp_path):
    good = [f'{{"text": "t{i}", "label": {i}, "id": "n{i}"}}'.encode() for i in range(4)]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([*good[:2], b"", BAD_LINES[why], *good[2:]]))
    anchors = open_texts(tmp_path / "a.jsonl", 9)
    rows, failed = anchors.read(slice(None))
    assert from_rows(rows) == ["t0", "t1", "", "t2", "t3"]
    assert list(failed) == [2]
    assert "line 4" in failed[2]
    assert why in failed[2]
    assert anchors.labels.tolist()[:2] + anchors.labels.tolist()[3:] == ["0", "1", "2", "3"]


def test_a_key_that_some_lines_lack_is_empty_there(tmp_path):
    rows = [{"text": f"t{i}", "label": "good"} for i in range(9)] + [{"text": "t9"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    for X in (tmp_path / "a.jsonl", pd.DataFrame(rows)):
        assert open_texts(X, 9).labels.tolist() == ["good"] * 9 + [""]


def test_a_bad_byte_in_a_text_file_costs_its_line(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"fine\ncaf\xe9\nfine")
    _, failed = open_texts(tmp_path / "a.txt", 9).read(slice(None))
    assert failed == {1: "line 2 is no UTF-8: byte 0xe9"}


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_other_encodings_are_named(name, encoding, tmp_path):
    mark = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""
    (tmp_path / name).write_bytes(mark + "text\nabc\n".encode(encoding))
    with pytest.raises(AnchorError, match=encoding[:6].upper()):
        open_texts(tmp_path / name, 9)


def test_a_csv_file_with_a_broken_row_is_refused_by_its_line(tmp_path):
    (tmp_path / "a.csv").write_bytes(b'text,label\n"two\nlines",x\n\nshort\n')
    with pytest.raises(AnchorError, match="line 5 has 1 values for 2 columns"):
        open_texts(tmp_path / "a.csv", 9)
    (tmp_path / "a.csv").write_bytes(b"text\nfine\ncaf\xe9\n")
    with pytest.raises(AnchorError, match="line 3 is no UTF-8"):
        open_texts(tmp_path / "a.csv", 9)


def test_columns_of_other_names_are_those_that_the_user_names(tmp_path):
    table = {"review": TEXTS, "stars": [1, 2, 3], "key": list("abc"), "label": [7, 8, 9]}
    frame = pd.DataFrame(table)
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    model = LanguageModel(log_probs=lambda t: [[0.0]] * len(t), modules=(), max_chars=20)
    files = [tmp_path / f"a.{kind}" for kind in ("parquet", "csv", "jsonl")]
    for X in (frame, table, *files):
        anchors = open_for(model, X, columns="review", labels="stars", ids="key")
        assert from_rows(anchors.read(slice(None))[0]) == TEXTS
        assert (anchors.labels.tolist(), anchors.ids.tolist()) == (["1", "2", "3"], list("abc"))
        said = "3 anchors from column 'review'; labels from column 'stars'; ids from column 'key'"
        assert anchors.describe() == said
        anchors = open_for(model, X, columns=["review"], labels=list("xyz"))
        assert anchors.labels.tolist() == list("xyz")
        assert "labels as given" in anchors.describe()
        with pytest.raises(AnchorError, match=r"labels must be a column of the table.*'starz'"):
            open_for(model, X, columns="review", labels="starz")
    indexed = frame.rename(columns={"review": "text"}).set_index("key").rename_axis("id")
    for X in (indexed, indexed["text"]):
        assert open_texts(X, 20).ids.tolist() == list("abc")


def test_a_bad_text_is_one_named_row_and_none_is_cut():
    bad = ["", "x" * 11, None, 3.5, "null\0", "\ud800"]
    rows, failed = Texts(["fine", *bad], 10).read(slice(None))
    assert from_rows(rows) == ["fine", *[""] * len(bad)]
    assert sorted(failed) == [1, 2, 3, 4, 5, 6]
    assert "11 characters, more than 10" in failed[2]
    assert "no text" in failed[3]


def test_numbers_pass_through():
    for X in (np.ones((2, 10)), torch.ones(2, 10), Texts(TEXTS, 10)):
        assert open_texts(X, 10) is X


def test_what_holds_no_texts_is_refused(tmp_path):
    (tmp_path / "broken.jsonl").write_text('{"text": ', encoding="utf-8")
    (tmp_path / "other.jsonl").write_text('{"words": "a"}', encoding="utf-8")
    (tmp_path / "other.csv").write_text("words\na\n", encoding="utf-8")
    (tmp_path / "ragged.csv").write_text("text,label\na\n", encoding="utf-8")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\xd8")
    (tmp_path / "not.parquet").write_text("text", encoding="utf-8")
    for X in (
        tmp_path / "absent.txt",
        tmp_path / "broken.jsonl",
        tmp_path / "other.jsonl",
        tmp_path / "other.csv",
        tmp_path / "ragged.csv",
        tmp_path / "binary.txt",
        tmp_path / "not.parquet",
        "picture.png",
        {"words": TEXTS},
        b"bytes",
        7,
    ):
        with pytest.raises(AnchorError, match="X"):
            open_texts(X, 10)
