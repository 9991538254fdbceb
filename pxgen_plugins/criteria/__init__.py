"""Criteria: functions of (model, anchor) to a float, smaller = closer to the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pxgen_plugins.criteria.base import REGISTRY as REGISTRY
from pxgen_plugins.criteria.base import Batch, Criterion, for_model, make
from pxgen_plugins.criteria.fitted_criterion import FittedCriterion
from pxgen_plugins.utils.errors import caller

if TYPE_CHECKING:
    from pxgen_plugins.criteria.aggregate import AggregateMahalanobis
    from pxgen_plugins.criteria.code_usage import CodeUsage
    from pxgen_plugins.criteria.continuation_distance import ContinuationDistance
    from pxgen_plugins.criteria.denoising import DenoisingLoss
    from pxgen_plugins.criteria.density import Density
    from pxgen_plugins.criteria.discriminator import Discriminator
    from pxgen_plugins.criteria.elbo import ELBO
    from pxgen_plugins.criteria.elementwise import BCE, MAE, MSE, PSNR
    from pxgen_plugins.criteria.feature_distance import FeatureDistance
    from pxgen_plugins.criteria.fvu import FVU
    from pxgen_plugins.criteria.gaussian_posterior import KLD, Mahalanobis
    from pxgen_plugins.criteria.gower import Gower, GowerNearest
    from pxgen_plugins.criteria.latent_knn import LatentNeighbours
    from pxgen_plugins.criteria.likelihood import NLL, BitsPerDim, TypicalNLL
    from pxgen_plugins.criteria.ms_ssim import MSSSIM
    from pxgen_plugins.criteria.nearest_sample import NearestSample
    from pxgen_plugins.criteria.patch_frechet import PatchFrechet
    from pxgen_plugins.criteria.prior import PriorNLL, Typicality
    from pxgen_plugins.criteria.prompt_gain import PromptGain
    from pxgen_plugins.criteria.realism import Realism
    from pxgen_plugins.criteria.sample_rank import SampleRank
    from pxgen_plugins.criteria.ssim import DSSIM, SSIM
    from pxgen_plugins.criteria.text import TokenEdit, TokenNLL

register = REGISTRY.register
get = caller("criteria.get", fallback=True)(REGISTRY.get)
names = REGISTRY.names

__all__ = [
    "BCE",
    "DSSIM",
    "ELBO",
    "FVU",
    "KLD",
    "MAE",
    "MSE",
    "MSSSIM",
    "NLL",
    "PSNR",
    "SSIM",
    "AggregateMahalanobis",
    "Batch",
    "BitsPerDim",
    "CodeUsage",
    "ContinuationDistance",
    "Criterion",
    "DenoisingLoss",
    "Density",
    "Discriminator",
    "FeatureDistance",
    "FittedCriterion",
    "Gower",
    "GowerNearest",
    "LatentNeighbours",
    "Mahalanobis",
    "NearestSample",
    "PatchFrechet",
    "PriorNLL",
    "PromptGain",
    "Realism",
    "SampleRank",
    "TokenEdit",
    "TokenNLL",
    "TypicalNLL",
    "Typicality",
    "for_model",
    "get",
    "make",
    "names",
    "register",
]


def __getattr__(name: str) -> Any:
    return REGISTRY.lookup_class(name, __name__)
