"""How far the seed of calibration moves the groups, and which sizes are worth their samples.

    python examples/calibration_noise.py --output docs/results

Five trained models of different families are calibrated with 30 seeds or more under several sizes
and rules, each with the same samples. Written are ``calibration_noise`` as JSON, Markdown (the
curve of noise against the samples per repeat at a fixed number in all, and a table of rules for the
shipped VAE) and a figure. The values of the samples are kept in ``--folder``, a file for each seed,
and are not drawn again: ten minutes of one core the first time, two later. ``--quick`` draws a
fiftieth, to try it; ``--model`` measures some models only and keeps the others of the output.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from families import load
from family_models.common import Family, digits
from numpy.typing import NDArray

from pxgen_plugins import PXGen
from pxgen_plugins.datasets import load_mnist, load_mnist_vae
from pxgen_plugins.evaluation import SamplePool, Study, calibration_study, draw_pool
from pxgen_plugins.groups import GROUPS
from pxgen_plugins.models import VAE
from pxgen_plugins.plots import plot_calibration_noise
from pxgen_plugins.thresholds import Conformal, Fixed, MeanMax, Median, Quantile, Rule
from pxgen_plugins.utils.errors import PXGenError
from pxgen_plugins.utils.files import plain, write_atomic
from pxgen_plugins.utils.text import markdown_table

_log = logging.getLogger("calibration_noise")

SIZES = (100, 300, 1_000, 3_000, 10_000)
N_REFERENCE = 490  # held-out zeros behind the conformal row: half of the test file's


class Case(NamedTuple):
    """A model, its criteria, and how many samples are spent on it.

    Attributes:
        family: Name of the file in ``family_models``.
        intrinsic: Name of the intrinsic criterion.
        extrinsic: Name of the extrinsic one.
        n_seeds: Seeds.
        budget: Samples per seed.
    """

    family: str
    intrinsic: str
    extrinsic: str
    n_seeds: int
    budget: int


CASES = {
    "VAE of zeros (shipped)": Case("vae", "kld", "mse", 30, 100_000),
    "conditional VAE": Case("conditional_vae", "kld", "mse", 30, 20_000),
    "VQ-VAE": Case("vqvae", "code_usage", "mse", 30, 10_000),
    "GAN": Case("gan", "discriminator", "nearest_sample", 30, 10_000),
    "VAE of a table": Case("tabular", "mahalanobis", "gower", 30, 20_000),
}
SHIPPED = "VAE of zeros (shipped)"


def pooled(explainer: PXGen, case: Case, folder: Path) -> SamplePool:
    """Return the values of the case's samples; a seed whose file is there is not drawn again."""
    where = folder / f"{case.family}_{case.intrinsic}_{case.extrinsic}_{case.budget}"
    where.mkdir(parents=True, exist_ok=True)
    tables = []
    for seed in range(case.n_seeds):
        path = where / f"{seed:03d}.npy"
        if not path.exists():
            fresh = draw_pool(explainer, case.budget, [seed])
            part = path.with_suffix(".part.npy")
            np.save(part, fresh.values[0])
            part.rename(path)
            _log.info("%s: seed %d of %d", case.family, seed + 1, case.n_seeds)
        tables.append(np.load(path, allow_pickle=False))
    start = time.process_time()  # of one sample, on the way it has been drawn
    few = draw_pool(explainer, min(2_000, case.budget), [case.n_seeds])
    spent = (time.process_time() - start) / few.values.shape[1]
    return SamplePool(np.stack(tables), spent)


def rules(case: Case) -> list[Rule]:
    """Return the settings: the curve, the defaults, and for the shipped VAE the table's rules."""
    n, total = case.budget, case.budget * case.n_seeds
    some: list[Rule] = [MeanMax(size, n // size) for size in SIZES if size <= n]
    some += [MeanMax(), Quantile(), Conformal(), Median()]
    if case.family == "vae":
        authors = MeanMax.authors()  # or as many of its repeats as all samples give
        repeats = max(1, min(authors.n_repeats, total // authors.n_samples))
        some += [MeanMax(10_000, 3), MeanMax(authors.n_samples, repeats), Quantile(0.999)]
        some += [Quantile(0.99, 10_000, 3), Quantile(0.999, 10_000, 3)]
        some += [Conformal(0.01, 10_000, 10), Conformal(0.01, 50_000, 2)]
    different = {repr(rule): rule for rule in some}.values()
    return [rule for rule in different if rule.n_samples * rule.n_repeats <= total]


def anchors(case: Case, family: Family) -> tuple[Any, Any]:
    """Return the anchors and their labels: of the model's own kind, where there are enough."""
    if case.family == "vae":
        return load_mnist("test")
    if case.family == "tabular":  # 40 held-out wines alone would move in steps of 2.5 points
        kinds = {"held out": family.in_domain, **family.out_of_domain}
        labels = np.repeat(list(kinds), [len(table) for table in kinds.values()])
        return pd.concat(kinds.values(), ignore_index=True), labels
    return digits(2_000, digits=3 if case.family == "conditional_vae" else None), None


def measure(case: Case, folder: Path) -> Study:
    """Return the study of the case's model."""
    family = load(case.family)
    explainer = PXGen(
        family.model, intrinsic=case.intrinsic, extrinsic=case.extrinsic, threshold=Fixed(1.0)
    ).fit(family.reference)
    X, labels = anchors(case, family)
    return calibration_study(
        explainer, X, rules(case), labels, pool=pooled(explainer, case, folder)
    )


def held_out(n_seeds: int) -> dict[str, Any] | None:
    """Return the row of the joint conformal rule on held-out zeros; None where it is not there.

    Each seed takes other zeros of the test file as reference data; the shares are of the remaining
    images, which are the anchors.
    """
    options: dict[str, Any] = {"joint": True, "source": "reference"}
    try:
        rule = Conformal(0.05, **options)
    except (TypeError, PXGenError):  # this version of the rule knows the model's samples only
        return None
    images, labels = load_mnist("test")
    model = VAE(load_mnist_vae(), sample_shape=(1, 28, 28))
    zeros = np.flatnonzero(labels == 0)
    found = []
    for seed in range(n_seeds):
        reference = np.random.default_rng(seed).permutation(zeros)[:N_REFERENCE]
        rest = np.setdiff1d(np.arange(len(labels)), reference)
        explainer = PXGen(model, threshold=rule, selectors=(), examples=False, seed=seed)
        group = explainer.fit(images[reference]).explain(images[rest]).group
        of, inside = labels[rest], np.asarray(group) == "HIHE"
        shares = [float((np.asarray(group) == name).mean()) for name in GROUPS]
        found.append([*shares, *(float(inside[of == digit].mean()) for digit in (0, 6))])
    return _row(f"held-out zeros, joint conformal 95% ({N_REFERENCE})", np.array(found))


def _row(case: str, table: NDArray[np.float64]) -> dict[str, Any]:
    mean, spread = table.mean(axis=0).tolist(), table.std(axis=0, ddof=1).tolist()
    ends = [[float(column.min()), float(column.max())] for column in table.T]
    by_group, by_digit = range(len(GROUPS)), zip("06", range(len(GROUPS), 6), strict=True)
    return {
        "case": case,
        "cost": 0,
        "n_calibrations": len(table),
        "fractions": {GROUPS[k]: mean[k] for k in by_group},
        "deviations": {GROUPS[k]: spread[k] for k in by_group},
        "intervals": {GROUPS[k]: ends[k] for k in by_group},
        "labels": {d: {"share": mean[k], "deviation": spread[k]} for d, k in by_digit},
        "noise": max(spread[: len(GROUPS)]),
        "estimate": None,
    }


def _sd(share: float | None) -> str:
    return "n/a" if share is None else f"{100 * share:.2f}"


def curve_table(results: dict[str, dict[str, Any]]) -> list[str]:
    """Return the noise of the curves' settings and of the defaults, a row for each."""
    rows = []
    for name, found in results.items():
        for row in found["rows"]:
            if not row["case"].startswith("MeanMax") or not row["noise"]:
                continue
            deviations = row["deviations"].values()
            cells = [name, row["case"], f"{row['cost']:,}", str(row["n_calibrations"])]
            cells += [f"{100 * row['fractions']['HIHE']:.1f}", *(_sd(d) for d in deviations)]
            rows.append([*cells, _sd(row["estimate"])])
    head = ["model", "rule", "samples", "calibrations", "HIHE %"]
    head += [*(f"sd {name}" for name in GROUPS), "largest sd, by one calibration's repeats"]
    return markdown_table(head, rows, n_left=2)


def rule_table(rows: list[dict[str, Any]]) -> list[str]:
    """Return the table of rules on the shipped VAE and all MNIST test images."""
    lines = []
    for row in rows:
        single = row["n_calibrations"] < 2
        spread = row["estimate"] if single else row["deviations"]["HIHE"]
        ends = row["intervals"]["HIHE"]
        digits = [row["labels"][digit] for digit in ("0", "6")]
        lines.append(
            [
                row["case"],
                f"{row['cost']:,}",
                str(row["n_calibrations"]),
                f"{100 * row['fractions']['HIHE']:.1f}",
                _sd(spread) + (" (largest of the groups, by its own repeats)" if single else ""),
                "" if ends is None else f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}",
                _sd(row["noise"]),
                *(
                    f"{100 * of['share']:.1f}"
                    + ("" if of["deviation"] is None else f" ({_sd(of['deviation'])})")
                    for of in digits
                ),
            ]
        )
    head = ["rule", "samples", "calibrations", "HIHE %", "sd, points", "range"]
    head += ["largest sd of a group", "zeros in HIHE (sd)", "sixes in HIHE (sd)"]
    return markdown_table(head, lines, n_left=1)


def markdown(results: dict[str, dict[str, Any]], held: dict[str, Any] | None) -> str:
    """Return both tables with what they say."""
    lines = [
        "# Noise of calibration",
        "",
        "Written by `python examples/calibration_noise.py`; its docstring says what is measured,",
        "[calibration.md](../calibration.md) what follows. Deviations are in points, over",
        "independent calibrations with other samples of the model; anchors stay.",
        "",
        "![noise against samples per repeat](calibration_noise.png)",
        "",
        "## Samples per repeat, at a fixed number of samples",
        "",
        *curve_table(results),
        "",
    ]
    if SHIPPED in results:
        rows = [*results[SHIPPED]["rows"], *([] if held is None else [held])]
        lines += ["## Rules, on the shipped VAE and the 10,000 MNIST test images", ""]
        lines += [*rule_table(rows), ""]
    return "\n".join(lines)


def draw(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw both figures of noise against samples per repeat: of HIHE, and of the largest."""
    studies = {name: Study("calibration", found["rows"]) for name, found in results.items()}
    curves = {
        name: Study("calibration", [row for row in study.rows if row["rule"] == "MeanMax"])
        for name, study in studies.items()
    }
    figure, axes = plt.subplots(1, 2, figsize=(9.0, 3.6), layout="constrained")
    plot_calibration_noise(curves, ax=axes[0])
    plot_calibration_noise(curves, group="largest", ax=axes[1])
    axes[1].get_legend().remove()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description="Measure the noise of calibration.")
    parser.add_argument("--output", type=Path, default=Path("output/calibration_noise"))
    parser.add_argument("--folder", type=Path, default=Path("output/calibration_noise/samples"))
    parser.add_argument("--model", nargs="+", choices=[c.family for c in CASES.values()])
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the samples")
    given = parser.parse_args(argv)
    mpl.use("Agg")
    torch.set_num_threads(1)
    given.output.mkdir(parents=True, exist_ok=True)
    path = given.output / "calibration_noise.json"
    content = json.loads(path.read_text("utf-8")) if given.model and path.exists() else {}
    results: dict[str, dict[str, Any]] = content.get("models", {})
    held: dict[str, Any] | None = content.get("held_out")
    for name, case in CASES.items():
        if given.model and case.family not in given.model:
            continue
        if given.quick:
            case = case._replace(budget=case.budget // 50, n_seeds=max(3, case.n_seeds // 10))
        try:
            study = measure(case, given.folder)
        except FileNotFoundError as error:  # weights that are kept beside the repository
            _log.warning("%s is left out: %s", name, error)
            continue
        results[name] = plain({"rows": study.rows, "about": study.about})
        _log.info("%s\n%s", name, study.to_markdown())
        if case.family == "vae":
            held = held_out(3 if given.quick else 30)
    results = {name: results[name] for name in CASES if name in results}
    content = {"models": results, "held_out": held}
    text = json.dumps(plain(content), allow_nan=False, indent=1)
    write_atomic(path, (text + "\n").encode())
    text = markdown(results, held)
    write_atomic(given.output / "calibration_noise.md", text.encode())
    draw(results, given.output / "calibration_noise.png")


if __name__ == "__main__":
    main()
