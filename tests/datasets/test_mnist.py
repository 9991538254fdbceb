"""The shipped MNIST images are all there, as they were, and their loader refuses what it must."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from pxgen_plugins import datasets
from pxgen_plugins.datasets import data_files, load_mnist
from pxgen_plugins.utils.errors import ParameterError
from pxgen_plugins.utils.machine import machine

# Of the raw pixels of the original files, row by row, whatever container they come in.
PIXELS = {
    "train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
}
COUNTS = {
    "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
}
FIRST = {"train": [5, 0, 4, 1, 9, 2, 1, 3, 1, 4], "test": [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]}
SHARED = Path(__file__).parents[3] / "shared" / "data" / "mnist.npz"


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_pixel_is_the_original_and_in_its_place(split: str) -> None:
    images, labels = load_mnist(split)  # type: ignore[arg-type]
    assert images.dtype == np.uint8
    assert images.shape[1:] == (28, 28)
    assert labels.dtype == np.int64
    assert hashlib.sha256(images.tobytes()).hexdigest() == PIXELS[split]
    assert np.bincount(labels).tolist() == COUNTS[split]
    assert labels[:10].tolist() == FIRST[split]


@pytest.mark.parametrize("digits", [0, [0], (7, 3), {1}, range(2, 4), np.int64(5), np.array([8])])
def test_chosen_digits_keep_the_order_of_the_file(digits: object) -> None:
    images, labels = load_mnist("test")
    some, some_labels = load_mnist("test", digits=digits)  # type: ignore[arg-type]
    wanted = np.ravel(list(digits) if hasattr(digits, "__iter__") else digits)
    kept = np.array([label in wanted for label in labels])
    assert np.array_equal(some, images[kept])
    assert np.array_equal(some_labels, labels[kept])


@pytest.mark.parametrize(
    "digits", [10, -1, [], [0, 11], "0", ["0"], 1.0, True, [None], np.array([0.5])]
)
def test_what_is_no_digit_is_refused_with_what_is_allowed(digits: object) -> None:
    with pytest.raises(ParameterError, match=r"^load_mnist: digits must be a digit 0 to 9"):
        load_mnist("test", digits=digits)  # type: ignore[arg-type]


@pytest.mark.parametrize("split", ["Train", "validation", "", None, 0])
def test_an_unknown_split_is_refused_with_the_two_there_are(split: object) -> None:
    with pytest.raises(ParameterError, match=r"split must be one of 'train', 'test'; got"):
        load_mnist(split)  # type: ignore[arg-type]


def test_two_calls_do_not_share_memory() -> None:
    first, _ = load_mnist("test")
    first[:] = 0
    second, _ = load_mnist("test")
    assert second.any()


def test_the_images_are_those_of_the_shared_copy() -> None:
    if not SHARED.exists():
        pytest.skip("needs shared/data/mnist.npz beside the repository")
    with np.load(SHARED, allow_pickle=False) as reference:
        for split, key in (("train", "train"), ("test", "test")):
            images, labels = load_mnist(split)  # type: ignore[arg-type]
            assert np.array_equal(images, reference[f"{key}_x"])
            assert np.array_equal(labels, reference[f"{key}_y"])


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with a small data file and its card, as the package ships them."""
    content = b"some bytes"
    (tmp_path / "small.bin").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    (tmp_path / "small.json").write_text(f'{{"sha256": "{digest}"}}')
    return tmp_path


def test_a_whole_file_is_read_with_its_card(copy: Path) -> None:
    content, card = data_files.read("small.bin", copy)
    assert content == b"some bytes"
    assert list(card) == ["sha256"]


@pytest.mark.parametrize("damaged", [b"some bytez", b"some byte", b"", b"some bytes "])
def test_a_damaged_file_is_named_and_refused(copy: Path, damaged: bytes) -> None:
    (copy / "small.bin").write_bytes(damaged)
    pattern = r"small\.bin must be a file with SHA-256 .*; got .*Install .* again\."
    with pytest.raises(data_files.DataFileError, match=pattern):
        data_files.read("small.bin", copy)


@pytest.mark.parametrize("gone", ["small.bin", "small.json"])
def test_a_missing_file_or_card_is_named(copy: Path, gone: str) -> None:
    (copy / gone).unlink()
    with pytest.raises(data_files.DataFileError, match=f"got no file '{gone}'"):
        data_files.read("small.bin", copy)


def test_every_shipped_file_has_a_card_with_its_licence() -> None:
    folder = Path(str(datasets.__file__)).parent / "files"
    names = [p.name for p in folder.iterdir() if p.suffix in {".npz", ".safetensors"}]
    assert "mnist.npz" in names
    assert len(names) >= 2
    for name in names:
        _, card = data_files.read(name, folder)
        assert card["licence"] in {"CC-BY-SA-3.0", "Apache-2.0"}
        assert name == "mnist.npz" or set(card["machine"]) == set(machine())
    notice = (folder / "mnist.LICENSE.txt").read_text()
    assert all(creator in notice for creator in ("Yann LeCun", "Corinna Cortes", "Burges"))
