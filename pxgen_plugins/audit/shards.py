"""Shards: files of the scores of consecutive anchors, each written once and whole."""

from __future__ import annotations

import contextlib
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors import Anchors
from pxgen_plugins.audit.digests import model_digest, plan_digest
from pxgen_plugins.audit.inputs import build_model, open_set
from pxgen_plugins.audit.settings import Config
from pxgen_plugins.explainer import PXGen
from pxgen_plugins.scoring import Scores
from pxgen_plugins.utils.errors import AnchorError, ModelError, caller
from pxgen_plugins.utils.files import write_atomic
from pxgen_plugins.utils.resumable import PLAN
from pxgen_plugins.utils.threads import one_thread

__all__ = [
    "FIT",
    "SHARDS",
    "Work",
    "count",
    "gather",
    "hold",
    "missing",
    "score_shard",
    "sweep",
    "work_of",
]

FIT, SHARDS = "fit", "shards"
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}")  # as write_atomic names what is not whole yet
_MIN_AGE = 3600  # seconds


@dataclass(frozen=True)
class Work:
    """What a process needs to score a shard.

    Attributes:
        config: The settings.
        explainer: The fitted explainer, with its model.
        anchors: The anchors.
        plan: Digest of the plan, which its shards bear.
    """

    config: Config
    explainer: PXGen
    anchors: Anchors
    plan: str


_cache: dict[tuple[Path, str], Work] = {}  # at most one, because models are large


def hold(folder: Path, config: Config, model: Any, anchors: Anchors, plan: str) -> None:
    """Keep what this process has opened already, so that :func:`work_of` does not open it again.

    Args:
        folder: The run folder, with its fitted explainer.
        config: The settings.
        model: The model.
        anchors: The anchors.
        plan: Digest of the plan.
    """
    _cache.clear()
    _cache[folder, plan] = Work(config, PXGen.load(folder / FIT, model), anchors, plan)


@caller("pxgen audit")
def work_of(folder: Path) -> Work:
    """Return the work that a run folder describes; built once per process.

    Raises:
        ParameterError: When the folder holds no plan, or no fitted explainer.
        ModelError: When the model is not the plan's.
    """
    plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    digest = plan_digest(plan["digests"])
    if (folder, digest) in _cache:
        return _cache[folder, digest]
    config = Config.of_plan(plan["settings"])
    model = build_model(config)
    if model_digest(config, model) != plan["digests"]["model"]:
        hint = "Let the factory load its weights, or seed them."
        allowed = "the same whenever it is built"
        raise ModelError("model", allowed, "another than the plan's", hint)
    anchors = open_set(config, "anchors", model)
    if anchors is None or len(anchors) != plan["n_anchors"]:
        hint = "Start over with --fresh."
        allowed = f"the {plan['n_anchors']} anchors of the plan"
        raise AnchorError("anchors", allowed, "others", hint)
    hold(folder, config, model, anchors, digest)
    return _cache[folder, digest]


def count(n_anchors: int, size: int) -> int:
    """Return the number of shards.

    Example:
        >>> count(10, 4), count(8, 4), count(0, 4)
        (3, 2, 0)
    """
    return -(-n_anchors // size)


def score_shard(folder: Path, index: int) -> int:
    """Score one shard and write it; return its index.

    The same bytes whoever does it: one thread, the same batches, noise tied to positions.

    Args:
        folder: The run folder, with its plan and its fitted explainer.
        index: Which shard.

    Raises:
        PXGenError: When anchors or model fail as a whole.
    """
    from safetensors.numpy import save

    work = work_of(folder)
    rows = _rows(index, work.config["shard_size"], len(work.anchors))
    with one_thread():
        scores = work.explainer.scorer().score(work.anchors, rows=rows)
    reasons = json.dumps({str(at): why for at, why in sorted(scores.reasons.items())})
    metadata = {"reasons": reasons, "plan": work.plan}
    content = save({"values": np.ascontiguousarray(scores.values)}, metadata)
    write_atomic(_path(folder, index), content)
    return index


def missing(folder: Path, n_anchors: int, size: int, width: int, plan: str) -> list[int]:
    """Return the shards that are not there, not whole, or of another plan.

    Args:
        folder: The run folder.
        n_anchors: Number of anchors.
        size: Anchors per shard.
        width: Number of criteria.
        plan: Digest of the plan.
    """
    return [
        index
        for index in range(count(n_anchors, size))
        if _read(folder, index, (len(_rows(index, size, n_anchors)), width), plan) is None
    ]


def gather(folder: Path, n_anchors: int, size: int, width: int, plan: str) -> Scores:
    """Return the scores of all shards, in the order of the anchors.

    Raises:
        FileNotFoundError: When one is not there.
    """
    values = np.empty((n_anchors, width))
    reasons: dict[int, str] = {}
    for index in range(count(n_anchors, size)):
        rows = _rows(index, size, n_anchors)
        shard = _read(folder, index, (len(rows), width), plan)
        if shard is None:
            raise FileNotFoundError(f"shard {index} of {folder}")
        values[rows.start : rows.stop] = shard[0]
        reasons |= {rows.start + int(at): str(why) for at, why in shard[1].items()}
    return Scores(values, reasons)


def sweep(folder: Path) -> None:
    """Remove what writes that were killed left in a run folder more than an hour ago.

    Younger ones may be those of another process, which scores other shards.
    """
    for path in [*folder.glob(".*"), *folder.glob(f"{SHARDS}/.*"), *folder.glob(f"{FIT}/.*")]:
        with contextlib.suppress(FileNotFoundError):  # it was renamed by now
            if _TEMPORARY.fullmatch(path.name) and time.time() - path.lstat().st_mtime > _MIN_AGE:
                path.unlink()


def _rows(index: int, size: int, n: int) -> range:
    return range(index * size, min((index + 1) * size, n))


def _path(folder: Path, index: int) -> Path:
    return folder / SHARDS / f"{index:06d}.safetensors"


def _read(
    folder: Path, index: int, shape: tuple[int, int], plan: str
) -> tuple[NDArray[np.float64], dict[str, Any]] | None:
    from safetensors import safe_open

    try:
        with safe_open(_path(folder, index), framework="numpy") as file:
            values = file.get_tensor("values")
            metadata = file.metadata()
            reasons = json.loads(metadata["reasons"])
        if metadata["plan"] != plan or not all(0 <= int(at) < shape[0] for at in reasons):
            return None
    except Exception:  # absent, or not one of ours: it is scored again
        return None
    good = values.shape == shape and values.dtype == np.float64 and isinstance(reasons, dict)
    return (values, reasons) if good else None
