"""Models stored as ONNX files, run by onnxruntime."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.models.autoencoder import Autoencoder
from pxgen_plugins.models.diffusion import Diffusion
from pxgen_plugins.models.gan import GAN
from pxgen_plugins.models.sources.base import Source, register
from pxgen_plugins.models.vae import VAE
from pxgen_plugins.utils import optional, validation
from pxgen_plugins.utils.errors import ModelError, ParameterError, caller, short_repr

__all__ = ["from_onnx"]

_ROLES = ("encoder", "decoder", "generator", "discriminator", "network")
_LARGEST_HALF = float(np.finfo(np.float16).max)
_LEVELS = 64  # whole numbers in a data range from which on it is one of bytes
_MEANS = ("mean", "mu", "loc")
_LOG_VARS = ("logvar", "logvariance", "logcovariance", "logsigma2", "logsigmasquared")
_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int16)": np.int16,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
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

    Attributes:
        path: The file.
        shape: Shape of one row of the first input; None when the file leaves it open.
        outputs: Names of its outputs.
        rounds: Whether floats are rounded for an input of integers, as pictures of bytes are; else
            only whole numbers are taken.

    Raises:
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
        self.path = Path(path)
        runtime: Any = optional.load("onnxruntime", "onnx")
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong is raised
        if n_threads is not None:
            options.intra_op_num_threads = validation.integer(n_threads, "n_threads", minimum=1)
        try:
            self._session = runtime.InferenceSession(
                os.fspath(path), options, providers=providers or ["CPUExecutionProvider"]
            )
        except Exception as error:
            hint = "Export it again, as by torch.onnx.export, without custom operators."
            got = f"{Path(path).name!r} ({type(error).__name__}: {str(error)[:160]})"
            raise ModelError(role, "an ONNX file", got, hint) from error
        self.inputs = [self._input(part) for part in self._session.get_inputs()]
        sizes = self.inputs[0][2][1:]
        free = any(not isinstance(size, int) for size in sizes)
        self.shape = None if free else tuple(sizes)
        self.outputs = [str(part.name) for part in self._session.get_outputs()]
        self.n_outputs = len(self.outputs)
        self._role = role
        self.rounds = False

    def __call__(self, *batches: Any) -> Any:
        """Return the first output, or all of several, as ndarrays, for a batch of each input."""
        arrays = [
            np.asarray(part.detach().cpu() if isinstance(part, Tensor) else part)
            for part in batches
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
            feed[name] = self._as_type(name, array, dtype)
        results = [np.asarray(part) for part in self._session.run(None, feed)]
        return [
            part[:n].astype(np.float32) if part.dtype.kind == "f" else part[:n] for part in results
        ]

    def _as_type(self, name: str, array: NDArray[Any], dtype: Any) -> NDArray[Any]:
        """Return an array in the type of an input; raise where that would change its values."""
        if array.dtype.kind == "f" and np.dtype(dtype).kind in "iu":
            whole = np.rint(array)
            cut = not self.rounds and not np.array_equal(whole, array)
            if cut or np.abs(whole).max(initial=0) > 2**31 - 1:
                allowed = f"whole numbers, as input {name!r} takes {np.dtype(dtype).name}"
                got = f"values such as {float(array.flat[np.argmax(np.abs(array - whole))]):.4g}"
                hint = "Set data_range=(0, 255) where it takes bytes, or export it with floats."
                raise ModelError(self._role, allowed, got, hint)
            array = whole
        elif np.dtype(dtype) == np.float16 and np.abs(array).max(initial=0) > _LARGEST_HALF:
            got = f"values up to {np.abs(array).max():.4g}"
            hint = "Scale the anchors, or export it with floats of 32 bits."
            raise ModelError(self._role, f"within float16, as input {name!r} is", got, hint)
        return np.ascontiguousarray(array, dtype)

    def _input(self, part: Any) -> tuple[str, Any, list[Any]]:
        if part.type not in _TYPES:
            hint = "Export it with floating inputs."
            allowed = "inputs of " + ", ".join(_TYPES)
            raise ModelError(part.name, allowed, str(part.type), hint)
        return str(part.name), _TYPES[part.type], list(part.shape)


@caller("from_onnx")
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
    outputs or more (mean, log variance, by their names where these tell), an
    :class:`~pxgen_plugins.models.Autoencoder` when it has one; ``generator``, perhaps with
    ``discriminator`` and ``encoder``, a :class:`~pxgen_plugins.models.GAN`; ``network`` a
    :class:`~pxgen_plugins.models.Diffusion`.
    There is no gradient through a file: a GAN without encoder is inverted by its nearest sample,
    and gradient-based attributions refuse.

    Args:
        obj: Paths of the files by role.
        sample_shape: Shape of one instance; None reads it from the files, where they fix it, or
            runs one.
        latent_shape: Shape of one code; likewise.
        n_threads: Threads of onnxruntime; None takes its default, all cores.
        providers: Execution providers of onnxruntime; None takes the processor.
        settings: Further arguments of the family, such as ``data_range`` or ``scale``.

    Raises:
        ParameterError: When a path or a role is wrong, or a shape is neither given nor in a file.
        ModelError: When a file cannot be opened, or does not give what its role should.
        MissingDependencyError: When onnxruntime is not installed.
    """
    unknown = sorted(set(obj) - set(_ROLES)) if isinstance(obj, Mapping) else ["obj"]
    if unknown or not obj:
        allowed = "paths by role, roles out of " + ", ".join(_ROLES)
        hint = "Pass {'encoder': 'encoder.onnx', 'decoder': 'decoder.onnx'}."
        raise ParameterError("obj", allowed, short_repr(obj), hint)
    for role, path in obj.items():
        if not os.path.isfile(path):
            hint = "Check the spelling, and the directory that a relative path starts from."
            raise ParameterError(role, "the path of a file", short_repr(str(path)), hint)
    files = {role: OnnxFile(path, role, n_threads, providers) for role, path in obj.items()}
    low, high = validation.data_range(settings.get("data_range", (0.0, 1.0))) or (0.0, 0.0)
    for file in files.values():
        file.rounds = high - low >= _LEVELS
    settings |= {
        "sample_shape": sample_shape or _shape(files, "encoder", "discriminator", "network"),
        "modules": (),
    }
    if "network" not in files:
        settings["latent_shape"] = latent_shape or _shape(files, "decoder", "generator")
    model = _family(files, settings)
    names = [f"{role} {Path(path).name}" for role, path in obj.items()]
    model.origin = "ONNX files: " + ", ".join(names)
    return model


def _shape(files: Mapping[str, OnnxFile], *roles: str) -> tuple[int, ...] | None:
    """Return the shape that the first of these files takes; None where it leaves it open."""
    return next((files[role].shape for role in roles if role in files), None)


def _family(files: Mapping[str, OnnxFile], settings: dict[str, Any]) -> Any:
    if "network" in files:
        return Diffusion(files["network"], **settings)
    if "generator" in files:
        others: dict[str, Any] = {
            role: _by_name(files[role]) for role in ("discriminator", "encoder") if role in files
        }
        return GAN(_by_name(files["generator"]), **others, **settings)
    if "encoder" not in files or "decoder" not in files:
        allowed = "encoder and decoder, or a generator, or a network"
        raise ParameterError("obj", allowed, ", ".join(files), "Pass the missing file too.")
    encoder, decoder = files["encoder"], _by_name(files["decoder"])
    if encoder.n_outputs == 1:
        return Autoencoder(encode=encoder, decode=decoder, **settings)
    mean, log_var = _posterior_places(encoder.outputs, settings.get("scale", "log_var"))

    def encode(x: Any) -> tuple[Any, Any]:
        results = encoder(x)
        return results[mean], results[log_var]

    return VAE(encode=encode, decode=decoder, **settings)


def _by_name(file: OnnxFile) -> Any:
    """Return a file as a function that gives several outputs by their names."""
    if file.n_outputs == 1:
        return file
    return lambda *batches: dict(zip(file.outputs, file(*batches), strict=True))


def _posterior_places(names: list[str], scale: str) -> tuple[int, int]:
    """Return which outputs are mean and spread: by names where these tell, else the first two.

    Raises:
        ModelError: When names tell one of both, or that the spread is of another scale.
    """
    plain = [re.sub(r"[^a-z0-9]", "", name.lower()) for name in names]
    spreads = {
        "log_var": _LOG_VARS,
        "std": ("std", "sigma", "stddev", "scale"),
        "variance": ("var", "variance", "covariance"),
    }
    places = {
        kind: [at for at, one in enumerate(plain) if _is_called(one, known)]
        for kind, known in {"mean": _MEANS, **spreads}.items()
    }
    listed = ", ".join(names)
    other = next((k for k in spreads if k != scale and places[k] and not places[scale]), None)
    if other is not None:
        hint = f"Pass scale={other!r}."
        got = f"outputs {listed}"
        raise ModelError("encoder", f"a file that gives a {scale}", got, hint)
    means, logs = places["mean"], places[scale]
    if len(means) == 1 and len(logs) == 1:
        return means[0], logs[0]
    if means or logs or len(names) > 2:
        hint = "Name the outputs mean and log_var at the export, output_names=['mean', 'log_var']."
        allowed = "a file with outputs mean and log_var, or with two"
        raise ModelError("encoder", allowed, f"outputs {listed}", hint)
    return 0, 1


def _is_called(name: str, known: tuple[str, ...]) -> bool:
    """Return whether a name is one of those known, perhaps with what it is of: zmean, muz."""
    return any(name in (one, f"z{one}", f"{one}z", f"latent{one}", f"q{one}") for one in known)


@register("onnx")
class Onnx(Source):
    """ONNX files by role."""

    order = 30
    what = "ONNX files by role, as in {'encoder': path, 'decoder': path}"
    families = (VAE, Autoencoder, GAN, Diffusion)
    build = staticmethod(from_onnx)

    @classmethod
    def matches(cls, obj: Any) -> bool:
        """Return whether ``obj`` maps roles to paths that end in ``.onnx``."""
        return (
            isinstance(obj, Mapping)
            and bool(obj)
            and all(
                isinstance(path, (str, os.PathLike)) and os.fspath(path).endswith(".onnx")
                for path in obj.values()
            )
        )
