"""Questions to a describer: every one and its answer is kept, and none is asked twice."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pxgen_plugins.adapters.language.prompts import repair_prompt
from pxgen_plugins.describers import Describer
from pxgen_plugins.describers.base import Picture
from pxgen_plugins.utils.errors import (
    MissingDependencyError,
    ModelError,
    ParameterError,
    short_repr,
)
from pxgen_plugins.utils.files import read_regular
from pxgen_plugins.utils.json_files import parse_json
from pxgen_plugins.utils.limits import JSON_FILE
from pxgen_plugins.utils.redaction import redact, without_addresses

__all__ = ["LOG", "Log", "Questions", "Reply"]

LOG = "questions.jsonl"
_PATIENCE = 3  # failures in a row after which nothing more is asked
_LONGEST = 20_000  # characters of an answer that are kept
_USER_FAULTS = (ParameterError, MissingDependencyError)  # another question would fail alike

T = TypeVar("T")


@dataclass(frozen=True)
class Reply(Generic[T]):
    """What became of a question.

    Attributes:
        content: What was read from the answer; None where it could not be read, or is missing.
        missing: Why there is no answer; "" where there is one.
    """

    content: T | None
    missing: str = ""


class Log:
    """Answers in a folder, one line of JSON each, by what was asked.

    A line counts once it is whole: one that was cut off when a run was killed is asked again. What
    was asked is known by a digest of prompt, pictures, seed and describer, so another question
    never gets an old answer.

    Args:
        folder: The folder; it is made. None keeps nothing.

    Raises:
        ParameterError: When the file in it is no log, or cannot be read.
    """

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self._path = None if folder is None else Path(folder) / LOG
        self.answers: dict[str, str] = {}
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            content = read_regular(self._path, JSON_FILE) if self._path.exists() else b""
        except (OSError, ValueError) as error:
            raise _bad_folder(error) from None
        whole, _, rest = content.rpartition(b"\n")
        for line in whole.split(b"\n"):
            if line:
                self._take(line)
        if rest:  # a line that a killed run did not finish: the next one begins on its own
            self._write(b"\n")

    def add(self, record: dict[str, Any]) -> None:
        """Append a record; it is on the disk when this returns."""
        if self._path is not None:
            self._write(json.dumps(record, ensure_ascii=True, allow_nan=False).encode() + b"\n")

    def _take(self, line: bytes) -> None:
        try:
            record = parse_json(line)
            key, answer = record["key"], record["answer"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return  # a torn line, or one of somebody else
        if isinstance(key, str) and isinstance(answer, str):
            self.answers[key] = answer

    def _write(self, content: bytes) -> None:
        assert self._path is not None
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        try:
            handle = os.open(self._path, flags, 0o666)
            with os.fdopen(handle, "ab") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _bad_folder(error) from None


@dataclass
class Questions:
    """Asks a describer, repairs answers once, and counts what that costs.

    Args:
        describe: The describer.
        log: Where answers are kept.
        update: Called after every question.

    Attributes:
        n_calls: Calls of the describer behind the answers, those in the log included.
        n_images: Pictures that went with them.
        records: Every question with its answer.
        prompts: The distinct prompts, in the order in which they were first asked.
    """

    describe: Describer
    log: Log
    update: Callable[[], Any] = lambda: None
    n_calls: int = 0
    n_images: int = 0
    records: list[dict[str, Any]] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    _failures: int = 0
    _last: str = ""

    def ask(
        self,
        about: str,
        prompt: str,
        images: list[Picture],
        seed: int,
        read: Callable[[str], T | None],
        *,
        choice: bool = False,
    ) -> Reply[T]:
        """Ask a question, and once more for an answer in the form that was asked for.

        Args:
            about: What it is about, for the record.
            prompt: The question.
            images: Its pictures.
            seed: Seed of the answer.
            read: Reads an answer; None means that it cannot be read.
            choice: Whether the answer is a choice of films.
        """
        try:
            text = self._answer(about, prompt, images, seed)
            content = None if text is None else read(text)
            if text is not None and content is None:
                text = self._answer(about, repair_prompt(text, choice=choice), [], seed)
                content = None if text is None else read(text)
        finally:
            self.update()
        return Reply(content, self._last if text is None else "")

    def _answer(self, about: str, prompt: str, images: list[Picture], seed: int) -> str | None:
        """Return an answer from the log or the describer; None for a failure."""
        key = _key(self.describe, prompt, images, seed)
        known = self.log.answers.get(key)
        if known is None and self._failures >= _PATIENCE:
            return None
        if prompt not in self.prompts:
            self.prompts.append(prompt)
        record: dict[str, Any] = {
            "about": about,
            "prompt": self.prompts.index(prompt),
            "n_images": len(images),
            "seed": seed,
        }
        self.n_calls += 1
        self.n_images += len(images)
        try:
            answer = self._call(prompt, images, seed) if known is None else known
        except _USER_FAULTS:
            raise
        except Exception as error:  # of the user's callable: the other axes go on
            self._failures += 1
            self._last = without_addresses(redact(f"{type(error).__name__}: {error}"))[:300]
            self.records.append({**record, "answer": None, "error": self._last})
            self.log.add({"key": key, **record, "prompt": prompt, "error": self._last})
            return None
        self._failures = 0
        self.records.append({**record, "answer": answer, "error": ""})
        if known is None:
            self.log.add({"key": key, **record, "prompt": prompt, "answer": answer})
        return answer

    def _call(self, prompt: str, images: list[Picture], seed: int) -> str:
        answer = self.describe([image.copy() for image in images], prompt, seed=seed)
        if not isinstance(answer, str):
            hint = "A describer takes images and a prompt, and returns a text."
            raise ModelError("describe's result", "a text", short_repr(answer), hint)
        return answer[:_LONGEST]


def _key(describe: Any, prompt: str, images: list[Picture], seed: int) -> str:
    """Return a digest of what is asked, and of whom."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(repr(image.shape).encode())
        digest.update(image.tobytes())
    parts = [_whom(describe), prompt, seed, digest.hexdigest()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _whom(describe: Any) -> str:
    """Return what tells a describer from others in any process: its whole ``repr``, or a name."""
    if hasattr(describe, "__qualname__"):
        return f"{getattr(describe, '__module__', '')}.{describe.__qualname__}"
    try:
        return without_addresses(redact(repr(describe)))
    except Exception:  # of the user's class
        return type(describe).__qualname__


def _bad_folder(error: Exception) -> ParameterError:
    hint = "Name a folder that can be written, or leave folder out."
    allowed = f"a folder for {LOG}"
    return ParameterError("folder", allowed, f"{type(error).__name__}: {error}"[:200], hint)
