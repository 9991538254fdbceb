"""Language models against transformers called directly, and against a closed form."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from pxgen_plugins import PXGen, plots
from pxgen_plugins.criteria import Batch, TokenEdit, TokenNLL
from pxgen_plugins.models import LanguageModel, from_transformers, wrap
from pxgen_plugins.testing import check_model
from pxgen_plugins.thresholds import Quantile
from pxgen_plugins.utils.errors import CapabilityError, ModelError, ParameterError

LETTERS = "ab "


def unigram() -> LanguageModel:
    """Letters a (0.6), b (0.3) and blank (0.1), independent; it always goes on with a."""
    chances = {"a": 0.6, "b": 0.3, " ": 0.1}

    def sample(n: int, seed: int) -> list[str]:
        draws = np.random.default_rng(seed)
        return ["".join(draws.choice(list(chances), p=list(chances.values()), size=12))
                for _ in range(n)]  # fmt: skip

    return LanguageModel(
        log_probs=lambda texts: [[math.log(chances.get(c, 1e-6)) for c in text] for text in texts],
        generate=lambda prompts, counts: ["a" * count for count in counts],
        sample=sample,
        embed=lambda texts: torch.tensor([[t.count("a"), t.count("b")] for t in texts]).float(),
        modules=(),
        max_chars=20,
    )


class Characters:
    """Ids 3, 4, 5 for the letters; 0 begins, 1 ends."""

    bos_token_id, eos_token_id = 0, 1

    def __call__(self, texts, add_special_tokens=True):
        return {"input_ids": [[max(0, LETTERS.find(c)) + 3 for c in text] for text in texts]}

    def decode(self, ids, skip_special_tokens=True):
        return "".join(LETTERS[int(i) - 3] for i in ids if int(i) >= 3)


@pytest.fixture
def gpt():
    transformers = pytest.importorskip("transformers")
    settings = transformers.GPT2Config(
        vocab_size=6, n_positions=16, n_embd=8, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=1
    )
    with torch.random.fork_rng():
        torch.random.set_rng_state(torch.Generator().manual_seed(3).get_state())
        return transformers.GPT2LMHeadModel(settings)


def test_prompts_end_between_tokens():
    words = ["the", "quick", "brown", "foxes", "jumping", "over", "sleeping", "dogs"]
    asked = []

    def generate(prompts, counts):
        asked.extend(zip(prompts, counts, strict=True))
        return [" ".join(words)[len(prompt) :] for prompt in prompts]

    for prompt in (0.1, 0.3, 0.5, 0.7, 0.9):
        model = LanguageModel(
            log_probs=lambda texts: [[-1.0] * len(text.split()) for text in texts],
            generate=generate,
            modules=(),
            tokenize=lambda text: [words.index(w) if w in words else -1 for w in text.split()],
            prompt=prompt,
        )
        ((own, made),) = model.continuation(model.rows([" ".join(words)]))
        assert torch.equal(own, made)  # it knows the text by heart
        assert -1 not in own.tolist()
    assert all(len(prompt.split()) + count == len(words) for prompt, count in asked)


@pytest.mark.parametrize(
    ("given", "named"), [([0.5, 0.5], "logarithms"), (None, "sequences of numbers")]
)
def test_what_is_no_log_probability_is_refused(given, named):
    model = LanguageModel(log_probs=lambda texts: [given for _ in texts], modules=(), max_chars=2)
    with pytest.raises(ModelError, match=named):
        model.token_loss(model.rows(["ab"]))


def test_an_embedding_that_raises_is_told_when_the_model_is_made():
    with pytest.raises(ModelError, match="KeyError"):
        LanguageModel(
            log_probs=lambda texts: [[-1.0] for _ in texts], embed=lambda texts: {}["a"], modules=()
        )


def test_values_are_what_the_letters_say():
    model = unigram()
    x = model.rows(["aab", "b"])
    nll = -np.array([(2 * math.log(0.6) + math.log(0.3)) / 3, math.log(0.3)])
    assert TokenNLL()(Batch(model, x)).numpy() == pytest.approx(nll)
    # "aab" is cut after two letters: its end b becomes a; "b" has no end
    values = TokenEdit()(Batch(model, x)).tolist()
    assert values[0] == 1.0
    assert math.isnan(values[1])  # one letter has no end to compare
    half = model.rows(["aaaabaaa"])
    assert TokenEdit()(Batch(model, half)).tolist() == [0.25]
    check_model(model)


def test_texts_are_explained_end_to_end_and_shown(tmp_path):
    model = unigram()
    known = model.render(model.sample(60, 5))
    foreign = ["zzzz zzzz", "<b>$x^2$</b>", "zz\tzz"]
    explainer = PXGen(
        model, "token_nll", "token_edit", threshold=Quantile(0.99, 200, 2), n_representatives=3
    )
    explainer.fit()
    found = explainer.explain([*known, "", *foreign], labels=["own"] * 61 + ["foreign"] * 3)
    group = np.asarray(found.group)
    assert (group[:60] == "HIHE").mean() > 0.9
    assert group[60] == "invalid"
    assert "empty text" in found.reasons[0]
    assert all(name.startswith("LI") for name in group[61:])
    assert set(found.examples) == {"indices", "texts", "reconstructed_texts"}
    texts = dict(zip(found.examples["indices"].tolist(), found.examples["texts"], strict=True))
    assert texts[62] == foreign[1]
    again = type(found).from_json(found.to_json())
    for explanation in (found, again):
        for figure, options in (
            (plots.plot_representatives, {}),
            (plots.plot_delusion, {"selection": "lowest"}),
            (plots.plot_alignment, {"selection": "lowest"}),
        ):
            axes = figure(explanation, **options)
            axes[0].figure.savefig(tmp_path / "figure.png")
            written = [text.get_text() for ax in axes for text in ax.texts]
            assert any("own" in text or "HIHE" in text for text in written)
            plt.close(axes[0].figure)
    explainer.save(str(tmp_path / "saved"))
    loaded = PXGen.load(str(tmp_path / "saved"), model)
    assert np.array_equal(np.asarray(loaded.explain(known).values), np.asarray(found.values)[:60])


def test_losses_are_those_of_transformers_one_by_one(gpt):
    model = from_transformers(gpt, tokenizer=Characters(), max_chars=12, max_tokens=10)
    texts = ["ab", "abba b", "a"]
    gpt.eval()
    for text, value in zip(texts, model.token_loss(model.rows(texts)), strict=True):
        ids = torch.tensor([[0, *Characters()([text])["input_ids"][0]]])
        assert float(value) == pytest.approx(float(gpt(ids, labels=ids).loss), abs=1e-5)
    check_model(model, gpt)
    assert type(wrap(gpt, tokenizer=Characters())) is LanguageModel


def test_greedy_continuations_are_those_of_transformers(gpt):
    model = from_transformers(gpt, tokenizer=Characters(), max_chars=12)
    texts = ["abab", "bbbbaa"]
    gpt.eval()  # generate() leaves dropout on
    for text, (own, made) in zip(texts, model.continuation(model.rows(texts)), strict=True):
        half = len(text) // 2
        assert own.tolist() == Characters()([text[half:]])["input_ids"][0]
        ids = torch.tensor([[0, *Characters()([text[:half]])["input_ids"][0]]])
        theirs = gpt.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=half, do_sample=False,
            pad_token_id=2,
        )[0, ids.shape[1] :]  # fmt: skip
        kept = [int(i) for i in theirs if int(i) >= 3]
        assert made.tolist() == kept[: len(made)]


def test_samples_follow_the_model_whatever_is_drawn_with_them(gpt):
    with torch.no_grad():
        gpt.transformer.wpe.weight.zero_()
    model = from_transformers(gpt, tokenizer=Characters(), max_chars=12, max_tokens=1)
    drawn = model.render(model.sample(3000, 0))
    gpt.eval()
    with torch.no_grad():
        logits = gpt(torch.tensor([[0]])).logits[0, 0]
    logits[:3] = -1e9  # the end is not drawn first, and tokens without text never
    chances = logits.softmax(0)
    for letter, token in zip(LETTERS, (3, 4, 5), strict=True):
        share = sum(text == letter for text in drawn) / 3000
        assert share == pytest.approx(float(chances[token]), abs=0.03)
    before = torch.random.get_rng_state()
    assert model.render(model.sample(5, 1)) == model.render(model.sample(5, 1))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_samples_can_go_on_from_prompts(gpt):
    model = from_transformers(gpt, tokenizer=Characters(), prompts=["ab", "ba"], max_tokens=4)
    drawn = model.render(model.sample(20, 0))
    assert {text[:2] for text in drawn} == {"ab", "ba"}
    assert all(len(text) <= 6 for text in drawn)


def test_a_text_too_long_for_the_model_is_one_bad_anchor(gpt):
    model = from_transformers(gpt, tokenizer=Characters(), max_chars=30)
    explainer = PXGen(model, "token_nll", "token_edit", threshold=Quantile(0.9, 20, 1))
    found = explainer.fit().explain(["ab", "a" * 20, "ba"])
    assert np.asarray(found.group)[1] == "invalid"
    assert "20" in found.reasons[0] or "21" in found.reasons[0]


def test_what_is_no_text_keeps_its_own_reason_where_the_model_raises_for_it(gpt):
    tokenizer = Characters()
    tokenizer.bos_token_id = None
    model = from_transformers(gpt, tokenizer=tokenizer, max_chars=12, prompts=["ab"], max_tokens=5)
    explainer = PXGen(model, "token_nll", "token_edit", threshold=Quantile(0.9, 20, 1)).fit()
    found = explainer.explain(["abab", "a", "", 7])
    assert np.asarray(found.group).tolist()[1:] == ["invalid"] * 3
    assert "fewer than two tokens" in found.reasons[0]
    assert found.reasons[1] == "an empty text"
    assert "no text" in found.reasons[2]
    nothing = explainer.explain([1, 2, 3])
    assert len(nothing.invalid) == 3


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"log_probs": None}, "log_probs"),
        ({"generate": 3}, "generate"),
        ({"tokenize": "words"}, "tokenize"),
        ({"max_chars": 0}, "max_chars"),
        ({"prompt": 1.0}, "prompt"),
    ],
)
def test_what_is_not_allowed_is_named(arguments, named):
    with pytest.raises(ParameterError, match=named):
        LanguageModel(
            **({"log_probs": lambda texts: [[0.0]] * len(texts), "modules": ()} | arguments)
        )


def test_what_functions_return_is_checked():
    fine = lambda texts: [[0.0]] * len(texts)  # noqa: E731
    x = torch.tensor([[97.0, 98.0]])
    with pytest.raises(ModelError, match="log_probs"):
        LanguageModel(log_probs=lambda texts: [], modules=(), max_chars=2).token_loss(x)
    with pytest.raises(ModelError, match="log_probs"):
        LanguageModel(log_probs=lambda texts: [["a"]], modules=(), max_chars=2).token_loss(x)
    with pytest.raises(ModelError, match="generate"):
        LanguageModel(
            log_probs=fine, generate=lambda p, n: [1], modules=(), max_chars=2
        ).continuation(x)
    with pytest.raises(ModelError, match="sample"):
        LanguageModel(log_probs=fine, modules=(), sample=lambda n, seed: ["a"]).sample(2, 0)
    with pytest.raises(ModelError, match="embed"):
        LanguageModel(log_probs=fine, embed=lambda texts: [1.0, 2.0], modules=())
    with pytest.raises(CapabilityError, match="continuation"):
        LanguageModel(log_probs=fine, modules=()).continuation(x)
    with pytest.raises(ParameterError, match="tokenizer"):
        from_transformers(type("Net", (), {"config": 1, "__call__": len})(), tokenizer=None)


TEXTS = ["a" * n for n in range(2, 12)]


def test_rows_of_a_padded_matrix_are_refused_and_rows_of_one_length_are_not():
    padded = LanguageModel(
        log_probs=lambda texts: np.full((len(texts), 20), -1.0), modules=(), max_chars=20
    )
    with pytest.raises(ModelError, match="one number for each token"):
        padded.token_loss(padded.rows(TEXTS))
    same = padded.rows(["ab" * 10] * 10)
    np.testing.assert_array_equal(padded.token_loss(same), np.ones(10))


def test_continuations_that_repeat_all_prompts_are_refused_and_some_are_not():
    def model(generate):
        given = {"log_probs": lambda texts: [[-1.0] * len(text) for text in texts]}
        return LanguageModel(generate=generate, modules=(), max_chars=20, **given)

    whole = model(lambda prompts, counts: [text + "b" for text in prompts])
    with pytest.raises(ModelError, match="what follows the prompts"):
        whole.continuation(whole.rows(TEXTS))
    # of one letter, a prompt is easily begun again
    own = model(lambda prompts, counts: ["a" * count for count in counts])
    assert len(own.continuation(own.rows(TEXTS))) == len(TEXTS)


class Words:
    """Tokens are words; a leading one is decoded without the space before it, as Llama's are."""

    bos_token_id, eos_token_id = 0, 1
    known = ("<s>", "</s>", "the", "quick", "brown", "fox")

    def __call__(self, texts, add_special_tokens=False):
        place = {word: at for at, word in enumerate(self.known)}
        return {"input_ids": [[place.get(word, 2) for word in text.split()] for text in texts]}

    def decode(self, ids, skip_special_tokens=True):
        return " ".join(self.known[int(i)] for i in ids if int(i) > 1)


def test_samples_and_continuations_of_prompts_keep_the_space_between(gpt):
    tokenizer = Words()
    model = from_transformers(gpt, tokenizer=tokenizer, prompts=["the quick"], max_tokens=4)
    for text in model.render(model.sample(8, 0)):
        assert text.startswith("the quick ")
        assert set(text.split()) <= {*tokenizer.known}


def test_a_model_that_sees_later_tokens_is_refused():
    transformers = pytest.importorskip("transformers")
    settings = transformers.BertConfig(
        vocab_size=6, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=16,
    )  # fmt: skip
    net = transformers.BertLMHeadModel(settings)
    with pytest.raises(ModelError, match="is_decoder=True"):
        from_transformers(net, tokenizer=Words())
    settings.is_decoder = True
    from_transformers(transformers.BertLMHeadModel(settings), tokenizer=Words())


class TestTokenCosts:
    """What each token costs; where costs are not those of the tokens, they are not put on them."""

    def costs(self, losses, **options):
        model = LanguageModel(log_probs=lambda texts: losses, modules=(), **options)
        return model.token_costs(model.rows(["a b c"]))[0]

    def test_they_sum_up_to_the_loss_of_the_text(self):
        model = unigram()
        x = model.rows(["abba", "b"])
        for pairs, loss in zip(model.token_costs(x), model.token_loss(x).tolist(), strict=True):
            assert np.mean([cost for _, cost in pairs]) == pytest.approx(loss)
        assert [token for token, _ in model.token_costs(x)[0]] == list("abba")

    @pytest.mark.parametrize(
        ("losses", "expected"),
        [
            ([-1.0, -2.0, -3.0], [("A", 1.0), ("B", 2.0), ("C", 3.0)]),
            ([-2.0, -3.0], [("A", None), ("B", 2.0), ("C", 3.0)]),  # no mark in front
            ([-1.0, -2.0, -3.0, -9.0], [("A", 1.0), ("B", 2.0), ("C", 3.0)]),  # a mark behind
            ([-4.0], [("token 0", 4.0)]),  # other tokens
            ([], []),
        ],
    )
    def test_marks_before_and_behind_a_text(self, losses, expected):
        found = self.costs(
            [losses],
            tokenize=lambda text: [ord(word) for word in text.split()],
            detokenize=lambda ids: "".join(chr(i).upper() for i in ids),
        )
        assert found == expected

    def test_without_a_way_back_to_text_they_are_numbers(self):
        found = self.costs([[-1.0, -2.0, -3.0]], tokenize=lambda text: [7, 8, 9])
        assert found == [("[7]", 1.0), ("[8]", 2.0), ("[9]", 3.0)]
