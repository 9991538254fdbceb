"""A finished run in MLflow: parameters, metrics, tags and files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pxgen_plugins.audit.digests import path_digest
from pxgen_plugins.audit.escaping import distinct, visible
from pxgen_plugins.audit.run_folder import Run
from pxgen_plugins.audit.verdicts import STATES, overall_verdict
from pxgen_plugins.audit.writers.base import file_names
from pxgen_plugins.utils import optional
from pxgen_plugins.utils.errors import ParameterError, caller
from pxgen_plugins.utils.storage import Storage, storage_of

__all__ = ["log_run"]

_MAX_NAME = 200  # bytes; MLflow takes 250 characters, a file store 255 bytes
_MAX_VALUE = 5_000  # characters; MLflow takes 6,000, older servers 5,000 of a tag
_RESULTS = ("manifest.json", "explanation.json", "conditions.json", "anchors.parquet")
_DIGEST = "pxgen.run"
_ON = ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT")


@caller("pxgen log")
def log_run(
    run: Run | Storage | str | os.PathLike[str],
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

    A run that is there already is not written again: its id is returned. An active run of MLflow
    is written to and left open, and so is used the one that ``MLFLOW_RUN_ID`` names, unless
    ``experiment``, ``run_name`` or ``tracking_uri`` says otherwise. MLflow's telemetry is off
    during the call, and in the whole process where this call is the first to import MLflow. Both
    ``mlflow`` and ``mlflow-skinny`` will do.

    Args:
        run: The run, or its folder: a path or a URL.
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
    if not isinstance(run, Run):
        run = Run.open(run if isinstance(run, (str, Storage)) else Path(run))
    with storage_of(run.path).copy() as place:
        return _write(replace(run, path=place), experiment, run_name, tracking_uri)


def _write(
    results: Run,
    experiment: str | None,
    run_name: str | None,
    tracking_uri: str | os.PathLike[str] | None,
) -> str:
    """Write a run whose files are on this machine; return its id."""
    elsewhere = experiment is not None or run_name is not None or tracking_uri is not None
    with _environment():
        if elsewhere:
            os.environ.pop("MLFLOW_RUN_ID", None)
        mlflow: Any = optional.load("mlflow", "mlflow")
        try:
            if not elsewhere and mlflow.active_run() is not None:
                return _log(mlflow, results)
            with _store(mlflow, tracking_uri):
                if os.environ.get("MLFLOW_RUN_ID"):
                    with mlflow.start_run():
                        return _log(mlflow, results)
                where = _experiment(mlflow, experiment)
                same = f"tags.`{_DIGEST}` = '{_digest(results)}'"
                before = mlflow.search_runs([where], same, max_results=1, output_format="list")
                if before:
                    return str(before[0].info.run_id)
                name = visible(run_name or results.manifest["name"], _MAX_NAME)
                with mlflow.start_run(experiment_id=where, run_name=name, nested=True):
                    return _log(mlflow, results)
        except (mlflow.exceptions.MlflowException, OSError, ImportError) as error:
            got = visible(f"{type(error).__name__}: {error}", 600)
            hint = "Check the tracking URI and the experiment."
            raise ParameterError("tracking_uri", "a store that takes the run", got, hint) from error


def _log(mlflow: Any, run: Run) -> str:
    """Write to the active run, unless it holds this audit already; return its id."""
    run_id = str(mlflow.active_run().info.run_id)
    digest, folder = _digest(run), _files(run)
    before = mlflow.get_run(run_id).data.tags.get(_DIGEST)
    if before == digest:
        return run_id
    if before is not None:
        hint = "Use mlflow.start_run(nested=True) for each audit."
        raise ParameterError("run", "the only one in the active run", "another", hint)
    mlflow.log_params(_params(run), synchronous=True)
    mlflow.log_metrics(_metrics(run), synchronous=True)
    for name in file_names():
        path = folder / name
        if path.is_file() and not path.is_symlink():  # no file of elsewhere leaves the machine
            mlflow.log_artifact(str(path), "pxgen")
    mlflow.set_tags(_tags(run), synchronous=True)
    mlflow.set_tag(_DIGEST, digest, synchronous=True)  # last: with it the run is complete
    return run_id


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Set MLflow's switches for a while, and leave the environment as it was."""
    before = dict(os.environ)
    os.environ.update(dict.fromkeys(_ON, "true"))
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # refused since 3.13 without it
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextlib.contextmanager
def _store(mlflow: Any, uri: str | os.PathLike[str] | None) -> Iterator[None]:
    """Use a store for a while; without one MLflow's own choice, or a new folder ``mlruns``."""
    # a new mlruns would hide a database from MLflow, which prefers the folder
    if uri is None and not mlflow.is_tracking_uri_set() and not Path("mlflow.db").exists():
        uri = Path("mlruns").absolute().as_uri()
    if uri is None:
        yield
        return
    mlflow.set_tracking_uri(os.fspath(uri))
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)  # what was set before stands in the environment too


def _experiment(mlflow: Any, name: str | None) -> str:
    """Return the id of an experiment, which is made where it is absent."""
    known = os.environ.get("MLFLOW_EXPERIMENT_ID")
    if name is None and known:
        return known
    name = name or os.environ.get("MLFLOW_EXPERIMENT_NAME") or "pxgen"
    experiment = mlflow.get_experiment_by_name(name)
    return str(mlflow.create_experiment(name) if experiment is None else experiment.experiment_id)


def _digest(run: Run) -> str:
    parts = [path_digest(_files(run) / name) for name in _RESULTS]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _files(run: Run) -> Path:
    assert isinstance(run.path, Path)  # as log_run sees to
    return run.path


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
    return {name: visible(value, _MAX_VALUE) for name, (_, value) in zip(names, flat, strict=True)}


def _metrics(run: Run) -> dict[str, float]:
    """Return what is a finite number."""
    n, result = run.result.n, run.result
    counts = {name: group.count for name, group in result.groups.items()}
    counts["invalid"] = len(result.invalid)
    metrics: dict[str, float | None] = {
        f"pxgen/count/{name}": count for name, count in counts.items()
    }
    if n:
        metrics |= {f"pxgen/fraction/{name}": count / n for name, count in counts.items()}
    thresholds = distinct(map(_name, result.criteria), " ")
    for name, value in zip(thresholds, result.thresholds.tolist(), strict=True):
        metrics[f"pxgen/threshold/{name}"] = value
    _, states = overall_verdict(run.judgements)
    metrics |= {f"pxgen/conditions/{state}": states.get(state, 0) for state in STATES}
    titles = distinct((_name(one.title) for one in run.judgements), " ")
    for name, one in zip(titles, run.judgements, strict=True):
        metrics[f"pxgen/observed/{name}"] = one.observed
        if one.state != "skipped":
            metrics[f"pxgen/condition/{name}"] = one.state == "passed"
    return {
        name: float(value)
        for name, value in metrics.items()
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
    return {f"pxgen.{_name(name)}": visible(tags[name], _MAX_VALUE) for name in tags}


def _name(text: Any) -> str:
    """Return a name that MLflow and every file system take."""
    return _cut(re.sub(r"[^\w.\- ]+", "_", str(text)).strip(" .")) or "_"


def _cut(text: str) -> str:
    return text.encode()[:_MAX_NAME].decode(errors="ignore").rstrip(" .")
