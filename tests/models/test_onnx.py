"""ONNX files against the torch modules they were exported from, and files that are none."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pxgen_plugins import PXGen, models
from pxgen_plugins.criteria import Batch, make
from pxgen_plugins.datasets import load_mnist, load_mnist_vae
from pxgen_plugins.models import from_onnx, wrap
from pxgen_plugins.testing import check_model
from pxgen_plugins.thresholds import Fixed
from pxgen_plugins.utils.errors import ModelError, ParameterError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SHAPE = (1, 8, 8)


class Encoder(nn.Module):
    def __init__(self, results: int = 2) -> None:
        super().__init__()
        self.results = results
        self.mean, self.log_var = nn.Linear(64, 3), nn.Linear(64, 3)

    def forward(self, x):
        flat = x.flatten(1)
        return self.mean(flat) if self.results == 1 else (self.mean(flat), self.log_var(flat) - 1)


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(3, 64)

    def forward(self, z):
        return self.out(z).sigmoid().reshape(-1, *SHAPE)


def export(net: nn.Module, path: Path, *shape: int, batch: int | None = None) -> Path:
    """Write a module as ONNX, with a free batch axis unless ``batch`` is given."""
    axes = None if batch else {"x": {0: "n"}}
    if axes:
        axes |= {f"y{k}": {0: "n"} for k in range(2)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own notes on its successor
        torch.onnx.export(
            net.eval(), (torch.zeros(batch or 2, *shape),), str(path), dynamo=False,
            input_names=["x"], output_names=["y0", "y1"][: getattr(net, "results", 1)],
            dynamic_axes=axes,
        )  # fmt: skip
    return path


@pytest.fixture
def paths(tmp_path):
    encoder, decoder = Encoder(), Decoder()
    return (
        encoder,
        decoder,
        {
            "encoder": export(encoder, tmp_path / "encoder.onnx", *SHAPE),
            "decoder": export(decoder, tmp_path / "decoder.onnx", 3),
        },
    )


def pictures(n: int = 7) -> torch.Tensor:
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(1))


def test_a_vae_gives_the_values_and_groups_of_the_modules(paths, tmp_path):
    encoder, decoder, files = paths
    stored = from_onnx(files)
    live = models.VAE(
        encode=encoder, decode=decoder, modules=(), latent_shape=(3,), sample_shape=SHAPE
    )
    assert type(stored) is models.VAE
    assert (stored.sample_shape, stored.latent_shape) == (SHAPE, (3,))
    check_model(stored)
    x = pictures()
    for one, other in zip(stored.encode(x), live.encode(x), strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    assert torch.allclose(stored.sample(4, 2), live.sample(4, 2), atol=1e-5)
    threshold = Fixed({"kld": 0.8, "mse": 0.09})
    groups = [
        np.asarray(PXGen(model, threshold=threshold).fit().explain(x.numpy()).group)
        for model in (stored, live)
    ]
    assert np.array_equal(*groups)
    assert stored.origin == "ONNX files: encoder encoder.onnx, decoder decoder.onnx"
    explainer = PXGen(stored, threshold=threshold).fit()
    explainer.save(str(tmp_path / "saved"))
    again = PXGen.load(str(tmp_path / "saved"), wrap(files))
    assert np.array_equal(np.asarray(again.explain(x.numpy()).group), groups[0])


def test_a_fixed_batch_size_is_served_for_any_number_of_rows(tmp_path):
    encoder, decoder = Encoder(), Decoder()
    model = from_onnx(
        {
            "encoder": export(encoder, tmp_path / "encoder.onnx", *SHAPE, batch=4),
            "decoder": export(decoder, tmp_path / "decoder.onnx", 3, batch=3),
        }
    )
    for n in (1, 3, 4, 9):
        x = pictures(n)
        with torch.no_grad():
            assert torch.allclose(model.encode(x)[0], encoder(x)[0], atol=1e-5)
            assert torch.allclose(model.reconstruct(x), decoder(encoder(x)[0]), atol=1e-5)


def test_an_encoder_with_one_output_makes_an_autoencoder(tmp_path):
    encoder = Encoder(results=1)
    files = {
        "encoder": export(encoder, tmp_path / "encoder.onnx", *SHAPE),
        "decoder": export(Decoder(), tmp_path / "decoder.onnx", 3),
    }
    model = wrap(files)
    assert type(model) is models.Autoencoder
    with torch.no_grad():
        assert torch.allclose(model.embed(pictures()), encoder(pictures()), atol=1e-5)


def test_a_generator_makes_a_gan_that_is_inverted_by_its_nearest_sample(tmp_path):
    judge = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    files = {
        "generator": export(Decoder(), tmp_path / "generator.onnx", 3),
        "discriminator": export(judge, tmp_path / "discriminator.onnx", *SHAPE),
    }
    model = wrap(files, n_threads=1)
    assert type(model) is models.GAN
    assert model.inversion.steps == 0
    with torch.no_grad():
        assert torch.allclose(model.score(pictures()), judge(pictures())[:, 0], atol=1e-5)
    drawn = model.sample(5, 0)
    assert float((model.reconstruct(drawn) - drawn).square().mean()) < 0.01


def test_the_shipped_vae_is_the_same_as_a_file(tmp_path):
    class Half(nn.Module):
        def __init__(self, net, encode: bool) -> None:
            super().__init__()
            self.net, self.encode_, self.results = net, encode, 2 if encode else 1

        def forward(self, x):
            return self.net.encode(x) if self.encode_ else self.net.decode(x)

    net = load_mnist_vae()
    stored = from_onnx(
        {
            "encoder": export(Half(net, True), tmp_path / "encoder.onnx", 1, 28, 28),
            "decoder": export(Half(net, False), tmp_path / "decoder.onnx", net.latent_size),
        }
    )
    live = wrap(net, sample_shape=(1, 28, 28))
    x = torch.from_numpy(load_mnist("test", digits=[0, 6])[0][:40, None] / np.float32(255))
    with torch.no_grad():
        for name in ("kld", "mse"):
            one, other = (make(name)(Batch(model, x)) for model in (stored, live))
            assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)


def test_what_is_no_onnx_file_is_one_clear_error(paths, tmp_path):
    _, _, files = paths
    whole = files["encoder"].read_bytes()
    bad = {
        "truncated.onnx": whole[: len(whole) // 2],
        "empty.onnx": b"",
        "text.onnx": b"not a model",
        "pickle.onnx": pickle.dumps({"a": 1}),
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError, match=name):
            from_onnx(files | {"encoder": tmp_path / name})
    for path in (tmp_path, tmp_path / "absent.onnx"):
        with pytest.raises(ParameterError, match="encoder"):
            from_onnx(files | {"encoder": path})


def test_weights_outside_the_folder_are_not_read(paths, tmp_path):
    _, _, files = paths
    inner = tmp_path / "inner"
    inner.mkdir()
    proto = onnx.load(str(files["encoder"]))
    onnx.save(
        proto, str(tmp_path / "apart.onnx"), save_as_external_data=True, location="weights.bin",
        size_threshold=0,
    )  # fmt: skip
    x = pictures()
    apart = from_onnx(files | {"encoder": tmp_path / "apart.onnx"})
    assert torch.allclose(apart.encode(x)[0], from_onnx(files).encode(x)[0])
    proto = onnx.load(str(tmp_path / "apart.onnx"), load_external_data=False)
    for place in ("../weights.bin", str(tmp_path / "weights.bin")):
        for tensor in proto.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = place
        (inner / "lying.onnx").write_bytes(proto.SerializeToString())
        with pytest.raises(ModelError, match=r"lying\.onnx"):
            from_onnx(files | {"encoder": inner / "lying.onnx"})


@pytest.mark.parametrize(
    ("change", "error", "named"),
    [
        ({"decoder": None}, ParameterError, "obj"),
        ({"coder": "x.onnx"}, ParameterError, "coder"),
    ],
)
def test_wrong_roles_are_named(paths, change, error, named):
    files = {k: v for k, v in (paths[2] | change).items() if v is not None}
    with pytest.raises(error, match=named):
        from_onnx(files)


def test_a_shape_that_files_leave_open_must_be_given(tmp_path):
    class Open(nn.Module):
        def forward(self, x):
            return x * 0.5

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Open(), (torch.zeros(2, 3),), str(tmp_path / "open.onnx"), dynamo=False,
            input_names=["x"], output_names=["y0"], dynamic_axes={"x": {0: "n", 1: "d"}},
        )  # fmt: skip
    files = {"encoder": tmp_path / "open.onnx", "decoder": tmp_path / "open.onnx"}
    with pytest.raises(ParameterError, match="sample_shape"):
        from_onnx(files)
    model = from_onnx(files, sample_shape=(3,), latent_shape=(3,), data_range=None)
    assert torch.equal(model.reconstruct(torch.ones(2, 3)), torch.full((2, 3), 0.25))


def test_inputs_that_are_no_numbers_are_refused(tmp_path):
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])], "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.STRING, ["n", 2])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.STRING, ["n", 2])],
    )  # fmt: skip
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    made.ir_version = 8
    onnx.save(made, str(tmp_path / "words.onnx"))
    with pytest.raises(ModelError, match="string"):
        from_onnx({"generator": tmp_path / "words.onnx"})


def test_a_live_exported_program_is_wrapped_as_functions():
    encoder, decoder = Encoder().eval(), Decoder().eval()
    batch = torch.export.Dim("n", min=1, max=1024)
    programs = [
        torch.export.export(net, (torch.zeros(2, *shape),), dynamic_shapes=({0: batch},))
        for net, shape in ((encoder, SHAPE), (decoder, (3,)))
    ]
    model = wrap(
        {"encode": programs[0].module(), "decode": programs[1].module()}, sample_shape=SHAPE
    )
    with torch.no_grad():
        assert torch.allclose(model.reconstruct(pictures()), decoder(encoder(pictures())[0]))
