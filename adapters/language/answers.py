"""Answers of describers: read strictly, and brought to common words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pxgen_plugins.utils.invisible import escape_invisible

__all__ = ["Answer", "Vocabulary", "contradict", "opposite", "read_answer", "read_choice"]

_LONGEST = 20_000  # characters of an answer that are looked at
_MOST_STARTS = 50  # braces at which an object may begin
_WORDS, _SENTENCE = 80, 300  # characters of an attribute or direction, of a sentence

# Words for one thing. A phrase is looked up as a whole, then by its head: the word before "of", or
# the last one.
_ATTRIBUTES = {
    "horizontal position": (
        "x|x position|x coordinate|x axis|horizontal location|horizontal placement|"
        "horizontal coordinate|horizontal shift|horizontal movement|lateral position"
    ),
    "vertical position": (
        "y|y position|y coordinate|y axis|vertical location|vertical placement|"
        "vertical coordinate|vertical shift|vertical movement"
    ),
    "position": "location|place|placement|movement|translation|shift|displacement",
    "size": "scale|area|radius|diameter|magnitude|zoom",
    "rotation": "orientation|angle|turn|tilt|rotational angle",
    "shape": "form|figure|type|kind|category",
    "thickness": "stroke width|line width|stroke weight|boldness|weight|stroke",
    "slant": "skew|shear|lean|inclination",
    "brightness": "intensity|luminance|lightness|luminosity|illumination|lighting",
    "colour": "color|hue|tint",
    "contrast": "",
}
# Each pair of lists is a way and its opposite.
_WAYS = (
    ("right|rightward|rightwards|to the right", "left|leftward|leftwards|to the left"),
    ("up|upward|upwards|higher|rising|rise", "down|downward|downwards|lower|falling|fall"),
    (
        "larger|bigger|large|grow|growing|increase|increasing|more|enlarge|wider|longer|greater",
        "smaller|small|shrink|shrinking|decrease|decreasing|less|fewer|reduce|narrower|shorter",
    ),
    (
        "clockwise|cw",
        "counterclockwise|counter clockwise|anticlockwise|anti clockwise|ccw",
    ),
    ("thicker|bolder|heavier", "thinner|lighter strokes|finer|slimmer"),
    ("brighter|lighter|whiter", "darker|dimmer|blacker"),
)
_UP, _SIDE = {"up", "down"}, {"right", "left"}
# The same way in words of another scale: brightness goes "up" or "brighter". At least one of two
# has to be of all scales, because "lighter" may be brighter or thinner.
_MORE = {"larger", "up", "thicker", "brighter"}
_LESS = {"smaller", "down", "thinner", "darker"}
_OF_ALL_SCALES = {"larger", "smaller", "up", "down"}
_FILLERS = frozenset({"the", "a", "an", "its", "their", "in", "object", "image", "overall"})
_FROM_TO = re.compile(r"(?:from )?(.+?) (?:in)?to (.+)")


@dataclass(frozen=True)
class Answer:
    """What a describer said of a film.

    Attributes:
        changes: Whether something changes; the texts are empty where nothing does.
        attribute: What changes.
        direction: Which way, from the first frame to the last.
        sentence: The same as a sentence.
        confidence: The describer's own, in [0, 1]; None where it gave none.
    """

    changes: bool
    attribute: str = ""
    direction: str = ""
    sentence: str = ""
    confidence: float | None = None

    def to_data(self) -> dict[str, Any]:
        """Return the answer as JSON holds it."""
        return dict(vars(self))


def read_answer(text: str) -> Answer | None:
    """Return the answer in the first JSON object of a text; None where that is no answer.

    Example:
        >>> read_answer('Sure: {"changes": false}')
        Answer(changes=False, attribute='', direction='', sentence='', confidence=None)
        >>> read_answer('{"changes": "yes"}') is None
        True
    """
    found = next(_objects(text), None)
    if found is None or not isinstance(found.get("changes"), bool):
        return None
    confidence = found.get("confidence")
    if isinstance(confidence, bool) or not isinstance(confidence, (int, float)):
        confidence = None
    elif not 0.0 <= confidence <= 1.0:
        return None
    if not found["changes"]:
        return Answer(False, confidence=confidence)
    names = {"attribute": _WORDS, "direction": _WORDS, "sentence": _SENTENCE}
    texts = {name: _clean(found.get(name, ""), most) for name, most in names.items()}
    if not texts["attribute"] or not texts["sentence"] or None in texts.values():
        return None
    return Answer(True, **{k: v or "" for k, v in texts.items()}, confidence=confidence)


def read_choice(text: str, letters: str) -> str | None:
    """Return the letter that an answer chose; None where it chose none of the letters.

    Example:
        >>> read_choice('{"choice": "film B"}', "ABCD"), read_choice("B", "ABCD")
        ('B', None)
    """
    choice = next(_objects(text), {}).get("choice")
    if not isinstance(choice, str):
        return None
    letter = re.sub(r"^film\s+", "", choice.strip(), flags=re.IGNORECASE).strip(" .").upper()
    return letter if len(letter) == 1 and letter in letters else None


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a text that hold finite numbers; few starts are tried."""
    text = text[:_LONGEST]
    decoder = json.JSONDecoder(parse_constant=_refuse)
    at = -1
    for _ in range(_MOST_STARTS):
        at = text.find("{", at + 1)
        if at < 0:
            return
        try:
            found, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield found
        at = end - 1


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _clean(value: Any, most: int) -> str | None:
    """Return a text on one line without invisible characters; None for one that is too long."""
    if not isinstance(value, str) or len(value) > most:
        return None
    return escape_invisible(" ".join(value.split()))


def _table(groups: Mapping[str, str]) -> dict[str, str]:
    return {w: name for name, words in groups.items() for w in [name, *words.split("|")] if w}


class Vocabulary:
    """Brings attributes and directions of answers to common words.

    Args:
        synonyms: The user's own, from a word to the attribute that it stands for.

    Example:
        >>> words = Vocabulary({"chubbiness": "size"})
        >>> [words.attribute(text) for text in ("Scale of the object", "chubbiness", "hairstyle")]
        ['size', 'size', 'hairstyle']
        >>> words.direction("Growing bigger"), words.direction("square into ellipse")
        ('larger', 'square to ellipse')
    """

    def __init__(self, synonyms: Mapping[str, str] | None = None) -> None:
        self._attributes = _table(_ATTRIBUTES)
        for word, attribute in (synonyms or {}).items():
            self._attributes[_phrase(word)] = self.attribute(attribute)

    def attribute(self, text: str) -> str:
        """Return the common word for an attribute; of several, joined by "and", all sorted."""
        parts = re.split(r"\s+and\s+|\s*[,/&+]\s*", text.lower())
        names = sorted({self._one(part) for part in parts if part.strip()})
        return " and ".join(names)

    def direction(self, text: str) -> str:
        """Return the common word for a direction, or the phrase itself."""
        phrase = _phrase(text)
        ends = _FROM_TO.fullmatch(phrase)
        if (known := _way(phrase)) is not None:
            return known
        if ends is not None:
            return f"{_phrase(ends[1])} to {_phrase(ends[2])}"
        known_words = {way for word in phrase.split() if (way := _way(word)) is not None}
        return known_words.pop() if len(known_words) == 1 else phrase

    def common(self, answer: Answer) -> Answer:
        """Return an answer in common words; a position is horizontal or vertical by its way."""
        attribute, direction = self.attribute(answer.attribute), self.direction(answer.direction)
        if attribute == "position" and direction in _SIDE | _UP:
            attribute = ("horizontal " if direction in _SIDE else "vertical ") + attribute
        return replace(answer, attribute=attribute, direction=direction)

    def _one(self, text: str) -> str:
        phrase = _phrase(text)
        if phrase in self._attributes:
            return self._attributes[phrase]
        head = _phrase(f" {text} ".partition(" of ")[0])
        for candidate in (head, head.split(" ")[-1]):
            for form in (candidate, candidate.removesuffix("s")):
                if form in self._attributes:
                    return self._attributes[form]
        return phrase


def opposite(direction: str) -> str | None:
    """Return the opposite of a direction in common words; None where it has none.

    Example:
        >>> opposite("larger"), opposite("square to ellipse"), opposite("happier")
        ('smaller', 'ellipse to square', None)
    """
    if direction in _OPPOSITES:
        return _OPPOSITES[direction]
    start, to, end = direction.partition(" to ")
    return f"{end} to {start}" if to else None


def contradict(attribute: str, one: str, other: str) -> bool:
    """Return whether two directions of one attribute, in common words, are opposite ways.

    Example:
        >>> contradict("size", "larger", "smaller"), contradict("brightness", "up", "darker")
        (True, True)
        >>> contradict("size", "larger", ""), contradict("vertical position", "up", "smaller")
        (False, False)
    """
    if opposite(one) == other and other:
        return True
    if attribute.endswith("position") or not _OF_ALL_SCALES & {one, other}:
        return False  # where y grows is up or down
    return (one in _MORE and other in _LESS) or (one in _LESS and other in _MORE)


def _phrase(text: str) -> str:
    """Return lower-case words without punctuation and fillers."""
    words = re.sub(r"[^\w\s]", " ", text.lower()).split()
    return " ".join(word for word in words if word not in _FILLERS) or " ".join(words)


def _pairs() -> Iterator[tuple[list[str], list[str]]]:
    for one, other in _WAYS:
        yield one.split("|"), other.split("|")


_COMMON = {word: side[0] for pair in _pairs() for side in pair for word in side}
_OPPOSITES = {side[0]: other[0] for a, b in _pairs() for side, other in ((a, b), (b, a))}


def _way(phrase: str) -> str | None:
    return _COMMON.get(phrase, _COMMON.get(phrase.removesuffix("s")))
