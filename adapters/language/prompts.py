"""The texts of all questions; another text has another version, which metadata hold."""

from __future__ import annotations

import json

from pxgen_plugins.describers import Question, heading

__all__ = [
    "ATTRIBUTES",
    "BIASES",
    "FOIL",
    "VERSION",
    "describe_prompt",
    "groups_prompt",
    "match_prompt",
    "repair_prompt",
]

VERSION = 2

ATTRIBUTES = (
    "horizontal position",
    "vertical position",
    "size",
    "rotation",
    "shape",
    "thickness",
    "slant",
    "brightness",
    "colour",
)
_FILM = (
    "You look at pictures that a generative model made. A film is one picture: {n} frames side by "
    "side, numbered from 1 to {n} above them. Read the frames in the order of their numbers."
)
BIASES = {
    "disentanglement": (
        "Along this film one hidden control of the model was moved, and all others were fixed. "
        "Name the one thing that changes from the first frame to the last."
    ),
    "combination": (
        "Along both films, A and B, the same hidden control of the model was moved. A second "
        "control of the same group differs between the films and is fixed in each. Name the one "
        "thing that changes in both films from the first frame to the last."
    ),
    "conditional": (
        "Along this film a hidden control of the model was moved that is meant to stand for "
        "{label}. Say what changes from the first frame to the last, and whether it is that."
    ),
}
_GROUPS = (
    "Film A shows instances of one group, film B instances of another, in no order. Name the one "
    "thing that tells the frames of B from those of A. The direction is the way from A to B."
)
_NO_CHANGE = (
    'If nothing changes steadily, {{"changes": false}} is a good answer. Do not guess; do not '
    "describe what stays the same."
)
_NO_DIFFERENCE = (
    'If nothing tells them apart, {{"changes": false}} is a good answer. Do not guess; do not '
    "describe what they have in common."
)
_FORM = (
    'Answer with one JSON object and nothing else: {{"changes": true or false, "attribute": what '
    'changes, "direction": which way, "sentence": one short sentence, "confidence": 0 to 1}}. As '
    "attribute take one of these where one fits: {attributes}; else a word or two of your own. As "
    "direction take right, left, up, down, larger, smaller, clockwise, counterclockwise, thicker, "
    'thinner, brighter, darker, more, less, or "X to Y".'
)
# of another domain than most models' pictures, so that it is not copied
FOIL = "The house gets more windows."  # also the sentence of the match test that fits no film
_EXAMPLE = (
    "Example, of films of houses: "
    '{"changes": true, "attribute": "number of windows", "direction": "more", '
    f'"sentence": "{FOIL}", "confidence": 0.8}}'
)
_MATCH = (
    "Above is a sentence about the way from the first frame of one film to its last. Below are "
    "{k} films, {letters}. Which film fits the sentence best? "
)
_MATCH_GROUP = (
    "Above is a sentence that tells one group of instances from another. Below are {k} films, "
    "{letters}; each shows instances of one of the groups. Which film fits the sentence best? "
)
_CHOICE = 'Answer with one JSON object and nothing else: {"choice": the letter of the film}.'
_REPAIR = (
    "Below is an answer to a question. Write what it says in this form, add nothing, and write "
    "nothing else.\n{form}\nThe answer: {answer}"
)
_LONGEST_REPAIR = 2_000  # characters of the answer that is to be repaired


def describe_prompt(n_frames: int, bias: str, label: str, context: str) -> str:
    """Return the question what changes along a film.

    Args:
        n_frames: Frames of every film.
        bias: A key of :data:`BIASES`.
        label: What the control is meant to stand for, in ``"conditional"``.
        context: What the pictures show, in a few words; "" says nothing.
    """
    task_text = BIASES[bias].replace("{label}", json.dumps(label, ensure_ascii=False))
    return _question("describe", n_frames, task_text, context, _NO_CHANGE)


def groups_prompt(n_frames: int, context: str) -> str:
    """Return the question what tells the instances of two films apart."""
    return _question("groups", n_frames, _GROUPS, context, _NO_DIFFERENCE)


def match_prompt(n_frames: int, letters: str, sentence: str, context: str, groups: bool) -> str:
    """Return the question which film fits a sentence.

    Args:
        n_frames: Frames of every film.
        letters: Letters of the films.
        sentence: The sentence.
        context: What the pictures show; "" says nothing.
        groups: Whether the sentence tells groups apart.
    """
    task = (_MATCH_GROUP if groups else _MATCH).format(k=len(letters), letters=", ".join(letters))
    head = heading(Question("match", n_frames, sentence))
    return "\n".join([head, _FILM.format(n=n_frames), *_about(context), task + _CHOICE])


def repair_prompt(answer: str, *, choice: bool) -> str:
    """Return the one question after an answer that cannot be read.

    Args:
        answer: The answer.
        choice: Whether it chose a film; else it described one.
    """
    text = json.dumps(answer[:_LONGEST_REPAIR], ensure_ascii=False)
    task_text = _REPAIR.format(form=_CHOICE if choice else _form(), answer=text)
    return f"{heading(Question('repair', 0))}\n{task_text}"


def _question(task: str, n_frames: int, task_text: str, context: str, nothing: str) -> str:
    head = heading(Question(task, n_frames))
    film, none = _FILM.format(n=n_frames), nothing.format()
    return "\n".join([head, film, task_text, *_about(context), none, _form(), _EXAMPLE])


def _form() -> str:
    return _FORM.format(attributes=", ".join(ATTRIBUTES))


def _about(context: str) -> list[str]:
    return [f"The pictures show {context}."] if context else []
