"""Audits of models in production: a settings file, conditions, a run folder, and its report."""

from __future__ import annotations

from pxgen_plugins.utils.lazy import attach

__all__ = [
    "Changes",
    "Condition",
    "Config",
    "Judgement",
    "Run",
    "audit",
    "compare_runs",
    "judge",
    "load_config",
    "log_run",
    "write_report",
]

_HOMES = {
    "Changes": "changes",
    "Condition": "conditions",
    "Config": "settings",
    "Judgement": "verdicts",
    "Run": "run_folder",
    "audit": "engine",
    "compare_runs": "run_comparison",
    "judge": "verdicts",
    "load_config": "settings",
    "log_run": "writers.mlflow",
    "write_report": "writers.report",
}
__getattr__, __dir__ = attach(__name__, _HOMES)
