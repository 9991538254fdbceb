"""Explain a VAE of MNIST zeros with the other 56,000 training images (the paper's experiment).

    python examples/mnist_zeros.py

The model was trained on the first 4,000 zeros; the anchors are all other images of the training
file, 1,923 zeros among them. Into ``output/mnist_zeros`` go the figures, ``explanation.json``,
``anchors.parquet`` (a row per anchor), ``summary.json`` and ``summary.md`` (shares per digit with
95% intervals); the shares are also printed.
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
import numpy.typing as npt
import torch

from pxgen_plugins import PXGen, plots
from pxgen_plugins.datasets import MNISTVAE, load_mnist, load_mnist_vae
from pxgen_plugins.groups import GROUPS
from pxgen_plugins.models import VAE
from pxgen_plugins.result import Result
from pxgen_plugins.result.explanation import write_json
from pxgen_plugins.result.tables import write_parquet
from pxgen_plugins.thresholds import MeanMax
from pxgen_plugins.utils.files import write_atomic
from pxgen_plugins.utils.text import markdown_table, percent, percent_interval

N_TRAINED = 4_000


def anchors(digit: int = 0) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return all training images but the first 4,000 of ``digit``, and their labels."""
    images, labels = load_mnist("train")
    others = np.setdiff1d(np.arange(len(labels)), np.flatnonzero(labels == digit)[:N_TRAINED])
    return images[others], labels[others]


def wrap(net: MNISTVAE) -> VAE:
    """Return the network as a model that PXGen explains."""
    return VAE(net, sample_shape=(1, 28, 28))


def summarize(explanation: Any) -> dict[str, Any]:
    """Return shares per digit and group, and who is best reconstructed."""
    labels = np.asarray(explanation.labels)
    group = np.asarray(explanation.group)
    values = np.asarray(explanation.values)
    digits = sorted(set(labels.tolist()))
    intervals_of = Result.of(explanation).shares.intervals
    shares: dict[str, Any] = {}
    for digit in digits:
        of_digit = group[labels == digit]
        counts = {name: int((of_digit == name).sum()) for name in GROUPS}
        ends = intervals_of(labels == digit)
        shares[digit] = {
            name: {
                "count": count,
                "share": count / len(of_digit),
                "interval": ends[k].tolist(),
            }
            for k, (name, count) in enumerate(counts.items())
        }
    mse = values[:, explanation.criteria.index("mse")]
    lowest = labels[np.argsort(mse, kind="stable")[: int(0.05 * len(mse))]]
    return {
        "n_anchors": len(labels),
        "thresholds": explanation.thresholds,
        "threshold_std": explanation.threshold_std,
        "groups": {
            name: {key: explanation.groups[name][key] for key in ("count", "fraction", "interval")}
            for name in GROUPS
        },
        "mean_group_stability": float(np.nanmean(explanation.group_stability)),
        "shares": shares,
        "lowest_5_percent_mse": {digit: int((lowest == digit).sum()) for digit in digits},
    }


def table(summary: dict[str, Any]) -> str:
    """Return the summary as lines of text."""
    lines = [
        f"{summary['n_anchors']:,} anchors, thresholds "
        + ", ".join(
            f"{name} {value:.4g} +- {summary['threshold_std'][name]:.2g}"
            for name, value in summary["thresholds"].items()
        ),
        f"{'digit':>6}" + "".join(f"{name:>9}" for name in GROUPS) + "   HIHE, 95% interval",
    ]
    for digit, row in summary["shares"].items():
        low, high = row["HIHE"]["interval"]
        shares = "".join(f"{percent(row[name]['share']):>9}" for name in GROUPS)
        lines.append(f"{digit:>6}{shares}   {percent_interval(low, high)}")
    best = sorted(summary["lowest_5_percent_mse"].items(), key=lambda item: -item[1])
    shown = ", ".join(f"{count} of digit {digit}" for digit, count in best if count)
    lines.append(f"lowest 5% of MSE: {shown}")
    return "\n".join(lines)


def markdown(summary: dict[str, Any]) -> str:
    """Return the shares as the table of ``docs/results/mnist_zeros.md``."""
    rows = []
    for digit, row in summary["shares"].items():
        shares = [percent(row[name]["share"]) for name in GROUPS]
        name = f"{digit} (held out)" if digit == "0" else digit
        interval = percent_interval(*row["HIHE"]["interval"])
        rows.append([name, f"{shares[0]} ({interval})", *shares[1:]])
    header = ["digit", "HIHE, with 95% interval", *GROUPS[1:]]
    return "\n".join(markdown_table(header, rows, n_left=0)) + "\n"


def draw(explanation: Any, folder: Path) -> list[Path]:
    """Draw every figure into ``folder``; return the files."""
    drawings: dict[str, Any] = {
        "groups": lambda: plots.plot_groups(explanation),
        "groups_zeros": lambda: plots.plot_groups(explanation, label="0"),
        "delusion": lambda: plots.plot_delusion(explanation),
        "alignment": lambda: plots.plot_alignment(explanation),
        # the paper's figures
        "delusion_lowest": lambda: plots.plot_delusion(explanation, selection="lowest"),
        "alignment_lowest": lambda: plots.plot_alignment(explanation, selection="lowest"),
        "representatives": lambda: plots.plot_representatives(explanation, "k_dispersion"),
        "k_center": lambda: plots.plot_representatives(explanation, "k_center"),
        "label_shares": lambda: plots.plot_label_shares(explanation),
        "calibration": lambda: plots.plot_calibration(explanation),
    }
    files = []
    for name, drawing in drawings.items():
        figure = drawing().flat[0].figure.figure
        files.append(folder / f"{name}.png")
        figure.savefig(files[-1], dpi=150, bbox_inches="tight")
        plt.close(figure)
    return files


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(
        description="Explain a VAE of MNIST zeros.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--output", type=Path, default=Path("output/mnist_zeros"))
    parser.add_argument("--n-samples", type=int, default=1_000, help="model samples per repeat")
    parser.add_argument("--n-repeats", type=int, default=100)
    parser.add_argument("--n-anchors", type=int, help="only so many anchors, evenly spaced")
    parser.add_argument("--space", default="pixel", help="where representatives are apart")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(argv)

    mpl.use("Agg")
    torch.set_num_threads(1)  # on a busy machine of few cores more threads are slower
    images, labels = anchors()
    if given.n_anchors is not None:
        some = np.linspace(0, len(images) - 1, given.n_anchors).round().astype(int)
        images, labels = images[some], labels[some]
    explainer = PXGen(
        wrap(load_mnist_vae()),
        threshold=MeanMax(n_samples=given.n_samples, n_repeats=given.n_repeats),
        space=given.space,
        selectors=({"name": "k_center", "refine": True}, "k_dispersion"),
        seed=given.seed,
        verbose=True,
    ).fit()
    explanation = explainer.explain(images, labels=labels)
    folder: Path = given.output
    write_json(explanation, folder / "explanation.json")
    write_parquet(explanation, folder / "anchors.parquet")
    summary = summarize(explanation)
    write_atomic(folder / "summary.json", json.dumps(summary, indent=2).encode())
    write_atomic(folder / "summary.md", markdown(summary).encode())
    draw(explanation, folder)
    logging.info("%s", table(summary))
    logging.info("wrote %s: %s", folder, ", ".join(sorted(p.name for p in folder.iterdir())))


if __name__ == "__main__":
    main()
