"""Audit a model of MNIST zeros, then a damaged copy of it, as a pipeline would every week.

    python examples/audit_mnist.py

It writes two settings files and runs the command ``pxgen`` on them. The first audit, of the shipped
VAE, must pass; the second, of a copy whose weights were disturbed, is compared with the first and
must fail because fewer zeros are HIHE. Then the two are compared. Into ``output/audit`` go both
run folders, with ``report.html`` in each, and ``changes.png``. The script ends with an error when
an audit ends otherwise than it should.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

import torch
from safetensors.torch import save

from pxgen_plugins.audit.cli import FAILED, PASSED, run
from pxgen_plugins.datasets import load_mnist_vae
from pxgen_plugins.utils.files import write_atomic

_log = logging.getLogger("audit_mnist")

SETTINGS = """# Settings of `pxgen audit`; pxgen init writes a file with every key explained.
name: zeros, {week}
model:
{model}
anchors:
  shipped: mnist
  split: test
  limit: {n_anchors}
threshold: {{name: MeanMax, n_samples: {n_samples}, n_repeats: 100}}
selectors: [k_center]
output: {week}
conditions:
  - {{name: zeros are known, condition: "label:0.HIHE.fraction >= 0.8", min_count: 50}}
  - {{name: sixes are not, condition: "label:6.HIHE.fraction <= 0.25"}}
  - {{name: no delusion of ones, condition: "label:1.HIHE.fraction <= 0.5", severity: warning}}
  - {{name: all anchors are read, condition: "invalid.count < 1"}}
"""
AGAINST = """  - {name: zeros are still known, condition: "label:0.HIHE.fraction drop <= 0.1"}
  - {name: few known anchors were lost, condition: "moved(HIHE->HILE).count <= 20"}
baseline: first
"""
SHIPPED = "  shipped: mnist_vae"
COPY = """  factory: "pxgen_plugins.datasets:load_mnist_vae"
  weights: disturbed.safetensors
  options: {sample_shape: [1, 28, 28]}"""


def disturbed(strength: float, seed: int = 0) -> bytes:
    """Return the shipped weights with noise of ``strength`` standard deviations of each tensor."""
    generator = torch.Generator().manual_seed(seed)
    weights = {
        name: value + strength * value.std() * torch.randn(value.shape, generator=generator)
        for name, value in load_mnist_vae().state_dict().items()
    }
    return save({name: value.contiguous() for name, value in weights.items()})


def failing(folder: Path) -> list[str]:
    """Return the names of the conditions of a run that failed."""
    found = json.loads((folder / "conditions.json").read_text(encoding="utf-8"))
    return [one["name"] for one in found if one["state"] == "failed"]


def main(argv: list[str] | None = None) -> None:
    """Run the script with the arguments ``argv``, those of the command line by default."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description="Audit a VAE of MNIST zeros, and a damaged copy.")
    parser.add_argument("--n-anchors", type=int, default=10_000)
    parser.add_argument("--n-samples", type=int, default=1_000)
    parser.add_argument("--strength", type=float, default=0.5, help="of the disturbance")
    parser.add_argument("--output", type=Path, default=Path("output/audit"))
    given = parser.parse_args(argv)
    folder: Path = given.output
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "disturbed.safetensors", disturbed(given.strength))
    sizes = {"n_anchors": given.n_anchors, "n_samples": given.n_samples}
    good = SETTINGS.format(week="first", model=SHIPPED, **sizes)
    bad = SETTINGS.format(week="second", model=COPY, **sizes) + AGAINST
    for week, text, wanted in (("first", good, PASSED), ("second", bad, FAILED)):
        path = folder / f"{week}.yaml"
        write_atomic(path, text.encode())
        _log.info("\n$ pxgen audit %s", path)
        code = run(["audit", str(path)])
        _log.info("exit code %d", code)
        if code != wanted:
            sys.exit(f"the {week} audit ended with {code}, not {wanted}")
    if "zeros are still known" not in failing(folder / "second"):
        sys.exit(f"the second audit failed for other reasons: {failing(folder / 'second')}")
    _log.info("\n$ pxgen compare %s %s", folder / "first", folder / "second")
    changes = str(folder / "changes.png")
    run(["compare", str(folder / "first"), str(folder / "second"), "--figure", changes])


if __name__ == "__main__":
    main()
