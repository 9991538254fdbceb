"""A describer that gives answers which somebody wrote, for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pxgen_plugins.describers.base import TASKS, Picture, Question, read_question
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, caller

__all__ = ["Scripted"]


class Scripted:
    """Gives scripted answers by the task of a question.

    Args:
        answers: For each task (``"describe"``, ``"groups"``, ``"match"``, ``"repair"``) a text, a
            mapping that is written as JSON, a list of these from which the seed chooses, or a
            function ``(images, question, seed)`` that returns a text or a mapping.

    Attributes:
        tasks: The tasks of all questions so far, in order.

    Raises:
        ParameterError: For an unknown task.

    Example:
        >>> describe = Scripted({"match": [{"choice": "A"}, {"choice": "B"}]})
        >>> describe([], "Task: match, 5 frames.", seed=3)
        '{"choice": "B"}'
    """

    def __init__(self, answers: Mapping[str, Any]) -> None:
        with caller("Scripted"):
            for task in answers:
                validation.choice(task, "answers", TASKS)
        self.answers = dict(answers)
        self.tasks: list[str] = []

    def __call__(self, images: list[Picture], prompt: str, *, seed: int) -> str:
        """Return the answer of the script.

        Raises:
            ModelError: When the script has no answer to such a question.
        """
        question: Question = read_question(prompt)
        self.tasks.append(question.task)
        if question.task not in self.answers:
            hint = f"The script has answers to: {', '.join(self.answers) or 'nothing'}."
            raise ModelError("prompt", "a task of the script", repr(question.task), hint)
        answer = self.answers[question.task]
        if isinstance(answer, list):
            answer = answer[seed % len(answer)]
        if callable(answer):
            answer = answer(images, question, seed)
        return answer if isinstance(answer, str) else json.dumps(answer)
