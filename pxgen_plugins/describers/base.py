"""What a describer is, and the lines of a prompt that a program can read."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["TASKS", "Describer", "Picture", "Question", "heading", "read_question"]

Picture = NDArray[np.uint8]

TASKS = ("describe", "groups", "match", "repair")
_HEADING = re.compile(r"Task: (\w+), (\d+) frames?\.")
_SENTENCE = re.compile(r"^Sentence: (\".*\")$", re.MULTILINE)


class Describer(Protocol):
    """Answers a question about pictures in words; any callable of this form is one."""

    def __call__(self, images: list[Picture], prompt: str, *, seed: int) -> str:
        """Return the answer.

        Args:
            images: Bytes, (h, w) or (h, w, 3) each.
            prompt: The question.
            seed: What the answer is drawn with, where it is drawn.
        """
        ...


@dataclass(frozen=True)
class Question:
    """What a prompt asks, for describers that cannot read English.

    Attributes:
        task: ``"describe"`` (what changes along each film: ``{"changes", "attribute",
            "direction", "sentence", "confidence"}``), ``"groups"`` (what tells the frames of the
            second film from those of the first: the same form), ``"match"`` (which film fits the
            sentence: ``{"choice": "A"}``, films in alphabetical order), ``"repair"`` (write the
            answer in the prompt as JSON; no pictures), or "" for another prompt.
        n_frames: Frames of every film; see :func:`~pxgen_plugins.describers.frames.frames_of`.
        sentence: The sentence to match; "" in other tasks.
    """

    task: str
    n_frames: int
    sentence: str = ""


def heading(question: Question) -> str:
    """Return the lines with which the prompt of a question begins.

    Example:
        >>> print(heading(Question("match", 5, "It grows.")))
        Task: match, 5 frames.
        Sentence: "It grows."
    """
    lines = [f"Task: {question.task}, {question.n_frames} frames."]
    if question.sentence:
        lines.append(f"Sentence: {json.dumps(question.sentence, ensure_ascii=False)}")
    return "\n".join(lines)


def read_question(prompt: str) -> Question:
    """Return what a prompt asks, from its heading.

    Example:
        >>> read_question(heading(Question("match", 5, 'It "grows".'))).sentence
        'It "grows".'
        >>> read_question("What is this?")
        Question(task='', n_frames=0, sentence='')
    """
    lines: Sequence[str] = prompt.split("\n", 2)
    found = _HEADING.fullmatch(lines[0])
    if found is None or found[1] not in TASKS:
        return Question("", 0)
    sentence = _SENTENCE.match(lines[1]) if len(lines) > 1 else None
    return Question(found[1], int(found[2]), json.loads(sentence[1]) if sentence else "")
