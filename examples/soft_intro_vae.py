"""Explain a Soft-IntroVAE of CIFAR-10 automobiles with 300 images of each class.

    python examples/train_soft_intro_vae.py --data cifar10_subset.npz --minutes 85
    python examples/soft_intro_vae.py --data cifar10_subset.npz --weights soft_intro_vae.safetensors

The PXGen paper's second demonstration (Huang, Weng and Yang, 2025). The intrinsic criterion is the
KL divergence. The paper's extrinsic one is a Frechet distance between an anchor and its
reconstruction; a single image has no distribution of Inception features, so here it is that between
the patches of the two (``patch_frechet``), with the squared error beside it. The data file holds
``test_x`` of shape (n, 32, 32, 3), uint8, and ``test_y``, the numbers of CIFAR-10's classes.

Into ``--output`` go figures, ``soft_intro_vae.json`` and the same as Markdown: shares of the groups
per class with 95% intervals, and how well each criterion tells automobiles from the rest.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from signature import signature
from sklearn.metrics import roc_auc_score
from train_soft_intro_vae import load_model

from pxgen_plugins import PXGen, plots
from pxgen_plugins.groups import GROUPS
from pxgen_plugins.result import Result
from pxgen_plugins.thresholds import MeanMax
from pxgen_plugins.utils.files import write_atomic

_log = logging.getLogger("soft_intro_vae")
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
KNOWN = "automobile"


def summarize(explanation: Any) -> dict[str, Any]:
    """Return shares per class and group, and the AUROC of each criterion."""
    labels, group = np.asarray(explanation.labels), np.asarray(explanation.group)
    intervals_of = Result.of(explanation).shares.intervals
    shares = {}
    for name in CLASSES:
        own = group[labels == name]
        ends = intervals_of(labels == name)
        shares[name] = {
            g: {"share": float((own == g).mean()), "interval": ends[k].tolist()}
            for k, g in enumerate(GROUPS)
        }
    values = np.asarray(explanation.values)
    unknown = (labels != KNOWN).astype(int)
    return {
        "thresholds": explanation.thresholds,
        "threshold_std": explanation.threshold_std,
        "groups": {g: explanation.groups[g]["fraction"] for g in GROUPS},
        "shares": shares,
        "auroc_other_classes": {
            name: float(roc_auc_score(unknown, values[:, j]))
            for j, name in enumerate(explanation.criteria)
        },
    }


def markdown(found: dict[str, dict[str, Any]]) -> str:
    """Return one table per extrinsic criterion."""
    lines = []
    for extrinsic, summary in found.items():
        cut = ", ".join(
            f"{name} {value:.4g} (standard deviation {summary['threshold_std'][name]:.2g})"
            for name, value in summary["thresholds"].items()
        )
        auroc = ", ".join(f"{k} {v:.3f}" for k, v in summary["auroc_other_classes"].items())
        lines += [
            f"### KLD and {extrinsic}",
            "",
            f"Thresholds: {cut}. AUROC of other classes against automobiles: {auroc}.",
            "",
            "| class | HIHE, with 95% interval | HILE | LIHE | LILE |",
            "|---|--:|--:|--:|--:|",
        ]
        for name, row in summary["shares"].items():
            low, high = row["HIHE"]["interval"]
            rest = " | ".join(f"{row[g]['share']:.1%}" for g in GROUPS[1:])
            lines.append(
                f"| {name} | {row['HIHE']['share']:.1%} ({low:.1%} to {high:.1%}) | {rest} |"
            )
        lines.append("")
    return "\n".join(lines)


def draw(explanation: Any, folder: Path, suffix: str) -> None:
    """Draw groups, strips and representatives into ``folder``."""
    drawings: dict[str, Callable[[], Any]] = {
        "groups": lambda: plots.plot_groups(explanation, label=KNOWN),
        "delusion": lambda: plots.plot_delusion(explanation, selection="lowest"),
        "alignment": lambda: plots.plot_alignment(explanation, selection="lowest"),
        "representatives": lambda: plots.plot_representatives(explanation, "k_dispersion"),
    }
    for name, drawing in drawings.items():
        figure = drawing().flat[0].get_figure(root=True)
        path = folder / f"soft_intro_vae_{name}_{suffix}.png"
        figure.savefig(path, dpi=110, bbox_inches="tight")
        plt.close(figure)


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description="Explain a Soft-IntroVAE of automobiles.")
    parser.add_argument("--data", type=Path, required=True, help="npz with test_x and test_y")
    parser.add_argument("--weights", type=Path, default=Path("soft_intro_vae.safetensors"))
    parser.add_argument("--output", type=Path, default=Path("output/soft_intro_vae"))
    parser.add_argument("--n-samples", type=int, default=1_000, help="model samples per repeat")
    parser.add_argument("--n-repeats", type=int, default=5)
    given = parser.parse_args(argv)
    mpl.use("Agg")
    torch.set_num_threads(1)
    data = np.load(given.data, allow_pickle=False)
    images = data["test_x"].transpose(0, 3, 1, 2)
    labels = [CLASSES[k] for k in data["test_y"]]
    model = load_model(given.weights)
    given.output.mkdir(parents=True, exist_ok=True)
    found = {}
    for extrinsic in ("patch_frechet", "mse"):
        rule = MeanMax(n_samples=given.n_samples, n_repeats=given.n_repeats)
        explainer = PXGen(model, extrinsic=extrinsic, threshold=rule, space="pixel", verbose=True)
        explanation = explainer.fit().explain(images, labels=labels)
        found[extrinsic] = summarize(explanation)
        draw(explanation, given.output, extrinsic)
    write_atomic(given.output / "soft_intro_vae.json", json.dumps(found, indent=1).encode())
    text = markdown(found) + signature(__file__, argv)
    write_atomic(given.output / "soft_intro_vae.md", text.encode())
    _log.info("%s", text)


if __name__ == "__main__":
    main()
