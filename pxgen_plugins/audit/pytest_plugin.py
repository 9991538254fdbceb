"""The pytest fixture ``pxgen_audit``: an audit as a test of a project's own suite."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pxgen_plugins.audit.folder import Run

__all__ = ["AuditResult", "pxgen_audit"]


@dataclass(frozen=True, repr=False)
class AuditResult:
    """What came of an audit.

    Attributes:
        folder: The run folder.
        conditions: The judged conditions, as mappings; see
            :class:`~pxgen_plugins.audit.judgement.Judgement`.
    """

    folder: Path
    conditions: Sequence[dict[str, Any]]

    @property
    def failing(self) -> list[dict[str, Any]]:
        """Conditions that failed or could not be judged."""
        return [one for one in self.conditions if one["state"] in {"failed", "error"}]

    @property
    def passed(self) -> bool:
        """Whether none is failing, and not all are skipped, as ``pxgen audit`` says it."""
        from pxgen_plugins.audit.judged import verdict

        return not self.conditions or verdict(self.conditions)[0] in {"passed", "warning"}

    @property
    def report(self) -> Path:
        """The page with the pictures."""
        return self.folder / "report.html"

    @property
    def run(self) -> Run:
        """Everything in the run folder."""
        from pxgen_plugins.audit.folder import Run

        return Run.open(self.folder)

    def __str__(self) -> str:
        """Return a line per condition, and where the report is."""
        from pxgen_plugins.audit.inert import visible
        from pxgen_plugins.audit.judged import interval_text, title

        lines = [repr(self)]
        for one in self.conditions:
            line = f"{one['state']:>7}  {visible(title(one), 80)}: {interval_text(one)}"
            lines.append(line + (f"; {visible(one['reason'], 200)}" if one["reason"] else ""))
        return "\n".join([*lines, f"report: {self.report}"])

    def __repr__(self) -> str:
        """Return one line, which pytest shows under a failed ``assert``."""
        from pxgen_plugins.audit.inert import visible
        from pxgen_plugins.audit.judged import title

        if self.passed:
            return f"<pxgen audit: {len(self.conditions)} conditions, none failing>"
        names = ", ".join(visible(title(one), 40) for one in self.failing[:3])
        count = f"{len(self.failing)} of {len(self.conditions)} conditions failing"
        return f"<pxgen audit: {count}: {names}{', ...' if len(self.failing) > 3 else ''}>"


@pytest.fixture
def pxgen_audit(request: pytest.FixtureRequest) -> Callable[..., AuditResult]:
    """Return a function that runs an audit, or goes on with it, and returns its result.

    A failing test shows every condition of its audits in a section of its own::

        def test_the_model_knows_zeros(pxgen_audit):
            result = pxgen_audit("audit.yaml", "anchors.limit=500")
            assert result.passed

    The function takes the settings file (relative to the current directory), overrides as
    ``--set`` takes them, and ``output``, a run folder instead of the file's. It raises
    ``PXGenError`` as the command does.
    """

    def audit(
        settings: str | os.PathLike[str],
        *overrides: str,
        output: str | os.PathLike[str] | None = None,
    ) -> AuditResult:
        from pxgen_plugins.audit import engine
        from pxgen_plugins.audit.config import Config, load_config

        config = load_config(settings, overrides)
        if output is not None:
            config = Config(config.values | {"output": str(Path(output).absolute())})
        finished = engine.audit(config)
        assert finished is not None  # all shards were asked for
        result = AuditResult(finished.path, finished.conditions)
        request.node.add_report_section("call", "pxgen audit", str(result))
        return result

    return audit
