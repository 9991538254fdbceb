"""Damaged images, tables, texts, settings and ONNX models, then the readers of each."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from fuzz import Hang, Outcomes, damage, time_limit
from PIL import Image
from pyarrow import parquet

from pxgen_plugins.anchors import open_anchors
from pxgen_plugins.anchors.documents import open_texts
from pxgen_plugins.audit.settings import load_config
from pxgen_plugins.models import wrap
from pxgen_plugins.saving import read
from pxgen_plugins.utils.errors import PXGenError

__all__ = ["batch", "samples"]

SHAPE = (1, 8, 8)
Reader = Callable[[Path], object]
YAML = """
model: {shipped: mnist_vae, options: {sample_shape: [1, 28, 28]}}
anchors: {shipped: mnist, limit: 60}
threshold: {name: Quantile, n_samples: 40, n_repeats: 1}
conditions: ["label:0.HIHE.fraction >= 0.5", {condition: "HILE.count < 3", severity: warning}]
output: run
"""
TOML = """
output = "run"
conditions = ["HIHE.fraction >= 0.5"]
model.shipped = "mnist_vae"
[anchors]
shipped = "mnist"
limit = 60
"""


def samples(folder: Path) -> dict[str, tuple[bytes, Reader]]:
    """Return good files, by name, each with what reads it."""
    draws = np.random.default_rng(0)
    pixels = draws.integers(0, 256, (8, 8), dtype=np.uint8)
    files: dict[str, tuple[bytes, Reader]] = {}
    for suffix, kind in (("png", "PNG"), ("jpg", "JPEG"), ("gif", "GIF"), ("bmp", "BMP"),
                         ("tif", "TIFF"), ("webp", "WEBP"), ("pgm", "PPM")):  # fmt: skip
        files[f"a.{suffix}"] = _image(pixels, kind), _read_folder
    frames = [Image.fromarray(np.roll(pixels, k)) for k in range(3)]
    for suffix in ("png", "gif"):  # animations
        file = io.BytesIO()
        frames[0].save(file, suffix.upper(), save_all=True, append_images=frames[1:])
        files[f"moving.{suffix}"] = file.getvalue(), _read_folder
    values = draws.random((6, 64), np.float32)
    texts = {"text": [f"text {i}" for i in range(6)], "label": ["a", "b"] * 3}
    for name, table, options, reader in (
        ("lists.parquet", {"x": list(values), "label": ["a", "b"] * 3}, {}, _read_anchors),
        ("delta.parquet", {f"f{i}": np.arange(6) + i for i in range(64)},
         {"use_dictionary": False,
          "column_encoding": {f"f{i}": "DELTA_BINARY_PACKED" for i in range(64)}}, _read_anchors),
        ("images.parquet", {"image": [_image(pixels, "PNG")] * 6}, {}, _read_anchors),
        ("texts.parquet", texts, {"use_dictionary": False,
         "column_encoding": {"text": "DELTA_BYTE_ARRAY", "label": "DELTA_LENGTH_BYTE_ARRAY"}},
         _read_texts),
    ):  # fmt: skip
        file = io.BytesIO()
        parquet.write_table(pa.table(table), file, row_group_size=4, **options)
        files[name] = file.getvalue(), reader
    for name, write in (("a.npy", np.save), ("a.npz", np.savez)):
        file = io.BytesIO()
        write(file, values)
        files[name] = file.getvalue(), _read_anchors
    rows = [dict(zip(texts, row, strict=True)) for row in zip(*texts.values(), strict=True)]
    files["texts.txt"] = "\n".join(texts["text"]).encode(), _read_texts
    files["texts.jsonl"] = "\n".join(map(json.dumps, rows)).encode(), _read_texts
    files["texts.csv"] = b'text,label\n"a ""b""",c\nd,e\n', _read_texts
    (folder / "p.png").write_bytes(_image(pixels, "PNG"))
    files["list.csv"] = b"path,label,id\np.png,a,1\nq.png,b,2\n", _read_anchors
    files["audit.yaml"] = YAML.encode(), load_config
    files["audit.toml"] = TOML.encode(), load_config
    files |= _explainer(folder / "saved")
    files |= _onnx()
    return files


def batch(folder: Path, seed: int, n: int, quick: bool) -> Outcomes:
    """Damage a file ``n`` times, drawn at random, and read it."""
    warnings.simplefilter("ignore")
    outcomes, draws = Outcomes(), np.random.default_rng([8, seed])
    (folder / "in").mkdir()
    files = samples(folder / "in")
    names = sorted(files)
    for number in range(n):
        name = names[number % len(names)]
        content, reader = files[name]
        path = folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(damage(content, draws))
        (folder / "case.txt").write_text(f"{name} ({seed}, {number})", encoding="utf-8")
        outcomes.n += 1
        try:
            with time_limit():
                reader(path)
        except Hang:
            outcomes.note("hangs", name)
        except PXGenError:
            pass  # one clear error
        except Exception as error:  # what the command would call an internal error
            outcomes.note("exit code 4", f"{name}: {type(error).__name__} {str(error)[:80]}")
        path.write_bytes(content)
    return outcomes


def _read_anchors(path: Path) -> object:
    anchors = open_anchors(path, sample_shape=SHAPE)
    return anchors.read(slice(None)), anchors.labels, anchors.ids


def _read_folder(path: Path) -> object:
    own = path.parent / f"only {path.name}"
    own.mkdir(exist_ok=True)
    (own / path.name).write_bytes(path.read_bytes())
    path.unlink()
    return open_anchors(own, sample_shape=SHAPE).read(slice(None))


def _read_texts(path: Path) -> object:
    return open_texts(path, 64).read(slice(None))


def _image(pixels: Any, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def _explainer(folder: Path) -> dict[str, tuple[bytes, Reader]]:
    """Return the files of a saved explainer."""
    from pxgen_plugins.explainer import PXGen
    from pxgen_plugins.testing.examples import LinearModel
    from pxgen_plugins.thresholds import Quantile

    explainer = PXGen(LinearModel(), threshold=Quantile(n_samples=40, n_repeats=2)).fit()
    explainer.save(folder)

    def load(path: Path) -> object:
        read(path.parent)
        return PXGen.load(path.parent, LinearModel())

    return {f"saved/{path.name}": (path.read_bytes(), load) for path in folder.iterdir()}


def _onnx() -> dict[str, tuple[bytes, Reader]]:
    """Return a decoder in ONNX; nothing where onnx or its runtime are not installed."""
    try:
        import onnx
        import onnxruntime  # type: ignore[import-untyped]  # noqa: F401
        from onnx import TensorProto, helper, numpy_helper
    except Exception:  # whatever an optional library raises
        return {}
    weights = np.random.default_rng(0).random((3, 64), np.float32)
    nodes = [
        helper.make_node("MatMul", ["z", "w"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["x"]),
    ]
    shape = np.array([-1, *SHAPE], np.int64)
    constants = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(shape, "shape")]
    shapes: dict[str, list[str | int | None]] = {"z": ["n", 3], "x": ["n", *SHAPE]}
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)
        for name, dims in shapes.items()
    ]
    graph = helper.make_graph(nodes, "decoder", ends[:1], ends[1:], constants)
    opset = [helper.make_opsetid("", 17)]
    content = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    onnx.checker.check_model(content)

    def load(path: Path) -> object:
        model = wrap({"generator": str(path)}, sample_shape=SHAPE, latent_shape=(3,),
                     data_range=None)  # fmt: skip
        return model.sample(2, seed=0)

    return {"generator.onnx": (content, load)}
