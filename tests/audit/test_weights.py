"""Weights of ``torch.save`` in settings: tensors are taken, anything that needs code is refused."""

from __future__ import annotations

import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from pxgen_plugins.audit.digests import files_digest
from pxgen_plugins.audit.inputs import build_model
from pxgen_plugins.audit.settings import config_of
from pxgen_plugins.utils.errors import ModelError, ParameterError
from tests.attacks.corpus import MARKER, Payload, pickled
from tests.conftest import TinyNet

FACTORY = """
import torch
from tests.conftest import TinyNet

def load(weights):
    net = TinyNet()
    net.load_state_dict(torch.load(weights, weights_only=True))
    return net

def load_safetensors(weights):
    from safetensors.torch import load_file

    net = TinyNet()
    net.load_state_dict(load_file(weights))
    return net

def make_vae(weights):
    from pxgen_plugins.models import VAE

    net = TinyNet()
    torch.nn.init.constant_(next(net.parameters()), float("nan"))
    return VAE(net, sample_shape=(1, 8, 8), latent_shape=(3,))
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch):
    (tmp_path / "factory_of_weights.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(tmp_path)
    allow = ["factory_of_weights"]
    options = {"sample_shape": [1, 8, 8], "latent_shape": [3]}

    def make(name: str, function: str = "load"):
        factory = f"factory_of_weights:{function}"
        model = {"factory": factory, "weights": name, "options": options}
        rest = {"allow": allow, "anchors": {"shipped": "mnist"}, "output": "run"}
        return config_of({"model": model} | rest, tmp_path, allow=allow)

    return make


@pytest.mark.parametrize("name", ["weights.pt", "weights.pth"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_state_dict_is_the_model_that_was_saved(config, tmp_path, name, zipped):
    net = TinyNet(3)
    torch.save(net.state_dict(), tmp_path / name, _use_new_zipfile_serialization=zipped)
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(build_model(config(name)).embed(x), net.eval().encode(x)[0])
    digest = files_digest(config(name))
    torch.save(TinyNet(4).state_dict(), tmp_path / name)
    assert files_digest(config(name)) != digest


def whole_module(path: Path) -> None:
    torch.save(TinyNet(0), path)


def payload(path: Path) -> None:
    torch.save({"w": Payload(path.parent)}, path)


def plain_pickle(path: Path) -> None:
    path.write_bytes(pickled(path.parent))


def script(path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [whole_module, payload, plain_pickle, script])
def test_what_needs_code_is_refused_with_the_line_that_converts_it(config, tmp_path, make):
    make(tmp_path / "weights.pt")
    with pytest.raises(ParameterError, match=r"model\.weights.*weights_only=True") as found:
        build_model(config("weights.pt"))
    assert "torch.save(torch.load(path, weights_only=False).state_dict()" in found.value.hint
    assert len(str(found.value)) < 700
    assert "\n" not in str(found.value)
    assert not (tmp_path / MARKER).exists()


def test_the_line_converts_it(config, tmp_path):
    path = tmp_path / "whole.pt"
    whole_module(path)
    torch.save(torch.load(path, weights_only=False).state_dict(), tmp_path / "weights.pt")
    assert build_model(config("weights.pt")).latent_shape == (3,)


def test_damaged_absent_and_other_files(config, tmp_path):
    (tmp_path / "empty.pt").write_bytes(b"")
    torch.save(OrderedDict(w=torch.ones(1000)), tmp_path / "cut.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "cut.pt").read_bytes()[:900])
    (tmp_path / "folder.pt").mkdir()
    for name in ("empty.pt", "cut.pt", "folder.pt", "absent.pt", "weights.bin", "weights"):
        with pytest.raises(ParameterError, match=r"model\.weights"):
            build_model(config(name))


def test_an_archive_that_unpacks_to_more_than_the_limit_is_not_unpacked(
    config, tmp_path, monkeypatch
):
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", b"\0" * (1 << 22))
    monkeypatch.setenv("PXGEN_MAX_WEIGHTS", "100000")
    assert (tmp_path / "bomb.pt").stat().st_size < 100_000
    with pytest.raises(ParameterError, match="PXGEN_MAX_WEIGHTS"):
        build_model(config("bomb.pt"))


def test_a_path_from_the_environment_is_refused_with_what_is_allowed(config, monkeypatch):
    for value, allowed in (
        ("hidden_weights.bin", r"ends in \.safetensors, \.pt or \.pth"),
        ("absent_weights.pt", "a file of this machine"),
        ("s3://bucket/weights.pt", "a file of this machine.*URL is not taken"),
    ):
        monkeypatch.setenv("WEIGHTS_OF_THIS_TEST", value)
        with pytest.raises(ParameterError, match=allowed) as found:
            build_model(config("${WEIGHTS_OF_THIS_TEST}"))
        assert "Look at what the environment has for WEIGHTS_OF_THIS_TEST." in str(found.value)
        assert value not in str(found.value)


def test_a_factory_that_fails_is_not_said_to_be_none(config, tmp_path):
    from safetensors.torch import save_file

    net = {"weight": torch.zeros(2, 2)}
    save_file(net, tmp_path / "other.safetensors")
    whole = (tmp_path / "other.safetensors").read_bytes()
    (tmp_path / "torn.safetensors").write_bytes(whole[:20])
    for name in ("other.safetensors", "torn.safetensors"):
        with pytest.raises(ModelError) as found:
            build_model(config(name, "load_safetensors"))
        text = str(found.value)
        assert "what model.factory returns must be a model; got none: the factory failed: " in text
        assert "Check that model.weights is a whole file" in text
        assert "callable" not in text
        assert ".." not in text.replace(" ...", "")
        assert text == " ".join(text.split())


def test_a_model_of_this_package_that_a_factory_makes_says_itself_what_is_wrong(config, tmp_path):
    torch.save(TinyNet().state_dict(), tmp_path / "nan.pt")
    with pytest.raises(ModelError, match=r"VAE: .*finite.*NaN") as found:
        build_model(config("nan.pt", "make_vae"))
    assert "factory" not in str(found.value)
