"""Tokens to text to tokens: every layout of tokenizers, and a network that knows one text by heart.

The network is built by weights: at each place it gives the next token of the text a probability of
nearly 1. What it writes, how likely a text is and how its end differs are then known.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from pxgen_plugins import PXGen
from pxgen_plugins.models import LanguageModel, from_transformers
from pxgen_plugins.thresholds import Quantile
from pxgen_plugins.utils.errors import ModelError, ParameterError

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

TEXTS = [
    "Hello world , good dog . He does n't bark .",
    "we do not , we do n't , it 's",
    "two  blanks   three",
    " leading and trailing ",
    "déjà vu 𝄞 naïve — “quoted”",
    "a tab\tand a line\nand \u2028 \x0c \x85",
    "x y",
]
SPECIAL = ["<s>", "</s>", "<unk>", "[MASK]"]


def byte_level(prefix_space):
    pre = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    found = tokenizers.Tokenizer(tokenizers.models.BPE())
    found.pre_tokenizer, found.decoder = pre, tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=330, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    found.train_from_iterator(TEXTS * 3, trainer)
    return found


def llama():
    """BPE over pieces with a mark for the space, bytes for what has no piece."""
    decoders, normalizers = tokenizers.decoders, tokenizers.normalizers
    pieces = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
    pieces += [*sorted({c for text in TEXTS[:4] for c in text} - {" "}), "▁d", "▁do", "He", "▁He"]
    found = tokenizers.Tokenizer(
        tokenizers.models.BPE(
            vocab={piece: at for at, piece in enumerate(pieces)},
            merges=[("▁", "d"), ("▁d", "o"), ("H", "e"), ("▁", "He")],
            unk_token="<unk>", byte_fallback=True, fuse_unk=True,
        )
    )  # fmt: skip
    found.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    found.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
         decoders.Strip(" ", 1, 0)]
    )  # fmt: skip
    return found


def unigram(scheme):
    found = tokenizers.Tokenizer(tokenizers.models.Unigram())
    found.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(prepend_scheme=scheme)
    found.decoder = tokenizers.decoders.Metaspace(prepend_scheme=scheme)
    alphabet = sorted({c for text in TEXTS for c in text})
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=90, special_tokens=SPECIAL, unk_token="<unk>", initial_alphabet=alphabet,
        show_progress=False,
    )  # fmt: skip
    found.train_from_iterator(TEXTS * 3, trainer)
    return found


def words(kind):
    """Whole words, or words and their parts; blanks between them are not kept."""
    pieces = sorted({word for text in TEXTS for word in text.split()})
    vocabulary = {word: at for at, word in enumerate([*SPECIAL, *pieces])}
    if kind == "WordPiece":
        parts = [word for word in ("He", "##llo", "lead", "##ing", "b", "##ark") if word != "Hello"]
        for part in parts:
            vocabulary.setdefault(part, len(vocabulary))
        vocabulary = {w: i for w, i in vocabulary.items() if w not in ("Hello", "bark", "leading")}
        vocabulary = {word: at for at, word in enumerate(vocabulary)}
        found = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="<unk>"))
        found.decoder = tokenizers.decoders.WordPiece()  # which cleans up by itself
    else:
        found = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    found.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return found


LAYOUTS = {
    "byte-level BPE": lambda: byte_level(False),
    "byte-level BPE, space in front": lambda: byte_level(True),
    "SentencePiece BPE": llama,
    "SentencePiece unigram": lambda: unigram("always"),
    "SentencePiece unigram, nothing in front": lambda: unigram("never"),
    "WordPiece": lambda: words("WordPiece"),
    "WordLevel": lambda: words("WordLevel"),
}


def fast(layout, clean):
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=LAYOUTS[layout](), bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        mask_token="[MASK]", clean_up_tokenization_spaces=clean,
    )  # fmt: skip


class ByHeart(nn.Module):
    """After t tokens it gives the (t + 1)-th of a text a logit of 12, others about 0."""

    def __init__(self, ids, n_tokens, end=1):
        super().__init__()
        self.config = SimpleNamespace(vocab_size=n_tokens, max_position_embeddings=256)
        table = torch.zeros(256, n_tokens)
        table[:, end] = 12.0
        table[torch.arange(len(ids)), :] = 0.0
        table[torch.arange(len(ids)), torch.tensor(ids, dtype=torch.int64)] = 30.0
        self.table = nn.Parameter(table)

    def forward(self, input_ids, attention_mask=None, output_hidden_states=False):
        logits = self.table[: input_ids.shape[1]].expand(len(input_ids), -1, -1)
        return SimpleNamespace(logits=logits.clone(), hidden_states=[logits[..., :4]])


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_text_known_by_heart_is_written_near_and_ends_as_it_should(layout, clean):
    tokenizer = fast(layout, clean)
    for text in TEXTS:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        kept = text
        if layout.startswith("Word"):
            kept = " ".join(text.split())
        elif layout.startswith(("byte-level BPE,", "SentencePiece unigram")):
            kept = None  # a blank in front, or a line end, and its absence are the same tokens
        assert tokenizer.unk_token_id not in ids or layout.startswith("Sent")
        if tokenizer.unk_token_id in ids:
            continue
        model = from_transformers(
            ByHeart(ids, len(tokenizer)), tokenizer=tokenizer, max_tokens=200, max_chars=200
        )
        (written,) = model.render(model.sample(1, 0))
        assert tokenizer(written, add_special_tokens=False)["input_ids"] == ids, text
        assert kept is None or written == kept
        explainer = PXGen(model, "token_nll", "token_edit", threshold=Quantile(0.9, 3, 1)).fit()
        nll, edit = np.asarray(explainer.explain([text]).values)[0]
        assert edit == 0.0
        assert nll == pytest.approx(explainer.calibration.thresholds[0], abs=1e-6)
        assert nll < 1e-3


def test_a_lone_mark_of_a_space_is_a_piece_and_no_text_is_empty():
    tokenizer = fast("SentencePiece BPE", False)
    mark = tokenizer.convert_tokens_to_ids("▁")
    assert tokenizer.decode([mark]) == ""
    uniform = ByHeart([], len(tokenizer))
    with torch.no_grad():
        uniform.table.zero_()
        uniform.table[:, mark] = uniform.table[:, 1] = 8.0
    model = from_transformers(uniform, tokenizer=tokenizer, max_tokens=3, max_chars=20)
    drawn = model.render(model.sample(200, 0))
    assert "" not in drawn
    assert {" ", "  "} & set(drawn)  # two or three marks
    never = {"<s>", "</s>", "<unk>", "[MASK]"}
    assert not any(name in text for name in never for text in drawn)


def test_samples_end_at_a_token_where_they_are_too_long_or_broken_off():
    tokenizer = fast("byte-level BPE", False)
    text = "naïve 𝄞𝄞𝄞"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    net = ByHeart(ids, len(tokenizer))
    whole = from_transformers(net, tokenizer=tokenizer, max_chars=50)
    assert whole.render(whole.sample(1, 0)) == [text]
    for most in range(len(ids) - 1, 5, -1):
        model = from_transformers(net, tokenizer=tokenizer, max_tokens=most, max_chars=50)
        (part,) = model.render(model.sample(1, 0))
        assert text.startswith(part)
        assert "\ufffd" not in part
    for most in range(2, 8):
        model = from_transformers(net, tokenizer=tokenizer, max_chars=most)
        (part,) = model.render(model.sample(1, 0))
        assert text.startswith(part)
        assert len(part) <= most


def test_every_end_that_the_model_names_ends_a_text():
    tokenizer = fast("byte-level BPE", False)
    turn = tokenizer.convert_tokens_to_ids("[MASK]")
    ids = tokenizer("x y", add_special_tokens=False)["input_ids"]
    net = ByHeart(ids, len(tokenizer), end=turn)
    net.generation_config = SimpleNamespace(eos_token_id=[1, turn, 40])  # 40 is an ordinary piece
    model = from_transformers(net, tokenizer=tokenizer, max_chars=50)
    assert model.render(model.sample(2, 0)) == ["x y"] * 2


def test_prompts_are_cut_between_tokens_and_nothing_is_encoded_in_parts():
    """A tokenizer that puts a mark in front of every text, and joins words over the cut."""
    pieces = ["▁ab", "cd", "▁ef", "gh"]

    def tokenize(text):
        ids, rest = [], "▁" + text.replace(" ", "▁")
        while rest:
            piece = next((p for p in pieces if rest.startswith(p)), rest[0])
            ids.append(pieces.index(piece) if piece in pieces else 100 + ord(piece))
            rest = rest[len(piece) :]
        return ids

    asked = []
    for prompt in (0.1, 0.4, 0.5, 0.6, 0.9):
        model = LanguageModel(
            log_probs=lambda texts: [[-1.0] * len(text) for text in texts],
            generate=lambda heads, n: [asked.append(h) or "abcd efgh"[len(h) :] for h in heads],
            tokenize=tokenize, modules=(), max_chars=20, prompt=prompt,
        )  # fmt: skip
        ((own, made),) = model.continuation(model.rows(["abcd efgh"]))
        assert own.tolist() == made.tolist() == [0, 1, 2, 3][-len(own) :]
    assert set(asked) == {"ab", "abcd", "abcd ef"}


def test_tokens_are_extended_without_a_text_between():
    seen = []

    def extend(rows, n_tokens):
        seen.extend(zip(rows, n_tokens, strict=True))
        return [[9] * n for n in n_tokens]

    model = LanguageModel(
        log_probs=lambda texts: [[-1.0]] * len(texts), modules=(), max_chars=9, prompt=0.9,
        tokenize=lambda text: [ord(c) for c in text], extend=extend,
    )  # fmt: skip
    pairs = model.continuation(model.rows(["abcd", "x"]))
    assert [(own.tolist(), made.tolist()) for own, made in pairs] == [([100], [9]), ([], [])]
    assert seen == [([97, 98, 99], 1), ([120], 0)]
    with pytest.raises(ParameterError, match="extend"):
        LanguageModel(log_probs=lambda t: [[0.0]] * len(t), extend=extend, modules=())
    model._functions["extend"] = lambda rows, n: []
    with pytest.raises(ModelError, match="extend's result"):
        model.continuation(model.rows(["abcd"]))


def test_null_characters_within_a_text_stay():
    model = LanguageModel(log_probs=lambda t: [[0.0]] * len(t), modules=(), max_chars=6)
    assert model.render(model.rows(["a\0b", "ab"])) == ["a\0b", "ab"]
