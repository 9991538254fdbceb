"""CSV files that list images."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from pxgen_plugins.anchors import open_anchors
from pxgen_plugins.audit.digests import anchors_digest
from pxgen_plugins.audit.settings import load_config
from pxgen_plugins.utils.errors import AnchorError

SHAPE = (1, 4, 3)


def listing(folder: Path, *lines: str, name: str = "list.csv") -> Path:
    for image in ("a", "sub/b"):
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (3, 4), 7).save(folder / f"{image}.png")
    (folder / name).write_text("\r\n".join(lines), encoding="utf-8")
    return folder / name


def test_columns_are_found_by_name_and_others_not_read(tmp_path: Path) -> None:
    path = listing(
        tmp_path, "id,note,label, file_name", '1,"two\nlines",x,sub/b.png', "", "2,,y,a.png"
    )
    anchors = open_anchors(path, sample_shape=None)
    assert anchors.ids is not None
    assert anchors.labels is not None
    assert (anchors.ids.tolist(), anchors.labels.tolist()) == (["1", "2"], ["x", "y"])
    rows, failed = anchors.read(slice(None))
    assert (rows.shape, failed) == ((2, *SHAPE), {})


def test_without_labels_and_ids_the_paths_are_ids(tmp_path: Path) -> None:
    anchors = open_anchors(listing(tmp_path, "\ufeffpath", "sub/b.png"), sample_shape=SHAPE)
    assert anchors.labels is None
    assert anchors.ids is not None
    assert anchors.ids.tolist() == ["sub/b.png"]


def test_images_that_are_missing_or_elsewhere_are_bad_rows(tmp_path: Path) -> None:
    Image.new("L", (3, 4), 99).save(tmp_path / "secret.png")
    inside = tmp_path / "in"
    path = listing(
        inside, "path", "a.png", "none.png", "../secret.png", str(tmp_path / "secret.png"), "sub",
        "link.png", "list.csv", "pipe.png", "nul\0.png",
    )  # fmt: skip
    (inside / "link.png").symlink_to(tmp_path / "secret.png")
    os.mkfifo(inside / "pipe.png")
    rows, failed = open_anchors(path, sample_shape=SHAPE).read(slice(None))
    assert sorted(failed) == list(range(1, 9))
    assert failed[2] == failed[3] == "its path leaves the folder"
    assert failed[5] == "it is a symbolic link that leaves the folder"
    assert failed[7] == "it is no regular file"
    assert rows[1:].max() == 0


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], "without one"),
        (["name,label", "a.png,x"], "without one"),
        (["path"], "lists images; got none"),
        (["path,label", "a.png"], "line 2 has 1 values for 2 columns"),
        (["path,path", "a.png,b.png"], "two columns are called 'path'"),
        (["path", '"a.png'], "line 2: unexpected end of data"),
        (["path", "a.png", "a.png"], "distinct"),
    ],
)
def test_a_file_that_is_no_listing_is_one_clear_error(
    lines: list[str], why: str, tmp_path: Path
) -> None:
    with pytest.raises(AnchorError, match=why):
        open_anchors(listing(tmp_path, *lines), sample_shape=SHAPE)


def test_bytes_that_are_no_text_are_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(b"path\n\xff\xfe.png")
    with pytest.raises(AnchorError, match="UTF-8"):
        open_anchors(tmp_path / "list.csv", sample_shape=SHAPE)


def test_a_linked_listing_is_relative_to_where_it_lies(tmp_path: Path) -> None:
    path = listing(tmp_path / "data", "path", "a.png")
    (tmp_path / "alias.csv").symlink_to(path)
    assert open_anchors(tmp_path / "alias.csv", sample_shape=SHAPE).read(slice(None))[1] == {}


def test_the_digest_of_an_audit_covers_the_images(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    listing(tmp_path, "path", "a.png", "none.png")
    settings = "{model: {shipped: mnist_vae}, anchors: {path: list.csv}, output: run}"
    (tmp_path / "audit.yaml").write_text(settings, encoding="utf-8")
    config = load_config(tmp_path / "audit.yaml")
    before = anchors_digest(config, "anchors")
    assert anchors_digest(config, "anchors") == before
    Image.new("L", (3, 4), 8).save(tmp_path / "a.png")
    assert anchors_digest(config, "anchors") != before


def test_a_record_without_a_path_is_one_bad_anchor(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "list.csv").write_text("path,label\na.png,u\n,v\n", encoding="utf-8")
    anchors = open_anchors(tmp_path / "list.csv", sample_shape=(1, 4, 4))
    assert list(anchors.read(slice(None))[1]) == [1]
    assert (anchors.labels.tolist(), anchors.ids.tolist()) == (
        ["u", "v"], ["a.png", "no path in record 2"],
    )  # fmt: skip
