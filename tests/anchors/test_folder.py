"""Folders of images, damaged and hostile ones too."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pxgen_plugins.anchors import Anchors, open_anchors
from pxgen_plugins.utils.errors import AnchorError, PXGenWarning

SHAPE = (1, 4, 3)
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")


def _write(path: Path, value: int = 7, mode: str = "L", size: tuple[int, int] = (3, 4)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode in ("L", "1", "P", "I") else (value,) * len(mode)).save(
        path
    )
    return path


def _open(folder: Path, shape: Any = SHAPE) -> Anchors:
    return open_anchors(folder, sample_shape=shape)


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".PNG", ".JpEg"])
def test_every_format_is_read(suffix: str, tmp_path: Path) -> None:
    _write(tmp_path / f"a{suffix}")
    rows, failed = _open(tmp_path).read(slice(None))
    assert failed == {}
    assert rows.dtype == np.uint8
    assert abs(rows.astype(int) - 7).max() <= 1  # some formats lose a little


def test_paths_are_ids_in_order_and_first_level_folders_are_labels(tmp_path: Path) -> None:
    for name in ("b/z.png", "b/a/c.png", "a/2.png", "a/10.png", "top.png"):
        _write(tmp_path / name)
    anchors = _open(tmp_path)
    assert anchors.ids is not None
    assert anchors.labels is not None
    assert anchors.ids.tolist() == ["a/10.png", "a/2.png", "b/a/c.png", "b/z.png", "top.png"]
    assert anchors.labels.tolist() == ["a", "a", "b", "b", ""]


def test_without_sub_folders_there_are_no_labels(tmp_path: Path) -> None:
    _write(tmp_path / "a.png")
    assert _open(tmp_path).labels is None
    assert _open(str(tmp_path)).labels is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mode", "shape", "expected"),
    [
        ("L", (3, 4, 3), (3, 4, 3)),
        ("RGB", (1, 4, 3), (1, 4, 3)),
        ("RGB", (4, 4, 3), (4, 4, 3)),
        ("P", (3, 4, 3), (3, 4, 3)),
        ("1", (1, 4, 3), (1, 4, 3)),
        ("L", (4, 3), (4, 3)),
        ("L", (12,), (12,)),
        ("RGB", (5, 6, 3), None),
        ("RGB", None, (3, 4, 3)),
        ("L", None, (1, 4, 3)),
    ],
)
def test_images_take_the_models_channels(
    mode: str, shape: Any, expected: Any, tmp_path: Path
) -> None:
    size = (6, 5) if expected is None else (3, 4)
    _write(tmp_path / "a.png", 1, mode, size)
    rows, failed = _open(tmp_path, shape).read(slice(None))
    assert failed == {}
    assert rows.shape == (1, *(expected or shape))


def test_pixels_are_those_that_pillow_gives(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(
        _open(tmp_path, (3, 4, 3)).read(slice(None))[0][0], pixels.transpose(2, 0, 1)
    )
    np.testing.assert_array_equal(
        _open(tmp_path, (1, 4, 3)).read(slice(None))[0][0, 0], Image.fromarray(pixels).convert("L")
    )


def _bomb(path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(1 << 20))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data))


def test_what_cannot_be_read_is_a_failed_row_with_its_reason(tmp_path: Path) -> None:
    _write(tmp_path / "a.png")
    whole = _write(tmp_path / "b.png", size=(300, 400)).read_bytes()
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("not an image")
    noise = np.random.default_rng(0).integers(0, 256, (4, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) - 25])
    (tmp_path / "script.png").write_text(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 3 4\nshowpage\n"
    )
    Image.new("I;16", (3, 4), 60_000).save(tmp_path / "deep.png")
    _bomb(tmp_path / "bomb.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing.png")
    anchors = _open(tmp_path)
    rows, failed = anchors.read(slice(None))
    assert anchors.ids is not None
    why = {str(anchors.ids[place]): reason for place, reason in failed.items()}
    assert why.pop("b.png") == "the image has 300 x 400 pixels, not 3 x 4"
    assert "pixels" in why.pop("bomb.png")
    assert "truncated" in why.pop("cut.png")
    assert "8 bits" in why.pop("deep.png")
    assert "no image" in why.pop("empty.png")
    assert why.pop("gone.png") == "FileNotFoundError: No such file or directory"
    assert why.pop("pipe.png") == "it is no regular file"
    assert "no image" in why.pop("script.png")
    assert "no image" in why.pop("text.png")
    assert why == {}
    assert rows[0].min() == 7
    assert rows[1:].max() == 0


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    _write(tmp_path / "secret" / "s.png", 99)
    _write(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").symlink_to(tmp_path / "secret" / "s.png")
    (tmp_path / "in" / "c.png").symlink_to("../in/a.png")
    (tmp_path / "in" / "d.png").symlink_to("d.png")
    (tmp_path / "in" / "sub").symlink_to(tmp_path / "secret")
    (tmp_path / "alias").symlink_to(tmp_path / "in")
    with pytest.warns(PXGenWarning, match=r"1 entries .*'sub'"):
        anchors = _open(tmp_path / "alias")
    rows, failed = anchors.read(slice(None))
    assert sorted(failed) == [1, 3]
    assert failed[1] == "it is a symbolic link that leaves the folder"
    assert rows[:, 0, 0, 0].tolist() == [7, 0, 7, 0]


def test_a_link_made_after_opening_is_not_followed_either(tmp_path: Path) -> None:
    _write(tmp_path / "secret.png", 99)
    _write(tmp_path / "in" / "a.png")
    anchors = _open(tmp_path / "in")
    (tmp_path / "in" / "a.png").unlink()
    (tmp_path / "in" / "a.png").symlink_to(tmp_path / "secret.png")
    assert anchors.read(slice(None))[1] == {0: "it is a symbolic link that leaves the folder"}


def test_hidden_files_are_passed_over_and_others_counted(tmp_path: Path) -> None:
    for name in ("a.png", ".hidden.png", ".git/b.png", "sub/.DS_Store.png"):
        _write(tmp_path / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(_open(tmp_path)) == 1
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "sub" / "line\nbreak<b>.csv").write_text("")
    with pytest.warns(PXGenWarning, match="2 entries .* left out.*: 'notes.txt' and others.$"):
        assert len(_open(tmp_path)) == 1


def test_hostile_names_are_ids_and_nothing_else(tmp_path: Path) -> None:
    names = ["a\nb.png", "<script>alert(1)<", "..png.png", "%2e%2e.png", "$(id).png", "-rf.png"]
    names = [name if name.endswith(".png") else name + ".png" for name in names]
    names = [name for name in names if "/" not in name and name[0] != "."]
    for name in names:
        _write(tmp_path / "la\nbel<b>" / name)
    (tmp_path / "damaged\n.png").write_text("")
    anchors = _open(tmp_path)
    assert anchors.ids is not None
    assert anchors.labels is not None
    assert set(anchors.ids) == {f"la\nbel<b>/{name}" for name in names} | {"damaged\n.png"}
    assert set(anchors.labels) == {"la\nbel<b>", ""}
    _, failed = anchors.read(slice(None))
    assert len(failed) == 1
    assert all(reason.isprintable() for reason in failed.values())


def test_names_that_are_no_text_are_read(tmp_path: Path) -> None:
    path = os.path.join(os.fsencode(tmp_path), b"\xff\xfe.png")
    Path(os.fsdecode(path)).write_bytes(_write(tmp_path / "a.png").read_bytes())
    anchors = _open(tmp_path)
    assert anchors.read(slice(None))[1] == {}
    assert anchors.ids is not None
    assert sorted(anchors.ids.tolist()) == ["\\udcff\\udcfe.png", "a.png"]


@pytest.mark.parametrize("others", [0, 2])
def test_a_folder_without_images_is_one_clear_error(others: int, tmp_path: Path) -> None:
    for number in range(others):
        (tmp_path / f"{number}.txt").write_text("")
    with pytest.raises(AnchorError, match=f"a folder with images; got .* with {others} other"):
        _open(tmp_path)


def test_a_model_that_takes_no_images_is_one_clear_error(tmp_path: Path) -> None:
    _write(tmp_path / "a.png")
    with pytest.raises(AnchorError, match=r"1, 3 or 4 channels.*\(7, 4, 5\)"):
        _open(tmp_path, (7, 4, 5))


def test_without_a_shape_the_first_readable_image_gives_it(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("")
    _write(tmp_path / "b.png", mode="RGB")
    _write(tmp_path / "c.png")
    rows, failed = _open(tmp_path, None).read(slice(None))
    assert rows.shape == (3, 3, 4, 3)
    assert sorted(failed) == [0]
    (tmp_path / "b.png").unlink()
    (tmp_path / "c.png").unlink()
    with pytest.raises(AnchorError, match=r"readable images; got 'a.png': it is no image"):
        _open(tmp_path, None)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(SUFFIXES),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_a_mutated_image_is_a_row_or_a_reason(
    tmp_path: Path, suffix: str, changes: list[tuple[float, int]]
) -> None:
    path = _write(tmp_path / f"a{suffix}")
    content = bytearray(path.read_bytes())
    for place, byte in changes:
        content[int(place * len(content))] = byte
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow says of damaged files
        rows, failed = _open(tmp_path).read(slice(None))
    path.unlink()
    assert rows.shape == (1, *SHAPE)
    assert not failed or rows.max() == 0
    assert all(reason.isprintable() for reason in failed.values())
