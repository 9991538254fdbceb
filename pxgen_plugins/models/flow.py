"""Normalising flows: an exact density, and a way to its noise and back."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.models._networks import Networks
from pxgen_plugins.models._seeded_callable import Draw
from pxgen_plugins.models.base import register
from pxgen_plugins.models.callables import expect_shape, method
from pxgen_plugins.models.logit import Logit
from pxgen_plugins.models.runtime import Modules
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError, caller, short_repr

__all__ = ["Flow"]

_REMEDIES = {
    "sample": "Build the Flow with decode=f or with sample=f.",
    "embed": "Build the Flow with embed=f.",
    "decode": "Build the Flow with decode=f.",
    "reconstruct": "Build the Flow with embed=f and decode=g.",
}


@register("flow")
class Flow(Networks):
    """A normalising flow (Papamakarios et al. 2021), or any model with an exact log density.

    A flow reconstructs every instance exactly, so the error of its reconstruction says nothing: as
    extrinsic criterion take a distance to its samples, such as ``nearest_sample``. And a high
    density alone is a poor sign of membership (Nalisnick et al. 2019): hold ``nll`` against
    ``typical_nll``.

    Args:
        module: The network.
        log_prob: Name of its method, or a function, from instances (n, *sample_shape) to log
            densities, nats, (n,).
        embed: Likewise, from instances to the base's noise, (n, *latent_shape), N(0, I); None
            where there is no such way.
        decode: Likewise, from that noise to instances.
        sample: Likewise, ``sample(n, seed)`` to instances, where there is no ``decode``.
        sample_shape: Shape of one instance; None asks ``decode``.
        latent_shape: Shape of its noise; None asks ``embed``, else takes ``sample_shape``.
        data_range: Lowest and highest value of an instance; None when unbounded.
        preprocess: A :class:`~pxgen_plugins.models.logit.Logit` between instances and the
            functions; its change of volume is counted in the density.
        modules: The torch modules inside functions (see :class:`~pxgen_plugins.models.VAE`).
        device: Where the functions want their input; None takes that of the first parameter.
        check: Call each on seeded noise and compare shapes, repeatability and, where there are
            both, that ``decode`` undoes ``embed``.

    Raises:
        ParameterError: When an argument is not allowed.
        ModelError: When a function does not give what it should.

    Cost: one pass of the flow for a density or an embedding, one backwards for a sample.

    Example:
        >>> import math, torch
        >>> model = Flow(log_prob=lambda x: -0.5 * (x.square() + math.log(2 * math.pi)).sum(1),
        ...              embed=lambda x: x, decode=lambda z: z, modules=(), sample_shape=(2,))
        >>> round(model.log_prob(torch.zeros(1, 2)).item(), 3), model.sample(3, seed=0).shape
        (-1.838, torch.Size([3, 2]))
    """

    costs = MappingProxyType({"reconstruct": 2})

    @caller("Flow")
    def __init__(
        self,
        module: Any = None,
        *,
        log_prob: str | Callable[[Any], Any] = "log_prob",
        embed: str | Callable[[Any], Any] | None = None,
        decode: str | Callable[[Any], Any] | None = None,
        sample: str | Callable[[int, int], Any] | None = None,
        sample_shape: tuple[int, ...] | None = None,
        latent_shape: tuple[int, ...] | None = None,
        data_range: tuple[float, float] | None = None,
        preprocess: Logit | None = None,
        modules: Modules = None,
        device: torch.device | str | None = None,
        check: bool = True,
    ) -> None:
        if preprocess is not None and not isinstance(preprocess, Logit):
            hint = "Use preprocess=Logit(...) from pxgen_plugins.models.logit."
            raise ParameterError("preprocess", "a Logit or None", short_repr(preprocess), hint)
        if preprocess is not None and data_range is None:
            hint = "Pass data_range=(0.0, 1.0), say."
            raise ParameterError("data_range", "given, with preprocess", "None", hint)
        self.preprocess = preprocess
        others = {role: f for role, f in (("embed", embed), ("decode", decode)) if f is not None}
        super().__init__(
            module,
            {"log_prob": log_prob} | others,
            encoder="embed",
            latent_shape=sample_shape if latent_shape is None and embed is None else latent_shape,
            sample_shape=sample_shape,
            data_range=data_range,
            modules=modules,
            device=device,
        )
        self._sampler = None if sample is None else Draw(method(module, sample, "sample"), "sample")
        able = {"layers", *self._calls}
        able |= {"sample"} if sample is not None or decode is not None else set()
        self.autoencodes = able >= {"embed", "decode"}
        able |= {"reconstruct"} if self.autoencodes else set()
        self.capabilities = frozenset(able)
        self.remedies = _REMEDIES
        for role in self._calls:
            self._ask(role, self._random_codes() if role == "decode" else self._noise(2))
        if validation.boolean(check, "check"):
            with torch.no_grad(), self._evaluating():
                self._check()

    @caller("Flow")
    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log density of each instance, nats, (n,).

        Raises:
            ModelError: When the function returns another shape.
        """
        inside, volume = self._inside(x)
        hint = "Return one log density per instance, summed over its dimensions."
        density = self._raw("log_prob", inside)
        return expect_shape(density, (len(x),), "log_prob's result", hint) + volume

    def embed(self, x: Tensor) -> Tensor:
        """Return the base's noise behind ``x``, (n, *latent_shape).

        Raises:
            CapabilityError: Without the function.
        """
        if "embed" not in self._calls:
            raise self._refusal("embed")
        return self._codes_from("embed", self._inside(x)[0])

    def decode(self, z: Tensor) -> Tensor:
        """Return the instances of noise ``z``, (n, *sample_shape).

        Raises:
            CapabilityError: Without the function.
        """
        if "decode" not in self._calls:
            raise self._refusal("decode")
        return self._outside(self._instances_from("decode", z))

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return ``decode(embed(x))``, which is ``x`` but for rounding."""
        if not self.autoencodes:
            raise self._refusal("reconstruct")
        return self.decode(self.embed(x))

    @caller("Flow")
    def sample(self, n: int, seed: int) -> Tensor:
        """Return ``n`` instances: decoded draws of N(0, I), or those of the given sampler.

        Raises:
            CapabilityError: With neither.
            ModelError: When the sampler returns another shape.
        """
        if self._sampler is None and "decode" not in self._calls:
            raise self._refusal("sample")
        with torch.no_grad(), self._evaluating():
            if self._sampler is not None:
                hint = "Return one instance per sample asked for."
                shape = (n, *self.sample_shape)
                draws = expect_shape(self._sampler(n, seed), shape, "sample's result", hint)
                return self._outside(self._put(draws))
            generator = torch.Generator().manual_seed(seed)
            z = torch.randn(n, *self.latent_shape, generator=generator, dtype=torch.float32)
            return self._in_parts(self.decode, self._put(z))

    def _arguments(self, role: str, batch: Tensor) -> tuple[Tensor, ...]:
        return (batch if role == "decode" else self._inside(batch)[0],)

    def _inside(self, x: Tensor) -> tuple[Tensor, Tensor | float]:
        """Return what the callables take, and the log change of volume, (n,)."""
        if self.preprocess is None or self.data_range is None:
            return x, 0.0
        return self.preprocess.forward(x, self.data_range)

    def _outside(self, y: Tensor) -> Tensor:
        if self.data_range is None:
            return y
        x = y if self.preprocess is None else self.preprocess.inverse(y, self.data_range)
        return x.clamp(*self.data_range)

    def _check(self) -> None:
        if self._sampler is not None:
            self._sampler.check()
        x = self._noise()
        self._check_rows("log_prob", "inputs inside data_range", self.log_prob, x)
        if "embed" not in self._calls:
            return
        codes = self._check_codes("embed", self.embed)
        if not self.autoencodes:
            return
        gap = float((self.decode(codes) - x).abs().max())
        low, high = self.data_range or (-1.0, 1.0)
        if not gap <= 0.05 * (high - low):  # far above rounding, also of a long flow
            allowed = "the inverse of embed"
            hint = "Pass both in the direction noise -> instance and back; check=False skips this."
            raise ModelError("decode", allowed, f"instances off by {gap:.3g}", hint)
