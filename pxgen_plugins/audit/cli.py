"""The command ``pxgen``: heavy modules are imported inside, so that --help is quick."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pxgen_plugins import __version__
from pxgen_plugins.audit.escaping import visible
from pxgen_plugins.audit.terminal import print_plan, print_run
from pxgen_plugins.utils.invisible import escape_invisible

if TYPE_CHECKING:
    from pxgen_plugins.audit.conditions import Condition
    from pxgen_plugins.utils.storage import Place

__all__ = [
    "FAILED",
    "INCOMPLETE",
    "INTERNAL",
    "PASSED",
    "USAGE",
    "available_adapters",
    "main",
    "run",
]

PASSED, FAILED, USAGE, INCOMPLETE, INTERNAL = range(5)
_CODES = f"""Exit codes: {PASSED} passed, {FAILED} a condition failed, {USAGE} wrong usage or
settings, {INCOMPLETE} incomplete, {INTERNAL} internal error."""


def main() -> None:
    """Run the command and leave with its exit code."""
    # No explainer leaves this process or its workers, and importing Alibi takes seconds.
    os.environ.setdefault("PXGEN_WITHOUT_ALIBI", "1")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command with arguments and return its exit code; every error is a message."""
    from pxgen_plugins.audit.executors import WorkerLostError
    from pxgen_plugins.utils.errors import PXGenError, machine_fault

    try:
        code = group.main(arguments, "pxgen", standalone_mode=False)
        return code if isinstance(code, int) else PASSED
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)  # it may repeat names that settings hold
        click.echo("\n".join(map(visible, shown.getvalue().splitlines())), err=True)
        return USAGE
    except click.Abort:
        click.echo("stopped; run it again to go on", err=True)
        return INCOMPLETE
    except PXGenError as error:
        for line in getattr(error, "lines", [error]):  # settings have a line per fault
            click.echo(f"pxgen: {visible(line)}", err=True)
        return USAGE
    except WorkerLostError as error:
        hint = "Fewer workers or a smaller batch_size take less memory."
        text = f"{visible(error)}; what was scored is kept, run it again to go on. {hint}"
        click.echo(f"pxgen: {text}", err=True)
        return INCOMPLETE
    except (OSError, MemoryError) as error:  # the machine's faults, not the program's
        click.echo(f"pxgen: {visible(machine_fault(error), 500)}", err=True)
        return INCOMPLETE
    except (Exception, SystemExit) as error:  # code of users may call sys.exit(0)
        if "PacifyFlush" in type(sys.stdout).__name__:  # how click ends a broken pipe
            return INCOMPLETE  # whoever read the output, such as head, has gone
        if os.environ.get("PXGEN_TRACEBACK"):
            raise
        got = visible(f"{type(error).__name__}: {error}", 500)
        hint = "Set PXGEN_TRACEBACK=1 to see where, and report it."
        click.echo(f"pxgen: internal error: {got}. {hint}", err=True)
        return INTERNAL


_ALLOW = click.option(
    "--allow", multiple=True, metavar="PACKAGE|ADDRESS",
    help="Let model.factory be of this package, which the settings allow too, or let the describer "
    "of the settings, at this address, be asked, or what they name by URLs that begin so.",
)  # fmt: skip


class _Folder(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A folder, by path or URL."""

    name = "folder"

    def convert(self, value: Any, param: Any, ctx: Any) -> Place:
        """Return the folder."""
        from pxgen_plugins.utils.remote import place_of

        return place_of(value) if isinstance(value, str) else value


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_CODES)
@click.version_option(__version__, prog_name="pxgen")
def group() -> None:
    """Audit a generative model: does it still know what it must know?"""


@group.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), default="pxgen.yaml")
@click.option("--force", is_flag=True, help="Write over an existing file.")
def init(path: Path, force: bool) -> int:
    """Write a commented settings file."""
    from pxgen_plugins.audit.settings_model import template
    from pxgen_plugins.utils.files import write_atomic

    if path.exists() and not force:
        raise click.ClickException(f"{path} is there already; --force writes over it")
    write_atomic(path, template().encode())
    click.echo(escape_invisible(f"wrote {path}; run: pxgen audit {path}"))
    return PASSED


@group.command()
@click.argument("settings", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting.")
@_ALLOW
@click.option("--limit", "limits", multiple=True, metavar="NAME=NUMBER",
              help="Override a condition's limit, by its name or number (from 1).")  # fmt: skip
@click.option("--output", type=_Folder(), help="Run folder, instead of the file's.")
@click.option("--plan", "only_plan", is_flag=True, help="Say what would run, and stop.")
@click.option("--fresh", is_flag=True, help="Start over instead of going on.")
@click.option("--shard", metavar="I/N", help="Score only every N-th shard from the I-th (from 0).")
@click.option("--warn-as-error", is_flag=True, help="Warnings fail too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quiet", is_flag=True, help="Nothing on standard error but errors.")
def audit(
    settings: Path,
    overrides: tuple[str, ...],
    allow: tuple[str, ...],
    limits: tuple[str, ...],
    output: Place | None,
    only_plan: bool,
    fresh: bool,
    shard: str | None,
    warn_as_error: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run the audit that SETTINGS describe, or go on with it."""
    from pxgen_plugins.audit.settings import Config, load_config

    part = None if shard is None else _parse_shard(shard)
    if part is not None and fresh:
        raise click.ClickException("--fresh with --shard would remove what other parts scored")
    config = load_config(settings, overrides, allow=allow)
    if output is not None:
        own = output.absolute() if isinstance(output, Path) else output
        config = Config(config.values | {"output": str(own)})
    conditions = _with_limits(config["conditions"], limits)
    if warn_as_error:
        conditions = [dataclasses.replace(one, severity="error") for one in conditions]
    config = Config(config.values | {"conditions": conditions})
    # torch, once the settings are known to be good
    from pxgen_plugins.audit import engine
    from pxgen_plugins.audit.descriptions import describer_cost
    from pxgen_plugins.audit.estimate import cost
    from pxgen_plugins.audit.verdicts import overall_verdict
    from pxgen_plugins.utils.text import duration_text

    if only_plan:
        plan, explainer = engine.make_plan(config)
        config = config.complete(explainer.meta["params"])
        asked = describer_cost(config, explainer.predictor)
        print_plan(config, plan, cost(plan, explainer, config), asked, as_json)
        return PASSED
    say: Callable[[str], None] = (lambda text: None) if quiet else _print_progress
    if getattr(config.output, "protocol", "") == "memory":
        say("note: memory:// is gone with this process, and the run with it; give another --output")
    start = time.monotonic()
    result = engine.audit(config, fresh=fresh, part=part, verbose=not quiet, say=say)
    say(f"took {duration_text(time.monotonic() - start)}")  # said only: files hold no time
    if result is None:
        say("other shards are missing; run without --shard, or the other parts, to finish")
        return INCOMPLETE
    print_run(result, as_json)
    state = overall_verdict(result.judgements)[0]
    if state in {"failed", "error"}:
        return FAILED
    return INCOMPLETE if state == "skipped" and result.judgements else PASSED


@group.command()
@click.argument("folder", type=_Folder())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(folder: Place, as_json: bool) -> int:
    """Show a finished run in the terminal; the exit code is 0 whatever its verdict."""
    from pxgen_plugins.audit.run_folder import Run

    print_run(Run.open(folder), as_json)
    return PASSED


@group.command()
@click.argument("folder", type=_Folder())
def report(folder: Place) -> int:
    """Write report.html of a finished run anew."""
    from pxgen_plugins.audit.run_folder import Run
    from pxgen_plugins.audit.writers.report import ReportWriter
    from pxgen_plugins.utils.storage import storage_of

    run = Run.open(folder)
    with storage_of(run.path).draft() as place:
        ReportWriter().write(place, run)
    click.echo(escape_invisible(str(run.path / "report.html")))
    return PASSED


@group.command()
@click.argument("settings", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting.")
@_ALLOW
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=0, help="Port, instead of a free one."
)
@click.option("--no-browser", is_flag=True, help="Print the address, and open nothing.")
def app(
    settings: Path, overrides: tuple[str, ...], allow: tuple[str, ...], port: int, no_browser: bool
) -> int:
    """Explore the model and the anchors that SETTINGS name, in a browser on this machine."""
    from pxgen_plugins.audit.app import open_session
    from pxgen_plugins.audit.settings import load_config

    session = open_session(load_config(settings, overrides, allow=allow), _print_progress)
    from pxgen_plugins.explorer import serve

    with serve(session, port=port, open_browser=not no_browser) as server:
        try:  # from the first word on: who reads the address may stop at once
            click.echo(server.url)
            _print_progress("press Ctrl-C to stop")
            server.wait()
        except KeyboardInterrupt:
            _print_progress("stopped")
    return PASSED


@group.command()
@click.argument("folder", type=_Folder())
@click.option("--experiment", help="Experiment in MLflow, made when absent.")
@click.option("--run-name", help="Name of the run in MLflow, instead of the audit's.")
@click.option("--tracking-uri", help="Server, database or folder, instead of MLflow's own.")
def log(
    folder: Place, experiment: str | None, run_name: str | None, tracking_uri: str | None
) -> int:
    """Write a finished run to MLflow and print the id that it has there."""
    from pxgen_plugins.audit.writers.mlflow import log_run

    click.echo(log_run(folder, experiment=experiment, run_name=run_name, tracking_uri=tracking_uri))
    return PASSED


@group.command()
@click.argument("before", type=_Folder())
@click.argument("after", type=_Folder())
@click.option("--partial", is_flag=True, help="Compare those of different anchors that both have.")
@click.option("--figure", type=click.Path(path_type=Path), help="Also draw it, to this PNG or PDF.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(before: Place, after: Place, partial: bool, figure: Path | None, as_json: bool) -> int:
    """Say what changed from one run to another: the same anchors under two models.

    Nothing is judged: the exit code is 0 whatever changed.
    """
    from pxgen_plugins.audit.condition_checks import baseline_note
    from pxgen_plugins.audit.run_comparison import compare_runs
    from pxgen_plugins.audit.run_folder import Run

    first, second = Run.open(before), Run.open(after)
    digests = [one.manifest["digests"].get("anchors") for one in (first, second)]
    if digests[0] != digests[1] and not partial:
        hint = "say --partial to compare those of the same id, or place"
        raise click.ClickException(f"the runs are of different anchors; {hint}")
    changes = compare_runs(first.result, second.result, partial=partial)
    changes = changes.with_notes(baseline_note(first))
    if figure is not None:
        import matplotlib as mpl

        mpl.use("Agg")
        (axes,) = changes.plot()
        try:
            axes.figure.savefig(figure)
        except (OSError, ValueError) as error:
            raise click.ClickException(f"--figure {figure}: {error}") from error
    click.echo(json.dumps(changes.to_dict(), indent=1) if as_json else changes.to_markdown())
    return PASSED


@group.command()
@click.argument("settings", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting.")
@_ALLOW
def methods(settings: Path, overrides: tuple[str, ...], allow: tuple[str, ...]) -> int:
    """Say what the model can do, and which criteria and adapters work with it."""
    from pxgen_plugins import selection
    from pxgen_plugins.audit import executors
    from pxgen_plugins.audit.inputs import build_model
    from pxgen_plugins.audit.settings import load_config
    from pxgen_plugins.description import describe

    model = build_model(load_config(settings, overrides, allow=allow))
    for line in str(describe(model)).splitlines():
        click.echo(visible(line))
    click.echo("adapters:")
    for name, evidence, lacks in available_adapters(model):
        click.echo(f"  {name} ({evidence})" + (f": lacks {lacks}" if lacks else ""))
    click.echo("selectors: " + ", ".join(selection.names()))
    click.echo("executors: " + ", ".join(executors.names()))
    return PASSED


def _with_limits(specs: list[Any], limits: tuple[str, ...]) -> list[Condition]:
    """Return the conditions of the settings with the limits of the command line."""
    from pxgen_plugins.audit.conditions import Condition, parse

    conditions = [Condition.of(spec) for spec in specs]
    for item in limits:
        name, sign, number = item.rpartition("=")
        same_name = [i for i, one in enumerate(conditions) if name and name in {one.name, one.text}]
        places = same_name or [i for i in range(len(conditions)) if name == str(i + 1)]
        if not sign or not places:
            known = ", ".join(one.name or str(i) for i, one in enumerate(conditions, 1)) or "none"
            raise click.ClickException(f"--limit {item}: give NAME=NUMBER, NAME one of {known}")
        for i in places:
            text = parse(conditions[i].text).with_limit(number)
            conditions[i] = dataclasses.replace(conditions[i], text=text)
    return conditions


def _parse_shard(text: str) -> tuple[int, int]:
    first, sign, second = text.partition("/")
    if not sign or not first.isdigit() or not second.isdigit() or int(first) >= int(second):
        raise click.ClickException("--shard wants I/N with I from 0 to N - 1, as in 0/4")
    return int(first), int(second)


class Availability(NamedTuple):
    """Whether an adapter can run: ``lacks`` is empty when it can."""

    name: str
    evidence: str
    lacks: str


def available_adapters(model: Any) -> list[Availability]:
    """Return every registered adapter of models of this package, and what it lacks, by name.

    Args:
        model: The model that is explained.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> adapters = {one.name: one for one in available_adapters(LinearModel())}
        >>> adapters["latent_contrast"].evidence, adapters["grad_cam"].lacks
        ('counterfactual', "the model's layers")
    """
    from pxgen_plugins import adapters

    classes = [(name, adapters.get(name)) for name in adapters.names()]
    return [
        Availability(name, adapter.evidence, _lacks(adapter, model))
        for name, adapter in classes
        if hasattr(adapter, "requires")  # one takes Keras models only
    ]


def _lacks(adapter: Any, model: Any) -> str:
    from pxgen_plugins.models import capabilities

    missing = sorted(adapter.requires - set(capabilities(model)))
    if missing:
        return "the model's " + ", ".join(missing)
    if adapter.access == "gradients" and not getattr(model, "modules", ()):
        return "the model's gradients"
    if adapter.library and find_spec(adapter.library) is None:
        return f"the package {adapter.library}"
    return ""


def _print_progress(text: str) -> None:
    click.echo(visible(text), err=True)


if __name__ == "__main__":
    main()
