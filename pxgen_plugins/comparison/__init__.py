"""Several explainers on one model and one anchor set: one table, one figure."""

from pxgen_plugins.comparison.comparison import Comparison, compare

__all__ = ["Comparison", "compare"]
