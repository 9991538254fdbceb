"""A real, tiny StableDiffusionPipeline, built offline; and tokenizers of four kinds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch


def alphabet() -> list[str]:
    """The characters that stand for the 256 bytes in a byte-level vocabulary."""
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


def clip_tokenizer(folder: Path, merges: tuple[str, ...] = ()):
    transformers = pytest.importorskip("transformers")
    pieces = alphabet() + [c + "</w>" for c in alphabet()]
    pieces += ["".join(merge.split()) for merge in merges]
    words = [*pieces, "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    return transformers.CLIPTokenizer.from_pretrained(str(folder), model_max_length=16)


def unet(**settings):
    diffusers = pytest.importorskip("diffusers")
    sizes = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "layers_per_block": 1,
        "block_out_channels": (16, 32),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 32,
        "attention_head_dim": 4,
        "norm_num_groups": 4,
    }
    return diffusers.UNet2DConditionModel(**sizes | settings)


def pipeline(folder: Path, **scheduler):
    """Prompts of up to 16 tokens, latents 4 x 8 x 8, images 3 x 16 x 16, random weights."""
    diffusers = pytest.importorskip("diffusers")
    transformers = pytest.importorskip("transformers")
    tokenizer = clip_tokenizer(folder)
    n = len(tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = transformers.CLIPTextModel(
            transformers.CLIPTextConfig(
                vocab_size=n,
                hidden_size=32,
                intermediate_size=37,
                num_attention_heads=4,
                num_hidden_layers=2,
                max_position_embeddings=16,
                bos_token_id=n - 2,
                eos_token_id=n - 1,
                pad_token_id=n - 1,
            )
        )
        vae = diffusers.AutoencoderKL(
            block_out_channels=[8, 8],
            in_channels=3,
            out_channels=3,
            down_block_types=["DownEncoderBlock2D"] * 2,
            up_block_types=["UpDecoderBlock2D"] * 2,
            latent_channels=4,
            norm_num_groups=4,
        )
        net = unet()
    pipe = diffusers.StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=net,
        scheduler=diffusers.DDIMScheduler(**scheduler),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    for part in (encoder, vae, net):
        part.eval()
    return pipe


def tokenizers_by_kind(folder: Path):
    """Tokenizers whose words are pieces, by kind, each built from a few rules."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    merges = [("s", "e"), ("v", "e"), ("se", "ve")]
    space = "Ġ"
    pieces = [*alphabet(), *("".join(pair) for pair in merges), "[PAD]"]
    byte_level = Tokenizer(models.BPE({p: i for i, p in enumerate(pieces)}, merges))
    byte_level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_level.decoder = decoders.ByteLevel()
    assert space in pieces
    words = ["[PAD]", "[UNK]", "a", "thin", "sev", "##en", "##teen", "left", "van", "go", "##gh"]
    word_piece = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    word_piece.normalizer = normalizers.Lowercase()
    word_piece.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    letters = [(c, -5.0) for c in "abcdefghijklmnopqrstuvwxyzAS,▁"]
    scored = [("[PAD]", 0.0), ("<unk>", -9.0), ("▁thin", -1.0), ("▁sev", -1.0), ("en", -1.0)]
    unigram = Tokenizer(models.Unigram([*scored, *letters], unk_id=1))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    unigram.decoder = decoders.Metaspace()
    fast = transformers.PreTrainedTokenizerFast
    return {
        "CLIP": clip_tokenizer(folder, ("s e", "v e", "se ve")),
        "byte-level": fast(tokenizer_object=byte_level, pad_token="[PAD]", model_max_length=64),
        "word pieces": fast(tokenizer_object=word_piece, pad_token="[PAD]", model_max_length=64),
        "unigram": fast(tokenizer_object=unigram, pad_token="[PAD]", model_max_length=64),
    }
