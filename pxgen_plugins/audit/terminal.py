"""What the command prints of a plan and of a run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from pxgen_plugins.audit.escaping import anchor_name, visible
from pxgen_plugins.utils.invisible import escape_invisible
from pxgen_plugins.utils.redaction import redact_values

if TYPE_CHECKING:
    from pxgen_plugins.audit.engine import Plan
    from pxgen_plugins.audit.estimate import Cost
    from pxgen_plugins.audit.run_folder import Run
    from pxgen_plugins.audit.settings import Config

__all__ = ["print_plan", "print_run"]

_COLOURS = {"passed": "green", "failed": "red", "error": "red", "warning": "yellow"}


def print_plan(
    config: Config, plan: Plan, cost: Cost, asked: Mapping[str, int] | None, as_json: bool
) -> None:
    """Print what an audit would do, and what that costs; the settings are complete.

    Args:
        config: The settings.
        plan: What is to be done.
        cost: What calibration, scoring and a search for copies cost.
        asked: What the describer would be asked; None for nothing.
        as_json: Whether to print JSON.
    """
    from dataclasses import asdict

    from pxgen_plugins.utils.text import duration_text

    n_criteria = len(config["intrinsic"]) + len(config["extrinsic"])
    halves = cost.parts
    if as_json:
        content = {
            "anchors": plan.n_anchors,
            "shards": plan.n_shards,
            "samples": plan.n_samples,
            "scored": plan.n_anchors + plan.n_samples,
            "passes": sum(half.passes for half in halves),
            "seconds": _rough(cost.seconds),
            "workers": cost.workers,
            "device": plan.device,
            "halves": {
                half.name: {
                    key: _rough(value) if isinstance(value, float) else value
                    for key, value in asdict(half).items()
                    if key != "name"
                }
                for half in halves
            },
            "worker_mib": round(cost.memory / 2**20),
            "notes": list(plan.anchors.notes),
            "table_mib": round(plan.n_anchors * 8 * n_criteria / 2**20, 1),
            "describer": asked,
            "output": str(config.output),
            "digests": plan.digests,
        }
        click.echo(json.dumps(content, indent=1))
        return
    place = escape_invisible(str(config.output))
    click.echo(f"{plan.n_anchors:,} anchors, to {place}")
    click.echo(visible(plan.anchors.describe(), 400))
    for note in plan.anchors.notes:
        click.echo(f"note: {visible(note, 400)}")
    on_reference = config["threshold"].get("source") == "reference"
    what = "reference instances" if on_reference else "samples"
    click.echo(f"thresholds from {plan.n_samples:,} {what}")
    for half in halves:
        click.echo(
            f"{half.name}: {half.instances:,} instances in {_count(half.units, 'unit')}, "
            f"{half.passes:,} passes, about {duration_text(half.seconds)}"
        )
    at_once = f"{_count(cost.workers, 'worker')} of one thread"
    memory = f", about {cost.memory / 2**20:,.0f} MiB each" if cost.memory else ""
    total = duration_text(cost.seconds)
    where = "this machine" if plan.device == "cpu" else f"this machine's {plan.device}"
    click.echo(f"time: about {total} on {where}, with {at_once}{memory}")
    worst = max(halves, key=lambda half: half.seconds_of_largest)
    click.echo(
        f"a kill loses at most one unit a worker: {worst.largest:,} instances of {worst.name}, "
        f"about {duration_text(worst.seconds_of_largest)}"
    )
    for choice in cost.cheaper:
        click.echo(f"cheaper: {choice}")
    if asked is not None:
        click.echo(
            f"the describer: at most {asked['calls']:,} calls with {asked['images']:,} pictures, "
            "and as many calls again where answers have to be repaired"
        )
    click.echo(f"{len(config['conditions'])} conditions")


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def _rough(seconds: float) -> float:
    """Return seconds as rough as an estimate is, and never 0 where it is not."""
    return float(f"{seconds:.2g}")


def print_run(run: Run, as_json: bool) -> None:
    """Print a finished run: conditions, groups, verdict and where the report is."""
    from pxgen_plugins.audit.verdicts import NO_CONDITIONS, overall_verdict
    from pxgen_plugins.audit.writers.markdown import invalid_by_reason

    report_file = run.path / "report.html"
    n_invalid = len(run.result.invalid)
    state, counts = overall_verdict(run.judgements)
    groups = {name: group.count for name, group in run.result.groups.items()}
    notes = () if run.changes is None else run.changes.notes
    if as_json:
        content = {
            "verdict": state, "counts": counts, "groups": groups,
            "conditions": [judgement.as_dict() for judgement in run.judgements],
            "invalid": n_invalid, "notes": [*run.result.notes, *notes],
            "copies": None if run.copies is None else run.copies.count,
            "not_run": dict(run.evidence.not_run),
            "folder": str(run.path), "report": str(report_file),
        }  # fmt: skip
        content["conditions"] = redact_values(content["conditions"])
        click.echo(json.dumps(content, indent=1))
        return
    colour = False if os.environ.get("NO_COLOR") else None
    for one in run.judgements:
        mark = click.style(f"{one.state:>7}", fg=_COLOURS.get(one.state))
        text = f"{mark}  {visible(one.title, 80)}  {one.observed_text}"
        click.echo(text + (f"  {visible(one.reason)}" if one.reason else ""), color=colour)
    if run.copies is not None:
        click.echo(visible(run.copies.sentence(), 400))
    sizes = ", ".join(f"{visible(name, 80)} {count:,}" for name, count in groups.items())
    click.echo(f"groups: {sizes}; invalid {n_invalid:,}")
    for why, count, first in invalid_by_reason(run.result, 3):
        name = anchor_name(first, run.result.ids)
        click.echo(f"  {count:,} not scored: {visible(why, 120)} (the first is {name})")
    for note in run.result.notes:
        click.echo(f"  note: {visible(note, 400)}")
    for note in notes:  # of the baseline: what is said of the model may be due to it
        click.echo(click.style(f"  note: {visible(note, 800)}", fg="yellow"), color=colour)
    for method, why in run.evidence.not_run:
        click.echo(f"  not run: {visible(method, 80)}: {visible(why, 400)}")
    if not run.judgements:
        click.echo(NO_CONDITIONS)
    click.echo(click.style(state, fg=_COLOURS.get(state), bold=True), color=colour)
    click.echo(f"report: {escape_invisible(str(report_file))}")
