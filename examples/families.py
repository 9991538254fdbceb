"""Try every model family on a really trained model: do criteria tell its own kind from others?

    python examples/families.py --output docs/results

For each file of ``family_models`` that has a ``build``, its model is explained with instances of
the kind it was trained on, held out from training, and with others: noise, constant images,
negatives, another data set. The table gives, per criterion, the area under the ROC curve of each
kind of others against its own (0.5 = no difference, 1 = all others have larger values), and the
share of each kind in HIHE under the first pair of criteria, with thresholds at the 99% quantile of
the model's own samples. A family whose published weights are not beside the repository is left out
and named. ``--family`` tries some families only, and keeps the other rows of the output.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from family_models.common import Family
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from pxgen_plugins import PXGen, describe
from pxgen_plugins.thresholds import Quantile
from pxgen_plugins.utils.files import write_atomic
from pxgen_plugins.utils.text import markdown_table

_log = logging.getLogger("families")
FOLDER = Path(__file__).parent / "family_models"
OWN = "its own kind"


def names() -> list[str]:
    """Return the families that have a model here: the files with a ``build``."""
    return sorted(p.stem for p in FOLDER.glob("*.py") if "\ndef build(" in p.read_text("utf-8"))


def load(name: str) -> Family:
    """Return the family's model and what it is tried on.

    Raises:
        FileNotFoundError: When its weights are not there.
    """
    return Family(*importlib.import_module(f"family_models.{name}").build())


def measure(family: Family, n_samples: int, seed: int = 0) -> dict[str, Any]:
    """Return what the criteria make of the family's own kind and of others.

    Args:
        family: The model and the instances.
        n_samples: Samples behind the thresholds, per repeat; there are two repeats.
        seed: Seed of the explainer.
    """
    started = time.perf_counter()
    explainer = PXGen(
        family.model,
        intrinsic=list(family.intrinsic),
        extrinsic=list(family.extrinsic),
        threshold=Quantile(0.99, n_samples, 2),
        selectors=(),
        examples=False,
        seed=seed,
    )
    explainer.fit(family.reference)
    tables: dict[str, NDArray[np.float64]] = {}
    for kind, instances in {OWN: family.in_domain, **family.out_of_domain}.items():
        found = explainer.explain(instances)
        tables[kind] = np.asarray(found.values, dtype=float)
    criteria, cuts = list(found.criteria), found.thresholds
    pair = [0, len(family.intrinsic)]
    limits = np.array([cuts[criteria[j]] for j in pair])
    own = tables[OWN]
    described = describe(family.model)
    return {
        "family": described.family,
        "origin": described.origin,
        "n": {kind: len(table) for kind, table in tables.items()},
        "pair": [criteria[j] for j in pair],
        "hihe": {k: float((table[:, pair] <= limits).all(1).mean()) for k, table in tables.items()},
        "auroc": {
            criterion: {
                kind: _auroc(own[:, j], table[:, j])
                for kind, table in tables.items()
                if kind != OWN
            }
            for j, criterion in enumerate(criteria)
        },
        "seconds": round(time.perf_counter() - started, 1),
    }


def _auroc(own: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    truth = np.r_[np.zeros(len(own)), np.ones(len(others))]
    # a value that is not finite is as far from the model as can be
    largest = float(np.finfo(float).max)
    values = np.nan_to_num(np.r_[own, others], nan=largest, posinf=largest)
    return float(roc_auc_score(truth, values))


def markdown(results: dict[str, dict[str, Any]]) -> str:
    """Return the tables."""
    lines = [
        "# Families on trained models",
        "",
        "Written by `python examples/families.py`; its docstring says what is measured. Area under",
        "the ROC curve of others against the model's own kind, per criterion; the last row is the",
        "share in HIHE (%) under the first intrinsic and the first extrinsic criterion.",
        "",
    ]
    for name, found in results.items():
        if "absent" in found:
            lines += [f"## {name}", "", f"Left out: {found['absent']}", ""]
            continue
        kinds = list(found["hihe"])[1:]
        sizes = ", ".join(f"{kind} {n}" for kind, n in found["n"].items())
        heading = found["family"] + (f", {found['origin']}" if found["origin"] else "")
        document = " ".join((found["what"] or "").split())
        rows = [
            [criterion, "", *(f"{found['auroc'][criterion][kind]:.3f}" for kind in kinds)]
            for criterion in found["auroc"]
        ]
        shares = [f"{100 * found['hihe'][kind]:.1f}" for kind in found["hihe"]]
        rows.append([f"HIHE % under {found['pair'][0]}, {found['pair'][1]}", *shares])
        lines += [f"## {name}", "", f"{document} ({heading}.) Instances: {sizes}.", ""]
        lines += [*markdown_table(["criterion", OWN, *kinds], rows, n_left=1), ""]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description="Try every model family on a trained model.")
    parser.add_argument("--family", nargs="+", choices=names(), default=names())
    parser.add_argument("--n-samples", type=int, default=300)
    parser.add_argument("--output", type=Path, default=Path("families"))
    given = parser.parse_args(argv)
    given.output.mkdir(parents=True, exist_ok=True)
    path = given.output / "families.json"
    results = json.loads(path.read_text("utf-8")) if path.exists() else {}
    for name in given.family:
        try:
            family = load(name)
        except FileNotFoundError as error:
            _log.warning("%s is left out: %s", name, error)
            results.setdefault(name, {"absent": str(error)})
            continue
        found = measure(family, given.n_samples)
        document = importlib.import_module(f"family_models.{name}").__doc__
        results[name] = {"what": (document or "").partition("\n\n")[0].strip()} | found
        _log.info("%s: %s", name, json.dumps(found["auroc"]))
    results = {name: results[name] for name in sorted(results)}
    write_atomic(path, (json.dumps(results, indent=1) + "\n").encode())
    write_atomic(given.output / "families.md", (markdown(results)).encode())


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
