"""Directions whose effect a network can name from two instances: Voynov and Babenko."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from pxgen_plugins.adapters._codes import draw_codes
from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.directions._response import Floats
from pxgen_plugins.adapters.directions._signs import leading
from pxgen_plugins.adapters.directions.base import DirectionAdapter
from pxgen_plugins.axes import Axis
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError
from pxgen_plugins.utils.seeds import derive

__all__ = ["PredictableDirections"]

SHAPES = ("orthogonal", "unit")
_USUAL = 16  # directions that nobody counted
_SMALLEST = 1 / 12  # amount that a shift has at least, as a share of the largest: 0.5 of 6
_SHIFT_WEIGHT = 0.25  # of the error of the amount, beside the cross-entropy of the direction
_TESTED = 512  # pairs that the accuracy is measured on


@register("predictable_directions")
@dataclass(repr=False, eq=False)
class PredictableDirections(DirectionAdapter):
    """Directions that are easy to tell apart by what they change (Voynov and Babenko 2020).

    A matrix of directions and a small network are trained together: the network sees an instance
    and the same one moved by an amount e along direction k, and names k (cross-entropy) and e as a
    share of ``reach`` (0.25 times the absolute error; the paper's is of e itself). Directions that
    change different things, each in the same way everywhere, are the easiest to name. Needs no
    scores, labels, or layers.

    That the network tells directions apart does not make each of them a factor: under a prior that
    looks the same from all sides, mixtures of factors can be named as surely, and a direction may
    lean into dimensions that do nothing at no cost. On a renderer of five known factors all
    directions were named with an accuracy of at least 0.98, and their cosines with a factor were
    0.3 to 0.8, whatever the weight of the amount (the paper's, and 16 times ours), the reach (2, 6)
    and the steps (2,000, 8,000). Look at the strips.

    ``importance`` is the accuracy on new pairs of each direction; chance is 1 / n_directions.

    Args:
        predictor: A model that can decode, differentiable.
        n_directions: Directions, >= 2; at most the latent dimensions where they are orthogonal.
            None takes 16, or all dimensions where there are fewer.
        reach: Largest amount while training, in latent units, > 0; the smallest is a twelfth of it.
        n_train: Training steps, >= 1.
        batch: Pairs per training step, >= 2.
        lr: Learning rate of Adam, > 0.
        shape: ``"orthogonal"`` (columns of the exponential of an antisymmetric matrix) or
            ``"unit"``, free directions of norm 1.
        step: Length of one step when the axes are measured, > 0.
        assessors, span, n_frames, n_codes, n_shown, n_random, keep, realism, seed, batch_size,
            verbose: See :class:`~pxgen_plugins.adapters.directions.base.DirectionAdapter`.

    What ``explain`` returns, and what a shell is, says
    :class:`~pxgen_plugins.adapters.directions.base.DirectionAdapter`, field by field.

    Raises:
        ParameterError: When more orthogonal directions are asked for than there are dimensions.
        ModelError: When the decoder gives no gradient.

    Cost of ``fit``: 2 n_train batch decoder passes, half of them with gradient: 128,000 by default.
    ``explain``: as the others, 49,000 passes for 16 directions and 19 random ones.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> adapter = PredictableDirections(LinearModel(), 2, n_train=5, n_codes=10, realism=None)
        >>> adapter.fit().explain(None).directions.shape
        (2, 3)
    """

    access = "gradients"
    importance_name = "accuracy with which a network names the direction"
    example: ClassVar[Mapping[str, Any]] = {
        "n_directions": 2, "n_train": 5, "batch": 4, "n_codes": 10, "n_random": 2, "realism": None,
    }  # fmt: skip

    n_directions: int | None = None
    _: KW_ONLY
    reach: float = 6.0
    n_train: int = 2000
    batch: int = 32
    lr: float = 1e-3
    shape: str = "orthogonal"
    step: float = 1.0

    def _check(self) -> None:
        super()._check()
        if self.n_directions is not None:
            self.n_directions = validation.integer(self.n_directions, "n_directions", minimum=2)
        self.reach = validation.real(self.reach, "reach", above=0.0)
        self.n_train = validation.integer(self.n_train, "n_train", minimum=1)
        self.batch = validation.integer(self.batch, "batch", minimum=2)
        self.lr = validation.real(self.lr, "lr", above=0.0)
        self.shape = validation.choice(self.shape, "shape", SHAPES)
        self.step = validation.real(self.step, "step", above=0.0)

    def _check_model(self, model: Any) -> None:
        super()._check_model(model)
        size = math.prod(model.latent_shape)
        self._count = max(2, min(_USUAL, size)) if self.n_directions is None else self.n_directions
        if self.shape == "orthogonal" and self._count > size:
            hint = "Ask for fewer, or take shape='unit'."
            allowed = f"at most {size}, the latent dimensions: no more are orthogonal"
            raise ParameterError("n_directions", allowed, str(self._count), hint)

    def model_calls(self, n: int) -> Mapping[str, float]:
        """Return how often ``explain`` calls the model for ``n`` anchors, the axes found first."""
        calls = super().model_calls(n)
        return {**calls, "decode": calls["decode"] + 4.0 * self.batch * self.n_train}

    def _fitting_codes(self, X: Any) -> Tensor:
        if X is None:
            return draw_codes(self.predictor, max(1000, self.n_codes), derive(self.seed, "fit"))
        return super()._fitting_codes(X)

    def _find(self, z: Tensor) -> tuple[list[Axis], Floats | None]:
        model = self.predictor
        latent = tuple(model.latent_shape)
        size = math.prod(latent)
        generator = torch.Generator().manual_seed(derive(self.seed, "training"))
        free = 0.1 * torch.randn(size, size, generator=generator)
        if self.shape == "unit":
            free = torch.randn(size, self._count, generator=generator)
        free.requires_grad_()
        with torch.no_grad():
            one = model.decode(z[:1].to(model.device, model.dtype))
        reader = _Reader(tuple(one.shape[1:]), self._count, generator)
        optimiser = torch.optim.Adam([free, *reader.parameters()], lr=self.lr)
        with (
            torch.enable_grad(),
            self._progress(self.n_train, "fit", "step", "n_train or batch") as update,
        ):
            for _ in range(self.n_train):
                named, shift, which, amounts = self._pairs(z, free, reader, generator)
                error = nn.functional.cross_entropy(named, which)
                loss = error + _SHIFT_WEIGHT * (shift - amounts / self.reach).abs().mean()
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]  # torch's
                if free.grad is None or not bool(free.grad.isfinite().all()):
                    hint = "Build the decoder of torch functions without no_grad."
                    raise ModelError("decode", "differentiable", "no finite gradient", hint)
                optimiser.step()
                update(1)
        accuracy = self._accuracy(z, free, reader, generator)
        order = np.argsort(-accuracy, kind="stable")
        vectors = leading(self._matrix(free).detach().double().numpy().T)[order]
        axes = [
            Axis(f"predictable {i + 1}", row.reshape(latent), self.step, type(self).__name__,
                 self._keep())
            for i, row in enumerate(vectors)
        ]  # fmt: skip
        return axes, accuracy[order]

    def _matrix(self, free: Tensor) -> Tensor:
        """Return the directions as columns of norm 1, (d, k)."""
        if self.shape == "unit":
            unit: Tensor = free / free.norm(dim=0, keepdim=True)
            return unit
        rotation: Tensor = torch.linalg.matrix_exp(free - free.T)
        return rotation[:, : self._count]

    def _pairs(
        self,
        z: Tensor,
        free: Tensor,
        reader: _Reader,
        generator: torch.Generator,
        which: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what the network says of new pairs, and what is true: direction and amount."""
        n = self.batch if which is None else len(which)
        rows = torch.randint(len(z), (n,), generator=generator)
        if which is None:
            which = torch.randint(self._count, (n,), generator=generator)
        smallest = _SMALLEST * self.reach
        size = smallest + (self.reach - smallest) * torch.rand(n, generator=generator)
        amounts = size * (2.0 * torch.randint(2, (n,), generator=generator) - 1.0)
        code = z[rows]
        moved = code + (amounts[:, None] * self._matrix(free).T[which]).reshape(code.shape)
        with torch.no_grad():
            first = self._decoded(code)
        second = self._decoded(moved)
        named, shift = reader(first, second)
        return named, shift, which, amounts

    def _decoded(self, z: Tensor) -> Tensor:
        """Return the instances of codes, with gradient, on the CPU."""
        model = self.predictor
        parts = torch.split(z.to(model.device, model.dtype), self.batch_size)
        return torch.cat([model.decode(part).float().cpu() for part in parts])

    def _accuracy(
        self, z: Tensor, free: Tensor, reader: _Reader, generator: torch.Generator
    ) -> Floats:
        """Return the share of new pairs of every direction that the network names, (k,)."""
        which = torch.arange(_TESTED) % self._count
        right = []
        with torch.no_grad():
            for part in torch.split(which, self.batch):
                named, *_ = self._pairs(z, free, reader, generator, part)
                right.append((named.argmax(1) == part).double())
        hits = torch.cat(right).numpy()
        return np.array([hits[which.numpy() == k].mean() for k in range(self._count)])


class _Reader(nn.Module):
    """Names the direction between two instances, and how far it went.

    Convolutions for images, two linear layers for anything else. Weights are drawn from a generator
    of its own, as torch would draw them: global random state is not touched.
    """

    def __init__(self, shape: tuple[int, ...], n: int, generator: torch.Generator) -> None:
        super().__init__()
        self.channels = shape[0] if len(shape) == 3 else 1
        self.images = len(shape) in (2, 3) and min(shape[-2:]) >= 8
        with torch.device("meta"):  # no draws: the weights follow below
            if self.images:
                body = nn.Sequential(
                    nn.Conv2d(2 * self.channels, 16, 5, 2, 2), nn.ReLU(),
                    nn.Conv2d(16, 32, 5, 2, 2), nn.ReLU(),
                    nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(512, 64), nn.ReLU(),
                )  # fmt: skip
            else:
                body = nn.Sequential(
                    nn.Linear(2 * math.prod(shape), 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()
                )
            head = nn.Linear(64, n + 1)
        self.body, self.head = body.to_empty(device="cpu"), head.to_empty(device="cpu")
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, (nn.Linear, nn.Conv2d)):
                    bound = 1.0 / math.sqrt(module.weight[0].numel())
                    for weight in module.parameters():
                        weight.uniform_(-bound, bound, generator=generator)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (b, k) of the direction and the amount (b,) as a share of the reach."""
        if self.images:
            sides = first.shape[-2:]
            pair = torch.cat([x.reshape(len(x), self.channels, *sides) for x in (first, second)], 1)
        else:
            pair = torch.cat([first.flatten(1), second.flatten(1)], 1)
        out = self.head(self.body(pair))
        return out[:, :-1], out[:, -1]
