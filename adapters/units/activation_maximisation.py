"""What a unit of the decoder responds to most: ascent of its activation over latent codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.adapters._activation_hooks import (
    ActiveLayer,
    active_layers,
    choose_layer,
    record,
)
from pxgen_plugins.adapters._anchors import AnchorReader, can_embed
from pxgen_plugins.adapters.base import Adapter, register
from pxgen_plugins.criteria import Batch
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import CapabilityError, ParameterError, short_repr
from pxgen_plugins.utils.progress import bar
from pxgen_plugins.utils.seeds import derive, normal_rows

__all__ = ["DEFAULT_DATA_ACTIVATION_MAXIMISATION", "ActivationMaximisation"]

DEFAULT_DATA_ACTIVATION_MAXIMISATION: dict[str, Any] = {
    "layer": None,
    "units": None,
    "n_units": None,
    "radius": None,
    "codes": None,
    "images": None,
    "activation": None,
    "start_activation": None,
    "best": None,
    "history": None,
    "anchor_activation": None,
    "prototypes": None,
    "invalid": None,
    "reasons": [],
}
"""Default data of ActivationMaximisation, to be deep-copied; its docstring has the keys."""


@register("activation_maximisation")
@dataclass(repr=False, eq=False)
class ActivationMaximisation(Adapter):
    """Codes and images that excite a unit of the decoder most (Erhan et al. 2009).

    Gradient ascent on the latent code, as Nguyen et al. (2016) do with a generator as prior, by
    steps of a given length that shrinks to 0. After each step the code is put back into the
    plausible region: the ball around 0 that holds the share ``plausible`` of the prior N(0, I).
    (Not Adam: scaled by coordinate and projected, it comes to rest off the optimum.) Of each
    restart the best step counts, of the
    restarts the best one. The activation of a channel is its mean over positions. The anchors that
    excite the unit most stand beside it, as prototypes.

    Args:
        predictor: A torch model with ``decode`` and ``layers``.
        layer: Name of a layer that decoding calls; None takes the last convolution (else linear
            layer) before the output layer.
        units: Channel or unit, or a list of them; None takes the first 8.
        n_restarts: Starts per unit, draws from the prior, >= 1.
        n_steps: Steps of ascent, >= 1.
        step: Length of the first step, as a share of the region's radius, > 0.
        plausible: Share of the prior inside the region, in (0, 1).
        n_prototypes: Anchors named per unit, >= 1.
        seed: Seed of the starts.
        batch_size: Codes per model call.
        verbose: Show a progress bar on stderr.

    Fields:
        layer (str): Name of the layer.
        units (int64 (u,)): Units looked at.
        n_units (int): How many the layer has.
        radius (float): Largest norm of a code, the border of the plausible region.
        codes (float32 (u, *latent_shape)): The best code of each unit.
        images (float32 (u, *sample_shape)): What it decodes to.
        activation (float64 (u, r)): At the best step of each of r restarts.
        start_activation (float64 (u, r)): At its start.
        best (int64 (u,)): The restart that the best code came from.
        history (float64 (u, n_steps + 1)): Activation along that restart.
        anchor_activation (float64 (n, u)): At the codes of the n anchors, NaN for those left out;
            None without anchors.
        prototypes (int64 (u, k)): Anchors by falling activation; None without anchors.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

    Raises:
        ParameterError: When an argument is not allowed, or the layer is not called.
        CapabilityError: When the model cannot decode or names no layers.

    Cost: u n_restarts n_steps decoder passes with gradient.

    Example:
        >>> from pxgen_plugins.models import VAE
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4), nn.Sigmoid())
        >>> _ = nn.init.constant_(net[0].weight, 1.0)
        >>> model = VAE(encode=lambda x: (x[:, :2], x[:, :2]), decode=net.forward,
        ...             latent_shape=(2,), modules=net, check=False)
        >>> result = ActivationMaximisation(model, "0", 1, n_steps=100).explain(None)
        >>> bool(abs(result.codes[0] - result.radius / 2**0.5).max() < 0.05)  # border, along (1, 1)
        True
    """

    evidence = "prototypes"
    access = "gradients"
    requires = frozenset({"decode", "layers"})
    scope: ClassVar[list[str]] = ["global"]
    defaults = DEFAULT_DATA_ACTIVATION_MAXIMISATION

    layer: str | None = None
    units: Any = None
    _: KW_ONLY
    n_restarts: int = 4
    n_steps: int = 100
    step: float = 0.1
    plausible: float = 0.99
    n_prototypes: int = 5

    def _check(self) -> None:
        super()._check()
        if self.layer is not None and not isinstance(self.layer, str):
            hint = "Name one of model.layers."
            raise ParameterError("layer", "a name or None", short_repr(self.layer), hint)
        self.units = None if self.units is None else _units(self.units)
        self.n_restarts = validation.integer(self.n_restarts, "n_restarts", minimum=1)
        self.n_steps = validation.integer(self.n_steps, "n_steps", minimum=1)
        self.step = validation.real(self.step, "step", above=0.0)
        self.plausible = validation.real(self.plausible, "plausible", above=0.0, below=1.0)
        self.n_prototypes = validation.integer(self.n_prototypes, "n_prototypes", minimum=1)

    def model_calls(self, n: int) -> Mapping[str, float]:
        """Return how often ``explain`` calls the model for ``n`` anchors."""
        return {
            "decode": 3.0
            * (8 if self.units is None else len(self.units))
            * self.n_restarts
            * self.n_steps
        }

    def _explain(self, X: Any) -> dict[str, Any]:
        name, layer, total = self._find()
        units = list(range(min(8, total))) if self.units is None else self.units
        for unit in units:
            if unit >= total:
                hint = f"Choose out of 0 to {total - 1}."
                allowed = f"below {total}, the channels of {name!r}"
                raise ParameterError("units", allowed, str(unit), hint)
        radius = self._radius()
        shape = (len(units), self.n_restarts)
        starts = normal_rows(0, self.n_restarts, self._latent, derive(self.seed, "starts"))
        # every unit starts from the same codes, so that units can be compared
        z = starts.repeat(len(units), *[1] * len(self._latent))
        channels = torch.tensor(units).repeat_interleave(self.n_restarts)
        codes, history = self._ascend(name, layer, z, channels, radius)
        reached = history.max(axis=1).reshape(shape)
        best = reached.argmax(axis=1)
        rows = np.arange(len(units)) * self.n_restarts + best
        return {
            "layer": name,
            "units": np.array(units, dtype=np.int64),
            "n_units": total,
            "radius": radius,
            "codes": codes[rows].numpy(),
            "images": self._decode(codes[rows]),
            "activation": reached,
            "start_activation": history[:, 0].reshape(shape),
            "best": best.astype(np.int64),
            "history": history[rows],
            **self._rank(X, name, layer, units),
        }

    @property
    def _latent(self) -> tuple[int, ...]:
        return tuple(self.predictor.latent_shape)

    def _device(self, z: Tensor) -> Tensor:
        return z.to(self.predictor.device, self.predictor.dtype)

    def _find(self) -> tuple[str, ActiveLayer, int]:
        """Return name of the layer, the layer, and its number of channels."""
        model = self.predictor
        origin = self._device(torch.zeros(1, *self._latent))
        active = active_layers(model, model.decode, origin, self.layer)
        name = choose_layer(self.layer, active, model)
        with torch.no_grad(), record({name: active[name].module}) as outputs:
            model.decode(origin)
        return name, active[name], active[name].channel_means(outputs[name]).shape[1]

    def _radius(self) -> float:
        from scipy.stats import chi2

        return float(chi2.ppf(self.plausible, int(np.prod(self._latent))) ** 0.5)

    def _inside(self, z: Tensor, radius: float) -> Tensor:
        norm = torch.linalg.vector_norm(z.flatten(1), dim=1)
        factor = (radius / norm.clamp(min=1e-12)).clamp(max=1.0)
        inside: Tensor = z * factor.reshape(-1, *[1] * (z.ndim - 1))
        return inside

    def _ascend(
        self, name: str, layer: ActiveLayer, z: Tensor, channels: Tensor, radius: float
    ) -> tuple[Tensor, NDArray[np.float64]]:
        """Return the best code of every start, and the activation before and after each step."""
        codes, histories = [], []
        steps = -(-len(z) // self.batch_size) * (self.n_steps + 1)
        ascent = bar(steps, "ascent", "step", self.verbose)
        with ascent as progress, record({name: layer.module}) as outputs:
            for low in range(0, len(z), self.batch_size):
                part = slice(low, low + self.batch_size)
                units = channels[part].to(self.predictor.device)
                code = self._inside(self._device(z[part]), radius).detach().requires_grad_()
                best, highest = code.detach().clone(), torch.full((len(code),), -torch.inf)
                history = []
                for step in range(self.n_steps + 1):
                    value = self._activation(code, layer, outputs, name, units)
                    now = value.detach().double().cpu()
                    better = now > highest
                    best[better], highest[better] = code.detach()[better], now[better].float()
                    history.append(now)
                    progress.update(1)
                    if step < self.n_steps:
                        (slope,) = torch.autograd.grad(value.sum(), code)
                        length = self.step * radius * (1.0 - step / self.n_steps)
                        with torch.no_grad():
                            code.copy_(self._inside(code + length * _unit(slope), radius))
                codes.append(best.float().cpu())
                histories.append(torch.stack(history, dim=1))
        return torch.cat(codes), torch.cat(histories).numpy()

    def _activation(
        self, code: Tensor, layer: ActiveLayer, outputs: dict[str, Tensor], name: str, units: Tensor
    ) -> Tensor:
        with torch.enable_grad():
            self.predictor.decode(code)
        value = layer.channel_means(outputs.pop(name))[torch.arange(len(code)), units]
        if not value.requires_grad:
            hint = "Give callables that torch can differentiate, without no_grad and ndarrays."
            raise CapabilityError("decode", "differentiable", "a detached result", hint)
        return value

    def _decode(self, codes: Tensor) -> NDArray[np.float32]:
        with torch.no_grad():
            parts = [
                self.predictor.decode(self._device(some))
                for some in torch.split(codes, self.batch_size)
            ]
        images: NDArray[np.float32] = torch.cat(parts).float().cpu().numpy()
        return images

    def _rank(self, X: Any, name: str, layer: ActiveLayer, units: list[int]) -> dict[str, Any]:
        """Return what the anchors' own codes reach, and the anchors in that order."""
        if X is None:
            return {}
        if not can_embed(self.predictor):
            hint = "Call explain(None)."
            got = f"a {type(self.predictor).__name__} that cannot encode them"
            raise CapabilityError("X", "None for this model", got, hint)
        reader = AnchorReader(X, self.predictor, self.batch_size)
        reached = np.full((len(reader), len(units)), np.nan)
        for rows, x in reader.batches():
            with torch.no_grad(), record({name: layer.module}) as outputs:
                self.predictor.decode(Batch(self.predictor, x).code)
            reached[rows] = layer.channel_means(outputs[name])[:, units].double().cpu().numpy()
        for row in np.flatnonzero(~np.isfinite(reached).all(axis=1)):
            reader.errors.setdefault(int(row), "an activation is not finite")
        reached[reader.invalid] = np.nan
        order = np.argsort(-reached, axis=0, kind="stable").T  # NaN goes last
        usable = len(reader) - len(reader.errors)
        return {
            "anchor_activation": reached,
            "prototypes": order[:, : min(self.n_prototypes, usable)].astype(np.int64),
            **reader.exclusions(),
        }


def _unit(slope: Tensor) -> Tensor:
    """Return every row's direction; 0 where nothing points anywhere, as behind a dead ReLU."""
    norm = torch.linalg.vector_norm(slope.flatten(1), dim=1).clamp(min=1e-30)
    direction: Tensor = slope / norm.reshape(-1, *[1] * (slope.ndim - 1))
    return direction


def _units(units: Any) -> list[int]:
    given = list(units) if isinstance(units, (list, tuple, range, np.ndarray)) else [units]
    if not given:
        hint = "Name one, as in units=3, or None for the first 8."
        raise ParameterError("units", "one or several", "none", hint)
    return [validation.integer(u, "units", minimum=0) for u in given]
