"""Several explainers on one model, or on several models, and one anchor set: table and figure."""

from pxgen_plugins.comparison.comparison import Comparison, compare
from pxgen_plugins.comparison.migration import Migration
from pxgen_plugins.comparison.models import ModelComparison
from pxgen_plugins.comparison.sample_distances import SampleDistance

__all__ = ["Comparison", "Migration", "ModelComparison", "SampleDistance", "compare"]
