"""Windows of cross-attention in networks of diffusers: planted layers, and exact identities."""

from __future__ import annotations

import pytest
import torch

from pxgen_plugins.adapters import CausalTrace, CrossAttentionLocalisation, CrossAttentionMaps
from pxgen_plugins.adapters.text_to_image.attention_maps import _attention
from pxgen_plugins.adapters.text_to_image.cross_attention import (
    cross_attention,
    states_of,
    swap_text,
)
from pxgen_plugins.models import from_diffusers
from tests.models.pipelines import pipeline

from .text_models import tiny_model

quiet = pytest.mark.filterwarnings("ignore::pxgen_plugins.utils.errors.PXGenWarning")


def left_half(x):
    return x[..., :4].mean((1, 2, 3))


@quiet
def test_only_windows_with_the_open_layer_have_an_effect():
    """A window of 2 by the adapter for one open layer; of 1 and 2 by its hooks for each."""
    model = tiny_model(steps=1, check=False, data_range=None)
    layers = cross_attention(model, "a seven")
    names = list(layers)
    assert len(names) == 7
    assert [name.split(".")[0] for name in names] == [
        "down_blocks", "down_blocks", "mid_block", "up_blocks", "up_blocks", "up_blocks",
        "up_blocks",
    ]  # fmt: skip
    assert list(model.cross_attention) != names  # the middle is listed last
    base, other = states_of(model, "a thick seven"), states_of(model, "a thin seven")
    outs = {name: layer.to_out[0] for name, layer in layers.items()}
    kept = {name: out.weight.detach().clone() for name, out in outs.items()}

    def pictures():
        return model.sample(2, 0, prompt="a thick seven", guidance=1.0)

    for name in names:
        with torch.no_grad():
            for one, out in outs.items():
                out.weight.copy_(kept[one] if one == name else torch.zeros_like(kept[one]))
        before = pictures()
        for size in (1, 2):
            for start in range(len(names) - size + 1):
                window = names[start : start + size]
                with swap_text({one: layers[one] for one in window}, base, other):
                    effect = float((pictures() - before).abs().max())
                assert (effect > 0) == (name in window), (name, window, effect)
    found = CrossAttentionLocalisation(
        model, "thick", "thin", left_half, prompts=["a thick seven"], window=2, n_seeds=2
    ).explain(None)
    assert found.layers == names
    for place, effect in zip(found.places, found.effect, strict=True):
        assert (abs(effect) > 0) == (names[-1] in place), (place, effect)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("n", [1, 3])
def test_all_layers_of_a_unet_with_another_prompt_are_the_other_prompt(n, guidance):
    model = tiny_model()
    layers = cross_attention(model, "a seven")

    def pictures(prompt):
        return model.sample(n, 0, prompt=prompt, guidance=guidance)

    before, other = pictures("a thick seven"), pictures("thin eight")
    with swap_text(layers, states_of(model, "a thick seven"), states_of(model, "thin eight")):
        assert torch.equal(pictures("a thick seven"), other)
    assert torch.equal(pictures("a thick seven"), before)
    assert not torch.equal(before, other)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("n", [1, 3])
def test_so_they_are_through_a_stable_diffusion_pipeline(tmp_path, n, guidance):
    """The pipeline itself, which is not ours, runs between the hooks."""
    pipe = pipeline(tmp_path, steps_offset=1, clip_sample=False)
    layers = {name: m for name, m in pipe.unet.named_modules() if name.endswith("attn2")}

    def pictures(prompt):
        generator = torch.Generator().manual_seed(0)
        return torch.tensor(
            pipe(
                prompt, num_images_per_prompt=n, num_inference_steps=3, output_type="np",
                guidance_scale=guidance, generator=generator,
            ).images
        )  # fmt: skip

    before, other = pictures("a dog"), pictures("a blue cat")
    base, target = (
        pipe.encode_prompt(prompt, "cpu", 1, False)[0][0].detach()
        for prompt in ("a dog", "a blue cat")
    )
    with swap_text(layers, base, target):
        assert torch.equal(pictures("a dog"), other)
    assert torch.equal(pictures("a dog"), before)
    assert not torch.equal(before, other)


def test_attention_and_values_are_what_a_layer_of_diffusers_returns():
    """The tables of one head, times the values, through the output matrix."""
    model = tiny_model(steps=1)
    name = next(iter(cross_attention(model, "a seven")))
    layer = model.network.get_submodule(name)
    layer.heads, layer.scale = 1, float(layer.to_q.out_features) ** -0.5
    seen = []
    layer.register_forward_hook(lambda _m, _a, out: seen.append(out))
    with _attention({name: layer}, states_of(model, "a thick seven")) as sums:
        model.sample(2, 0, prompt="a thick seven", guidance=1.0)
    (table, calls), value = sums[name], layer.to_v(states_of(model, "a thick seven"))
    assert calls == 1
    assert torch.allclose(layer.to_out[0](table @ value), seen[0], atol=1e-6)


@quiet
def test_a_trace_of_a_clip_text_encoder_and_of_the_network(tmp_path):
    """Noise on a word reaches the tokens behind it and none before: the encoder reads forwards."""
    model = from_diffusers(pipeline(tmp_path, steps_offset=1, clip_sample=False), steps=2)
    found = CausalTrace(
        model, "dog", left_half, prompts=["a dog"], n_seeds=2, tokens="concept", noise=1.0
    ).explain(None)
    assert {name.rpartition(".")[2] for name in found.layers} == {"self_attn", "mlp", "0", "1"}
    assert len(found.layers) == 6
    assert found.images.shape[2:] == model.sample_shape
    unet = CausalTrace(
        model, "dog", left_half, prompts=["a dog"], n_seeds=2, sites="unet", noise=1.0
    ).explain(None)
    assert unet.layers == list(cross_attention(model, "a dog"))
    maps = CrossAttentionMaps(model, "a dog", words=["a", "dog"], n_seeds=2).explain(None)
    assert maps.attributions.shape == (4, *model.sample_shape[1:])
