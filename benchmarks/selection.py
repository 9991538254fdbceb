"""k_center in units of plain read passes over the data, against a plain loop and other packages.

Run ``python benchmarks/selection.py``. Times are processor time on one thread, the least of a few
repeats, and every number is a ratio of two times from the same run.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pxgen_plugins.selection import k_center, k_dispersion, k_medoids

Row = dict[str, Any]
Table = NDArray[np.float32]

K = 100
REPEATS = 3


def run(quick: bool = False) -> list[Row]:
    """Measure and return one dict per number: name, setting, value, unit, target.

    Args:
        quick: Use a tenth of the rows and one repeat, to see that it works.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _run(100_000 if quick else 1_000_000, 1 if quick else REPEATS)
    finally:
        torch.set_num_threads(threads)


def _run(n: int, repeats: int) -> list[Row]:
    rows: list[Row] = []
    for d, kind in ((10, "one blob"), (10, "50 blobs"), (64, "one blob"), (64, "50 blobs")):
        X = _table(n, d, kind)
        setting = f"n={n}, d={d}, k={K}, {kind}"
        passes = _reads(X)
        target = "<= 1.3" if d == 10 else "far under 1"

        def row(
            name: str, seconds: float, target: str = "", per: float = passes, at: str = setting
        ) -> Row:
            return _row(name, at, seconds / per, f"x {K} read passes", target)

        rows.append(row("k_center", _seconds(partial(k_center, X, K), repeats), target))
        tensor = torch.from_numpy(X)
        torch_reads = K * _seconds(tensor.sum, 5)
        rows.append(row("torch read passes", torch_reads))
        if kind == "50 blobs":
            loop = _seconds(partial(_plain_loop, X, K), 1)
            rows.append(row("plain loop, numpy matrix products", loop))
            if d == 10:
                rows += [
                    row("k_dispersion max_min", _seconds(partial(k_dispersion, X, K), 1)),
                    row(
                        "k_dispersion max_sum",
                        _seconds(partial(k_dispersion, X, K, "max_sum"), 1),
                    ),
                    row(
                        "k_center, 1,000 outliers",
                        _seconds(partial(k_center, X, K, outliers=1000), 1),
                    ),
                    row("k_medoids", _seconds(partial(k_medoids, X, K), 1)),
                ]
                rows += _peers(X, setting, passes)
    return rows


def _table(n: int, d: int, kind: str) -> Table:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d)).astype(np.float32)
    if kind == "50 blobs":
        middles = 4 * rng.normal(size=(50, d)).astype(np.float32)
        widths = rng.uniform(0.3, 1.5, size=(50, 1)).astype(np.float32)
        owner = rng.integers(0, 50, n)
        X = middles[owner] + widths[owner] * X
    return X


def _seconds(function: Callable[[], Any], repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        begin = time.process_time()
        function()
        best = min(best, time.process_time() - begin)
    return best


def _reads(X: Table) -> float:
    """Return the time of K vectorised sums over the data."""
    return K * _seconds(X.sum, 10)


def _plain_loop(X: Table, k: int) -> list[int]:
    norms = np.einsum("ij,ij->i", X, X)
    squares = np.full(len(X), np.inf, dtype=np.float32)
    picks = [0]
    while True:
        centre = X[picks[-1]]
        np.minimum(squares, norms - 2 * (X @ centre) + centre @ centre, out=squares)
        if len(picks) == k:
            return picks
        picks.append(int(squares.argmax()))


def _peers(X: Table, setting: str, passes: float) -> list[Row]:
    """Return one row for each other package's farthest-first search; most are not installed."""

    def fpsample(module: Any) -> None:
        module.fps_sampling(X, K)

    def skmatter(module: Any) -> None:
        module.FPS(n_to_select=K, initialize=0).fit(X)

    def torch_cluster(module: Any) -> None:
        module.fps(torch.from_numpy(X), ratio=K / len(X), random_start=False)

    peers = {
        "fpsample": ("fpsample", fpsample),
        "scikit-matter": ("skmatter.sample_selection", skmatter),
        "torch-cluster": ("torch_cluster", torch_cluster),
    }
    rows = []
    for name, (path, call) in peers.items():
        try:
            module = importlib.import_module(path)
        except Exception:
            rows.append(_row(name, setting, None, "not installed", ""))
            continue
        seconds = _seconds(partial(call, module), 1)
        rows.append(_row(name, setting, seconds / passes, f"x {K} read passes", ""))
    return rows


def _row(name: str, setting: str, value: float | None, unit: str, target: str) -> Row:
    return {"name": name, "setting": setting, "value": value, "unit": unit, "target": target}


def main() -> None:
    for row in run():
        value = "-" if row["value"] is None else f"{row['value']:.2f}"
        print(f"{row['name']:<36}{row['setting']:<40}{value:>8}  {row['unit']:<20}{row['target']}")


if __name__ == "__main__":
    main()
