"""Train a small language model of characters, to explain one without downloading any.

    python examples/train_char_lm.py --output examples/weights/char_lm.safetensors

A GPT-2 of three layers learns the sentences of scipy's docstrings (as installed; its version is on
the card), of which one in ten is held out. It takes about a quarter of an hour on one core. The
weights are written in half precision, with a JSON card beside them.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from family_models.common import WEIGHTS
from family_models.language_model import LONGEST, Characters, network
from family_models.sentences import sentences
from torch.nn import functional
from tqdm.auto import tqdm
from weight_card import write_weights

from pxgen_plugins.utils.threads import one_thread

_log = logging.getLogger("train_char_lm")
REPORT = 100


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run."""

    steps: int = 2_500
    batch_size: int = 32
    learning_rate: float = 3e-3
    seed: int = 0


def train(recipe: Recipe) -> tuple[torch.nn.Module, list[float]]:
    """Return the trained network and its mean loss over each 100 steps, nats per character."""
    encode = Characters()
    rows = encode(sentences(held_out=False))["input_ids"]
    data = torch.zeros(len(rows), LONGEST, dtype=torch.int64)
    for at, row in enumerate(rows):
        data[at, : len(row)] = torch.tensor(row[:LONGEST])
    lengths = torch.tensor([len(row) for row in rows])
    net: Any = network(recipe.seed).train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=recipe.learning_rate, weight_decay=0.01)
    generator = torch.Generator().manual_seed(recipe.seed)
    history: list[float] = []
    total = 0.0
    for step in tqdm(range(recipe.steps), unit="step"):
        warm = min(1.0, (step + 1) / 100, (recipe.steps - step) / (0.5 * recipe.steps))
        optimiser.param_groups[0]["lr"] = recipe.learning_rate * warm
        drawn = torch.randint(len(data), (recipe.batch_size,), generator=generator)
        longest = int(lengths[drawn].max())
        ids = data[drawn, :longest]
        seen = torch.arange(longest - 1) < lengths[drawn, None] - 1
        logits = net(input_ids=ids[:, :-1]).logits
        loss = functional.cross_entropy(logits[seen], ids[:, 1:][seen])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        total += loss.item()
        if (step + 1) % REPORT == 0:
            history.append(round(total / REPORT, 4))
            total = 0.0
    return net.eval(), history


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    default = Recipe()
    parser = argparse.ArgumentParser(description="Train a small language model of characters.")
    parser.add_argument("--steps", type=int, default=default.steps)
    parser.add_argument("--output", type=Path, default=WEIGHTS / "char_lm.safetensors")
    given = parser.parse_args(argv)
    recipe = Recipe(steps=given.steps)
    with one_thread():
        net, history = train(recipe)
    weights = {
        name: value.half()
        for name, value in net.state_dict().items()
        if name != "lm_head.weight"  # the same as the embedding
    }
    card = {
        "title": "GPT-2 of characters, three layers of 96 dimensions",
        "licence": "Apache-2.0",
        "trained_on": f"sentences of the docstrings of scipy {version('scipy')}, nine in ten",
        "trained_by": "examples/train_char_lm.py",
        "recipe": asdict(recipe),
        "loss_nats_per_character_per_100_steps": history,
    }
    write_weights(given.output, weights, card)
    size = given.output.stat().st_size
    _log.info("wrote %s: %d bytes, last loss %.4g", given.output, size, history[-1])


if __name__ == "__main__":
    main()
