"""Which checks a subject fails."""

from __future__ import annotations

import unittest
from collections.abc import Iterable
from typing import Any

from pxgen_plugins.testing import Check


def failing(checks: Iterable[Check[Any]], subject: Any) -> set[str]:
    """Return the names of the checks that `subject` fails; skipped ones do not count."""
    return {check.name for check in checks if not _passes(check, subject)}


def _passes(check: Check[Any], subject: Any) -> bool:
    try:
        check(subject)
    except unittest.SkipTest:
        return True
    except Exception:
        return False
    return True
