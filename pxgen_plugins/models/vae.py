"""Variational autoencoders: a module that encodes and decodes, or two functions."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from pxgen_plugins.models._coders import find_coder
from pxgen_plugins.models._networks import Networks
from pxgen_plugins.models._probe import probing
from pxgen_plugins.models.base import register
from pxgen_plugins.models.callables import expect_shape
from pxgen_plugins.models.outputs import Posterior
from pxgen_plugins.models.runtime import Modules
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, caller, short_repr

__all__ = ["VAE"]

SCALES = ("log_var", "log_std", "std", "variance")
_LOGARITHMS = {"log_var": 1.0, "log_std": 2.0}
_PROBES = 16
_FOLLOWS = 0.8  # squared correlation with the code from which a result is one
_REBUILT = 0.3  # share of their variance that instances miss when they are rebuilt
_FAR_BETTER = 0.5  # squared errors of one result to those of the other


@register("vae")
class VAE(Networks):
    """A variational autoencoder with a Gaussian posterior and the prior N(0, I).

    Args:
        module: The network. While the model is called it is in evaluation mode; afterwards every
            flag is as before.
        encode: Name of its method, or a function, from a batch (n, *sample_shape) to ``(mean,
            log_var)``, each of shape (n, *latent_shape). It may take and return tensors or
            ndarrays.
        decode: Name of its method, or a function, from latent codes (n, *latent_shape) to
            instances (n, *sample_shape).
        latent_shape: Shape of one latent code, as in ``(20,)``; None asks ``encode``.
        sample_shape: Shape of one instance, as in ``(1, 28, 28)``; None asks ``decode``. One of the
            two shapes is needed.
        data_range: Lowest and highest value of an instance; None when unbounded.
        scale: What the second result of ``encode`` is: ``"log_var"``, ``"log_std"``, ``"std"`` or
            ``"variance"``.
        condition: The class of a conditional VAE (Sohn et al. 2015) that is explained: ``encode``
            and ``decode`` are given it as a second argument, int64 (n,). Explain each class by its
            own.
        modules: The torch modules inside functions: one, several, or ``()`` for functions without
            networks. Needed where functions are given without ``module``; methods of modules, and
            modules themselves, need none.
        device: Where the functions want their input; None takes that of the first parameter.
        check: Call both on seeded noise and compare shapes, range, repeatability and the meaning of
            both results of ``encode`` with what the module's own forward does with them, and with
            the codes of instances that ``decode`` made.

    Raises:
        ParameterError: When an argument is not allowed.
        ModelError: When the self-check finds a fault.

    Example:
        >>> from pxgen_plugins.datasets import load_mnist_vae
        >>> model = VAE(load_mnist_vae(), sample_shape=(1, 28, 28))
        >>> model.latent_shape, model.sample(3, seed=0).shape
        ((200,), torch.Size([3, 1, 28, 28]))

        Functions, here without a network:

        >>> model = VAE(encode=lambda x: (x[:, :2], torch.zeros_like(x[:, :2]) - 1),
        ...             decode=lambda z: torch.cat([z, z], 1).sigmoid(),
        ...             modules=(), sample_shape=(4,))
        >>> model.latent_shape
        (2,)
    """

    capabilities = frozenset({"sample", "encode", "embed", "decode", "reconstruct", "layers"})
    costs = MappingProxyType({"reconstruct": 2})

    @caller("VAE")
    def __init__(
        self,
        module: Any = None,
        *,
        encode: str | Callable[..., Any] = "encode",
        decode: str | Callable[..., Any] = "decode",
        latent_shape: tuple[int, ...] | None = None,
        sample_shape: tuple[int, ...] | None = None,
        data_range: tuple[float, float] | None = (0.0, 1.0),
        scale: str = "log_var",
        condition: int | None = None,
        modules: Modules = None,
        device: torch.device | str | None = None,
        check: bool = True,
    ) -> None:
        self.scale = validation.choice(scale, "scale", SCALES)
        if condition is not None:
            condition = validation.integer(condition, "condition", minimum=0)
        self.condition = condition
        super().__init__(
            module,
            {"encode": encode, "decode": decode},
            latent_shape=latent_shape,
            sample_shape=sample_shape,
            data_range=data_range,
            modules=modules,
            device=device,
        )
        self._ask("encode", self._noise(2))
        self._ask("decode", self._random_codes())
        if validation.boolean(check, "check"):
            with torch.no_grad(), self._evaluating():
                self._check()
            if isinstance(module, nn.Module) and (encode, decode) == ("encode", "decode"):
                self._check_forward(module)

    @caller("VAE")
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the posterior, each (n, *latent_shape).

        Raises:
            ModelError: When the function returns anything else.
        """
        returned = self._raw("encode", *self._arguments("encode", x))
        if not isinstance(returned, (tuple, list)) or len(returned) != 2:
            got = f"{len(returned)} results" if isinstance(returned, (tuple, list)) else ""
            hint = "Wrap it, as in encode=lambda x: net.encode(x)[:2]."
            raise ModelError(
                "encode's result", "(mean, log_var)", got or short_repr(returned), hint
            )
        if isinstance(returned, Posterior) and self.scale != "log_var":
            hint = "Leave scale out: the result names its log variance itself."
            got = f"{self.scale!r} beside a distribution, or named parts"
            raise ModelError("scale", "'log_var' here", got, hint)
        shape = (len(x), *self.latent_shape)
        hint = "Correct latent_shape, or reshape inside encode."
        mean = expect_shape(returned[0], shape, "encode's mean", hint)
        spread = expect_shape(returned[1], shape, f"encode's {self.scale}", hint)
        return mean, self._log_var(spread)

    def decode(self, z: Tensor) -> Tensor:
        """Return instances (n, *sample_shape) for latent codes ``z`` of (n, *latent_shape).

        Raises:
            ModelError: When the function returns another shape.
        """
        return self._instances_from("decode", *self._arguments("decode", z))

    def embed(self, x: Tensor) -> Tensor:
        """Return the posterior means of ``x``, (n, *latent_shape)."""
        return self.encode(x)[0]

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the decoded posterior means of ``x``, shape (n, *sample_shape)."""
        return self.decode(self.encode(x)[0])

    def sample(self, n: int, seed: int) -> Tensor:
        """Return ``n`` decoded draws from the prior N(0, I), shape (n, *sample_shape)."""
        if self.own_sample is not None:
            return self._own(n, seed)
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(n, *self.latent_shape, generator=generator, dtype=torch.float32)
        with torch.no_grad():  # nobody differentiates a draw, and its graph would fill memory
            return self._in_parts(self.decode, self._put(z))

    def _arguments(self, role: str, batch: Tensor) -> tuple[Tensor, ...]:
        if self.condition is None:
            return (batch,)
        shape = (len(batch),)
        return batch, torch.full(shape, self.condition, dtype=torch.int64, device=batch.device)

    def _log_var(self, spread: Tensor) -> Tensor:
        if self.scale in _LOGARITHMS:
            return spread * _LOGARITHMS[self.scale]
        return spread.log() * (2.0 if self.scale == "std" else 1.0)

    def _check(self) -> None:
        """Call the networks on seeded noise and compare what comes back with what was declared.

        Raises:
            ModelError: For wrong shapes, values outside ``data_range``, non-finite results, an
                encoder that gives other results for the same input, a network that gives others
                for rows by themselves, and a second result of ``encode`` that is not what
                ``scale`` says.
        """
        x = self._noise(_PROBES)
        raw = self._raw("encode", *self._arguments("encode", x))
        mean, log_var = self.encode(x)
        if raw[0].shape == raw[1].shape and torch.equal(raw[0], raw[1]):
            got = "the same values twice"
            hint = "If it returns (z, mean, log_var), pass encode=lambda x: net.encode(x)[1:]."
            if bool((raw[0] == raw[0][:1]).all()):
                got += ", for every input"
                hint = "The network gives constants, whatever it is given: are its weights loaded?"
            raise ModelError("encode", "(mean, log_var)", got, hint)
        self._check_scale(x, raw[1])
        for name, value in (("mean", mean), ("log_var", log_var)):
            self._check_finite(f"encode's {name}", value, "inputs inside data_range")
        again = self.encode(x)[0]
        if not torch.allclose(mean, again, rtol=1e-4, atol=1e-5):
            allowed = "repeatable (the same input gives the same mean)"
            got = f"means that differ by up to {float((mean - again).abs().max()):.3g}"
            hint = "Return the posterior mean, not a draw; name modules with dropout in modules=."
            raise ModelError("encode", allowed, got, hint)
        self._check_independence("encode", mean, lambda rows: self.encode(rows)[0], x)
        z = self._random_codes(_PROBES, seed=1)
        instances = self.decode(z)
        self._check_finite("decode's result", instances, "ordinary latent codes")
        self._check_independence("decode", instances, self.decode, z)
        self._check_range("decode", torch.cat([instances, self.decode(mean)]))
        self._check_order(z, instances)

    def _check_order(self, z: Tensor, instances: Tensor) -> None:
        """Raise where the second result of ``encode`` is the code that an instance was made of."""
        first, second = self._raw("encode", *self._arguments("encode", instances))[:2]
        if _follows(z, first) or not _follows(z, second):
            return
        misses = [(self.decode(code) - instances).square().mean() for code in (first, second)]
        spread = (instances - instances.mean(0)).square().mean()
        # networks that are not trained rebuild nothing, whatever their results happen to follow
        if bool(misses[1] < min(_REBUILT * spread, _FAR_BETTER * misses[0])):
            hint = (
                "Pass encode=lambda x: net.encode(x)[::-1]; check=False skips this check, which "
                "encodes what decode makes of known codes."
            )
            got = "the mean as the second result: it is the code that an instance was made of"
            raise ModelError("encode's results", "(mean, log_var)", got, hint)

    def _check_forward(self, module: nn.Module) -> None:
        """Raise where the module's own forward reads its methods in another way."""
        if self.condition is not None:  # forward wants classes then
            return
        with probing(module, self.sample_shape, self.data_range) as probe:
            coder = find_coder(probe)
        if coder is None or coder.scale is None:
            return
        if coder.direct and (coder.scale == self.scale or not coder.proven):
            return
        hint = (
            "Use pxgen_plugins.models.wrap(net, sample_shape=...), which reads them so, or name "
            "encode, decode and scale; check=False skips this check."
        )
        got = f"another way in the module's own forward: {coder.words}"
        allowed = f"read as (mean, {self.scale}) of encode, and decode"
        raise ModelError("module", allowed, got, hint)

    def _check_scale(self, x: Tensor, spread: Tensor) -> None:
        if self.scale == "log_std":
            return
        if self.scale != "log_var":
            if bool((spread <= 0).any()):
                got = f"a negative or zero {self.scale}, down to {float(spread.min()):.3g}"
                hint = "It looks like a log variance: pass scale='log_var'."
                raise ModelError(f"encode's {self.scale}", "positive everywhere", got, hint)
            return
        # A trained posterior is narrower than the prior, so log variances are mostly negative; a
        # second result that stays positive whatever comes in has passed an exp or a softplus.
        if bool((spread > 0).all()) and self._is_positive_far_out(x):
            got = (
                f"positive everywhere, from {float(spread.min()):.3g} to {float(spread.max()):.3g}"
            )
            hint = (
                "If encode returns a standard deviation or a variance, pass scale='std' or "
                "scale='variance'; check=False skips this check."
            )
            raise ModelError("encode's log_var", "a log variance", got, hint)

    def _is_positive_far_out(self, x: Tensor) -> bool:
        for factor in (-1.0, 10.0, -10.0, 1000.0, -1000.0):
            try:
                spread = self._calls["encode"](*self._arguments("encode", x * factor))[1]
            except Exception:  # it refuses such inputs: nothing was seen
                continue
            if bool((spread < 0).any()):
                return False
        return True

    def __repr__(self) -> str:
        return (
            f"VAE(latent_shape={self.latent_shape}, sample_shape={self.sample_shape}, "
            f"data_range={self.data_range}, scale={self.scale!r})"
        )


def _follows(z: Tensor, result: Tensor) -> bool:
    """Return whether a part of a result is nearly a linear function of the same part of the codes.

    By chance the squared correlation of 16 pairs exceeds 0.8 three times in a million.
    """
    one, other = (value.double().flatten(1) for value in (z, result))
    if one.shape != other.shape:
        return False
    one, other = one - one.mean(0), other - other.mean(0)
    squares = one.square().sum(0) * other.square().sum(0)
    shared = (one * other).sum(0).square() / squares.clamp(min=1e-300)
    return bool((shared > _FOLLOWS).any())
