"""Units of a layer as maps over the picture, and what the model makes with some of them changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pxgen_plugins.adapters._activation_hooks import (
    MIXING,
    ActiveLayer,
    active_layers,
    choose_layer,
    record,
)
from pxgen_plugins.adapters._hooks import watch
from pxgen_plugins.adapters._intervention import intervene
from pxgen_plugins.adapters.units.steps import Steps, calls_of, steps_of
from pxgen_plugins.concepts import default_concepts
from pxgen_plugins.concepts.base import Concept, masks_of, pictures
from pxgen_plugins.models.runtime import EvaluationMode, modules_of
from pxgen_plugins.utils.errors import ModelError, ParameterError, caller

__all__ = [
    "USUAL_UNITS",
    "UnitLayer",
    "concept_masks",
    "concepts_for",
    "named_concepts",
    "scaled_up",
    "unit_layer",
]

Concepts = Mapping[str, Callable[[Tensor], Any]]
USUAL_UNITS = 64  # of a layer, before it is looked at
_CLEANEST = (0.0, 0.2)  # noise levels at which maps are looked at, where there are several


@dataclass(frozen=True)
class UnitLayer:
    """A layer of a decoder whose channels are its units.

    Attributes:
        model: The model.
        name: Name of the layer.
        layer: The layer.
        shape: Shape of its output for one code.
        n_units: Number of units.
        steps: The runs of the network in which units are moved.
        seen: Those whose maps are looked at: the mean over them.
    """

    model: Any
    name: str
    layer: ActiveLayer
    shape: tuple[int, ...]
    n_units: int
    steps: Steps
    seen: Steps

    @property
    def grid(self) -> tuple[int, int] | None:
        """Height and width of a unit's map; None for units of the whole picture."""
        spatial = self.shape[:-1] if self.layer.channels_last else self.shape[1:]
        return (int(spatial[0]), int(spatial[1])) if len(spatial) == 2 else None

    def maps(self, output: Tensor) -> Tensor:
        """Return the output as maps, (n, units, h, w); one by one for units without a grid."""
        if self.grid is None:
            return self.layer.channel_means(output)[:, :, None, None]
        return output.movedim(-1, 1) if self.layer.channels_last else output

    def decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return instances and maps of codes ``z`` (n, *latent_shape), without gradient."""
        total: list[Tensor] = []

        def see(_name: str, output: Any) -> None:
            if self.seen.inside and isinstance(output, Tensor):
                # of a single run the last call counts, of several runs their mean
                total[:] = [output.clone(), *(total if self.seen.count > 1 else [])]

        with torch.no_grad(), self.seen.running(), watch({self.name: self.layer.module}, see):
            x = self.model.decode(z.to(self.model.device, self.model.dtype))
        if not total:
            raise self._elsewhere()
        maps = self.maps(torch.stack(total).mean(0) if len(total) > 1 else total[0])
        if not bool(maps.isfinite().all()):
            got = f"{self.name!r}, with NaN or infinity for some codes"
            raise ModelError("layer", "one of finite values", got, "Name another layer.")
        return x, maps

    def decode_with(self, z: Tensor, strength: Tensor, values: Tensor) -> Tensor:
        """Return instances with units moved to values, with gradient if one is wanted.

        Args:
            z: Codes, (n, *latent_shape).
            strength: In [0, 1], of a shape that broadcasts to (n, units, h, w).
            values: Likewise.
        """
        with self.steps.running(), self.moved(strength, values):
            x: Tensor = self.model.decode(z.to(self.model.device, self.model.dtype))
        return x

    @contextmanager
    def moved(self, strength: Tensor, values: Tensor) -> Iterator[None]:
        """Have the units moved to values inside: r becomes (1 - strength) r + strength * values.

        Raises:
            ModelError: When nothing inside runs the layer in this thread: its units did not move.
        """
        runs = 0

        def edit(output: Tensor) -> Tensor:
            nonlocal runs
            runs += 1
            if not self.steps.inside:
                return output
            maps = self.maps(output) if self.grid is not None else output
            amount, target = strength.to(output), values.to(output)
            if self.grid is None:
                amount, target = (self._flat(one, output) for one in (amount, target))
            edited = (1.0 - amount) * maps + amount * target
            if self.grid is not None and self.layer.channels_last:
                return edited.movedim(1, -1)
            return edited

        with intervene({self.name: self.layer.module}, {self.name: edit}):
            yield
        if not runs:
            raise self._elsewhere()

    def _elsewhere(self) -> ModelError:
        hint = "Run it on one device, uncompiled, or name another layer."
        got = f"{self.name!r}, which is not, or in another thread"
        return ModelError("layer", "called where decode is", got, hint)

    def _flat(self, given: Tensor, output: Tensor) -> Tensor:
        """Return (n or 1, units, 1, 1) as it multiplies an output without a grid."""
        rows = given.reshape(given.shape[0], -1)
        if output.ndim <= 2:
            return rows
        middle = [1] * (output.ndim - 2)
        return (
            rows.reshape(len(rows), *middle, -1)
            if self.layer.channels_last
            else rows.reshape(len(rows), -1, *middle)
        )


def unit_layer(
    model: Any, layer: str | None, z: Tensor, when: tuple[float, float] | None = None
) -> UnitLayer:
    """Return the layer to look at.

    Args:
        model: A torch model with ``decode`` and ``layers``.
        layer: Its name; None takes what follows the last convolution before the output layer: its
            activation where there is one, because a unit acts on what is behind it.
        z: A code, (1, *latent_shape).
        when: Noise levels, lowest and highest as shares of all, at which units of a network that
            runs several times are looked at and moved. None looks at the cleanest fifth, where maps
            have the shape of the instance, and moves at all.

    Raises:
        ParameterError: When there is no such layer, or ``when`` fits no run.
        ModelError: When the model calls none.
    """
    code = z.to(model.device, model.dtype)
    active = active_layers(model, model.decode, code, layer)
    name = choose_layer(layer, active, model)
    names = list(active)
    if layer is None:
        calls = dict(
            zip(
                names,
                calls_of([active[one].module for one in names], lambda: model.decode(code)),
                strict=True,
            )
        )
        first = calls[name]
        # behind the convolution come its norm and its activation, which have its channels; one that
        # several layers share is not this one's
        for after in names[names.index(name) + 1 :]:
            if isinstance(active[after].module, MIXING):
                break
            if calls[after] == first:
                name = after
    with torch.no_grad(), record({name: active[name].module}) as outputs:
        model.decode(code)
    output = outputs[name]
    units = active[name].channel_means(output).shape[1]
    module = active[name].module
    steps = steps_of(model, module, lambda: model.decode(code), when)
    seen = Steps(steps.root, steps.count, when or _CLEANEST)
    return UnitLayer(model, name, active[name], tuple(output.shape[1:]), units, steps, seen)


def concepts_for(model: Any, concepts: Any) -> dict[str, Callable[[Tensor], Any]]:
    """Return the concepts given, for the model's range, or those that any picture has, by name.

    Raises:
        ParameterError: When none are given and the model makes no pictures of a known range.
    """
    if concepts is not None:
        known = named_concepts(concepts)
        return {
            name: one.for_range(model.data_range) if isinstance(one, Concept) else one
            for name, one in known.items()
        }
    own = default_concepts(model.sample_shape, model.data_range)
    if not own:
        hint = "Take some of pxgen_plugins.concepts, or callables from instances to masks."
        allowed = "given for what is no picture of a known range"
        raise ParameterError("concepts", allowed, "None", hint)
    return dict(own)


def named_concepts(concepts: Any) -> dict[str, Callable[[Tensor], Any]]:
    """Return concepts by name.

    Args:
        concepts: A mapping from names to callables, a list of concepts with labels, or one.

    Raises:
        ParameterError: When there is none, or one is no callable.
    """
    if isinstance(concepts, Mapping):
        named = {str(name): one for name, one in concepts.items()}
    else:
        several = list(concepts) if isinstance(concepts, (list, tuple)) else [concepts]
        named = {
            str(getattr(one, "label", getattr(one, "__name__", type(one).__name__))): one
            for one in several
        }
        if len(named) < len(several):
            hint = "Name them, as in concepts={'ink': f, 'edge': g}."
            raise ParameterError("concepts", "of different labels", ", ".join(named), hint)
    hint = "Take some of pxgen_plugins.concepts, or callables from instances to masks."
    if not named or not all(callable(one) for one in named.values()):
        got = "none" if not named else type(next(v for v in named.values() if not callable(v)))
        raise ParameterError("concepts", "callables from instances to masks", str(got), hint)
    return named


def concept_masks(concepts: Concepts, x: Tensor) -> Tensor:
    """Return the masks of all concepts, (n, c, height, width), on the CPU.

    Networks that concepts are, or say that they run, are in evaluation mode meanwhile.

    Raises:
        ModelError: When a concept returns no masks, or masks of different sizes or of another size
            than the pictures.
    """
    masks = []
    for name, concept in concepts.items():
        networks = [*modules_of(concept), *getattr(concept, "networks", ())]
        with caller(f"concept {name!r}"), EvaluationMode(networks)():
            mask = masks_of(concept(x), len(x), name).float().cpu()
            _expect_size(mask, x, name)
            masks.append(mask)
    sizes = {tuple(mask.shape[1:]) for mask in masks}
    if len(sizes) > 1:
        hint = "Return masks of the size of the picture."
        got = ", ".join(str(size) for size in sorted(sizes))
        raise ModelError("concepts", "of one size", got, hint)
    return torch.stack(masks, 1)


def _expect_size(mask: Tensor, x: Tensor, name: str) -> None:
    """Raise where a mask would be stretched over a picture; rows and volumes have no size."""
    if x.ndim not in (3, 4) or (x.ndim == 3 and mask.shape[1] == 1):  # a series, and its mask
        return
    size = tuple(pictures(x).shape[-2:])
    if tuple(mask.shape[1:]) != size:
        allowed = f"masks of the picture's size, {size[0]} x {size[1]}"
        got = f"{mask.shape[1]} x {mask.shape[2]}"
        hint = "Scale them up, as with torch.nn.functional.interpolate."
        raise ModelError("concept's result", allowed, got, hint, where=name)


def scaled_up(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Return maps (n, u, h, w) at the size of the masks, bilinearly."""
    if tuple(maps.shape[2:]) == size:
        return maps
    return F.interpolate(maps.float(), size, mode="bilinear", align_corners=False)
