"""A finished run in MLflow: parameters, metrics, tags and files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pxgen_plugins.audit.digests import path_digest
from pxgen_plugins.audit.escaping import distinct, visible
from pxgen_plugins.audit.run_folder import Run
from pxgen_plugins.audit.verdicts import STATES, overall_verdict
from pxgen_plugins.audit.writers.base import file_names
from pxgen_plugins.utils import optional
from pxgen_plugins.utils.errors import ParameterError

__all__ = ["log_run"]

_WHERE = "pxgen log"
_LONGEST_NAME = 200  # bytes; MLflow takes 250 characters, a file store 255 bytes
_LONGEST_VALUE = 5_000  # characters; MLflow takes 6,000, older servers 5,000 of a tag
_BATCH = 100  # parameters or tags in a request
_RESULTS = ("manifest.json", "explanation.json", "conditions.json", "anchors.parquet")
_RUN, _LOGGED = "pxgen.run", "pxgen.logged"
# MLflow reads these at every call; without the last, it refuses file stores since 3.13.
_ALWAYS = (
    "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT",
)  # fmt: skip
_UNLESS_SET = ("MLFLOW_ALLOW_FILE_STORE",)


def log_run(
    run: Run | str | os.PathLike[str],
    *,
    experiment: str | None = None,
    run_name: str | None = None,
    tracking_uri: str | os.PathLike[str] | None = None,
) -> str:
    """Write a finished run to MLflow and return the id that it has there.

    Parameters are the settings, flattened (``pxgen.threshold.q``). Metrics are counts and
    fractions of groups, thresholds, how many conditions are in each state, and per condition its
    value and whether it passed (``pxgen/condition/...``, 1 or 0; none when it was skipped). Tags
    are the verdict, the failing conditions and the digests. The files lie under ``pxgen/``.

    What was logged whole is not logged again: the id of the first time is returned. What was cut
    off is completed. An active run of MLflow, or the one that ``MLFLOW_RUN_ID`` names, is written
    to and left open, unless ``experiment``, ``run_name`` or ``tracking_uri`` says otherwise.
    MLflow's telemetry is off during the call, and in the whole process where this call is the
    first to import MLflow. Both ``mlflow`` and ``mlflow-skinny`` will do.

    Args:
        run: The run, or its folder.
        experiment: Name of the experiment, made when absent; without it what
            ``MLFLOW_EXPERIMENT_ID`` or ``MLFLOW_EXPERIMENT_NAME`` says, else ``"pxgen"``.
        run_name: Name of a new run in MLflow; the audit's without it.
        tracking_uri: Server, database or folder; without it what MLflow was told
            (``MLFLOW_TRACKING_URI``), or else the database ``mlflow.db`` or the folder ``mlruns``
            in the current directory, whichever is there; a new ``mlruns`` where none is.

    Returns:
        MLflow's run id.

    Raises:
        ParameterError: When it is not a finished run, the store does not take it, or the active
            run holds another audit.
        MissingDependencyError: When MLflow is absent.

    Cost: reads the results once, and writes the files of the run.
    """
    found = run if isinstance(run, Run) else Run.open(Path(run))
    with _settled():
        mlflow = optional.load("mlflow", "mlflow", _WHERE)
        try:
            chosen = experiment is not None or run_name is not None or tracking_uri is not None
            active = None if chosen else _active(mlflow)
            if tracking_uri is None and active is None:
                tracking_uri = _default_uri(mlflow)
            client = mlflow.MlflowClient(None if tracking_uri is None else os.fspath(tracking_uri))
            return _logged(mlflow, client, found, active, experiment, run_name)
        except (mlflow.exceptions.MlflowException, OSError, ImportError) as error:
            got = visible(f"{type(error).__name__}: {error}", 600)
            hint = "Check the tracking URI and the experiment."
            raise ParameterError(
                "tracking_uri", _WHERE, "a store that takes the run", got, hint
            ) from error


def _logged(
    mlflow: Any,
    client: Any,
    run: Run,
    active: str | None,
    experiment: str | None,
    run_name: str | None,
) -> str:
    digest = _digest(run)
    given = {_RUN: digest, **_tags(run)}
    if active is None:
        where = _experiment(client, experiment)
        before = client.search_runs([where], f"tags.`{_RUN}` = '{digest}'", max_results=1)
        name = visible(run_name or run.manifest["name"], _LONGEST_NAME)
        one = before[0] if before else client.create_run(where, tags=given, run_name=name)
    else:
        one = client.get_run(active)
        if one.data.tags.get(_RUN, digest) != digest:
            hint = "Use mlflow.start_run(nested=True) for each audit."
            raise ParameterError("run", _WHERE, "the only one in the active run", "another", hint)
    run_id = str(one.info.run_id)
    if _LOGGED in one.data.tags:
        return run_id
    entities, now = mlflow.entities, int(time.time() * 1000)
    params = [entities.Param(name, value) for name, value in _params(run).items()]
    tags = [entities.RunTag(name, value) for name, value in given.items()]
    client.log_batch(run_id, tags=tags)  # first: an active run then takes no other audit
    for start in range(0, len(params), _BATCH):
        client.log_batch(run_id, params=params[start : start + _BATCH])
    metrics = [entities.Metric(name, value, now, 0) for name, value in _metrics(run).items()]
    for start in range(0, len(metrics), _BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + _BATCH])
    for name in file_names():
        path = run.path / name
        if path.is_file() and not path.is_symlink():  # no file of elsewhere leaves the machine
            client.log_artifact(run_id, str(path), "pxgen")
    if active is None:
        client.set_terminated(run_id)
    client.set_tag(run_id, _LOGGED, "true")  # last: with it the run is complete
    return run_id


@contextlib.contextmanager
def _settled() -> Iterator[None]:
    """Set MLflow's switches for a while."""
    names = [*_ALWAYS, *(name for name in _UNLESS_SET if name not in os.environ)]
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "true"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _active(mlflow: Any) -> str | None:
    found = mlflow.active_run()
    return os.environ.get("MLFLOW_RUN_ID") or None if found is None else str(found.info.run_id)


def _default_uri(mlflow: Any) -> str | None:
    """Return a folder, or None for MLflow's own choice."""
    # A new mlruns would hide a database from MLflow, which prefers the folder.
    if mlflow.is_tracking_uri_set() or Path("mlflow.db").exists():
        return None
    return Path("mlruns").absolute().as_uri()


def _experiment(client: Any, name: str | None) -> str:
    known = os.environ.get("MLFLOW_EXPERIMENT_ID")
    if name is None and known:
        return known
    name = name or os.environ.get("MLFLOW_EXPERIMENT_NAME") or "pxgen"
    found = client.get_experiment_by_name(name)
    return str(client.create_experiment(name) if found is None else found.experiment_id)


def _digest(run: Run) -> str:
    parts = [path_digest(run.path / name) for name in _RESULTS]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _params(run: Run) -> dict[str, str]:
    """Return the settings, nested names joined by dots; what is not set is left out."""
    flat: list[tuple[str, Any]] = []

    def flatten(place: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                flatten(f"{place}.{_name(key)}", inner)
        elif value is not None:
            flat.append((place, value if isinstance(value, str) else json.dumps(value)))

    flatten("pxgen", run.manifest["settings"])
    flat.append(("pxgen.n_anchors", str(run.manifest["n_anchors"])))
    names = distinct((_cut(place) for place, _ in flat), " ")
    return {
        name: visible(value, _LONGEST_VALUE) for name, (_, value) in zip(names, flat, strict=True)
    }


def _metrics(run: Run) -> dict[str, float]:
    """Return what is a finite number."""
    n, result = run.result.n, run.result
    counts = {name: group.count for name, group in result.groups.items()}
    counts["invalid"] = len(result.invalid)
    found: dict[str, float | None] = {
        f"pxgen/count/{name}": count for name, count in counts.items()
    }
    if n:
        found |= {f"pxgen/fraction/{name}": count / n for name, count in counts.items()}
    thresholds = distinct(map(_name, result.criteria), " ")
    for name, value in zip(thresholds, result.thresholds.tolist(), strict=True):
        found[f"pxgen/threshold/{name}"] = value
    _, states = overall_verdict(run.judgements)
    found |= {f"pxgen/conditions/{state}": states.get(state, 0) for state in STATES}
    titles = distinct((_name(one.title) for one in run.judgements), " ")
    for name, one in zip(titles, run.judgements, strict=True):
        found[f"pxgen/observed/{name}"] = one.observed
        if one.state != "skipped":
            found[f"pxgen/condition/{name}"] = one.state == "passed"
    return {
        name: float(value)
        for name, value in found.items()
        if value is not None and math.isfinite(value)
    }


def _tags(run: Run) -> dict[str, str]:
    bad = [one.title for one in run.judgements if one.state in {"failed", "error"}]
    tags = {
        "audit": run.manifest["name"],
        "version": run.manifest["pxgen"],
        "verdict": overall_verdict(run.judgements)[0],
        "failing": "; ".join(visible(name, 200) for name in bad),
        **{f"digest.{name}": value for name, value in run.manifest["digests"].items()},
    }
    return {f"pxgen.{_name(name)}": visible(tags[name], _LONGEST_VALUE) for name in tags}


def _name(text: Any) -> str:
    """Return a name that MLflow and every file system take."""
    found = _cut(re.sub(r"[^\w.\- ]+", "_", str(text)).strip(" ."))
    return found or "_"


def _cut(text: str, longest: int = _LONGEST_NAME) -> str:
    return text.encode()[:longest].decode(errors="ignore").rstrip(" .")
