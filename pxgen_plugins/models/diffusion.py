"""Diffusion models: a network that predicts noise, and a schedule."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.models._networks import Networks
from pxgen_plugins.models.base import register
from pxgen_plugins.models.runtime import Modules
from pxgen_plugins.models.schedules import schedule as named_schedule
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller
from pxgen_plugins.utils.seeds import derive, normal_rows

__all__ = ["Diffusion"]

PREDICTIONS = ("epsilon", "v", "x0")
LOSSES = ("simple", "bound")


@register("diffusion")
class Diffusion(Networks):
    """A denoising diffusion model (Ho et al. 2020), sampled by DDIM (Song et al. 2021).

    With a(t) the signal left at timestep t, x_t = sqrt(a) x + sqrt(1 - a) noise. ``embed`` runs
    DDIM backwards to the noise behind an instance, ``decode`` forwards; ``reconstruct`` adds noise
    up to ``level`` and denoises again (Meng et al. 2022; Wyatt et al. 2022). A plain backward run
    evaluates the network at the wrong end of each step and does not come back to the instance;
    here each step is solved by fixed-point iteration (Pan et al. 2023), and :meth:`round_trip`
    says what error is left.

    Args:
        network: The module, or a function, from noisy instances (n, *sample_shape) and timesteps,
            int64 (n,) from 0 to T - 1, to its prediction, (n, *sample_shape). One that wants t / T
            is wrapped: ``Diffusion(lambda x, t: net(x, t / 1000), modules=net, ...)``.
        sample_shape: Shape of one instance, as in ``(1, 28, 28)``.
        data_range: Lowest and highest value of an instance as the network takes it.
        schedule: ``"linear"``, ``"cosine"``, or the signal left at each timestep, (T,), falling
            ("alphas_cumprod"); it may end at 0 where the network predicts ``v`` or ``x0``.
        n_timesteps: T of a named schedule.
        prediction: What the network predicts: the noise, ``"epsilon"``; ``"v"`` (Salimans and Ho
            2022); or the clean instance, ``"x0"``.
        steps: Steps of DDIM, evenly spaced over the T timesteps.
        refinements: Fixed-point iterations in each step of the inversion.
        eta: 0 samples by DDIM, 1 with the noise of DDPM in each step.
        clip: Keep the clean instance that each step predicts inside ``data_range``, in samples and
            reconstructions, as Ho et al. do; where little signal is left, a small error of the
            network is a large one of the instance. ``decode`` never clips, so that it inverts
            ``embed``. Without effect when there is no ``data_range``.
        level: Up to which part of the T timesteps ``reconstruct`` adds noise, in (0, 1].
        loss: What ``noise_loss`` returns: ``"simple"``, the mean squared error of the noise; or
            ``"bound"``, the term of the variational bound, nats per dimension: averaged over t it
            estimates the bound without its end terms (Kingma et al. 2021, equation 14).
        seed: Seed of the noise of ``reconstruct``, the same for all instances.
        modules: The torch modules inside a function (see :class:`~pxgen_plugins.models.VAE`).
        device: Where the network wants its input; None takes that of the first parameter.
        check: Call it on seeded noise and compare shapes and repeatability.

    Raises:
        ParameterError: When an argument is not allowed.
        ModelError: When the network does not give what it should.

    Cost in passes of the network: ``steps`` for a sample or a decoded code, steps x (1 +
    refinements) for an embedding, at most ``steps`` for a reconstruction, 1 for ``noise_loss``.

    Example:
        >>> import torch
        >>> exact = lambda x, t: x * (1 - linear(1000)[t]).sqrt()[:, None]  # for N(0, I) data
        >>> from pxgen_plugins.models.schedules import linear
        >>> model = Diffusion(exact, modules=(), sample_shape=(4,), data_range=None)
        >>> float(model.round_trip(torch.ones(1, 4))) < 1e-6
        True
    """

    @caller("Diffusion")
    def __init__(
        self,
        network: Callable[[Any, Any], Any],
        *,
        sample_shape: tuple[int, ...],
        data_range: tuple[float, float] | None = (-1.0, 1.0),
        schedule: Any = "linear",
        n_timesteps: int = 1_000,
        prediction: str = "epsilon",
        steps: int = 50,
        refinements: int = 1,
        eta: float = 0.0,
        clip: bool = True,
        level: float = 0.25,
        loss: str = "simple",
        seed: int = 0,
        modules: Modules = None,
        device: torch.device | str | None = None,
        check: bool = True,
    ) -> None:
        super().__init__(
            None,
            {"network": network},
            latent_shape=sample_shape,
            sample_shape=sample_shape,
            data_range=data_range,
            modules=modules,
            device=device,
        )
        n_timesteps = validation.integer(n_timesteps, "n_timesteps", minimum=2)
        self._left = named_schedule(schedule, n_timesteps)
        self.n_timesteps = len(self._left)
        self.prediction = validation.choice(prediction, "prediction", PREDICTIONS)
        self.loss = validation.choice(loss, "loss", LOSSES)
        if float(self._left[-1]) == 0.0 and (prediction == "epsilon" or loss == "bound"):
            hint = "Use prediction='v' or 'x0' and loss='simple', or a schedule that ends above 0."
            allowed = "above 0 at the end, where the noise alone says nothing of the instance"
            raise ParameterError("schedule", allowed, "0 at the last timestep", hint)
        self.steps = validation.integer(steps, "steps", minimum=1)
        if self.steps > self.n_timesteps:
            hint = "Use fewer steps; 50 are enough for most models."
            allowed = f"at most the {self.n_timesteps} timesteps"
            raise ParameterError("steps", allowed, str(steps), hint)
        self.refinements = validation.integer(refinements, "refinements", minimum=0)
        self.eta = validation.real(eta, "eta", minimum=0.0, maximum=1.0)
        self._clip = validation.boolean(clip, "clip")
        self.level = validation.real(level, "level", above=0.0, maximum=1.0)
        self.seed = validation.integer(seed, "seed", minimum=0)
        self.capabilities = frozenset(
            {"sample", "embed", "decode", "reconstruct", "noise_loss", "layers"}
        )
        steps = len(self._path())
        self.costs = {
            "sample": steps,
            "decode": steps,
            "embed": steps * (1 + self.refinements),
            "reconstruct": len(self._path(self._last())),
        }
        self._ask("network", self._noise(2))
        if validation.boolean(check, "check"):
            with torch.no_grad(), self._evaluating():
                self._check()

    def sample(self, n: int, seed: int) -> Tensor:
        """Return ``n`` instances denoised from draws of N(0, I), (n, *sample_shape)."""
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(n, *self.sample_shape, generator=generator, dtype=torch.float32)
        z = self._put(z)
        rows = torch.arange(n)
        with torch.no_grad():
            return self._in_parts(
                lambda z, rows: self._denoise(z, clip=self._clip, rows=rows, seed=seed), z, rows
            )

    def decode(self, z: Tensor) -> Tensor:
        """Return the instances of noise ``z``, without further noise, (n, *sample_shape)."""
        return self._denoise(z)

    def embed(self, x: Tensor) -> Tensor:
        """Return the noise that DDIM denoises to ``x``, (n, *sample_shape); see ``round_trip``."""
        with torch.no_grad():
            return self._in_parts(self._invert, x)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return ``x`` after noise up to ``level`` was added and taken away, of the same shape."""
        last = self._last()
        noise = self._common_noise(derive(self.seed, "reconstruction"))
        return self._denoise(self._noisy(x, noise, last), last=last, clip=self._clip)

    def inpaint(
        self, x: Tensor, mask: Tensor, seed: int, first: int = 0, repeats: int = 10
    ) -> Tensor:
        """Return ``x`` with its unknown elements drawn anew, (n, *sample_shape).

        Lugmayr et al. 2022, "RePaint": at every step the known elements are put back, with as much
        noise as is left, and the step is repeated, so that the others come to fit them.

        Args:
            x: Instances, of which only the known elements are looked at.
            mask: True where an element is known, bool (*sample_shape).
            seed: Seed of the noise.
            first: Place of the first instance among all, by which its noise is drawn.
            repeats: How often each step is done, >= 1.

        Cost: that of n samples, ``repeats`` times.
        """

        def noise(*name: int) -> Tensor:
            own = derive(seed, "inpaint", *name)
            return self._put(normal_rows(first, len(x), self.sample_shape, own))

        made = noise()
        for at, left, cleaner in reversed(self._path()):
            signal, spread = math.sqrt(left), math.sqrt(1.0 - left)
            for repeat in range(repeats):
                known = signal * x + spread * noise(at, repeat, 0)
                clean, _ = self._parts(torch.where(mask, known, made), at)
                if self._clip and self.data_range is not None:
                    clean = clean.clamp(*self.data_range)
                # noise anew, to this step or, at last, to the cleaner one
                kept = cleaner if repeat == repeats - 1 else left
                made = math.sqrt(kept) * clean + math.sqrt(1.0 - kept) * noise(at, repeat, 1)
        filled = torch.where(mask, x, made)
        return filled if self.data_range is None else filled.clamp(*self.data_range)

    @caller("Diffusion.noise_loss")
    def noise_loss(self, x: Tensor, t: float, seed: int) -> Tensor:
        """Return the loss of each instance at timestep t (T - 1), (n,); see ``loss``.

        Raises:
            ParameterError: When ``t`` lies outside [0, 1].
        """
        t = validation.real(t, "t", minimum=0.0, maximum=1.0)
        at = round(t * (self.n_timesteps - 1))
        return self._loss(x, at, seed)

    def round_trip(self, x: Tensor) -> Tensor:
        """Return the mean squared error of ``decode(embed(x))`` for each instance, (n,).

        What the prior likelihood of embedded noise is worth: where this is not small against the
        differences between instances, the noise is not that of the instance.
        """
        with torch.no_grad():
            return (self.decode(self.embed(x)) - x).square().flatten(1).mean(1)

    def _arguments(self, role: str, batch: Tensor) -> tuple[Tensor, ...]:
        return batch, self._timesteps(0, len(batch))

    def _last(self) -> int:
        """Return the timestep up to which ``reconstruct`` adds noise."""
        return max(1, round(self.level * (self.n_timesteps - 1)))

    def _loss(self, x: Tensor, at: int, seed: int, *given: Tensor) -> Tensor:
        noise = self._common_noise(seed)
        predicted = self._epsilon(self._noisy(x, noise, at), at, *given)
        error = (predicted - noise).square().flatten(1).mean(1)
        return error if self.loss == "simple" else error * self._weight(at)

    def _weight(self, at: int) -> float:
        """Return T/2 (SNR(t - 1) / SNR(t) - 1), the weight of the noise's error in the bound."""
        at = max(1, at)  # the first timestep belongs to the bound's end term
        before, now = (float(value) for value in self._left[at - 1 : at + 1])
        ratio = before / (1.0 - before) * (1.0 - now) / now
        return 0.5 * self.n_timesteps * (ratio - 1.0)

    def _common_noise(self, seed: int) -> Tensor:
        return self._put(_first_row(self.sample_shape, seed))

    def _noisy(self, x: Tensor, noise: Tensor, at: int) -> Tensor:
        left = float(self._left[at])
        return math.sqrt(left) * x + math.sqrt(1.0 - left) * noise

    def _timesteps(self, at: int, n: int) -> Tensor:
        return torch.full((n,), at, dtype=torch.int64, device=self.device)

    def _epsilon(self, x: Tensor, at: int, *given: Tensor) -> Tensor:
        """Return the noise in ``x`` at a timestep, whatever the network predicts."""
        return self._parts(x, at, *given)[1]

    def _predicted(self, x: Tensor, at: int, *given: Tensor) -> Tensor:
        """Return what the network predicts; ``given`` is what else it is told of each row."""
        timesteps = self._timesteps(at, len(x)).to(x.device)
        return self._instances_from("network", x, timesteps, *given)

    def _parts(self, x: Tensor, at: int, *given: Tensor) -> tuple[Tensor, Tensor]:
        """Return the clean instance and the noise in ``x`` at a timestep."""
        predicted = self._predicted(x, at, *given)
        left = float(self._left[at])
        signal, noise = math.sqrt(left), math.sqrt(1.0 - left)
        if self.prediction == "epsilon":
            return (x - noise * predicted) / signal, predicted
        if self.prediction == "x0":
            return predicted, (x - signal * predicted) / noise
        return signal * x - noise * predicted, signal * predicted + noise * x

    def _path(self, last: int | None = None) -> list[tuple[int, float, float]]:
        """Return (timestep, signal left there, signal left a step cleaner), cleanest first."""
        last = self.n_timesteps - 1 if last is None else last
        count = max(1, round(self.steps * (last + 1) / self.n_timesteps))
        # ends at the last timestep whatever the count
        at = sorted(set(torch.linspace(last, 0, count).round().long().tolist()))
        left = [float(self._left[step]) for step in at]
        return list(zip(at, left, [1.0, *left[:-1]], strict=True))

    def _denoise(
        self,
        x: Tensor,
        *given: Tensor,
        last: int | None = None,
        clip: bool = False,
        rows: Tensor | None = None,
        seed: int = 0,
    ) -> Tensor:
        bounds = self.data_range if clip else None
        for at, left, cleaner in reversed(self._path(last)):
            clean, epsilon = self._parts(x, at, *given)
            if bounds is not None:  # and the noise that goes with it (Nichol and Dhariwal 2021)
                clean = clean.clamp(*bounds)
                epsilon = (x - math.sqrt(left) * clean) / math.sqrt(1.0 - left)
            spread = self.eta if rows is not None else 0.0
            if spread:
                spread *= math.sqrt((1.0 - cleaner) / (1.0 - left) * (1.0 - left / cleaner))
            x = (
                math.sqrt(cleaner) * clean
                + math.sqrt(max(0.0, 1.0 - cleaner - spread**2)) * epsilon
            )
            if spread and rows is not None:
                table = normal_rows(int(rows[0]), len(rows), self.sample_shape, derive(seed, at))
                x = x + spread * self._put(table)
        return x if self.data_range is None else x.clamp(*self.data_range)

    def _invert(self, x: Tensor, *given: Tensor) -> Tensor:
        for at, left, cleaner in self._path():
            kept = math.sqrt(left / cleaner)
            added = math.sqrt(1.0 - left) - math.sqrt(left * (1.0 - cleaner) / cleaner)
            noisier = x
            for _ in range(1 + self.refinements):
                noisier = kept * x + added * self._epsilon(noisier, at, *given)
            x = noisier
        return x

    def _check(self) -> None:
        at = self.n_timesteps // 2
        self._check_rows(
            "network", "inputs inside data_range", lambda x: self._epsilon(x, at), self._noise(4)
        )

    def __repr__(self) -> str:
        return (
            f"Diffusion(sample_shape={self.sample_shape}, data_range={self.data_range}, "
            f"n_timesteps={self.n_timesteps}, prediction={self.prediction!r}, steps={self.steps})"
        )


@functools.lru_cache(maxsize=64)
def _first_row(shape: tuple[int, ...], seed: int) -> Tensor:
    """Return noise that every batch needs again; nothing may write into it."""
    return normal_rows(0, 1, shape, seed)
