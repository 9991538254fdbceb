"""Decode images of unknown origin safely to the shape that a model takes."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors._image_files import check_image_file
from pxgen_plugins.anchors.base import library, module_in_use
from pxgen_plugins.anchors.pictures import Pictures, fit_size
from pxgen_plugins.utils.errors import ParameterError, short_repr

__all__ = [
    "ImageForm",
    "Look",
    "check_size",
    "decode",
    "form_of_image",
    "form_of_looks",
    "form_of_shape",
    "is_image",
    "look",
    "open_image",
    "pillow",
]

# Only these decoders run, whatever a file calls itself: Pillow's others reach for outside programs.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_DEEP = ("I", "F")  # modes of more than 8 bits a channel, which convert() would clip
_GREY = ("1", "L", "LA", "La")
_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_ORIENTATION, _BITS_PER_SAMPLE = 274, 258  # tags of EXIF and TIFF
_AS_THEY_ARE = Pictures()
Look = tuple[bool, tuple[int, int]]
_MOST_PIXELS = 1 << 26


@dataclass(frozen=True)
class ImageForm:
    """What an image becomes.

    Attributes:
        mode: Pillow's name of the colour space: L (grey), RGB or RGBA.
        sample_shape: Shape of the result.
        size: (width, height) that an image must have; None if any with the right number of pixels.
        channels_first: Whether the result's first axis is the channels.
        pictures: What else is done to it.
    """

    mode: str
    sample_shape: tuple[int, ...]
    size: tuple[int, int] | None
    channels_first: bool
    pictures: Pictures = _AS_THEY_ARE

    def convert(self, image: Any) -> NDArray[Any]:
        """Return a Pillow image as an array of ``sample_shape``: uint8, unless a function made it.

        It is turned as its orientation tag says. Transparent pixels are put on the colour that is
        stated, unless the result has an alpha channel itself.

        Raises:
            ValueError: When the size differs, there are more than 8 bits a channel, several frames,
                transparent pixels without a colour behind them, or the image is damaged.
        """
        _check(image)
        if self.pictures.transform is None:
            self._check_size(image)
        image = _upright(image)
        if self.pictures.transform is None:
            self._check_size(image, turned=False)
        image = _in_mode(image, self.mode, self.pictures)
        if self.size is not None:
            image = fit_size(image, self.size, self.pictures)
        for step in self.pictures.steps():
            image = step(image)
        if not is_image(image):
            return self._check_shape(image)
        _check(image)
        self._check_size(image, turned=False)
        pixels = np.asarray(image if image.mode == self.mode else image.convert(self.mode))
        if self.channels_first and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, -1, 0)
        return np.array(pixels, np.uint8).reshape(self.sample_shape)

    def _check_size(self, image: Any, turned: bool = True) -> None:
        """Raise unless the size is right; ``turned`` lets an orientation tag swap the sides."""
        width, height = image.size
        if self.size is None:
            good = width * height == self.sample_shape[0]
        else:
            good = image.size == self.size or (turned and (height, width) == self.size)
        if not good and (self.size is None or self.pictures.method is None):
            wanted = f"{self.size[0]} x {self.size[1]}" if self.size else f"{self.sample_shape[0]}"
            raise ValueError(f"the image has {width} x {height} pixels, not {wanted}")

    def _check_shape(self, made: Any) -> NDArray[Any]:
        """Return what a function made of an image, as it is, if its shape is right."""
        torch = module_in_use("torch")
        if torch is not None and isinstance(made, torch.Tensor):
            made = made.detach().cpu().numpy()
        array = np.asarray(made)
        if array.dtype.kind not in "fiub" or array.shape != self.sample_shape:
            got = f"{array.dtype} of shape {array.shape}"
            raise ValueError(f"transform gives {got}, not numbers of shape {self.sample_shape}")
        kept = array.dtype == np.uint8 or array.dtype.kind == "f"
        return array if kept else array.astype(np.float64)


def form_of_shape(
    sample_shape: tuple[int, ...], pictures: Pictures = _AS_THEY_ARE
) -> ImageForm | None:
    """Return how images become anchors of ``sample_shape``; None when they cannot.

    (C, H, W) and (H, W, C) with 1, 3 or 4 channels, (H, W), and (d,) for grey images of d pixels.

    Example:
        >>> form_of_shape((3, 32, 40)).size
        (40, 32)
    """
    if len(sample_shape) == 1:
        side = math.isqrt(sample_shape[0])
        size = (side, side) if pictures and side * side == sample_shape[0] else None
        return ImageForm("L", sample_shape, size, False, pictures)
    if len(sample_shape) == 2:
        return ImageForm("L", sample_shape, (sample_shape[1], sample_shape[0]), False, pictures)
    if len(sample_shape) == 3 and sample_shape[0] in _MODES:
        channels, height, width = sample_shape
        return ImageForm(_MODES[channels], sample_shape, (width, height), True, pictures)
    if len(sample_shape) == 3 and sample_shape[2] in _MODES:
        height, width, channels = sample_shape
        return ImageForm(_MODES[channels], sample_shape, (width, height), False, pictures)
    return None


def form_of_image(image: Any) -> ImageForm:
    """Return the form (C, H, W) that a Pillow image has by itself: grey if it is, else RGB.

    Raises:
        ValueError: When it has too many pixels, more than 8 bits a channel or several frames.
    """
    _check(image)
    return form_of_looks([look(image)])


def look(image: Any) -> Look:
    """Return whether an image is in colour, and its (width, height) once it is upright."""
    _check(image)
    # PNG decodes all pixels to look for a tag behind them
    ahead = image.format != "PNG" or "exif" in image.info
    turned = ahead and image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    if turned and image.format == "TIFF":  # Pillow turns it by itself while it decodes it
        image.load()
        return image.mode not in _GREY, image.size
    width, height = image.size
    return image.mode not in _GREY, (height, width) if turned else (width, height)


def form_of_looks(looks: Sequence[Look], pictures: Pictures = _AS_THEY_ARE) -> ImageForm:
    """Return the form (C, H, W) of a set of images, in whatever order they come.

    In colour if one of them is, of the size that most of them have (of several, the largest).
    """
    sizes = Counter(size for _, size in looks)
    width, height = max(sizes, key=lambda size: (sizes[size], size))
    if pictures.size is not None:
        height, width = pictures.size
    channels = 3 if any(colour for colour, _ in looks) else 1
    shape = (channels, height, width)
    return ImageForm(_MODES[channels], shape, (width, height), True, pictures)


def decode(file: IO[bytes], form: ImageForm | None) -> tuple[NDArray[Any], ImageForm]:
    """Return the image in ``file`` and its form.

    The size is compared before a pixel is decoded, so a small file cannot fill the memory.

    Args:
        file: An open binary file.
        form: What it must become; None to take the image's own form.

    Raises:
        Exception: Whatever Pillow raises on a damaged file, or ValueError from
            :meth:`ImageForm.convert`.
    """
    with open_image(file) as image:
        form = form or form_of_image(image)
        return form.convert(image), form


def check_size(form: ImageForm) -> None:
    """Raise ParameterError when pictures are to be resized to what the model does not take."""
    pictures = form.pictures
    if pictures.method is None or pictures.transform is not None:
        return
    hint = "Write resize='crop', which takes the model's size."
    wanted = None if form.size is None else (form.size[1], form.size[0])
    if wanted is None or pictures.size not in (None, wanted):
        allowed = f"to the model's size, (height, width) {wanted}"
        if wanted is None:
            allowed = f"None for anchors of shape {form.sample_shape}, which have no sides"
        raise ParameterError("resize", allowed, short_repr(pictures.resize), hint)


def open_image(file: IO[bytes]) -> Any:
    """Return the image in ``file``, of a format that is allowed, not decoded yet.

    Raises:
        Exception: As for :func:`decode`, or ValueError when its headers are beyond the limits.
    """
    check_image_file(file)
    return pillow().open(file, formats=_FORMATS)


def is_image(value: Any) -> bool:
    """Return whether ``value`` is a Pillow image, without importing Pillow."""
    module = module_in_use("PIL.Image")
    return module is not None and isinstance(value, module.Image)


def pillow() -> Any:
    """Return the module ``PIL.Image``.

    Raises:
        MissingDependencyError: When Pillow does not import.
    """
    return library("PIL.Image", "pillow")


def _check(image: Any) -> None:
    """Raise for an image that would not be what it is once it is an array of bytes."""
    width, height = image.size
    if width * height > _MOST_PIXELS:
        raise ValueError(f"{width} x {height} pixels are more than {_MOST_PIXELS}")
    if image.mode.startswith(_DEEP) or _is_deep(image):
        raise ValueError("it has more than 8 bits a channel; convert it to 8 bits first")
    # a photograph of several cameras (MPO) has previews behind the first; other frames are equals
    if getattr(image, "format", None) != "MPO" and getattr(image, "is_animated", False):
        frames = getattr(image, "n_frames", 2)
        raise ValueError(f"it has {frames} frames or pages; save the one that is meant as a file")


def _is_deep(image: Any) -> bool:
    """Return whether Pillow would cut channels of more than 8 bits: the mode does not tell."""
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
    if max(bits if isinstance(bits, tuple) else (bits,)) > 8:
        return True
    for tile in getattr(image, "tile", ()) or ():
        arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if any(isinstance(one, str) and re.search(r";(16|32)", one) for one in arguments):
            return image.format not in ("BMP", "DIB")  # there 16 bits hold all three channels
        if tile[0].startswith("ppm") and isinstance(arguments[-1], int) and arguments[-1] > 255:
            return True
    return False


def _upright(image: Any) -> Any:
    """Return an image turned as its orientation tag says; nothing is lost by it."""
    image.load()
    ops = library("PIL.ImageOps", "pillow")
    return ops.exif_transpose(image)


def _in_mode(image: Any, mode: str, pictures: Pictures) -> Any:
    """Return an image in ``mode``, its transparent pixels on the stated colour."""
    transparent = image.mode in _ALPHA or "transparency" in image.info
    if not transparent or mode == "RGBA":
        return image if image.mode == mode else image.convert(mode)
    whole = image.convert("RGBA")
    if whole.getchannel("A").getextrema()[0] < 255:
        if pictures.background is None:
            raise ValueError(
                "it has transparent pixels; state the colour behind them, as in background='white'"
            )
        behind = pillow().new("RGBA", whole.size, (*pictures.colour(), 255))
        whole = pillow().alpha_composite(behind, whole)
    elif image.mode == "LA" and mode == "L":
        return image.getchannel("L")  # exactly, without the way through colour
    return whole.convert("RGB") if mode == "RGB" else whole.convert("RGB").convert(mode)
