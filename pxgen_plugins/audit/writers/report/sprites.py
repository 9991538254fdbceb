"""Pictures of anchors and reconstructions on a few sheets, within a number of bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from pxgen_plugins.audit.escaping import visible
from pxgen_plugins.result import Examples
from pxgen_plugins.utils.thumbnails import drawable

__all__ = ["Cell", "Sheet", "Sprites", "pack_pictures"]

_MOST = 1_000  # anchors with pictures
_SHEET_SIDE = 4_096
_TEXT_LENGTH = 1_000
# Longest side of a picture, and the quality (None: lossless); the first that fits is taken.
_TRIES: tuple[tuple[int, int | None], ...] = ((96, None), (96, 85), (96, 70), (64, 70), (48, 60))
_LOSSLESS_PIXELS = 4_000_000  # above this a lossless sheet is not tried

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Sheet:
    """One picture of many: its data URL and its size in pixels."""

    url: str
    width: int
    height: int


@dataclass(frozen=True)
class Cell:
    """Where a picture is: the number of its sheet, and x, y, width and height on it."""

    sheet: int
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Sprites:
    """Pictures or texts of some anchors.

    Attributes:
        place: Place of each anchor among those shown, by its index.
        sheets: The sheets; none for texts.
        width: Of one picture, in pixels.
        height: Of one picture.
        each: Pictures per anchor: 2 with reconstructions, else 1.
        texts: For each anchor its text and its reconstruction's, or None; empty for pictures.
        n_given: Anchors that pictures were given of.
    """

    place: dict[int, int]
    sheets: tuple[Sheet, ...] = ()
    width: int = 0
    height: int = 0
    each: int = 1
    texts: tuple[tuple[str, str | None], ...] = ()
    n_given: int = 0

    @property
    def columns(self) -> int:
        """Pictures in a row of a sheet: even, so that an anchor's two are side by side."""
        return max(2, _SHEET_SIDE // max(self.width, 1) // 2 * 2)

    @property
    def rows(self) -> int:
        """Rows of a full sheet."""
        return max(1, _SHEET_SIDE // max(self.height, 1))

    def cells(self, index: int) -> list[Cell]:
        """Return where the pictures of an anchor are, its reconstruction's last."""
        if index not in self.place or not self.sheets:
            return []
        cells = []
        for which in range(self.each):
            sheet, at = divmod(self.place[index] * self.each + which, self.columns * self.rows)
            row, column = divmod(at, self.columns)
            cells.append(
                Cell(sheet, column * self.width, row * self.height, self.width, self.height)
            )
        return cells

    def text(self, index: int) -> tuple[str, str | None] | None:
        """Return the texts of an anchor."""
        return self.texts[self.place[index]] if self.texts and index in self.place else None


def pack_pictures(examples: Examples | None, wanted: Sequence[int], budget: int) -> Sprites:
    """Return as many pictures as fit, those of ``wanted`` first.

    Pictures are made smaller and coarser before any is left out. Flat anchors are drawn as bars.

    Args:
        examples: Pixels or texts of e anchors; None for none.
        wanted: Indices of anchors, the most wanted first.
        budget: Most bytes of the sheets, or of the texts.

    Example:
        >>> examples = Examples(np.array([4]), anchors=np.zeros((1, 1, 8, 8), dtype=np.uint8))
        >>> [(cell.x, cell.width) for cell in pack_pictures(examples, [4], 10_000).cells(4)]
        [(0, 8)]
    """
    if examples is None or not len(examples.indices):
        return Sprites({})
    indices = examples.indices.tolist()
    row = {index: at for at, index in enumerate(indices)}
    order = [row[index] for index in dict.fromkeys([*wanted, *indices]) if index in row][:_MOST]
    if examples.texts is not None:
        texts, reconstructions = examples.texts, examples.reconstructed_texts
        return _texts(texts, reconstructions, indices, order, budget)
    if examples.anchors is None:
        return Sprites({})
    pairs = [examples.anchors[order]]
    if examples.reconstructions is not None:
        pairs.append(examples.reconstructions[order])
    stack = np.stack(pairs, axis=1)
    flat = drawable(stack.reshape(-1, *stack.shape[2:]))
    both = flat.reshape(*stack.shape[:2], *flat.shape[1:])
    kept = len(order)
    while kept:
        for side, quality in _TRIES:
            place = {indices[at]: k for k, at in enumerate(order[:kept])}
            sprites = _sheets(both[:kept], side, quality, place, len(indices))
            if sprites is not None and sum(len(s.url) for s in sprites.sheets) <= budget:
                return sprites
        kept = kept * 2 // 3
    return Sprites({}, n_given=len(indices))


def _texts(
    texts: Sequence[str],
    reconstructions: Sequence[str] | None,
    indices: Sequence[int],
    order: Sequence[int],
    budget: int,
) -> Sprites:
    kept: list[tuple[str, str | None]] = []
    place: dict[int, int] = {}
    left = budget
    for at in order:
        pair = _lines(texts[at]), None if reconstructions is None else _lines(reconstructions[at])
        left -= sum(len(text.encode()) for text in pair if text is not None)
        if left < 0:
            break
        place[indices[at]] = len(kept)
        kept.append(pair)
    return Sprites(place, texts=tuple(kept), n_given=len(indices))


def _lines(text: Any) -> str:
    lines = str(text)[: _TEXT_LENGTH + 1].split("\n")
    visible_text = "\n".join(map(visible, lines))
    if len(visible_text) <= _TEXT_LENGTH:
        return visible_text
    return visible_text[: _TEXT_LENGTH - 1] + "…"


def _sheets(
    pixels: Pixels, side: int, quality: int | None, place: dict[int, int], n_given: int
) -> Sprites | None:
    n, each, height, width, channels = pixels.shape
    shrink = min(1.0, side / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    if quality is None and n * each * size[0] * size[1] > _LOSSLESS_PIXELS:
        return None
    sprites = Sprites(place, (), *size, each, (), n_given)
    flat = pixels.reshape(n * each, height, width, channels)
    full = sprites.columns * sprites.rows
    sheets = []
    for start in range(0, len(flat), full):
        part = flat[start : start + full]
        columns, rows = min(len(part), sprites.columns), -(-len(part) // sprites.columns)
        sheet = Image.new("RGB" if channels == 3 else "L", (columns * size[0], rows * size[1]))
        for at, one in enumerate(part):
            picture = Image.fromarray(np.ascontiguousarray(one if channels == 3 else one[..., 0]))
            if shrink < 1:
                picture = picture.resize(size, Image.Resampling.LANCZOS)
            row, column = divmod(at, sprites.columns)
            sheet.paste(picture, (column * size[0], row * size[1]))
        sheets.append(Sheet(_encode(sheet, quality), *sheet.size))
    return Sprites(place, tuple(sheets), *size, each, (), n_given)


def _encode(sheet: Image.Image, quality: int | None) -> str:
    file = io.BytesIO()
    if features.check("webp"):
        kind = "webp"
        sheet.save(file, "WEBP", lossless=quality is None, quality=quality or 80, method=4)
    elif quality is None:
        kind = "png"
        sheet.save(file, "PNG", optimize=True)
    else:
        kind = "jpeg"
        sheet.save(file, "JPEG", quality=quality)
    return f"data:image/{kind};base64," + base64.b64encode(file.getvalue()).decode()
