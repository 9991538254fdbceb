"""One model in several threads: what runs beside an adapter that hooks it is right, or waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pxgen_plugins import PXGen
from pxgen_plugins.adapters.attribution.deeplift import DeepLift
from pxgen_plugins.adapters.attribution.gradcam import GradCAM
from pxgen_plugins.adapters.attribution.gradients import Saliency
from pxgen_plugins.adapters.attribution.lrp import LRP
from pxgen_plugins.adapters.example_based.tracin import VAETracIn
from pxgen_plugins.adapters.units.activation_statistics import ActivationStatistics
from pxgen_plugins.models import VAE
from pxgen_plugins.models.runtime import EvaluationMode, exclusive_use
from pxgen_plugins.thresholds import Fixed

X = np.random.default_rng(0).random((6, 1, 8, 8), dtype=np.float32)
Y = np.random.default_rng(1).random((32, 1, 8, 8), dtype=np.float32)
SECONDS = 4.0


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c, self.a, self.f = nn.Conv2d(1, 4, 3, 1, 1), nn.ReLU(), nn.Linear(256, 8)
        self.u, self.b, self.t = nn.Linear(4, 64), nn.ReLU(), nn.ConvTranspose2d(4, 1, 2, 2)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.f(self.a(self.c(x)).flatten(1)).chunk(2, 1)
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.t(self.b(self.u(z)).view(-1, 4, 4, 4)))


def vae() -> VAE:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        net = Net()
    # functions hide the module from copying: TracIn swaps weights in the live one
    return VAE(
        encode=lambda x: net.encode(x),
        decode=lambda z: net.decode(z),
        modules=net,
        sample_shape=(1, 8, 8),
    )


def test_eight_threads_get_what_one_gets():
    pytest.importorskip("captum")
    model = vae()
    explainer = PXGen(model, threshold=Fixed({"kld": 1.0, "mse": 0.1})).fit()
    weights = {name: value.clone() for name, value in model.modules[0].state_dict().items()}
    state = [{name: value * 1.1 for name, value in weights.items()}]
    tracin = VAETracIn(model, [(state[0], 0.1)], n_draws=1).fit(X)
    work: dict[str, Callable[[], Any]] = {
        "deep_lift": lambda: DeepLift(model, "kld").explain(X).attributions,
        "grad_cam": lambda: GradCAM(model, "mse").explain(X).attributions,
        "tracin": lambda: tracin.explain(X[:2]).influence,
        "statistics": lambda: ActivationStatistics(model).explain(X).layers["c"]["mean"],
        "lrp": lambda: LRP(model, "latent[1]").explain(X).attributions,
        "saliency": lambda: Saliency(model, "mse").explain(X).attributions,
        "explain": lambda: explainer.explain(Y).values,
        "explain again": lambda: explainer.explain(Y[:9]).values,
    }
    expected = {name: np.array(job()) for name, job in work.items()}
    faults: list[str] = []
    runs = dict.fromkeys(work, 0)
    end = time.monotonic() + SECONDS

    def repeat(name: str) -> None:
        while time.monotonic() < end or not runs[name]:
            try:
                same = np.array_equal(work[name](), expected[name])
            except Exception as error:
                faults.append(f"{name}: {type(error).__name__} {error}")
            else:
                faults.extend([] if same else [f"{name}: other numbers"])
            runs[name] += 1

    threads = [threading.Thread(target=repeat, args=(name,), daemon=True) for name in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert faults == []
    assert min(runs.values()) >= 1
    now = model.modules[0].state_dict()
    assert all(torch.equal(value, now[name]) for name, value in weights.items())
    assert not any(module._forward_hooks for module in model.modules[0].modules())


def test_who_has_modules_to_himself_waits_for_users_and_keeps_new_ones_out():
    net, order = nn.Sequential(nn.Linear(1, 1)), []
    inside, go = threading.Event(), threading.Event()

    def user() -> None:
        with EvaluationMode([net])():
            inside.set()
            go.wait(10)
            with EvaluationMode([net[0]])():  # a nested use is not kept out by one who waits
                order.append("user")

    def claimant() -> None:
        with exclusive_use([net]), exclusive_use([net[0]]), EvaluationMode([net])():
            order.append("claimant")
            late.start()
            time.sleep(0.1)
            order.append("claimant done")

    def latecomer() -> None:
        with EvaluationMode([net[0]])():
            order.append("late")

    late = threading.Thread(target=latecomer, daemon=True)
    first = threading.Thread(target=user, daemon=True)
    first.start()
    inside.wait(10)
    second = threading.Thread(target=claimant, daemon=True)
    second.start()
    time.sleep(0.1)
    assert order == []
    go.set()
    for thread in (first, second):
        thread.join(10)
    late.join(10)
    assert order == ["user", "claimant", "claimant done", "late"]
