"""How an instance is shown: a picture as PNG, a text, or a row of a table."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pxgen_plugins.models import capabilities
from pxgen_plugins.utils.errors import PXGenError
from pxgen_plugins.utils.text import number
from pxgen_plugins.utils.thumbnails import diverging, drawable

__all__ = ["View", "png", "sprite"]

Pixels = NDArray[np.uint8]

_SMALL = 64  # longest side of a picture while a slider moves
_THUMBNAIL = 48
_COLUMNS = 20  # of a sprite
_MOST_TOKENS = 2_000
_MOST_NUMBERS = 200  # of a vector that are written; all of them are drawn


@dataclass(frozen=True)
class View:
    """How the instances of a model are shown.

    Attributes:
        model: The model.
        kind: ``"image"``, ``"text"``, ``"table"`` or ``"vector"``.
        low: Value that is drawn as black.
        high: Value that is drawn as white.
    """

    model: Any
    kind: str
    low: float = 0.0
    high: float = 1.0

    @classmethod
    def of(cls, model: Any, values: Tensor) -> View:
        """Return the view of a model.

        Args:
            model: The model.
            values: Numbers of some of its instances, which the scale of pictures comes from where
                the model states no ``data_range``.
        """
        if capabilities(model) & {"token_loss", "continuation"}:
            return cls(model, "text")
        shape = tuple(model.sample_shape or ())
        if getattr(model, "columns", None) is not None:
            kind = "table"
        else:
            kind = "image" if len(shape) in (2, 3) else "vector"
        low, high = model.data_range or (0.0, 1.0)
        finite = values[values.isfinite()]
        if model.data_range is None and len(finite):
            low, high = float(finite.min()), float(finite.max())
        return cls(model, kind, float(low), float(high if high > low else low + 1.0))

    @property
    def columns(self) -> list[str]:
        """Names of an instance's columns; none for pictures and texts."""
        if self.kind == "table":
            return [str(getattr(column, "name", column)) for column in self.model.columns]
        if self.kind == "vector":
            n = math.prod(self.model.sample_shape or (0,))
            return [f"x{i}" for i in range(min(n, _MOST_NUMBERS))]
        return []

    def describe(self) -> dict[str, Any]:
        """Return kind, size and columns, for the front end."""
        height, width, channels = self.size
        return {
            "kind": self.kind,
            "height": height,
            "width": width,
            "channels": channels,
            "columns": self.columns,
        }

    @property
    def size(self) -> tuple[int | None, int | None, int | None]:
        """Height, width and channels of a picture; None for what is none."""
        if self.kind != "image":
            return None, None, None
        shape = tuple(self.model.sample_shape)
        _, height, width, channels = drawable(np.zeros((1, *shape), np.uint8)).shape
        return height, width, channels

    def show(self, x: Tensor, *, small: bool = False) -> dict[str, Any]:
        """Return an instance (1, *sample_shape) as ``image``, ``text`` or ``row``.

        Args:
            x: The instance.
            small: A picture of low resolution, and no more than a glance takes.

        Returns:
            ``image``: a PNG; ``text`` with ``tokens`` (text and cost of each, nats) and
            ``continuation`` (its own end, the model's); or ``row``: pairs of a column and its value
            as text, with an ``image`` of bars where the values are numbers of one kind.
        """
        if self.kind == "text":
            return self._text(x, small)
        if self.kind == "table":
            return {"row": list(zip(self.columns, self._cells(x), strict=True))}
        shown: dict[str, Any] = {"image": png(self.pixels(x)[0], _SMALL if small else None)}
        if self.kind == "vector":
            numbers = x.flatten()[:_MOST_NUMBERS].double().tolist()
            shown["row"] = [(f"x{i}", number(value)) for i, value in enumerate(numbers)]
        return shown

    def pixels(self, x: Tensor) -> Pixels:
        """Return instances (n, *sample_shape) as bytes (n, height, width, 1 or 3)."""
        values = x.detach().cpu().double().numpy()
        scaled = (values - self.low) * (255.0 / (self.high - self.low))
        return drawable(np.rint(np.clip(np.nan_to_num(scaled), 0.0, 255.0)).astype(np.uint8))

    def difference(self, after: Tensor, before: Tensor) -> bytes | None:
        """Return the signed change of a picture: red is more, blue less, white nothing."""
        if self.kind != "image":
            return None
        change = (after.double() - before.double()).cpu().numpy()
        colours = diverging(change, self.high - self.low)
        return None if colours is None else png(colours[0])

    def change(self, after: Tensor, before: Tensor) -> float:
        """Return the mean absolute change, in units of the data; of rows in their own features."""
        features = getattr(self.model, "features", None) if self.kind == "table" else None
        if features is not None:
            after, before = features(after), features(before)
        return float((after.double() - before.double()).abs().mean())

    def _cells(self, x: Tensor) -> list[str]:
        try:
            table = self.model.frame(x)
        except Exception:  # a row with a gap has no frame
            return [number(value) for value in x.flatten().double().tolist()]
        cells = [table[name].iloc[0] for name in table.columns]
        return [number(c) if isinstance(c, float) else str(c)[:200] for c in cells]

    def _text(self, x: Tensor, small: bool) -> dict[str, Any]:
        """Return a text, what each of its tokens costs, and how the model would go on."""
        render = getattr(self.model, "render", None)
        text = render(x)[0] if render is not None else str(x.flatten().tolist())[:2_000]
        shown: dict[str, Any] = {"text": text, "tokens": None, "continuation": None}
        if small:
            return shown
        costs = getattr(self.model, "token_costs", None)
        if costs is not None:
            shown["tokens"] = [list(pair) for pair in costs(x)[0][:_MOST_TOKENS]]
        ends = getattr(self.model, "ends", None)
        if ends is not None and "continuation" in capabilities(self.model):
            with suppress(PXGenError):  # a model of tokens may have no way back to text
                own, made = ends(x)[0]
                shown["continuation"] = {"own": own, "model": made}
        return shown


def png(pixels: Pixels, longest: int | None = None) -> bytes:
    """Return a picture (height, width, 1 or 3) as a PNG file; the same bytes for the same pixels.

    Args:
        pixels: Bytes.
        longest: Longest side; a larger picture is reduced to it.
    """
    from PIL import Image

    array = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    image = Image.fromarray(np.ascontiguousarray(array))
    if longest is not None and max(image.size) > longest:
        scale = longest / max(image.size)
        size = [max(1, round(side * scale)) for side in image.size]
        image = image.resize((size[0], size[1]), Image.Resampling.BOX)
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)  # a slider waits for it
    return file.getvalue()


def sprite(tiles: Pixels, indices: Sequence[int]) -> dict[str, Any]:
    """Return pictures (n, h, w, c) as one, a grid of tiles, with its size and whose they are."""
    from PIL import Image

    n, height, width, channels = tiles.shape
    scale = min(1.0, _THUMBNAIL / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    columns = min(_COLUMNS, n)
    rows = -(-n // columns)
    sheet = np.zeros((rows * size[0], columns * size[1], channels), dtype=np.uint8)
    for at, tile in enumerate(tiles):
        image = Image.fromarray(np.ascontiguousarray(tile[..., 0] if channels == 1 else tile))
        small = np.asarray(image.resize((size[1], size[0]), Image.Resampling.BOX))
        top, left = at // columns * size[0], at % columns * size[1]
        sheet[top : top + size[0], left : left + size[1]] = small.reshape(*size, channels)
    return {
        "buffer": png(sheet),
        "height": size[0],
        "width": size[1],
        "columns": columns,
        "indices": [int(index) for index in indices],
    }
