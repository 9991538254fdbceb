"""k_center in units of plain read passes over the data, against a plain loop and other packages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from clock import Call, cpu_seconds
from numpy.typing import NDArray
from peers import PEERS, Peer, Table
from rows import Row, describe

from pxgen_plugins.selection import k_center, k_dispersion, k_medoids
from pxgen_plugins.utils.threads import one_thread


@dataclass(frozen=True)
class Case:
    """A table of points, k, and the time of k vectorised sums over the table."""

    X: Table
    k: int
    kind: str
    repeats: int
    passes: float

    def row(self, name: str, seconds: float, target: float | None = None, note: str = "") -> Row:
        """Return a row: seconds in units of k read passes."""
        value = seconds / self.passes
        return Row(name, self.setting, value, f"x {self.k} read passes", target, note)

    @property
    def setting(self) -> str:
        """The sizes, as text."""
        n, d = self.X.shape
        return f"n={n:,}, d={d}, k={self.k}, {self.kind}"


def run(quick: bool = False) -> Iterator[Row]:
    """Yield processor times of selectors and of other packages, in units of k read passes."""
    n, k, repeats = (2_000, 10, 1) if quick else (1_000_000, 100, 3)
    with one_thread():
        for d, kind in ((10, "one blob"), (10, "50 blobs"), (64, "one blob"), (64, "50 blobs")):
            X = _table(n, d, kind)
            case = Case(X, k, kind, repeats, k * cpu_seconds(X.sum, 10))
            yield from _of_k_center(case, 1.3 if d == 10 else None)
            if kind == "50 blobs":
                loop = cpu_seconds(partial(_plain_loop, X, k))
                yield case.row("plain loop, numpy matrix products", loop)
                if d == 10:
                    yield from _of_peers(case)
                    yield from _of_others(case)


def _of_k_center(case: Case, target: float | None) -> Iterator[Row]:
    seconds = cpu_seconds(partial(k_center, case.X, case.k), case.repeats)
    yield case.row("k_center", seconds, target)
    tensor = torch.from_numpy(case.X)
    yield case.row("torch read passes", case.k * cpu_seconds(tensor.sum, 5))


def _of_others(case: Case) -> Iterator[Row]:
    X, k = case.X, case.k
    outliers = len(X) // 1_000
    calls: dict[str, Call] = {
        "k_dispersion max_min": partial(k_dispersion, X, k),
        "k_dispersion max_sum": partial(k_dispersion, X, k, "max_sum"),
        f"k_center, {outliers:,} outliers": partial(k_center, X, k, outliers=outliers),
        "k_medoids": partial(k_medoids, X, k),
    }
    for name, call in calls.items():
        yield case.row(name, cpu_seconds(call))


def _of_peers(case: Case) -> Iterator[Row]:
    """Yield a row for each peer, with its radius beside ours; those not installed are named."""
    ours = k_center(case.X, case.k, start=0).objective  # peers begin there too, where they can
    for peer in PEERS:
        yield _of_peer(case, peer, ours)


def _of_peer(case: Case, peer: Peer, radius: float) -> Row:
    try:
        pick = peer.load()
    except ModuleNotFoundError as error:
        note = f"not installed: no module {error.name}; {peer.how}"
        return Row(peer.name, case.setting, None, "", note=note)
    picks: list[NDArray[np.int64]] = []
    try:
        # once: some take minutes
        seconds = cpu_seconds(lambda: picks.append(pick(case.X, case.k)))
    except Exception as error:  # another package's failure leaves the other rows in place
        return Row(peer.name, case.setting, None, "", error=describe(error))
    ratio = _radius(case.X, picks[0]) / radius
    return case.row(peer.name, seconds, note=f"{peer.how}; radius {ratio:.3g} of k_center's")


def _table(n: int, d: int, kind: str) -> Table:
    rng = np.random.default_rng(0)
    X: Table = rng.normal(size=(n, d)).astype(np.float32)
    if kind == "50 blobs":
        middles = 4 * rng.normal(size=(50, d)).astype(np.float32)
        widths = rng.uniform(0.3, 1.5, size=(50, 1)).astype(np.float32)
        owner = rng.integers(0, 50, n)
        X = middles[owner] + widths[owner] * X
    return X


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


def _radius(X: Table, picks: NDArray[np.int64]) -> float:
    """Return the largest distance of a row to its nearest pick."""
    squares = np.full(len(X), np.inf, dtype=np.float32)
    for pick in picks:
        np.minimum(squares, np.square(X - X[pick]).sum(1), out=squares)
    return float(np.sqrt(squares.max()))
