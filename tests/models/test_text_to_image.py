"""Text-to-image models against closed forms, and against a real pipeline of diffusers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pxgen_plugins.models import TextToImage, from_diffusers, wrap
from pxgen_plugins.models.schedules import linear
from pxgen_plugins.models.sources._token_offsets import offsets_of
from pxgen_plugins.testing import check_model
from pxgen_plugins.utils.errors import ModelError, ParameterError

from .pipelines import clip_tokenizer, pipeline, tokenizers_by_kind

MEANS = {"": 0.1, "bright": 0.5, "dark": -0.3}
SPREAD = 0.2
STABLE = {
    "steps_offset": 1,
    "set_alpha_to_one": False,
    "clip_sample": False,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
}
QUIET = pytest.mark.filterwarnings("ignore::FutureWarning")


def gaussian(prompt: str | list[str] = "bright", **settings) -> TextToImage:
    """The best prediction where images under a prompt are N(mean, SPREAD^2), in closed form."""
    left = linear(1000)

    def network(x: Tensor, t: Tensor, states: Tensor) -> Tensor:
        a, mean = (v.to(x.dtype).reshape(-1, 1, 1, 1) for v in (left[t], states[:, 0, 0]))
        return (1 - a).sqrt() * (x - a.sqrt() * mean) / (a * SPREAD**2 + 1 - a)

    return TextToImage(
        network,
        lambda prompts: torch.tensor([[[MEANS[one]]] for one in prompts]),
        **{
            "sample_shape": (1, 2, 2),
            "data_range": None,
            "schedule": left,
            "modules": (),
            "prompt": prompt,
            "guidance": 1.0,
        }
        | settings,
    )


@pytest.fixture
def pipe(tmp_path):
    return pipeline(tmp_path, **STABLE)


@pytest.mark.parametrize("guidance", [0.0, 0.5, 1.0, 3.0])
def test_guidance_moves_the_mean_along_the_line_from_the_empty_prompt(guidance):
    drawn = gaussian(steps=500).sample(1500, 0, guidance=guidance)
    # u + w (c - u) of two Gaussians of one width is that of a third
    mean = MEANS[""] + guidance * (MEANS["bright"] - MEANS[""])
    assert float(drawn.mean()) == pytest.approx(mean, abs=0.01)
    assert float(drawn.std()) == pytest.approx(SPREAD, rel=0.05)


def test_a_row_has_its_noise_and_its_prompt_whatever_is_drawn_with_it():
    model = gaussian(steps=10, guidance=2.0)
    prompts = ["bright", "dark", ""]
    together = model.sample(3, 4, prompt=prompts)
    for row, prompt in enumerate(prompts):
        assert torch.allclose(model.sample(70, 4, prompt=prompt)[row], together[row], atol=1e-6)
        assert torch.allclose(model.bind(prompt).sample(row + 1, 4)[row], together[row], atol=1e-6)
    one = model.for_rows(prompts)
    for method in (
        lambda m, x: m.noise_loss(x, 0.4, 1),
        TextToImage.reconstruct,
        TextToImage.embed,
    ):
        apart = [method(model.bind(p), together[[row]]) for row, p in enumerate(prompts)]
        assert torch.allclose(method(one, together), torch.cat(apart), atol=1e-6)


def test_of_several_prompts_samples_have_one_each_and_instances_must_say_which():
    model = gaussian(["bright", "dark"], steps=20)
    said = model.sample_prompts(400, 0)
    assert 150 < said.count("dark") < 250
    assert said[:50] == model.sample_prompts(50, 0) != model.sample_prompts(50, 1)
    drawn = model.sample(400, 0)
    for prompt in ("bright", "dark"):
        own = drawn[[one == prompt for one in said]]
        assert float(own.mean()) == pytest.approx(MEANS[prompt], abs=0.03)
    with pytest.raises(ModelError, match="known for each instance"):
        model.noise_loss(drawn, 0.5, 0)
    with pytest.raises(ModelError, match="one for each of 400 rows"):
        model.for_rows(said[:3]).noise_loss(drawn, 0.5, 0)


def test_the_loss_is_least_under_the_own_prompt_and_what_is_embedded_comes_back():
    model = gaussian(steps=200, refinements=3)
    x = model.sample(300, 2)
    losses = {p: float(model.bind(p).noise_loss(x, 0.3, 0).mean()) for p in MEANS}
    assert min(losses, key=lambda p: losses[p]) == "bright"
    z = model.embed(x)
    assert float((model.decode(z) - x).abs().max()) < 0.02
    assert float(z.mean()) == pytest.approx(0.0, abs=0.1)
    moved = x.requires_grad_()
    (slope,) = torch.autograd.grad(model.noise_loss(moved, 0.3, 0).sum(), moved)
    assert float(slope.abs().max()) > 0


@QUIET
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_images_are_those_of_the_pipeline_for_the_same_latents(tmp_path, spacing):
    pipe = pipeline(tmp_path, **STABLE, timestep_spacing=spacing)
    model = from_diffusers(pipe, steps=4)
    assert (model.sample_shape, model.latent_shape) == ((3, 16, 16), (4, 8, 8))
    for guidance in (1.0, 3.0):
        whole = model.sample(3, 5, prompt="a dog", guidance=guidance)
        for n in (1, 3):
            z = model.noise(n, 5)
            settings = {"num_inference_steps": 4, "guidance_scale": guidance, "latents": z}
            theirs = pipe(["a dog"] * n, **settings, output_type="np").images
            theirs = torch.from_numpy(theirs).permute(0, 3, 1, 2) * 2 - 1
            ours = model.sample(n, 5, prompt="a dog", guidance=guidance)
            assert torch.allclose(ours, theirs, atol=1e-5)
            assert torch.allclose(ours, whole[:n], atol=1e-5)
        assert not torch.allclose(whole, model.sample(3, 5, prompt="a cat", guidance=guidance))


@QUIET
def test_the_loss_of_a_pipeline_is_that_of_its_parts(pipe):
    model = from_diffusers(pipe, steps=4, prompt="a dog")
    check_model(model, pipe.unet)
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    ours = model.noise_loss(x, 0.5, 7)
    with torch.no_grad():
        latents = pipe.vae.encode(x).latent_dist.mean * pipe.vae.config.scaling_factor
        noise = model._diffusion._common_noise(7).expand_as(latents)
        t = torch.tensor([round(0.5 * 999)] * 2)
        noisy = pipe.scheduler.add_noise(latents, noise, t)
        states = pipe.encode_prompt("a dog", "cpu", 2, False)[0]
        predicted = pipe.unet(noisy, t, states).sample
    assert torch.allclose(ours, (predicted - noise).square().mean((1, 2, 3)), atol=1e-5)


@QUIET
def test_parts_make_the_model_of_the_pipeline(pipe):
    whole = from_diffusers(pipe, steps=3).sample(2, 0, prompt="a dog")
    parts = (pipe.unet, pipe.scheduler, pipe.text_encoder, pipe.tokenizer)
    model = wrap(parts, vae=pipe.vae, steps=3)
    assert torch.allclose(model.sample(2, 0, prompt="a dog"), whole, atol=1e-5)
    assert model.token_positions("a dog", "dog") == [2, 3, 4]

    def states(prompts: list[str]) -> Tensor:
        return pipe.encode_prompt(prompts, "cpu", 1, False)[0]

    own = from_diffusers((pipe.unet, pipe.scheduler, states), vae=pipe.vae, steps=3)
    assert torch.allclose(own.sample(2, 0, prompt="a dog"), whole, atol=1e-5)
    with pytest.raises(ModelError, match="offsets must be given"):
        own.token_positions("a dog", "dog")
    pipe.save_pretrained(folder := pipe_folder(pipe))
    assert torch.allclose(
        from_diffusers(folder, steps=3).sample(2, 0, prompt="a dog"), whole, atol=1e-5
    )


def pipe_folder(pipe) -> str:
    import tempfile

    return tempfile.mkdtemp()
