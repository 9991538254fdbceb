"""Films: frames side by side in one picture, each under its number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pxgen_plugins.describers.base import Picture
from pxgen_plugins.utils.errors import ParameterError

__all__ = ["BAND", "GAP", "MARGIN", "film", "frames_of"]

BAND = 16  # rows above the frames, black, with their numbers in white
GAP = 4  # columns between frames, grey
MARGIN = 16  # columns at the left, black, with the letter of the film
_SIDE = 96  # pixels; smaller frames are enlarged by a whole factor, up to about this size
_GREY = 128
# rows of five characters 3 wide, as numbers whose bits are the pixels
_FONT = {
    **{"0": (7, 5, 5, 5, 7), "1": (2, 6, 2, 2, 7), "2": (7, 1, 7, 4, 7), "3": (7, 1, 7, 1, 7)},
    **{"4": (5, 5, 7, 1, 1), "5": (7, 4, 7, 1, 7), "6": (7, 4, 7, 5, 7), "7": (7, 1, 1, 2, 2)},
    **{"8": (7, 5, 7, 5, 7), "9": (7, 5, 7, 1, 7), "A": (2, 5, 7, 5, 5), "B": (6, 5, 6, 5, 6)},
    **{"C": (3, 4, 4, 4, 3), "D": (6, 5, 5, 5, 6), "E": (7, 4, 6, 4, 7), "F": (7, 4, 6, 4, 4)},
    **{"G": (3, 4, 5, 5, 3), "H": (5, 5, 7, 5, 5)},
}


def film(frames: Sequence[Picture], letter: str = "") -> Picture:
    """Return frames side by side, numbered from 1.

    The order of frames is written into the picture, because describers do not know in which order
    they read; small frames are enlarged, because describers see little of few pixels.

    Args:
        frames: Bytes of one shape, (h, w) or (h, w, 3).
        letter: Letter of the film, A to H, drawn at its left; "" for none.

    Raises:
        ParameterError: When there are no frames, or their shapes differ.

    Example:
        >>> film([np.zeros((48, 48), np.uint8)] * 3, "A").shape
        (112, 312)
    """
    shapes = {frame.shape for frame in frames}
    if len(shapes) != 1:
        hint = "Give bytes (h, w) or (h, w, 3)."
        raise ParameterError("frames", "pictures of one shape", f"{len(shapes)} shapes", hint)
    factor = max(1, _SIDE // max(frames[0].shape[:2]))
    large = [frame.repeat(factor, axis=0).repeat(factor, axis=1) for frame in frames]
    height, width = large[0].shape[:2]
    n, rest = len(large), large[0].shape[2:]
    picture = np.zeros((BAND + height, MARGIN + n * width + (n - 1) * GAP, *rest), dtype=np.uint8)
    for i, frame in enumerate(large):
        left = MARGIN + i * (width + GAP)
        if i:
            picture[:, left - GAP : left] = _GREY
        picture[BAND:, left : left + width] = frame
        _write(picture[:BAND, left : left + width], str(i + 1))
    _write(picture[:BAND, :MARGIN], letter)
    return picture


def frames_of(picture: Picture, n: int) -> list[Picture]:
    """Return the n frames of a film, as large as they are in it.

    Raises:
        ParameterError: When the picture is no film of n frames.

    Example:
        >>> frames = [np.full((96, 96), value, np.uint8) for value in (10, 20)]
        >>> [int(frame.max()) for frame in frames_of(film(frames), 2)]
        [10, 20]
    """
    width, rest = divmod(picture.shape[1] - MARGIN - (n - 1) * GAP, max(n, 1))
    if n < 1 or width < 1 or rest or picture.shape[0] <= BAND:
        hint = "Give what film() returned, and the number of its frames."
        got = f"shape {picture.shape} for {n} frames"
        raise ParameterError("picture", "a film", got, hint)
    lefts = [MARGIN + i * (width + GAP) for i in range(n)]
    return [picture[BAND:, left : left + width] for left in lefts]


def _write(band: Picture, text: str) -> None:
    """Write a text into the left of a band, characters 6 x 10 pixels large."""
    for i, character in enumerate(text):
        rows = np.array([[row >> 2, row >> 1, row] for row in _FONT[character]]) & 1
        glyph = (255 * rows.astype(np.uint8)).repeat(2, axis=0).repeat(2, axis=1)
        place = band[3:13, 5 + 8 * i : 11 + 8 * i]
        part = glyph[:, : place.shape[1]]
        place[...] = part.reshape(*part.shape, *[1] * (band.ndim - 2))
