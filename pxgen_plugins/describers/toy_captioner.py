"""A small captioner of drawn shapes, with which descriptions are tried without any service."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from pxgen_plugins.datasets.change_net import CHANGES, SIDE, load_change_net
from pxgen_plugins.describers.base import Picture, read_question
from pxgen_plugins.describers.frames import frames_of
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, caller

__all__ = ["ToyCaptioner"]

_SIDEWAYS = ("horizontal position", "position", "x position")
_UPRIGHT = ("vertical position", "position", "y position")
_SIZE = ("size", "scale", "size of the figure")
# What a change is called, which way it goes, and how a sentence says it.
_WORDS: dict[str, tuple[tuple[str, ...], str, tuple[str, ...]]] = {
    "none": (("",), "", ("stays as it is", "does not change", "looks the same in every frame")),
    "right": (_SIDEWAYS, "right", ("moves to the right", "slides rightwards")),
    "left": (_SIDEWAYS, "left", ("moves to the left", "slides leftwards")),
    "down": (_UPRIGHT, "down", ("moves down", "sinks", "ends lower in the picture")),
    "up": (_UPRIGHT, "up", ("moves up", "rises", "ends higher in the picture")),
    "larger": (_SIZE, "larger", ("grows", "becomes larger", "gets bigger and bigger")),
    "smaller": (_SIZE, "smaller", ("shrinks", "becomes smaller", "gets tinier and tinier")),
    "turns": (
        ("rotation", "orientation", "angle"),
        "",
        ("turns", "rotates about its centre", "is tilted more and more"),
    ),
    "shape": (
        ("shape", "form"),
        "",
        ("takes another shape", "gets another outline", "changes its form"),
    ),
}
_SUBJECTS = ("The figure", "The bright object", "The thing in the picture", "It")
# Beginnings of words that speak of a change; "shape" is heard only where nothing else is, because
# a shape is also what moves or grows.
_STEMS = {
    "right": ("right",),
    "left": ("left",),
    "down": ("down", "sink", "lower", "fall"),
    "up": ("up", "rise", "rising", "higher", "climb"),
    "larger": ("larger", "grow", "bigger", "expand"),
    "smaller": ("smaller", "shrink", "tinier"),
    "turns": ("turn", "rotat", "tilt", "orientation", "angle", "spin"),
    "shape": ("shape", "outline", "form"),
    "none": ("same", "stays", "unchanged", "nothing", "not"),
}


class ToyCaptioner:
    """Says what changes in pictures of one bright shape on a dark ground.

    A real network of 47,897 parameters (:class:`~pxgen_plugins.datasets.ChangeNet`), trained on
    drawn squares, ellipses and triangles, tells between two frames: nothing, right, left, down, up,
    larger, smaller, turned, another shape. Of each film it looks at the first, the middle and the
    last frame by pairs, and takes the mean of the probabilities over pairs and films. One change
    is drawn with them and put into one of several sentences, so that answers differ as those of a
    language model do. It sees nothing else: faces and digits are beyond it, of two changes at once
    it says one, and of outlines that it was not trained on it confuses turns and other shapes. It
    answers in the form that the prompts of ``LatentDescription`` ask for, and reads nothing of them
    but their heading. What tells groups apart it says, but it cannot match that: it takes a
    sentence for one about the way from the first frame of a film to its last.

    Args:
        temperature: Probabilities are raised to one over it before drawing, > 0; small values
            always give the most probable change.

    Raises:
        DataFileError: When the shipped weights are damaged.
        ParameterError: When the temperature is not allowed.

    Example:
        >>> import numpy as np
        >>> from pxgen_plugins.describers import film
        >>> frames = np.zeros((3, 32, 32), np.uint8)
        >>> for i in range(3):
        ...     frames[i, 12:20, 4 + 9 * i : 12 + 9 * i] = 255
        >>> answer = ToyCaptioner()([film(frames)], "Task: describe, 3 frames.", seed=0)
        >>> json.loads(answer)["direction"]
        'right'
    """

    @caller("ToyCaptioner")
    def __init__(self, temperature: float = 0.7) -> None:
        self.temperature = validation.real(temperature, "temperature", above=0.0)
        self._net = load_change_net()

    def __repr__(self) -> str:
        return f"ToyCaptioner(temperature={self.temperature:g})"

    @caller("ToyCaptioner")
    def __call__(self, images: list[Picture], prompt: str, *, seed: int) -> str:
        """Return the answer, a JSON object.

        Args:
            images: Films, as :func:`~pxgen_plugins.describers.film` draws them.
            prompt: The question; see :class:`~pxgen_plugins.describers.Question`.
            seed: What the change and the sentence are drawn with.

        Raises:
            ModelError: When the prompt has no heading that it knows, or the films do not fit it.
        """
        generator = np.random.default_rng(validation.integer(seed, "seed", minimum=0))
        question = read_question(prompt)
        if question.task == "repair":
            return _repair(prompt, generator)
        films = [_grey(frames_of(image, question.n_frames)) for image in images]
        least = {"describe": 1, "groups": 2, "match": 1}.get(question.task)
        if least is None or len(films) < least:
            hint = "It answers the questions of LatentDescription and no others."
            got = f"task {question.task!r} and {len(films)} films"
            raise ModelError("prompt", "a heading, and films that fit it", got, hint)
        if question.task == "match":
            table = np.stack([self._changes(_pairs(film)) for film in films])
            fit = table[:, [CHANGES.index(name) for name in _meanings(question.sentence)]].mean(1)
            return json.dumps({"choice": chr(ord("A") + self._draw(fit, generator))})
        if question.task == "groups":
            pairs = np.stack(np.broadcast_arrays(films[0][:, None], films[1][None]), 2)
            pairs = pairs.reshape(-1, 2, SIDE, SIDE)
        else:
            pairs = np.concatenate([_pairs(film) for film in films])
        probability = self._changes(pairs)
        change = self._draw(probability, generator)
        return _answer(CHANGES[change], float(probability[change]), generator)

    def _changes(self, pairs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probabilities of the changes, (9,), means over pairs (n, 2, 32, 32)."""
        with torch.no_grad():
            logits = self._net(torch.from_numpy(np.ascontiguousarray(pairs))).double()
        mean: NDArray[np.float64] = logits.softmax(1).mean(0).numpy()
        return mean

    def _draw(self, weights: NDArray[np.float64], generator: np.random.Generator) -> int:
        """Return a place, drawn with the weights sharpened by the temperature."""
        logs = np.log(weights + 1e-12) / self.temperature
        sharp = np.exp(logs - logs.max())
        return int(generator.choice(len(sharp), p=sharp / sharp.sum()))


def _grey(frames: Sequence[Picture]) -> NDArray[np.float32]:
    """Return frames as grey values in [0, 1], (n, 32, 32)."""
    grey = [frame if frame.ndim == 2 else frame.mean(-1).astype(np.uint8) for frame in frames]
    small = [Image.fromarray(one).resize((SIDE, SIDE), Image.Resampling.BOX) for one in grey]
    return np.stack([np.asarray(one, dtype=np.float32) / 255 for one in small])


def _pairs(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return pairs of first, middle and last frame, (4, 2, 32, 32); of two frames the only one."""
    last = len(frames) - 1
    # the whole way as often as its halves; these because on the whole a turn may come round again
    places = [(0, last), (0, last), (0, last // 2), (last // 2, last)]
    return np.stack([frames[list(pair)] for pair in places[: 4 if last > 1 else 1]])


def _meanings(sentence: str) -> list[str]:
    """Return the changes that a sentence speaks of; ["none"] where it speaks of none."""
    lower = re.findall("[a-z]+", sentence.lower())
    names = [n for n, stems in _STEMS.items() if any(word.startswith(stems) for word in lower)]
    clear = [name for name in names if name not in ("shape", "none")]
    return clear or names[:1] or ["none"]


def _repair(prompt: str, generator: np.random.Generator) -> str:
    """Return the answer at the end of a prompt, in the form that the prompt asks for."""
    form, _, answer = prompt.rpartition("\n")
    if '{"choice"' in form:
        letter = re.search(r"\b[A-H]\b", answer.partition(":")[2])
        return json.dumps({"choice": letter[0] if letter else ""})
    return _answer(_meanings(answer)[0], 0.5, generator)


def _answer(change: str, confidence: float, generator: np.random.Generator) -> str:
    """Return the JSON object that says a change, in words drawn from several."""
    attributes, direction, verbs = _WORDS[change]

    def draw(options: tuple[str, ...]) -> str:
        return options[generator.integers(len(options))]

    return json.dumps(
        {
            "changes": change != "none",
            "attribute": draw(attributes),
            "direction": direction,
            "sentence": f"{draw(_SUBJECTS)} {draw(verbs)}.",
            "confidence": round(confidence, 3),
        }
    )
