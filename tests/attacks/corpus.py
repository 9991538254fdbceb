"""Hostile inputs, made by code: each function writes one into a folder and returns its path."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from pyarrow import parquet

MARKER = "marker"
SHAPE = (1, 8, 8)


class Payload:
    """Makes the marker when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / MARKER)

    def __reduce__(self):
        return (open, (self.path, "w"))


def pickled(folder: Path) -> bytes:
    return pickle.dumps(Payload(folder))


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def array(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values, allow_pickle=False)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, rows: bytes | None = None) -> bytes:
    """A grey PNG that declares a size, whatever its pixels are."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" * (width + 1) * min(height, 64) if rows is None else rows)
    parts = [chunk(b"IHDR", head), *chunks, chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def safetensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def table(path: Path, **columns: object) -> Path:
    parquet.write_table(pa.table(columns), path, compression="zstd", row_group_size=1 << 20)
    return path


def damage(path: Path, kind: str, link: Path) -> None:
    """Put something else in the place of a file: by kind, a link among them."""
    content = path.read_bytes()
    path.unlink()
    if kind in {"link", "zero"}:
        path.symlink_to(link if kind == "link" else "/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        changed = {"pickle": pickled(path.parent), "nested": b"[" * 100_000,
                   "cut": content[: len(content) // 2], "empty": b""}  # fmt: skip
        path.write_bytes(changed[kind])


F4 = "'descr': '<f4', 'fortran_order': False"
GOOD = np.zeros((3, *SHAPE), np.float32)

# Files that hold no anchors: one clear error, before anything of them is trusted.
ANCHORS: dict[str, Callable[[Path], Path]] = {
    "pickle called npy": lambda f: written(f / "a.npy", pickled(f)),
    "pickle called npz": lambda f: written(f / "a.npz", pickled(f)),
    "pickle called parquet": lambda f: written(f / "a.parquet", pickled(f)),
    "pickle called csv": lambda f: written(f / "a.csv", pickled(f)),
    "npy of objects": lambda f: written(
        f / "a.npy", npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", pickled(f))
    ),
    "npz of objects": lambda f: archive(
        f / "a.npz",
        x=npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", pickled(f)),
    ),
    "npz with labels of objects": lambda f: archive(
        f / "a.npz",
        x=array(GOOD),
        y=npy("{'descr': '|O', 'fortran_order': False, 'shape': (3,)}", pickled(f)),
    ),
    "npy of a trillion rows": lambda f: written(
        f / "a.npy", npy(f"{{{F4}, 'shape': (1099511627776, 1, 8, 8)}}", b"\0" * 99)
    ),
    "npy whose size overflows": lambda f: written(
        f / "a.npy", npy(f"{{{F4}, 'shape': (4294967296, 4294967296, 8, 8)}}", b"\0" * 99)
    ),
    "npy of negative length": lambda f: written(
        f / "a.npy", npy(f"{{{F4}, 'shape': (-1, 1, 8, 8)}}", b"\0" * 256)
    ),
    "npy with a header longer than the file": lambda f: written(
        f / "a.npy", b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"{"
    ),
    "npz bomb in the anchors": lambda f: archive(
        f / "a.npz", x=npy(f"{{{F4}, 'shape': (9000000000, 1, 8, 8)}}", b"\0" * (1 << 24))
    ),
    "npz bomb in the labels": lambda f: archive(
        f / "a.npz", x=array(GOOD), y=array(np.zeros(1 << 24, np.float64))
    ),
    "npz with one endless label": lambda f: archive(
        f / "a.npz", x=array(GOOD), y=array(np.zeros(3, "U4000000"))
    ),
    "npz that is no archive": lambda f: written(f / "a.npz", b"PK\x03\x04" + b"\0" * 99),
    "parquet that ends early": lambda f: written(
        f / "a.parquet", table(f / "b.parquet", x=[[0.0] * 64]).read_bytes()[:-20]
    ),
    "parquet with a lying footer": lambda f: written(
        f / "a.parquet", b"PAR1" + b"\xff" * 64 + struct.pack("<I", 2**31 - 1) + b"PAR1"
    ),
    "folder of nothing but a link": lambda f: linked(f),
    "csv without end of quote": lambda f: written(f / "a.csv", b'path\n"a.png'),
    "csv with one endless field": lambda f: written(f / "a.csv", b"path\n" + b"x" * (1 << 20)),
}


def linked(folder: Path) -> Path:
    written(folder / "outside" / "secret.png", png(8, 8, rows=b"\0" * 72))
    (folder / "in").mkdir()
    (folder / "in" / "all").symlink_to(folder / "outside")
    return folder / "in"


# Images of which each is one bad anchor, and none a reason to stop, to wait or to take memory.
IMAGES: dict[str, Callable[[Path], object]] = {
    "bomb.png": lambda p: p.write_bytes(png(60_000, 60_000)),
    "tall.png": lambda p: p.write_bytes(png(8, 4_000_000)),
    "empty.png": lambda p: p.write_bytes(b""),
    "text.png": lambda p: p.write_bytes(b"no image"),
    "pickle.png": lambda p: p.write_bytes(pickled(p.parent)),
    "short.png": lambda p: p.write_bytes(png(8, 8, rows=b"\0" * 20)),
    "cut.png": lambda p: p.write_bytes(png(8, 8)[:-30]),
    "flipped.png": lambda p: p.write_bytes(png(8, 8).replace(b"IDAT", b"IDAU")),
    "comments.png": lambda p: p.write_bytes(
        png(8, 8, *[chunk(b"zTXt", b"k\0\0" + zlib.compress(b"\0" * (1 << 24))) for _ in range(90)])
    ),
    "comment.png": lambda p: p.write_bytes(
        png(8, 8, chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(b"\0" * (1 << 27))))
    ),
    "deep.png": lambda p: Image.fromarray(np.zeros((8, 8), np.uint16)).save(p),
    "large.gif": lambda p: Image.new("L", (4000, 4000)).save(p),
    "script.eps.png": lambda p: p.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n"),
    "link.png": lambda p: p.symlink_to("/etc/passwd"),
    "up.png": lambda p: p.symlink_to("../../../../../../etc/passwd"),
    "loop.png": lambda p: p.symlink_to(p.name),
    "gone.png": lambda p: p.symlink_to("nowhere.png"),
    "pipe.png": lambda p: os.mkfifo(p),
    "zero.png": lambda p: p.symlink_to("/dev/zero"),
    "folder.png.png": lambda p: p.symlink_to("."),
}


def weights(folder: Path) -> dict[str, Path]:
    """Files called weights.safetensors that are none."""
    good = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    torch.save({"w": Payload(folder)}, folder / "torch.pt")
    contents = {
        "pickle": pickled(folder),
        "torch": (folder / "torch.pt").read_bytes(),
        "endless header": safetensors({}, length=2**63),
        "header longer than the file": safetensors({"w": good}, b"\0" * 16, length=10**6),
        "offsets outside": safetensors({"w": good | {"data_offsets": [0, 1 << 40]}}, b"\0" * 16),
        "offsets reversed": safetensors({"w": good | {"data_offsets": [16, 0]}}, b"\0" * 16),
        "overlap": safetensors({"w": good, "v": good}, b"\0" * 16),
        "shape that is not the bytes": safetensors({"w": good | {"shape": [5]}}, b"\0" * 16),
        "shape that overflows": safetensors({"w": good | {"shape": [2**62, 8]}}, b"\0" * 16),
        "unknown type": safetensors({"w": good | {"dtype": "OBJ"}}, b"\0" * 16),
        "no JSON": safetensors(b"{'w': 1}"),
        "nested JSON": safetensors(b"[" * 100_000),
        "empty": b"",
    }
    return {
        name: written(folder / name / "weights.safetensors", content)
        for name, content in contents.items()
    }
