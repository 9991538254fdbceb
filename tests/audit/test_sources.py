"""Every kind of model and of anchors that settings can name, audited whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet
from safetensors.torch import save_file

from pxgen_plugins.audit.cli import PASSED, USAGE, run
from pxgen_plugins.audit.run_folder import Run
from tests.conftest import TinyNet

pytest.importorskip("yaml")
pytest.importorskip("jinja2")

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 8, 8), dtype=np.uint8)
LABELS = ["a", "b", "c"] * 4


def factory(folder: Path, seed: int, monkeypatch) -> str:
    save_file(TinyNet(seed).state_dict(), folder / "weights.safetensors")
    (folder / "my_models.py").write_text(
        """
from safetensors.torch import load_file
from tests.conftest import TinyNet

def load(weights):
    net = TinyNet()
    net.load_state_dict(load_file(weights))
    return net
"""
    )
    monkeypatch.syspath_prepend(folder)
    options = "{sample_shape: [1, 8, 8], latent_shape: [3]}"
    return f"{{factory: 'my_models:load', weights: weights.safetensors, options: {options}}}"


def halves(seed: int) -> list[tuple[str, torch.nn.Module, torch.Tensor]]:
    net = TinyNet(seed).eval()

    class Encoder(torch.nn.Module):
        def forward(self, x):
            return net.encode(x)

    class Decoder(torch.nn.Module):
        def forward(self, z):
            return net.decode(z)

    return [
        ("encoder", Encoder(), torch.rand(2, 1, 8, 8)),
        ("decoder", Decoder(), torch.rand(2, 3)),
    ]


def onnx(folder: Path, seed: int, monkeypatch) -> str:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    for name, module, example in halves(seed):
        torch.onnx.export(
            module, (example,), folder / f"{name}.onnx", dynamic_shapes=({0: "n"},), verbose=False
        )
    return "{onnx: {encoder: encoder.onnx, decoder: decoder.onnx}}"


def diffusers(folder: Path, seed: int, monkeypatch) -> str:
    found = pytest.importorskip("diffusers")
    found.AutoencoderKL(
        in_channels=1, out_channels=1, block_out_channels=(4,), norm_num_groups=2,
        sample_size=8, latent_channels=2, down_block_types=("DownEncoderBlock2D",),
        up_block_types=("UpDecoderBlock2D",),
    ).save_pretrained(folder / "model")  # fmt: skip
    return "{diffusers: model}"


def pythae(folder: Path, seed: int, monkeypatch) -> str:
    found = pytest.importorskip("pythae.models")
    found.VAE(found.VAEConfig(input_dim=(1, 8, 8), latent_dim=3)).save(str(folder / "model"))
    return "{pythae: model}"


def audit(folder: Path, model: str, anchors: str) -> int:
    settings = f"""
model: {model}
allow: [my_models]
anchors: {{path: {anchors}}}
threshold: {{name: Quantile, n_samples: 20, n_repeats: 1}}
output: run
conditions: ["invalid.count < 1"]
"""
    (folder / "audit.yaml").write_text(settings, encoding="utf-8")
    return run(["audit", str(folder / "audit.yaml"), "--quiet", "--allow", "my_models"])


@pytest.mark.parametrize(
    "kind", [factory, pytest.param(onnx, marks=pytest.mark.slow), diffusers, pythae]
)
def test_every_kind_of_model_is_audited_and_told_from_another(kind, tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "anchors.npy", PIXELS[:, None] / np.float32(255))
    for seed, code in ((0, PASSED), (0, PASSED), (1, USAGE)):
        with torch.random.fork_rng():
            torch.random.set_rng_state(torch.Generator().manual_seed(seed).get_state())
            model = kind(tmp_path, seed, monkeypatch)
        assert audit(tmp_path, model, "anchors.npy") == code, capsys.readouterr().err
    assert np.isfinite(Run.open(tmp_path / "run").result.values).all()
    assert "other model" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["onnx", "diffusers", "pythae"])
def test_files_of_another_kind_are_named(kind, tmp_path, capsys):
    (tmp_path / "anchors").mkdir()
    np.save(tmp_path / "anchors.npy", PIXELS)
    by_role = {"onnx": "no.onnx"}
    model = (
        f"{{{kind}: {{encoder: {by_role[kind]}}}}}" if kind in by_role else f"{{{kind}: anchors}}"
    )
    assert audit(tmp_path, model, "anchors.npy") == USAGE
    error = capsys.readouterr().err
    assert ("encoder" if kind in by_role else f"model.{kind}") in error
    assert "Traceback" not in error


def arrays(folder: Path) -> str:
    np.savez(folder / "anchors.npz", x=PIXELS[:, None], y=LABELS)
    return "anchors.npz"


def images(folder: Path) -> str:
    for i, (image, label) in enumerate(zip(PIXELS, LABELS, strict=True)):
        (folder / "images" / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / "images" / label / f"{i:02d}.png")
    return "images"


def listing(folder: Path) -> str:
    images(folder)
    lines = [f"images/{label}/{i:02d}.png,{label}" for i, label in enumerate(LABELS)]
    (folder / "list.csv").write_text("\n".join(["path,label", *lines]), encoding="utf-8")
    return "list.csv"


def table(folder: Path) -> str:
    images(folder)
    files = [folder / f"images/{label}/{i:02d}.png" for i, label in enumerate(LABELS)]
    encoded = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    parquet.write_table(pa.table({"image": encoded, "label": LABELS}), folder / "anchors.parquet")
    return "anchors.parquet"


@pytest.mark.parametrize("kind", [arrays, images, listing, table])
def test_every_kind_of_anchors_gives_the_same_values(kind, tmp_path, monkeypatch, capsys):
    model = factory(tmp_path, 0, monkeypatch)
    assert audit(tmp_path, model, kind(tmp_path)) == PASSED, capsys.readouterr().err
    result = Run.open(tmp_path / "run").result
    order = np.argsort(np.array(LABELS), kind="stable") if kind is images else slice(None)
    assert result.labels.tolist() == np.array(LABELS)[order].tolist()
    np.save(tmp_path / "plain.npy", PIXELS[:, None])
    (tmp_path / "other").mkdir()
    for name in ("weights.safetensors", "plain.npy"):
        (tmp_path / "other" / name).write_bytes((tmp_path / name).read_bytes())
    assert audit(tmp_path / "other", model, "plain.npy") == PASSED
    plain = Run.open(tmp_path / "other" / "run").result
    assert np.array_equal(result.values, plain.values[order])
