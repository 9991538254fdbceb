"""A place in the picture, whatever it shows."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from pxgen_plugins.concepts.base import Concept, pictures
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller, short_repr

__all__ = ["Region"]

_BOXES = {  # top, bottom, left, right, as shares of height and width
    "top": (0.0, 1 / 3, 0.0, 1.0),
    "middle": (1 / 3, 2 / 3, 0.0, 1.0),
    "bottom": (2 / 3, 1.0, 0.0, 1.0),
    "left": (0.0, 1.0, 0.0, 1 / 3),
    "centre": (1 / 3, 2 / 3, 1 / 3, 2 / 3),
    "right": (0.0, 1.0, 2 / 3, 1.0),
}


class Region(Concept):
    """The pixels of a place, or those of another concept in it.

    A place alone is the same for every instance, so every unit that fires there matches it: its
    shuffled control matches as well, and no unit is called one for it. With ``of`` it is a question
    about content: dark pixels in the top third.

    Args:
        place: ``"top"``, ``"middle"``, ``"bottom"``, ``"left"``, ``"centre"``, ``"right"``,
            ``"border"``, or (top, bottom, left, right) as shares of height and width.
        of: A concept; None takes all pixels.
        border: Width of the border, as a share of the shorter side.
        label: Name; None makes one.

    Raises:
        ParameterError: When the place is none of these.

    Example:
        >>> Region("top")(torch.zeros(1, 1, 3, 2)).tolist()
        [[[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]]
    """

    def __init__(
        self,
        place: str | tuple[float, float, float, float] = "centre",
        of: Concept | None = None,
        *,
        border: float = 0.1,
        label: str | None = None,
    ) -> None:
        with caller("Region"):
            if isinstance(place, str):
                validation.choice(place, "place", [*_BOXES, "border"])
            elif not isinstance(place, (tuple, list)):
                hint = "Give a name, or (top, bottom, left, right), as in (0, 0.5, 0, 1)."
                raise ParameterError("place", "a place or a box", short_repr(place), hint)
            else:
                box = tuple(validation.real(v, "place", minimum=0.0, maximum=1.0) for v in place)
                if len(box) != 4 or not (box[0] < box[1] and box[2] < box[3]):
                    hint = "Give (top, bottom, left, right), as in (0, 0.5, 0, 1)."
                    raise ParameterError("place", "a box inside the picture", str(place), hint)
            self.border = validation.real(border, "border", above=0.0, below=0.5)
            if of is not None and not isinstance(of, Concept):
                hint = "Give one of pxgen_plugins.concepts; Segmenter(f) makes one of a function."
                raise ParameterError("of", "a concept or None", short_repr(of), hint)
        self.place, self.of = place, of
        self.networks = () if of is None else of.networks
        name = place if isinstance(place, str) else "box " + " ".join(f"{v:g}" for v in place)
        self.label = label or (name if of is None else f"{of.label}, {name}")

    @property
    def differentiable(self) -> bool:  # type: ignore[override]  # of an instance, by its concept
        """Whether the concept inside is."""
        return self.of is not None and self.of.differentiable

    def for_range(self, data_range: tuple[float, float] | None) -> Region:
        """Return the region of the concept inside for that range."""
        if self.of is None:
            return self
        known = copy.copy(self)
        known.of = self.of.for_range(data_range)
        return known

    def __call__(self, x: Tensor) -> Tensor:
        """Return masks (n, height, width)."""
        height, width = pictures(x).shape[-2:]
        mask = torch.zeros(height, width, dtype=x.dtype, device=x.device)
        if self.place == "border":
            thick = max(1, round(self.border * min(height, width)))
            mask += 1.0
            mask[thick : height - thick, thick : width - thick] = 0.0
        else:
            box = _BOXES[self.place] if isinstance(self.place, str) else self.place
            top, bottom = round(box[0] * height), round(box[1] * height)
            left, right = round(box[2] * width), round(box[3] * width)
            mask[top:bottom, left:right] = 1.0
        inside = mask.expand(len(x), height, width)
        return inside if self.of is None else inside * self.of(x)
