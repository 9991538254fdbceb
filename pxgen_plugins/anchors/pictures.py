"""What is done to pictures on their way to a model: colour behind, size, and further steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pxgen_plugins.anchors.base import library
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.validation import choice, integer, nearest

__all__ = ["RESIZES", "STEPS", "Pictures", "fit_size"]

RESIZES = ("crop", "stretch", "pad")
Size = tuple[int, int]


def _crop(image: Any, size: Any) -> Any:
    """Return the middle of a picture, (height, width) or a side."""
    height, width = _size(size, "transform")
    left, top = (image.width - width) // 2, (image.height - height) // 2
    if left < 0 or top < 0:
        got = f"{image.width} x {image.height}"
        raise ValueError(f"the picture has {got} pixels, fewer than its middle of {size}")
    return image.crop((left, top, left + width, top + height))


def _rotate(image: Any, degrees: Any) -> Any:
    turns = {90: "ROTATE_90", 180: "ROTATE_180", 270: "ROTATE_270"}
    return image.transpose(getattr(library("PIL.Image", "pillow").Transpose, turns[degrees]))


def _invert(image: Any) -> Any:
    return library("PIL.ImageOps", "pillow").invert(image)


def _mirror(image: Any) -> Any:
    return library("PIL.ImageOps", "pillow").mirror(image)


def _flip(image: Any) -> Any:
    return library("PIL.ImageOps", "pillow").flip(image)


def _equalise(image: Any) -> Any:
    return library("PIL.ImageOps", "pillow").autocontrast(image)


STEPS: dict[str, Callable[..., Any]] = {
    "autocontrast": _equalise,
    "center_crop": _crop,
    "flip": _flip,
    "invert": _invert,
    "mirror": _mirror,
    "rotate": _rotate,
}
"""Named steps, from a Pillow image, and an argument where it has one, to another image."""
_WITH_ARGUMENT = ("center_crop", "rotate")


@dataclass(frozen=True)
class Pictures:
    """How pictures become anchors, beside what the model's shape asks for.

    Args:
        resize: ``"crop"`` (or True) scales the shorter side to the model's and cuts the middle out,
            ``"stretch"`` gives up the proportions, ``"pad"`` scales the longer side and fills up
            with ``background``, black where none is given. A side, or (height, width), does
            ``"crop"``, or ``"stretch"``, to that size. None resizes nothing.
        transform: A function from a Pillow image, already of the right colours and size, to an
            image, an array or a tensor; or steps by name, out of :data:`STEPS`, as in ``["mirror",
            {"center_crop": 20}]``.
        background: The colour behind transparent pixels: a name or ``"#rrggbb"``, as Pillow knows
            them, a grey level or (red, green, blue). None takes no transparent picture.

    Raises:
        ParameterError: When one of them is not allowed.
    """

    resize: Any = None
    transform: Any = None
    background: Any = None

    def __post_init__(self) -> None:
        if isinstance(self.resize, str):
            choice(self.resize, "resize", RESIZES)
        elif self.resize is not None and not isinstance(self.resize, bool):
            _size(self.resize, "resize")
        if self.background is not None:
            self.colour()
        self.steps()

    def __bool__(self) -> bool:
        return bool(self.resize) or self.transform is not None or self.background is not None

    @property
    def size(self) -> Size | None:
        """(height, width) that is asked for, or None for the model's."""
        if self.resize is None or isinstance(self.resize, (bool, str)):
            return None
        return _size(self.resize, "resize")

    @property
    def method(self) -> str | None:
        """One of :data:`RESIZES`, or None."""
        if not self.resize:
            return None
        if isinstance(self.resize, str):
            return self.resize
        return "crop" if isinstance(self.resize, (bool, int)) else "stretch"

    def colour(self) -> tuple[int, int, int]:
        """Return the colour behind transparent pixels, black where none is given."""
        given = 0 if self.background is None else self.background
        try:
            if isinstance(given, str):
                red, green, blue = library("PIL.ImageColor", "pillow").getrgb(given)[:3]
            else:
                levels = (given,) * 3 if isinstance(given, int) else tuple(given)
                red, green, blue = (integer(level, "background", minimum=0) for level in levels)
            if max(red, green, blue) > 255:
                raise ValueError
        except (TypeError, ValueError) as error:
            allowed = "the name of a colour, a level, or three, from 0 to 255"
            hint = "Write background='white', say."
            raise ParameterError("background", allowed, short_repr(given), hint) from error
        return red, green, blue

    def steps(self) -> list[Callable[[Any], Any]]:
        """Return the functions of ``transform``, in their order."""
        if self.transform is None:
            return []
        if callable(self.transform):
            return [self.transform]
        given = self.transform
        several = isinstance(given, Sequence) and not isinstance(given, str)
        return [_step(one) for one in (given if several else [given])]

    def notes(self) -> tuple[str, ...]:
        """Return what is done, in sentences."""
        texts = []
        if self.background is not None:
            texts.append(f"transparent pixels of pictures are put on the colour {self.colour()}")
        if self.method is not None:
            sides = self.size
            size = "the model's size" if sides is None else f"height {sides[0]}, width {sides[1]}"
            texts.append(f"pictures are resized to {size} by {self.method!r}")
        if callable(self.transform):
            texts.append(f"pictures go through {short_repr(self.transform)}")
        elif self.transform is not None:
            texts.append(f"pictures go through the steps {self.transform!r}")
        return tuple(texts)


def fit_size(image: Any, size: Size, pictures: Pictures) -> Any:
    """Return a Pillow image of (width, height) ``size``, by the method of ``pictures``; bicubic."""
    if image.size == size or pictures.method is None:
        return image
    ops, bicubic = library("PIL.ImageOps", "pillow"), 3
    if pictures.method == "stretch":
        return image.resize(size, bicubic)
    if pictures.method == "crop":
        return ops.fit(image, size, bicubic)
    red, green, blue = pictures.colour()
    behind: Any = (red, green, blue)
    if image.mode == "L":
        behind = round(0.299 * red + 0.587 * green + 0.114 * blue)
    elif image.mode == "RGBA":
        behind = (red, green, blue, 255)
    return ops.pad(image, size, bicubic, color=behind)


def _step(given: Any) -> Callable[[Any], Any]:
    name: Any = given
    arguments: tuple[Any, ...] = ()
    if isinstance(given, Mapping) and len(given) == 1:
        name = next(iter(given))
        arguments = (given[name],)
    hint = "Write a name, or a name with its argument, as in {'center_crop': 20}."
    if not isinstance(name, str) or name not in STEPS:
        if isinstance(name, str):
            hint = nearest(name, STEPS)
        allowed = "a function, or steps by name: " + ", ".join(STEPS)
        raise ParameterError("transform", allowed, short_repr(given), hint)
    if bool(arguments) != (name in _WITH_ARGUMENT):
        allowed = f"{name!r} {'with' if name in _WITH_ARGUMENT else 'without'} an argument"
        raise ParameterError("transform", allowed, short_repr(given), hint)
    if name == "rotate" and arguments[0] not in (90, 180, 270):
        hint = "Other angles need pixels between pixels: give a function."
        raise ParameterError("transform", "a rotation by 90, 180 or 270", short_repr(given), hint)
    if name == "center_crop":
        _size(arguments[0], "transform")
    return lambda image: STEPS[name](image, *arguments)


def _size(given: Any, name: str) -> Size:
    sides = given if isinstance(given, (tuple, list)) else (given, given)
    if len(sides) != 2:
        hint = "Give the height and the width."
        raise ParameterError(name, "a side, or (height, width)", short_repr(given), hint)
    height, width = (integer(side, name, minimum=1) for side in sides)
    return height, width
