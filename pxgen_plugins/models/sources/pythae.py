"""Autoencoders of pythae."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from pxgen_plugins.models.autoencoder import Autoencoder
from pxgen_plugins.models.files import check_folder
from pxgen_plugins.models.runtime import EvaluationMode
from pxgen_plugins.models.sources.base import Source, is_of, register
from pxgen_plugins.models.vae import VAE
from pxgen_plugins.models.vqvae import VQVAE
from pxgen_plugins.utils import optional
from pxgen_plugins.utils.errors import ModelError, ParameterError, caller, short_repr
from pxgen_plugins.utils.json_files import read_json

__all__ = ["from_pythae"]

# whose posterior is not the Gaussian of the encoder, or whose prior is not N(0, I)
_NOT_GAUSSIAN = {"HVAE", "RHVAE", "VAE_IAF", "VAE_LinNF", "VAMP"}
_CURVED = {"SVAE", "PoincareVAE"}  # whose codes live on a sphere or a hyperbolic ball
_CONFIG, _WEIGHTS = "model_config.json", "model.pt"


@caller("from_pythae")
def from_pythae(
    obj: Any,
    *,
    prior: Any = None,
    data_range: tuple[float, float] | None = (0.0, 1.0),
    **settings: Any,
) -> VAE | Autoencoder | VQVAE:
    """Return a trained model of pythae, behind the protocol of this package.

    Models with a Gaussian posterior and the prior N(0, I) become a
    :class:`~pxgen_plugins.models.VAE`, ``VQVAE`` a :class:`~pxgen_plugins.models.VQVAE`, all
    others an :class:`~pxgen_plugins.models.Autoencoder`: those that transform their posterior or
    learn their prior (HVAE, RHVAE, VAE_IAF, VAE_LinNF, VAMP), since a KL divergence from N(0, I)
    would not be theirs. Encoder and decoder are called directly: pythae's own ``embed`` and
    ``reconstruct`` draw a random code.

    Args:
        obj: The model, or the path of a folder that its ``save`` wrote. A folder is read without
            unpickling code: only pythae's default networks can be built from one, a model with
            networks of your own is loaded by yourself.
        prior: Where samples come from, for families without a prior of their own (see
            :class:`~pxgen_plugins.models.Autoencoder` and :class:`~pxgen_plugins.models.VQVAE`).
            WAE_MMD draws from N(0, I) as it was trained to.
        data_range: Lowest and highest value of an instance.
        settings: Further arguments of the family, such as ``device``.

    Raises:
        ParameterError: When ``obj`` is no model of pythae.
        ModelError: When its codes are no vectors of a flat space (SVAE, PoincareVAE), or a folder
            cannot be read.
        MissingDependencyError: When a folder is given and pythae is not installed.
    """
    if isinstance(obj, (str, os.PathLike)):
        obj = _load(Path(obj))
    if not hasattr(obj, "encoder") or not hasattr(obj, "decoder") or not is_of(obj, "pythae"):
        hint = "Pass the trained model itself, as AutoModel.load_from_folder returns it."
        raise ParameterError("obj", "a model of pythae", short_repr(obj), hint)
    name = str(obj.model_name)
    if name in _CURVED:
        hint = "Use an Autoencoder with functions of your own."
        raise ModelError("obj", "a model with codes in a flat space", name, hint)
    shape = tuple(int(size) for size in obj.model_config.input_dim)
    settings |= {"sample_shape": shape, "data_range": data_range}

    def decode(z: Any) -> Any:
        return obj.decoder(z).reconstruction.reshape(len(z), *shape)

    if hasattr(obj, "quantizer"):
        model: VAE | Autoencoder | VQVAE = _vqvae(obj, decode, prior, settings)
    else:
        settings["latent_shape"] = (int(obj.latent_dim),)
        probe = _probe(obj)
        if "log_covariance" in probe and name not in _NOT_GAUSSIAN:
            encode = lambda x: _posterior(obj.encoder(x))  # noqa: E731
            model = VAE(obj, modules=(), encode=encode, decode=decode, **settings)
        else:
            if prior is None and name == "WAE_MMD":
                size = int(obj.latent_dim)
                prior = lambda n, seed: torch.randn(  # noqa: E731
                    n, size, generator=torch.Generator().manual_seed(seed)
                )
            model = Autoencoder(
                obj,
                modules=(),
                encode=lambda x: obj.encoder(x).embedding,
                decode=decode,
                prior=prior,
                **settings,
            )
    model.origin = f"pythae {name}, instances {shape}, codes {model.latent_shape}"
    return model


def _posterior(returned: Any) -> tuple[Any, Any]:
    return returned.embedding, returned.log_covariance


def _probe(obj: Any) -> Any:
    """Return what the encoder gives for one instance."""
    first = next(obj.parameters())
    x = torch.zeros(2, *obj.model_config.input_dim, device=first.device, dtype=first.dtype)
    with torch.no_grad(), EvaluationMode([obj])():
        return obj.encoder(x)


def _vqvae(obj: Any, decode: Any, prior: Any, settings: dict[str, Any]) -> VQVAE:
    book = obj.quantizer.embeddings
    settings |= {"codebook": book.weight if hasattr(book, "weight") else book, "prior": prior}
    latent = tuple(int(size) for size in _probe(obj).embedding.shape[1:])
    if len(latent) > 1:
        encode = lambda x: obj.encoder(x).embedding  # noqa: E731
        return VQVAE(obj, modules=(), encode=encode, decode=decode, latent_shape=latent, **settings)
    # a flat code is quantised number by number
    return VQVAE(
        obj,
        modules=(),
        encode=lambda x: obj.encoder(x).embedding[:, :, None],
        decode=lambda z: decode(z.flatten(1)),
        latent_shape=(*latent, 1),
        axis=-1,
        **settings,
    )


def _config_name(folder: Path) -> str | None:
    try:
        config = read_json(folder / _CONFIG)
    except (OSError, ValueError, RecursionError):
        return None
    return str(config["name"]) if isinstance(config, dict) and "name" in config else None


def _load(folder: Path) -> Any:
    name = _config_name(folder)
    if name is None:
        hint = "Check the path: it is the folder final_model of a training."
        got = f"{short_repr(folder.name)} without a readable {_CONFIG}"
        raise ModelError("obj", "a folder that pythae saved", got, hint)
    check_folder(folder)
    pythae = optional.load("pythae.models", "pythae")
    kind: Any = getattr(pythae, name.removesuffix("Config").removesuffix("_"), None)
    known = name.endswith("Config") and name in vars(pythae) and isinstance(kind, type)
    if not known or "RHVAE" in name:  # RHVAE keeps its metric outside of its weights
        hint = "Load it yourself and pass the model."
        raise ModelError("obj", "a model of pythae.models", short_repr(name), hint)
    try:
        # pythae's own reader unpickles networks that lie beside the weights
        config = getattr(pythae, name).from_json_file(str(folder / _CONFIG))
        own = [key for key, value in vars(config).items() if "uses_default" in key and not value]
        if own:
            raise ValueError(f"{own[0]} is false: its networks are pickled code")
        state = torch.load(folder / _WEIGHTS, map_location="cpu", weights_only=True)
        net: Any = kind(config)
        net.load_state_dict(state["model_state_dict"])
    except Exception as error:
        hint = "Load a model with networks of your own yourself, and pass it."
        got = f"{type(error).__name__}: {str(error)[:200]}"
        allowed = f"a folder with {_CONFIG} and {_WEIGHTS} of default networks"
        raise ModelError("obj", allowed, got, hint) from error
    return net


@register("pythae")
class Pythae(Source):
    """Models of pythae, and folders of them."""

    order = 20
    what = "a model of pythae, or the folder of one"
    families = (VAE, Autoencoder, VQVAE)
    build = staticmethod(from_pythae)

    @classmethod
    def matches(cls, obj: Any) -> bool:
        """Return whether ``obj`` is of pythae, or the folder of a model of it."""
        if isinstance(obj, (str, os.PathLike)):
            return _config_name(Path(obj)) is not None
        return is_of(obj, "pythae") and hasattr(obj, "model_config")
