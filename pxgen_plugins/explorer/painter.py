"""Painting with the units of a model's layer, by number or by concept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pxgen_plugins.adapters.units.unit_maps import unit_layer
from pxgen_plugins.explorer.messages import StrokeMessage
from pxgen_plugins.explorer.subject import Subject
from pxgen_plugins.painting import Stroke, paint
from pxgen_plugins.utils.errors import CapabilityError, ParameterError, PXGenError, short_repr

__all__ = ["Layer", "Painter"]


@dataclass(frozen=True)
class Layer:
    """A layer whose units can be painted.

    Attributes:
        name: Its name.
        n_units: Number of units.
        grid: Height and width of a unit's map; None for units of the whole picture.
        concepts: Units by the concept that they match.
    """

    name: str
    n_units: int
    grid: tuple[int, int] | None
    concepts: dict[str, list[int]]

    def to_data(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        height, width = self.grid or (None, None)
        concepts = [{"name": name, "units": units} for name, units in self.concepts.items()]
        return {
            "name": self.name,
            "units": self.n_units,
            "height": height,
            "width": width,
            "concepts": concepts,
        }


class Painter:
    """Paints with units of a model.

    Args:
        subject: The model.
        layers: Its layers, the usual one first.
    """

    def __init__(self, subject: Subject, layers: Sequence[Layer]) -> None:
        self.subject, self.layers = subject, list(layers)

    @classmethod
    def of(cls, subject: Subject, units: Any = None) -> Painter | None:
        """Return the painter of a model; None where it has no layers to paint with.

        Args:
            subject: The model.
            units: An explanation of UnitDissection, whose layer comes first.

        Raises:
            ParameterError: When ``units`` is something else.
            CapabilityError: When it is given for a model that cannot be painted.
        """
        able = {"decode", "layers"} <= set(subject.able) and subject.view.kind == "image"
        if not subject.size or not able:
            if units is not None:
                got = f"a {type(subject.model).__name__} without layers or pictures"
                hint = "Leave units out."
                raise CapabilityError("units", "of a model that can be painted", got, hint)
            return None
        code = torch.zeros(1, *subject.shape)
        if units is not None:
            name, concepts = _concepts(units)
            return cls(subject, [_layer(subject, name, code, concepts)])
        try:
            return cls(subject, [_layer(subject, None, code, {})])
        except PXGenError:  # a network without a layer of units
            return None

    def describe(self) -> dict[str, Any]:
        """Return the layers, for the front end."""
        return {"layers": [layer.to_data() for layer in self.layers]}

    def paint(self, z: Tensor, strokes: Sequence[StrokeMessage]) -> Tensor:
        """Return the instance of a code (1, *latent_shape) after strokes, on the CPU.

        Raises:
            ParameterError: When strokes are of several layers, or do not fit theirs.
        """
        names = {stroke.layer or self.layers[0].name for stroke in strokes}
        if len(names) > 1:
            hint = "Undo the strokes of one of them first."
            raise ParameterError("strokes", "of one layer", ", ".join(sorted(names)[:3]), hint)
        known = [layer.name for layer in self.layers]
        (name,) = names
        if name not in known:
            hint = f"Choose {known[0]!r}."
            raise ParameterError("layer", "one that is offered", short_repr(name), hint)
        painting = paint(self.subject.model, z, [_stroke(one) for one in strokes], name)
        return torch.from_numpy(painting.images)


def _stroke(message: StrokeMessage) -> Stroke:
    mask = None if message.mask is None else message.mask.array()
    value = "typical" if message.value == "on" else message.value
    return Stroke(mask, message.units, value, message.strength)


def _layer(
    subject: Subject, name: str | None, code: Tensor, concepts: dict[str, list[int]]
) -> Layer:
    units = unit_layer(subject.model, name, code)
    return Layer(units.name, units.n_units, units.grid, concepts)


def _concepts(units: Any) -> tuple[str, dict[str, list[int]]]:
    data = units if isinstance(units, Mapping) else getattr(units, "data", None)
    if not isinstance(data, Mapping) or data.get("layer") is None or data.get("label") is None:
        hint = "Pass what UnitDissection(model).explain(None) returned."
        allowed = "an explanation of UnitDissection"
        raise ParameterError("units", allowed, type(units).__name__, hint)
    concepts: dict[str, list[int]] = {}
    for unit, name in enumerate(data["label"]):
        if name:
            concepts.setdefault(str(name), []).append(unit)
    return str(data["layer"]), concepts
