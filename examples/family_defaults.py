"""Run everything without any argument on a trained model of every family: what happens, how long.

    python examples/family_defaults.py --output docs/results

For a model of each family of ``families.py``, and the shipped VAE as a black box:
``PXGen(model).fit()``, ``explain(X)``, ``compare(model, X)``, ``compare(model, X, methods="all")``,
``evaluate`` and an audit of the settings that ``pxgen init`` writes, in which only the model, the
anchors and the conditions are replaced. The table says which criteria and rule were chosen, the
processor seconds of each step on one thread, and how many methods ran; below it stands which could
not, and why. ``--family`` and ``--steps`` run some only, and keep the other rows and cells.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import re
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from families import load, names
from numpy.typing import NDArray

from pxgen_plugins import PXGen, compare, describe
from pxgen_plugins.audit.cli import run as pxgen
from pxgen_plugins.datasets import load_mnist_vae
from pxgen_plugins.evaluation import Scorecard, evaluate
from pxgen_plugins.models import VAE, BlackBox
from pxgen_plugins.utils.files import write_atomic
from pxgen_plugins.utils.text import markdown_table

__all__ = ["STEPS", "audit", "audit_settings", "measure", "model_of", "subject"]

_log = logging.getLogger("family_defaults")
STEPS = ("fit", "explain", "compare", "audit", "compare all", "evaluate")
_BOX = "black_box"
FAMILIES = (
    "autoencoder", _BOX, "conditional_vae", "diffusion", "flow", "gan", "language_model",
    "sample_bank", "tabular", "text_to_image", "vae", "vqvae",
)  # fmt: skip
_NOTHING: dict[str, Any] = {"ran": [], "cannot": {}, "failed": {}}
_CONDITION = "HIHE.count >= 0"
# what differs from machine to machine in a reason
_DURATION = re.compile(r"about [\d,]+ minutes")


def subject(name: str, n: int) -> tuple[Any, Any]:
    """Return a family's model and ``n`` instances of its own kind, held out from training.

    Raises:
        FileNotFoundError: When its weights are not there.
    """
    family = load("vae" if name == _BOX else name)
    X = family.in_domain
    return model_of(name), X.iloc[:n] if hasattr(X, "iloc") else X[:n]


def model_of(name: str) -> Any:
    """Return a family's model: the factory of the audits."""
    return _black_box() if name == _BOX else load(name).model


def _black_box() -> BlackBox:
    """Return the shipped VAE behind a wall, which gives divergences and errors, and samples."""
    vae = VAE(load_mnist_vae(), sample_shape=(1, 28, 28))

    def values(X: NDArray[Any]) -> NDArray[np.float64]:
        with torch.no_grad():
            x = torch.from_numpy(np.asarray(X, dtype=np.float32))
            mean, log_var = vae.encode(x)
            divergence = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).flatten(1).sum(1)
            error = (vae.decode(mean) - x).square().flatten(1).mean(1)
        table: NDArray[np.float64] = torch.stack([divergence, error], 1).double().numpy()
        return table

    def draw(n: int, seed: int) -> NDArray[Any]:
        with torch.no_grad():
            samples: NDArray[Any] = vae.sample(n, seed).numpy()
        return samples

    return BlackBox(values, draw)


def audit_settings(name: str, X: Any, folder: Path) -> Path:
    """Write ``pxgen init``'s settings with another model, other anchors and another condition."""
    path = folder / "pxgen.yaml"
    pxgen(["init", str(path)])
    anchors = folder / ("anchors.jsonl" if isinstance(X, list) else "anchors.npy")
    if isinstance(X, list):
        anchors.write_text("".join(json.dumps({"text": text}) + "\n" for text in X), "utf-8")
    elif hasattr(X, "to_parquet"):
        anchors = folder / "anchors.parquet"
        X.to_parquet(anchors)
    else:
        np.save(anchors, X)
    text = path.read_text("utf-8")
    factory = f'factory: "family_defaults:model_of"\n  arguments: {{name: {name}}}'
    for old, new in (
        ("# allow: []", "allow: [family_defaults]"),
        ("shipped: mnist_vae", factory),
        ("shipped: mnist\n  limit: 2000", f"path: {anchors.name}"),
        ('- "label:0.HIHE.fraction >= 0.8"', f'- "{_CONDITION}"'),
    ):
        if old not in text:
            raise RuntimeError(f"pxgen init no longer writes {old!r}")
        text = text.replace(old, new, 1)
    path.write_text(text, "utf-8")
    return path


def audit(name: str, X: Any) -> dict[str, Any]:
    """Audit a family's model as ``pxgen init`` has it; return the exit code and what was said."""
    out = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(out),
    ):
        settings = str(audit_settings(name, X, Path(folder)))
        code = pxgen(["audit", settings, "--allow", "family_defaults", "--quiet"])
    return {"exit_code": code} | ({"said": out.getvalue()} if code else {})


def measure(
    name: str, n: int, steps: Sequence[str] = STEPS, keep: Callable[[dict[str, Any]], object] = id
) -> dict[str, Any]:
    """Return what the steps of a family chose, whether they ran, and their processor seconds.

    Args:
        name: Of a file of ``family_models``, or ``"black_box"``.
        n: Anchors.
        steps: Which of :data:`STEPS`; ``fit`` and ``explain`` always run.
        keep: Gets what is there after each step.

    Raises:
        FileNotFoundError: When its weights are not there.
    """
    model, X = subject(name, n)
    seconds: dict[str, float] = {}
    found: dict[str, Any] = {"family": describe(model).family, "seconds": seconds}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a few anchors and repeats: shares are uncertain
        with _timed(seconds, "fit"):
            explainer = PXGen(model).fit()
        with _timed(seconds, "explain"):
            explanation = explainer.explain(X)
        found["criteria"] = [criterion.name for criterion in explainer.criteria]
        found["threshold"] = _rule(explainer.threshold)
        found["counts"] = {kind: group["count"] for kind, group in explanation.groups.items()}
        calls: dict[str, Callable[[], Any]] = {
            "compare": lambda: _methods(compare(model, X).table()),
            "audit": lambda: audit(name, X),
            "compare all": lambda: _methods(compare(model, X, methods="all").table()),
            "evaluate": lambda: _checks(evaluate(explainer, X)),
        }
        for step, call in calls.items():
            if step in steps:
                with _timed(seconds, step):
                    found[step] = call()
                keep(found)
    return found


def _rule(rule: Any) -> str:
    return f"{type(rule).__name__}, {rule.n_samples:,} x {rule.n_repeats:,}"


@contextlib.contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    start = time.process_time()
    yield
    seconds[step] = round(time.process_time() - start, 1)
    _log.info("  %s: %s s", step, seconds[step])


def _methods(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return which methods ran, which could not and which failed, with reason or error."""
    rows = [row for row in rows if row["method"] != "shared work"]
    text = {row["method"]: row["reason"] or row["error"] for row in rows}
    by = {s: [r["method"] for r in rows if r["status"] == s] for s in ("ran", "cannot", "failed")}
    return {
        "ran": by["ran"],
        "cannot": {name: _DURATION.sub("minutes", text[name]) for name in by["cannot"]},
        "failed": {name: text[name] for name in by["failed"]},
        "unmeasured": [r["method"] for r in rows if "not measured" in (r["quality"] or {})],
    }


def _checks(card: Scorecard) -> dict[str, Any]:
    """Return how many checks passed, and what those that failed say of the model."""
    wrong = []
    for row in card.failed:
        limit = f"at least {row.low:.2f}" if row.low is not None else f"at most {row.high:.2f}"
        wrong.append(f"{row.case}, {row.measure}: {row.value:.2f}, not {limit}")
    return card.counts() | {"rows_failed": wrong}


def markdown(results: dict[str, dict[str, Any]], n: int) -> str:
    """Return the table, and which methods could not run with which family, and why."""
    columns = [f"{step}, s" for step in STEPS]
    head = ["model", "family", "criteria", "thresholds", *columns, "methods that ran"]
    rows, notes = [], []
    for name, found in results.items():
        if "absent" in found:
            notes += [f"## {name}", "", f"Left out: {found['absent']}", ""]
            continue
        everything = found.get("compare all", _NOTHING)
        n_methods = len(everything["ran"]) + len(everything["cannot"]) + len(everything["failed"])
        seconds = [str(found["seconds"].get(step, "")) for step in STEPS]
        criteria = ", ".join(found["criteria"])
        of_all = f"{len(everything['ran'])} of {n_methods}" if n_methods else ""
        rows.append([name, found["family"], criteria, found["threshold"], *seconds, of_all])
        notes += _notes(name, found)
    return "\n".join(
        [
            "# Defaults on trained models, family by family",
            "",
            "Made by `python examples/family_defaults.py`; its docstring says what is run: no step",
            f"has any further argument. {n} anchors of the model's own kind; processor seconds on",
            "one thread. `fit`, which does not depend on the anchors, is part of `compare` and of",
            "the audit, and several times of `evaluate`. A method that cannot serve a model is a",
            "row with its reason, below.",
            "",
            *markdown_table(head, rows, n_left=4),
            "",
            *notes,
        ]
    )


def _notes(name: str, found: dict[str, Any]) -> list[str]:
    """Return the methods that a default comparison runs, and the reasons of those that cannot."""
    reasons: dict[str, list[str]] = {}
    for method, reason in found.get("compare all", _NOTHING)["cannot"].items():
        reasons.setdefault(reason, []).append(method)
    usual = ", ".join(found.get("compare", _NOTHING)["ran"][1:]) or "none besides PXGen"
    lines = [f"- {', '.join(methods)}: {reason}" for reason, methods in reasons.items()]
    lines += [f"- evaluate: {row}" for row in found.get("evaluate", {}).get("rows_failed", ())]
    return [f"## {name}", "", f"Compared by default: {usual}.", "", *lines, *([""] * bool(lines))]


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    logging.basicConfig(format="%(message)s")
    _log.setLevel(logging.INFO)  # of this script alone: libraries log their arrays
    parser = argparse.ArgumentParser(description="Run every default on a model of every family.")
    parser.add_argument("--family", nargs="+", choices=[*names(), _BOX], default=list(FAMILIES))
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--n-anchors", type=int, default=24)
    parser.add_argument("--output", type=Path, default=Path("family_defaults"))
    given = parser.parse_args(argv)
    given.output.mkdir(parents=True, exist_ok=True)
    path = given.output / "family_defaults.json"
    results = json.loads(path.read_text("utf-8")) if path.exists() else {}

    def keep(name: str, found: dict[str, Any]) -> None:
        old = {key: value for key, value in results.get(name, {}).items() if key != "absent"}
        merged = old | found | {"seconds": old.get("seconds", {}) | found.get("seconds", {})}
        results[name] = merged
        ordered = {name: results[name] for name in sorted(results)}
        write_atomic(path, (json.dumps(ordered, indent=1) + "\n").encode())
        page = markdown(ordered, given.n_anchors)
        write_atomic(given.output / "family_defaults.md", page.encode())

    for name in given.family:
        try:
            measure(name, given.n_anchors, given.steps, partial(keep, name))
        except FileNotFoundError as error:  # one absent model ends no other's turn
            _log.warning("%s is left out: %s", name, error)
            results.setdefault(name, {"absent": str(error)})


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
