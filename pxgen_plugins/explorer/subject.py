"""One model as the explorer uses it: decode a code, find the code of an instance, draw one."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.adapters.base import can_draw, can_embed, draw_codes, has_prior
from pxgen_plugins.criteria import Batch
from pxgen_plugins.explorer.views import View
from pxgen_plugins.models import capabilities
from pxgen_plugins.models.base import Model, passes
from pxgen_plugins.utils.errors import (
    CapabilityError,
    ModelError,
    ParameterError,
    short_repr,
)

__all__ = ["Subject", "subjects"]

_SLOW = 0.3  # seconds of a decode from which a front end asks for small pictures first


class Subject:
    """A model that is explored.

    Args:
        name: Its name, for people.
        model: The model.

    Attributes:
        shape: Shape of a code; () without a latent space that can be decoded.
        size: Numbers in a code; 0 likewise.
        view: How instances are shown.
        seconds: What a decode takes; 0 where nothing is decoded.

    Raises:
        ParameterError: When it is no model.
    """

    def __init__(self, name: str, model: Any) -> None:
        if not isinstance(model, Model):
            hint = "Wrap it, as in wrap(net, sample_shape=(1, 28, 28))."
            allowed = "a model of pxgen_plugins.models, or several by name"
            raise ParameterError("model", allowed, type(model).__name__, hint)
        self.name = name
        self.model: Any = model
        self.able = capabilities(model)
        decodes = "decode" in self.able and model.latent_shape is not None
        self.shape = tuple(model.latent_shape or ()) if decodes else ()
        self.size = math.prod(self.shape) if decodes else 0
        self.embeds = bool(decodes and can_embed(model))
        self._codes: Tensor | None = None  # of anchors, where the model draws none
        self.view, self.seconds = View(model, "vector"), 0.0

    def prepare(self, codes: Tensor | None, anchors: Tensor | None) -> None:
        """Measure a decode, and find the scale of pictures.

        Args:
            codes: Codes of anchors, for a model that draws none; None without.
            anchors: Some anchors, which belong to the scale too; None without.
        """
        self._codes = codes
        some, instances = self.some_codes(8), None
        if some is not None:
            times = []
            for row in some[:3]:
                start = time.perf_counter()
                instances = self.decode(row[None])
                times.append(time.perf_counter() - start)
                if times[-1] > 1.0:
                    break
            self.seconds = min(times)
            if self.seconds < _SLOW:
                instances = self.decode(some)
        elif "sample" in self.able and self.model.data_range is None:
            instances = self.sample(0)
        parts = [x.flatten().double() for x in (instances, anchors) if x is not None]
        self.view = View.of(self.model, torch.cat([torch.empty(0), *parts]))

    @property
    def slow(self) -> bool:
        """Whether a decode takes longer than a hand waits for."""
        return self.seconds > _SLOW

    def code(self, z: Sequence[float], name: str = "z", hint: str | None = None) -> Tensor:
        """Return a code (1, *latent_shape), float32.

        Raises:
            ParameterError: When it is not of the model's size.
        """
        if len(z) != self.size or not self.size:
            allowed = f"{self.size} numbers" if self.size else "empty for a model without codes"
            hint = hint or f"Send a code of {self.name}."
            raise ParameterError(name, allowed, f"{len(z):,} numbers", hint)
        code = torch.tensor(list(z), dtype=torch.float32).reshape(1, *self.shape)
        if not bool(code.isfinite().all()):
            raise ParameterError(name, "within float32", "larger numbers", "Send smaller ones.")
        return code

    def decode(self, z: Tensor) -> Tensor:
        """Return the instances of codes, on the CPU.

        Raises:
            ModelError: When the model gives none.
        """
        with torch.no_grad():
            x = torch.as_tensor(self.model.decode(z.to(self.model.device, self.model.dtype)))
        shape = tuple(self.model.sample_shape or x.shape[1:])
        if tuple(x.shape) != (len(z), *shape):
            hint = "Correct decode or sample_shape."
            raise ModelError("decode's result", f"({len(z)}, *{shape})", short_repr(x), hint)
        return x.detach().cpu()

    def embed(self, x: Tensor) -> Tensor | None:
        """Return the code of instances, float32 on the CPU; None where the model finds none."""
        if not self.embeds:
            return None
        with torch.no_grad():
            code = Batch(self.model, x.to(self.model.device, self.model.dtype)).code
        return code.detach().float().cpu().reshape(len(x), *self.shape)

    def reconstruct(self, x: Tensor) -> Tensor | None:
        """Return what a model without codes makes of an instance; None where it makes nothing."""
        if "reconstruct" not in self.able:
            return None
        with torch.no_grad():
            batch = Batch(self.model, x.to(self.model.device, self.model.dtype))
            return batch.reconstruction.detach().cpu()

    def draw(self, seed: int) -> Tensor:
        """Return a code that the model draws, (1, *latent_shape), float32.

        Raises:
            CapabilityError: When it draws none.
        """
        return draw_codes(self.model, 1, seed)

    def sample(self, seed: int) -> Tensor:
        """Return an instance that the model draws, (1, *sample_shape), on the CPU.

        Raises:
            CapabilityError: When it draws none.
        """
        if "sample" not in self.able:
            hint = "Begin with an anchor."
            raise CapabilityError("model", "able to sample", f"a {type(self.model).__name__}", hint)
        with torch.no_grad():
            return torch.as_tensor(self.model.sample(1, seed)).detach().cpu()

    def some_codes(self, n: int) -> Tensor | None:
        """Return up to ``n`` codes, drawn with a fixed seed or those of anchors; None without."""
        if not self.size:
            return None
        quick = has_prior(self.model) or passes(self.model, "sample") == 1
        if can_draw(self.model) and quick:
            return draw_codes(self.model, n, 0)
        return self._codes[:n] if self._codes is not None and len(self._codes) else None


def subjects(model: Any) -> list[Subject]:
    """Return the models that are explored: one, or several by name.

    Raises:
        ParameterError: When there is none, or one is no model.
    """
    if isinstance(model, Mapping):
        if not model:
            hint = "Pass a model, or several by name."
            raise ParameterError("model", "at least one", "none", hint)
        return [Subject(str(name), one) for name, one in model.items()]
    return [Subject(type(model).__name__, model)]
