"""How often a model passes its own baseline when only the seed of the calibration differs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rows import Row

from pxgen_plugins import PXGen
from pxgen_plugins.audit.conditions import Condition
from pxgen_plugins.audit.run_comparison import compare_runs
from pxgen_plugins.audit.verdicts import judge
from pxgen_plugins.datasets import load_mnist, load_mnist_vae
from pxgen_plugins.models import wrap
from pxgen_plugins.result import Result
from pxgen_plugins.thresholds import MeanMax

CONDITIONS = [
    Condition(text)
    for text in (
        "moved.fraction <= 0.1",
        "HIHE.fraction drop <= 0.05",
        "HILE.fraction rise <= 0.05",
        "label:0.HIHE.fraction drop <= 0.1",
    )
]


def run(quick: bool = False) -> Iterator[Row]:
    """Yield how many of the runs with another seed fail, for two ways to spend 100,000 samples."""
    sizes = [(20, 3), (40, 2)] if quick else [(1_000, 100), (10_000, 10)]
    tries, n = (2, 60) if quick else (100, 2_000)
    for n_samples, n_repeats in sizes:
        failures, moved = _tries(MeanMax(n_samples, n_repeats), tries, n)
        setting = f"MeanMax({n_samples:,} x {n_repeats}), {n:,} anchors, {tries} seeds"
        # the second is the size that the package had first: no target, it is here to compare
        target = 0.05 * tries if (n_samples, n_repeats) == sizes[0] else None
        note = f"moved {100 * np.mean(moved):.2f}% of the anchors, at most {100 * max(moved):.1f}%"
        name = "same model, other seed: runs that fail their baseline"
        yield Row(name, setting, float(failures), "runs", target, note)


def _tries(rule: MeanMax, tries: int, n: int) -> tuple[int, list[float]]:
    images, labels = load_mnist("test")
    model = wrap(load_mnist_vae(), sample_shape=(1, 28, 28))

    def result(seed: int) -> Result:
        explainer = PXGen(model, threshold=rule, selectors=(), examples=False, seed=seed)
        return Result.of(explainer.fit().explain(images[:n], labels=labels[:n]))

    baseline = result(0)
    failures, moved = 0, []
    for seed in range(1, tries + 1):
        after = result(seed)
        changes = compare_runs(baseline, after)
        states = {one.state for one in judge(CONDITIONS, after, baseline, changes)}
        failures += states != {"passed"}
        moved.append(len(changes.moved) / changes.n)
    return failures, moved
