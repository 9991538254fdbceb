"""Where a classifier sees a class: its own activation map."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pxgen_plugins.concepts.base import Concept, pictures
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError, caller, short_repr
from pxgen_plugins.utils.validation import nearest

__all__ = ["ClassMap"]


class ClassMap(Concept):
    """Pixels that a classifier's last maps hold for a class (Grad-CAM, Selvaraju et al. 2017).

    The map of an instance is its channels weighted by the mean gradient of the class's logit,
    negatives cut off, scaled up, and divided by its largest value; pixels above ``value`` count,
    where the classifier gives the class at least ``least`` of its probability.

    Args:
        classifier: A torch module from instances to logits (n, classes).
        target: The class.
        layer: Name of a layer of it that returns maps (n, c, h, w); None takes the last one.
        value: Share of the largest value from which a pixel counts, in (0, 1).
        least: Probability below which an instance has no such pixel, in [0, 1].
        label: Name; None makes one.

    Raises:
        ParameterError: When there is no such layer or class.

    Cost: a forward and a backward pass of the classifier per instance.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.AdaptiveAvgPool2d(1),
        ...                     nn.Flatten())
        >>> _ = net[0].weight.data.copy_(torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1))
        >>> image = torch.zeros(1, 1, 2, 2)
        >>> image[0, 0, 0, 1] = 1.0
        >>> ClassMap(net, 0, layer="0", least=0.0)(image).tolist()
        [[[0.0, 1.0], [0.0, 0.0]]]
    """

    def __init__(
        self,
        classifier: nn.Module,
        target: int,
        layer: str | None = None,
        *,
        value: float = 0.5,
        least: float = 0.5,
        label: str | None = None,
    ) -> None:
        with caller("ClassMap"):
            if not isinstance(classifier, nn.Module):
                hint = "Wrap functions in a torch module."
                raise ParameterError("classifier", "a torch module", short_repr(classifier), hint)
            self.target = validation.integer(target, "target", minimum=0)
            self.value = validation.real(value, "value", above=0.0, below=1.0)
            self.least = validation.real(least, "least", minimum=0.0, maximum=1.0)
            names = [name for name, _ in classifier.named_modules() if name]
            if layer is not None and layer not in names:
                allowed = "one of " + ", ".join(names)
                raise ParameterError("layer", allowed, short_repr(layer), nearest(layer, names))
        self.classifier, self.layer = classifier, layer
        self.label = label or f"class {self.target}"

    def __call__(self, x: Tensor) -> Tensor:
        """Return masks (n, height, width)."""
        maps: dict[str, Tensor] = {}
        own = threading.get_ident()

        def keep(name: str) -> Any:
            def call(_module: nn.Module, _inputs: Any, output: Any) -> Any:
                if threading.get_ident() != own or not isinstance(output, Tensor):
                    return None
                if output.ndim != 4:
                    return None
                maps[name] = output
                return output.clone()  # what runs next may overwrite it in place

            return call

        parts = dict(self.classifier.named_modules())
        names = [name for name in parts if name] if self.layer is None else [self.layer]
        handles = [parts[name].register_forward_hook(keep(name)) for name in names]
        before = [(module, module.training) for module in parts.values()]
        try:
            for module in parts.values():
                module.training = False
            with torch.inference_mode(False), torch.enable_grad():
                logits = self.classifier(x.detach().clone().requires_grad_())
                last = next(reversed(maps.values()), None)
                chosen = self._check(logits, last)
                (gradient,) = torch.autograd.grad(logits[:, self.target].sum(), chosen)
        finally:
            for handle in handles:
                handle.remove()
            for module, training in before:
                module.training = training
        weight = gradient.mean((2, 3), keepdim=True)
        cam = (weight * chosen.detach()).sum(1, keepdim=True).clamp_min(0.0)
        sides = pictures(x).shape[-2:]
        cam = F.interpolate(cam, sides, mode="bilinear", align_corners=False)[:, 0]
        highest = cam.flatten(1).amax(1)[:, None, None]
        sure = logits.detach().softmax(1)[:, self.target] >= self.least
        inside = (cam > self.value * highest) & (highest > 0) & sure[:, None, None]
        masks: Tensor = inside.to(x.dtype)
        return masks

    def _check(self, logits: Any, last: Tensor | None) -> Tensor:
        with caller("ClassMap"):
            if last is None:
                hint = "Name a convolution, as in layer='features.4'."
                raise ModelError("classifier", "with a layer of maps", "none was called", hint)
            known = isinstance(logits, Tensor) and logits.ndim == 2
            if not known or logits.shape[1] <= self.target:
                hint = "Give a module that returns logits, and one of its classes."
                allowed = f"of shape (n, more than {self.target})"
                raise ModelError("classifier's result", allowed, short_repr(logits), hint)
        return last
