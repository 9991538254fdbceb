"""Damaged and hostile .npy and .npz files."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pxgen_plugins.anchors import open_anchors
from pxgen_plugins.utils.errors import AnchorError


class Marker:
    """Writes a file when it is unpickled."""

    path = ""

    def __reduce__(self) -> Any:
        return open, (self.path, "w")


def _open(path: Path) -> Any:
    return open_anchors(path, sample_shape=(3,))


def _header(text: str) -> bytes:
    body = text.encode().ljust(118 - 10 + 9) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"not numpy at all",
        _header("{'descr': '<f4', 'fortran_order': False, 'shape': (9999999, 3), }"),
        _header("{'descr': '<f4', 'fortran_order': False, 'shape': (2**70, 3), }"),
        _header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000000000, 3)}"),
        _header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3), }"),
        _header("{'descr': '<f4', 'fortran_order': False}"),
        _header("__import__('os').system('true')"),
        _header("(" * 90),
        _header("{'descr': '|S3', 'fortran_order': False, 'shape': (0, 3), }"),
    ],
)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_damaged_file_is_one_clear_error(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(AnchorError, match=r"^open_anchors: X must be (a|real) "):
        _open(path)
    if suffix == ".npz":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", content)
        with pytest.raises(AnchorError, match=r"^open_anchors: X must be (a|real) "):
            _open(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_nothing_is_unpickled(suffix: str, tmp_path: Path) -> None:
    Marker.path = str(tmp_path / "marker")
    path = tmp_path / f"a{suffix}"
    hostile = np.array([[Marker()] * 3], object)
    with path.open("wb") as file:
        (np.save if suffix == ".npy" else np.savez)(file, hostile, allow_pickle=True)
    with pytest.raises(AnchorError):
        _open(path)
    assert not (tmp_path / "marker").exists()


def test_labels_are_not_unpickled(tmp_path: Path) -> None:
    Marker.path = str(tmp_path / "marker")
    np.savez(tmp_path / "a.npz", x=np.zeros((1, 3)), y=np.array([Marker()], object))
    with pytest.raises(AnchorError, match="pickled"):
        _open(tmp_path / "a.npz")
    assert not (tmp_path / "marker").exists()


def test_a_directory_named_npy_is_no_array(tmp_path: Path) -> None:
    (tmp_path / "a.npy").mkdir()
    with pytest.raises(AnchorError, match="a folder with images"):
        _open(tmp_path / "a.npy")


@pytest.mark.parametrize("names", [["a", "b"], ["train_x", "test_x"], []])
def test_an_archive_must_say_which_array_holds_the_anchors(
    names: list[str], tmp_path: Path
) -> None:
    np.savez(tmp_path / "a.npz", **{name: np.zeros((2, 3)) for name in names})
    with pytest.raises(AnchorError, match="one array, or of one named x, X, images or anchors"):
        _open(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["x", "images", "anchors", "anything"])
def test_a_single_array_and_known_names_are_found(name: str, tmp_path: Path) -> None:
    more: dict[str, Any] = (
        {} if name == "anything" else {"labels": np.array([1.0, np.nan]), "ids": ["a", "b"]}
    )
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    np.savez_compressed(tmp_path / "a.npz", **{name: array}, **more)
    anchors = _open(tmp_path / "a.npz")
    np.testing.assert_array_equal(anchors.read(slice(None))[0], array)
    assert (anchors.labels is None) == (name == "anything")
    if more:
        assert anchors.labels.tolist() == ["1", ""]
        assert anchors.ids.tolist() == ["a", "b"]


def test_of_two_arrays_of_labels_the_longer_name_counts(tmp_path: Path) -> None:
    texts = {"y": ["a", "b"], "labels": ["c", "d"], "id": [1, 2], "ids": [3, 4]}
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 3)), **texts)
    anchors = _open(tmp_path / "a.npz")
    assert (anchors.labels.tolist(), anchors.ids.tolist()) == (["c", "d"], ["3", "4"])


def test_labels_of_another_length_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 3)), y=np.zeros(3))
    with pytest.raises(AnchorError, match="of length 2, the number of anchors; got length 3"):
        _open(tmp_path / "a.npz")


def test_a_flipped_bit_in_an_archive_is_noticed(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((200, 3)))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[2000] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(AnchorError, match="CRC"):
        _open(tmp_path / "a.npz")


def test_an_archive_larger_than_the_disk_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((1000, 3)))
    with pytest.raises(AnchorError, match="small enough to unpack"):
        _open(tmp_path / "a.npz")


def test_the_temporary_copy_goes_with_the_anchors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 3)))
    anchors = _open(tmp_path / "a.npz")
    assert len(list((tmp_path / "temporary").iterdir())) == 1
    del anchors
    assert list((tmp_path / "temporary").iterdir()) == []
    np.savez(tmp_path / "b.npz", x=np.zeros((4, 3)), y=np.zeros(1))
    with pytest.raises(AnchorError):
        _open(tmp_path / "b.npz")
    assert list((tmp_path / "temporary").iterdir()) == []


def test_an_archive_with_a_hostile_name_is_not_written_anywhere(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 3)))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("../../escape\n<b>.npy", buffer.getvalue())
    assert len(_open(tmp_path / "a.npz")) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz"]
