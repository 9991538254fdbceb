"""Named checks, suites of them, and how a suite reports: every failure at once, by name."""

from __future__ import annotations

import importlib
import unittest
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar

from pxgen_plugins.testing.guards import kept_random_state

__all__ = ["Check", "Suite", "alibi_module", "expect", "parametrize_with_checks", "skip"]

T = TypeVar("T")


@dataclass(frozen=True)
class Check(Generic[T]):
    """One named requirement on a subject (an explainer case, a criterion, ...).

    Attributes:
        name: Identifier, used in reports, test ids and expected failures.
        points: Points of the Alibi contract that it covers; empty for other subjects.
        function: Raises when the subject fails, and ``unittest.SkipTest`` when the check does not
            apply to it.
    """

    name: str
    points: tuple[int, ...]
    function: Callable[[T], None]

    @property
    def requirement(self) -> str:
        """The requirement in one sentence."""
        return (self.function.__doc__ or self.name).strip().splitlines()[0]

    def __call__(self, subject: T) -> None:
        """Run the check; warnings are silenced and the global random state is put back after it."""
        with kept_random_state(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.function(subject)

    def __repr__(self) -> str:
        return f"Check({self.name})"


class Suite(Generic[T]):
    """An ordered collection of checks for one kind of subject.

    Args:
        kind: What is checked, for reports ("explainer").

    Example:
        >>> suite: Suite[int] = Suite("number")
        >>> @suite.check()
        ... def is_positive(number: int) -> None:
        ...     expect(number > 0, f"{number} is not positive")
        >>> @suite.check()
        ... def is_even(number: int) -> None:
        ...     expect(number % 2 == 0, f"{number} is odd")
        >>> suite.run(2, "two")
        >>> suite.run(-1, "minus one")
        Traceback (most recent call last):
        ...
        AssertionError: number minus one: 2 of 2 checks failed
        - is_positive: -1 is not positive
        - is_even: -1 is odd
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._checks: dict[str, Check[T]] = {}

    def check(self, *points: int) -> Callable[[Callable[[T], None]], Callable[[T], None]]:
        """Return a decorator that adds a function to the suite, under the function's name."""

        def add(function: Callable[[T], None]) -> Callable[[T], None]:
            name = function.__name__
            present = self._checks.get(name)
            if present is not None and present.function.__module__ != function.__module__:
                raise ValueError(f"{self.kind} checks: the name {name!r} is used twice")
            self._checks[name] = Check(name, points, function)
            return function

        return add

    def checks(self) -> list[Check[T]]:
        """Return all checks, in the order they were added."""
        return list(self._checks.values())

    def run(
        self,
        subject: T,
        name: str,
        expected_failures: Mapping[str, str] | None = None,
        not_run: Mapping[str, str] | None = None,
    ) -> None:
        """Run all checks on ``subject``.

        Args:
            subject: What is checked.
            name: Its name, for the report.
            expected_failures: Reasons, by the names of checks that fail today. Strict: one that
                passes is reported, so that the list cannot outlive the fault.
            not_run: Reasons, by the names of checks that are left out.

        Raises:
            AssertionError: Naming every check that failed, with its message.
        """
        expected, absent = dict(expected_failures or {}), dict(not_run or {})
        unknown = sorted({*expected, *absent} - set(self._checks))
        problems = [f"- {one}: named by the case, but there is no such check" for one in unknown]
        for check in self.checks():
            if check.name in absent:
                continue
            try:
                check(subject)
            except unittest.SkipTest:
                continue
            except Exception as error:  # whatever a plugin raises belongs in the report
                if check.name not in expected:
                    problems.append(f"- {check.name}{_points(check)}: {_message(error)}")
                continue
            if check.name in expected:
                reason = expected[check.name]
                problems.append(f"- {check.name}: passes, but was expected to fail ({reason})")
        if problems:
            head = f"{self.kind} {name}: {len(problems)} of {len(self._checks)} checks failed"
            raise AssertionError("\n".join([head, *problems]))


def expect(condition: object, message: str) -> None:
    """Raise AssertionError with ``message`` unless ``condition`` holds, under ``python -O`` too."""
    if not condition:
        raise AssertionError(message)


def skip(reason: str) -> NoReturn:
    """Leave the running check, because it does not apply to its subject."""
    raise unittest.SkipTest(reason)


def alibi_module(part: str) -> Any:
    """Return a module of alibi; without alibi the running check is left out."""
    from pxgen_plugins.host import alibi_version

    if alibi_version() is None:
        skip("needs alibi, which is not used here")
    return importlib.import_module(f"alibi.{part}")


def parametrize_with_checks(
    subjects: Iterable[Any],
    checks: Sequence[Check[Any]],
    expected_failures: Callable[[Any], Mapping[str, str]] | None = None,
) -> Any:
    """Return a pytest decorator that runs every check on every subject as a test of its own.

    The decorated function takes ``subject`` and ``check``. The id of a test is the subject's
    ``name`` (else its ``repr``) and the check's name. pytest is imported here only.

    Args:
        subjects: What is checked: explainer cases, criteria, ...
        checks: As ``explainer_checks()`` and its siblings return them.
        expected_failures: Maps a subject to reasons by check name; the tests are marked
            ``xfail(strict=True)``. By default the subject's own ``expected_failures``, if any.
            The checks that a subject lists in ``not_run`` are marked ``xfail(run=False)``.

    Raises:
        ValueError: When an expected failure or a check not to run names no check.

    Example::

        @parametrize_with_checks([my_case], explainer_checks())
        def test_my_explainer_keeps_the_contract(subject, check):
            check(subject)
    """
    import pytest

    parameters = []
    for subject in subjects:
        name = str(getattr(subject, "name", None) or repr(subject)).replace(" ", "-")
        reasons = (
            expected_failures(subject)
            if expected_failures is not None
            else getattr(subject, "expected_failures", {})
        )
        not_run = getattr(subject, "not_run", {})
        unknown = sorted({*reasons, *not_run} - {check.name for check in checks})
        if unknown:
            raise ValueError(f"{name}: there are no checks {unknown}")
        for check in checks:
            marks: list[Any] = []
            if check.name in not_run:
                marks.append(pytest.mark.xfail(reason=not_run[check.name], run=False))
            elif check.name in reasons:
                marks.append(pytest.mark.xfail(reason=reasons[check.name], strict=True))
            parameters.append(pytest.param(subject, check, marks=marks, id=f"{name}-{check.name}"))
    return pytest.mark.parametrize(("subject", "check"), parameters)


def _points(check: Check[Any]) -> str:
    if not check.points:
        return ""
    word = "point" if len(check.points) == 1 else "points"
    return f" ({word} {', '.join(map(str, check.points))})"


def _message(error: Exception) -> str:
    text = " ".join(str(error).split())[:600]
    kind = type(error).__name__
    return text if isinstance(error, AssertionError) and text else f"{kind}: {text}".rstrip(": ")
