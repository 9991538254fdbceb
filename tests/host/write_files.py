"""Write what one world hands to the other: an explanation, an explainer and a run of an audit.

    PYTHON tests/host/write_files.py FOLDER

The folders ``with_alibi`` and ``without_alibi`` of ``tests/host/files`` are written by it, each in
its world; `README.md` there says when to write them anew.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np

from pxgen_plugins import PXGen
from pxgen_plugins.audit import engine
from pxgen_plugins.audit.settings import config_of
from pxgen_plugins.datasets import load_mnist
from pxgen_plugins.host import alibi_version
from pxgen_plugins.result import write_json
from pxgen_plugins.testing.examples import LinearModel
from pxgen_plugins.thresholds import Quantile

SETTINGS = {
    "model": {"shipped": "mnist_vae"},
    "anchors": {"shipped": "mnist", "limit": 12},
    "threshold": {"name": "Quantile", "q": 0.99, "n_samples": 100, "n_repeats": 2},
    "shard_size": 12,
    "conditions": ["label:0.HIHE.fraction >= 0.2"],
}


def images() -> np.ndarray:
    """Anchors of 8 x 8 pixels, the last one invalid."""
    X = load_mnist("test")[0][:40, ..., 6:22:2, 6:22:2].reshape(40, 1, 8, 8).astype(np.float32)
    X = X / max(1.0, float(X.max()))
    X[-1] = np.nan
    return X


def explainer() -> PXGen:
    """An explainer of a small linear model, fitted."""
    return PXGen(LinearModel(), threshold=Quantile(0.9, n_samples=50, n_repeats=2)).fit()


def write(folder: Path) -> None:
    """Write the files into ``folder``."""
    folder.mkdir(parents=True)
    fitted = explainer()
    fitted.save(folder / "explainer")
    write_json(fitted.explain(images(), labels=np.arange(40) % 2), folder / "explanation.json")
    config = config_of({**SETTINGS, "output": str(folder / "run")}, folder)
    plan, planned = engine.make_plan(config)
    engine.score(config, plan, planned)
    engine.finish(config, plan)
    (folder / "alibi.txt").write_text(f"{alibi_version()}\n")


if __name__ == "__main__":
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    write(Path(sys.argv[1]).absolute())
