"""The course of questions: descriptions, the same of null films, and the match test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pxgen_plugins.adapters.language.agreement import (
    Agreement,
    agreement_table,
    certainty_of,
    conformal_p,
)
from pxgen_plugins.adapters.language.answers import (
    Answer,
    Vocabulary,
    opposite,
    read_answer,
    read_choice,
)
from pxgen_plugins.adapters.language.matching import (
    LETTERS,
    NOBODY,
    Choices,
    MatchRate,
    match_rate,
    places,
)
from pxgen_plugins.adapters.language.prompts import FOIL, match_prompt
from pxgen_plugins.adapters.language.questions import Questions, Reply
from pxgen_plugins.describers.base import Picture
from pxgen_plugins.utils.seeds import derive

__all__ = [
    "NOT_VISIBLE",
    "NO_ANSWER",
    "UNCLEAR",
    "Findings",
    "Rules",
    "Subject",
    "interview",
]

NOT_VISIBLE, UNCLEAR, NO_ANSWER = "no visible change", "no clear explanation", "no answer"

Films = Callable[[int, bool], list[Picture]]


@dataclass(frozen=True)
class Subject:
    """What is described: an axis, or a pair of groups.

    Attributes:
        label: Its name.
        prompt: The question what changes.
        films: From the number of a question, and whether the order of frames is reversed, to the
            pictures of that question.
        choices: From the number of a match question and the place of the right film to the films.
    """

    label: str
    prompt: str
    films: Films
    choices: Callable[[int, int], Choices]


@dataclass(frozen=True)
class Rules:
    """How often is asked, and what counts.

    Attributes:
        n_answers: Answers for every subject, and for every null film.
        n_null: Null films.
        alpha: Largest p-value of a clear description.
        n_match: Questions of the match test for every subject.
        n_choices: Films in each of these.
        n_right: How many of them are right.
        n_frames: Frames of every film.
        agreement: How answers are compared.
        vocabulary: Brings answers to common words.
        context: What the pictures show.
        groups: Whether groups are described.
        seed: Seed of everything.
    """

    n_answers: int
    n_null: int
    alpha: float
    n_match: int
    n_choices: int
    n_right: int
    n_frames: int
    agreement: Agreement
    vocabulary: Vocabulary
    context: str
    groups: bool
    seed: int

    def n_calls(self, subjects: int) -> int:
        """Return the questions about so many subjects, repairs left out."""
        if not subjects:
            return 0
        descriptions = (subjects + self.n_null) * self.n_answers
        return descriptions + self._matches(subjects) * self.n_match

    def n_images(self, subjects: int, films: int) -> int:
        """Return the pictures of these questions; ``films`` of every description."""
        if not subjects:
            return 0
        descriptions = (subjects + self.n_null) * self.n_answers * films
        return descriptions + self._matches(subjects) * self.n_match * self.n_choices

    def _matches(self, subjects: int) -> int:
        # one alone has no sentences of others, and is asked about a foil
        return 2 if subjects == 1 else subjects


@dataclass(frozen=True)
class Description:
    """The answers about one subject.

    Attributes:
        answers: In common words and the forward order; None for one that could not be read.
        best: The forward answer that the others agree with most; None without any.
        certainty: Mean agreement; NaN for fewer than two answers.
        missing: Why answers are missing; "" where none is.
    """

    answers: list[Answer | None]
    best: Answer | None
    certainty: float
    missing: str


@dataclass(frozen=True)
class Match:
    """What the match test found about one subject.

    Attributes:
        own: How often its film was chosen for its sentence.
        control: How often its film was chosen for other sentences.
        missing: Why answers are missing; "" where none is.
    """

    own: MatchRate
    control: MatchRate
    missing: str


Findings = dict[str, Any]


def interview(
    questions: Questions,
    subjects: Sequence[Subject],
    null: Callable[[int, int, bool], list[Picture]],
    rules: Rules,
) -> Findings:
    """Ask about every subject, about null films, and let every sentence find its film.

    Args:
        questions: Asks the describer.
        subjects: u subjects.
        null: From the number of a null film, of the question and whether it is reversed to
            pictures in which nothing can be found.
        rules: How often, and what counts.

    Returns:
        Entries of the data of an explanation, by name, each for u subjects.
    """
    found = [_describe(questions, one.label, one.prompt, one.films, rules) for one in subjects]
    nulls = []
    for i in range(rules.n_null if subjects else 0):

        def films(q: int, turned: bool, i: int = i) -> list[Picture]:
            return null(i, q, turned)

        # the question of a subject, about nothing: of each in turn
        prompt = subjects[i % len(subjects)].prompt
        nulls.append(_describe(questions, f"null {i}", prompt, films, rules))
    known = [one.certainty for one in nulls if np.isfinite(one.certainty)]
    enough = (1 + len(known)) * rules.alpha >= 1.0 - 1e-9
    values = [conformal_p(one.certainty, known) if enough else np.nan for one in found]
    p_values = [
        np.nan if np.isnan(one.certainty) else p for one, p in zip(found, values, strict=True)
    ]
    matches = _match_all(questions, subjects, found, rules)
    of_null = "" if enough else next((one.missing for one in nulls if one.missing), "")
    return {
        "answers": [[None if a is None else a.to_data() for a in one.answers] for one in found],
        "certainty": np.array([one.certainty for one in found]),
        "null_certainty": np.array([one.certainty for one in nulls]),
        "threshold": _threshold(known, rules.alpha),
        "p_value": np.array(p_values),
        "best": [one.best for one in found],
        "missing": [
            one.missing or of_null or match.missing
            for one, match in zip(found, matches, strict=True)
        ],
        "hit_rate": np.array([match.own.rate for match in matches]),
        "hit_interval": np.array([[m.own.low, m.own.high] for m in matches]).reshape(-1, 2),
        "n_match": np.array([match.own.n for match in matches], dtype=np.int64),
        "control_rate": np.array([match.control.rate for match in matches]),
        "chance": rules.n_right / rules.n_choices,
    }


def _describe(
    questions: Questions, label: str, prompt: str, films: Films, rules: Rules
) -> Description:
    """Ask ``n_answers`` times, every second time with the order reversed."""
    replies: list[Reply[Answer]] = []
    for q in range(rules.n_answers):
        turned = q % 2 == 1
        seed = derive(rules.seed, "answer", label, q)
        reply = questions.ask(label, prompt, films(q, turned), seed, read_answer)
        if reply.content is not None:
            answer = rules.vocabulary.common(reply.content)
            if turned:
                answer = replace(answer, direction=opposite(answer.direction) or "")
            reply = Reply(answer)
        replies.append(reply)
    given = [i for i, reply in enumerate(replies) if not reply.missing]
    answers = [replies[i].content for i in given]
    table = agreement_table(answers, rules.agreement)
    missing = next((reply.missing for reply in replies if reply.missing), "")
    best = _best([(answers[i], given[i]) for i in range(len(given))], table)
    return Description(answers, best, certainty_of(table), missing)


def _best(answers: Sequence[tuple[Answer | None, int]], table: Any) -> Answer | None:
    """Return the answer that the others agree with most, of those to films in forward order.

    A sentence cannot be turned round as a direction can. Where only reversed films were answered
    with a change, the sentence is made of attribute and direction.
    """
    rows = [i for i, (answer, _) in enumerate(answers) if answer is not None and answer.changes]
    forward = [i for i in rows if answers[i][1] % 2 == 0]
    if not rows:
        return None
    best = max(forward or rows, key=lambda i: (table[i].sum(), -i))
    answer = answers[best][0]
    assert answer is not None
    if forward:
        return answer
    way = f": {answer.direction}" if answer.direction else ""
    return replace(answer, sentence=f"{answer.attribute}{way}")


def _threshold(null: Sequence[float], alpha: float) -> float | None:
    """Return the certainty that a clear description has to exceed; None where none would do.

    The p-value is at most alpha when fewer than ``alpha (m + 1)`` null values reach the certainty.
    """
    allowed = int(np.floor(alpha * (len(null) + 1) + 1e-9)) - 1
    return sorted(null, reverse=True)[allowed] if 0 <= allowed < len(null) else None


def _match_all(
    questions: Questions, subjects: Sequence[Subject], found: Sequence[Description], rules: Rules
) -> list[Match]:
    """Let every sentence find its film, and see how often films are chosen for other sentences.

    A film may be chosen because it is the one that changes most, whatever the sentence says. So
    each question is a control, too, of the subjects whose films stand beside the right one. A
    subject without any is asked about once more, with a sentence that fits no film.
    """
    own: list[list[bool]] = [[] for _ in subjects]
    control: list[list[bool]] = [[] for _ in subjects]
    missing = ["" for _ in subjects]
    said = [u for u, one in enumerate(found) if one.best is not None]

    def ask(u: int, sentence: str, what: str, numbers: range) -> None:
        for of, chosen in _choose(questions, subjects[u], sentence, what, numbers, rules):
            if chosen.missing:
                missing[u] = chosen.missing
                continue
            picked = None if chosen.content is None else of[LETTERS.index(chosen.content)]
            for v in set(of) - {NOBODY}:
                is_own = v == u and what == "match"
                (own if is_own else control)[v].append(picked == v)

    for u in said:
        best = found[u].best
        assert best is not None
        ask(u, best.sentence, "match", range(rules.n_match))
    for u in said:
        if not control[u]:
            ask(u, FOIL, "control", range(rules.n_match, 2 * rules.n_match))
    return [
        Match(match_rate(hits), match_rate(others), why)
        for hits, others, why in zip(own, control, missing, strict=True)
    ]


def _choose(
    questions: Questions, subject: Subject, sentence: str, what: str, numbers: range, rules: Rules
) -> Iterator[tuple[list[int], Reply[str]]]:
    """Yield, for each match question, whose films it showed and which was chosen."""
    letters = LETTERS[: rules.n_choices]
    prompt = match_prompt(rules.n_frames, letters, sentence, rules.context, rules.groups)
    where = places(len(numbers), rules.n_choices, derive(rules.seed, "places", what, subject.label))
    for i, place in zip(numbers, where, strict=True):
        choices = subject.choices(i, place)
        reply = questions.ask(
            f"{subject.label}: {what}",
            prompt,
            choices.pictures,
            derive(rules.seed, what, subject.label, i),
            lambda text: read_choice(text, letters),
            choice=True,
        )
        yield choices.of, reply
