"""A random part of an anchor set in which every label has its share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors.base import Anchors
from pxgen_plugins.anchors.subset import Subset
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import caller, short_repr
from pxgen_plugins.utils.seeds import derive

__all__ = ["lost_labels", "stratified_positions", "stratified_sample"]

_FEW = 5  # labels that are named


@caller("stratified_sample")
def stratified_sample(anchors: Anchors, n: int, seed: int = 0) -> Subset:
    """Return ``n`` anchors of a set, drawn at random from each label by its share.

    Every label keeps at least one anchor as long as ``n`` is no less than the number of labels;
    without labels all anchors are drawn alike. They stay in their order, and the note on the
    sample goes into results and reports.

    Args:
        anchors: The set, as :func:`~pxgen_plugins.anchors.open_anchors` returns it.
        n: How many; where there are fewer, all.
        seed: Seed of the draw.

    Raises:
        ParameterError: When ``n`` or ``seed`` is no positive integer.

    Example:
        >>> from pxgen_plugins.anchors import open_anchors
        >>> labels = ["a"] * 90 + ["b"] * 9 + ["c"]
        >>> sample = stratified_sample(open_anchors(np.eye(100), sample_shape=(100,),
        ...                                         labels=labels), 10)
        >>> len(sample), sample.labels.tolist().count("a"), str(sample.labels[-1])
        (10, 8, 'c')
    """
    n = validation.integer(n, "n", minimum=1)
    seed = validation.integer(seed, "seed", minimum=0)
    whole = len(anchors)
    part = Subset(anchors, stratified_positions(anchors.labels, whole, n, seed))
    if len(part) < whole:
        how = "" if anchors.labels is None else ", stratified by label"
        text = f"a random sample of {len(part):,} of {whole:,} anchors{how} (seed {seed})"
        part.notes = (*anchors.notes, text, *lost_labels(anchors, part, f"a sample of {n:,}"))
    return part


def stratified_positions(
    labels: NDArray[np.str_] | None, whole: int, n: int, seed: int
) -> NDArray[np.int64]:
    """Return ``n`` of ``whole`` positions, sorted, with each label's share among them.

    Args:
        labels: The labels, (whole,), or None.
        whole: How many there are.
        n: How many are drawn; where there are fewer, all are.
        seed: Seed of the draw.
    """
    if n >= whole:
        return np.arange(whole, dtype=np.int64)
    rng = np.random.default_rng(derive(seed, "stratified sample"))
    order = rng.permutation(whole)
    if labels is None:
        return np.sort(order[:n]).astype(np.int64)
    codes = np.unique(labels, return_inverse=True)[1].reshape(-1)
    counts = np.bincount(codes)
    shares = _shares(counts, n, rng)
    # the rank of each anchor among those of its label, in the random order
    by_label = order[np.argsort(codes[order], kind="stable")]
    starts = np.cumsum(counts) - counts
    ranks = np.arange(whole) - np.repeat(starts, counts)
    return np.sort(by_label[ranks < np.repeat(shares, counts)]).astype(np.int64)


def _shares(counts: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return how many of each label are drawn: one at least where n allows, the rest by share.

    The rest follows the largest remainders (Hamilton's method); equal ones are decided at random.
    """
    least = np.minimum(counts, 1)
    if n <= len(counts):
        chosen = rng.permutation(len(counts))[:n]
        shares: NDArray[np.int64] = np.zeros_like(counts)
        shares[chosen] = 1
        return shares
    exact = n * counts / counts.sum()
    shares = np.maximum(np.floor(exact).astype(np.int64), least)
    by_remainder = rng.permutation(len(counts))
    by_remainder = by_remainder[np.argsort((shares - exact)[by_remainder], kind="stable")]
    for label in by_remainder[: max(0, n - int(shares.sum()))]:
        shares[label] += 1
    while (excess := int(shares.sum()) - n) > 0:  # many rare labels took one each
        largest = np.flatnonzero(shares == shares.max())[:excess]
        shares[largest] -= 1
    return shares


def lost_labels(anchors: Anchors, part: Anchors, what: str, hint: str = "") -> tuple[str, ...]:
    """Return a sentence on the labels that a part of a set has none of; nothing where it has all.

    Args:
        anchors: The whole set.
        part: The part.
        what: What made it, in words.
        hint: What to do about it.
    """
    if anchors.labels is None or part.labels is None or len(part) == len(anchors):
        return ()
    known = set(np.unique(anchors.labels).tolist())
    lost = sorted(known - set(np.unique(part.labels).tolist()))
    if not lost:
        return ()
    names = ", ".join(short_repr(str(name)) for name in lost[:_FEW])
    names += ", ..." if len(lost) > _FEW else ""
    text = f"{what} leaves out {len(lost):,} of {len(known):,} labels: {names}"
    return (text + (f"; {hint}" if hint else ""),)
