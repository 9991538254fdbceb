"""Decode images of unknown origin safely to the shape that a model takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors._image_files import check_image_file
from pxgen_plugins.anchors.base import library, module_in_use

__all__ = ["ImageForm", "decode", "form_of_image", "form_of_shape", "is_image", "pillow"]

# Only these decoders run, whatever a file calls itself: Pillow's others reach for outside programs.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_DEEP = ("I", "F")  # modes of more than 8 bits a channel, which convert() would clip
_MOST_PIXELS = 1 << 26


@dataclass(frozen=True)
class ImageForm:
    """What an image becomes.

    Attributes:
        mode: Pillow's name of the colour space: L (grey), RGB or RGBA.
        sample_shape: Shape of the result.
        size: (width, height) that an image must have; None if any with the right number of pixels.
        channels_first: Whether the result's first axis is the channels.
    """

    mode: str
    sample_shape: tuple[int, ...]
    size: tuple[int, int] | None
    channels_first: bool

    def convert(self, image: Any) -> NDArray[np.uint8]:
        """Return a Pillow image as uint8, shape ``sample_shape``; alpha is dropped, not blended.

        Raises:
            ValueError: When the size differs, there are more than 8 bits a channel, or the image is
                damaged.
        """
        width, height = image.size
        wrong = self.size is not None and (width, height) != self.size
        if wrong or (self.size is None and width * height != self.sample_shape[0]):
            wanted = f"{self.size[0]} x {self.size[1]}" if self.size else f"{self.sample_shape[0]}"
            raise ValueError(f"the image has {width} x {height} pixels, not {wanted}")
        _check(image)
        pixels = np.asarray(image if image.mode == self.mode else image.convert(self.mode))
        if self.channels_first and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, -1, 0)
        return np.array(pixels, np.uint8).reshape(self.sample_shape)


def form_of_shape(sample_shape: tuple[int, ...]) -> ImageForm | None:
    """Return how images become anchors of ``sample_shape``; None when they cannot.

    (C, H, W) and (H, W, C) with 1, 3 or 4 channels, (H, W), and (d,) for grey images of d pixels.

    Example:
        >>> form_of_shape((3, 32, 40)).size
        (40, 32)
    """
    if len(sample_shape) == 1:
        return ImageForm("L", sample_shape, None, False)
    if len(sample_shape) == 2:
        return ImageForm("L", sample_shape, (sample_shape[1], sample_shape[0]), False)
    if len(sample_shape) == 3 and sample_shape[0] in _MODES:
        channels, height, width = sample_shape
        return ImageForm(_MODES[channels], sample_shape, (width, height), True)
    if len(sample_shape) == 3 and sample_shape[2] in _MODES:
        height, width, channels = sample_shape
        return ImageForm(_MODES[channels], sample_shape, (width, height), False)
    return None


def form_of_image(image: Any) -> ImageForm:
    """Return the form (C, H, W) that a Pillow image has by itself: grey if it is, else RGB.

    Raises:
        ValueError: When it has too many pixels or more than 8 bits a channel.
    """
    _check(image)
    width, height = image.size
    channels = 1 if image.mode in ("1", "L", "LA") else 3
    return ImageForm(_MODES[channels], (channels, height, width), (width, height), True)


def decode(file: IO[bytes], form: ImageForm | None) -> tuple[NDArray[np.uint8], ImageForm]:
    """Return the image in ``file`` and its form; of several frames or pages, the first.

    The size is compared before a pixel is decoded, so a small file cannot fill the memory.

    Args:
        file: An open binary file.
        form: What it must become; None to take the image's own form.

    Raises:
        Exception: Whatever Pillow raises on a damaged file, or ValueError from
            :meth:`ImageForm.convert`.
    """
    check_image_file(file)
    with pillow().open(file, formats=_FORMATS) as image:
        form = form or form_of_image(image)
        return form.convert(image), form


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
    width, height = image.size
    if width * height > _MOST_PIXELS:
        raise ValueError(f"{width} x {height} pixels are more than {_MOST_PIXELS}")
    if image.mode.startswith(_DEEP):
        raise ValueError("it has more than 8 bits a channel; convert it to 8 bits first")
