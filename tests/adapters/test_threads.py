"""One model in several threads: what runs beside an adapter that hooks it is right, or waits."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pxgen_plugins import PXGen, adapters
from pxgen_plugins.describers import Scripted
from pxgen_plugins.models import VAE
from pxgen_plugins.models.runtime import EvaluationMode, exclusive_use
from pxgen_plugins.thresholds import Fixed
from pxgen_plugins.utils.errors import ParameterError

X = np.random.default_rng(0).random((6, 1, 8, 8), dtype=np.float32)
Y = np.random.default_rng(1).random((16, 1, 8, 8), dtype=np.float32)
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


def work_of_every_adapter(model: VAE) -> dict[str, Callable[[], Any]]:
    """A call per adapter whose libraries are there, each on the one model."""
    explainer = PXGen(model, threshold=Fixed({"kld": 1.0, "mse": 0.1})).fit()
    quick = {
        "group_anchor_image": {"thresholds": explainer, "segmentation": "grid"}
        | {"n_segments": 4, "precision_samples": 50, "coverage_samples": 50, "precision": 0.5},
        "latent_shap": {"n_background": 4},
        "alibi_kernel_shap": {"n_background": 4},
        "latent_lime": {"n_samples": 50},
        "latent_contrast": {"boundary": explainer, "n_steps": 10},
        "activation_maximisation": {"n_steps": 5, "units": [0]},
        "vae_tracin": {"n_draws": 1, "checkpoints": [(changed(model), 0.1)]},
        "latent_ale": {"features": [0]},
        "latent_description": {"describe": Scripted({"describe": {"changes": False}})},
        "group_description": {"describe": Scripted({})},  # and refuses for want of groups
        "latent_partial_dependence": {"features": [0], "grid_resolution": 4},
        "gradient_shap": {"n_samples": 4},
        "integrated_gradients": {"n_steps": 4},
    }
    work: dict[str, Callable[[], Any]] = {"PXGen": lambda: explainer.explain(Y)}
    for name in adapters.names():
        kind = adapters.get(name)
        if "prompt" in getattr(kind, "requires", ()):
            continue
        try:
            adapter = kind(model, **quick.get(name, {})).fit(X)
            adapter.explain(X[:3])
        except (ImportError, ParameterError):  # a library is missing, or it explains Keras models
            continue
        work[name] = lambda adapter=adapter: adapter.explain(X[:3])
    return work


def changed(model: VAE) -> dict[str, Tensor]:
    return {name: value * 1.1 for name, value in model.modules[0].state_dict().items()}


@pytest.mark.slow
def test_eight_threads_get_what_one_gets():
    pytest.importorskip("captum")
    model = vae()
    weights = {name: value.clone() for name, value in model.modules[0].state_dict().items()}
    work = work_of_every_adapter(model)
    expected = {name: job().to_json() for name, job in work.items()}
    explain = expected["PXGen"]
    faults: list[str] = []
    runs = dict.fromkeys(work, 0)
    # adapters wait for each other: four threads take them in turn, four explain meanwhile
    queue, end = (
        itertools.cycle(name for name in work if name != "PXGen"),
        time.monotonic() + SECONDS,
    )
    guard = threading.Lock()

    def check(name: str, result: str) -> None:
        try:
            same = work[name]().to_json() == result
        except Exception as error:
            faults.append(f"{name}: {type(error).__name__} {error}")
        else:
            faults.extend([] if same else [f"{name}: other numbers"])
        runs[name] += 1

    def adapt() -> None:
        while time.monotonic() < end or min(runs.values()) < 1:
            with guard:
                name = next(queue)
            check(name, expected[name])

    def use() -> None:
        while any(thread.is_alive() for thread in adapting):
            check("PXGen", explain)

    adapting = [threading.Thread(target=adapt, daemon=True) for _ in range(4)]
    using = [threading.Thread(target=use, daemon=True) for _ in range(4)]
    for thread in (*adapting, *using):
        thread.start()
    for thread in (*adapting, *using):
        thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in (*adapting, *using))
    assert faults == []
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
