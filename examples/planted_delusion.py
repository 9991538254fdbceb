"""Plant a delusion in a VAE of MNIST zeros, and see whether PXGen finds it.

    python examples/planted_delusion.py

Two models are trained alike: one on zeros, one on as many images of which a tenth are sevens, as if
they had been mislabelled. Both explain the MNIST test file.

With the clean twin at hand the plant is found when, of all digits but the zero, sevens gain most in
HIHE; how much each digit gains stands in the table, with the 95% interval of the difference
(Newcombe 1998, method 10). A user has no twin, knows that the model was meant for zeros, and may
look for what else it knows in three ways, each of which can fail, and says so:

- by labels: of all other digits sevens have the largest share in HIHE;
- by representatives: of all other digits sevens are the most frequent among those of HIHE;
- by neighbourhood in features, without labels: HIHE anchors that lie farther from every held-out
  zero than 99% of held-out zeros do are put into ten clusters (k-means), and most of the largest
  one are sevens.

Written are JSON, Markdown and the representatives.
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
from scipy.spatial.distance import cdist
from signature import signature
from sklearn.cluster import KMeans
from train_mnist_vae import Recipe, train

from pxgen_plugins import PXGen, plots
from pxgen_plugins.datasets import load_mnist, load_mnist_lenet
from pxgen_plugins.evaluation import extract_features
from pxgen_plugins.groups import wilson_interval
from pxgen_plugins.thresholds import MeanMax
from pxgen_plugins.utils.files import write_atomic
from pxgen_plugins.utils.neighbours import nearest_others

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


def by_labels(digits: dict[str, dict[str, Any]], planted: str) -> dict[str, Any]:
    """Return what a user finds who ranks the other digits by their share in HIHE."""
    shares = {digit: row["deluded"] for digit, row in digits.items() if digit != "0"}
    ranks = sorted(shares, key=lambda digit: -shares[digit])
    rank = ranks.index(planted) + 1
    return {"found": rank == 1, "rank": rank, "first": ranks[0], "shares": shares}


def by_representatives(labels: dict[str, list[str]], planted: str) -> dict[str, Any]:
    """Return what a user finds who counts the other digits among representatives of HIHE."""
    counts: dict[str, dict[str, int]] = {}
    for selector, picked in labels.items():
        others = [label for label in picked if label != "0"]
        counts[selector] = {digit: others.count(digit) for digit in sorted(set(others))}
    most = {
        selector: bool(of) and of.get(planted, 0) == max(of.values())
        for selector, of in counts.items()
    }
    return {"found": all(most.values()), "first_by": most, "counts": counts}


def by_neighbourhood(
    features: NDArray[np.float32],
    reference: NDArray[np.float32],
    labels: NDArray[np.str_],
    planted: str,
    n_clusters: int = 10,
) -> dict[str, Any]:
    """Return what a user finds who clusters the HIHE anchors far from the kind it was meant for.

    Args:
        features: Of the HIHE anchors, (n, d).
        reference: Of held-out instances of that kind, (r, d).
        labels: Of the HIHE anchors; only the outcome is judged by them.
        planted: The label that was planted.
        n_clusters: Clusters, at most.
    """
    limit = float(np.quantile(nearest_others(reference.astype(np.float64), 1), 0.99))
    far = cdist(features, reference).min(axis=1) > limit
    clusters = []
    if far.any():
        k = min(n_clusters, int(far.sum()))
        of = KMeans(k, n_init=3, random_state=0).fit_predict(features[far])
        for cluster in np.argsort(-np.bincount(of, minlength=k), kind="stable"):
            names, counts = np.unique(labels[far][of == cluster], return_counts=True)
            top = int(counts.argmax())
            clusters.append(
                {
                    "size": int(counts.sum()),
                    "label": str(names[top]),
                    "share": float(counts[top] / counts.sum()),
                }
            )
    ranks = [at + 1 for at, one in enumerate(clusters) if one["label"] == planted]
    rank = ranks[0] if ranks else None
    return {"found": rank == 1, "rank": rank, "n_far": int(far.sum()), "clusters": clusters}


def search(deluded: Any, given: argparse.Namespace) -> dict[str, Any]:
    """Return what a user finds by neighbourhood, in the features of a network that knows digits."""
    held_out = load_mnist("train", digits=0)[0][given.n_images :]
    members = deluded.groups["HIHE"]["indices"]
    anchors = load_mnist("test")[0][: given.n_anchors][members]
    network = load_mnist_lenet()
    shape: dict[str, Any] = {"sample_shape": (1, 28, 28)}
    features, reference = (
        extract_features(images[:, None], network.features, **shape)
        for images in (anchors, held_out)
    )
    labels = np.asarray(deluded.labels)[members]
    return by_neighbourhood(features, reference, labels, str(given.planted))


def _said(found: bool) -> str:
    return "found" if found else "**not found**"


def search_markdown(found: dict[str, Any]) -> list[str]:
    """Return what is found without the clean twin, in words."""
    one = by_labels(found["digits"], found["planted"])
    shares, planted = one["shares"], found["planted"]
    counts = by_representatives(found["labels_of_representatives"], planted)
    picked = ", ".join(
        f"{of.get(planted, 0)} of {sum(of.values())} other digits by {selector}"
        for selector, of in counts["counts"].items()
    )
    lines = [
        "Without the clean twin, as a user would look for it in the deluded model alone:",
        "",
        f"- by labels: {_said(one['found'])}. Digit {planted} is number {one['rank']} of the other "
        f"digits by share in HIHE ({shares[planted]:.1%}); the first is {one['first']} "
        f"({shares[one['first']]:.1%}).",
        f"- by representatives of HIHE: {_said(counts['found'])}. Digit {planted} is {picked}.",
    ]
    near = found.get("neighbourhood")
    if near is None:
        return [*lines, "- by neighbourhood in features: not run for these figures."]
    clusters = ", ".join(f"{c['size']} ({c['share']:.0%} {c['label']})" for c in near["clusters"])
    where = "of no cluster the most frequent digit"
    if near["rank"] is not None:
        where = f"the most frequent digit of cluster {near['rank']} by size"
    return [
        *lines,
        f"- by neighbourhood in features: {_said(near['found'])}. {near['n_far']} HIHE anchors are "
        f"far from every held-out zero; digit {planted} is {where}. Sizes of the clusters: "
        f"{clusters}.",
    ]


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
    said = _said(found["found"])
    lines += ["", f"With the clean twin, planted digit {found['planted']}: {said}.", ""]
    lines += [
        *search_markdown(found),
        "",
        "Digits of HIHE representatives of the deluded model:",
        "",
    ]
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
    found["neighbourhood"] = search(deluded, given)
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
