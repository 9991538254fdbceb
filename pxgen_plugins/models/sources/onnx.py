"""Models stored as ONNX files, run by onnxruntime."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins import optional, validation
from pxgen_plugins.errors import ModelError, ParameterError, describe
from pxgen_plugins.models.autoencoder import Autoencoder
from pxgen_plugins.models.diffusion import Diffusion
from pxgen_plugins.models.gan import GAN
from pxgen_plugins.models.sources.base import REGISTRY, Source
from pxgen_plugins.models.vae import VAE

__all__ = ["OnnxFile", "from_onnx"]

_ROLES = ("encoder", "decoder", "generator", "discriminator", "network")
_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}


class OnnxFile:
    """An ONNX file as a function on batches.

    A graph of arithmetic is read, no code: operators outside onnxruntime's own are refused, and
    weights in other files must lie in the same folder or below (onnxruntime checks both). A fixed
    batch size is served by batches of that size, the last one filled up.

    Args:
        path: The file.
        role: What it is, for messages.
        n_threads: Threads of onnxruntime; None takes its default, all cores.
        providers: Execution providers; None takes the processor.

    Raises:
        ParameterError: When there is no such file.
        ModelError: When onnxruntime cannot open it.
        MissingDependencyError: When onnxruntime is not installed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        role: str,
        n_threads: int | None = None,
        providers: list[str] | None = None,
    ) -> None:
        if not os.path.isfile(path):
            do = "Check the spelling, and the directory that a relative path starts from."
            raise ParameterError(role, "from_onnx", "the path of a file", describe(str(path)), do)
        runtime: Any = optional.load("onnxruntime", "onnx", "from_onnx")
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong is raised
        if n_threads is not None:
            options.intra_op_num_threads = validation.integer(
                n_threads, "n_threads", "from_onnx", minimum=1
            )
        try:
            self._session = runtime.InferenceSession(
                os.fspath(path), options, providers=providers or ["CPUExecutionProvider"]
            )
        except Exception as error:
            do = "Export it again, as by torch.onnx.export, without custom operators."
            came = f"{Path(path).name!r} ({type(error).__name__}: {str(error)[:160]})"
            raise ModelError(role, "from_onnx", "an ONNX file", came, do) from error
        self._where = f"from_onnx, {role}"
        self.inputs = [self._input(part) for part in self._session.get_inputs()]
        self.outputs = [part.name for part in self._session.get_outputs()]

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Shape of one row of the first input; None when the file leaves it open."""
        sizes = self.inputs[0][2][1:]
        return tuple(sizes) if all(isinstance(size, int) for size in sizes) else None

    def __call__(self, *given: Any) -> Any:
        """Return the first output, or all of several, as ndarrays, for a batch of each input."""
        arrays = [
            np.asarray(part.detach().cpu() if isinstance(part, Tensor) else part) for part in given
        ]
        if len(arrays) != len(self.inputs):
            wanted = ", ".join(name for name, _, _ in self.inputs)
            raise ValueError(f"the file takes {len(self.inputs)} inputs ({wanted})")
        fixed = self.inputs[0][2][0] if self.inputs[0][2] else None
        n = len(arrays[0])
        step = fixed if isinstance(fixed, int) else max(n, 1)
        parts = [
            self._run([a[low : low + step] for a in arrays], step) for low in range(0, n, step)
        ]
        whole = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
        return whole[0] if len(whole) == 1 else tuple(whole)

    def _run(self, arrays: list[NDArray[Any]], step: int) -> list[NDArray[Any]]:
        n, feed = len(arrays[0]), {}
        for array, (name, dtype, shape) in zip(arrays, self.inputs, strict=True):
            if n < step:
                array = np.concatenate([array, np.repeat(array[-1:], step - n, axis=0)])
            wanted = [len(array), *shape[1:]]
            if all(isinstance(size, int) for size in wanted[1:]):
                array = array.reshape(wanted)
            feed[name] = np.ascontiguousarray(array, dtype)
        found = [np.asarray(part) for part in self._session.run(None, feed)]
        return [
            part[:n].astype(np.float32) if part.dtype.kind == "f" else part[:n] for part in found
        ]

    def _input(self, part: Any) -> tuple[str, Any, list[Any]]:
        if part.type not in _TYPES:
            do = "Export it with floating inputs."
            allowed = "inputs of " + ", ".join(_TYPES)
            raise ModelError(part.name, self._where, allowed, str(part.type), do)
        return str(part.name), _TYPES[part.type], list(part.shape)


def from_onnx(
    obj: Mapping[str, str | os.PathLike[str]],
    *,
    sample_shape: tuple[int, ...] | None = None,
    latent_shape: tuple[int, ...] | None = None,
    n_threads: int | None = None,
    providers: list[str] | None = None,
    **settings: Any,
) -> Any:
    """Return the model behind ONNX files: a format that holds no code.

    ``encoder`` and ``decoder`` make a :class:`~pxgen_plugins.models.VAE` when the encoder has two
    outputs or more (mean, log variance), an :class:`~pxgen_plugins.models.Autoencoder` when it has
    one; ``generator``, perhaps with ``discriminator`` and ``encoder``, a
    :class:`~pxgen_plugins.models.GAN`; ``network`` a :class:`~pxgen_plugins.models.Diffusion`.
    There is no gradient through a file: a GAN without encoder is inverted by its nearest sample,
    and gradient-based attributions refuse.

    Args:
        obj: Paths of the files by role.
        sample_shape: Shape of one instance; None reads it from the files, where they fix it.
        latent_shape: Shape of one code; likewise.
        n_threads: Threads of onnxruntime; None takes its default, all cores.
        providers: Execution providers of onnxruntime; None takes the processor.
        settings: Further arguments of the family, such as ``data_range`` or ``scale``.

    Raises:
        ParameterError: When a path or a role is wrong, or a shape is neither given nor in a file.
        ModelError: When a file cannot be opened, or does not give what its role should.
        MissingDependencyError: When onnxruntime is not installed.
    """
    where = "from_onnx"
    unknown = sorted(set(obj) - set(_ROLES)) if isinstance(obj, Mapping) else ["obj"]
    if unknown or not obj:
        allowed = "paths by role, roles out of " + ", ".join(_ROLES)
        do = "Pass {'encoder': 'encoder.onnx', 'decoder': 'decoder.onnx'}."
        raise ParameterError("obj", where, allowed, describe(obj), do)
    files = {role: OnnxFile(path, role, n_threads, providers) for role, path in obj.items()}
    reads_images = next(
        (files[r] for r in ("encoder", "discriminator", "network") if r in files), None
    )
    reads_codes = files.get("decoder") or files.get("generator")
    shapes: dict[str, Any] = {
        "sample_shape": _settled("sample_shape", sample_shape, reads_images, reads_codes),
        "latent_shape": _settled("latent_shape", latent_shape, reads_codes, files.get("encoder")),
    }
    if "network" in files:
        del shapes["latent_shape"]
        model: Any = Diffusion(files["network"], **shapes, **settings)
    elif "generator" in files:
        roles: dict[str, Any] = {
            role: files[role] for role in ("discriminator", "encoder") if role in files
        }
        model = GAN(files["generator"], **roles, **shapes, **settings)
    elif {"encoder", "decoder"} <= set(files):
        encoder, several = files["encoder"], len(files["encoder"].outputs) > 1
        if several:
            model = VAE(lambda x: encoder(x)[:2], files["decoder"], **shapes, **settings)
        else:
            model = Autoencoder(encoder, files["decoder"], **shapes, **settings)
    else:
        allowed = "encoder and decoder, or a generator, or a network"
        do = "Pass the missing file too."
        raise ParameterError("obj", where, allowed, ", ".join(files), do)
    names = ", ".join(f"{role} {Path(path).name}" for role, path in obj.items())
    model.origin = f"ONNX files: {names}"
    return model


def _settled(
    name: str, given: Any, reader: OnnxFile | None, writer: OnnxFile | None
) -> tuple[int, ...] | None:
    """Return a shape as given, else that of a file's input, else that of another's output."""
    if given is not None:
        return validation.shape(given, name, "from_onnx")
    if reader is not None and reader.shape is not None:
        return reader.shape
    if writer is not None and writer.shape is not None and len(writer.inputs) == 1:
        made = writer(np.zeros((1, *writer.shape)))
        found = made[0] if isinstance(made, tuple) else made
        return tuple(int(size) for size in found.shape[1:])
    if name == "latent_shape" and reader is None:
        return None
    do = f"Pass {name}=... without the batch axis."
    allowed = "given where the files leave it open"
    raise ParameterError(name, "from_onnx", allowed, "None", do)


@REGISTRY.register("onnx")
class Onnx(Source):
    """ONNX files by role."""

    order = 30
    what = "ONNX files by role, as in {'encoder': path, 'decoder': path}"
    families = (VAE, Autoencoder, GAN, Diffusion)
    build = staticmethod(from_onnx)

    @classmethod
    def matches(cls, obj: Any) -> bool:
        """Return whether ``obj`` maps roles to paths that end in ``.onnx``."""
        if not isinstance(obj, Mapping) or not obj:
            return False
        return all(
            isinstance(path, (str, os.PathLike)) and os.fspath(path).endswith(".onnx")
            for path in obj.values()
        )
