"""Running an audit: plan, fit, shards, results, conditions; every step resumes."""

from __future__ import annotations

import json
import platform
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins import __version__, adapters
from pxgen_plugins.anchors import Anchors
from pxgen_plugins.assembly import assemble, examples_of
from pxgen_plugins.audit import executors, shards
from pxgen_plugins.audit.changes import Changes, compare_runs
from pxgen_plugins.audit.conditions import Condition
from pxgen_plugins.audit.config import Config
from pxgen_plugins.audit.digests import anchors_digest, model_digest
from pxgen_plugins.audit.evidence import evidence
from pxgen_plugins.audit.folder import FILES, FORMAT, Run, write_json, write_results
from pxgen_plugins.audit.judgement import Judgement, judge
from pxgen_plugins.audit.outputs import write_outputs
from pxgen_plugins.audit.sources import build_model, open_set
from pxgen_plugins.description import describe as described
from pxgen_plugins.errors import AnchorError, ParameterError, PXGenWarning, describe
from pxgen_plugins.explainer import PXGen
from pxgen_plugins.explanation import build
from pxgen_plugins.progress import bar
from pxgen_plugins.threads import one_thread

__all__ = ["Plan", "finish", "make_plan", "score"]

_PACKAGES = ("torch", "numpy", "scikit-learn", "scipy", "onnxruntime", "diffusers")

_SAMPLE = 150  # anchors of each group whose pictures the report shows when they are brushed
_EVIDENCE = 24
_WAYS, _MOVED = 4, 12  # anchors that moved, of each of the commonest ways


@dataclass(frozen=True)
class Plan:
    """What a run does.

    Attributes:
        settings: The settings that results depend on.
        digests: SHA-256 of the settings, the model, the anchors and the reference data.
        n_anchors: Number of anchors.
        n_shards: Number of shards.
        n_samples: Samples of the model that calibration draws.
        model: What the model is, in words.
        anchors: The anchors.
        baseline: The run compared with, or None.
    """

    settings: dict[str, Any]
    digests: dict[str, str]
    n_anchors: int
    n_shards: int
    n_samples: int
    model: str
    anchors: Anchors = field(repr=False)
    baseline: Run | None = field(repr=False)


def make_plan(config: Config) -> tuple[Plan, PXGen]:
    """Return the plan of an audit and its explainer, before anything is fitted.

    Raises:
        PXGenError: When the model, the anchors or a setting is not as it should be.
    """
    model = build_model(config)
    explainer = PXGen(
        model,
        intrinsic=config["intrinsic"],
        extrinsic=config["extrinsic"],
        threshold=config["threshold"],
        selectors=config["selectors"],
        n_representatives=config["n_representatives"],
        rule=config["rule"],
        batch_size=config["batch_size"],
        seed=config["seed"],
        examples=True,
    )
    anchors = open_set(config, "anchors", model)
    if anchors is None or not len(anchors):
        do = "Check the path and the limit."
        raise AnchorError("anchors", "pxgen audit", "at least one anchor", "none", do)
    for name in (config["adapters"] or {}).get("names", ()):
        adapters.get(str(name))
    executors.get(config["executor"]["name"])
    baseline = None if config["baseline"] is None else Run.open(config["baseline"])
    if baseline is not None:  # before anything is scored
        _check_baseline(baseline, explainer, len(anchors))
    rule = explainer.threshold
    n_samples = getattr(rule, "n_samples", 0) * getattr(rule, "n_repeats", 0)
    digests = {
        "settings": config.digest(),
        "model": model_digest(config, model),
        "anchors": anchors_digest(config, "anchors"),
        "reference": anchors_digest(config, "reference"),
    }
    plan = Plan(
        config.scoring(),
        digests,
        len(anchors),
        shards.count(len(anchors), config["shard_size"]),
        n_samples,
        str(described(model)),
        anchors,
        baseline,
    )
    return plan, explainer


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
        say: Told what happens.

    Raises:
        ParameterError: When the folder holds a run with another plan.
    """
    folder = config.output
    _settle(folder, plan, fresh, say)
    if not (folder / shards.FIT / "pxgen.json").exists():
        say(f"calibrating on {plan.n_samples:,} samples of the model")
        reference = open_set(config, "reference", explainer.predictor)
        explainer.verbose = verbose
        with one_thread():
            explainer.fit(reference)
        explainer.save(folder / shards.FIT)
    size = config["shard_size"]
    width = len(explainer.criteria)
    left = shards.missing(folder, plan.n_anchors, size, width)
    mine = left if part is None else [index for index in left if index % part[1] == part[0]]
    if len(left) < plan.n_shards:
        say(f"{plan.n_shards - len(left)} of {plan.n_shards} shards are there already")
    executor = executors.get(config["executor"]["name"])(config["executor"]["workers"])
    shards.hold(folder, config, explainer.predictor, plan.anchors)
    with bar(len(mine), "scoring", "shard", verbose) as progress:
        for _ in executor.run(folder, mine):
            progress.update(1)
    return not shards.missing(folder, plan.n_anchors, size, width)


def finish(config: Config, plan: Plan) -> Run:
    """Put the shards together, judge the conditions, write every file of the run and return it.

    Raises:
        FileNotFoundError: When a shard is missing.
        ParameterError: When a condition is none, or the baseline is of other anchors.
    """
    folder = config.output
    given = enumerate(config["conditions"])
    conditions = [Condition.of(one, f"conditions[{i}]") for i, one in given]
    before = None if plan.baseline is None else plan.baseline.data
    work = shards.work_of(folder)
    explainer, scorer = work.explainer, work.explainer.scorer()
    scores = shards.gather(folder, plan.n_anchors, config["shard_size"], len(explainer.criteria))
    calibration = explainer.calibration
    if calibration is None:
        raise ParameterError("fit", "pxgen audit", "complete", "nothing", "Use --fresh.")
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", PXGenWarning)  # the report counts bad anchors
        data = assemble(
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
        changes = None if before is None else compare_runs(before, data)
        judged = judge(conditions, data, before, changes)
        data["examples"] = examples_of(scorer, work.anchors, _shown(data, judged, changes))
        others = evidence(config, work, data)
    explanation = build(explainer.meta, data, copy_arrays=False)
    made = manifest(config, plan)
    found = [judgement.as_dict() for judgement in judged]
    write_results(folder, explanation, made)
    write_outputs(folder, made, explanation.data, found, changes, others)
    return Run(folder, made, dict(explanation.data), found, explanation.data["examples"])


def _check_baseline(baseline: Run, explainer: PXGen, n_anchors: int) -> None:
    names = [criterion.name for criterion in explainer.criteria]
    before = (list(baseline.data["criteria"]), len(baseline.data["group"]))
    if before != (names, n_anchors):
        allowed = f"of {n_anchors} anchors under {', '.join(names)}"
        came = f"one of {before[1]} anchors under {', '.join(before[0])}"
        do = "Give a run of the same anchors and criteria, or none."
        raise ParameterError("baseline", "pxgen audit", allowed, came, do)


def _shown(
    data: dict[str, Any], judged: Sequence[Judgement], changes: Changes | None
) -> list[NDArray[np.int64]]:
    """Return the anchors whose pictures the report shows: picked, evidence, moved, a sample."""
    found = [np.asarray(judgement.anchors[:_EVIDENCE], dtype=np.int64) for judgement in judged]
    found += [np.asarray(strip, dtype=np.int64) for strip in data["strips"].values()]
    if changes is not None:
        found += [_evenly(moved, _MOVED) for moved in list(changes.ways.values())[:_WAYS]]
    for group in data["groups"].values():
        found += [
            np.asarray(picked, dtype=np.int64) for picked in group["representatives"].values()
        ]
        found.append(_evenly(group["indices"], _SAMPLE))
    return found


def _evenly(members: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return some, evenly over the order of anchors, which is no order of values."""
    if len(members) <= most:
        return members
    return members[np.linspace(0, len(members) - 1, most).round().astype(np.int64)]


def manifest(config: Config, plan: Plan) -> dict[str, Any]:
    """Return what was run, without times: the same run gives the same bytes."""
    return {
        "format": FORMAT,
        "name": config["name"],
        "pxgen": __version__,
        "digests": plan.digests,
        "seed": config["seed"],
        "settings": config.scoring(),
        "n_anchors": plan.n_anchors,
        "model": plan.model,
        "versions": {name: _version(name) for name in _PACKAGES},
        "machine": {
            "python": platform.python_version(),
            "system": platform.system(),
            "processor": platform.machine(),
        },
    }


def _settle(folder: Path, plan: Plan, fresh: bool, say: Callable[[str], None]) -> None:
    """Begin a run, or go on with one of the same plan."""
    try:
        _begin(folder, plan, fresh, say)
    except OSError as error:
        do = "Choose another output, or mend its permissions."
        came = f"{describe(str(folder))} ({type(error).__name__}: {error.strerror})"
        allowed = "a folder that can be written"
        raise ParameterError("output", "pxgen audit", allowed, came, do) from error


def _begin(folder: Path, plan: Plan, fresh: bool, say: Callable[[str], None]) -> None:
    shards.sweep(folder)
    path = folder / shards.PLAN
    content = {"settings": plan.settings, "digests": plan.digests, "n_anchors": plan.n_anchors}
    if fresh and path.exists():  # only what is ours; the plan goes last, it marks the folder
        for name in (shards.FIT, shards.SHARDS):
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
        path.unlink()
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))["digests"]
        except (OSError, ValueError, KeyError, TypeError):
            before = {}
        changed = [name for name, digest in plan.digests.items() if before.get(name) != digest]
        if changed:
            do = "Choose another output, or start over with --fresh."
            came = "other " + ", ".join(changed)
            raise ParameterError("output", "pxgen audit", "a run of the same plan", came, do)
        say(f"going on in {folder}")
    elif folder.is_dir() and _foreign(folder):
        do = "Choose an empty folder; nothing of others is written over."
        raise ParameterError("output", "pxgen audit", "empty, or a run", "other files", do)
    write_json(path, content)


def _foreign(folder: Path) -> Sequence[str]:
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))[:3]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
