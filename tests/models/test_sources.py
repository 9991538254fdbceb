"""What other libraries keep, wrapped, against the libraries called directly."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from pxgen_plugins import PXGen, describe, models
from pxgen_plugins.criteria import Batch, make
from pxgen_plugins.models import from_diffusers, from_pythae, wrap
from pxgen_plugins.testing import check_model
from pxgen_plugins.testing.examples import LinearModel
from pxgen_plugins.thresholds import Fixed
from pxgen_plugins.utils.errors import ModelError, ParameterError

BLOCKS = {
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "block_out_channels": (8, 8),
    "norm_num_groups": 4,
    "sample_size": 16,
    "in_channels": 1,
    "out_channels": 1,
}


@pytest.fixture
def pythae():
    return pytest.importorskip("pythae.models")


def pictures(n: int = 4, size: int = 16) -> torch.Tensor:
    return torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_autoencoder_kl_has_the_posterior_of_diffusers_in_scaled_units(diffusers):
    net = diffusers.AutoencoderKL(**BLOCKS, latent_channels=2, scaling_factor=0.5)
    model = from_diffusers(net)
    check_model(model, net)
    x = pictures()
    mean, log_var = model.encode(x)
    net.eval()
    theirs = net.encode(x).latent_dist
    assert torch.allclose(mean, theirs.mean * 0.5, atol=1e-6)
    assert torch.allclose(log_var.exp().sqrt(), theirs.std * 0.5, atol=1e-6)
    rebuilt = net.decode(theirs.mean).sample.clamp(-1, 1)
    assert torch.allclose(model.reconstruct(x), rebuilt, atol=1e-5)
    assert (model.sample_shape, model.latent_shape) == ((1, 16, 16), (2, 8, 8))
    assert "AutoencoderKL" in model.origin


def test_the_divergence_without_scaling_is_that_of_diffusers(diffusers):
    net = diffusers.AutoencoderKL(**BLOCKS, latent_channels=2, scaling_factor=1.0).eval()
    x = pictures()
    value = make("kld")(Batch(from_diffusers(net), x))
    assert torch.allclose(value, net.encode(x).latent_dist.kl(), rtol=1e-4)


@pytest.mark.slow
def test_tiles_and_slices_of_a_large_image_are_taken_as_they_come(diffusers):
    net = diffusers.AutoencoderKL(**BLOCKS, latent_channels=2)
    net.enable_tiling()
    net.enable_slicing()
    model = from_diffusers(net, sample_shape=(1, 32, 32))
    x = pictures(3, 32)
    net.eval()
    assert torch.allclose(model.reconstruct(x), net(x).sample.clamp(-1, 1), atol=1e-5)
    assert torch.allclose(model.reconstruct(x)[1:2], model.reconstruct(x[1:2]), atol=1e-5)


def test_vq_model_has_the_codes_and_images_of_diffusers(diffusers):
    net = diffusers.VQModel(**BLOCKS, latent_channels=3, num_vq_embeddings=7)
    model = from_diffusers(net, prior="uniform")
    check_model(model, net)
    x = pictures()
    net.eval()
    latents = net.encode(x).latents
    _, _, (_, _, indices) = net.quantize(latents)
    assert torch.equal(model.codes(x).flatten(), indices.flatten())
    assert torch.allclose(model.reconstruct(x), net(x).sample.clamp(-1, 1), atol=1e-5)


def unet(diffusers, **settings):
    return diffusers.UNet2DModel(
        sample_size=16, in_channels=1, out_channels=1, block_out_channels=(8, 8),
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
        layers_per_block=1, norm_num_groups=4, **settings,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_a_unet_denoises_as_under_its_own_scheduler(diffusers, kind):
    net = unet(diffusers)
    scheduler = diffusers.DDIMScheduler(
        num_train_timesteps=40, prediction_type=kind, clip_sample=False
    )
    model = from_diffusers(net, scheduler=scheduler, steps=40)
    scheduler.set_timesteps(40)
    z = pictures(2) * 2
    x = z
    net.eval()
    with torch.no_grad():
        for t in scheduler.timesteps:
            x = scheduler.step(net(x, t).sample, t, x).prev_sample
        # their last step is to the first timestep's signal or to 1, as they are configured
        assert torch.allclose(model.decode(z), x.clamp(-1, 1), atol=1e-3)
    assert model.n_timesteps == 40


def test_a_pipeline_and_its_folder_are_the_same_model(diffusers, tmp_path):
    pipe = diffusers.DDPMPipeline(unet(diffusers), diffusers.DDPMScheduler(num_train_timesteps=30))
    pipe.save_pretrained(str(tmp_path / "pipe"))
    live, read = (wrap(obj, steps=5) for obj in (pipe, tmp_path / "pipe"))
    assert type(live) is type(read) is models.Diffusion
    assert torch.equal(live.sample(2, 0), read.sample(2, 0))


def test_an_autoencoder_folder_is_read_and_a_broken_one_refused(diffusers, tmp_path):
    net = diffusers.AutoencoderKL(**BLOCKS, latent_channels=2)
    net.save_pretrained(str(tmp_path / "good"))
    x = pictures()
    assert torch.equal(wrap(str(tmp_path / "good")).embed(x), from_diffusers(net).embed(x))
    net.save_pretrained(str(tmp_path / "pickled"), safe_serialization=False)
    with pytest.raises(ModelError, match="safetensors"):
        from_diffusers(tmp_path / "pickled")
    weights = tmp_path / "good" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ModelError, match="complete folder"):
        from_diffusers(tmp_path / "good")
    config = json.loads((tmp_path / "good" / "config.json").read_text())
    (tmp_path / "good" / "config.json").write_text(json.dumps(config | {"_class_name": "Other"}))
    with pytest.raises(ModelError, match="Other"):
        from_diffusers(tmp_path / "good")


def test_a_conditional_unet_is_explained_for_one_class(diffusers):
    net = unet(diffusers, num_class_embeds=3)
    with torch.no_grad():
        net.class_embedding.weight[1] += 5.0
    scheduler = diffusers.DDPMScheduler(num_train_timesteps=30)
    one, two = (from_diffusers(net, scheduler=scheduler, steps=5, class_label=k) for k in (0, 1))
    x = pictures()
    assert not torch.allclose(one.noise_loss(x, 0.5, 0), two.noise_loss(x, 0.5, 0))


def test_what_diffusers_has_and_we_do_not_support_is_said(diffusers):
    with pytest.raises(ParameterError, match="scheduler"):
        from_diffusers(unet(diffusers))
    with pytest.raises(ParameterError, match="AutoencoderKL"):
        from_diffusers(nn.Linear(2, 2))

    class Latent:
        unet, scheduler, vae = nn.Identity(), object(), nn.Identity()

    with pytest.raises(ModelError, match="latents"):
        from_diffusers(Latent())


def built(pythae, name: str):
    """A small pythae model of a family, with its default networks."""
    kind = getattr(pythae, name)
    config = getattr(pythae, f"{name}Config", None) or getattr(pythae, f"{name}_Config")
    net = kind(config(input_dim=(1, 8, 8), latent_dim=4))
    return net.eval()


GAUSSIAN = ["VAE", "BetaVAE", "IWAE", "INFOVAE_MMD", "FactorVAE", "BetaTCVAE", "VAEGAN"]


@pytest.mark.parametrize("name", GAUSSIAN)
def test_pythaes_gaussian_families_become_vaes(pythae, name):
    net = built(pythae, name)
    model = from_pythae(net)
    assert type(model) is models.VAE
    x = torch.rand(3, 1, 8, 8)
    found = net.encoder(x)
    mean, log_var = model.encode(x)
    assert torch.equal(mean, found.embedding)
    assert torch.equal(log_var, found.log_covariance)
    assert torch.equal(
        model.reconstruct(x), net.decoder(found.embedding).reconstruction.reshape(3, 1, 8, 8)
    )
    check_model(model, net)


@pytest.mark.parametrize("name", ["AE", "WAE_MMD", "RAE_L2", "VAMP", "VAE_LinNF"])
def test_families_whose_posterior_is_not_against_a_normal_prior_become_autoencoders(pythae, name):
    net = built(pythae, name)
    model = from_pythae(net)
    assert type(model) is models.Autoencoder
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(model.embed(x), net.encoder(x).embedding)
    assert ("sample" in model.capabilities) == (name == "WAE_MMD")
    check_model(model, net)


def test_pythaes_vqvae_becomes_one(pythae):
    net = built(pythae, "VQVAE")
    model = from_pythae(net, prior="uniform")
    assert type(model) is models.VQVAE
    x = torch.rand(3, 1, 8, 8)
    theirs = net({"data": x})
    assert torch.equal(model.codes(x).flatten(), theirs.quantized_indices.flatten())
    assert torch.allclose(model.reconstruct(x), theirs.recon_x.reshape(3, 1, 8, 8), atol=1e-6)


def test_codes_on_a_sphere_are_refused(pythae):
    with pytest.raises(ModelError, match="flat space"):
        from_pythae(built(pythae, "SVAE"))
    with pytest.raises(ParameterError, match="pythae"):
        from_pythae(nn.Linear(2, 2))


@pytest.mark.parametrize("name", ["VAE", "INFOVAE_MMD", "RAE_L2", "VAEGAN", "VQVAE", "VAMP"])
def test_a_folder_of_pythae_is_the_model_that_was_saved(pythae, name, tmp_path):
    net = built(pythae, name)
    net.save(str(tmp_path))
    options = {"prior": "uniform"} if name == "VQVAE" else {}
    found, direct = wrap(str(tmp_path), **options), from_pythae(net, **options)
    assert (type(found), found.origin) == (type(direct), direct.origin)
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(found.reconstruct(x), direct.reconstruct(x))


def test_pickled_networks_beside_the_weights_are_not_read(pythae, tmp_path):
    net = built(pythae, "VAE")
    net.save(str(tmp_path))
    path = tmp_path / "model_config.json"
    whole = path.read_text()
    for text, named in (
        (whole.replace('"uses_default_encoder": true', '"uses_default_encoder": false'), "pickled"),
        (whole.replace('"VAEConfig"', '"Path"'), "pythae.models"),
        (whole.replace('"VAEConfig"', '"RHVAEConfig"'), "pythae.models"),
        (whole.replace('"latent_dim": 4', '"latent_dim": 5'), "default networks"),
        ("[" * 100_000, "readable"),
        ("{}", "readable"),
    ):
        path.write_text(text)
        with pytest.raises(ModelError, match=named):
            from_pythae(tmp_path)
    path.write_text(whole)
    torch.save({"model_state_dict": net}, tmp_path / "model.pt")
    with pytest.raises(ModelError, match="default networks"):
        from_pythae(tmp_path)


def test_a_pythae_model_is_explained_end_to_end(pythae):
    model = wrap(built(pythae, "VAE"))
    explainer = PXGen(model, threshold=Fixed({"kld": 1.0, "mse": 0.1}))
    found = explainer.fit().explain(np.random.default_rng(0).random((9, 1, 8, 8), np.float32))
    assert len(found.data["group"]) == 9


class Coder(nn.Module):
    def __init__(self, results: int) -> None:
        super().__init__()
        self.results = results
        self.down, self.up = nn.Linear(4, 2), nn.Linear(2, 4)

    def encode(self, x):
        code = self.down(x)
        return (
            code if self.results == 1 else (code, torch.zeros_like(code) - 1, code)[: self.results]
        )

    def decode(self, z):
        return self.up(z).sigmoid()


@pytest.mark.parametrize(("results", "family"), [(1, "Autoencoder"), (2, "VAE"), (3, "VAE")])
def test_a_module_is_what_its_encoder_returns(results, family):
    net = Coder(results)
    model = wrap(net, sample_shape=(4,))
    assert type(model).__name__ == family
    assert (model.latent_shape, model.modules) == ((2,), (net,))
    x = torch.rand(3, 4)
    assert torch.equal(model.embed(x), net.down(x))
    assert "Coder" in model.origin


def test_roles_make_the_family_that_they_name():
    book = torch.eye(2)
    shape = {"sample_shape": (4,), "data_range": None, "modules": ()}
    up = lambda z: torch.cat([z, z], 1)  # noqa: E731
    made = [
        wrap({"encode": lambda x: x[:, :2], "decode": up}, **shape),
        wrap({"encode": lambda x: (x[:, :2], -x[:, :2].abs()), "decode": up}, **shape, check=False),
        wrap({"encode": lambda x: x[:, :2], "decode": up, "codebook": book}, **shape),
        wrap({"generator": up}, latent_shape=(2,), data_range=None, modules=()),
        wrap({"network": lambda x, t: x}, **shape),
        wrap({"predictor": lambda X: X}),
        wrap(
            {"encode": lambda x: np.asarray(x)[:, :2], "decode": lambda z: np.hstack([z, z])},
            **shape,
        ),
    ]
    names = [type(model).__name__ for model in made]
    assert names == ["Autoencoder", "VAE", "VQVAE", "GAN", "Diffusion", "BlackBox", "Autoencoder"]


def test_a_generator_that_knows_its_dimensions_is_a_gan():
    net = nn.Linear(2, 4)
    net.encoding_dims = 2
    model = wrap(net, sample_shape=(4,), data_range=None)
    assert (type(model).__name__, model.latent_shape) == ("GAN", (2,))


def test_what_is_a_model_already_stays_one():
    model = LinearModel()
    assert wrap(model) is model


@pytest.mark.parametrize(
    ("obj", "options", "named"),
    [
        (object(), {}, "obj"),
        (LinearModel(), {"steps": 3}, "obj"),
        ({"encode": None, "decoder": None}, {"sample_shape": (4,)}, "decoder"),
        (Coder(1), {}, "sample_shape"),
        (Coder(1), {"sample_shap": (4,)}, "sample_shape"),
        (Coder(1), {"sample_shape": "wide"}, "sample_shape"),
    ],
)
def test_what_cannot_be_wrapped_is_named(obj, options, named):
    with pytest.raises(ParameterError, match=named):
        wrap(obj, **options)


def test_a_description_says_what_works_and_what_is_missing():
    found = describe(wrap(Coder(1), sample_shape=(4,)))
    assert "aggregate_mahalanobis" in found.intrinsic
    assert "mse" in found.extrinsic
    assert found.missing["kld"] == "encode"
    text = str(found)
    for part in ("Autoencoder (Coder, by its methods)", "(4,)", "mse", "intrinsic criteria"):
        assert part in text


def test_arrays_and_folders_are_samples(tmp_path):
    drawn = np.random.default_rng(0).random((40, 1, 8, 8), dtype=np.float32)
    np.save(tmp_path / "drawn.npy", drawn)
    for obj in (drawn, torch.from_numpy(drawn), tmp_path / "drawn.npy"):
        model = wrap(obj, seed=3)
        assert type(model) is models.SampleBank
        assert model.sample_shape == (1, 8, 8)


def test_an_object_that_samples_tables_is_a_synthesizer():
    data = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": ["x", "y", "x"]})

    class Synthesizer:
        def sample(self, num_rows):
            return data.sample(num_rows, replace=True)

    model = wrap(Synthesizer(), like=data)
    assert type(model) is models.Tabular
    assert model.origin == "Synthesizer, 2 columns"
    with pytest.raises(ParameterError, match="like"):
        wrap(Synthesizer())
