"""Try every model family on a really trained model: do criteria tell its own kind from others?

    python examples/families.py --output docs/results

For each file of ``family_models`` that has a ``build``, its model is explained with instances of
the kind it was trained on, held out from training, and with others: noise, constant images,
negatives, another data set. The table gives, per criterion, the area under the ROC curve of each
kind of others against its own (0.5 = no difference, 1 = all others have larger values), and the
share of each kind in HIHE under the first pair of criteria: with thresholds at the 99% quantile of
the model's own samples, and from held-out data of the model's own kind, by ``Conformal(0.05,
joint=True, source="reference")``. The latter calibrates on a random half of its own kind and counts
the other half, 200 times; strangers are counted against thresholds from all of it. A family whose
published weights are not beside the repository is left out and named. ``--family`` tries some
families only, and keeps the other rows of the output.
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
from pxgen_plugins.criteria import FittedCriterion
from pxgen_plugins.thresholds import Conformal, Quantile
from pxgen_plugins.utils.files import write_atomic
from pxgen_plugins.utils.text import markdown_table

_log = logging.getLogger("families")
FOLDER = Path(__file__).parent / "family_models"
OWN = "its own kind"
JOINT = Conformal(0.05, joint=True, source="reference")
_HALVINGS = 200
_SERVED = 0.8  # of its own kind in HIHE, below which the tables name the rule that serves a family


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
    learn = any(isinstance(c, FittedCriterion) and c.learns_from_data for c in explainer.criteria)
    explainer.fit(family.reference if learn else None)
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
        "joint": joint_shares({kind: table[:, pair] for kind, table in tables.items()}, seed),
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


def joint_shares(tables: dict[str, NDArray[np.float64]], seed: int) -> dict[str, Any]:
    """Return shares in HIHE with thresholds from the model's own kind.

    Args:
        tables: Values of two criteria by kind, its own first.
        seed: Seed of the halvings.

    Returns:
        ``hihe`` by kind, ``interval`` (2.5% to 97.5% of the halvings) of its own; or ``too_few``,
        how many of its own kind there are.
    """
    own = tables[OWN][np.isfinite(tables[OWN]).all(axis=1)]
    rng, shares = np.random.default_rng(seed), []
    half = len(own) // 2
    if JOINT.n_cuts(half) < own.shape[1]:
        return {"too_few": len(own)}
    for _ in range(_HALVINGS):
        order = rng.permutation(len(own))
        cut = JOINT.threshold(own[order[:half]])
        shares.append(float((own[order[half:]] < cut).all(axis=1).mean()))
    cut = JOINT.threshold(own)
    hihe = {k: float((table < cut).all(axis=1).mean()) for k, table in tables.items()}
    ends = np.quantile(shares, [0.025, 0.975]).tolist()
    return {"hihe": hihe | {OWN: float(np.mean(shares))}, "interval": ends}


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
        "the ROC curve of others against the model's own kind, per criterion; the last rows are",
        "the share in HIHE (%) under the first intrinsic and the first extrinsic criterion, with",
        "thresholds from the model's own samples and from held-out data of its own kind. That is",
        'own kind in HIHE under `Conformal(0.05, joint=True, source="reference")`, which promises',
        "95% (behind it 2.5% to 97.5% of the halvings). A criterion below 0.5 ranks strangers as",
        "nearer than the model's own kind: no threshold serves it, and another criterion does.",
        "",
        *_served(results),
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
        rows.append([f"HIHE %, {found['pair'][0]} and {found['pair'][1]}, samples", *shares])
        rows += _joint_row(found, kinds)
        lines += [f"## {name}", "", f"{document} ({heading}.) Instances: {sizes}.", ""]
        lines += [*markdown_table(["criterion", OWN, *kinds], rows, n_left=1), ""]
    return "\n".join(lines)


def _joint_row(found: dict[str, Any], kinds: list[str]) -> list[list[str]]:
    joint = found.get("joint")
    if joint is None:  # of a run that knew no thresholds from data
        return []
    if "too_few" in joint:
        why = f"n/a: half of {joint['too_few']} is too few for two criteria at 5%"
        return [["HIHE %, the same, reference", why, *("" for _ in kinds)]]
    low, high = (100 * end for end in joint["interval"])
    own = f"{100 * joint['hihe'][OWN]:.1f} ({low:.1f} to {high:.1f})"
    others = [f"{100 * joint['hihe'][kind]:.1f}" for kind in kinds]
    return [["HIHE %, the same, reference", own, *others]]


def _served(results: dict[str, dict[str, Any]]) -> list[str]:
    """Return which families' own kind is not HIHE under samples, and what serves them."""
    rows = []
    for name, found in results.items():
        joint = found.get("joint", {})
        if "absent" in found or found["hihe"][OWN] >= _SERVED or "hihe" not in joint:
            continue
        worst = max((kind for kind in joint["hihe"] if kind != OWN), key=joint["hihe"].__getitem__)
        best = max(found["auroc"], key=lambda name: min(found["auroc"][name].values()))
        rows.append(
            [
                name,
                f"{100 * found['hihe'][OWN]:.1f}",
                f"{100 * joint['hihe'][OWN]:.1f}",
                f"{worst} {100 * joint['hihe'][worst]:.1f}",
                f"{best} ({min(found['auroc'][best].values()):.3f})",
            ]
        )
    if not rows:
        return []
    head = [
        "family",
        "own kind, Quantile(0.99) of samples",
        "own kind, Conformal of reference",
        "highest stranger under it",
        "best criterion (its lowest area)",
    ]
    return [
        f"Own kind less than {100 * _SERVED:.0f}% HIHE (%) under the model's samples, and the rule",
        "that serves: thresholds from reference data. Where a stranger stays high under it, the",
        "criteria do not tell it, whatever the threshold.",
        "",
        *markdown_table(head, rows, n_left=1),
        "",
    ]


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
