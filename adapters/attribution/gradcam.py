"""GradCAM on a layer of encoder or decoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pxgen_plugins.adapters.base import register
from pxgen_plugins.adapters._latent_target import Question
from pxgen_plugins.adapters.attribution.base import Attribution, Found
from pxgen_plugins.models import require
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
class GradCAM(Attribution):
    """Channels of a layer, each weighted by the mean of the target's gradient over its map.

    Selvaraju et al. 2017 ("Grad-CAM"), by ``captum.attr.LayerGradCam``. The map is scaled up
    linearly to the sides of the anchor and repeated over its channels; the map itself is kept in
    ``maps``. It tells where, and to the layer's resolution only.

    Args:
        predictor: The model; its torch modules must be known to it (``layers``).
        target: What is explained (see :class:`~pxgen_plugins.adapters.attribution.base.Attribution`).
        layer: Name of a layer of encoder or decoder, out of ``predictor.layers``; None takes the
            last convolution (transposed ones count) that runs for the target: in the decoder for
            ``"mse"``, in the encoder for ``"kld"``.
        relu: Cut negative parts, as the paper does for classes. Off by default: for a criterion
            what lowers it counts too.
        normalize: Scale the attributions of each anchor to [0, 1].
        seed: Seed of the target's noise.
        batch_size: Instances per model call.
        verbose: Show a progress bar.

    Raises:
        ParameterError: When an argument is not allowed, or the model has no layer of that name.
        CapabilityError: When the model lacks layers, or what the target needs.
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
        >>> net = VAE(encode, lambda z: z.reshape(-1, 1, 2, 2) / 4, latent_shape=(4,),
        ...           sample_shape=(1, 2, 2), data_range=None,
        ...           modules=nn.ModuleDict({"conv": conv}))
        >>> found = GradCAM(net, "latent[3]").explain(np.ones((1, 1, 2, 2), "f4"))
        >>> found.layer, found.attributions.ravel().tolist()
        ('conv', [0.5, 0.5, 0.5, 0.5])
    """

    requires = frozenset({"layers"})

    def __init__(
        self,
        predictor: Any,
        target: Any = "mse",
        *,
        layer: str | None = None,
        relu: bool = False,
        normalize: bool = False,
        seed: int = 0,
        batch_size: int = 256,
        verbose: bool = False,
    ) -> None:
        self.relu = validation.boolean(relu, "relu", "GradCAM")
        self.layer = layer
        super().__init__(
            predictor,
            target,
            {"layer": layer, "relu": relu, "normalize": normalize},
            normalize=normalize,
            seed=seed,
            batch_size=batch_size,
            verbose=verbose,
        )

    def reset_predictor(self, predictor: Any) -> None:
        """Put ``predictor`` in the place of the model (see :meth:`Adapter.reset_predictor`)."""
        if predictor is not None and self.layer is not None:
            require(predictor, ["layers"], "GradCAM", "Give it modules=....")
            names = list(predictor.layers)
            if self.layer not in names:
                allowed = "one of the model's layers: " + ", ".join(names)
                hint = nearest(str(self.layer), names)
                raise ParameterError("layer", "GradCAM", allowed, short_repr(self.layer), hint)
        super().reset_predictor(predictor)

    def _explain(self, X: Any, **kwargs: Any) -> dict[str, Any]:
        data = super()._explain(X, **kwargs)
        return {**data, "layer": self._layer(self._question(), self._probe())}

    def _probe(self) -> Tensor:
        model = self.predictor
        low, high = model.data_range or (-1.0, 1.0)
        middle = (low + high) / 2
        return torch.full((1, *model.sample_shape), middle, dtype=model.dtype, device=model.device)

    def _layer(self, question: Question, x: Tensor) -> str:
        """Return the name of the layer, after running the target once at ``x``."""
        layers: dict[str, nn.Module] = self.predictor.layers
        runs: list[str] = []
        watched = {
            name: module
            for name, module in layers.items()
            if name == self.layer or (self.layer is None and isinstance(module, CONVOLUTIONS))
        }

        def note(name: str) -> Any:
            return lambda module, given, returned: runs.append(name)

        handles = [module.register_forward_hook(note(name)) for name, module in watched.items()]
        try:
            question.values(x)
        finally:
            for handle in handles:
                handle.remove()
        label = question.target.label
        name = self.layer or (runs[-1] if runs else None)
        if name is None or runs.count(name) != 1:
            what = "no convolution" if name is None else f"{name!r}, which runs {runs.count(name)}x"
            raise ModelError(
                "layer",
                "GradCAM",
                f"one that runs exactly once for the target {label!r}",
                what,
                "Name another layer, or give the ELBO n_draws=1.",
            )
        return name

    def _attribute(self, question: Question, point: Tensor, fixed: tuple[Tensor, ...]) -> Found:
        captum = load("captum.attr", "captum", "GradCAM")
        name = self._layer(question, point[:1])
        sides = tuple(point.shape[2:])
        method = captum.LayerGradCam(question, self.predictor.layers[name])
        maps = method.attribute(point, relu_attributions=self.relu)
        if not isinstance(maps, Tensor) or maps.ndim != 2 + len(sides) or len(sides) not in _MODES:
            raise ModelError(
                "layer",
                "GradCAM",
                f"one whose output has channels and {len(sides)} sides, as the anchors have",
                f"{name!r} with a map {short_repr(maps)} for anchors of {tuple(point.shape[1:])}",
                "Name a convolution; for vectors use TorchIntegratedGradients or LRP.",
            )
        mode = _MODES[len(sides)]
        large = captum.LayerAttribution.interpolate(maps, sides, interpolate_mode=mode)
        return {"attributions": large.expand_as(point).clone(), "maps": maps}
