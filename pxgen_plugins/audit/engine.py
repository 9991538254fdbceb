"""Run an audit: plan, fit, shards, results, conditions; every step resumes."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from pxgen_plugins import __version__, adapters
from pxgen_plugins.anchors import Anchors
from pxgen_plugins.audit import executors, fit, shards, units
from pxgen_plugins.audit.calibration import fit_in_units
from pxgen_plugins.audit.claim import alone, claim, clear
from pxgen_plugins.audit.condition_checks import (
    baseline_note,
    check_baseline,
    check_conditions,
    conditions_of,
)
from pxgen_plugins.audit.copies import COPIES, check_copies
from pxgen_plugins.audit.crew import Crew
from pxgen_plugins.audit.descriptions import check_describer, describer_cost
from pxgen_plugins.audit.devices import card_name
from pxgen_plugins.audit.digests import (
    anchors_digest,
    files_digest,
    model_digest,
    parts_digest,
    plan_digest,
    sources_digest,
    versions,
)
from pxgen_plugins.audit.inputs import build_explainer, build_model, open_set
from pxgen_plugins.audit.other_methods import evidence_of
from pxgen_plugins.audit.rule_changes import at_kept_thresholds
from pxgen_plugins.audit.run_comparison import compare_runs
from pxgen_plugins.audit.run_folder import (
    FORMAT,
    Run,
    mark_complete,
    remove_verdict,
    write_results,
)
from pxgen_plugins.audit.settings import Config
from pxgen_plugins.audit.verdicts import judge
from pxgen_plugins.audit.work import Work, hold, work_of
from pxgen_plugins.audit.writers.base import file_names, write_outputs
from pxgen_plugins.audit.writers.report.choice_of_pictures import choose_pictures
from pxgen_plugins.description import describe
from pxgen_plugins.explainer import PXGen
from pxgen_plugins.groups import GROUPS
from pxgen_plugins.result.assembly import assemble, examples_of
from pxgen_plugins.scoring import divide
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import (
    AnchorError,
    ParameterError,
    PXGenWarning,
    caller,
)
from pxgen_plugins.utils.progress import bar
from pxgen_plugins.utils.redaction import without_addresses
from pxgen_plugins.utils.storage import storage_of
from pxgen_plugins.utils.threads import one_thread

__all__ = ["Plan", "audit", "finish", "make_plan", "score"]


@dataclass(frozen=True)
class Plan:
    """What a run does.

    Attributes:
        digests: SHA-256 of the settings, the model, the anchors, the reference data, the code of
            the user's own parts, and the versions of the packages that values depend on.
        inputs: Of these, what is read again at the end: the model is represented by its files and
            its code.
        n_anchors: Number of anchors.
        n_shards: Number of shards.
        n_samples: Samples of the model, or instances of reference data, that calibration scores.
        model: What the model is, in words.
        device: Where it runs, ``"cpu"`` or ``"cuda"``.
        anchors: The anchors.
        baseline: The run compared with, or None.
    """

    digests: dict[str, str]
    inputs: dict[str, str]
    n_anchors: int
    n_shards: int
    n_samples: int
    model: str
    device: str
    anchors: Anchors = field(repr=False)
    baseline: Run | None = field(repr=False)

    @property
    def digest(self) -> str:
        """One digest for all, by which shards know their plan."""
        return plan_digest(self.digests)


@caller("pxgen audit")
def audit(
    config: Config,
    *,
    fresh: bool = False,
    part: tuple[int, int] | None = None,
    verbose: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Run | None:
    """Run an audit, or go on with it: plan, calibration, shards, results.

    Args:
        config: The settings, from :func:`~pxgen_plugins.audit.settings.load_config`.
        fresh: Remove what an earlier run left.
        part: (i, n) scores only every n-th shard from the i-th on, for batch schedulers.
        verbose: Show progress bars.
        say: Gets a line of text about each step.

    Returns:
        The finished run; None while shards are missing, which other parts score.

    Raises:
        PXGenError: When a setting, the model or the anchors are not as they should be, or another
            audit works in the run folder.
        WorkerLostError: When a worker died; what was written is kept.
    """
    plan, explainer = make_plan(config)
    say(plan.anchors.describe())
    for note in plan.anchors.notes:
        say(f"note: {note}")
    with alone(config.output, part):
        if not score(config, plan, explainer, fresh=fresh, part=part, verbose=verbose, say=say):
            return None
        if (asked := describer_cost(config, explainer.predictor)) is not None:
            calls = f"{asked['calls']:,} calls"
            say(f"asking the describer: at most {calls}, without repairs of answers")
        say("writing results")
        run = finish(config, plan)
    if halved := run.manifest.get("halved_batches"):
        least = min(halved.values())
        say(f"memory ran out in {len(halved)} units, which went on in batches of {least} or more")
    return run


@caller("pxgen audit")
def make_plan(config: Config) -> tuple[Plan, PXGen]:
    """Return the plan of an audit and its explainer, before anything is fitted.

    Raises:
        PXGenError: When the model, the anchors or a setting is not as it should be.
    """
    files = files_digest(config)  # before they are read
    model = build_model(config)
    sources = sources_digest(config, model, files)
    inputs = {"model": sources} | _sets_digests(config)
    own_digest = model_digest(config, model, sources)
    explainer = build_explainer(config, model)
    config = config.complete(explainer.meta["params"] | {"device": model.device.type})
    anchors = open_set(config, "anchors", model)
    if anchors is None or not len(anchors):
        hint = "Check the path and the limit."
        raise AnchorError("anchors", "at least one anchor", "none", hint)
    for name in (config["adapters"] or {}).get("names", ()):
        adapters.get(str(name))
    check_describer(config)
    check_copies(config, explainer)
    executors.get(config["executor"]["name"])
    with caller("settings"):
        for name in (config["adapters"] or {}).get("groups") or ():
            validation.choice(name, "adapters.groups", GROUPS)
        check_conditions(config, explainer, anchors.labels)
    n_samples = _n_samples(config, explainer)
    inputs["code"] = parts_digest(explainer)
    digests = {
        "settings": config.digest(),
        **inputs,
        "model": own_digest,
        "versions": plan_digest({name: str(version) for name, version in versions().items()}),
    }
    baseline = None if config["baseline"] is None else Run.open(config["baseline"])
    if baseline is not None:  # before anything is scored
        check_baseline(baseline, config, explainer, len(anchors), digests["anchors"])
    plan = Plan(
        digests,
        inputs,
        len(anchors),
        shards.count(len(anchors), config["shard_size"]),
        n_samples,
        without_addresses(str(describe(model))),
        model.device.type,
        anchors,
        baseline,
    )
    return plan, explainer


@caller("pxgen audit")
def score(
    config: Config,
    plan: Plan,
    explainer: PXGen,
    *,
    fresh: bool = False,
    part: tuple[int, int] | None = None,
    verbose: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> bool:
    """Fit and score what is not there yet; return whether all shards are.

    Args:
        config: The settings.
        plan: What is to be done.
        explainer: From :func:`make_plan`.
        fresh: Remove what an earlier run left.
        part: (i, n) scores only every n-th shard from the i-th on, for batch schedulers.
        verbose: Show progress bars.
        say: Gets a line of text about each step.

    Raises:
        ParameterError: When the folder holds a run with another plan, or inputs changed meanwhile.
        OSError: When a file of the run cannot be written.
    """
    folder, digest = config.output, plan.digest
    config = _complete(config, plan, explainer)
    content = {"settings": config.for_plan(), "digests": plan.digests, "n_anchors": plan.n_anchors}
    claim(folder, content, fresh, say)
    work = hold(Work(folder, config, plan.anchors, digest, explainer))
    is_fitted = fit.is_stored(folder, digest)
    total = plan.n_anchors + (0 if is_fitted else work.n_calibration)
    executor = executors.get(config["executor"]["name"])(config["executor"]["workers"])
    executor.device = plan.device
    with (
        executor,
        bar(total, "calibrating and scoring", "instance", verbose) as progress,
    ):
        crew = Crew(work, executor, part, progress)
        if not is_fitted:
            of = explainer.threshold.source
            what = "samples of the model" if of == "samples" else "instances of reference data"
            say(f"calibrating on {plan.n_samples:,} {what}")
            fit_in_units(crew)
        n_there = crew.compute_own(work.shards)
        if n_there:
            say(f"{n_there} of {plan.n_shards} shards are there already")
        search = work_of(folder).copies
        stages = [work.shards] if search is None else [work.shards, *search.stages]
        for stage in stages[1:]:
            more = sum(map(stage.n_instances, range(len(stage))))
            progress.total = (progress.total or 0) + more
            crew.compute_own(stage)
    complete = not any(units.missing(folder, stage, digest) for stage in stages)
    if not complete:  # else finish looks, which reads the inputs too
        _check_inputs(config, plan, explainer)
    return complete


@caller("pxgen audit")
def finish(config: Config, plan: Plan) -> Run:
    """Put the shards together, judge the conditions, write every file of the run and return it.

    Raises:
        FileNotFoundError: When a shard is missing.
        ParameterError: When a condition is none, the baseline is of other anchors, or the model or
            the anchors changed since the run began.
        OSError: When a file cannot be written; those that show a verdict are removed then.
    """
    folder = config.output
    before = None if plan.baseline is None else plan.baseline.result
    work = work_of(folder)
    explainer, scorer = work.explainer, work.explainer.scorer()
    config = _complete(config, plan, explainer)
    conditions = conditions_of(config)
    scores = shards.gather(folder, work.shards, plan.digest)
    calibration = explainer.calibration
    if calibration is None:
        raise ParameterError("fit", "complete", "nothing", "Use --fresh.")
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", PXGenWarning)  # the report counts bad anchors
        result = assemble(
            scores,
            calibration,
            scorer,
            work.anchors,
            rule=explainer.rule,
            choices=explainer.choices,
            k=explainer.n_representatives,
            examples=False,
            combine=explainer.threshold.combine,
        )
        if before is not None:
            before = at_kept_thresholds(before, result)
        changes = None if before is None else compare_runs(before, result)
        if changes is not None and plan.baseline is not None:
            changes = changes.with_notes(baseline_note(plan.baseline))
        copies = None if work.copies is None else work.copies.conclude(folder, plan.digest)
        judgements = judge(
            conditions, result, before, changes, copies, first_run=config["first_run"]
        )
        pictures = choose_pictures(work.anchors, result, judgements, changes)
        result = replace(result, examples=examples_of(scorer, work.anchors, [pictures]))
        evidence = evidence_of(config, work, result)
    _check_inputs(config, plan, explainer)
    run = Run(folder, manifest(config, plan), result, judgements, changes, evidence, copies)
    try:
        with storage_of(folder).draft() as place:
            write_results(place, run)
            write_outputs(place, run)
            mark_complete(place, run)
    except BaseException:  # files for readers are there already: no verdict of a failed run stays
        remove_verdict(folder, file_names(), strict=False)
        raise
    return run


def _complete(config: Config, plan: Plan, explainer: PXGen) -> Config:
    return config.complete(explainer.meta["params"] | {"device": plan.device})


def _n_samples(config: Config, explainer: PXGen) -> int:
    """Return how many instances calibration scores; raise where the rule lacks reference data."""
    rule = explainer.threshold
    if rule.source == "samples":
        return int(getattr(rule, "n_samples", 0) * getattr(rule, "n_repeats", 0))
    if config["reference"] is None:
        allowed = f"given for {type(rule).__name__} with source: reference"
        hint = "Name held-out data of the kind the model was trained on, as under anchors."
        raise ParameterError("reference", allowed, "nothing", hint)
    reference = open_set(config, "reference", explainer.predictor)
    parts = divide(explainer.scorer(), reference, True, explainer.seed)
    return 0 if parts.thresholds is None else len(parts.thresholds)


def _sets_digests(config: Config) -> dict[str, str]:
    """Return the digests of the sets that the settings name; those of copies where it is there."""
    names = ["anchors", "reference"]
    if config.table(COPIES) is not None:
        names += ["copies.training", "copies.held_out"]
    return {name: anchors_digest(config, name) for name in names}


def _check_inputs(config: Config, plan: Plan, explainer: PXGen) -> None:
    """Raise when the model's files, code or anchors changed; remove what they gave."""
    now = {
        "model": sources_digest(config, explainer.predictor),
        **_sets_digests(config),
        "code": parts_digest(explainer),
    }
    changed = [name for name, digest in plan.inputs.items() if now[name] != digest]
    if changed:
        clear(config.output)
        hint = "What came of them was removed; run it again once nothing writes to them."
        allowed = "the same from the start of a run to its end"
        got = "files that were changed meanwhile"
        raise ParameterError(", ".join(changed), allowed, got, hint)


def manifest(config: Config, plan: Plan) -> dict[str, Any]:
    """Return what was run, without times: the same run gives the same bytes.

    Where memory ran out, the units concerned and their smaller batches stand in it.
    """
    halved = units.halved_batches(config.output)
    return ({"halved_batches": halved} if halved else {}) | {
        "format": FORMAT,
        "name": config["name"],
        "pxgen": __version__,
        "digests": plan.digests,
        "seed": config["seed"],
        "settings": config.portable(),
        "baseline": None if plan.baseline is None else plan.baseline.manifest["digests"],
        "n_anchors": plan.n_anchors,
        "anchors": plan.anchors.describe(),
        "model": plan.model,
        "versions": versions(),
        "machine": {
            "python": platform.python_version(),
            "system": platform.system(),
            "processor": platform.machine(),
        }
        | ({"card": card_name()} if plan.device == "cuda" else {}),
    }
