"""What a pipeline sees of a model that gets worse: with thresholds of its own, and with kept ones.

    python examples/kept_thresholds.py --output docs/results

The model is the shipped VAE of MNIST zeros; noise is put on its weights, more and more of it.
Anchors are 400 zeros of the test file, reference data the other 580. Every copy is audited against
the model itself: calibrated anew, from samples and from reference data, and with
``keep_thresholds``. It takes two minutes.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from audit_mnist import disturbed
from signature import signature

from pxgen_plugins.audit import Run, audit
from pxgen_plugins.audit.settings import config_of
from pxgen_plugins.datasets import load_mnist
from pxgen_plugins.utils.files import write_atomic
from pxgen_plugins.utils.text import markdown_table, percent, percent_interval

_log = logging.getLogger("kept_thresholds")

STRENGTHS = (0.0, 0.1, 0.3, 0.5, 1.0, 2.0)
ANCHORS = 400
CONDITION = "HIHE.fraction drop <= 0.05"
REFERENCE = {"name": "Conformal", "alpha": 0.05, "source": "reference", "joint": True}
WAYS: dict[str, dict[str, Any]] = {
    "from its samples": {},
    "from reference data": {"threshold": REFERENCE},
    "kept": {"threshold": REFERENCE, "keep_thresholds": True},
}


def audited(folder: Path, strength: float, way: str, baseline: str | None = None) -> Run:
    """Audit a copy of the model with noise on its weights, of so many standard deviations."""
    weights = f"{strength}.safetensors"
    write_atomic(folder / weights, disturbed(strength))
    settings = {
        "model": {
            "factory": "pxgen_plugins.datasets:load_mnist_vae",
            "weights": weights,
            "options": {"sample_shape": [1, 28, 28]},
        },
        "anchors": {"path": "anchors.npy"},
        "reference": {"path": "reference.npy"},
        "conditions": [] if baseline is None else [CONDITION],
        "baseline": baseline,
        "output": f"{way}, {strength}, {baseline is None}",
        **WAYS[way],
    }
    run = audit(config_of(settings, folder))
    assert run is not None  # of all shards
    return run


def rows(folder: Path) -> list[dict[str, Any]]:
    """Return what each audit said of each copy."""
    found = []
    for way in WAYS:
        before = audited(folder, 0.0, way)
        for strength in STRENGTHS:
            run = audited(folder, strength, way, Path(str(before.path)).name)
            share, judgement = run.result.groups["HIHE"], run.judgements[0]
            assert run.changes is not None  # there is a baseline
            row = {
                "thresholds": way,
                "noise": strength,
                "share": share.fraction,
                "interval": list(share.share_interval),
                "median": dict(
                    zip(run.result.criteria, np.median(run.result.values, 0).tolist(), strict=True)
                ),
                "ratio": {name: one.ratio for name, one in run.changes.thresholds.items()},
                "verdict": judgement.state,
            }
            _log.info("%s", row)
            found.append(row)
    return found


def page(found: list[dict[str, Any]]) -> str:
    """Return the table."""
    head = [
        "thresholds",
        "noise on the weights",
        "median MSE",
        "HIHE",
        "threshold of MSE",
        "verdict",
    ]
    table = [
        [
            row["thresholds"],
            f"{row['noise']:g}",
            f"{row['median']['mse']:.4f}",
            f"{percent(row['share'])} ({percent_interval(*row['interval'])})",
            f"{row['ratio']['mse']:.2f} x",
            f"**{row['verdict']}**" if row["verdict"] == "failed" else row["verdict"],
        ]
        for row in found
    ]
    lines = markdown_table(head, table, n_left=1)
    return "\n".join(
        [
            "# A model that gets worse, under thresholds of its own and under kept ones",
            "",
            f"The condition is `{CONDITION}`, against the audit of the model without noise.",
            "Noise is put on the weights, in standard deviations of each tensor; the threshold is",
            "a multiple of the baseline's.",
            "",
            *lines,
            "",
            "Thresholds that are calibrated anew measure each model by itself: a worse one is",
            "allowed more, and its share of HIHE may stay, or rise. `keep_thresholds: true`",
            "measures both by the baseline's.",
            "",
        ]
    )


def plot(found: list[dict[str, Any]]) -> Any:
    """Return the figure: shares against noise, and which copies failed."""
    figure, axes = plt.subplots(figsize=(7.0, 3.6), layout="constrained")
    for way, colour in zip(WAYS, ("#8c8c8c", "#d55e00", "#004b87"), strict=True):
        some = [row for row in found if row["thresholds"] == way]
        shares = np.array([row["share"] for row in some])
        ends = np.array([row["interval"] for row in some]).T
        spread = np.maximum(np.abs(ends - shares), 0.0)
        places = np.arange(len(some)) + 0.06 * (list(WAYS).index(way) - 1)
        axes.errorbar(
            places, shares, spread, color=colour, label=way, capsize=3, marker="o", mfc="w"
        )
        failed = [place for place, row in enumerate(some) if row["verdict"] == "failed"]
        axes.plot(places[failed], shares[failed], "o", color=colour, zorder=5)
    axes.set_xticks(range(len(STRENGTHS)), [f"{one:g}" for one in STRENGTHS])
    axes.set(xlabel="noise on the weights, in standard deviations", ylabel="share of HIHE")
    axes.set_ylim(0.0, 1.02)
    axes.legend(title="thresholds (filled: failed)", loc="lower left", frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description="Audit a model that gets worse.")
    parser.add_argument("--output", type=Path, default=Path("output/kept_thresholds"))
    given = parser.parse_args(argv)
    mpl.use("Agg")
    images, labels = load_mnist("test")
    zeros = images[labels == 0][:, None]
    with tempfile.TemporaryDirectory() as name:
        np.save(Path(name) / "anchors.npy", zeros[:ANCHORS])
        np.save(Path(name) / "reference.npy", zeros[ANCHORS:])
        found = rows(Path(name))
    given.output.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"rows": found}, indent=1, allow_nan=False) + "\n"
    write_atomic(given.output / "kept_thresholds.json", content.encode())
    write_atomic(
        given.output / "kept_thresholds.md", (page(found) + signature(__file__, argv)).encode()
    )
    plot(found).savefig(given.output / "kept_thresholds.png", dpi=110)


if __name__ == "__main__":
    main()
