"""Plant copies in four kinds of models, and see whether they are found, and nothing else.

    python examples/planted_copies.py --output docs/results

A VAE, a diffusion model, a language model of characters and a synthesizer of tables are each
trained twice: on 2,000 instances of which 50 stand there 100 times, and on many distinct ones.
``pxgen_plugins.evaluation.copies`` must find the 50 in the first and nothing in the second. Two
banks of instances are its extremes: one that is the training set, one of held-out data. For the
models without copies the search is repeated with other training, held-out and drawn instances of
their pool, ``--seeds`` times: in how many anything was found stands in the table.

The images are MNIST at half its size, the texts sentences of scipy's docstrings, the table is drawn
by this script. All of it takes a quarter of an hour on one core.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from copying_models import character_model, denoiser, people, table_model, variational
from family_models.sentences import sentences
from numpy.typing import NDArray

from pxgen_plugins.datasets import (
    load_mnist,
    load_mnist_conv_vae,
    load_mnist_gan,
    load_mnist_vae,
)
from pxgen_plugins.evaluation import Copies, copies
from pxgen_plugins.evaluation.memorisation.returned import returned
from pxgen_plugins.evaluation.memorisation.space import Space
from pxgen_plugins.models import GAN, VAE, SampleBank
from pxgen_plugins.utils.files import write_atomic
from pxgen_plugins.utils.seeds import derive
from pxgen_plugins.utils.text import markdown_table, number
from pxgen_plugins.utils.threads import one_thread

_log = logging.getLogger("planted_copies")
PLANTED, TIMES = 50, 100


@dataclass(frozen=True)
class Kind:
    """A family, and the data it is trained on.

    Attributes:
        data: Distinct instances, in random order: an array, a list of texts or a DataFrame.
        train: From instances and a number of steps to a model.
        steps: Steps of training.
        n: Instances of the small training set, the planted ones first.
    """

    data: Any
    train: Callable[[Any, int], Any]
    steps: int
    n: int = 2_000


def small_digits(n: int, low: float) -> NDArray[np.float32]:
    """Return ``n`` digits of MNIST as (n, 1, 14, 14), from ``low`` to 1, in random order."""
    X = load_mnist("train")[0]
    chosen = X[np.random.default_rng(0).permutation(len(X))[:n]].reshape(-1, 1, 14, 2, 14, 2)
    means = chosen.astype(np.float32).mean(axis=(3, 5)) / 255.0
    scaled: NDArray[np.float32] = (low + (1.0 - low) * means).astype(np.float32)
    return scaled


def kinds() -> dict[str, Kind]:
    """Return the families."""
    texts = [text for text in sentences(False) + sentences(True) if len(text) <= 80]
    order = np.random.default_rng(0).permutation(len(texts))
    return {
        "VAE": Kind(small_digits(30_000, 0.0), variational, 4_000),
        "diffusion": Kind(small_digits(30_000, -1.0), denoiser, 3_000),
        "characters": Kind([texts[i] for i in order], character_model, 1_200, n=1_000),
        "table": Kind(people(12_000), table_model, 0),
    }


def part(data: Any, index: Sequence[int] | NDArray[np.int64] | slice) -> Any:
    """Return some instances of an array, a list or a DataFrame."""
    if hasattr(data, "iloc"):
        return data.iloc[index].reset_index(drop=True)
    if isinstance(data, list):
        return data[index] if isinstance(index, slice) else [data[i] for i in index]
    return data[index]


def positions(n: int) -> NDArray[np.int64]:
    """Return the positions of a training set of ``n`` instances, the first 50 of them 100 times."""
    return np.concatenate([np.repeat(np.arange(PLANTED), TIMES), np.arange(PLANTED, n)])


def search(kind: Kind, steps: int, n_samples: int) -> tuple[Any, Copies]:
    """Train on planted copies and look for them; return the model, too."""
    place = positions(kind.n)
    model = kind.train(part(kind.data, place), steps)
    held_out = part(kind.data, slice(kind.n, 2 * kind.n))
    return model, copies(model, part(kind.data, place), held_out, n_samples=n_samples)


def clean(kind: Kind, steps: int, n_samples: int) -> tuple[Any, Copies]:
    """Train on distinct instances only, and look for copies."""
    half = len(kind.data) // 2
    n = min(kind.n, half)
    model = kind.train(part(kind.data, slice(half)), steps)
    held_out = part(kind.data, slice(half, half + n))
    return model, copies(model, part(kind.data, slice(n)), held_out, n_samples=n_samples)


def false_alarms(model: Any, kind: Kind, n_seeds: int, n_samples: int) -> int:
    """Return in how many of ``n_seeds`` draws any training instance of a clean model is listed."""
    half = len(kind.data) // 2
    n = min(kind.n, half) // 2
    space = Space(model)
    _, known = space.open(part(kind.data, slice(half)), "training")
    _, new = space.open(part(kind.data, slice(half, None)), "held_out")
    pool = space.rows(space.draw(4 * n_samples, derive(1, "pool")))
    alarms = 0
    for seed in range(n_seeds):
        rng = np.random.default_rng(seed)
        some, others, samples = (
            rows[np.sort(rng.permutation(rows.shape[0])[:k])]
            for rows, k in ((known, n), (new, n), (pool, n_samples))
        )
        found = returned(some, others, samples, np.ones(n, dtype=np.int64), seed)
        alarms += bool((found.adjusted <= 0.05).any())
    return alarms


def row_of(name: str, found: Copies, n_planted: int) -> dict[str, Any]:
    """Return the row of a model in the table."""
    listed = [pair.training for pair in found.pairs]
    right = sum(place < n_planted for place in listed)
    best = max(found.membership.items(), key=lambda item: item[1].auc, default=None)
    return {
        "model": name,
        "planted": n_planted // TIMES if n_planted > PLANTED else n_planted,
        "found": right,
        "others": len(listed) - right,
        "nearest_training": found.attraction.share,
        "authentic": found.authenticity.share,
        "authentic_new": found.authenticity.control,
        "best_criterion": None if best is None else best[0],
        "best_auc": None if best is None else best[1].auc,
        "best_low": None if best is None else best[1].interval[0],
        "best_high": None if best is None else best[1].interval[1],
        "alarms": None,
    }


def banks(kind: Kind) -> list[dict[str, Any]]:
    """Return the rows of a bank that is the training set, and of one of held-out data."""
    X = kind.data[:3_000]
    rows = []
    for name, bank, planted in (("bank of training data", X[:1_000], 1_000),
                                ("bank of other data", X[1_000:2_000], 0)):  # fmt: skip
        found = copies(SampleBank(bank), X[:1_000], X[2_000:])
        rows.append({**row_of(name, found, planted), "planted": planted})
    return rows


def shipped() -> list[dict[str, Any]]:
    """Return the rows of the models that come with the package, all of MNIST's training file."""
    generator, discriminator = load_mnist_gan()
    models: dict[str, tuple[Any, int | None]] = {
        "shipped VAE of zeros": (VAE(load_mnist_vae(), sample_shape=(1, 28, 28)), 0),
        "shipped VAE of digits": (VAE(load_mnist_conv_vae(), sample_shape=(1, 28, 28)), None),
        "shipped DCGAN": (
            GAN(generator, discriminator=discriminator, latent_shape=(32,)),
            None,
        ),
    }
    rows = []
    for name, (model, digit) in models.items():
        known, new = (load_mnist(split, digits=digit)[0] for split in ("train", "test"))
        order = [np.random.default_rng(0).permutation(len(some))[:2_000] for some in (known, new)]
        found = copies(model, known[order[0]], new[order[1]])
        rows.append(row_of(name, found, 0))
        _log.info("%s: %s %s", name, found.sentence(), " ".join(found.notes))
    return rows


def run(n_samples: int, n_seeds: int, scale: float, folder: Path, only: Sequence[str]) -> None:
    """Train, search, and write the table and the figures."""
    everything = kinds()
    rows = [] if only else [*banks(everything["VAE"]), *shipped()]
    for name in only or everything:
        kind = everything[name]
        steps = max(1, round(kind.steps * scale))
        _, found = search(kind, steps, n_samples)
        rows.append(row_of(f"{name}, 50 repeated", found, PLANTED * TIMES))
        _log.info("%s", found.sentence())
        found.plot()
        plt.gcf().savefig(folder / f"planted_copies_{name.lower()}.png", dpi=150)
        plt.close("all")
        model, found = clean(kind, steps, n_samples)
        alarms = false_alarms(model, kind, n_seeds, n_samples)
        rows.append({**row_of(f"{name}, none repeated", found, 0), "alarms": alarms})
        _log.info("%s In %d of %d draws.", found.sentence(), alarms, n_seeds)
    content = {"n_samples": n_samples, "n_seeds": n_seeds, "rows": rows}
    write_atomic(folder / "planted_copies.json", (json.dumps(content, indent=1) + "\n").encode())
    write_atomic(folder / "planted_copies.md", page(rows, n_seeds).encode())


def page(rows: Sequence[dict[str, Any]], n_seeds: int) -> str:
    """Return the table as Markdown."""
    head = ["model", "copies", "found", "others listed", "samples nearest to training",
            "authentic (new data)", "best criterion", "AUC", "draws with one listed"]  # fmt: skip
    cells = [
        [
            row["model"], str(row["planted"]), str(row["found"]), str(row["others"]),
            f"{row['nearest_training']:.1%}",
            f"{row['authentic']:.1%} ({row['authentic_new']:.1%})",
            row["best_criterion"] or "",
            "" if row["best_auc"] is None else f"{number(row['best_auc'], 3)} "
            f"({number(row['best_low'], 3)} to {number(row['best_high'], 3)})",
            "" if row["alarms"] is None else f"{row['alarms']} of {n_seeds}",
        ]
        for row in rows
    ]  # fmt: skip
    lines = ["# Planted copies", "", "Made by `python examples/planted_copies.py`, whose docstring",
             "says what is planted; what the columns are: `docs/copies.md`.", ""]  # fmt: skip
    return "\n".join([*lines, *markdown_table(head, cells, n_left=1)]) + "\n"


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description="Plant copies, and look for them.")
    parser.add_argument("--samples", type=int, default=5_000)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--scale", type=float, default=1.0, help="times the steps of training")
    parser.add_argument("--only", nargs="+", default=(), help="families")
    parser.add_argument("--output", type=Path, default=Path("outputs/planted_copies"))
    given = parser.parse_args(argv)
    mpl.use("Agg")
    given.output.mkdir(parents=True, exist_ok=True)
    with one_thread():
        run(given.samples, given.seeds, given.scale, given.output, given.only)


if __name__ == "__main__":
    main()
