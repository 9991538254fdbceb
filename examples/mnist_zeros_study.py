"""How the groups of the MNIST zeros move with the threshold rule and the latent dimension.

    python examples/mnist_zeros_study.py --output docs/results

For the authors' 200 latent dimensions (the shipped weights) and for 20 (trained here, by the same
recipe, in about 25 seconds) the same 56,000 anchors are grouped under several rules, among them the
authors' own 60,000 samples x 100 repeats. Written are ``mnist_zeros.json`` and a table as Markdown.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import re
import time
from pathlib import Path
from typing import Any

import torch
from mnist_zeros import anchors, wrap
from train_mnist_vae import Recipe, train

from pxgen_plugins import PXGen
from pxgen_plugins.datasets import MNISTVAE, load_mnist, load_mnist_vae
from pxgen_plugins.evaluation import threshold_study
from pxgen_plugins.groups import GROUPS
from pxgen_plugins.thresholds import Conformal, MeanMax, Median, Quantile, Rule
from pxgen_plugins.utils.files import write_atomic
from pxgen_plugins.utils.text import percent, percent_interval

# the table names samples and repeats by their places, the JSON in full
_SHOWN_BY_PLACE = re.compile(
    r"n_samples=|n_repeats=|, source='samples'|, joint=False|, tolerance=None"
)


def rules(full: bool) -> list[Rule]:
    """Return the rules compared; ``full`` adds the authors' setting, which takes minutes."""
    some: list[Rule] = [
        MeanMax(1_000, 100),
        MeanMax(10_000, 10),
        MeanMax(60_000, 10),
    ]
    if full:
        some.append(MeanMax.authors())
    return [*some, Quantile(0.99), Quantile(0.999), Conformal(0.01), Median(3.0)]


def network(latent_size: int) -> MNISTVAE:
    """Return the shipped network, or one trained here by the same recipe."""
    if latent_size == 200:
        return load_mnist_vae()
    recipe = Recipe(latent_size=latent_size)
    images, _ = load_mnist("train", digits=0)
    return train(images[: recipe.n_images], recipe, progress=True)[0]


def study(latent_size: int, full: bool) -> list[dict[str, Any]]:
    """Return one row per rule: thresholds, shares of the groups, HIHE share per digit."""
    images, labels = anchors()
    first, *others = rules(full)
    explainer = PXGen(wrap(network(latent_size)), threshold=first, verbose=True)
    start = time.perf_counter()
    explainer.fit()
    seconds = time.perf_counter() - start
    found = threshold_study(explainer, images, others, labels, verbose=True)
    return [
        {
            "latent_size": latent_size,
            "rule": row["case"],
            "thresholds": row["thresholds"],
            "threshold_std": row["threshold_std"],
            "fractions": row["fractions"],
            "fraction_intervals": row["intervals"],
            "hihe_share": {digit: of["share"] for digit, of in row["labels"].items()},
            "hihe_interval": {digit: of["interval"] for digit, of in row["labels"].items()},
            "mean_group_stability": row["stability"],
            "calibration_seconds": round(seconds if row["seconds"] is None else row["seconds"], 1),
        }
        for row in found.rows
    ]


def as_text(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| z | rule | KLD, nats | MSE | HIHE | HILE | LIHE | LILE | zeros HIHE (95%) "
        "| best other digit | stability | s |",
        "|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for r in rows:
        low, high = r["hihe_interval"]["0"]
        other = max((d for d in r["hihe_share"] if d != "0"), key=lambda d: r["hihe_share"][d])
        cells = [
            r["latent_size"],
            f"`{_SHOWN_BY_PLACE.sub('', r['rule'])}`",
            *(f"{r['thresholds'][c]:.4g} ± {r['threshold_std'][c]:.2g}" for c in ("kld", "mse")),
            *(percent(r["fractions"][name]) for name in GROUPS),
            f"{percent(r['hihe_share']['0'])} ({percent_interval(low, high)})",
            f"{other}: {percent(r['hihe_share'][other])}",
            f"{r['mean_group_stability']:.3f}",
            r["calibration_seconds"],
        ]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(
        description="Study the groups of the MNIST zeros.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--output", type=Path, default=Path("output/mnist_zeros_study"))
    parser.add_argument("--quick", action="store_true", help="without 60,000 samples x 100 repeats")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    rows = [r for latent_size in (200, 20) for r in study(latent_size, not given.quick)]
    setting = {
        "command": "python examples/mnist_zeros_study.py",
        "machine": f"{platform.machine()}, one thread, torch {torch.__version__}",
        "rows": rows,
    }
    write_atomic(given.output / "mnist_zeros.json", (json.dumps(setting, indent=2) + "\n").encode())
    write_atomic(given.output / "mnist_zeros_table.md", as_text(rows).encode())
    logging.info("%s", as_text(rows))


if __name__ == "__main__":
    main()
