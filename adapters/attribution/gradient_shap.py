"""GradientShap: expected gradients between random baselines and noisy anchors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.adapters._latent_target import TargetFunction
from pxgen_plugins.adapters.attribution._baselines import anchors_per_call
from pxgen_plugins.adapters.attribution.base import Attribution, Table
from pxgen_plugins.adapters.base import NotFittedError, register
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.seeds import derive

__all__ = ["GradientShap"]


@register("gradient_shap")
@dataclass(repr=False, eq=False, kw_only=True)
class GradientShap(Attribution):
    """Gradients averaged over random points between random baselines and the anchor.

    Expected gradients (Erion, Janizek, Sturmfels, Lundberg and Lee 2021), an approximation of SHAP
    values (Lundberg and Lee 2017). Each of ``n_samples`` draws takes a baseline b, a share a
    uniform in [0, 1] and noise e: the attribution is the mean of
    (x + e - b) * gradient at a (x + e) + (1 - a) b. The formula is that of
    ``captum.attr.GradientShap``; the draws are our own, since captum's come from global generators
    and change with the batch size. Here every anchor of a model gets the same draws.

    Args:
        predictor: The model.
        baseline: ``"fitted"`` draws from the data given to ``fit``; None, a number or an array is
            one baseline for all draws, as for ``TorchIntegratedGradients``.
        n_samples: Draws per anchor, >= 1.
        noise: Standard deviation of the noise, >= 0, in data (or latent) units.
        n_background: Most instances that ``fit`` keeps, >= 1, drawn with ``seed``.
        seed: Seed of the draws and of the target's noise.
        batch_size: Instances per model call, the drawn points included.
        target, space, normalize, verbose: See
            :class:`~pxgen_plugins.adapters.attribution.base.Attribution`.

    Fields:
        attributions (float32 (n, *shape)): Part of each element in what the target gains from the
            mean over the baselines to each of n anchors, in the shape of an anchor, or of its
            latent code, in units of the target. Positive = the element raises it. NaN for anchors
            left out.
        target (str): Label of what is explained.
        target_values (float64 (n,)): Its value at each anchor; NaN for those left out.
        space (str): ``"input"`` or ``"latent"``: what the attributions are of.
        normalized (bool): Whether ``attributions`` are scaled to [0, 1] for each anchor: then they
            have neither unit nor sign.
        ranges (float64 (n, 2)): Lowest and highest attribution of each anchor before that; NaN for
            those left out.
        baseline (str or float): What the anchors are compared with, in words or as a number.
        baseline_values (float64 (n,)): Mean of the target over the baselines drawn; NaN for anchors
            left out; None where there are no anchors.
        convergence_delta (float64 (n,)): Sum of the attributions of an anchor, before they are
            normalized, minus (target value - baseline value): the error of the draws, 0 at best.
            NaN for anchors left out; None where there are no anchors.
        labels, ids (str (n,)): Labels and names of the anchors; None where they have none.
        layer, maps (None): Set by other methods.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

    Raises:
        NotFittedError: From ``explain``, when ``baseline="fitted"`` and no data were given.

    Cost: ``n_samples`` forward and backward passes of the target for n anchors.

    Example:
        >>> from pxgen_plugins.models import VAE
        >>> flat = VAE(encode=lambda x: (2 * x, 0 * x - 1), decode=lambda z: z / 4,
        ...            modules=(), sample_shape=(2,), data_range=None)
        >>> shap = GradientShap(flat, "latent[1]", n_samples=3).fit(np.zeros((4, 2), "f4"))
        >>> shap.explain(np.ones((1, 2), "f4")).attributions.tolist()
        [[0.0, 2.0]]
    """

    library = ""
    baseline_words: ClassVar[tuple[str, ...]] = ("fitted",)

    space: str = "input"
    baseline: Any = "fitted"
    n_samples: int = 20
    noise: float = 0.0
    n_background: int = 100

    def _check(self) -> None:
        super()._check()
        self.n_samples = validation.integer(self.n_samples, "n_samples", minimum=1)
        self.noise = validation.real(self.noise, "noise", minimum=0.0)
        self.n_background = validation.integer(self.n_background, "n_background", minimum=1)
        self.background: NDArray[np.float32] | None = None

    def fit(self, X: Any = None) -> GradientShap:
        """Keep up to ``n_background`` instances of ``X``, or their codes, as baselines.

        Args:
            X: Reference data, read in batches as the anchors are.

        Raises:
            AnchorError: When ``X`` holds no finite instance.
        """
        if X is None or not self._learns("fitted"):
            return self
        rng = np.random.default_rng(derive(self.seed, "background"))
        kept: list[NDArray[np.float32]] = []
        seen = 0
        with self._call("fit"):
            for points in self._points(X):
                for row in points.float().cpu().numpy():
                    seen += 1
                    if len(kept) < self.n_background:
                        kept.append(row)
                    elif (place := int(rng.integers(seen))) < self.n_background:
                        kept[place] = row  # a uniform draw from a stream, Vitter 1985
        self.background = np.stack(kept)
        return self

    def _forget(self) -> None:
        super()._forget()
        self.background = None

    def _draws(self, point: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return baselines (s, *shape), shares (s,) and noise (s, *shape) of the draws."""
        rng = np.random.default_rng(derive(self.seed, "gradient_shap"))
        shape = (self.n_samples, *point.shape[1:])
        share = rng.random(self.n_samples)
        if self._learns("fitted"):
            if self.background is None:
                raise NotFittedError("GradientShap (baseline='fitted' needs data)")
            chosen = rng.integers(len(self.background), size=self.n_samples)
            base = torch.from_numpy(self.background[chosen]).to(point.device, point.dtype)
        else:
            base = self._baseline(point[:1]).expand(shape)
        noise = self.noise * rng.standard_normal(shape)
        return (
            base,
            torch.from_numpy(share).to(point.device, point.dtype),
            torch.from_numpy(noise).to(point.device, point.dtype),
        )

    def _evaluations(self) -> int:
        return self.n_samples

    def _per_batch(self) -> int:
        return anchors_per_call(self.n_samples, self.batch_size)

    def _attribute(
        self, function: TargetFunction, point: Tensor, fixed: tuple[Tensor, ...]
    ) -> Table:
        base, share, noise = self._draws(point)
        total = torch.zeros_like(point, dtype=torch.float64)
        before = torch.zeros(len(point), dtype=torch.float64, device=point.device)
        together = anchors_per_call(len(point), self.batch_size)
        for low in range(0, self.n_samples, together):
            part = slice(low, low + together)
            s = len(share[part])
            shape = (s, *(1 for _ in point.shape))
            noisy = point[None] + noise[part, None]
            start = base[part, None].expand_as(noisy)
            a = share[part].reshape(shape)
            line = (a * noisy + (1 - a) * start).flatten(0, 1).detach().requires_grad_()
            same = tuple(rows.repeat(s, *(1 for _ in rows.shape[1:])) for rows in fixed)
            (grad,) = torch.autograd.grad(function(line, *same).sum(), line)
            total += (grad.reshape(noisy.shape) * (noisy - start)).double().sum(0)
            values = function.values(start.flatten(0, 1), *same)
            before += values.double().reshape(s, -1).sum(0)
        attributions, before = total / self.n_samples, before / self.n_samples
        after = function.values(point, *fixed).double()
        delta = attributions.flatten(1).sum(1) - (after - before)
        return {
            "attributions": attributions,
            "baseline_values": before,
            "convergence_delta": delta,
        }
