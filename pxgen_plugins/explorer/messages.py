"""What the front end may ask: messages with a schema, checked before anything else sees them."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.utils import optional
from pxgen_plugins.utils.errors import ParameterError, short_repr
from pxgen_plugins.utils.validation import LARGEST, nearest

try:
    from pydantic import (
        BaseModel,
        BeforeValidator,
        ConfigDict,
        Field,
        TypeAdapter,
        ValidationError,
        model_validator,
    )
except ImportError:
    optional.load("pydantic", "pydantic")
    raise

__all__ = [
    "KINDS",
    "MOST_ANCHORS",
    "Answer",
    "Message",
    "State",
    "StrokeMessage",
    "parse",
    "schema",
]

MOST_ANCHORS = 50_000
"""Most anchors of a session: all of them are points of its plane."""

_MOST_NUMBERS = 2**17  # of a code
_MOST_AXES = 4_096
_MOST_CELLS = 2**20  # characters of a mask

Real = Annotated[float, Field(allow_inf_nan=False)]
Code = Annotated[list[Real], Field(max_length=_MOST_NUMBERS)]
Index = Annotated[int, Field(ge=0, lt=2**31)]
Id = Annotated[int, Field(ge=0, lt=2**53)]
Amount = Annotated[float, Field(ge=-100.0, le=100.0, allow_inf_nan=False)]


def _numbered(value: Any) -> Any:
    """Return a mapping with integers for keys that are digits, as JSON writes them."""
    if not isinstance(value, Mapping) or len(value) > _MOST_AXES:
        return value
    return {
        int(key) if isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 9
        else key: amount
        for key, amount in value.items()
    }  # fmt: skip


Amounts = Annotated[dict[Index, Amount], BeforeValidator(_numbered), Field(max_length=_MOST_AXES)]
"""Steps along axes, by the axis's position in the session's list."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)


class Mask(_Strict):
    """Where a brush went.

    Attributes:
        size: Height and width, those of the picture.
        cells: Bytes of the cells, row by row, 0 for nowhere and 255 for everywhere, in base64.
    """

    size: Annotated[list[Annotated[int, Field(ge=1, le=4_096)]], Field(min_length=2, max_length=2)]
    cells: Annotated[str, Field(max_length=_MOST_CELLS)]

    def array(self) -> NDArray[np.float32]:
        """Return the mask as numbers in [0, 1], float32 (height, width).

        Raises:
            ParameterError: When it is no base64, or not of so many cells.
        """
        height, width = self.size
        hint = "Send one byte a cell, row by row, as base64."
        try:
            content = base64.b64decode(self.cells, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ParameterError("mask.cells", "base64", "other characters", hint) from error
        if len(content) != height * width:
            allowed = f"{height * width:,} bytes, one a cell"
            raise ParameterError("mask.cells", allowed, f"{len(content):,}", hint)
        cells = np.frombuffer(content, dtype=np.uint8).reshape(height, width)
        return cells.astype(np.float32) / np.float32(255.0)


class StrokeMessage(_Strict):
    """What a brush does: see :class:`pxgen_plugins.painting.Stroke`.

    Attributes:
        layer: Name of the layer; None for the usual one. All strokes have the same.
        units: The units.
        mask: Where; None everywhere.
        value: ``"on"`` (a typical value of the unit), ``"off"`` (0) or a number.
        strength: How much of it, in [0, 1].
    """

    layer: Annotated[str, Field(max_length=500)] | None = None
    units: Annotated[list[Index], Field(min_length=1, max_length=4_096)]
    mask: Mask | None = None
    value: Literal["on", "off"] | Annotated[float, Field(ge=-1e6, le=1e6)] = "off"
    strength: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0


Strokes = Annotated[list[StrokeMessage], Field(max_length=32)]


class _Picture(_Strict):
    """A code, what was done to it, and for which model."""

    z: Code = []
    amounts: Amounts = {}
    strokes: Strokes = []
    model: Annotated[int, Field(ge=0, le=100)] = 0


class State(_Picture):
    """A session's state as JSON: what :meth:`Session.state` returns and ``restore`` takes.

    Attributes:
        version: Of this form.
        seed: The last one that a code was drawn with; None where it was not drawn.
        selected: Positions of the selected anchors.
        axes: Labels of the session's axes, to see that amounts belong to them.
    """

    version: Literal[1] = 1
    seed: Annotated[int, Field(ge=0, le=LARGEST)] | None = None
    selected: Annotated[list[Index], Field(max_length=MOST_ANCHORS)] = []
    axes: Annotated[list[Annotated[str, Field(max_length=500)]], Field(max_length=2**17)] = []


class _Message(_Strict):
    """Every message.

    Attributes:
        id: Number of the message; its answer has the same.
        client: Who sends it, a text that each page makes up: a newer message supersedes only those
            of the same client.
    """

    id: Id
    client: Annotated[str, Field(max_length=64)] = ""


class Open(_Message):
    """Ask for all that the page shows before anything is done."""

    kind: Literal["open"]


class Decode(_Message, _Picture):
    """Ask for the picture of a code with all that is known of it.

    Attributes:
        alone: Leave out what is known of it: while a slider moves, the picture comes first.
        small: Likewise, and of low resolution: while a slider of a slow model moves.
    """

    kind: Literal["decode"]
    alone: bool = False
    small: bool = False


class Python(_Message, _Picture):
    """Ask for the line of Python that makes a picture."""

    kind: Literal["python"]


class Anchor(_Message):
    """Ask for an anchor: its code, picture and reconstruction."""

    kind: Literal["anchor"]
    index: Index
    model: Annotated[int, Field(ge=0, le=100)] = 0


class Sample(_Message):
    """Ask for a code that the model draws with a seed."""

    kind: Literal["sample"]
    seed: Annotated[int, Field(ge=0, le=LARGEST)]
    model: Annotated[int, Field(ge=0, le=100)] = 0


class Walk(_Message):
    """Ask for the pictures on the way between two codes or anchors."""

    kind: Literal["walk"]
    start: Annotated[Code | Index, Field(alias="from")]
    to: Code | Index
    steps: Annotated[int, Field(ge=2, le=64)]


class Compare(_Message):
    """Ask what every model makes of one code, or of one anchor."""

    kind: Literal["compare"]
    z: Code | None = None
    anchor: Index | None = None

    @model_validator(mode="after")
    def _one(self) -> Compare:
        if (self.z is None) == (self.anchor is None):
            raise ValueError("either z or anchor is given")
        return self


class Select(_Message):
    """Select anchors."""

    kind: Literal["select"]
    indices: Annotated[list[Index], Field(max_length=MOST_ANCHORS)]


class Undo(_Message):
    """Go back to the picture before the present one."""

    kind: Literal["undo"]


class Reset(_Message):
    """Put one slider back, or everything: None."""

    kind: Literal["reset"]
    axis: Index | None = None


class GetState(_Message):
    """Ask for the state."""

    kind: Literal["state"]


class Restore(_Message):
    """Put a state back."""

    kind: Literal["restore"]
    state: State


class SavePage(_Message):
    """Ask for one page with a strip for each axis."""

    kind: Literal["save_page"]
    axes: Annotated[list[Index], Field(max_length=_MOST_AXES)] | None = None


class TaskStart(_Message):
    """Begin the reconstruction task, or go on with it."""

    kind: Literal["task_start"]


class TaskStep(_Message):
    """Tell the task where the code is now."""

    kind: Literal["task_step"]
    z: Code
    axis: Index | None = None


class TaskSkip(_Message):
    """Leave a question of the task out."""

    kind: Literal["task_skip"]


Message = (
    Open | Decode | Python | Anchor | Sample | Walk | Compare | Select | Undo | Reset | GetState
    | Restore | SavePage | TaskStart | TaskStep | TaskSkip
)  # fmt: skip
_BY_KIND: dict[str, type[Any]] = {
    get_args(one.model_fields["kind"].annotation)[0]: one for one in get_args(Message)
}
KINDS = tuple(_BY_KIND)
"""The kinds of messages."""


def schema() -> dict[str, Any]:
    """Return the JSON schema of messages.

    Example:
        >>> sorted(schema()["discriminator"]["mapping"])[:3]
        ['anchor', 'compare', 'decode']
    """
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])
    return adapter.json_schema()


def parse(message: Any) -> Message:
    """Return a message, checked against the schema.

    Args:
        message: A mapping, as JSON gives it.

    Raises:
        ParameterError: When it is none: its kind is unknown, something is missing, unknown, of
            another type, not finite, or too long.

    Example:
        >>> parse({"id": 1, "kind": "sample", "seed": 3}).seed
        3
        >>> parse({"id": 1, "kind": "sampel"})
        Traceback (most recent call last):
            ...
        pxgen_plugins.utils.errors.ParameterError: kind must be one of ...
    """
    kind = message.get("kind") if isinstance(message, Mapping) else None
    if not isinstance(kind, str) or kind not in _BY_KIND:
        got = short_repr(kind) if isinstance(message, Mapping) else type(message).__name__
        hint = nearest(str(kind)[:40], KINDS)
        raise ParameterError("kind", "one of " + ", ".join(KINDS), got, hint)
    try:
        checked: Message = _BY_KIND[kind].model_validate(dict(message))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part)[:40] for part in first["loc"][:6]) or kind
        got = short_repr(first["input"]) if first["type"] != "missing" else "nothing"
        allowed = f"as the schema says ({first['msg'][:1].lower()}{first['msg'][1:200]})"
        raise ParameterError(place, allowed, got, "Correct the message.") from error
    return checked


@dataclass(frozen=True)
class Answer:
    """What a session answers.

    Attributes:
        content: JSON-able; a picture in it is ``{"buffer": i}``.
        buffers: The pictures, PNG files.

    Example:
        >>> Answer.of({"id": 1, "image": b"PNG"})
        Answer(content={'id': 1, 'image': {'buffer': 0}}, buffers=[b'PNG'])
    """

    content: dict[str, Any]
    buffers: list[bytes] = field(default_factory=list)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Answer:
        """Return the answer of content that holds pictures as bytes; NaN and infinity are None."""
        buffers: list[bytes] = []

        def plain(value: Any) -> Any:
            if isinstance(value, bytes):
                buffers.append(value)
                return {"buffer": len(buffers) - 1}
            if isinstance(value, Mapping):
                entries = {str(key): plain(inner) for key, inner in value.items()}
                sheet = entries.get("buffer")  # of a picture with a size beside it
                return {**entries, **sheet} if isinstance(sheet, dict) else entries
            if isinstance(value, (list, tuple)):
                return [plain(inner) for inner in value]
            if isinstance(value, np.generic):
                value = value.item()
            if isinstance(value, float) and not math.isfinite(value):
                return None
            return value

        return cls(plain(content), buffers)

    def inline(self) -> dict[str, Any]:
        """Return the content with the pictures in it, as ``{"png": base64}``."""

        def filled(value: Any) -> Any:
            if isinstance(value, dict):
                entries = {key: filled(inner) for key, inner in value.items()}
                if isinstance(value.get("buffer"), int):
                    picture = self.buffers[entries.pop("buffer")]
                    entries["png"] = base64.b64encode(picture).decode()
                return entries
            return [filled(inner) for inner in value] if isinstance(value, list) else value

        content: dict[str, Any] = filled(self.content)
        return content
