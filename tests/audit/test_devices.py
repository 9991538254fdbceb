"""Where an audit's model runs, and who has which card."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("jinja2")

from pxgen_plugins.audit import cli, devices, engine, executors
from pxgen_plugins.audit.run_folder import Run
from pxgen_plugins.audit.settings import Config, config_of
from pxgen_plugins.models import VAE
from pxgen_plugins.testing.examples import LinearModel
from pxgen_plugins.utils.errors import ParameterError
from pxgen_plugins.utils.processes import Pool

has_card = torch.cuda.is_available()


def settings(folder: Path, **changes) -> Config:
    values = {
        "model": {"shipped": "mnist_vae"},
        "anchors": {"shipped": "mnist", "limit": 40},
        "threshold": {"name": "MeanMax", "n_samples": 60, "n_repeats": 2},
        "conditions": ["HIHE.count >= 0"],
        "output": str(folder / "run"),
    }
    return config_of(values | changes, folder)


def audited(config: Config) -> Run:
    run = engine.audit(config)
    assert run is not None
    return run


class Moved(nn.Module):
    """A network that says where it was sent."""

    places: tuple[torch.device, ...] = ()

    def to(self, device):
        self.places = (*self.places, device)
        return self


def test_modules_go_to_the_card_and_the_model_knows_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name in ("cuda", "auto"):
        net = Moved()
        inner = SimpleNamespace(device=torch.device("cpu"))
        model = SimpleNamespace(modules=(net,), device=torch.device("cpu"), inner=inner)
        devices.move(model, name)
        assert net.places == (torch.device("cuda"),)
        assert model.device == inner.device == torch.device("cuda")
        devices.move(model, name)  # where it is already nothing moves
        assert len(net.places) == 1
    model = LinearModel()  # without modules: auto leaves it, and cuda is refused
    devices.move(model, "auto")
    assert model.device.type == "cpu"
    with pytest.raises(ParameterError, match="device must be 'cpu' for a model without torch mod"):
        devices.move(model, "cuda")


@pytest.mark.skipif(has_card, reason="a card is here")
def test_without_a_card_auto_is_the_cpu_and_cuda_is_refused(tmp_path: Path):
    with pytest.raises(ParameterError, match="device must be one that this machine has"):
        engine.make_plan(settings(tmp_path, device="cuda"))
    plans = [engine.make_plan(settings(tmp_path, device=name))[0] for name in (None, "auto", "cpu")]
    assert {plan.device for plan in plans} == {"cpu"}
    assert len({plan.digest for plan in plans}) == 1  # the plan knows the device, not the wish


def test_a_plan_says_its_device_and_another_device_is_another_plan(tmp_path: Path, capsys):
    config = settings(tmp_path)
    run = audited(config)
    assert run.manifest["settings"]["device"] == "cpu"
    assert json.loads((tmp_path / "run/plan.json").read_text())["settings"]["device"] == "cpu"
    assert "card" not in run.manifest["machine"]
    there = Config(config.values | {"device": "cuda"})
    assert there.digest() != Config(config.values | {"device": "cpu"}).digest()
    (tmp_path / "audit.yaml").write_text(
        "model: {shipped: mnist_vae}\nanchors: {shipped: mnist, limit: 40}\noutput: other\n"
        "device: auto\nthreshold: {name: MeanMax, n_samples: 60, n_repeats: 2}\n"
    )
    assert cli.run(["audit", str(tmp_path / "audit.yaml"), "--plan", "--json"]) == cli.PASSED
    assert json.loads(capsys.readouterr().out)["device"] == ("cuda" if has_card else "cpu")


def test_bfloat16_is_the_users_choice_and_near(tmp_path: Path):
    exact = audited(settings(tmp_path))
    rough = audited(settings(tmp_path, precision="bfloat16", output=str(tmp_path / "rough")))
    assert rough.manifest["settings"]["precision"] == "bfloat16"
    assert not np.array_equal(rough.result.values, exact.result.values)
    # relative errors are those that Scorer states, on a network that saturates nowhere
    np.testing.assert_allclose(rough.result.values, exact.result.values, rtol=0.05)


def test_every_process_has_a_card_of_its_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    executor = executors.get("processes")(3)
    executor.device = "cuda"
    given = [one["CUDA_VISIBLE_DEVICES"] for one in executor._environments()]
    assert given == ["4", "6"]
    executor.device = "cpu"
    assert executor._environments() == []


@pytest.mark.slow
def test_processes_see_their_environment():
    places = [{"CUDA_VISIBLE_DEVICES": name} for name in ("4", "6")]
    with Pool(2, environments=places) as pool:
        seen = set(pool.run(os.getenv, [("CUDA_VISIBLE_DEVICES",)] * 40))
    assert seen <= {"4", "6"}
    assert seen


def place(unit: int) -> tuple[int, str]:
    return os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES", "")


@pytest.mark.long
def test_on_cards_ray_has_an_actor_for_each_worker_that_lives_on(monkeypatch):
    """On two cards that Ray believes to be there: each process does many units, with one card."""
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(num_cpus=2, num_gpus=2, include_dashboard=False, log_to_driver=False)
    try:
        executor = executors.get("ray")(2)
        executor.device = "cuda"
        with executor:
            seen = [one for _ in range(2) for one in executor.run(place, [(i,) for i in range(20)])]
    finally:
        ray.shutdown()
    assert len(seen) == 40
    assert len(set(seen)) == 2  # processes, though they were asked twice
    assert {card for _, card in seen} == {"0", "1"}


class Net(nn.Module):
    """A small network with normal weights, the same wherever it is."""

    def __init__(self) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(0)
        self.conv, self.head, self.up = nn.Conv2d(1, 8, 3), nn.Linear(8 * 36, 8), nn.Linear(4, 64)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=draws) * 0.2

    def encode(self, x):
        return self.head(self.conv(x).relu().flatten(1)).chunk(2, 1)

    def decode(self, z):
        return self.up(z).sigmoid().view(-1, 1, 8, 8)


@pytest.mark.cuda
@pytest.mark.skipif(not has_card, reason="needs a card")
class TestOnACard:
    """What only a card can show."""

    def test_values_agree_with_those_of_the_cpu(self, tmp_path: Path):
        """Within 1e-3 of a value: convolutions may use TF32, sums are in another order."""
        runs = {
            name: audited(settings(tmp_path, device=name, output=str(tmp_path / name)))
            for name in ("cpu", "cuda")
        }
        assert runs["cuda"].manifest["machine"]["card"] == devices.card_name()
        one, other = (runs[name].result for name in ("cpu", "cuda"))
        np.testing.assert_allclose(one.values, other.values, rtol=1e-3)
        np.testing.assert_allclose(one.thresholds, other.thresholds, rtol=1e-3)

    def test_a_run_goes_on_with_the_same_bytes(self, tmp_path: Path):
        config = settings(tmp_path, device="cuda", shard_size=10)
        audited(config)
        path = tmp_path / "run/shards/000001.safetensors"
        before = path.read_bytes()
        path.unlink()
        audited(config)
        assert path.read_bytes() == before

    def test_where_the_card_is_full_batches_are_halved(self, tmp_path: Path):
        """A real torch.OutOfMemoryError: a batch asks for more than the card has."""
        net = Net().cuda()
        total = torch.cuda.get_device_properties(0).total_memory

        def encode(x):
            torch.empty(int(total * len(x) / 100), dtype=torch.uint8, device=x.device)
            return net.encode(x)

        from pxgen_plugins import PXGen

        model = VAE(encode=encode, decode=net.decode, modules=net, sample_shape=(1, 8, 8))
        explainer = PXGen(model, threshold={"name": "MeanMax", "n_samples": 60, "n_repeats": 1})
        scorer = explainer.scorer()
        scorer.batch_size = 256
        from pxgen_plugins.anchors import open_for

        x = np.random.default_rng(0).random((300, 1, 8, 8), np.float32)
        scores = scorer.score(open_for(model, x))
        assert np.isfinite(scores.values).all()
        assert scorer.batch_size < 100
