"""What adapters share that describe in words: their arguments, their data, and its conclusions."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np

from pxgen_plugins.adapters.base import Adapter
from pxgen_plugins.adapters.language.agreement import check_agreement
from pxgen_plugins.adapters.language.answers import Vocabulary
from pxgen_plugins.adapters.language.interview import (
    NO_ANSWER,
    NOT_VISIBLE,
    UNCLEAR,
    Findings,
    Rules,
)
from pxgen_plugins.adapters.language.matching import LETTERS
from pxgen_plugins.adapters.language.prompts import VERSION
from pxgen_plugins.adapters.language.questions import Log, Questions
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, short_repr, warn
from pxgen_plugins.utils.progress import bar

__all__ = ["DEFAULT_DATA_DESCRIPTION", "LanguageAdapter", "conclusions"]

DEFAULT_DATA_DESCRIPTION: dict[str, Any] = {
    "axes": [],
    "sentence": [],
    "attribute": [],
    "direction": [],
    "status": [],
    "confirmed": None,
    "certainty": None,
    "p_value": None,
    "threshold": None,
    "least": None,
    "null_certainty": None,
    "hit_rate": None,
    "hit_interval": None,
    "n_match": None,
    "control_rate": None,
    "chance": None,
    "visible_change": None,
    "answers": [],
    "missing": [],
    "strips": None,
    "directions": None,
    "strength": None,
    "keep": None,
    "span": None,
    "questions": [],
    "prompts": [],
    "n_calls": None,
    "n_images": None,
    "invalid": None,
    "reasons": [],
}
"""Data of a description, to be deep-copied; the docstrings of the adapters have the keys."""


@dataclass(repr=False, eq=False)
class LanguageAdapter(Adapter):
    """Base of the adapters that describe in words.

    Args:
        predictor: The model.
        describe: A describer, ``describe(images, prompt, *, seed) -> str``.
        n_answers: Answers about every subject and every null film, >= 2.
        agreement: How answers are compared: ``"slots"``, ``"words"``, or a callable of two answers
            to a number in [0, 1] (see
            :func:`~pxgen_plugins.adapters.language.agreement.agreement_table`).
        alpha: Largest p-value of a clear description, in (0, 1).
        least: Smallest certainty of a clear description, in [0, 1]; 0.6 is that of four equal
            answers and one other.
        n_null: Null films, >= 1/alpha - 1, below which no description can be clear; None takes as
            many.
        n_choices: Films in a match question, 2 to 8.
        context: What the pictures show, in a few words; part of every question.
        synonyms: From words of answers to the attributes that they stand for.
        folder: Folder in which every answer is kept as it comes; a run that was killed goes on
            there. One folder for one describer. None keeps nothing.
        seed: Seed of everything drawn, >= 0.
        batch_size: Instances per model call, >= 1.
        verbose: Show progress bars on stderr.
    """

    evidence = "description"
    scope: ClassVar[list[str]] = ["global"]
    learns_from: ClassVar[str] = ""
    defaults: ClassVar[Mapping[str, Any]] = DEFAULT_DATA_DESCRIPTION

    describe: Any
    _: KW_ONLY
    n_answers: int = 5
    agreement: Any = "slots"
    alpha: float = 0.1
    least: float = 0.6
    n_null: int | None = None
    n_choices: int = 4
    context: str = ""
    synonyms: Mapping[str, str] | None = None
    folder: str | os.PathLike[str] | None = None

    def _check(self) -> None:
        super()._check()
        validation.function(self.describe, "describe", "(images, prompt, *, seed) -> str")
        self.n_answers = validation.integer(self.n_answers, "n_answers", minimum=2)
        self.agreement = check_agreement(self.agreement)
        self.alpha = validation.real(self.alpha, "alpha", above=0.0)
        if self.alpha >= 1.0:
            hint = "0.1 is usual."
            raise ParameterError("alpha", "below 1", str(self.alpha), hint)
        self.least = validation.real(self.least, "least", minimum=0.0)
        fewest = max(1, math.ceil(1.0 / self.alpha - 1.0 - 1e-9))
        if self.n_null is not None:
            self.n_null = validation.integer(self.n_null, "n_null", minimum=fewest)
        self._n_null = fewest if self.n_null is None else self.n_null
        self.n_choices = validation.integer(self.n_choices, "n_choices", minimum=2)
        if self.n_choices > len(LETTERS):
            hint = "Describers lose track of more."
            raise ParameterError("n_choices", f"<= {len(LETTERS)}", str(self.n_choices), hint)
        if not isinstance(self.context, str):
            hint = "Say what the pictures show, as in 'handwritten digits'."
            raise ParameterError("context", "a text", short_repr(self.context), hint)
        words = self.synonyms or {}
        if not isinstance(words, Mapping) or not all(
            isinstance(text, str) for pair in words.items() for text in pair
        ):
            hint = "Give a mapping, as in {'chubbiness': 'size'}."
            raise ParameterError("synonyms", "from words to words", short_repr(words), hint)
        self._vocabulary = Vocabulary(words)

    def _params(self) -> dict[str, Any]:
        folder = None if self.folder is None else os.fspath(self.folder)
        params = {**super()._params(), "folder": folder, "prompt_version": VERSION}
        return {**params, "describe": short_repr(self.describe)}

    def rules(
        self, n_frames: int, n_match: int, *, n_right: int = 1, groups: bool = False
    ) -> Rules:
        """Return how often is asked, and what counts."""
        return Rules(
            self.n_answers,
            self._n_null,
            self.alpha,
            n_match,
            self.n_choices,
            n_right,
            n_frames,
            self.agreement,
            self._vocabulary,
            self.context,
            groups,
            self.seed,
        )

    def bound(self) -> dict[str, int]:
        """Return the most calls and images of ``explain``, without a pass of the model.

        Answers that have to be repaired come on top: at worst as many calls again.
        """
        raise NotImplementedError

    @contextmanager
    def questions(self, total: int) -> Iterator[Questions]:
        """Yield what asks the describer, with a progress bar of ``total`` questions."""
        with bar(total, "questions", "question", self.verbose) as progress:
            yield Questions(self.describe, Log(self.folder), lambda: progress.update(1))

    def costs(self, questions: Questions) -> dict[str, Any]:
        """Return every question, and what they cost; warn of answers that are missing."""
        failed = sum(record["answer"] is None for record in questions.records)
        if failed:
            why = next(r["error"] for r in questions.records if r["answer"] is None)
            warn(
                f"{type(self).__name__}: {failed} questions have no answer ({why}); "
                "data['missing'] says about what. With folder=, another run asks only these."
            )
        return {
            "questions": questions.records,
            "prompts": questions.prompts,
            "n_calls": questions.n_calls,
            "n_images": questions.n_images,
        }


def conclusions(
    found: Findings, asked: Sequence[int], u: int, alpha: float, least: float
) -> dict[str, Any]:
    """Return what follows from an interview, for all u axes.

    Args:
        found: What :func:`~pxgen_plugins.adapters.language.interview.interview` returned.
        asked: Positions of the axes that were asked about.
        u: Number of axes.
        alpha: Largest p-value of a clear description.
        least: Smallest certainty of one.
    """
    place = {axis: row for row, axis in enumerate(asked)}
    unsaid = {"not visible": NOT_VISIBLE, "unclear": UNCLEAR, "missing": NO_ANSWER}
    status, sentence, best = [], [], []
    for axis in range(u):
        row = place.get(axis)
        answer = None if row is None else found["best"][row]
        if row is None:
            status.append("not visible")
        elif np.isnan(found["certainty"][row]) or np.isnan(found["p_value"][row]):
            status.append("missing")
        else:
            sure = found["p_value"][row] <= alpha + 1e-12 and found["certainty"][row] >= least
            clear = answer is not None and sure
            status.append("clear" if clear else "unclear")
        clear = status[-1] == "clear"
        sentence.append(answer.sentence if clear and answer else unsaid[status[-1]])
        best.append(answer if clear else None)
    full: dict[str, Any] = {}
    for name in ("certainty", "p_value", "hit_rate", "control_rate"):
        full[name] = np.full(u, np.nan)
        full[name][list(asked)] = found[name]
    full["hit_interval"] = np.full((u, 2), np.nan)
    full["hit_interval"][list(asked)] = found["hit_interval"]
    full["n_match"] = np.zeros(u, dtype=np.int64)
    full["n_match"][list(asked)] = found["n_match"]
    low = full["hit_interval"][:, 0]
    above = (low > found["chance"]) & (low > full["control_rate"])  # NaN is above nothing
    return {
        "sentence": sentence,
        "attribute": ["" if one is None else one.attribute for one in best],
        "direction": ["" if one is None else one.direction for one in best],
        "status": status,
        "confirmed": above & np.array([one == "clear" for one in status]),
        **full,
        "threshold": found["threshold"],
        "least": least,
        "null_certainty": found["null_certainty"],
        "chance": found["chance"],
        "answers": [found["answers"][place[axis]] if axis in place else [] for axis in range(u)],
        "missing": [found["missing"][place[axis]] if axis in place else "" for axis in range(u)],
    }
