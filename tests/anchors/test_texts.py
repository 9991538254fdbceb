"""Texts as anchors."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pxgen_plugins.anchors.documents import Texts, from_rows, open_texts, to_rows
from pxgen_plugins.utils.errors import AnchorError

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


def test_a_text_file_has_one_text_per_line(tmp_path):
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    assert from_rows(open_texts(tmp_path / "texts.txt", 10).read(slice(None))[0]) == TEXTS


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
