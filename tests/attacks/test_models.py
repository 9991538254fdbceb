"""Files that are called models run nothing and end in one clear error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pxgen_plugins import PXGen
from pxgen_plugins.audit.inputs import build_model
from pxgen_plugins.audit.settings import config_of
from pxgen_plugins.utils.errors import (
    MissingDependencyError,
    ModelError,
    ParameterError,
    PXGenError,
)
from tests.attacks import corpus
from tests.attacks.corpus import MARKER, Payload

NAMES = [
    "pickle", "torch", "endless header", "header longer than the file", "offsets outside",
    "offsets reversed", "overlap", "shape that is not the bytes", "shape that overflows",
    "unknown type", "no JSON", "nested JSON", "empty",
]  # fmt: skip
FACTORY = """
from safetensors.torch import load_file
from pxgen_plugins.testing.examples import LinearModel

def load(weights):
    load_file(weights)
    return LinearModel()
"""


def built(folder: Path, **model):
    rest = {"anchors": {"shipped": "mnist"}, "output": "run"}
    allow = ["factory_of_attacks"]
    return build_model(config_of({"model": model, "allow": allow} | rest, folder, allow=allow))


@pytest.mark.parametrize("name", NAMES)
def test_weights_that_are_no_safetensors(name: str, tmp_path: Path, monkeypatch):
    (tmp_path / "factory_of_attacks.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(tmp_path)
    path = corpus.weights(tmp_path)[name]
    with pytest.raises(ModelError, match=r"model\.factory") as found:
        built(tmp_path, factory="factory_of_attacks:load", weights=str(path))
    assert len(str(found.value)) < 1000
    assert not list(tmp_path.rglob(MARKER))


def test_the_corpus_has_every_name(tmp_path: Path):
    assert list(corpus.weights(tmp_path)) == NAMES


def test_weights_by_another_name_run_nothing(tmp_path: Path):
    for name in ("weights.pt", "weights.bin", "weights.pkl", "weights"):
        corpus.written(tmp_path / name, corpus.pickled(tmp_path))
        with pytest.raises(ParameterError, match=r"model\.weights"):
            built(tmp_path, factory="pxgen_plugins.testing.examples:LinearModel", weights=name)
    assert not list(tmp_path.rglob(MARKER))


def _diffusers(folder: Path) -> dict[str, object]:
    content = {"_class_name": "AutoencoderKL", "_diffusers_version": "0.39.0"}
    corpus.written(folder / "config.json", json.dumps(content).encode())
    torch.save({"w": Payload(folder)}, folder / "diffusion_pytorch_model.bin")
    return {"diffusers": str(folder)}


def _diffusers_of_another_class(folder: Path) -> dict[str, object]:
    content = {"_class_name": "os.system", "_diffusers_version": "0.39.0"}
    corpus.written(folder / "config.json", json.dumps(content).encode())
    corpus.written(folder / "diffusion_pytorch_model.safetensors", corpus.pickled(folder))
    return {"diffusers": str(folder)}


def _diffusers_with_code(folder: Path) -> dict[str, object]:
    content = {"_class_name": ["pipeline", "Mine"], "_diffusers_version": "0.39.0"}
    corpus.written(folder / "model_index.json", json.dumps(content).encode())
    marker = f"open({str(folder / MARKER)!r}, 'w')"
    corpus.written(folder / "pipeline.py", marker.encode())
    return {"diffusers": str(folder)}


def _pythae(folder: Path) -> dict[str, object]:
    content = {"name": "VAEConfig", "input_dim": [1, 8, 8], "latent_dim": 2,
               "uses_default_encoder": False, "uses_default_decoder": True}  # fmt: skip
    corpus.written(folder / "model_config.json", json.dumps(content).encode())
    for name in ("encoder.pkl", "model.pt"):
        corpus.written(folder / name, corpus.pickled(folder))
    return {"pythae": str(folder)}


def _pythae_weights(folder: Path) -> dict[str, object]:
    content = {"name": "VAEConfig", "input_dim": [1, 8, 8], "latent_dim": 2}
    corpus.written(folder / "model_config.json", json.dumps(content).encode())
    torch.save({"model_state_dict": {"w": Payload(folder)}}, folder / "model.pt")
    return {"pythae": str(folder)}


def _onnx(folder: Path) -> dict[str, object]:
    path = corpus.written(folder / "encoder.onnx", corpus.pickled(folder))
    return {"onnx": {"encoder": str(path), "decoder": str(path)}}


def _onnx_without_end(folder: Path) -> dict[str, object]:
    (folder / "encoder.onnx").symlink_to("/dev/zero")
    return {"onnx": {"encoder": str(folder / "encoder.onnx")}}


@pytest.mark.parametrize(
    "make",
    [_diffusers, _diffusers_of_another_class, _diffusers_with_code, _pythae, _pythae_weights,
     _onnx, _onnx_without_end],
)  # fmt: skip
def test_folders_and_files_of_models_run_nothing(make, tmp_path: Path):
    with pytest.raises(PXGenError) as found:
        built(tmp_path, **make(tmp_path))
    if isinstance(found.value, MissingDependencyError):
        pytest.skip(str(found.value))
    assert len(str(found.value)) < 1500
    assert not list(tmp_path.rglob(MARKER))


@pytest.mark.parametrize("name", ["pxgen.json", "calibration.safetensors"])
@pytest.mark.parametrize("kind", ["pickle", "nested", "cut", "link", "folder"])
def test_a_saved_explainer_that_was_changed(name: str, kind: str, tmp_path: Path):
    from pxgen_plugins.testing.examples import LinearModel
    from pxgen_plugins.thresholds import Quantile

    explainer = PXGen(LinearModel(), threshold=Quantile(0.9, 50, 2)).fit()
    explainer.save(tmp_path / "saved")
    path = tmp_path / "saved" / name
    if not path.exists():
        pytest.fail(f"there is no {name} any more: mend the corpus")
    corpus.damage(path, kind, Path("/etc/passwd"))
    with pytest.raises(PXGenError) as found:
        PXGen.load(tmp_path / "saved", LinearModel())
    assert "root:" not in str(found.value)
    assert not list(tmp_path.rglob(MARKER))
