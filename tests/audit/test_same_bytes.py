"""Two runs of one audit are equal in every byte, whatever else differs between them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("yaml")
pytest.importorskip("jinja2")

# The model holds what has no order or an address: sets, functions, objects; it names them when it
# refuses an anchor. The texts are long, so that what is stored of them ends within an address.
MODEL = """
import time
import torch
from torch import nn
from pxgen_plugins.models import VAE

class Options:
    def __init__(self, **values):
        self.__dict__.update(values)

class Net(nn.Module):
    def __init__(self, options):
        super().__init__()
        self.options, self.names = options, {"b", "a", "d", "c"}
        self.act = lambda x: x.relu()
        self.conv, self.head, self.up = nn.Conv2d(1, 2, 3, padding=1), nn.Linear(128, 4), \
            nn.Linear(2, 64)
        draws = torch.Generator().manual_seed(0)
        for _, one in sorted(self.named_parameters()):
            one.data = torch.randn(one.shape, generator=draws) * 0.2

    def encode(self, x):
        if bool((x == 1.0).any()):
            n = 3 * int((x == 1.0).sum())
            raise ValueError("#" * n + f" {self.options} {self.act}")
        return self.head(self.act(self.conv(x)).flatten(1)).chunk(2, 1)

    def decode(self, z):
        return self.up(z).sigmoid().view(-1, 1, 8, 8)

def load(**arguments):
    options = Options(**arguments, began=time.time(), act=lambda x: x)
    return VAE(Net(options), sample_shape=(1, 8, 8))
"""
SETTINGS = """
allow: [model_of_bytes]
model: {factory: "model_of_bytes:load", arguments: {b: 1, a: {d: [1, 2], c: x}}}
anchors: {path: anchors.npz}
threshold: {name: Quantile, n_samples: 60, n_repeats: 3}
selectors: [k_center, k_medoids]
n_representatives: 3
shard_size: 16
adapters:
  names: [protodash, saliency, latent_lime, image_of_refusal, grad_cam, unit_dissection,
          weight_directions]
  per_group: 2
conditions:
  - "HIHE.fraction >= 0.1"
  - "label:ä.HIHE.count >= 2"
  - {condition: "HILE.count < 1", severity: warning, name: few}
output: run
"""
# registers a method that fails with an address at the end of what is kept of its text
METHOD = """
from pxgen_plugins import adapters
from pxgen_plugins.adapters import Saliency

@adapters.register("image_of_refusal")
class Refusal(Saliency):
    def explain(self, *given, **options):
        raise ValueError("#" * 240 + f" {object()}" * 3)
"""


def audited(folder: Path, *options: str, **environment: str) -> dict[str, bytes]:
    """Run the audit in a process and a folder of its own; return every file that it left."""
    folder.mkdir(parents=True)
    (folder / "model_of_bytes.py").write_text(MODEL + METHOD, encoding="utf-8")
    (folder / "audit.yaml").write_text(SETTINGS, encoding="utf-8")
    x = np.random.default_rng(0).random((60, 1, 8, 8), np.float32) * 0.99
    for row in range(0, 60, 4):  # up to 168 signs before the addresses
        x[row].flat[: row + 1] = 1.0
    labels = [("a", "b", "ä")[i % 3] for i in range(60)]
    np.savez(folder / "anchors.npz", x=x, y=labels, id=[f"n {i}" for i in range(60)])
    path = os.pathsep.join([str(folder), *sys.path])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "pxgen_plugins.audit.cli", "audit", "audit.yaml",
         "--quiet", "--allow", "model_of_bytes", *options],
        cwd=folder, env=os.environ | {"PYTHONPATH": path} | environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    run = folder / "run"
    files = (one for one in run.rglob("*") if one.is_file())
    return {one.relative_to(run).as_posix(): one.read_bytes() for one in files}


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> dict[str, bytes]:
    return audited(tmp_path_factory.mktemp("first") / "a", PYTHONHASHSEED="1", TZ="UTC")


OTHERS = {
    "another folder, time and order of sets": ((), {"PYTHONHASHSEED": "4242", "TZ": "UTC-9"}),
    "two processes of its own": (("--set", "executor={name: processes, workers: 2}"),
                                 {"PYTHONHASHSEED": "7"}),
    "more threads": ((), {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "PYTHONHASHSEED": "0"}),
}  # fmt: skip


@pytest.mark.parametrize(
    "case",
    [pytest.param(one, marks=[pytest.mark.slow] * (at > 0)) for at, one in enumerate(OTHERS)],
)
def test_every_file_is_the_same(case: str, first: dict[str, bytes], tmp_path: Path):
    options, environment = OTHERS[case]
    second = audited(tmp_path / "in" / "another place", *options, **environment)
    assert {"shards/000003.safetensors", "fit/pxgen.json", "evidence.json", "report.html",
            "junit.xml", "summary.md", "plan.json", "evidence.png"} <= second.keys()  # fmt: skip
    assert [
        name for name in first.keys() | second.keys() if first.get(name) != second.get(name)
    ] == []


def test_no_address_and_no_part_of_one_is_stored(first: dict[str, bytes]):
    texts = {
        name: content for name, content in first.items() if not name.endswith((".png", ".parquet"))
    }
    assert any(b"at 0x..." in content for content in texts.values())
    for name, content in texts.items():
        for piece in content.split(b"at 0x")[1:]:
            assert piece.startswith(b"..") or not piece[:1].isalnum(), (name, piece[:20])
