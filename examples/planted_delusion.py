"""Plant a delusion in a VAE of MNIST zeros, and see whether PXGen finds it.

    python examples/planted_delusion.py

Two models are trained alike: one on zeros, one on as many images of which a tenth are sevens, as if
they had been mislabelled. Both explain the MNIST test file. PXGen has found the plant when, of all
digits but the zero, sevens gain most in HIHE; how much each digit gains stands in the table, with
the 95% interval of the difference (Newcombe 1998, method 10). Sevens among the representatives show
it to whoever only looks at pictures. Written are JSON, Markdown and the representatives.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from mnist_zeros import wrap
from numpy.typing import NDArray
from signature import signature
from train_mnist_vae import Recipe, train

from pxgen_plugins import PXGen, plots
from pxgen_plugins.datasets import load_mnist
from pxgen_plugins.groups import wilson_interval
from pxgen_plugins.thresholds import MeanMax
from pxgen_plugins.utils.files import write_atomic

_log = logging.getLogger("planted_delusion")


def training_set(n: int, planted: int, share: float, seed: int) -> NDArray[np.uint8]:
    """Return ``n`` zeros, of which ``share`` are replaced by images of the digit ``planted``."""
    zeros = load_mnist("train", digits=0)[0][:n].copy()
    number = round(share * n)
    where = np.random.default_rng(seed).choice(n, number, replace=False)
    zeros[where] = load_mnist("train", digits=planted)[0][:number]
    return zeros


def difference(one: tuple[int, int], other: tuple[int, int]) -> tuple[float, float, float]:
    """Return p - q and its 95% interval, for shares p and q given as (count, total).

    Newcombe (1998), method 10: from the Wilson intervals of the two shares.
    """
    p, q = one[0] / one[1], other[0] / other[1]
    (p_low, p_high), (q_low, q_high) = (wilson_interval(*pair) or [0, 1] for pair in (one, other))
    below = np.hypot(p - p_low, q_high - q)
    above = np.hypot(p_high - p, q - q_low)
    return p - q, float(p - q - below), float(p - q + above)


def explain(images: NDArray[np.uint8], given: argparse.Namespace) -> Any:
    """Train a model on ``images`` and return its explanation of the test file."""
    recipe = Recipe(n_images=len(images), epochs=given.epochs)
    net, _ = train(images, recipe, fused=True)
    rule = MeanMax(n_samples=given.n_samples, n_repeats=100)
    anchors, labels = load_mnist("test")
    explainer = PXGen(wrap(net), threshold=rule, space="pixel", seed=0).fit()
    return explainer.explain(anchors[: given.n_anchors], labels=labels[: given.n_anchors])


def summarize(clean: Any, deluded: Any, planted: int) -> dict[str, Any]:
    """Return each digit's share in HIHE under both models, and whether the plant was found."""
    labels = np.asarray(clean.labels)
    rows: dict[str, dict[str, Any]] = {}
    for digit in sorted(set(labels.tolist())):
        of = labels == digit
        counts = [int((np.asarray(e.group)[of] == "HIHE").sum()) for e in (clean, deluded)]
        total = int(of.sum())
        gain, low, high = difference((counts[1], total), (counts[0], total))
        rows[digit] = {
            "clean": counts[0] / total,
            "deluded": counts[1] / total,
            "gain": gain,
            "interval": [low, high],
        }
    strangers: dict[str, float] = {
        digit: row["gain"] for digit, row in rows.items() if digit != "0"
    }
    picked = deluded.groups["HIHE"]["representatives"]
    return {
        "planted": str(planted),
        "found": max(strangers, key=lambda digit: strangers[digit]) == str(planted),
        "digits": rows,
        "labels_of_representatives": {
            selector: sorted(labels[index].tolist()) for selector, index in picked.items()
        },
    }


def markdown(found: dict[str, Any]) -> str:
    """Return the summary as a table."""
    lines = [
        "| digit | HIHE, clean | HIHE, deluded | gain, with 95% interval |",
        "|--:|--:|--:|--:|",
    ]
    for digit, row in found["digits"].items():
        low, high = row["interval"]
        lines.append(
            f"| {digit} | {row['clean']:.1%} | {row['deluded']:.1%} | {row['gain']:+.1%} "
            f"({low:+.1%} to {high:+.1%}) |"
        )
    said = "found" if found["found"] else "not found"
    lines += ["", f"Planted digit {found['planted']}: {said}. Digits of HIHE representatives:", ""]
    for selector, labels in found["labels_of_representatives"].items():
        lines.append(f"- {selector}: {', '.join(labels)}")
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Run the script with ``argv``, those of the command line by default; return the summary."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description="Plant a delusion, and find it.")
    parser.add_argument("--planted", type=int, choices=range(1, 10), default=7)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--n-images", type=int, default=4_000)
    parser.add_argument("--n-anchors", type=int, default=10_000)
    parser.add_argument("--n-samples", type=int, default=1_000)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--output", type=Path, default=Path("output/planted_delusion"))
    given = parser.parse_args(argv)
    mpl.use("Agg")
    torch.set_num_threads(1)
    clean, deluded = (
        explain(training_set(given.n_images, given.planted, share, seed=0), given)
        for share in (0.0, given.share)
    )
    found = summarize(clean, deluded, given.planted)
    given.output.mkdir(parents=True, exist_ok=True)
    write_atomic(given.output / "planted_delusion.json", json.dumps(found, indent=1).encode())
    text = markdown(found) + signature(__file__, argv)
    write_atomic(given.output / "planted_delusion.md", text.encode())
    axes: Any = plots.plot_representatives(deluded, "k_dispersion").flat[0]
    figure = axes.get_figure(root=True)
    figure.savefig(given.output / "planted_delusion.png", dpi=120, bbox_inches="tight")
    plt.close(figure)
    _log.info("%s", markdown(found))
    return found


if __name__ == "__main__":
    main()
