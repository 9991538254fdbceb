"""Networks stored one file per role: what model they make, and with which shapes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pxgen_plugins.models.autoencoder import Autoencoder
from pxgen_plugins.models.diffusion import Diffusion
from pxgen_plugins.models.gan import GAN
from pxgen_plugins.models.vae import VAE
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, short_repr

__all__ = ["FAMILIES", "StoredNetwork", "from_files", "is_by_role"]

FAMILIES = (VAE, Autoencoder, GAN, Diffusion)
_ROLES = ("encoder", "decoder", "generator", "discriminator", "network")


class StoredNetwork(Protocol):
    """A file as a function on batches.

    Attributes:
        shape: Of one row of the first input; None when the file leaves it open.
        n_inputs: Number of inputs.
        n_outputs: Number of outputs.
    """

    shape: tuple[int, ...] | None
    n_inputs: int
    n_outputs: int

    def __call__(self, *given: Any) -> Any:
        """Return the output, or all of several, for a batch of each input."""


def from_files(
    obj: Any,
    open_file: Callable[[str | os.PathLike[str], str], StoredNetwork],
    where: str,
    what: str,
    ending: str,
    sample_shape: tuple[int, ...] | None,
    latent_shape: tuple[int, ...] | None,
    settings: Mapping[str, Any],
) -> Any:
    """Return the model that stored networks make.

    Args:
        obj: Paths by role.
        open_file: Called with a path and its role.
        where: Who asks, for messages.
        what: What the files are, for the model's origin.
        ending: What the files end in, for messages.
        sample_shape: Shape of one instance; None reads it from the files.
        latent_shape: Shape of one code; likewise.
        settings: Further arguments of the family.

    Raises:
        ParameterError: When a role is wrong or missing, a path is no file, or a shape is neither
            given nor in a file.
    """
    unknown = sorted(set(obj) - set(_ROLES)) if isinstance(obj, Mapping) else ["obj"]
    if unknown or not obj:
        allowed = "paths by role, roles out of " + ", ".join(_ROLES)
        hint = f"Pass {{'encoder': 'encoder{ending}', 'decoder': 'decoder{ending}'}}."
        raise ParameterError("obj", where, allowed, short_repr(obj), hint)
    for role, path in obj.items():
        if not os.path.isfile(path):
            hint = "Check the spelling, and the directory that a relative path starts from."
            raise ParameterError(role, where, "the path of a file", short_repr(str(path)), hint)
    files = {role: open_file(path, role) for role, path in obj.items()}
    reads_images = next(
        (files[r] for r in ("encoder", "discriminator", "network") if r in files), None
    )
    reads_codes = files.get("decoder") or files.get("generator")
    encoder = files.get("encoder")
    shapes: dict[str, Any] = {
        "sample_shape": _settled("sample_shape", sample_shape, reads_images, reads_codes, where),
        "latent_shape": _settled("latent_shape", latent_shape, reads_codes, encoder, where),
    }
    if "network" in files:
        del shapes["latent_shape"]
        model: Any = Diffusion(files["network"], **shapes, **settings)
    elif "generator" in files:
        roles: dict[str, Any] = {
            role: files[role] for role in ("discriminator", "encoder") if role in files
        }
        model = GAN(files["generator"], **roles, **shapes, **settings)
    elif encoder is not None and "decoder" in files:
        if encoder.n_outputs > 1:
            model = VAE(lambda x: encoder(x)[:2], files["decoder"], **shapes, **settings)
        else:
            model = Autoencoder(encoder, files["decoder"], **shapes, **settings)
    else:
        allowed = "encoder and decoder, or a generator, or a network"
        raise ParameterError("obj", where, allowed, ", ".join(files), "Pass the missing file too.")
    model.origin = f"{what}: " + ", ".join(
        f"{role} {Path(path).name}" for role, path in obj.items()
    )
    return model


def is_by_role(obj: Any, ending: str) -> bool:
    """Return whether ``obj`` maps roles to paths with this ending."""
    if not isinstance(obj, Mapping) or not obj:
        return False
    return all(
        isinstance(path, (str, os.PathLike)) and os.fspath(path).endswith(ending)
        for path in obj.values()
    )


def _settled(
    name: str, given: Any, reader: StoredNetwork | None, writer: StoredNetwork | None, where: str
) -> tuple[int, ...] | None:
    """Return a shape as given, else that of a file's input, else that of another's output."""
    if given is not None:
        return validation.shape(given, name, where)
    if reader is not None and reader.shape is not None:
        return reader.shape
    if writer is not None and writer.shape is not None and writer.n_inputs == 1:
        made = writer(np.zeros((1, *writer.shape)))
        found = made[0] if isinstance(made, tuple) else made
        return tuple(int(size) for size in found.shape[1:])
    if name == "latent_shape" and reader is None:
        return None
    hint = f"Pass {name}=... without the batch axis."
    raise ParameterError(name, where, "given where the files leave it open", "None", hint)
