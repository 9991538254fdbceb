"""What a process needs for a unit of an audit, built once from the run folder."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pxgen_plugins.anchors import Anchors
from pxgen_plugins.audit import fit, units
from pxgen_plugins.audit.copies import COPIES, CopiesSearch
from pxgen_plugins.audit.digests import (
    files_digest,
    model_digest,
    parts_digest,
    plan_digest,
    sources_digest,
)
from pxgen_plugins.audit.inputs import build_explainer, build_model, open_set
from pxgen_plugins.audit.learning import Features, Learned
from pxgen_plugins.audit.samples import Samples
from pxgen_plugins.audit.settings import Config
from pxgen_plugins.audit.shards import SHARDS, Shards
from pxgen_plugins.criteria import Criterion, FittedCriterion
from pxgen_plugins.explainer import PXGen
from pxgen_plugins.scoring import Lesson, Reference, divide
from pxgen_plugins.utils.errors import AnchorError, ModelError, ParameterError, caller
from pxgen_plugins.utils.files import checksum
from pxgen_plugins.utils.properties import lazy_property
from pxgen_plugins.utils.resumable import read_plan
from pxgen_plugins.utils.storage import Place
from pxgen_plugins.utils.threads import one_thread

__all__ = ["CALIBRATION", "FOLDERS", "Work", "do_unit", "hold", "plan_checksum", "sweep", "work_of"]

CALIBRATION = "calibration"
REFERENCE = f"{CALIBRATION}/reference"
FOLDERS = (CALIBRATION, fit.FIT, SHARDS, COPIES)
"""Folders of a run that hold what it goes on with."""

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}")  # as write_atomic names what is not whole yet
_MIN_AGE = 3600  # seconds


class Work:
    """What a process needs for the units of a run.

    Attributes:
        folder: The run folder.
        config: The settings, complete.
        model: The model.
        anchors: The anchors.
        plan: Digest of the plan, which the units bear.
        calibrated: The explainer that calibration is made with; not fitted at first.
    """

    def __init__(
        self, folder: Place, config: Config, anchors: Anchors, plan: str, calibrated: PXGen
    ) -> None:
        self.folder, self.config, self.anchors, self.plan = folder, config, anchors, plan
        self.calibrated, self.model = calibrated, calibrated.predictor

    @lazy_property
    def explainer(self) -> PXGen:
        """The fitted explainer, as it is stored."""
        return fit.load(self.folder, self.model, self.plan)

    @lazy_property
    def reference(self) -> Reference:
        """Reference data, divided between criteria and thresholds."""
        explainer = self.calibrated
        found = open_set(self.config, "reference", self.model)
        by_reference = explainer.threshold.source == "reference"
        return divide(explainer.scorer(), found, by_reference, explainer.seed)

    @lazy_property
    def shards(self) -> Shards:
        """The anchors' shards."""
        return Shards(self.explainer, self.anchors, self.config["shard_size"])

    @lazy_property
    def copies(self) -> CopiesSearch | None:
        """The search for training data, by the fitted explainer; None without one."""
        asked = self.config.table(COPIES) is not None
        return CopiesSearch(self.config, self.explainer) if asked else None

    @lazy_property
    def lessons(self) -> list[tuple[Features, Learned]]:
        """What each criterion that learns first does: its features, then what they come to."""
        explainer, scorer = self.calibrated, self.calibrated.scorer()
        lessons = []
        for at, criterion in enumerate(explainer.criteria):
            if isinstance(criterion, FittedCriterion):
                data = self.reference.learning if criterion.learns_from_data else None
                lesson = Lesson(scorer, criterion, data, explainer.seed)
                features = Features(lesson, at, self.config["shard_size"])
                lessons.append((features, Learned(features, self.folder, self.plan)))
        return lessons

    @lazy_property
    def thresholds(self) -> Samples | Shards:
        """What thresholds come from: samples, or reference data in shards of whole batches."""
        size, explainer = self.config["shard_size"], self.calibrated
        if explainer.threshold.source != "reference" or self.reference.thresholds is None:
            return Samples(explainer, size)
        batch = explainer.scorer().batch_size
        whole = max(1, size // batch) * batch  # so that batches are those of all data at once
        return Shards(explainer, self.reference.thresholds, whole, REFERENCE)

    @property
    def n_calibration(self) -> int:
        """How many instances criteria learn from, and thresholds come from, at most."""
        stages = [*(features for features, _ in self.lessons), self.thresholds]
        return sum(stage.n_instances(index) for stage in stages for index in range(len(stage)))

    @lazy_property
    def criteria(self) -> list[Criterion]:
        """The criteria that calibration is made with, once they have learned."""
        for _, learned in self.lessons:
            learned.restore()
        return self.calibrated.criteria

    def stage(self, name: str) -> units.Stage:
        """Return a stage by its name, ready to be computed."""
        if name == SHARDS:
            return self.shards
        if name.startswith(f"{COPIES}/"):
            assert self.copies is not None
            return next(stage for stage in self.copies.stages if stage.name == name)
        for stage in (one for lesson in self.lessons for one in lesson):
            if stage.name == name:
                return stage
        assert self.criteria
        return self.thresholds


_cache: dict[tuple[Place, str], Work] = {}  # at most one, because models are large


def hold(work: Work) -> Work:
    """Keep what this process has opened already, so that :func:`work_of` does not open it again."""
    _cache.clear()
    _cache[work.folder, work.plan] = work
    return work


@caller("pxgen audit")
def work_of(folder: Place) -> Work:
    """Return the work that a run folder describes; built once per process.

    Raises:
        ParameterError: When the folder holds no plan, or it or the code was changed.
        ModelError: When the model is not the plan's.
    """
    try:
        plan = read_plan(folder) or {}
    except ValueError:
        plan = {}
    if plan.get("checksum") != plan_checksum(plan):
        hint = "Run pxgen audit again: it writes the plan anew."
        raise ParameterError("the plan", "as it was written", "another", hint)
    digest = plan_digest(plan["digests"])
    if (folder, digest) in _cache:
        return _cache[folder, digest]
    config = Config.of_plan(plan["settings"], folder)
    files = files_digest(config)
    model = build_model(config)
    sources = sources_digest(config, model, files)
    if model_digest(config, model, sources) != plan["digests"]["model"]:
        hint = "Let the factory load its weights, or seed them."
        allowed = "the same whenever it is built"
        raise ModelError("model", allowed, "another than the plan's", hint)
    anchors = open_set(config, "anchors", model)
    if anchors is None or len(anchors) != plan["n_anchors"]:
        hint = "Start over with --fresh."
        allowed = f"the {plan['n_anchors']} anchors of the plan"
        raise AnchorError("anchors", allowed, "others", hint)
    explainer = build_explainer(config, model)
    if parts_digest(explainer) != plan["digests"]["code"]:
        hint = "Install the same code for every worker, and start over with --fresh."
        raise ParameterError("the code", "that of the plan", "another's", hint)
    return hold(Work(folder, config, anchors, digest, explainer))


def do_unit(folder: Place, name: str, index: int) -> int:
    """Compute a unit and write it, unless another process did; return how many instances it has.

    The same bytes whoever does it: one thread, the same batches, noise tied to positions.

    Args:
        folder: The run folder, with its plan.
        name: The stage, as ``"shards"``.
        index: Which unit.

    Raises:
        PXGenError: When instances or the model fail as a whole.
        OSError: When it cannot be written.
    """
    work = work_of(folder)
    stage = work.stage(name)
    if units.missing(folder, stage, work.plan, [index]):
        with one_thread():
            content = stage.compute(index)
        units.write(folder, stage, index, content, work.plan)
    return stage.n_instances(index)


def plan_checksum(plan: Mapping[str, Any]) -> str:
    """Return the checksum of all that a plan holds but this."""
    rest = {key: value for key, value in plan.items() if key != "checksum"}
    return checksum(json.dumps(rest, sort_keys=True).encode())


def sweep(folder: Path) -> None:
    """Remove what writes that were killed left in a run folder more than an hour ago.

    Younger ones may be those of another process, which computes other units. Folders behind links
    are left alone.
    """
    own = [place for name in FOLDERS if not (place := folder / name).is_symlink()]
    nested = [place for place in own if place.name in {CALIBRATION, COPIES}]
    inner = [one for place in nested for one in place.glob("[!.]*") if not one.is_symlink()]
    for place in [folder, *own, *inner]:
        for path in place.glob(".*"):
            with contextlib.suppress(FileNotFoundError):  # it was renamed by now
                old = time.time() - path.lstat().st_mtime > _MIN_AGE
                if _TEMPORARY.fullmatch(path.name) and old:
                    path.unlink()
