"""Read what `write_files.py` wrote, in whichever world, and compare it with what this one gives.

PYTHON tests/host/read_files.py FOLDER
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from write_files import images, write

from pxgen_plugins import PXGen
from pxgen_plugins.audit.run_comparison import compare_runs
from pxgen_plugins.audit.run_folder import Run
from pxgen_plugins.host import Explanation, alibi_version
from pxgen_plugins.result import Result, read_json
from pxgen_plugins.testing.examples import LinearModel

RELATIVE = 1e-6


def check(folder: Path) -> None:
    """Raise unless everything in ``folder`` is read, and says what this world says."""
    text = (folder / "explanation.json").read_text(encoding="utf-8")
    written = (folder / "alibi.txt").read_text(encoding="utf-8").strip()
    theirs = read_json(folder / "explanation.json")
    assert str(theirs.meta["version"]) == written
    assert set(Explanation.from_json(text).data) == set(theirs.data)
    explainer = PXGen.load(folder / "explainer", LinearModel())
    assert explainer.meta["version"] == alibi_version()
    ours = explainer.explain(images(), labels=np.arange(40) % 2)
    same(Result.of(ours), Result.of(theirs))
    with tempfile.TemporaryDirectory() as name:
        write(Path(name, "here"))
        here, there = (Run.open(path / "run").result for path in (Path(name, "here"), folder))
    same(here, there)
    assert not any(len(moved) for moved in compare_runs(there, here).ways.values())


def same(one: Result, other: Result) -> None:
    """Raise unless two results agree: values to 1e-6, groups and representatives exactly."""
    assert one.criteria == other.criteria
    np.testing.assert_allclose(one.values, other.values, rtol=RELATIVE)
    np.testing.assert_allclose(one.thresholds, other.thresholds, rtol=RELATIVE)
    assert one.group.tolist() == other.group.tolist()
    for name, group in one.groups.items():
        picks, others = group.representatives, other.groups[name].representatives
        assert {k: list(v) for k, v in picks.items()} == {k: list(v) for k, v in others.items()}


if __name__ == "__main__":
    check(Path(sys.argv[1]))
