"""The command ``pxgen`` never imports Alibi, unless an adapter of Alibi's is asked for."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from .support import run

COMMAND = """
import json, os, sys
from pxgen_plugins.audit import cli
sys.argv = ["pxgen", "audit", {settings!r}]
try:
    cli.main()
except SystemExit as end:
    code = end.code
print(json.dumps([code, "alibi" in sys.modules, os.environ["PXGEN_WITHOUT_ALIBI"]]))
"""


def settings(folder: Path, **changes) -> str:
    path = folder / "pxgen.json"
    content = {
        "model": {"shipped": "mnist_vae"},
        "anchors": {"shipped": "mnist", "limit": 12},
        "threshold": {"name": "Quantile", "q": 0.99, "n_samples": 60, "n_repeats": 2},
        "shard_size": 6,
        "conditions": ["HIHE.count >= 0"],
        "output": str(folder / "run"),
        **changes,
    }
    path = path.with_suffix(".yaml")
    path.write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML
    return str(path)


def audited(folder: Path, **changes) -> list:
    printed = run(COMMAND.format(settings=settings(folder, **changes)), OMP_NUM_THREADS="1")
    return json.loads(printed.splitlines()[-1])


@pytest.mark.slow
def test_an_audit_does_not_import_alibi(tmp_path):
    adapters = {"names": ["latent_view"], "per_group": 2}
    assert audited(tmp_path, adapters=adapters) == [0, False, "1"]


@pytest.mark.slow
def test_an_audit_with_an_adapter_of_alibi_imports_it_where_it_is(tmp_path):
    adapters = {"names": ["protoselect"], "per_group": 2}
    there = importlib.util.find_spec("alibi") is not None
    assert audited(tmp_path, adapters=adapters) == [0, there, "1"]


WORKER = """
import json
from pxgen_plugins.utils import processes
from tests.host.test_light import probe

if __name__ == "__main__":
    print(json.dumps(list(processes.run(probe, [()], 1))))
"""


def probe() -> list:
    """What a worker of an audit has after it took over the work's modules."""
    import sys

    import pxgen_plugins.audit.work
    import pxgen_plugins.explainer  # noqa: F401

    return [name for name in ("alibi",) if name in sys.modules]


@pytest.mark.slow
def test_its_workers_do_not_either(tmp_path):
    assert json.loads(run(WORKER, PXGEN_WITHOUT_ALIBI="1")) == [[]]
