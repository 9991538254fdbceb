"""A tiny text-to-image model around a UNet of diffusers."""

from __future__ import annotations

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
