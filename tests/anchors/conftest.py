"""One anchor set in every kind of source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, TensorDataset

N, SHAPE = 37, (1, 6, 5)
Pixels = NDArray[np.uint8]
Build = Callable[[Path, Pixels, list[str]], Any]


class Pairs(Dataset[Any]):
    """Items (x, y) as tensors."""

    def __init__(self, pixels: Pixels, labels: list[str]) -> None:
        self.pixels, self.given = pixels, labels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, position: int) -> Any:
        return torch.from_numpy(self.pixels[position].copy()), self.given[position]


class Stream(IterableDataset[Any]):
    """The same, to be read only in order."""

    def __init__(self, pixels: Pixels, labels: list[str]) -> None:
        self.pairs = Pairs(pixels, labels)

    def __iter__(self) -> Any:
        return (self.pairs[position] for position in range(len(self.pairs)))


class Backwards:
    """A sampler that torch does not know."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __iter__(self) -> Any:
        return iter(range(self.n - 1, -1, -1))

    def __len__(self) -> int:
        return self.n


def _npy(folder: Path, pixels: Pixels, labels: list[str], order: str = "C") -> Path:
    path = folder / "anchors.npy"
    np.save(path, np.asarray(pixels, order=order), allow_pickle=False)  # type: ignore[call-overload]
    return path


def _npz(folder: Path, pixels: Pixels, labels: list[str], save: Any = np.savez) -> Path:
    path = folder / "anchors.npz"
    save(path, x=pixels, y=np.array(labels), other=np.zeros(3))
    return path


def _memmap(folder: Path, pixels: Pixels, labels: list[str]) -> Any:
    return np.load(_npy(folder, pixels, labels), mmap_mode="r")


def _images(folder: Path, pixels: Pixels, labels: list[str]) -> Path:
    for position, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        (folder / "images" / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(folder / "images" / label / f"{position:03d}.png")
    return folder / "images"


def _listing(folder: Path, pixels: Pixels, labels: list[str]) -> Path:
    _images(folder, pixels, labels)
    lines = [f"{label},images/{label}/{i:03d}.png" for i, label in enumerate(labels)]
    (folder / "list.csv").write_text("\n".join(["label,path", *lines]), encoding="utf-8")
    return folder / "list.csv"


def _lists(folder: Path, pixels: Pixels, labels: list[str], kind: str = "flat") -> Path:
    values = pa.array(pixels.reshape(-1))
    column: Any = pa.FixedSizeListArray.from_arrays(values, 30)
    if kind == "nested":
        column = pa.array([image[0].tolist() for image in pixels], pa.list_(pa.list_(pa.uint8())))
    if kind == "ragged type":
        column = pa.array([image.reshape(-1).tolist() for image in pixels], pa.list_(pa.uint8()))
    if kind == "tensor":
        column = pa.FixedShapeTensorArray.from_numpy_ndarray(pixels)
    table = pa.table({"label": labels, "other": [[1, 2]] * len(labels), "anchor": column})
    pq.write_table(table, folder / "anchors.parquet", row_group_size=10)
    return folder / "anchors.parquet"


def _features(folder: Path, pixels: Pixels, labels: list[str]) -> Path:
    _frame(folder, pixels, labels).to_parquet(folder / "features.parquet", row_group_size=8)
    return folder / "features.parquet"


def _encoded(folder: Path, pixels: Pixels, labels: list[str], struct: bool = True) -> Path:
    files = []
    for image in pixels:
        Image.fromarray(image[0]).save(folder / "one.png")
        files.append((folder / "one.png").read_bytes())
    column = [{"bytes": file, "path": "/etc/passwd"} for file in files] if struct else files
    table = pa.table({"image": column, "width": [5] * len(labels), "label": labels})
    pq.write_table(table, folder / "images.parquet", row_group_size=7)
    return folder / "images.parquet"


def _several(folder: Path, pixels: Pixels, labels: list[str]) -> Path:
    (folder / "parts" / "b").mkdir(parents=True)
    for name, part in (("a", slice(0, 9)), ("b/c", slice(9, 9)), ("b/d", slice(9, N))):
        flat = pa.FixedSizeListArray.from_arrays(pa.array(pixels[part].reshape(-1)), 30)
        table = pa.table({"y": pa.array(labels[part], pa.string()), "pixels": flat})
        pq.write_table(table, folder / "parts" / f"{name}.parquet", row_group_size=5)
    return folder / "parts"


def _frame(folder: Path, pixels: Pixels, labels: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame(pixels.reshape(len(pixels), -1), columns=[f"p{i}" for i in range(30)])
    frame.insert(4, "label", labels)
    return frame


def _view(folder: Path, pixels: Pixels, labels: list[str]) -> Any:
    return np.repeat(np.moveaxis(pixels, 1, -1), 2, axis=0)[::2]


SOURCES: dict[str, Build] = {
    "array": lambda folder, pixels, labels: pixels,
    "view of an array": _view,
    "list of paths": _listing,
    "read-only array": lambda folder, pixels, labels: np.frombuffer(
        pixels.tobytes(), np.uint8
    ).reshape(pixels.shape),
    "list of arrays": lambda folder, pixels, labels: list(pixels),
    "list of tensors": lambda folder, pixels, labels: [torch.from_numpy(p) for p in pixels],
    "list of images": lambda folder, pixels, labels: [Image.fromarray(p[0]) for p in pixels],
    "tensor": lambda folder, pixels, labels: torch.from_numpy(pixels),
    "memory map": _memmap,
    "part of a memory map": lambda folder, pixels, labels: np.asarray(
        _memmap(folder, np.repeat(pixels, 2, axis=0), labels)[::-2][::-1]
    ),
    "npy": _npy,
    "npy in Fortran order": lambda folder, pixels, labels: _npy(folder, pixels, labels, "F"),
    "npz": _npz,
    "compressed npz": lambda f, pixels, labels: _npz(f, pixels, labels, np.savez_compressed),
    "data set": lambda folder, pixels, labels: Pairs(pixels, labels),
    "list as data set": lambda folder, pixels, labels: DataLoader(
        [{"image": p, "label": y} for p, y in zip(pixels, labels, strict=True)]  # type: ignore[arg-type]
    ),
    "tensor data set": lambda folder, pixels, labels: TensorDataset(torch.from_numpy(pixels)),
    "loader": lambda folder, pixels, labels: DataLoader(Pairs(pixels, labels), batch_size=8),
    "shuffling loader": lambda folder, pixels, labels: DataLoader(
        Pairs(pixels, labels), batch_size=8, shuffle=True, drop_last=True
    ),
    "loader of single items": lambda folder, pixels, labels: DataLoader(
        Pairs(pixels, labels), batch_size=None
    ),
    "loader with its own order": lambda folder, pixels, labels: DataLoader(
        Pairs(pixels[::-1], labels[::-1]), sampler=Backwards(N), batch_size=4
    ),
    "loader with its own batches": lambda folder, pixels, labels: DataLoader(
        Pairs(pixels[::-1], labels[::-1]),
        batch_sampler=[list(range(N - 1, 9, -1)), list(range(9, -1, -1))],
    ),
    "loader with its own collate": lambda folder, pixels, labels: DataLoader(
        [{"a": p, "b": y} for p, y in zip(pixels, labels, strict=True)],  # type: ignore[arg-type]
        collate_fn=lambda items: (np.stack([i["a"] for i in items]), [i["b"] for i in items]),
        shuffle=True,
    ),
    "loader of whole batches": lambda folder, pixels, labels: DataLoader(
        TensorDataset(torch.from_numpy(pixels), torch.arange(N)),
        batch_size=None,
        sampler=BatchSampler(range(N), 8, False),
    ),
    "stream": lambda folder, pixels, labels: Stream(pixels, labels),
    "loader of a stream": lambda f, pixels, labels: DataLoader(Stream(pixels, labels), 8),
    "folder": _images,
    "Parquet, lists": lambda f, pixels, labels: _lists(f, pixels, labels, "ragged type"),
    "Parquet, fixed-size lists": _lists,
    "Parquet, lists of lists": lambda f, pixels, labels: _lists(f, pixels, labels, "nested"),
    "Parquet, tensors": lambda f, pixels, labels: _lists(f, pixels, labels, "tensor"),
    "Parquet, features": _features,
    "Parquet, images": _encoded,
    "Parquet, bytes": lambda f, pixels, labels: _encoded(f, pixels, labels, struct=False),
    "Parquet, several files": _several,
    "data frame": _frame,
    "data frame of arrays": lambda folder, pixels, labels: pd.DataFrame(
        {"image": list(pixels), "label": labels}
    ),
}
UNLABELLED = {
    *("array", "view of an array", "read-only array", "list of arrays", "list of tensors"),
    *("list of images", "tensor", "memory map", "part of a memory map", "npy"),
    *("npy in Fortran order", "tensor data set"),
}


@pytest.fixture
def pixels() -> Pixels:
    """Anchors, shape (37, 1, 6, 5)."""
    return np.random.default_rng(0).integers(0, 256, (N, *SHAPE), np.uint8)


@pytest.fixture
def labels() -> list[str]:
    """Their labels, sorted, so that a folder's order is theirs."""
    return sorted(f"class {i % 3}" for i in range(N))


@pytest.fixture(params=sorted(SOURCES))
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of source in turn."""
    return str(request.param)


@pytest.fixture
def source(kind: str, tmp_path: Path, pixels: Pixels, labels: list[str]) -> Any:
    """The anchors in that source."""
    return SOURCES[kind](tmp_path, pixels.copy(), labels)


@pytest.fixture
def labelled(kind: str) -> bool:
    """Whether that source has labels."""
    return kind not in UNLABELLED
