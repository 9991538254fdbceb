"""Vector-quantised autoencoders: a module that encodes and decodes, and its codebook."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from pxgen_plugins.models._networks import Networks
from pxgen_plugins.models._seeded_callable import Draw
from pxgen_plugins.models.base import register
from pxgen_plugins.models.callables import as_tensor
from pxgen_plugins.models.runtime import Modules
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import (
    CapabilityError,
    ModelError,
    ParameterError,
    caller,
    short_repr,
)

__all__ = ["VQVAE"]

_PRIOR = (
    "Build the VQVAE with prior=codes, such as those that codes(X) gives for reference data X, or "
    "with prior='uniform', or with prior=f, where f(n, seed) returns n rows of indices."
)


@register("vqvae")
class VQVAE(Networks):
    """A VQ-VAE: continuous latents, of which each vector is replaced by its nearest codebook entry.

    Source: van den Oord, Vinyals and Kavukcuoglu (2017), "Neural Discrete Representation Learning".
    ``embed`` gives the latents before quantisation, ``codes`` the indices of the entries, and
    ``decode`` quantises what it is given. Gradients pass the quantiser straight through, as there.

    Args:
        module: The network.
        encode: Name of its method, or a function, from a batch (n, *sample_shape) to latents (n,
            *latent_shape), before quantisation. It may take and return tensors or ndarrays.
        decode: Name of its method, or a function, from quantised latents (n, *latent_shape) to
            instances (n, *sample_shape).
        codebook: The K entries, (K, d): a tensor, a parameter, an ``nn.Embedding`` or an ndarray;
            or the name of the module's attribute. A tensor is not copied, so it may go on learning.
        latent_shape: Shape of the latents of one instance, as in ``(64, 7, 7)``; one of its axes
            has the codebook's d. None asks ``encode``.
        sample_shape: Shape of one instance, as in ``(1, 28, 28)``; None asks ``decode``.
        data_range: Lowest and highest value of an instance; None when unbounded.
        axis: Which axis of ``latent_shape`` runs along a vector: 0 for channels first, -1 for
            channels last.
        prior: Where samples take their indices from: ``"uniform"``; the codes of reference data,
            integers (m, positions), whose frequencies at each position samples follow, positions
            being independent; or a callable ``prior(n, seed)`` to indices (n, positions), such as
            an autoregressive network. None: no samples.
        modules: The torch modules inside functions (see :class:`~pxgen_plugins.models.VAE`).
        device: Where the functions want their input; None takes that of the first parameter.
        check: Call both once on seeded noise and compare shapes, range and repeatability.

    Attributes:
        n_codes: Number K of the codebook's entries.
        positions: Number of vectors per instance.

    Raises:
        ParameterError: When an argument is not allowed.
        ModelError: When a function does not give what it should.

    Cost: an encoder pass and O(n positions K d) per quantisation, in pieces of bounded memory.

    Example:
        >>> import torch
        >>> model = VQVAE(encode=lambda x: x.reshape(-1, 2, 2), decode=lambda z: z.flatten(1),
        ...               codebook=torch.tensor([[0.0, 0.0], [1.0, 1.0]]), axis=-1,
        ...               modules=(), sample_shape=(4,), prior="uniform")
        >>> x = torch.tensor([[0.1, 0.2, 0.9, 0.7]])
        >>> model.codes(x).tolist(), model.reconstruct(x).tolist()
        ([[0, 1]], [[0.0, 0.0, 1.0, 1.0]])
    """

    autoencodes = True
    costs = MappingProxyType({"reconstruct": 2})

    @caller("VQVAE")
    def __init__(
        self,
        module: Any = None,
        *,
        encode: str | Callable[[Any], Any] = "encode",
        decode: str | Callable[[Any], Any] = "decode",
        codebook: Any = "codebook",
        latent_shape: tuple[int, ...] | None = None,
        sample_shape: tuple[int, ...] | None = None,
        data_range: tuple[float, float] | None = (0.0, 1.0),
        axis: int = 0,
        prior: Any = None,
        modules: Modules = None,
        device: torch.device | str | None = None,
        check: bool = True,
    ) -> None:
        super().__init__(
            module,
            {"encode": encode, "decode": decode},
            latent_shape=latent_shape,
            sample_shape=sample_shape,
            data_range=data_range,
            modules=modules,
            device=device,
        )
        named = isinstance(codebook, str)
        self._codebook = self._entries(getattr(module, codebook, None) if named else codebook)
        self.axis = self._axis(axis)
        self.n_codes = len(self._codebook)
        self.positions = math.prod(self.latent_shape) // self._codebook.shape[1]
        self._prior = self._prior_of(prior)
        able = {"embed", "decode", "codes", "reconstruct", "layers"}
        self.capabilities = frozenset(able if prior is None else able | {"sample"})
        self.remedies = {"sample": _PRIOR}
        self._ask("encode", self._noise(2))
        first = torch.zeros(2, self.positions, dtype=torch.int64, device=self.device)
        self._ask("decode", self.lookup(first))
        if validation.boolean(check, "check"):
            with torch.no_grad(), self._evaluating():
                latents = self._check_codes("encode", self.embed)
                self._check_instances("decode", self.decode, latents)
                if isinstance(self._prior, Draw):
                    self._prior.check()

    def embed(self, x: Tensor) -> Tensor:
        """Return the latents of ``x`` before quantisation, (n, *latent_shape).

        Raises:
            ModelError: When the function returns another shape.
        """
        return self._codes_from("encode", x)

    def codes(self, x: Tensor) -> Tensor:
        """Return the indices of the entries nearest to the latents, int64 (n, positions)."""
        return self._nearest(self._vectors(self.embed(x)))

    def decode(self, z: Tensor) -> Tensor:
        """Quantise latents (n, *latent_shape), and return their instances (n, *sample_shape).

        Raises:
            ModelError: When the function returns another shape.
        """
        quantised = self.lookup(self._nearest(self._vectors(z)))
        # adds nothing but the gradient with respect to z, and NaN where z is NaN
        return self._instances_from("decode", quantised.detach() + (z - z.detach()))

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the instances behind the quantised latents of ``x``, (n, *sample_shape)."""
        return self.decode(self.embed(x))

    def lookup(self, codes: Tensor) -> Tensor:
        """Return the quantised latents (n, *latent_shape) behind indices (n, positions)."""
        entries = self._put(self._codebook)[codes]  # n, positions, d
        outer = list(self.latent_shape)
        size = outer.pop(self.axis)
        return entries.reshape(len(codes), *outer, size).movedim(-1, 1 + self.axis)

    @caller("VQVAE")
    def sample(self, n: int, seed: int) -> Tensor:
        """Return ``n`` instances behind indices drawn from the prior, (n, *sample_shape).

        Raises:
            CapabilityError: When no prior was given.
            ModelError: When a callable one returns no indices of that shape.
        """
        if self._prior is None:
            allowed = "given, for a VQ-VAE that shall sample"
            raise CapabilityError("prior", allowed, "None", _PRIOR)
        codes = self._draw_codes(n, seed).to(self.device, torch.int64)
        with torch.no_grad():
            return self._in_parts(
                lambda some: self._instances_from("decode", self.lookup(some)), codes
            )

    def _draw_codes(self, n: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        shape = (n, self.positions)
        if isinstance(self._prior, Tensor):  # each position's code is that of some reference
            rows = torch.randint(len(self._prior), shape, generator=generator)
            return self._prior.gather(0, rows)
        if self._prior == "uniform":
            return torch.randint(self.n_codes, shape, generator=generator)
        codes = self._prior(n, seed)
        if not self._are_codes(codes) or len(codes) != n:
            allowed = f"integers of shape {shape} from 0 to {self.n_codes - 1}"
            hint = "Return one row of indices per sample asked for."
            raise ModelError("prior's result", allowed, short_repr(codes), hint)
        return torch.as_tensor(codes)

    def _vectors(self, z: Tensor) -> Tensor:
        """Return the vectors of latents, (n, positions, d)."""
        moved = z.movedim(1 + self.axis, -1)
        return moved.reshape(len(z), self.positions, moved.shape[-1])

    def _nearest(self, vectors: Tensor) -> Tensor:
        codebook = self._put(self._codebook).detach().double()
        # |v|^2 is the same for all entries; centred, so that a large mean costs no digits
        centre = codebook.mean(0)
        entries = codebook - centre
        norms = entries.square().sum(1)
        flat = vectors.detach().reshape(-1, vectors.shape[-1]).double() - centre
        rows = max(1, 2**21 // len(entries))
        parts = [(norms - 2 * some @ entries.T).argmin(1) for some in torch.split(flat, rows)]
        return torch.cat(parts).reshape(vectors.shape[:2])

    def _entries(self, codebook: Any) -> Tensor:
        entries: Any = as_tensor(
            codebook.weight if isinstance(codebook, nn.Embedding) else codebook
        )
        good = isinstance(entries, Tensor) and entries.ndim == 2 and entries.is_floating_point()
        if not good or not len(entries) or not bool(entries.isfinite().all()):
            allowed = "finite entries of shape (K, d)"
            hint = "Pass codebook=net.codebook.weight; transpose one of shape (d, K)."
            raise ParameterError("codebook", allowed, short_repr(codebook), hint)
        book: Tensor = entries
        return book

    def _axis(self, axis: Any) -> int:
        place = validation.integer(axis, "axis")
        n, d = len(self.latent_shape), self._codebook.shape[1]
        if not -n <= place < n or self.latent_shape[place] != d:
            allowed = f"an axis of latent_shape {self.latent_shape} with the codebook's {d}"
            hint = "Use axis=0 for channels first, axis=-1 for channels last."
            raise ParameterError("axis", allowed, short_repr(axis), hint)
        return place % n

    def _prior_of(self, prior: Any) -> Any:
        if prior is None or (isinstance(prior, str) and prior == "uniform"):
            return prior
        if callable(prior):
            return Draw(prior, "prior")
        codes = as_tensor(prior)
        if not self._are_codes(codes) or not len(codes):
            allowed = (
                f"None, 'uniform', a callable, or integers of shape (m, {self.positions}) from 0 "
                f"to {self.n_codes - 1}"
            )
            hint = "Pass model.codes(reference data)."
            raise ParameterError("prior", allowed, short_repr(prior), hint)
        return codes.detach().cpu().to(torch.int64)

    def _are_codes(self, codes: Any) -> bool:
        if not isinstance(codes, Tensor) or codes.ndim != 2 or codes.is_floating_point():
            return False
        if codes.shape[1] != self.positions or codes.dtype == torch.bool:
            return False
        return bool(((codes >= 0) & (codes < self.n_codes)).all())
