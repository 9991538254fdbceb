"""TRANSITION: the former name of :class:`~pxgen_plugins.criteria.FittedCriterion`."""

from __future__ import annotations

from pxgen_plugins.criteria.fitted_criterion import FittedCriterion as Fitted

__all__ = ["Fitted"]
