"""Describers: what looks at pictures and answers a question about them in words.

A describer is any callable ``describe(images, prompt, *, seed) -> str``, where ``images`` is a list
of bytes (h, w) or (h, w, 3). :class:`OpenAICompatible` asks an endpoint of yours,
:class:`Scripted` gives answers that you wrote. :class:`ToyCaptioner` is a small network that comes
with the package and knows drawn shapes only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pxgen_plugins.utils.lazy import attach

if TYPE_CHECKING:
    from pxgen_plugins.describers.base import Describer, Question, heading, read_question
    from pxgen_plugins.describers.frames import film, frames_of
    from pxgen_plugins.describers.openai_compatible import OpenAICompatible
    from pxgen_plugins.describers.scripted import Scripted
    from pxgen_plugins.describers.toy_captioner import ToyCaptioner

__all__ = [
    "Describer",
    "OpenAICompatible",
    "Question",
    "Scripted",
    "ToyCaptioner",
    "film",
    "frames_of",
    "heading",
    "read_question",
]
_HOMES = {
    "Describer": "base",
    "OpenAICompatible": "openai_compatible",
    "Question": "base",
    "Scripted": "scripted",
    "ToyCaptioner": "toy_captioner",
    "film": "frames",
    "frames_of": "frames",
    "heading": "base",
    "read_question": "base",
}

__getattr__, __dir__ = attach(__name__, _HOMES)
