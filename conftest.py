"""On CI every extra is installed, so a test skipped for want of a package is a failure there."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest

_ON_CI = os.environ.get("CI", "").lower() in {"1", "true"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let slow tests begin first: a long one that begins last leaves the other process idle."""

    def minutes(item: pytest.Item) -> float:
        slow = item.get_closest_marker("slow")
        return -1.0 if slow is None else float(slow.kwargs.get("minutes", 0.0))

    items.sort(key=minutes, reverse=True)


def _refuse_missing_package(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    missing = "could not import" in reason
    if np.lib.NumpyVersion(np.__version__) >= "2.0.0":  # these do not go with it
        missing = missing and not re.search("could not import '(aix360|alibi)", reason)
    if _ON_CI and report.outcome == "skipped" and missing:
        report.outcome = "failed"
        report.longrepr = f"skipped on CI, where every extra is installed: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Generator[None, Any, Any]:
    """Judge the skips of single tests."""
    report = yield
    _refuse_missing_package(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: Any) -> Generator[None, Any, Any]:
    """Judge the skips of whole modules."""
    report = yield
    _refuse_missing_package(report)
    return report
