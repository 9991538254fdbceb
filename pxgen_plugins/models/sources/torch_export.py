"""Models stored by ``torch.export``, run without unpickling anything."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pxgen_plugins.errors import ModelError
from pxgen_plugins.models.sources._archive import read_archive
from pxgen_plugins.models.sources._files import FAMILIES, from_files, is_by_role
from pxgen_plugins.models.sources._graph import Program, RefusedError
from pxgen_plugins.models.sources.base import REGISTRY, Source

__all__ = ["ExportedFile", "from_torch_export"]

_DAMAGES = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError,
            RecursionError, NotImplementedError, zipfile.BadZipFile)  # fmt: skip


class ExportedFile(nn.Module):
    """A ``.pt2`` file as a module on batches, with parameters and gradients.

    The graph and the bytes of plain tensors are read; nothing is unpickled and no expression is
    evaluated (``torch.export.load`` does both). A node may run an operator of torch's public
    ``aten`` set, or arithmetic on sizes. A fixed batch size is served by batches of that size, the
    last one filled up.

    Args:
        path: The file, as ``torch.export.save`` of torch 2.10 and newer writes it.
        role: What it is, for messages.

    Attributes:
        shape: Shape of one row of the first input; None when the file leaves it open.

    Raises:
        ModelError: When it is no such file, or asks for something else.
    """

    def __init__(self, path: str | os.PathLike[str], role: str) -> None:
        super().__init__()
        self._where = f"from_torch_export, {role}"
        try:
            self.program = Program(*read_archive(path))
        except RefusedError as error:
            do = (
                "Export a module that draws nothing and keeps nothing, after .eval() and without "
                "custom operators; or use ONNX."
            )
            came = f"{Path(path).name!r}, which holds {error}"
            allowed = "a graph of tensor operators"
            raise ModelError(role, "from_torch_export", allowed, came, do) from error
        except _DAMAGES as error:
            do = "Write it again by torch.export.save(torch.export.export(module, ...), path)."
            came = f"{Path(path).name!r} ({type(error).__name__}: {str(error)[:160]})"
            allowed = "a file that torch.export.save wrote"
            raise ModelError(role, "from_torch_export", allowed, came, do) from error
        self.n_inputs, self.n_outputs = len(self.program.inputs), self.program.n_outputs
        if not self.n_inputs or not self.n_outputs:
            do = "Export a module with a forward pass on a batch."
            came = f"{Path(path).name!r}, {self.n_inputs} inputs and {self.n_outputs} outputs"
            raise ModelError(role, "from_torch_export", "inputs and outputs", came, do)
        sizes = self.program.inputs[0][1][1:]
        free = any(size is None for size in sizes)
        self.shape: tuple[int, ...] | None = (
            None if free else tuple(int(size or 0) for size in sizes)
        )

    def forward(self, *given: Any) -> Tensor | tuple[Tensor, ...]:
        """Return the output, or all of several, for a batch of each input."""
        if len(given) != self.n_inputs:
            raise ValueError(f"the file takes {self.n_inputs} inputs")
        like = next(self.program.parameters(), torch.empty(0))
        parts = [
            torch.as_tensor(part).to(like.device, dtype)
            for part, (dtype, _) in zip(given, self.program.inputs, strict=True)
        ]
        n, step = len(parts[0]), self.program.inputs[0][1][0]
        if step is None or n == step:
            return self._run(parts)
        found = []
        for low in range(0, n, step):
            batch = [part[low : low + step] for part in parts]
            here = len(batch[0])
            filled = [torch.cat([part, part[-1:].expand(step - here, *part.shape[1:])])
                      for part in batch]  # fmt: skip
            results = self._run(filled)
            results = results if isinstance(results, tuple) else (results,)
            found.append([result[:here] for result in results])
        whole = tuple(torch.cat(column) for column in zip(*found, strict=True))
        return whole[0] if len(whole) == 1 else whole

    def _run(self, parts: list[Tensor]) -> Tensor | tuple[Tensor, ...]:
        try:
            result: Tensor | tuple[Tensor, ...] = self.program(*parts)
        except RefusedError as error:
            raise ValueError(str(error)) from error
        return result


def from_torch_export(
    obj: Mapping[str, str | os.PathLike[str]],
    *,
    sample_shape: tuple[int, ...] | None = None,
    latent_shape: tuple[int, ...] | None = None,
    **settings: Any,
) -> Any:
    """Return the model behind files of ``torch.export``, read without running code of theirs.

    Roles make a family as in :func:`~pxgen_plugins.models.from_onnx`: ``encoder`` and ``decoder``
    a :class:`~pxgen_plugins.models.VAE` or an :class:`~pxgen_plugins.models.Autoencoder`;
    ``generator``, perhaps with ``discriminator`` and ``encoder``, a
    :class:`~pxgen_plugins.models.GAN`; ``network`` a :class:`~pxgen_plugins.models.Diffusion`.
    Gradients flow through a file: a GAN is inverted by descent, and attributions work.

    Args:
        obj: Paths of the files by role.
        sample_shape: Shape of one instance; None reads it from the files, where they fix it.
        latent_shape: Shape of one code; likewise.
        settings: Further arguments of the family, such as ``data_range`` or ``scale``.

    Raises:
        ParameterError: When a path or a role is wrong, or a shape is neither given nor in a file.
        ModelError: When a file cannot be read, asks for more than arithmetic on tensors, or does
            not give what its role should.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> free, folder = torch.export.Dim("n", max=4096), Path(tempfile.mkdtemp())
        >>> nets = {"encoder": torch.nn.Linear(6, 2), "decoder": torch.nn.Linear(2, 6)}
        >>> for role, net in nets.items():
        ...     x = (torch.zeros(2, net.in_features),)
        ...     program = torch.export.export(net.eval(), x, dynamic_shapes=({0: free},))
        ...     torch.export.save(program, folder / f"{role}.pt2")
        >>> files = {role: folder / f"{role}.pt2" for role in nets}
        >>> model = from_torch_export(files, data_range=None)
        >>> type(model).__name__, model.sample_shape, model.latent_shape
        ('Autoencoder', (6,), (2,))
    """
    return from_files(
        obj,
        ExportedFile,
        "from_torch_export",
        "torch.export files",
        ".pt2",
        sample_shape,
        latent_shape,
        settings,
    )


@REGISTRY.register("torch_export")
class TorchExport(Source):
    """Files of ``torch.export`` by role."""

    order = 30
    what = "torch.export files by role, as in {'encoder': 'encoder.pt2', 'decoder': 'decoder.pt2'}"
    families = FAMILIES
    build = staticmethod(from_torch_export)

    @classmethod
    def matches(cls, obj: Any) -> bool:
        """Return whether ``obj`` maps roles to paths that end in ``.pt2``."""
        return is_by_role(obj, ".pt2")
