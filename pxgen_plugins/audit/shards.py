"""Shards: files of the scores of consecutive anchors, each written once and whole."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.anchors import Anchors
from pxgen_plugins.anchors.scale import Span
from pxgen_plugins.audit import fit
from pxgen_plugins.audit.digests import (
    files_digest,
    model_digest,
    parts_digest,
    plan_digest,
    sources_digest,
)
from pxgen_plugins.audit.inputs import build_model, open_set
from pxgen_plugins.audit.settings import Config
from pxgen_plugins.explainer import PXGen
from pxgen_plugins.scoring import Scores
from pxgen_plugins.utils.errors import AnchorError, ModelError, ParameterError, caller
from pxgen_plugins.utils.files import checksum, write_atomic
from pxgen_plugins.utils.limits import Limit
from pxgen_plugins.utils.redaction import without_addresses
from pxgen_plugins.utils.resumable import read_plan
from pxgen_plugins.utils.tensors import read_tensors
from pxgen_plugins.utils.threads import one_thread

__all__ = [
    "SHARDS",
    "Work",
    "count",
    "gather",
    "hold",
    "missing",
    "plan_checksum",
    "score_shard",
    "sweep",
    "work_of",
]

SHARDS = "shards"
_ABOUT = "shard"  # key of the metadata
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}")  # as write_atomic names what is not whole yet
_MIN_AGE = 3600  # seconds
_MOST_REASON = 4096  # bytes in a shard for each anchor
_MOST_HEADER = 1 << 16  # bytes


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

    The fitted explainer is read from the folder, as others will read it.

    Args:
        folder: The run folder, with its fitted explainer.
        config: The settings.
        model: The model.
        anchors: The anchors.
        plan: Digest of the plan.
    """
    _cache.clear()
    _cache[folder, plan] = Work(config, fit.load(folder, model, plan), anchors, plan)


@caller("pxgen audit")
def work_of(folder: Path) -> Work:
    """Return the work that a run folder describes; built once per process.

    Raises:
        ParameterError: When the folder holds no plan or no fitted explainer, or these were changed.
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
    hold(folder, config, model, anchors, digest)
    work = _cache[folder, digest]
    if parts_digest(work.explainer) != plan["digests"]["code"]:
        hint = "Install the same code for every worker, and start over with --fresh."
        raise ParameterError("the code", "that of the plan", "another's", hint)
    return work


def plan_checksum(plan: Mapping[str, Any]) -> str:
    """Return the checksum of all that a plan holds but this."""
    rest = {key: value for key, value in plan.items() if key != "checksum"}
    return checksum(json.dumps(rest, sort_keys=True).encode())


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
    # addresses in what a model raised differ between runs
    whys = {str(at): without_addresses(why) for at, why in sorted(scores.reasons.items())}
    values, plan = np.ascontiguousarray(scores.values), work.plan
    texts = {"reasons": json.dumps(whys), "span": json.dumps(scores.span.to_data()), "plan": plan}
    about = texts | {"checksum": _checksum(index, values, texts)}
    # a single key: safetensors writes several in an order that differs between calls
    content = save({"values": values}, {_ABOUT: json.dumps(about)})
    write_atomic(_path(folder, index), content, root=folder)
    return index


def missing(folder: Path, n_anchors: int, size: int, width: int, plan: str) -> list[int]:
    """Return the shards that are not there, not as they were written, or of another plan.

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
    span = Span()
    for index in range(count(n_anchors, size)):
        rows = _rows(index, size, n_anchors)
        shard = _read(folder, index, (len(rows), width), plan)
        if shard is None:
            raise FileNotFoundError(f"shard {index} of {folder}")
        values[rows.start : rows.stop] = shard[0]
        reasons |= {rows.start + int(at): str(why) for at, why in shard[1].items()}
        span.merge(shard[2])
    return Scores(values, reasons, span)


def sweep(folder: Path) -> None:
    """Remove what writes that were killed left in a run folder more than an hour ago.

    Younger ones may be those of another process, which scores other shards. Folders behind links
    are left alone.
    """
    places = [folder, folder / SHARDS, folder / fit.FIT]
    for place in [place for place in places if place == folder or not place.is_symlink()]:
        for path in place.glob(".*"):
            with contextlib.suppress(FileNotFoundError):  # it was renamed by now
                old = time.time() - path.lstat().st_mtime > _MIN_AGE
                if _TEMPORARY.fullmatch(path.name) and old:
                    path.unlink()


def _rows(index: int, size: int, n: int) -> range:
    return range(index * size, min((index + 1) * size, n))


def _path(folder: Path, index: int) -> Path:
    return folder / SHARDS / f"{index:06d}.safetensors"


def _checksum(index: int, values: NDArray[np.float64], texts: Mapping[str, str]) -> str:
    """Return the checksum of a shard, its place among the others included."""
    head = json.dumps([index, values.shape, str(values.dtype), dict(texts)], sort_keys=True)
    return checksum(head.encode() + values.tobytes())


def _read(
    folder: Path, index: int, shape: tuple[int, int], plan: str
) -> tuple[NDArray[np.float64], dict[str, Any], Span] | None:
    most = _MOST_HEADER + shape[0] * (_MOST_REASON + 8 * shape[1])
    limit = Limit("SHARD", most, "bytes of a shard")
    try:
        arrays, metadata = read_tensors(_path(folder, index), limit)
        values, about = arrays["values"], json.loads(metadata[_ABOUT])
        texts = {name: about[name] for name in ("reasons", "span", "plan")}
        if about["plan"] != plan or about["checksum"] != _checksum(index, values, texts):
            return None
        whys, span = json.loads(texts["reasons"]), Span.of(json.loads(texts["span"]))
        good = values.shape == shape and values.dtype == np.float64
        good = good and all(0 <= int(at) < shape[0] for at in whys)
        return (values, whys, span) if good else None
    except Exception:  # absent, or not one of ours: it is scored again
        return None
