"""Membership: whether the model's values tell what it was trained on from what it was not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.evaluation.memorisation.ranks import auc, auc_interval, mann_whitney
from pxgen_plugins.groups import exact_interval
from pxgen_plugins.utils.seeds import derive

__all__ = ["COMBINED", "Membership", "combined_values", "membership"]

Floats = NDArray[np.float64]
COMBINED = "combined"
RATES = (0.01, 0.001)
"""False positive rates at which membership is read: an attack that accuses few wrongly."""


@dataclass(frozen=True)
class Membership:
    """How well one value tells members of the training set from others.

    Attributes:
        auc: Probability that a training instance has the smaller value; 0.5 tells nothing.
        interval: Its 95% interval (Newcombe 2006).
        p_value: That training instances have no smaller values (Mann and Whitney 1947).
        true_rates: For each false positive rate the share of training instances that are found,
            or None where the control is too small for that rate.
        rate_intervals: The exact 95% interval of each, at the threshold used.
        n: Training instances.
        n_control: Held-out ones.
    """

    auc: float
    interval: tuple[float, float]
    p_value: float
    true_rates: dict[float, float | None]
    rate_intervals: dict[float, tuple[float, float] | None]
    n: int
    n_control: int

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Membership:
        """Return what :meth:`to_dict` gave, read from a file."""
        rates = {float(rate): value for rate, value in content["true_rates"].items()}
        ends = {
            float(rate): None if pair is None else (float(pair[0]), float(pair[1]))
            for rate, pair in content["rate_intervals"].items()
        }
        interval = (float(content["interval"][0]), float(content["interval"][1]))
        own = {"interval": interval, "true_rates": rates, "rate_intervals": ends}
        return cls(**{**content, **own})

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers under plain keys."""
        content = asdict(self)
        for key in ("true_rates", "rate_intervals"):
            content[key] = {f"{rate:g}": value for rate, value in content[key].items()}
        return content


def membership(members: Floats, others: Floats) -> Membership:
    """Return how well values tell members from others.

    Low values are taken for members': of a loss, a divergence or a distance. The threshold of a
    false positive rate a is the largest with at most a of the others at or below it; true positive
    rates at low false positive rates are what an attack is worth (Carlini et al. 2022, "Membership
    inference attacks from first principles").

    Args:
        members: Values of training instances, finite, (n,).
        others: Values of held-out ones, finite, (m,).

    Example:
        >>> found = membership(np.arange(100.0), np.arange(100.0) + 50.0)
        >>> round(found.auc, 3), found.true_rates[0.01], found.true_rates[0.001]
        (0.875, 0.51, None)
    """
    area = auc(members, others)
    ordered = np.sort(others)
    shares: dict[float, float | None] = {}
    intervals: dict[float, tuple[float, float] | None] = {}
    for rate in RATES:
        allowed = math.floor(rate * len(ordered) + 1e-9)
        if allowed < 1:
            shares[rate], intervals[rate] = None, None
            continue
        # ties with the first one beyond would be accused too
        found = int((members < ordered[allowed]).sum()) if allowed < len(ordered) else len(members)
        shares[rate] = found / len(members)
        intervals[rate] = exact_interval(found, len(members))
    return Membership(
        area,
        auc_interval(area, len(members), len(others)),
        mann_whitney(members, others)[1],
        shares,
        intervals,
        len(members),
        len(others),
    )


def combined_values(members: Floats, others: Floats, seed: int) -> tuple[Floats, Floats]:
    """Return one value per instance of the second halves, learned on the first.

    A logistic regression of all criteria, standardised, on a random half of both sets; its
    probability of "not a member" on the other half.

    Args:
        members: Values of training instances, (n, m_criteria).
        others: Values of held-out ones, (m, m_criteria).
        seed: Seed of the halves.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import QuantileTransformer

    rng = np.random.default_rng(derive(seed, "halves"))
    halves = []
    for values in (members, others):
        order = rng.permutation(len(values))
        halves.append((values[order[: len(order) // 2]], values[order[len(order) // 2 :]]))
    (learn, test), (learn_others, test_others) = halves
    # ranks: a heavy tail of one criterion must not decide
    ranks = QuantileTransformer(
        n_quantiles=min(1_000, len(learn) + len(learn_others)), output_distribution="normal"
    )
    classifier = make_pipeline(ranks, LogisticRegression(class_weight="balanced"))
    classes = np.repeat([0, 1], [len(learn), len(learn_others)])
    classifier.fit(np.concatenate([learn, learn_others]), classes)
    known, new = (classifier.predict_proba(some)[:, 1] for some in (test, test_others))
    return known, new
