"""Directions along which the activations of an early layer vary most: GANSpace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pxgen_plugins.adapters._activation_hooks import active_layers, full_name, record
from pxgen_plugins.adapters._codes import draw_codes
from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters.directions._count import count_for
from pxgen_plugins.adapters.directions._response import Floats
from pxgen_plugins.adapters.directions._signs import leading
from pxgen_plugins.adapters.directions.base import DirectionAdapter
from pxgen_plugins.axes import Axis
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError, short_repr, warn
from pxgen_plugins.utils.seeds import derive
from pxgen_plugins.utils.validation import nearest

__all__ = ["ActivationDirections"]

_LARGEST_SEED = 2**32
_USUAL = 10  # directions that nobody counted
_NARROW = 1_000  # activations


@register("activation_directions")
@dataclass(repr=False, eq=False)
class ActivationDirections(DirectionAdapter):
    """Latent directions of the principal components of a layer's activations (GANSpace).

    Haerkoenen et al. (2020): activations y of N codes z are projected on their principal
    components, x = V^T (y - mean) / deviation, and the directions are the columns of the
    least-squares solution U of z = U x, scaled to norm 1.

    Args:
        predictor: A torch model with ``decode`` and ``layers``.
        layer: Name of the layer, out of ``predictor.layers`` or as the network's own
            ``named_modules()`` has it; None takes the first with weights that decoding calls.
        n_components: Directions, >= 1, at most the latent dimensions, the layer's activations and
            the codes. None takes 10, or as many as there are.
        n_samples: Codes that the components come from, >= 2.
        step: Length of one step in latent space, > 0; 1 is a standard deviation of N(0, I).
        assessors, span, n_frames, n_codes, n_shown, n_random, keep, realism, seed, batch_size,
            verbose: See :class:`~pxgen_plugins.adapters.directions.base.DirectionAdapter`.

    What ``explain`` returns, and what a shell is, says
    :class:`~pxgen_plugins.adapters.directions.base.DirectionAdapter`, field by field.

    Raises:
        ParameterError: When the layer is not called, or there are fewer latent dimensions or
            activations than components.
        ModelError: When its activations are the same for all codes.

    Cost of ``fit``: n_samples decoder passes; memory 4 n_samples bytes per activation. ``explain``:
    as the others, 40,600 passes for ten directions and 19 random ones by default.

    Example:
        >>> from torch import nn
        >>> from pxgen_plugins.models import VAE
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.Sigmoid())
        >>> _ = net[0].weight.data.copy_(torch.tensor([[0.0, 3.0], [0.0, 0.0], [1.0, 0.0]]))
        >>> model = VAE(encode=lambda x: (x[:, :2], x[:, :2]), decode=net.forward,
        ...             latent_shape=(2,), modules=net, check=False)
        >>> found = ActivationDirections(model, n_components=2, realism=None).explain(None)
        >>> bool((abs(found.directions) > 0.99).tolist() == [[False, True], [True, False]])
        True
    """

    access = "activations"
    requires = frozenset({"decode", "layers"})
    importance_name = "share of the variance of the activations"
    example: ClassVar[Mapping[str, Any]] = {
        "n_components": 2,
        "n_samples": 50,
        "n_codes": 10,
        "n_random": 2,
        "realism": None,
    }

    layer: str | None = None
    n_components: int | None = None
    _: KW_ONLY
    n_samples: int = 3000
    step: float = 1.0

    def _check(self) -> None:
        super()._check()
        if self.n_components is not None:
            self.n_components = validation.integer(self.n_components, "n_components", minimum=1)
        self.n_samples = validation.integer(self.n_samples, "n_samples", minimum=2)
        self.step = validation.real(self.step, "step", above=0.0)

    def _check_model(self, model: Any) -> None:
        super()._check_model(model)
        self._count = count_for(self.n_components, _USUAL, model, "n_components")

    def model_calls(self, n: int) -> Mapping[str, float]:
        """Return how often ``explain`` calls the model for ``n`` anchors, the axes found first."""
        calls = super().model_calls(n)
        return {**calls, "decode": calls["decode"] + self.n_samples}

    def _fitting_codes(self, X: Any) -> Tensor:
        if X is None:
            return draw_codes(self.predictor, self.n_samples, derive(self.seed, "fit"))
        return super()._fitting_codes(X)

    def _find(self, z: Tensor) -> tuple[list[Axis], Floats | None]:
        from sklearn.decomposition import PCA

        rows = self._activations(z)
        wanted = self._count if self.n_components else min(self._count, *rows.shape)
        if wanted > min(rows.shape):
            hint = "Take fewer components, or another layer."
            allowed = f"at most {min(rows.shape)} for {len(rows)} codes and this layer"
            raise ParameterError("n_components", allowed, str(self.n_components), hint)
        hint = "Name another layer."
        if not np.isfinite(rows).all():
            got = "NaN or infinity for some codes"
            raise ModelError("layer", "one of finite activations", got, hint)
        if not float(rows.std(axis=0).max()) > 0.0:
            raise ModelError("layer", "one whose activations vary", "the same for all codes", hint)
        seed = derive(self.seed, "components") % _LARGEST_SEED
        if rows.shape[1] <= _NARROW:  # PCA takes their covariance: rounding would pass for variance
            rows = rows.astype(np.float64)
        analysis = PCA(wanted, random_state=seed).fit(rows)
        kept = analysis.explained_variance_ > 1e-12 * analysis.explained_variance_[0]
        if self.n_components and kept.sum() < wanted:
            ways = f"activations vary in {kept.sum()} independent ways only"
            warn(f"{type(self).__name__}: {wanted} directions were asked for, but {ways}")
        deviation = np.sqrt(analysis.explained_variance_[kept])
        coordinates = (analysis.transform(rows)[:, kept] / deviation).astype(np.float64)
        codes = z.flatten(1).double().numpy()
        solution, *_ = np.linalg.lstsq(coordinates, codes - codes.mean(axis=0), rcond=None)
        norms = np.linalg.norm(solution, axis=1, keepdims=True)
        vectors = leading(np.divide(solution, norms, out=np.zeros_like(solution), where=norms > 0))
        shape = tuple(self.predictor.latent_shape)
        axes = [
            Axis(
                f"activations {i + 1}",
                row.reshape(shape),
                self.step,
                type(self).__name__,
                self._keep(),
            )
            for i, row in enumerate(vectors)
        ]
        return axes, np.asarray(analysis.explained_variance_ratio_[kept], dtype=np.float64)

    def _activations(self, z: Tensor) -> Any:
        """Return the layer's activations for codes ``z``, float32 (n, a)."""
        model = self.predictor
        probe = z[:1].to(model.device, model.dtype)
        active = active_layers(model, model.decode, probe, self.layer)
        name = None if self.layer is None else full_name(self.layer, model, active)
        if name is None:
            with_weights = (
                n for n, a in active.items() if any(True for _ in a.module.parameters())
            )
            name = next(with_weights, None)
        if name is None or name not in active:
            allowed = "a layer that decoding calls: " + (", ".join(active) or "there is none")
            hint = nearest(name or "", active) if active else "Pass modules= to the model."
            raise ParameterError("layer", allowed, short_repr(name), hint)
        parts = []
        with self._progress(len(z), "fit", "code", "n_samples") as update:
            for part in torch.split(z, self.batch_size):
                with torch.no_grad(), record({name: active[name].module}) as outputs:
                    model.decode(part.to(model.device, model.dtype))
                parts.append(outputs[name].flatten(1).float().cpu().numpy())
                update(len(part))
        return np.concatenate(parts)
