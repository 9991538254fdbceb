"""Variational autoencoders, given as two callables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from pxgen_plugins.models import register
from pxgen_plugins.models._callables import expect_shape
from pxgen_plugins.models._networks import Networks
from pxgen_plugins.models._selfcheck import check_vae
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, short_repr

__all__ = ["VAE"]

SCALES = ("log_var", "std", "variance")


@register("vae")
class VAE(Networks):
    """A variational autoencoder with a Gaussian posterior and the prior N(0, I).

    Args:
        encode: Callable from a batch (n, *sample_shape) to ``(mean, log_var)``, each of shape
            (n, *latent_shape). It may take and return tensors or ndarrays.
        decode: Callable from latent codes (n, *latent_shape) to instances (n, *sample_shape).
        latent_shape: Shape of one latent code, as in ``(20,)``.
        sample_shape: Shape of one instance, as in ``(1, 28, 28)``.
        data_range: Lowest and highest value of an instance; None when unbounded.
        scale: What the second result of ``encode`` is: ``"log_var"``, ``"std"`` or ``"variance"``.
        condition: The class of a conditional VAE (Sohn et al. 2015) that is explained: both
            callables are given it as a second argument, int64 (n,). Explain each class by its own.
        modules: The torch modules behind the callables. They are found by themselves when the
            callables are modules, their methods, or functions that name them. While the model is
            called they are in evaluation mode; afterwards every flag is as before.
        device: Where the callables want their input; None takes that of the first parameter.
        check: Call both once on seeded noise and compare shapes, range, repeatability and the
            meaning of ``scale``.

    Raises:
        ParameterError: When an argument is not allowed.
        ModelError: When the self-check finds a fault.

    Example:
        >>> import torch
        >>> model = VAE(encode=lambda x: (x[:, :2], torch.zeros_like(x[:, :2]) - 1),
        ...             decode=lambda z: torch.cat([z, z], 1).sigmoid(),
        ...             latent_shape=(2,), sample_shape=(4,))
        >>> model.sample(3, seed=0).shape
        torch.Size([3, 4])
    """

    capabilities = frozenset({"sample", "encode", "embed", "decode", "reconstruct", "layers"})

    def __init__(
        self,
        encode: Callable[..., Any],
        decode: Callable[..., Any],
        *,
        latent_shape: tuple[int, ...],
        sample_shape: tuple[int, ...],
        data_range: tuple[float, float] | None = (0.0, 1.0),
        scale: str = "log_var",
        condition: int | None = None,
        modules: nn.Module | Iterable[nn.Module] | None = None,
        device: torch.device | str | None = None,
        check: bool = True,
    ) -> None:
        super().__init__(
            {"encode": encode, "decode": decode},
            latent_shape=latent_shape,
            sample_shape=sample_shape,
            data_range=data_range,
            modules=modules,
            device=device,
        )
        self.scale = validation.choice(scale, "scale", "VAE", SCALES)
        if condition is not None:
            condition = validation.integer(condition, "condition", "VAE", minimum=0)
        self.condition = condition
        with torch.no_grad(), self._evaluating():
            z = self._codes_to_try()
            self._calls["encode"].probe(*self._conditioned(self._noise(2)))
            self._calls["decode"].probe(*self._conditioned(z))
            if validation.boolean(check, "check", "VAE"):
                check_vae(self)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the posterior, each (n, *latent_shape).

        Raises:
            ModelError: When the callable returns anything else.
        """
        returned = self._raw("encode", *self._conditioned(x))
        if not isinstance(returned, (tuple, list)) or len(returned) != 2:
            got = f"{len(returned)} results" if isinstance(returned, (tuple, list)) else ""
            hint = "Wrap it, as in encode=lambda x: net.encode(x)[:2]."
            raise ModelError(
                "encode's result", "VAE", "(mean, log_var)", got or short_repr(returned), hint
            )
        shape = (len(x), *self.latent_shape)
        hint = "Correct latent_shape, or reshape inside encode."
        mean = expect_shape(returned[0], shape, "encode's mean", "VAE", hint)
        spread = expect_shape(returned[1], shape, f"encode's {self.scale}", "VAE", hint)
        return mean, self._log_var(spread)

    def decode(self, z: Tensor) -> Tensor:
        """Return instances (n, *sample_shape) for latent codes ``z`` of (n, *latent_shape).

        Raises:
            ModelError: When the callable returns another shape.
        """
        return self._instances_from("decode", *self._conditioned(z))

    def embed(self, x: Tensor) -> Tensor:
        """Return the posterior means of ``x``, (n, *latent_shape)."""
        return self.encode(x)[0]

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the decoded posterior means of ``x``, shape (n, *sample_shape)."""
        return self.decode(self.encode(x)[0])

    def sample(self, n: int, seed: int) -> Tensor:
        """Return ``n`` decoded draws from the prior N(0, I), shape (n, *sample_shape)."""
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(n, *self.latent_shape, generator=generator, dtype=torch.float32)
        return self._in_parts(self.decode, self._put(z))

    def _conditioned(self, given: Tensor) -> tuple[Tensor, ...]:
        """Return what a callable is given: a batch, and its class where there is one."""
        if self.condition is None:
            return (given,)
        shape = (len(given),)
        return given, torch.full(shape, self.condition, dtype=torch.int64, device=given.device)

    def _log_var(self, spread: Tensor) -> Tensor:
        if self.scale == "log_var":
            return spread
        return spread.log() * (2.0 if self.scale == "std" else 1.0)

    def __repr__(self) -> str:
        return (
            f"VAE(latent_shape={self.latent_shape}, sample_shape={self.sample_shape}, "
            f"data_range={self.data_range}, scale={self.scale!r})"
        )
