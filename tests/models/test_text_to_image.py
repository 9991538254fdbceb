"""Text-to-image models against closed forms, and against a real pipeline of diffusers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pxgen_plugins.models import TextToImage, from_diffusers, wrap
from pxgen_plugins.models.schedules import linear
from pxgen_plugins.models.sources._token_offsets import offsets_of
from pxgen_plugins.testing import check_model
from pxgen_plugins.utils.errors import ModelError, ParameterError

from .pipelines import clip_tokenizer, pipeline, tokenizers_by_kind, unet

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
    model = from_diffusers(pipe, steps=4, prompt="a dog", guidance=1.0)
    check_model(model, nn.ModuleList([pipe.unet, pipe.text_encoder, pipe.vae]))
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


@QUIET
def test_a_pipeline_is_read_from_its_folder(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "saved")
    ours = from_diffusers(pipe, steps=2).sample(1, 0, prompt="a dog")
    saved = from_diffusers(tmp_path / "saved", steps=2)
    assert torch.allclose(saved.sample(1, 0, prompt="a dog"), ours, atol=1e-5)


def placed(offsets) -> TextToImage:
    return TextToImage(
        lambda x, t, states: x,
        lambda prompts: torch.zeros(len(prompts), 64, 1),
        sample_shape=(1, 2, 2),
        offsets=offsets,
        modules=(),
    )


PROMPT = "A thin Seven left, a van gogh seven"


@QUIET
@pytest.mark.parametrize("kind", ["CLIP", "byte-level", "word pieces", "unigram"])
def test_tokens_of_words_are_found_by_their_places(tmp_path, kind):
    tokenizer = tokenizers_by_kind(tmp_path)[kind]
    length = 24 if kind == "CLIP" else 64
    model = placed(offsets_of(tokenizer, length))
    ids = tokenizer(PROMPT, padding="max_length", max_length=length)["input_ids"]

    def text(words):
        found = [ids[at] for at in model.token_positions(PROMPT, words)]
        return "".join(tokenizer.decode(found).lower().replace("##", "").split())

    assert text("thin") == "thin"
    assert text("van  gogh") == "vangogh"
    assert text("seven") == "sevenseven"
    assert text(["left", "thin"]) == "thinleft"
    for absent in ("thi", "seve", "gogh van", "", " "):
        with pytest.raises(ParameterError, match="words"):
            model.token_positions(PROMPT, absent)


def test_a_tokenizer_in_python_whose_tokens_are_others_than_those_of_its_fast_form_is_refused(
    tmp_path,
):
    tokenizer = clip_tokenizer(tmp_path)
    if tokenizer.is_fast:
        pytest.skip("transformers 5 has no tokenizers in Python for CLIP")
    tokenizer.do_lower_case = False
    original = type(tokenizer).__call__

    class Other(type(tokenizer)):
        def __call__(self, text, **options):
            return original(self, [one[::-1] for one in text], **options)

    Other.__name__ = type(tokenizer).__name__
    tokenizer.__class__ = Other
    with pytest.raises(ModelError, match="other tokens"):
        placed(offsets_of(tokenizer, 16)).token_positions("a dog", "dog")


@QUIET
def test_what_does_not_read_a_prompt_by_cross_attention_is_refused_by_name(diffusers, pipe):
    sizes = {"num_layers": 1, "attention_head_dim": 4, "num_attention_heads": 2}
    flux = diffusers.FluxTransformer2DModel(
        in_channels=4, num_single_layers=1, joint_attention_dim=8, pooled_projection_dim=8,
        axes_dims_rope=(1, 1, 2), **sizes,
    )  # fmt: skip
    stable = diffusers.SD3Transformer2DModel(
        sample_size=8, in_channels=4, out_channels=4, joint_attention_dim=8,
        caption_projection_dim=8, pooled_projection_dim=8, **sizes,
    )  # fmt: skip
    for net in (flux, stable):
        with pytest.raises(ModelError, match="attends to text and picture at once"):
            from_diffusers((net, pipe.scheduler, pipe.text_encoder, pipe.tokenizer))
        with pytest.raises(ModelError, match=type(net).__name__):
            from_diffusers(net)
    with pytest.raises(ParameterError, match="UNet2DConditionModel alone"):
        from_diffusers(pipe.unet, scheduler=pipe.scheduler)
    with pytest.raises(ParameterError, match="a tuple of 2"):
        from_diffusers((pipe.unet, pipe.scheduler))

    class StableDiffusion3Pipeline:
        transformer, text_encoder, text_encoder_2 = stable, pipe.text_encoder, pipe.text_encoder

    with pytest.raises(ModelError, match="StableDiffusion3Pipeline, whose SD3Transformer2DModel"):
        from_diffusers(StableDiffusion3Pipeline())


@QUIET
def test_a_unet_that_wants_more_than_a_prompt_is_refused(pipe):
    inpainting = unet(in_channels=9)
    with pytest.raises(ModelError, match="9 channels in and 4 out"):
        from_diffusers((inpainting, pipe.scheduler, pipe.text_encoder, pipe.tokenizer))
    more = unet(addition_embed_type="text", addition_embed_type_num_heads=4)
    with pytest.raises(ModelError, match="SDXL"):
        from_diffusers((more, pipe.scheduler, pipe.text_encoder, pipe.tokenizer))


@QUIET
def test_a_prompt_that_is_too_long_is_an_error_and_not_cut(pipe):
    model = from_diffusers(pipe, steps=2)
    with pytest.raises(ParameterError, match="at most 16 tokens; got 22"):
        model.sample(1, 0, prompt="a dog " * 5)
    with pytest.raises(ParameterError, match="prompt must be one, or 3"):
        model.sample(3, 0, prompt=["a dog", "a cat"])
    for wrong in (3, [], [None], {"a": 1}):
        with pytest.raises(ParameterError, match="prompt"):
            model.bind(wrong)


@QUIET
def test_an_error_on_the_way_leaves_everything_as_it_was(pipe):
    model = from_diffusers(pipe, steps=2)
    pipe.unet.train()
    state = torch.random.get_rng_state()
    handle = pipe.unet.conv_out.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.sample(1, 0, prompt="a dog")
    handle.remove()
    model.sample(1, 0, prompt="a dog")
    assert pipe.unet.training
    assert not pipe.vae.training
    assert all(weight.grad is None for weight in pipe.unet.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)
