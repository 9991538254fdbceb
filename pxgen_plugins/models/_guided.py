"""A diffusion model that is told of each row what a prompt says, with and without guidance."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pxgen_plugins.models.diffusion import Diffusion
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError
from pxgen_plugins.utils.seeds import derive

__all__ = ["GuidedDiffusion"]

_LATEST = 10**6  # timesteps that no schedule has


class GuidedDiffusion(Diffusion):
    """Denoising of the space that the network works in, images or latents.

    The conditional prediction c and the one without prompt u become u + w (c - u), w the strength
    of guidance (Ho and Salimans 2022), at every step. Where w is 1 the network is not asked for u.

    Args:
        network: From noisy rows, timesteps and states of prompts, (n, n_tokens, width), to the
            prediction.
        unprompted: Returns the states of the empty prompt, (1, n_tokens, width).
        guidance: w.
        steps: A number, or timesteps.
        end: Signal left after the last step; below 1, a little noise stays.
        settings: Further arguments of :class:`~pxgen_plugins.models.Diffusion`.
    """

    def __init__(
        self,
        network: Callable[..., Any],
        *,
        unprompted: Callable[[], Tensor],
        guidance: float,
        steps: Any,
        end: float,
        **settings: Any,
    ) -> None:
        self._unprompted = unprompted
        self.guidance = guidance
        self._end = validation.real(end, "end", above=0.0, maximum=1.0)
        self._chosen = None
        if isinstance(steps, (Sequence, np.ndarray, Tensor)) and not isinstance(steps, str):
            self._chosen = sorted(validation.positions(list(steps), "steps", _LATEST))
            steps = len(self._chosen)
        super().__init__(_Prediction(network), steps=steps, **settings)
        if self._chosen is not None and self._chosen[-1] >= self.n_timesteps:
            hint = "Give timesteps of the schedule."
            allowed = f"below the {self.n_timesteps} timesteps"
            raise ParameterError("steps", allowed, str(self._chosen[-1]), hint)

    def guided(self, guidance: float) -> GuidedDiffusion:
        """Return the same with another strength of guidance."""
        other = copy.copy(self)
        other.guidance = guidance
        return other

    def draw(self, z: Tensor, states: Tensor, seed: int, first: int = 0) -> Tensor:
        """Return what noise ``z`` becomes under the prompts of its rows, as samples do."""

        def denoise(z: Tensor, states: Tensor, rows: Tensor) -> Tensor:
            return self._denoise(z, states, clip=self._clip, rows=rows, seed=seed)

        with torch.no_grad():
            return self._in_parts(denoise, z, states, torch.arange(first, first + len(z)))

    def denoise(self, z: Tensor, states: Tensor) -> Tensor:
        """Return what noise ``z`` becomes, without further noise and without clipping."""
        return self._denoise(z, states)

    def invert(self, x: Tensor, states: Tensor) -> Tensor:
        """Return the noise behind ``x``."""
        with torch.no_grad():
            return self._in_parts(self._invert, x, states)

    def renew(self, x: Tensor, states: Tensor) -> Tensor:
        """Return ``x`` after noise up to ``level`` was added and taken away."""
        last = self._last()
        noise = self._common_noise(derive(self.seed, "reconstruction"))
        return self._denoise(self._noisy(x, noise, last), states, last=last, clip=self._clip)

    def conditional_loss(self, x: Tensor, states: Tensor, t: float, seed: int) -> Tensor:
        """Return the loss of each row without guidance, (n,); see ``Diffusion.noise_loss``."""
        at = round(t * (self.n_timesteps - 1))
        return self.guided(1.0)._loss(x, at, seed, states)

    def _arguments(self, role: str, batch: Tensor) -> tuple[Tensor, ...]:
        return *super()._arguments(role, batch), self._without_prompt(len(batch))

    def _without_prompt(self, n: int) -> Tensor:
        states = self._unprompted()
        return states.expand(n, *states.shape[1:])

    def _predicted(self, x: Tensor, at: int, *given: Tensor) -> Tensor:
        states = given[0] if given else self._without_prompt(len(x))
        if self.guidance == 1.0 or not given:
            return super()._predicted(x, at, states)
        both = torch.cat([self._without_prompt(len(x)), states])
        without, under = super()._predicted(torch.cat([x, x]), at, both).chunk(2)
        return without + self.guidance * (under - without)

    def _path(self, last: int | None = None) -> list[tuple[int, float, float]]:
        if self._chosen is None:
            path = super()._path(last)
        else:
            at = [t for t in self._chosen if last is None or t < last]
            # a reconstruction begins where its noise ends
            at += [] if last is None else [last]
            left = [float(self._left[t]) for t in at]
            path = list(zip(at, left, [1.0, *left[:-1]], strict=True))
        return [(*path[0][:2], self._end), *path[1:]]


class _Prediction:
    """A network whose result may have the prediction in an attribute ``sample``.

    Args:
        network: The network.
    """

    def __init__(self, network: Callable[..., Any]) -> None:
        self.network = network  # in no closure: a deep copy has a network of its own

    def __call__(self, *given: Any) -> Any:
        returned = self.network(*given)
        return getattr(returned, "sample", returned)
