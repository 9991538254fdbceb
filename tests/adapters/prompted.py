"""A small model of pictures with a prompt, whose layers, words and effects are known."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pxgen_plugins.models.base import GenerativeModel
from pxgen_plugins.models.runtime import EvaluationMode
from pxgen_plugins.utils.seeds import normal_rows

WORDS = ("", "a", "thick", "thin", "seven", "three", "eight", "left", "right")
LENGTH, WIDTH, SIDE = 6, 8, 8
LAYERS = ("down.attn2", "mid.attn2", "up.attn2")  # as they run


class Attention(nn.Module):
    """Attention as diffusers names its parts: pictures ask, text answers."""

    def __init__(self, channels: int, width: int, heads: int = 2) -> None:
        super().__init__()
        self.heads, self.scale = heads, (channels // heads) ** -0.5
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(width, channels, bias=False)
        self.to_v = nn.Linear(width, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None) -> Tensor:
        text = hidden_states if encoder_hidden_states is None else encoder_hidden_states

        def heads(x: Tensor) -> Tensor:
            return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        q, k, v = heads(self.to_q(hidden_states)), heads(self.to_k(text)), heads(self.to_v(text))
        weights = (q @ k.transpose(-1, -2) * self.scale).softmax(-1)
        return self.to_out[0]((weights @ v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.attn2 = Attention(channels, width)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        x = x + self.conv(x).tanh()
        flat = x.flatten(2).transpose(1, 2)
        added = self.attn2(flat, encoder_hidden_states=text)
        return x + added.transpose(1, 2).reshape(x.shape)


class Network(nn.Module):
    """Three blocks that are registered in another order than they run."""

    def __init__(self, width: int, ballast: int = 0) -> None:
        super().__init__()
        self.enter = nn.Conv2d(1, 8, 3, padding=1)
        self.up, self.down, self.mid = (Block(8, width) for _ in range(3))
        self.leave = nn.Conv2d(8, 1, 3, padding=1)
        self.dropout = nn.Dropout(0.5)
        self.ballast = nn.Parameter(torch.zeros(ballast))

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        x = self.dropout(self.enter(x))
        for block in (self.down, self.mid, self.up):
            x = block(x, text)
        return self.leave(x)


class TextBlock(nn.Module):
    """A causal block: a token sees those before it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.attention = nn.Sequential(nn.Linear(WIDTH, WIDTH))
        self.mlp = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh())

    def forward(self, x: Tensor) -> tuple[Tensor]:
        before = self.norm(x).cumsum(1) / torch.arange(1, LENGTH + 1)[:, None]
        x = x + self.attention(before)
        return (x + self.mlp(x),)


class Reader(nn.Module):
    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.places = nn.Embedding(LENGTH, WIDTH)
        self.words = nn.Embedding(len(WORDS), WIDTH)
        self.blocks = nn.ModuleList(TextBlock() for _ in range(blocks))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.places(torch.arange(LENGTH)[None]) + self.words(tokens)
        for block in self.blocks:
            x = block(x)[0]
        return x


class Prompted(GenerativeModel):
    """A few steps from noise to a picture of 8 x 8 in [0, 1], with guidance.

    Args:
        seed: Of the weights.
        open_layers: Layers whose text has an effect; None for all.
        blocks: Blocks of the text encoder.
        ballast: Parameters that do nothing.
        steps: Steps from noise to picture.
        apart: Call the network twice in a guided step, instead of once with both halves.
    """

    capabilities = frozenset({"sample", "layers", "prompt", "cross_attention"})
    sample_shape = (1, SIDE, SIDE)
    data_range = (0.0, 1.0)
    empty_prompt = ""

    def __init__(
        self,
        seed: int = 0,
        open_layers: Any = None,
        blocks: int = 1,
        ballast: int = 0,
        steps: int = 2,
        apart: bool = False,
    ) -> None:
        self.network, self.text_encoder = Network(WIDTH, ballast), Reader(blocks)
        self.modules = (self.network, self.text_encoder)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for root in self.modules:
                for parameter in root.parameters():
                    drawn = torch.randn(parameter.shape, generator=generator)
                    parameter.copy_(drawn * (0.6 if parameter.ndim > 1 else 0.1))
            for name in LAYERS:
                if open_layers is not None and name not in open_layers:
                    layer = self.network.get_submodule(name)
                    layer.to_out[0].weight.zero_()
        self.steps, self.apart, self.guidance = steps, apart, 2.0
        self._evaluating = EvaluationMode(self.modules)

    @property
    def layers(self) -> dict[str, nn.Module]:
        return {
            f"{place}.{name}": module
            for place, root in enumerate(self.modules)
            for name, module in root.named_modules()
            if name
        }

    def tokens(self, prompt: str) -> list[int]:
        rows = [WORDS.index(word) for word in prompt.split()]
        return rows + [0] * (LENGTH - len(rows))

    def token_positions(self, prompt: str, words: str) -> list[int]:
        wanted, said = words.split(), prompt.split()
        for start in range(len(said) - len(wanted) + 1):
            if said[start : start + len(wanted)] == wanted:
                return list(range(start, start + len(wanted)))
        return []

    def embed_text(self, prompts: list[str]) -> Tensor:
        with self._evaluating():
            tokens = torch.tensor([self.tokens(prompt) for prompt in prompts])
            return self.text_encoder(tokens)

    def bind(self, prompt: str) -> Any:
        return self

    def sample(
        self,
        n: int,
        seed: int,
        prompt: str = "a seven",
        guidance: float | None = None,
        first: int = 0,
    ) -> Tensor:
        guidance = self.guidance if guidance is None else guidance
        x = normal_rows(first, n, self.sample_shape, seed)
        with torch.no_grad(), self._evaluating():
            text = self.embed_text([prompt]).expand(n, -1, -1)
            empty = self.embed_text([""]).expand(n, -1, -1)
            for _ in range(self.steps):
                x = 0.5 * x + self._guided(x, text, empty, guidance).tanh()
        return x.sigmoid()

    def _guided(self, x: Tensor, text: Tensor, empty: Tensor, guidance: float) -> Tensor:
        if guidance == 1.0:
            return self.network(x, text)
        if self.apart:
            without, given = self.network(x, empty), self.network(x, text)
        else:
            both = self.network(torch.cat([x, x]), torch.cat([empty, text]))
            without, given = both.chunk(2)
        return without + guidance * (given - without)


def ink(x: Tensor) -> Tensor:
    """How bright the upper half of pictures is."""
    return x[:, 0, : SIDE // 2].mean((1, 2))
