"""Split-conformal thresholds, of each criterion or of all together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from pxgen_plugins.thresholds.base import Rule, register
from pxgen_plugins.thresholds.calibration import Floats
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import AnchorError, ModelError, ParameterError, caller

__all__ = ["Conformal"]


@register("Conformal")
class Conformal(Rule):
    """The split-conformal threshold at level ``alpha`` (Vovk, Gammerman and Shafer 2005).

    An anchor is below it exactly when its p-value against the first repeat's values exceeds
    ``alpha``, so each criterion calls at most a share ``alpha`` of new instances of the source low
    in affinity, in expectation and for any number of values: of the model's own output, or, with
    ``source="reference"``, of the kind that the reference data is of. The reported threshold is
    the first repeat's: averaging would lose the guarantee. The other repeats only show how far it
    moves, so that more samples in fewer repeats make it firmer at equal cost; five are left to show
    it.

    With ``joint=True`` the guarantee is for HIHE as a whole, for any number of criteria, any
    dependence between them and any way in which several of a kind decide: at most a share
    ``alpha`` falls outside. The thresholds are then the sides of a statistically equivalent block
    (Wald 1943; Tukey 1947, 1948 for ties). Of n values, k = floor(alpha (n + 1)) are cut off one
    by one, criteria taking turns in the order of their names: the largest value that is left
    under the one whose turn it is. What lies at or below the last cut under every criterion holds a
    share of the distribution that is Beta(n + 1 - k, k) without ties and stochastically larger with
    them, so a new instance is outside with probability at most k / (n + 1) <= alpha. Each of m
    criteria needs a cut, so n must be m / alpha - 1 at least.

    Args:
        alpha: The level, in (0, 1).
        n_samples: Samples per repeat, >= 1 / alpha - 1; jointly, >= m / alpha - 1.
        n_repeats: Repeats.
        source: ``"samples"`` or ``"reference"`` (see :class:`~pxgen_plugins.thresholds.Rule`).
        joint: Whether the guarantee is for all criteria together.

    Example:
        >>> rule = Conformal(alpha=0.25, n_samples=3)
        >>> float(rule.threshold(np.array([[1.0], [3.0], [2.0]]))[0]) > 3.0
        True
    """

    n_reference: ClassVar[int] = 0  # the guarantee is about the first repeat's samples alone

    @caller("Conformal")
    def __init__(
        self,
        alpha: float = 0.01,
        n_samples: int = 20_000,
        n_repeats: int = 5,
        source: str = "samples",
        joint: bool = False,
    ) -> None:
        super().__init__(n_samples, n_repeats, source)
        self.alpha = validation.real(alpha, "alpha", above=0.0, below=1.0)
        self.joint = validation.boolean(joint, "joint")
        self._check_size(1)

    def n_cuts(self, n: int) -> int:
        """Return how many of n values the thresholds may cut off."""
        return math.floor(self.alpha * (n + 1) * (1 + 1e-12))  # 0.1 * 10 must not fall below 1

    @caller("Conformal")
    def check(self, names: Sequence[str]) -> None:
        """Raise ParameterError when there are too few samples for the criteria together."""
        super().check(names)
        self._check_size(self._fewest_cuts(len(names)))

    @caller("Conformal")
    def threshold(self, values: Floats) -> Floats:
        """Return values just above the last that are cut off, (m,).

        Raises:
            AnchorError: When reference data is too small for the level.
            ModelError: When too few samples have finite values.
        """
        n, m = values.shape
        cuts, fewest = self.n_cuts(n), self._fewest_cuts(m)
        if cuts < fewest:
            self._raise_too_few(n, self._least(fewest))
        last = _joint_cuts(values, cuts) if fewest > 1 else np.sort(values, axis=0)[-cuts]
        # outside is what exceeds the last value cut off; affinity is strict below
        above: Floats = np.nextafter(last, np.inf)
        return above

    def threshold_by_name(self, values: Floats, names: Sequence[str]) -> Floats:
        """Return the same thresholds whatever order the criteria are given in, (m,)."""
        order = sorted(range(len(names)), key=lambda j: names[j])
        thresholds = np.empty(len(names))
        thresholds[order] = self.threshold(values[:, order])
        return thresholds

    def combine(self, repeats: Floats) -> Floats:
        """Return the thresholds of the first repeat, (m,)."""
        first: Floats = repeats[0]
        return first

    def _fewest_cuts(self, m: int) -> int:
        return m if self.joint else 1

    def _least(self, cuts: int) -> int:
        """Return how many values allow so many cuts."""
        n = max(math.ceil(cuts / self.alpha) - 2, 1)
        while self.n_cuts(n) < cuts:
            n += 1
        return n

    def _check_size(self, cuts: int) -> None:
        if self.source == "samples" and self.n_cuts(self.n_samples) < cuts:
            least, of = self._least(cuts), "1" if cuts == 1 else str(cuts)
            allowed = f"at least {of} / alpha - 1 = {least}, else no threshold keeps alpha"
            hint = f"Use n_samples={least} or more, or a larger alpha."
            raise ParameterError("n_samples", allowed, str(self.n_samples), hint)

    def _raise_too_few(self, n: int, least: int) -> None:
        if self.source == "reference":
            allowed = f"at least {least} instances with finite values, for alpha={self.alpha:g}"
            hint = "Give more reference data, or use a larger alpha or fewer criteria."
            raise AnchorError("X", allowed, str(n), hint)
        raise ModelError(
            "the model's samples",
            f"finite for at least {least} of {self.n_samples}",
            f"{n} with finite values",
            "Use more samples, or find out why the model's samples have no finite values.",
        )


def _joint_cuts(values: Floats, cuts: int) -> Floats:
    """Return the last value that is cut off in each column, (m,), columns taking turns.

    Cost: O(m n log n).
    """
    n, m = values.shape
    # among equal values of a column the next ones decide: the proof needs one order of all
    # instances per column, and rows that are equal throughout may change places
    orders = [np.lexsort(np.roll(values, -j, axis=1).T[::-1]) for j in range(m)]
    places, left = [n - 1] * m, np.ones(n, dtype=bool)
    last = np.empty(m)
    for cut in range(cuts):
        j = cut % m
        while not left[orders[j][places[j]]]:
            places[j] -= 1
        row = orders[j][places[j]]
        left[row] = False
        last[j] = values[row, j]
    return last
