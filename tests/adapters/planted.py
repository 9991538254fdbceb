"""A renderer whose factors are known, and describers that tell the truth, lie, or fall silent."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pxgen_plugins.describers import frames_of, read_question
from pxgen_plugins.models.base import GenerativeModel

SIDE = 32
FACTORS = {
    "z0": ("horizontal position", "right"),
    "z1": ("vertical position", "down"),
    "z2": ("size", "larger"),
    "z3": ("brightness", "brighter"),
    "z4": None,  # does nothing
}


class Renderer(GenerativeModel):
    """Draws a soft square: codes are x, y, size, brightness, and one that does nothing."""

    capabilities = frozenset({"sample", "decode"})
    sample_shape = (1, SIDE, SIDE)
    latent_shape = (5,)
    data_range = (0.0, 1.0)

    def decode(self, z: Tensor) -> Tensor:
        x, y, size, light, _ = (z[:, j, None, None] for j in range(5))
        grid = torch.arange(SIDE, dtype=z.dtype)
        across = (grid[None, None, :] - 15.5 - 3.0 * x).abs()
        along = (grid[None, :, None] - 15.5 - 3.0 * y).abs()
        edge = torch.maximum(across, along) - (4.5 + 1.0 * size)
        return ((-2.0 * edge).sigmoid() * (0.6 + 0.18 * light).clamp(0.05, 1.0))[:, None]

    def sample(self, n: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return self.decode(torch.randn(n, 5, generator=generator))


# Per factor: words for it, and for its two ways; the describer speaks by its seed.
WORDS = {
    "x": (["horizontal position", "location"], ["right", "rightwards"], ["left", "leftwards"]),
    "y": (["vertical position", "y position"], ["down", "downwards"], ["up", "upwards"]),
    "size": (["size", "scale of the square"], ["larger", "bigger"], ["smaller", "shrinking"]),
    "light": (["brightness", "intensity"], ["brighter", "lighter"], ["darker", "dimmer"]),
}
SENTENCES = ["The square changes: {} {}.", "You can see how its {} goes {}."]


def measures(film: Any, n: int) -> np.ndarray:
    """x, y, size and light of every frame in units in which their axes are alike, (n, 4)."""
    rows = []
    for frame in frames_of(film, n):
        values = frame[::3, ::3].astype(float) / 255
        mass = values.sum() + 1e-9
        grid = np.arange(SIDE)
        top = values.max()
        area = (values > top / 2).sum()
        centre = (values.sum(0) @ grid / mass / 3, values.sum(1) @ grid / mass / 3)
        rows.append([*centre, np.sqrt(area) / 2, top / 0.18])
    return np.array(rows)


class Truthful:
    """Measures what changes steadily; words vary by seed, never what is said."""

    def __init__(self) -> None:
        self.calls = 0

    def __repr__(self) -> str:
        return "Truthful()"

    def __call__(self, images: list[Any], prompt: str, *, seed: int) -> str:
        self.calls += 1
        question = read_question(prompt)
        tables = [measures(image, question.n_frames) for image in images]
        if question.task == "match":
            return json.dumps({"choice": "ABCDEFGH"[self.match(question.sentence, tables)]})
        if question.task == "groups":
            ways = [tables[1].mean(0) - tables[0].mean(0)]
        else:
            ways = [self.way(table) for table in tables]
        way = np.mean(ways, axis=0)
        factor = int(np.abs(way).argmax())
        if abs(way[factor]) < 1.0:
            return json.dumps({"changes": False})
        names, *sides = list(WORDS.values())[factor]
        side = sides[0 if way[factor] > 0 else 1]
        attribute, direction = names[seed % 2], side[seed // 2 % 2]
        sentence = SENTENCES[seed // 4 % 2].format(attribute, direction)
        answer = {"changes": True, "attribute": attribute, "direction": direction,
                  "sentence": sentence, "confidence": 0.9}  # fmt: skip
        return "Here you are: " + json.dumps(answer)

    def way(self, table: np.ndarray) -> np.ndarray:
        """The change from first to last frame, of what changes by every step in one direction."""
        steps = np.diff(table, axis=0)
        steady = (steps > -0.1).all(0) | (steps < 0.1).all(0)
        return (table[-1] - table[0]) * steady

    def match(self, sentence: str, tables: list[np.ndarray]) -> int:
        for j, (names, up, down) in enumerate(WORDS.values()):
            if any(name in sentence for name in names):
                sign = 1 if any(word in sentence for word in up) else -1
                if all(word not in sentence for word in [*up, *down]):
                    continue
                ways = [sign * self.way(table)[j] for table in tables]
                if any(len(t) and w > 1.0 for t, w in zip(tables, ways, strict=True)):
                    return int(np.argmax(ways))
                means = [sign * table.mean(0)[j] for table in tables]
                return int(np.argmax(means))
        return 0


def liar(images: list[Any], prompt: str, *, seed: int) -> str:
    """One fluent sentence for everything."""
    if read_question(prompt).task == "match":
        return json.dumps({"choice": "A"})
    return json.dumps({"changes": True, "attribute": "size", "direction": "larger",
                       "sentence": "The object grows smoothly.", "confidence": 0.99})  # fmt: skip


class Salient:
    """Tells films with something in them from others, has one sentence for all, picks the most.

    For a film how far it goes steadily, for groups how large the squares are.
    """

    def __repr__(self) -> str:
        return "Salient()"

    def __call__(self, images: list[Any], prompt: str, *, seed: int) -> str:
        question = read_question(prompt)
        groups = question.task == "groups" or "one of the groups" in prompt
        tables = [measures(image, question.n_frames) for image in images]
        if groups:
            much = [table.mean(0)[2] for table in tables]
            changes = abs(much[-1] - much[0]) > 1.0
        else:
            much = [np.abs(Truthful().way(table)).max() for table in tables]
            changes = max(much) > 1.0
        if question.task == "match":
            return json.dumps({"choice": "ABCDEFGH"[int(np.argmax(much))]})
        said = {"attribute": "shape", "sentence": "The outline changes remarkably."}
        return json.dumps({"changes": bool(changes), **said})
