"""Calibration of an audit, put together from units."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors import Anchors
from pxgen_plugins.anchors.conversion import warn_of_scale
from pxgen_plugins.audit import fit, shards
from pxgen_plugins.audit.crew import Crew
from pxgen_plugins.audit.samples import Samples
from pxgen_plugins.audit.shards import Shards
from pxgen_plugins.estimate import warn_if_long
from pxgen_plugins.scoring import Scorer, Scores
from pxgen_plugins.thresholds import calibrate
from pxgen_plugins.utils.threads import one_thread

__all__ = ["fit_in_units"]

_FIRST = 5  # repeats that are computed before a rule with a tolerance is asked


def fit_in_units(crew: Crew) -> None:
    """Fit the explainer of a run and store it: what its own ``fit`` would give, in units.

    First the features that criteria learn from, then what they learn, then the values that
    thresholds come from.

    Args:
        crew: Who computes the units.

    Raises:
        PXGenError: As :meth:`~pxgen_plugins.PXGen.fit`.
        WorkerLostError: When a worker died; what was written is kept.
    """
    work = crew.work
    explainer = work.calibrated
    data = work.reference.thresholds or work.reference.learning
    n = sum(map(len, filter(None, (work.reference.thresholds, work.reference.learning))))
    warn_if_long("pxgen audit", explainer.scorer(), explainer.threshold, data, n)
    for features, _ in work.lessons:
        crew.complete(features)
    for _, learned in work.lessons:
        crew.complete(learned)
        learned.restore()
    scorer = _StoredScorer(explainer.scorer(), crew)
    with one_thread():
        explainer.calibration = calibrate(
            explainer.threshold, scorer, work.reference, explainer.seed
        )
    fit.store(work.folder, explainer, work.plan)


class _StoredScorer(Scorer):
    """A scorer that takes the values of samples and of reference data from units.

    Args:
        scorer: The scorer that computes whatever else it is asked for.
        crew: Who computes units that are asked for and not there yet.
    """

    def __init__(self, scorer: Scorer, crew: Crew) -> None:
        vars(self).update(vars(scorer))
        self._crew = crew
        self._repeat = self._n_units = 0  # the next repeat; how many units are there

    def score(self, anchors: Anchors, verbose: bool = False, rows: range | None = None) -> Scores:
        """Return the values of reference data."""
        work, stage = self._crew.work, self._crew.work.thresholds
        if rows is not None or not isinstance(stage, Shards) or anchors is not stage.anchors:
            return super().score(anchors, verbose, rows)
        self._crew.complete(stage)
        scores = shards.gather(work.folder, stage, work.plan)
        warn_of_scale(scores.span, self.model.data_range, anchors)
        return scores

    def score_samples(
        self,
        n: int,
        seed: int,
        update: Callable[[float], object] | None = None,
        rows: range | None = None,
    ) -> NDArray[np.float64]:
        """Return the values of the next repeat, if it is what is asked for."""
        work, stage, repeat = self._crew.work, self._crew.work.thresholds, self._repeat
        if rows is None and isinstance(stage, Samples) and repeat < stage.n_repeats:
            rule = work.calibrated.threshold
            if (n, seed) == (stage.n, rule.sample_seed(work.calibrated.seed, repeat)):
                self._repeat += 1
                self._complete(stage, repeat)
                return stage.values(work.folder, repeat, work.plan)
        return super().score_samples(n, seed, update, rows)  # a rule that draws in its own way

    def _complete(self, stage: Samples, repeat: int) -> None:
        """Have a repeat's units computed, and those of all repeats that are surely needed.

        Under a tolerance these are about as many again as half of those before, so that there are
        units for many workers, and few in vain; which ones does not depend on the workers.
        """
        if stage.of_repeats(repeat, repeat + 1).stop <= self._n_units:
            return
        stop = stage.n_repeats
        if self._crew.work.calibrated.threshold.may_stop:
            stop = min(stop, max(_FIRST, repeat + 1 + repeat // 2))
        n_units = stage.of_repeats(0, stop).stop
        self._crew.complete(stage, range(self._n_units, n_units))
        self._n_units = n_units
