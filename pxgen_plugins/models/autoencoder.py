"""Autoencoders without a posterior: a module that encodes and decodes, or two functions."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.models._networks import Networks
from pxgen_plugins.models._seeded_callable import Draw
from pxgen_plugins.models.base import register
from pxgen_plugins.models.callables import as_tensor, expect_shape
from pxgen_plugins.models.runtime import Modules
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import CapabilityError, ParameterError, caller, short_repr

__all__ = ["Autoencoder"]

_PRIOR = (
    "Build the Autoencoder with prior=codes, such as those that embed(X) gives for reference data "
    "X, or with prior=f, where f(n, seed) returns n codes."
)


@register("autoencoder")
class Autoencoder(Networks):
    """A plain autoencoder: one latent code per instance, no posterior and no prior of its own.

    It can sample only when a distribution of codes is given. Without one, thresholds have to be
    given too (``threshold=Fixed(...)``).

    Args:
        module: The network.
        encode: Name of its method, or a function, from a batch (n, *sample_shape) to codes (n,
            *latent_shape). It may take and return tensors or ndarrays.
        decode: Name of its method, or a function, from codes (n, *latent_shape) to instances (n,
            *sample_shape).
        latent_shape: Shape of one latent code, as in ``(16,)``; None asks ``encode``.
        sample_shape: Shape of one instance, as in ``(1, 28, 28)``; None asks ``decode``.
        data_range: Lowest and highest value of an instance; None when unbounded.
        prior: Where samples come from: codes of reference data, (m, *latent_shape), of which
            samples take one each at random (the empirical aggregate distribution); or a callable
            ``prior(n, seed)`` to codes (n, *latent_shape), such as a density fitted to codes
            (Ghosh et al. 2020, "From Variational to Deterministic Autoencoders"). None: no samples.
        modules: The torch modules inside functions (see :class:`~pxgen_plugins.models.VAE`).
        device: Where the functions want their input; None takes that of the first parameter.
        check: Call both once on seeded noise and compare shapes, range and repeatability.

    Raises:
        ParameterError: When an argument is not allowed.
        ModelError: When a function does not give what it should.

    Cost: an encoder pass per code, a decoder pass per reconstruction or sample.

    Example:
        >>> import torch
        >>> model = Autoencoder(encode=lambda x: x[:, :2], decode=lambda z: torch.cat([z, z], 1),
        ...                     modules=(), sample_shape=(4,), data_range=None,
        ...                     prior=torch.eye(2))
        >>> model.reconstruct(torch.tensor([[1.0, 2.0, 3.0, 4.0]])).tolist()
        [[1.0, 2.0, 1.0, 2.0]]
        >>> model.sample(3, seed=0).shape
        torch.Size([3, 4])
    """

    autoencodes = True
    costs = MappingProxyType({"reconstruct": 2})

    @caller("Autoencoder")
    def __init__(
        self,
        module: Any = None,
        *,
        encode: str | Callable[[Any], Any] = "encode",
        decode: str | Callable[[Any], Any] = "decode",
        latent_shape: tuple[int, ...] | None = None,
        sample_shape: tuple[int, ...] | None = None,
        data_range: tuple[float, float] | None = (0.0, 1.0),
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
        self._prior: Draw | Tensor | None = None
        if prior is not None:
            draws = callable(prior)
            self._prior = Draw(prior, "prior") if draws else self._reference(prior)
        able = {"embed", "decode", "reconstruct", "layers"}
        self.capabilities = frozenset(able if prior is None else able | {"sample"})
        self.remedies = {"sample": _PRIOR}
        self._ask("encode", self._noise(2))
        self._ask("decode", self._random_codes())
        if validation.boolean(check, "check"):
            with torch.no_grad(), self._evaluating():
                codes = self._check_codes("encode", self.embed)
                self._check_instances("decode", self.decode, codes)
                if isinstance(self._prior, Draw):
                    self._prior.check()

    def embed(self, x: Tensor) -> Tensor:
        """Return the codes of ``x``, (n, *latent_shape).

        Raises:
            ModelError: When the function returns another shape.
        """
        return self._codes_from("encode", x)

    def decode(self, z: Tensor) -> Tensor:
        """Return instances (n, *sample_shape) for codes ``z`` of (n, *latent_shape).

        Raises:
            ModelError: When the function returns another shape.
        """
        return self._instances_from("decode", z)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the decoded codes of ``x``, (n, *sample_shape)."""
        return self.decode(self.embed(x))

    @caller("Autoencoder")
    def sample(self, n: int, seed: int) -> Tensor:
        """Return ``n`` decoded draws from the given distribution of codes, (n, *sample_shape).

        Raises:
            CapabilityError: When none was given.
            ModelError: When a callable one returns another shape.
        """
        if self.own_sample is not None:
            return self._own(n, seed)
        if self._prior is None:
            allowed = "given, for an autoencoder that shall sample"
            raise CapabilityError("prior", allowed, "None", _PRIOR)
        if isinstance(self._prior, Tensor):
            generator = torch.Generator().manual_seed(seed)
            z = self._prior[torch.randint(len(self._prior), (n,), generator=generator)]
        else:
            hint = "Return one code per sample asked for."
            shape = (n, *self.latent_shape)
            z = expect_shape(self._prior(n, seed), shape, "prior's result", hint)
        with torch.no_grad():
            return self._in_parts(self.decode, self._put(z.to(self.dtype)))

    def _reference(self, prior: Any) -> Tensor:
        codes = as_tensor(prior)
        good = isinstance(codes, Tensor) and len(codes.shape) > 0 and len(codes) > 0
        if not good or tuple(codes.shape[1:]) != self.latent_shape or not codes.isfinite().all():
            allowed = f"finite codes of shape (m, {', '.join(map(str, self.latent_shape))}), m >= 1"
            hint = "Pass model.embed(reference data), or a callable (n, seed) -> codes."
            raise ParameterError("prior", allowed, short_repr(prior), hint)
        kept: Tensor = codes.detach().cpu().clone()
        return kept
