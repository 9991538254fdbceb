"""The axes that sliders move, and how much each of them shows."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pxgen_plugins.adapters.base import has_normal_prior
from pxgen_plugins.axes import Axis, check_shapes, dimensions
from pxgen_plugins.explorer.subject import Subject
from pxgen_plugins.utils.errors import ParameterError, short_repr, warn
from pxgen_plugins.utils.text import number

__all__ = ["Sentence", "Slider", "axes_from", "move", "sentences_from", "sliders"]

_SHOWN = 12  # sliders at first; the others on request
_MOST = 1_000  # dimensions that have sliders by default
_REACH = 3.0  # steps each way
_STEP = 0.05
_CODES = 8  # that the visibility of an axis is measured on
_SECONDS = 10.0  # that measuring may take
_SCALED = 200  # codes that the standard deviations of dimensions come from


@dataclass(frozen=True)
class Sentence:
    """What a description says of an axis.

    Attributes:
        text: The sentence, "no visible change" or "no clear explanation".
        certainty: How far answers agreed, in [0, 1]; None where nothing was asked.
        confirmed: Whether the sentence found its film in the match test.
    """

    text: str
    certainty: float | None
    confirmed: bool


@dataclass(frozen=True)
class Slider:
    """An axis as the front end shows it.

    Attributes:
        axis: The axis.
        index: Its position in the session's list.
        visible: Mean absolute change of the instance by a step, in units of the data; None where
            measuring would take too long.
        shown: Whether it is among those that are shown first.
        sentence: What a description says of it; None without one.
    """

    axis: Axis
    index: int
    visible: float | None
    shown: bool
    sentence: Sentence | None = None

    def to_data(self) -> dict[str, Any]:
        """Return it as JSON-able data; ``min``, ``max`` and ``step`` count in steps of the axis."""
        sentence = self.sentence
        return {
            "index": self.index,
            "label": self.axis.label,
            "source": self.axis.source,
            "scale": self.axis.scale,
            "visible": self.visible,
            "shown": self.shown,
            "min": -_REACH,
            "max": _REACH,
            "step": _STEP,
            "sentence": None if sentence is None else sentence.text,
            "certainty": None if sentence is None else sentence.certainty,
            "confirmed": sentence is not None and sentence.confirmed,
        }


def axes_from(given: Any, subject: Subject) -> list[Axis]:
    """Return the axes behind what users pass.

    Args:
        given: An :class:`~pxgen_plugins.axes.Axis`, a direction adapter that has found its axes, an
            explanation of one or of a LatentDescription, a list of such things, or None for the
            model's latent dimensions.
        subject: The model.

    Raises:
        ParameterError: When it is something else, or an axis has not the shape of the model's
            codes.
    """
    if not subject.size:
        if given is not None:
            hint = "Leave axes out."
            allowed = "None for a model that decodes no codes"
            raise ParameterError("axes", allowed, short_repr(given), hint)
        return []
    if given is None:
        return _dimensions(subject)
    axes = _flat(given)
    check_shapes(axes, subject.shape)
    return axes


def _flat(given: Any) -> list[Axis]:
    if isinstance(given, Axis):
        return [given]
    data = given if isinstance(given, Mapping) else getattr(given, "data", None)
    if isinstance(data, Mapping) and _is_of_axes(data):
        return _of_explanation(data, getattr(given, "meta", None) or {})
    found = getattr(given, "axes", None)
    if isinstance(found, (list, tuple)):
        return _flat(found)
    if hasattr(given, "axes"):
        hint = "Call its fit(X) or explain(X) first."
        raise ParameterError("axes", "found already", f"a {type(given).__name__} without", hint)
    if isinstance(given, Sequence) and not isinstance(given, (str, bytes)):
        return [axis for one in given for axis in _flat(one)]
    hint = "Pass Axis objects, or what a direction adapter's explain returned."
    allowed = "axes, a fitted direction adapter, its explanation, or a list of these"
    raise ParameterError("axes", allowed, short_repr(given), hint)


def _of_explanation(data: Mapping[str, Any], meta: Mapping[str, Any]) -> list[Axis]:
    vectors = np.asarray(data["directions"], dtype=np.float32)
    steps = np.asarray(data["strength"], dtype=np.float64)
    source, keep = str(meta.get("name") or "directions"), data.get("keep") or "free"
    labels = data["labels"] if data["evidence"] == "directions" else data["axes"]
    # one word for all directions; of a description one for each axis
    keeps = [keep] * len(labels) if isinstance(keep, str) else keep
    named = zip(labels, vectors, steps, keeps, strict=True)
    return [
        Axis(str(label), vector, float(step), source, str(kept))
        for label, vector, step, kept in named
    ]


def _is_of_axes(data: Mapping[str, Any]) -> bool:
    """Return whether an explanation holds axes: directions, or a description of some."""
    return data.get("evidence") in ("directions", "description") and (
        data.get("directions") is not None
    )


def sentences_from(given: Any) -> dict[tuple[str, bytes], Sentence]:
    """Return what descriptions among ``axes=`` say, by label and vector of the axis."""
    if isinstance(given, Sequence) and not isinstance(given, (str, bytes)):
        return {key: one for part in given for key, one in sentences_from(part).items()}
    data = given if isinstance(given, Mapping) else getattr(given, "data", None)
    if not isinstance(data, Mapping) or data.get("evidence") != "description":
        return {}
    found = {}
    for row, axis in enumerate(_flat(given)):
        # NaN is None in JSON, where explanations may come from
        certainty = data["certainty"][row]
        known = certainty is not None and math.isfinite(certainty)
        text = str(data["sentence"][row])
        sentence = Sentence(text, float(certainty) if known else None, bool(data["confirmed"][row]))
        found[axis.label, axis.vector.tobytes()] = sentence
    return found


def _dimensions(subject: Subject) -> list[Axis]:
    """Return the latent dimensions, a step of each its standard deviation among codes."""
    many = subject.size > _MOST
    if many:
        warn(
            f"Session: the first {_MOST:,} of {subject.size:,} latent dimensions have sliders; "
            "axes= names others."
        )
    axes = dimensions(subject.shape, range(_MOST) if many else None)
    codes = subject.some_codes(_SCALED)
    if codes is None or has_normal_prior(subject.model):
        return axes
    spread = codes.flatten(1).double().std(0).tolist()[: len(axes)]
    steps = [one if math.isfinite(one) and one > 0 else 1.0 for one in spread]
    pairs = zip(axes, steps, strict=True)
    return [Axis(axis.label, axis.vector, step, axis.source) for axis, step in pairs]


def move(z: Tensor, axes: Sequence[Axis], amounts: Mapping[int, float]) -> Tensor:
    """Return a code (1, *latent_shape) after steps along axes, in the order of their positions."""
    for index in sorted(amounts):
        if amounts[index]:
            z = axes[index].move(z, amounts[index])
    return z


def sliders(
    axes: Sequence[Axis],
    subject: Subject,
    sentences: Mapping[tuple[str, bytes], Sentence] | None = None,
) -> list[Slider]:
    """Return the axes, those first whose step changes the instance most.

    Args:
        axes: The axes.
        subject: The model, whose own codes they are measured on.
        sentences: What is said of axes, by label and vector.

    Cost: two decoder passes for each axis and up to 8 codes; none where that would take more than
    ten seconds.
    """
    visible = _visible(axes, subject)
    order = sorted(range(len(axes)), key=lambda i: -(visible[i] or 0.0))
    shown = set(order[:_SHOWN])
    words = sentences or {}
    keys = [(axis.label, axis.vector.tobytes()) for axis in axes]
    return [Slider(axes[i], i, visible[i], i in shown, words.get(keys[i])) for i in order]


def _visible(axes: Sequence[Axis], subject: Subject) -> list[float | None]:
    codes = subject.some_codes(_CODES) if axes else None
    if codes is None:
        return [None] * len(axes)
    # one code where a decode is slow, none where the axes are so many that it takes too long
    n = len(codes) if 2 * len(axes) * len(codes) * subject.seconds < _SECONDS else 1
    start = time.perf_counter()
    values = [_finite(_change(axes[0], codes[:n], subject))]
    if (time.perf_counter() - start) * len(axes) > _SECONDS:
        return [None] * len(axes)
    return values + [_finite(_change(axis, codes[:n], subject)) for axis in axes[1:]]


def _change(axis: Axis, codes: Tensor, subject: Subject) -> float:
    """Return the mean change by a step, from one side of the codes to the other, halved."""
    both = subject.decode(torch.cat([axis.move(codes, side) for side in (1.0, -1.0)]))
    return subject.view.change(both[: len(codes)], both[len(codes) :]) / 2.0


def _finite(value: float) -> float | None:
    return float(number(value, 6).replace(",", "")) if math.isfinite(value) else None
