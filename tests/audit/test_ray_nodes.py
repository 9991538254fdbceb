"""Audits on a Ray cluster of two simulated nodes, of which one is lost in mid-run."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jinja2")
pytest.importorskip("ray")

from pxgen_plugins.audit import engine
from pxgen_plugins.audit.settings import Config, config_of
from pxgen_plugins.utils.remote import place_of
from pxgen_plugins.utils.storage import storage_of
from tests.audit.folders import content

SLOW = """
import time
from pxgen_plugins.testing.examples import LinearModel

class Slow(LinearModel):
    def decode(self, z):
        time.sleep(0.2)
        return super().decode(z)

def load():
    return Slow()
"""


def settings(folder: Path, output: str, executor: str) -> Config:
    values = {
        "allow": ["slow_model_of_nodes"],
        "model": {"factory": "slow_model_of_nodes:load"},
        "anchors": {"path": f"file://{folder}/anchors.npy"},
        "threshold": {"name": "MeanMax", "n_samples": 600, "n_repeats": 9},
        "shard_size": 20,
        "batch_size": 10,
        "executor": {"name": executor, "workers": 2},
        "output": output,
    }
    return config_of(values, folder, allow=["slow_model_of_nodes"])


@pytest.mark.long
@pytest.mark.parametrize("stage", ["calibration/samples", "shards"])
def test_the_loss_of_a_node_changes_no_byte(stage: str, tmp_path: Path, monkeypatch):
    import ray
    from ray.cluster_utils import Cluster

    np.save(tmp_path / "anchors.npy", np.random.default_rng(0).random((400, 1, 8, 8), np.float32))
    (tmp_path / "slow_model_of_nodes.py").write_text(SLOW)
    monkeypatch.syspath_prepend(tmp_path)
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), root, *sys.path]))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    assert engine.audit(settings(tmp_path, str(tmp_path / "run"), "serial")) is not None
    place = place_of(f"file://{tmp_path}/other")  # as where nodes have no folder in common
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    try:
        node = cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False)
        cluster.wait_for_nodes()
        lost = []

        def lose() -> None:
            deadline = time.monotonic() + 500
            while len(storage_of(place).names(stage)) < 3 and time.monotonic() < deadline:
                time.sleep(0.05)
            cluster.remove_node(node, allow_graceful=False)
            lost.append(len(storage_of(place).names(stage)))

        thread = threading.Thread(target=lose)
        thread.start()
        assert engine.audit(settings(tmp_path, str(place), "ray")) is not None
        thread.join()
        assert 3 <= lost[0] < len(storage_of(place).names(stage))  # it was in the middle
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert content(place) == content(tmp_path / "run")
