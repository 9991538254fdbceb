"""What is explained: one file per model family, all to one protocol (:class:`Model`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pxgen_plugins.models.base import (
    CAPABILITIES,
    REGISTRY,
    GenerativeModel,
    Model,
    capabilities,
    register,
    require,
)
from pxgen_plugins.utils.errors import caller
from pxgen_plugins.utils.lazy import attach

if TYPE_CHECKING:
    from pxgen_plugins.models.autoencoder import Autoencoder
    from pxgen_plugins.models.blackbox import BlackBox
    from pxgen_plugins.models.diffusion import Diffusion
    from pxgen_plugins.models.flow import Flow
    from pxgen_plugins.models.gan import GAN
    from pxgen_plugins.models.language_model import LanguageModel
    from pxgen_plugins.models.sample_bank import SampleBank
    from pxgen_plugins.models.sources.base import wrap
    from pxgen_plugins.models.sources.diffusers import from_diffusers
    from pxgen_plugins.models.sources.nflows import from_nflows
    from pxgen_plugins.models.sources.normflows import from_normflows
    from pxgen_plugins.models.sources.onnx import from_onnx
    from pxgen_plugins.models.sources.pythae import from_pythae
    from pxgen_plugins.models.sources.transformers import from_transformers
    from pxgen_plugins.models.sources.zuko import from_zuko
    from pxgen_plugins.models.tabular import Tabular
    from pxgen_plugins.models.text_to_image import TextToImage
    from pxgen_plugins.models.vae import VAE
    from pxgen_plugins.models.vqvae import VQVAE

get = caller("models.get", fallback=True)(REGISTRY.get)
names = REGISTRY.names

__all__ = [
    "CAPABILITIES",
    "GAN",
    "VAE",
    "VQVAE",
    "Autoencoder",
    "BlackBox",
    "Diffusion",
    "Flow",
    "GenerativeModel",
    "LanguageModel",
    "Model",
    "SampleBank",
    "Tabular",
    "TextToImage",
    "capabilities",
    "from_diffusers",
    "from_nflows",
    "from_normflows",
    "from_onnx",
    "from_pythae",
    "from_transformers",
    "from_zuko",
    "get",
    "names",
    "register",
    "require",
    "wrap",
]

_FUNCTIONS = {
    "from_diffusers": "sources.diffusers",
    "from_nflows": "sources.nflows",
    "from_normflows": "sources.normflows",
    "from_onnx": "sources.onnx",
    "from_pythae": "sources.pythae",
    "from_transformers": "sources.transformers",
    "from_zuko": "sources.zuko",
    "wrap": "sources.base",
}
_function, __dir__ = attach(__name__, _FUNCTIONS)


def __getattr__(name: str) -> Any:
    return _function(name) if name in _FUNCTIONS else REGISTRY.lookup_class(name, __name__)
