"""Where a concept of a prompt lives: planted layers, identities, and what must not be found."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from pxgen_plugins.adapters import CausalTrace, CrossAttentionLocalisation, CrossAttentionMaps
from pxgen_plugins.adapters.text_to_image.attention_maps import _attention
from pxgen_plugins.adapters.text_to_image.cross_attention import (
    cross_attention,
    states_of,
    swap_text,
)
from pxgen_plugins.host import Explanation
from pxgen_plugins.plots import plot_localisation, plot_word_maps
from pxgen_plugins.testing import ExplainerCase, explainer_checks, parametrize_with_checks
from pxgen_plugins.utils.errors import (
    CapabilityError,
    ModelError,
    ParameterError,
    PXGenWarning,
)

from .nets import conv_vae
from .prompted import LAYERS, WORDS, Prompted, ink

quiet = pytest.mark.filterwarnings("ignore::pxgen_plugins.utils.errors.PXGenWarning")
PAIR = {"concept": "thick", "target": "thin", "scorer": ink, "prompts": ["a thick seven"]}


def mean_ink(x):
    return x.flatten(1).mean(1)


class TestSwap:
    @pytest.mark.parametrize("apart", [False, True])
    @pytest.mark.parametrize("guidance", [1.0, 3.0])
    @pytest.mark.parametrize("n", [1, 3])
    def test_all_layers_with_another_prompt_are_the_other_prompt(self, n, guidance, apart):
        model = Prompted(apart=apart)
        layers = cross_attention(model, "a seven")
        assert list(layers) == list(LAYERS)  # as they run, and not as they are registered

        def pictures(prompt):
            return model.sample(n, 5, prompt=prompt, guidance=guidance)

        before, other = pictures("a thick seven"), pictures("thin three")
        base, target = states_of(model, "a thick seven"), states_of(model, "thin three")
        with swap_text(layers, base, target):
            assert torch.equal(pictures("a thick seven"), other)
        with pytest.raises(ZeroDivisionError), swap_text(layers, base, target):
            raise ZeroDivisionError
        assert torch.equal(pictures("a thick seven"), before)
        # a state for each picture
        with swap_text(layers, base, target.expand(n, -1, -1)):
            assert torch.equal(pictures("a thick seven"), other)

    def test_a_layer_that_never_meets_the_prompt_is_an_error(self):
        model = Prompted()
        layers = cross_attention(model, "a seven")
        base, target = states_of(model, "a three"), states_of(model, "a thin three")
        with (
            pytest.raises(ModelError, match=r"in down\.attn2, mid\.attn2, up\.attn2"),
            swap_text(layers, base, target),
        ):
            model.sample(1, 0, prompt="a seven")
        with (
            pytest.raises(ModelError, match="3 at once"),
            swap_text(layers, base, target.expand(3, -1, -1)),
        ):
            model.sample(2, 0, prompt="a three")


class TestLocalisation:
    @quiet
    def test_only_windows_with_the_open_layer_have_an_effect(self):
        for name in LAYERS:
            model = Prompted(open_layers=[name])
            for window in (1, 2):
                found = CrossAttentionLocalisation(model, **PAIR, window=window, n_seeds=4)
                explanation = found.explain(None)
                open_ones = [name in place for place in explanation.places]
                assert sum(open_ones) in (1, 2)
                for effect in (explanation.effect, explanation.control_effect):
                    assert (np.abs(effect[open_ones]) > 1e-4).all(), (name, effect)
                    assert (effect[~np.array(open_ones)] == 0).all(), (name, effect)

    def test_shares_intervals_and_pictures_are_those_of_a_slow_computation(self):
        model, n = Prompted(seed=3), 30
        prompts = ["a thick seven", "thick three"]
        adapter = CrossAttentionLocalisation(
            model, "thick", "thin", ink, prompts=prompts, control=("seven", "eight"), n_seeds=n
        )
        found = adapter.explain(None)
        assert found.others == ["a thin seven", "thin three"]
        seed = adapter.meta["params"]["seed"]
        assert seed == 0
        whole, share = [], []
        from pxgen_plugins.utils.seeds import derive

        def score(prompt):
            return ink(model.sample(n, derive(0, "pictures"), prompt=prompt)).double().numpy()

        layers = cross_attention(model, "a seven")
        for prompt, other in zip(prompts, found.others, strict=True):
            whole.append(score(other) - score(prompt))
            window = {name: layers[name] for name in LAYERS[1:]}
            with swap_text(window, states_of(model, prompt), states_of(model, other)):
                share.append(score(prompt))
            share[-1] -= score(prompt)
        whole, share = np.mean(whole, axis=0), np.mean(share, axis=0)
        assert found.whole == pytest.approx(whole.mean())
        assert found.effect[1] == pytest.approx(share.mean())
        assert found.share[1] == pytest.approx(share.mean() / whole.mean())
        rng = np.random.default_rng(0)
        rows = rng.integers(0, n, (4000, n))
        resampled = share[rows].mean(1) / whole[rows].mean(1)
        half = 0.5 * np.diff(found.share_interval[1])[0]
        assert half == pytest.approx(1.96 * resampled.std(), rel=0.35)
        assert found.images.shape == (4, 3, 1, 8, 8)
        # where a prompt does not hold the control's word, the control is a pair of prompts
        assert np.isfinite(found.control_effect).all()

    def test_a_score_that_the_prompts_do_not_move_localises_nothing(self):
        model = Prompted()

        def constant(x):
            return x.flatten(1).sum(1) * 0

        adapter = CrossAttentionLocalisation(model, "thick", "thin", constant,
                                             prompts=["a thick seven"])  # fmt: skip
        with pytest.warns(PXGenWarning, match="does not tell the prompts apart"):
            found = adapter.explain(None)
        assert found.strongest is None
        assert np.isnan(found.share).all()
        assert "nothing is localised" in found.summary()
        plot_localisation(Explanation.from_json(found.to_json()))

    def test_text_that_enters_elsewhere_is_seen(self):
        class Leaking(Prompted):
            def _guided(self, x, text, empty, guidance):
                return super()._guided(x, text, empty, guidance) + text.mean()

        with pytest.raises(ModelError, match="by its cross-attention alone"):
            CrossAttentionLocalisation(Leaking(), **PAIR).explain(None)

    def test_mistakes_are_named(self):
        model = Prompted()
        make = partial(CrossAttentionLocalisation, model)
        for build, error, words in (
            (
                lambda: make("thick", "thin", ink, prompts=["a seven"]),
                ParameterError,
                "in 'a seven'",
            ),
            (lambda: make("thick", "thick", ink), ParameterError, "other than"),
            (lambda: make("", "thin", ink), ParameterError, "at least one word"),
            (lambda: make("thick", "thin", ink, control="left"), ParameterError, "a pair"),
            (lambda: make("thick", "thin", ink, prompts=3), ParameterError, "a list of them"),
            (lambda: make("thick", "thin", ink, window=9).explain(None), ParameterError, "3 cross"),
            (lambda: make("thick", "thin", lambda x: x).explain(None), ModelError, "8 finite"),
            (lambda: make("thick", "thin", "mss").explain(None), ParameterError, "Did you mean"),
            (lambda: CrossAttentionLocalisation(conv_vae(), **PAIR), CapabilityError, "prompt"),
        ):
            with pytest.raises(error, match=words):
                build()


class TestTrace:
    @quiet
    @pytest.mark.parametrize("apart", [False, True])
    def test_only_the_open_layer_brings_the_concept_back(self, apart):
        for name in LAYERS:
            model = Prompted(open_layers=[name], apart=apart)
            trace = CausalTrace(model, "thick", ink, prompts=["a thick seven"], sites="unet")
            found = trace.explain(None)
            at = found.layers.index(name)
            assert found.effect[at] == found.whole  # the picture without noise, exactly
            assert np.abs(found.effect[at]) > 1e-4
            assert (np.delete(found.effect, at) == 0).all()
            assert found.control_effect[at] != found.effect[at]

    @quiet
    def test_a_block_restored_at_every_token_that_the_noise_reached_is_the_clean_run(self):
        model = Prompted(blocks=2)
        trace = CausalTrace(model, "seven", ink, prompts=["a thick seven"], tokens="concept")
        found = trace.explain(None)
        assert [name.split(".", 1)[1] for name in found.layers] == [
            "blocks.0.attention", "blocks.0.mlp", "blocks.0",
            "blocks.1.attention", "blocks.1.mlp", "blocks.1",
        ]  # fmt: skip
        # the encoder reads forwards: noise on a word reaches those behind it, here empty ones
        bare = Prompted(blocks=2)
        with torch.no_grad():
            for block in bare.text_encoder.blocks:
                block.attention[0].weight.zero_()  # then it reaches no other token at all
        found = CausalTrace(bare, "seven", ink, prompts=["a thick seven"]).explain(None)
        assert found.effect[found.layers.index("1.blocks.0")] == pytest.approx(
            found.whole, abs=1e-7
        )
        assert found.effect[found.layers.index("1.blocks.1")] == pytest.approx(
            found.whole, abs=1e-7
        )
        assert (found.effect[:1] == 0).all()  # an attention that does nothing carries nothing

    def test_an_encoder_without_blocks_has_no_sites(self):
        with pytest.raises(ParameterError, match="Use sites='unet'"):
            CausalTrace(Prompted(blocks=0), "thick", ink, prompts=["a thick seven"]).explain(None)


class TestMaps:
    def test_attention_and_values_are_what_the_layer_returns(self):
        """The tables of the hooks, times the values, through the output matrix."""
        model = Prompted(steps=1)
        layers = cross_attention(model, "a thick seven")
        base = states_of(model, "a thick seven")
        seen = {}
        handles = [
            layer.register_forward_hook(lambda m, a, out, name=name: seen.update({name: out}))
            for name, layer in layers.items()
        ]
        with _attention(layers, base) as sums:
            model.sample(2, 0, prompt="a thick seven", guidance=1.0)
        for handle in handles:
            handle.remove()
        for name, layer in layers.items():
            layer.heads, heads = 1, layer.heads
            table, calls = sums[name]
            assert calls == 1
            assert table.sum(-1) == pytest.approx(1.0, abs=1e-6)
            if heads == 1:
                value = layer.to_v(base)
                assert torch.allclose(layer.to_out[0](table @ value), seen[name], atol=1e-5)

    def test_a_planted_word_is_found_where_it_acts_and_others_are_not(self):
        """A token that is attended to in the left half, and draws there."""
        model = Planted()
        found = CrossAttentionMaps(model, "a thick seven", layers="up.attn2").explain(None)
        maps = found.attributions.reshape(3, 4, 8, 8)
        word = found.words.index("thick")
        assert maps[word, :, :, :4].mean() > 0.9
        assert maps[word, :, :, 4:].mean() < 0.2
        assert found.agreement[word] > 0.8
        assert found.agreement[word] > found.control_agreement[word] + 0.8
        assert found.agreement_interval[word, 0] > found.control_agreement_interval[word, 1]
        # "a" is attended to on the right and has a value of 0: attention without effect
        silent = found.words.index("a")
        assert maps[silent, :, :, 4:].mean() > 0.5
        assert np.isnan(found.agreement[silent])  # nothing changes without it
        assert found.changes.reshape(maps.shape)[silent].max() < 1e-6
        plot_word_maps(Explanation.from_json(found.to_json()))

    def test_mistakes_are_named(self):
        model = Prompted()
        for build, words in (
            (
                lambda: CrossAttentionMaps(model, "a seven", words="three").explain(None),
                "'a seven'",
            ),
            (
                lambda: CrossAttentionMaps(model, "a seven", layers="up.atn2").explain(None),
                "Did you",
            ),
            (lambda: CrossAttentionMaps(model, "a").explain(["a", "seven"]), "one prompt"),
        ):
            with pytest.raises(ParameterError, match=words):
                build()


class Planted(Prompted):
    """The last layer asks for one word at the left of the picture, for another at the right."""

    def __init__(self) -> None:
        super().__init__(open_layers=["up.attn2"], blocks=0, steps=1)
        network, reader = self.network, self.text_encoder
        network.up.attn2.heads, network.up.attn2.scale = 1, 1.0
        side = torch.where(torch.arange(8) < 4, 60.0, -60.0)
        with torch.no_grad():
            for parameter in [*network.parameters(), *reader.parameters()]:
                parameter.zero_()
            reader.words.weight[WORDS.index("thick"), 0] = 1.0
            reader.words.weight[WORDS.index("a"), 1] = 1.0
            layer = network.up.attn2
            layer.to_q.weight[0, 0], layer.to_q.weight[1, 0] = 1.0, -1.0
            layer.to_k.weight[0, 0] = layer.to_k.weight[1, 1] = 1.0
            layer.to_v.weight[2, 0] = 3.0
            layer.to_out[0].weight[3, 2] = 1.0
            network.leave.weight[0, 3, 1, 1] = 1.0
        network.enter.register_forward_hook(
            lambda _m, _a, out: torch.cat([side.expand(len(out), 1, 8, 8), out[:, 1:] * 0], 1)
        )


def grown() -> Prompted:
    return Prompted(ballast=200_000)


def other() -> Prompted:
    return Prompted(seed=1)


X = np.random.default_rng(0).random((5, 1, 8, 8), dtype=np.float32)
CASES = [
    ExplainerCase(
        cls.__name__,
        make=partial(cls, **options),
        make_predictor=Prompted,
        X=X,
        make_other=other,
        make_grown=grown,
        module=lambda model: model.network,
        data_keys=frozenset(cls.defaults) | {"evidence"},
        many=40,
        rtol=1e-3,
        atol=1e-3,
    )
    for cls, options in (
        (CrossAttentionLocalisation, {**PAIR, "scorer": mean_ink, "n_seeds": 3}),
        (CausalTrace, {"concept": "thick", "scorer": mean_ink, "prompts": ["a thick seven"]}),
        (CrossAttentionMaps, {"prompt": "a thick seven", "n_seeds": 2}),
    )
]


@quiet
@parametrize_with_checks(CASES, explainer_checks())
def test_adapters_of_prompts_keep_the_contract(subject, check):
    check(subject)
