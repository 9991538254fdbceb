"""What is explained: one file per model family, all to one protocol (:class:`Model`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pxgen_plugins.models.base import CAPABILITIES, GenerativeModel, Model, capabilities, require
from pxgen_plugins.registry import Registry

if TYPE_CHECKING:
    from pxgen_plugins.models.autoencoder import Autoencoder
    from pxgen_plugins.models.blackbox import BlackBox
    from pxgen_plugins.models.gan import GAN
    from pxgen_plugins.models.vae import VAE
    from pxgen_plugins.models.vqvae import VQVAE

REGISTRY: Registry[type[GenerativeModel]] = Registry("model", "pxgen_plugins.models")
register = REGISTRY.register
get = REGISTRY.get
names = REGISTRY.names

__all__ = [
    "CAPABILITIES",
    "GAN",
    "VAE",
    "VQVAE",
    "Autoencoder",
    "BlackBox",
    "GenerativeModel",
    "Model",
    "capabilities",
    "get",
    "names",
    "register",
    "require",
]


def __getattr__(name: str) -> Any:
    return REGISTRY.lookup_class(name, __name__)
