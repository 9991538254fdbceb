"""Tiny text-to-image models of diffusers, built without files from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pxgen_plugins.models import TextToImage

WORDS = ("", "a", "thick", "thin", "seven", "three", "eight", "four", "left")
LENGTH, WIDTH = 4, 16


class Table(nn.Module):
    """A learned vector for each word."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(len(WORDS), WIDTH)

    def forward(self, prompts: list[str]) -> Tensor:
        rows = [[WORDS.index(word) for word in prompt.split()] for prompt in prompts]
        return self.table(torch.tensor([row + [0] * (LENGTH - len(row)) for row in rows]))

    def offsets(self, prompt: str) -> list[tuple[int, int]]:
        places, at = [], 0
        for word in prompt.split():
            at = prompt.index(word, at)
            places.append((at, at + len(word)))
            at += len(word)
        return places + [(0, 0)] * (LENGTH - len(places))


def tiny_unet(seed: int = 0, **changes: Any) -> Any:
    """Seven cross-attentions in channels of 8 and 16."""
    diffusers = pytest.importorskip("diffusers")
    settings = {
        "sample_size": 8, "in_channels": 1, "out_channels": 1, "layers_per_block": 1,
        "block_out_channels": (8, 16), "cross_attention_dim": WIDTH, "attention_head_dim": 2,
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"), "norm_num_groups": 4,
    }  # fmt: skip
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return diffusers.UNet2DConditionModel(**{**settings, **changes}).eval()


def tiny_model(seed: int = 0, steps: int = 2, **settings: Any) -> TextToImage:
    """The network and the table as a model of pictures of 8 x 8."""
    unet = tiny_unet(seed)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        table = Table()
    return TextToImage(
        unet, table, sample_shape=(1, 8, 8), steps=steps, guidance=3.0, prompt="a seven",
        offsets=table.offsets, **settings,
    )  # fmt: skip


def tiny_pipeline(folder: Path) -> Any:
    """A StableDiffusionPipeline of random weights with a tokenizer of bytes."""
    diffusers = pytest.importorskip("diffusers")
    transformers = pytest.importorskip("transformers")
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(letter + "</w>" for letter in letters)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16
    )
    n = len(words)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        text = transformers.CLIPTextModel(
            transformers.CLIPTextConfig(
                vocab_size=n, hidden_size=32, intermediate_size=37, num_attention_heads=4,
                num_hidden_layers=2, max_position_embeddings=16, bos_token_id=n - 2,
                eos_token_id=n - 1, pad_token_id=n - 1,
            )
        )  # fmt: skip
        vae = diffusers.AutoencoderKL(
            block_out_channels=[8, 8], in_channels=3, out_channels=3, latent_channels=4,
            down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
            norm_num_groups=4,
        )  # fmt: skip
        unet = diffusers.UNet2DConditionModel(
            sample_size=8, in_channels=4, out_channels=4, layers_per_block=1,
            block_out_channels=(16, 32), cross_attention_dim=32, attention_head_dim=4,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), norm_num_groups=4,
        )  # fmt: skip
    pipe = diffusers.StableDiffusionPipeline(
        vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet,
        scheduler=diffusers.DDIMScheduler(), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    return pipe
