"""GradCAM on a layer of encoder or decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pxgen_plugins.adapters._activation_hooks import full_name
from pxgen_plugins.adapters._hooks import watch
from pxgen_plugins.adapters._isolation import roots
from pxgen_plugins.adapters._latent_target import TargetFunction
from pxgen_plugins.adapters.attribution.base import Attribution, Table
from pxgen_plugins.adapters.base import register
from pxgen_plugins.models.runtime import exclusive_use
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError, short_repr
from pxgen_plugins.utils.optional import load
from pxgen_plugins.utils.validation import nearest

__all__ = ["GradCAM"]

CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


@register("grad_cam")
@dataclass(repr=False, eq=False, kw_only=True)
class GradCAM(Attribution):
    """Channels of a layer, each weighted by the mean of the target's gradient over its map.

    Selvaraju et al. 2017 ("Grad-CAM"), by ``captum.attr.LayerGradCam``. The map is scaled up
    linearly to the sides of the anchor and repeated over its channels; the map itself is kept in
    ``maps``. It tells where, and to the layer's resolution only.

    Args:
        predictor: The model; its torch modules must be known to it (``layers``).
        layer: Name of a layer of encoder or decoder, out of ``predictor.layers``; None takes the
            last convolution (transposed ones count) that the target depends on: in the decoder
            for ``"mse"``, in the encoder for ``"kld"``.
        relu: Cut negative parts, as the paper does for classes. Off by default: for a criterion
            what lowers it counts too.
        target, normalize, seed, batch_size, verbose: See
            :class:`~pxgen_plugins.adapters.attribution.base.Attribution`.

    Fields:
        attributions (float32 (n, *sample_shape)): The layer's map at the size of each of n anchors,
            the same in all channels. Positive = the target rises with what the layer sees there; 0
            instead of below 0 with ``relu``. NaN for anchors left out.
        target (str): Label of what is explained.
        target_values (float64 (n,)): Its value at each anchor; NaN for those left out.
        space (str): ``"input"``.
        normalized (bool): Whether ``attributions`` are scaled to [0, 1] for each anchor: then they
            have neither unit nor sign.
        ranges (float64 (n, 2)): Lowest and highest attribution of each anchor before that; NaN for
            those left out.
        layer (str): Name of the layer.
        maps (float32 (n, 1, *map_shape)): The map at the size of the layer, never normalized; NaN
            for anchors left out; None where there are no anchors.
        labels, ids (str (n,)): Labels and names of the anchors; None where they have none.
        baseline, baseline_values, convergence_delta (None): Set by other methods.
        invalid (int64 (i,)): Indices of the anchors left out.
        reasons (list of str): Why, i of them.

    Raises:
        ParameterError: When the model has no layer of that name.
        ModelError: From ``explain``, when the layer does not run exactly once for the target, or
            has no maps.
        MissingDependencyError: From ``explain``, when captum is absent.

    Cost: one forward and backward pass of the target for n anchors, beside its value.

    Example:
        >>> import numpy as np
        >>> from pxgen_plugins.models import VAE
        >>> conv = nn.Conv2d(1, 1, 1).requires_grad_(False)
        >>> conv.weight[:], conv.bias[:] = 2.0, 0.0
        >>> def encode(x):
        ...     h = conv(x).flatten(1)
        ...     return h, 0 * h - 1
        >>> net = VAE(encode=encode, decode=lambda z: z.reshape(-1, 1, 2, 2) / 4,
        ...           modules=nn.ModuleDict({"conv": conv}), sample_shape=(1, 2, 2),
        ...           data_range=None)
        >>> result = GradCAM(net, "latent[3]").explain(np.ones((1, 1, 2, 2), "f4"))
        >>> result.layer, result.attributions.ravel().tolist()
        ('conv', [0.5, 0.5, 0.5, 0.5])
    """

    requires = frozenset({"layers"})

    layer: str | None = None
    relu: bool = False

    def _check(self) -> None:
        super()._check()
        self.relu = validation.boolean(self.relu, "relu")

    def _check_model(self, model: Any) -> None:
        super()._check_model(model)
        names = list(model.layers)
        if self.layer is not None and full_name(self.layer, model, names) not in names:
            allowed = "one of the model's layers: " + ", ".join(names)
            raise ParameterError(
                "layer", allowed, short_repr(self.layer), nearest(str(self.layer), names)
            )

    def _explain(self, X: Any, labels: Any = None, ids: Any = None) -> dict[str, Any]:
        data = super()._explain(X, labels, ids)
        return {**data, "layer": self._layer(self._function(), self._probe())}

    def _probe(self) -> Tensor:
        model = self.predictor
        low, high = model.data_range or (-1.0, 1.0)
        middle = (low + high) / 2
        return torch.full((1, *model.sample_shape), middle, dtype=model.dtype, device=model.device)

    def _layer(self, function: TargetFunction, x: Tensor) -> str:
        """Return the name of the layer, after running the target once at ``x``.

        By default it is the last convolution that the target depends on, and not the last that
        runs: of an encoder with two heads, the one that counts.
        """
        model = self.predictor
        named = None if self.layer is None else full_name(self.layer, model, model.layers)
        candidates = {
            name: module
            for name, module in model.layers.items()
            if name == named or (named is None and isinstance(module, CONVOLUTIONS))
        }
        runs: list[tuple[str, Any]] = []
        with torch.enable_grad(), watch(candidates, lambda name, out: runs.append((name, out))):
            values = function(x.detach().clone().requires_grad_())
        reached = [name for name, output in runs if _depends(values, output)]
        label = function.target.label
        name = named or (reached[-1] if reached else None)
        count = sum(name == one for one, _ in runs)
        if name is None or count != 1 or name not in reached:
            what = "no convolution" if name is None else f"{name!r}, which runs {count}x"
            if count == 1:
                what = f"{name!r}, on which it does not depend"
            raise ModelError(
                "layer",
                f"one that runs exactly once for the target {label!r}",
                what,
                "Name another layer, or give the ELBO n_draws=1.",
            )
        return name

    def _attribute(
        self, function: TargetFunction, point: Tensor, fixed: tuple[Tensor, ...]
    ) -> Table:
        captum = load("captum.attr", "captum")
        name = self._layer(function, point[:1])
        sides = tuple(point.shape[2:])
        method = captum.LayerGradCam(function, self.predictor.layers[name])
        with exclusive_use(roots(self.predictor)):
            maps = method.attribute(point, relu_attributions=self.relu)
        if not isinstance(maps, Tensor) or maps.ndim != 2 + len(sides) or len(sides) not in _MODES:
            raise ModelError(
                "layer",
                f"one whose output has channels and {len(sides)} sides, as the anchors have",
                f"{name!r} with a map {short_repr(maps)} for anchors of {tuple(point.shape[1:])}",
                "Name a convolution; for vectors use TorchIntegratedGradients or LRP.",
            )
        mode = _MODES[len(sides)]
        large = captum.LayerAttribution.interpolate(maps, sides, interpolate_mode=mode)
        return {"attributions": large.expand_as(point).clone(), "maps": maps}


def _depends(values: Tensor, output: Any) -> bool:
    """Return whether values were computed from what a layer returned."""
    if not (isinstance(output, Tensor) and output.requires_grad and values.requires_grad):
        return False
    (slope,) = torch.autograd.grad(values.sum(), output, retain_graph=True, allow_unused=True)
    return slope is not None
