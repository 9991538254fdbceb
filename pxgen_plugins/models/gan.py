"""Generative adversarial networks: a generator, and the networks beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from pxgen_plugins.models._classes import class_settings
from pxgen_plugins.models._gan_remedies import remedy
from pxgen_plugins.models._log_odds import log_odds
from pxgen_plugins.models._networks import Networks
from pxgen_plugins.models._seeded_callable import Draw
from pxgen_plugins.models.base import register
from pxgen_plugins.models.callables import WithoutGradientError, expect_shape
from pxgen_plugins.models.inversion import Inversion, Objective, descend, nearest
from pxgen_plugins.models.runtime import Modules, modules_of
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import (
    CapabilityError,
    ModelError,
    ParameterError,
    caller,
    short_repr,
    warn,
)
from pxgen_plugins.utils.memory import out_of_memory
from pxgen_plugins.utils.seeds import derive

__all__ = ["GAN"]

OUTPUTS = ("logits", "probabilities")
PRIORS = ("normal", "uniform")
_PROBES = 16
_BANK = 4_096  # samples to choose from where there is no gradient to follow


@register("gan")
class GAN(Networks):
    """A GAN (Goodfellow et al. 2014): a generator, and where there are any, its other networks.

    A GAN has no way back from an instance to a code. Here it is found by inversion of the
    generator (see :class:`~pxgen_plugins.models.inversion.Inversion`), or by an encoder.

    Args:
        generator: The module, or a function, from latent codes (n, *latent_shape) to instances
            (n, *sample_shape). A conditional one takes codes and classes, int64 (n,). It may take
            and return tensors or ndarrays; through ndarrays there is no gradient, and the code is
            then that of the nearest of 4,096 samples, unless an encoder is given.
        latent_shape: Shape of one latent code; None takes the generator's ``encoding_dims``, as
            torchgan's have, else asks the encoder.
        sample_shape: Shape of one instance, as in ``(1, 28, 28)``; None asks the generator.
        data_range: Lowest and highest value of an instance; None when unbounded.
        discriminator: Module or function from instances to one score each, higher = more real:
            (n,), or (n, 1, ...). A conditional one takes instances and classes.
        discriminator_output: ``"logits"`` (log odds, or a critic's values), or
            ``"probabilities"``, of which ``score`` takes the log odds. None takes these where its
            last module is a sigmoid, or, with a warning, where all results lie in [0, 1].
        encoder: Module or function from instances to codes, as of a BiGAN.
        refine: Whether the encoder's codes are only the start of a descent.
        prior: What codes are drawn from: ``"normal"``, N(0, I); ``"uniform"``, between -1 and 1;
            or a callable ``prior(n, seed)`` to codes.
        n_classes: Number of classes of a conditional generator. Samples take each class alike;
            an inversion tries every class, and the best one counts. One that takes them one-hot is
            wrapped: ``lambda z, y: net(z, torch.nn.functional.one_hot(y, 10).to(z.dtype))``.
        condition: The one class of a conditional generator that is explained.
        inversion: Settings of the inversion; None takes the defaults.
        modules: The torch modules inside functions (see :class:`~pxgen_plugins.models.VAE`).
        device: Where the functions want their input; None takes that of the first parameter.
        check: Call each on seeded noise and compare shapes, range and repeatability.

    A conditional generator without ``condition`` cannot decode a code alone: it reconstructs by
    inverting again, so an intrinsic and an extrinsic criterion cost twice as much.

    Raises:
        ParameterError: When an argument is not allowed.
        ModelError: When a function does not give what it should.

    Cost of an inversion: at most steps x restarts (x classes) passes through the generator and
    back per instance. Calibration inverts its samples too, so ask for thousands, not for a million.

    Example:
        >>> import torch
        >>> weight = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5]])
        >>> model = GAN(lambda z: z @ weight, modules=(), latent_shape=(2,), data_range=None)
        >>> x = model.sample(4, seed=0)
        >>> bool((model.reconstruct(x) - x).abs().max() < 0.1)
        True
    """

    @caller("GAN")
    def __init__(
        self,
        generator: Callable[..., Any],
        *,
        latent_shape: tuple[int, ...] | None = None,
        sample_shape: tuple[int, ...] | None = None,
        data_range: tuple[float, float] | None = (0.0, 1.0),
        discriminator: Callable[..., Any] | None = None,
        discriminator_output: str | None = None,
        encoder: Callable[[Any], Any] | None = None,
        refine: bool = False,
        prior: str | Callable[[int, int], Any] = "normal",
        n_classes: int | None = None,
        condition: int | None = None,
        inversion: Inversion | None = None,
        modules: Modules = None,
        device: torch.device | str | None = None,
        check: bool = True,
    ) -> None:
        self.n_classes, self.condition = class_settings(n_classes, condition)
        self._classes = list(range(n_classes or 0)) if condition is None else [condition]
        if latent_shape is None:
            latent_shape = getattr(generator, "encoding_dims", None)
        others = {"discriminator": discriminator, "encoder": encoder}
        super().__init__(
            None,
            {"generator": generator} | {role: f for role, f in others.items() if f is not None},
            encoder="encoder",
            decoder="generator",
            latent_shape=latent_shape,
            sample_shape=sample_shape,
            data_range=data_range,
            modules=modules,
            device=device,
        )
        output = "logits" if discriminator_output is None else discriminator_output
        self.discriminator_output = validation.choice(output, "discriminator_output", OUTPUTS)
        self.refine = validation.boolean(refine, "refine")
        if self.refine and encoder is None:
            hint = "Pass encoder=f, or leave refine out: inversion starts from samples then."
            raise ParameterError("refine", "False without an encoder", "True", hint)
        if not callable(prior):
            validation.choice(prior, "prior", PRIORS)
        self.prior = prior
        self._draw = Draw(prior, "prior") if callable(prior) else None
        if inversion is not None and not isinstance(inversion, Inversion):
            hint = "Use inversion=Inversion(steps=..., restarts=...) from models.inversion."
            raise ParameterError("inversion", "an Inversion or None", short_repr(inversion), hint)
        self.autoencodes = len(self._classes) < 2
        able = {"sample", "embed", "reconstruct", "layers", *(["decode"] * self.autoencodes)}
        able |= {"score"} if discriminator is not None else set()
        self.capabilities = frozenset(able)
        self.remedies = {"score": "Build the GAN with discriminator=net."}
        if not self.autoencodes:
            self.remedies["decode"] = (
                f"Build the GAN with condition=0, say, to explain one of its {n_classes} classes: "
                "a code decodes only with a class."
            )
        self.inversion = self._inversion_for(inversion)
        self.costs = self._costs()
        # descents run in blocks of a fixed number of rows, filled up where fewer are left
        starts = max(1, len(self._classes)) * (1 if encoder else self.inversion.restarts)
        self.block = max(1, self.inversion.rows // starts)
        if discriminator_output is None and discriminator is not None:
            self.discriminator_output = self._kind_of_output(discriminator)
        if validation.boolean(check, "check"):
            self._check()

    @caller("GAN")
    def sample(self, n: int, seed: int) -> Tensor:
        """Return ``n`` instances of codes drawn from the prior, (n, *sample_shape)."""
        if self.own_sample is not None:
            return self._own(n, seed)
        generator = torch.Generator().manual_seed(seed)
        z = self._latents(n, seed, generator)
        which = torch.randint(max(1, len(self._classes)), (n,), generator=generator)
        with torch.no_grad():
            return self._in_parts(self._generate, z, self._class(which))

    @caller("GAN")
    def decode(self, z: Tensor) -> Tensor:
        """Return the instances (n, *sample_shape) of codes ``z`` of (n, *latent_shape).

        Raises:
            CapabilityError: When several classes are possible.
            ModelError: When the callable returns another shape.
        """
        if not self.autoencodes:
            allowed = "given, to decode a code alone"
            hint = "Pass condition=y for the class to explain."
            raise CapabilityError("condition", allowed, "None", hint)
        return self._generate(z, self._class(torch.zeros(len(z), dtype=torch.int64)))

    @caller("GAN")
    def embed(self, x: Tensor) -> Tensor:
        """Return the codes of ``x`` by encoder or inversion, (n, *latent_shape).

        Codes of an inversion carry no gradient; those of an instance that is not finite are NaN.

        Raises:
            ModelError: When a callable returns another shape, or memory runs out.
        """
        if self.autoencodes and "encoder" in self._calls and not self.refine:
            return self._codes_from("encoder", x)
        return self._invert(x)[0]

    @caller("GAN")
    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the instances of the codes of ``x``, (n, *sample_shape)."""
        if self.autoencodes:
            return self.decode(self.embed(x))
        return self._generate(*self._invert(x))

    @caller("GAN")
    def score(self, x: Tensor) -> Tensor:
        """Return the discriminator's log odds that each instance is real, (n,).

        Those of the class that suits it best, where several are possible.

        Raises:
            CapabilityError: Without a discriminator.
            ModelError: When it does not give one number per instance.
        """
        if "discriminator" not in self._calls:
            allowed = "given, to score instances"
            hint = "Pass discriminator=f with f(x) -> one score per instance, higher = more real."
            raise CapabilityError("discriminator", allowed, "None", hint)
        if not self._classes:
            return log_odds(self._raw("discriminator", x), self.discriminator_output)
        columns = [
            self._raw("discriminator", x, torch.full((len(x),), y, device=x.device))
            for y in self._classes
        ]
        return torch.stack([log_odds(c, self.discriminator_output) for c in columns]).amax(0)

    def _arguments(self, role: str, batch: Tensor) -> tuple[Tensor, ...]:
        if not self._classes or role == "encoder":
            return (batch,)
        return batch, self._class(torch.zeros(len(batch), dtype=torch.int64))

    def _remedy(
        self, role: str, inputs: tuple[Tensor, ...], error: BaseException | None
    ) -> str | None:
        return remedy(self._calls[role], inputs, error, self.n_classes)

    def _generate(self, z: Tensor, y: Tensor) -> Tensor:
        return self._instances_from("generator", z, *((y,) if self._classes else ()))

    def _costs(self) -> dict[str, int]:
        classes, encoded = max(1, len(self._classes)), "encoder" in self._calls
        direct = encoded and self.autoencodes and not self.refine
        code = 1 if direct else self.inversion.passes(classes, encoded, self.refine)
        return {"embed": code, "reconstruct": code + 1, "score": classes}

    def _class(self, which: Tensor) -> Tensor:
        """Return the classes at positions ``which``; zeros where there are none."""
        classes = torch.tensor(self._classes or [0])
        return classes[which].to(self.device)

    def _latents(self, n: int, seed: int, generator: torch.Generator) -> Tensor:
        shape = (n, *self.latent_shape)
        if self._draw is not None:
            hint = "Return one code per sample asked for."
            z = expect_shape(self._draw(n, seed), shape, "prior's result", hint)
        elif self.prior == "uniform":
            z = 2 * torch.rand(*shape, generator=generator, dtype=torch.float32) - 1
        else:
            z = torch.randn(*shape, generator=generator, dtype=torch.float32)
        return self._put(z.to(self.dtype))

    def _kind_of_output(self, discriminator: Any) -> str:
        """Return what the discriminator's results are, by its last module or by themselves."""
        for net in modules_of(discriminator):
            if isinstance(list(net.modules())[-1], nn.Sigmoid):
                return "probabilities"
        x = self._noise()
        with torch.no_grad():
            values = torch.cat([self._scores_far_out(x * k) for k in (1, -1, 10, -10, 1e3, -1e3)])
        if bool(((values < 0) | (values > 1)).any() | (values == values[:1]).all()):
            return "logits"
        warn(
            "GAN: all results of the discriminator lie in [0, 1], so they are taken for "
            "probabilities; say which with discriminator_output='probabilities' or 'logits'"
        )
        return "probabilities"

    def _scores_far_out(self, x: Tensor) -> Tensor:
        """Return the finite scores of inputs that may be out of range; none where it refuses."""
        try:
            scores = self.score(x)
        except Exception:  # whatever a network raises on such inputs
            return torch.empty(0, device=x.device, dtype=x.dtype)
        return scores[scores.isfinite()]

    def _invert(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the code and the class of each instance."""
        # inversion differentiates, whatever mode the caller is in
        with torch.inference_mode(False), torch.enable_grad(), self._evaluating():
            target = x.detach().clone()
            z, which = self._starts(target)
            n, k = which.shape
            starts, y = z.flatten(0, 1), self._class(which.flatten().cpu())
            owner = torch.arange(n, device=x.device).repeat_interleave(k)
            objective, how = self._objective(), self.inversion
            if how.steps and ("encoder" not in self._calls or self.refine):
                starts, values = descend(objective, target, owner, starts, y, how)
            else:
                values = self._values_of(objective, target, owner, starts, y)
        best = values.reshape(n, k).nan_to_num(torch.inf).argmin(1)
        chosen = torch.arange(n, device=x.device) * k + best
        codes = starts[chosen]
        codes[~target.flatten(1).isfinite().all(1)] = torch.nan
        return codes, y[chosen]

    def _values_of(
        self, objective: Objective, x: Tensor, owner: Tensor, z: Tensor, y: Tensor
    ) -> Tensor:
        with torch.no_grad():
            parts = zip(
                *(torch.split(part, self.inversion.rows) for part in (owner, z, y)), strict=True
            )
            return torch.cat([objective(x[index], code, label) for index, code, label in parts])

    def _starts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes to start from, (n, k, *latent_shape), and positions of classes, (n, k)."""
        n_classes = max(1, len(self._classes))
        encoded = "encoder" in self._calls
        each = 1 if encoded else self.inversion.restarts
        with torch.no_grad():
            if encoded:
                code = self._codes_from("encoder", x)
                z = code[:, None].expand(-1, n_classes, *self.latent_shape)
            else:
                bank = self._bank()
                close = [nearest(x, self._samples(bank, c), each) for c in range(n_classes)]
                z = bank[torch.cat(close, 1)]
        which = torch.arange(n_classes, device=x.device).repeat_interleave(each)
        return z, which.expand(len(x), -1)

    def _bank(self) -> Tensor:
        seed = derive(self.inversion.seed, "inversion")
        return self._latents(self.inversion.bank, seed, torch.Generator().manual_seed(seed))

    def _samples(self, bank: Tensor, which: int) -> Iterator[Tensor]:
        for z in torch.split(bank, self.inversion.rows):
            yield self._generate(z, self._class(torch.full((len(z),), which)))

    def _objective(self) -> Objective:
        low, high = self.data_range or (0.0, 1.0)
        elements = torch.Size(self.sample_shape).numel()
        weight = self.inversion.noise**2 / elements if self.prior == "normal" else 0.0
        bounds = (-1.0, 1.0) if self.prior == "uniform" else None
        return Objective(self._generate, high - low, weight, bounds)

    def _inversion_for(self, inversion: Inversion | None) -> Inversion:
        """Find out what the callables take, and how the generator can be inverted."""
        z = self._random_codes()
        self._ask("generator", z)
        for role in self._calls:
            if role != "generator":
                self._ask(role, self._noise(2))
        if self._follows(z) or ("encoder" in self._calls and not self.refine):
            return inversion or Inversion()
        if self.refine or (inversion is not None and inversion.steps):
            allowed = "differentiable with respect to the code, to be inverted by descent"
            got = "a result without gradient"
            hint = (
                "Compute in torch, without no_grad or detach; or take the nearest sample by "
                f"inversion=Inversion(steps=0, bank={_BANK})."
            )
            raise ModelError("generator", allowed, got, hint)
        return inversion or Inversion(steps=0, restarts=1, bank=_BANK)

    def _follows(self, z: Tensor) -> bool:
        """Return whether a gradient comes back through the generator."""
        with torch.enable_grad():
            z = z.clone().requires_grad_(True)
            try:
                total = self._generate(z, self._class(torch.zeros(2, dtype=torch.int64))).sum()
                return torch.autograd.grad(total, z, allow_unused=True)[0] is not None
            except WithoutGradientError:
                return False
            except RuntimeError as error:  # a backward pass that autograd cannot make
                if out_of_memory(error):
                    raise
                return False

    def _check(self) -> None:
        if self._draw is not None:
            self._draw.check()
        with torch.no_grad(), self._evaluating():
            z = self._latents(_PROBES, 0, torch.Generator().manual_seed(0))
            positions = torch.arange(_PROBES) % max(1, len(self._classes))
            self._check_instances(
                "generator", lambda z, at: self._generate(z, self._class(at)), z, positions
            )
            if "encoder" in self._calls:
                self._check_codes("encoder", lambda x: self._codes_from("encoder", x))
            if "discriminator" not in self._calls:
                return
            self._check_rows("discriminator", "inputs inside data_range", self.score, self._noise())
