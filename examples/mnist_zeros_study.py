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
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from mnist_zeros import anchors, wrap
from train_mnist_vae import Recipe, train

from pxgen_plugins import criteria, groups
from pxgen_plugins.anchors import open_anchors
from pxgen_plugins.datasets import MNISTVAE, load_mnist, load_mnist_vae
from pxgen_plugins.explanation import write_atomic
from pxgen_plugins.scoring import Scorer
from pxgen_plugins.thresholds import Conformal, MeanMax, Median, Quantile, Rule

KINDS = ["intrinsic", "extrinsic"]


def rules(full: bool) -> list[Rule]:
    """Return the rules compared; ``full`` adds the authors' setting, which takes minutes."""
    some: list[Rule] = [MeanMax(n, 10) for n in (1_000, 10_000, 60_000)]
    if full:
        some.append(MeanMax(60_000, 100))
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
    scorer = Scorer(wrap(network(latent_size)), [criteria.make("kld"), criteria.make("mse")])
    values = scorer.score(open_anchors(images, sample_shape=(1, 28, 28)), verbose=True).values
    return [row(rule, scorer, values, labels, latent_size) for rule in rules(full)]


def row(
    rule: Rule,
    scorer: Scorer,
    values: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int64],
    latent_size: int,
) -> dict[str, Any]:
    """Return what one rule makes of the anchors."""
    start = time.perf_counter()
    found = rule.calibrate(scorer, seed=0, verbose=True)
    seconds = time.perf_counter() - start
    group = groups.assign(values, found.thresholds, KINDS)
    stable = groups.stability(values, found.thresholds, found.repeats, KINDS)
    inside = group == "HIHE"
    counts = {str(d): (int(inside[labels == d].sum()), int((labels == d).sum())) for d in range(10)}
    return {
        "latent_size": latent_size,
        "rule": repr(rule),
        "thresholds": dict(zip(found.names, found.thresholds.tolist(), strict=True)),
        "threshold_std": dict(zip(found.names, found.std.tolist(), strict=True)),
        "fractions": {name: float((group == name).mean()) for name in groups.GROUPS},
        "hihe_share": {digit: count / n for digit, (count, n) in counts.items()},
        "hihe_interval": {d: groups.wilson_interval(count, n) for d, (count, n) in counts.items()},
        "mean_group_stability": float(stable.mean()),
        "calibration_seconds": round(seconds, 1),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def as_text(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| z | rule | KLD, nats | MSE | HIHE | HILE | LIHE | LILE | zeros HIHE (95%) "
        "| best other digit | stability | s | peak MiB |",
        "|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for r in rows:
        low, high = r["hihe_interval"]["0"]
        other = max((d for d in r["hihe_share"] if d != "0"), key=lambda d: r["hihe_share"][d])
        cells = [
            r["latent_size"],
            f"`{r['rule']}`",
            *(f"{r['thresholds'][c]:.4g} ± {r['threshold_std'][c]:.2g}" for c in ("kld", "mse")),
            *(f"{r['fractions'][name]:.1%}" for name in groups.GROUPS),
            f"{r['hihe_share']['0']:.1%} ({low:.1%} to {high:.1%})",
            f"{other}: {r['hihe_share'][other]:.1%}",
            f"{r['mean_group_stability']:.3f}",
            r["calibration_seconds"],
            r["peak_memory_mib"],
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
