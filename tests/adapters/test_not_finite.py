"""One anchor whose code is infinite: invalid by name everywhere, and the others as without it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pxgen_plugins import adapters
from pxgen_plugins.adapters.base import Adapter
from pxgen_plugins.describers import Scripted
from pxgen_plugins.models import VAE

from .odd_nets import build

BAD = 2
X = np.random.default_rng(0).uniform(0.05, 0.9, (6, 1, 6, 6)).astype(np.float32)
X[BAD, 0, 0, 0] = 1.0
REST = np.delete(X, BAD, axis=0)
OPTIONS: dict[str, dict[str, Any]] = {
    "group_anchor_image": {"thresholds": {"kld": 20.0, "mse": 0.2}, "segmentation": "grid"}
    | {"n_segments": 4, "precision": 0.5},
    "gradient_shap": {"n_samples": 4, "baseline": None},
    "integrated_gradients": {"n_steps": 4},
    "latent_lime": {"n_samples": 50},
    "latent_contrast": {"boundary": {"kld": 1.0}, "goal": "HI", "n_steps": 5},
    "activation_maximisation": {"n_steps": 3, "units": [0]},
    "latent_ale": {"features": [0]},
    "latent_partial_dependence": {"features": [0], "grid_resolution": 4},
    "protodash": {"sigma": 1.0},
    "protoselect": {"radius": 1.0},
    "training_neighbours": {"space": "latent"},
    "activation_directions": {"n_components": 2, "n_codes": 10, "n_random": 2},
    "weight_directions": {"n_components": 2, "n_random": 2},
    "assessor_direction": {"assessor": "pixel[0, 3, 3]", "n_steps": 5, "n_random": 2},
    "class_directions": {
        "classifier": lambda x: torch.arange(len(x)) % 2,
        "method": "means",
        "n_random": 2,
    },
    "predictable_directions": {"n_directions": 2, "n_train": 5, "n_random": 2},
    "latent_description": {"describe": Scripted({"describe": {"changes": False}}), "visible": 0.0},
    "unit_dissection": {"n_codes": 20, "n_effect": 4},
    "unit_effects": {"n_codes": 20, "n_units": 2, "n_random": 2},
}
# by evidence or adapter, what there is per anchor, with its axis
ROWS = {
    "attributions": 0,
    "target_values": 0,
    "weights": 0,
    "scores": 0,
    "influence": 1,
    "coordinates": 0,
    "anchor_activation": 0,
    "distance": 0,
    "distances": 0,
    "p_values": 0,
}
# group_description needs groups; its case in test_descriptions.py has anchors that are not finite;
# those of prompts look at no anchors
NAMES = [
    name
    for name in adapters.names()
    if issubclass(adapters.get(name), Adapter)
    and name != "group_description"
    and "prompt" not in adapters.get(name).requires
]


class Poisoned(nn.Module):
    """A net that gives an infinite code to whatever begins with a 1."""

    def __init__(self) -> None:
        super().__init__()
        self.net = build("two_heads")

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.net.encode(x)
        return mean / (x.flatten(1)[:, :1] < 0.99), log_var

    def decode(self, z: Tensor) -> Tensor:
        images: Tensor = self.net.decode(z)
        return images


def explained(name: str, rows: np.ndarray) -> Any:
    with torch.random.fork_rng([]):
        model = VAE(Poisoned().eval(), latent_shape=(3,), sample_shape=(1, 6, 6))
    adapter = adapters.get(name)(model, **OPTIONS.get(name, {}))
    return adapter.fit(REST).explain(rows)


@pytest.mark.parametrize("name", NAMES)
def test_one_anchor_without_finite_numbers_is_named_and_leaves_the_others_alone(name):
    library = adapters.get(name).library
    if library:
        pytest.importorskip(library)
    result, plain = explained(name, X), explained(name, REST)
    assert np.asarray(result.invalid).tolist() == [BAD]
    assert len(result.reasons) == 1
    assert "finite" in result.reasons[0]
    for key, axis in ROWS.items():
        if isinstance(result.data.get(key), np.ndarray):
            rows = np.asarray(result.data[key], float)
            if key == "weights" and len(rows) != len(X):  # those of prototypes
                continue
            rest = np.delete(rows, BAD, axis=axis)
            np.testing.assert_allclose(rest, plain.data[key], rtol=1e-4, atol=1e-5, err_msg=key)
            assert np.isnan(np.take(rows, BAD, axis=axis)).all(), key
    for key in ("ale_values", "pd_values"):
        for curve, other in zip(result.data.get(key) or [], plain.data.get(key) or [], strict=True):
            np.testing.assert_allclose(curve, other, rtol=1e-4, atol=1e-6)
    for layer, table in (getattr(result, "layers", None) or {}).items():
        np.testing.assert_allclose(table["mean"], plain.layers[layer]["mean"], rtol=1e-4)
    if name in ("protodash", "protoselect"):  # the former picks out of what it was fitted on
        places = np.delete(np.arange(len(X)), BAD) if name == "protoselect" else np.arange(len(X))
        assert places[plain.indices].tolist() == result.indices.tolist()


@pytest.mark.parametrize("name", ["vae_tracin", "alibi_gradient_similarity"])
def test_a_training_sample_without_finite_gradient_is_named_and_never_shown(name):
    library = adapters.get(name).library
    if library:
        pytest.importorskip(library)
    with torch.random.fork_rng([]):
        model = VAE(Poisoned().eval(), latent_shape=(3,), sample_shape=(1, 6, 6))
    result = adapters.get(name)(model).fit(X).explain(REST[:2])
    assert result.invalid_train.tolist() == [BAD]
    assert "finite" in result.reasons_train[0]
    first = ("helpful", "harmful") if name == "vae_tracin" else ("most_similar", "least_similar")
    for key in first:
        assert BAD not in result.data[key]
        assert (result.data[key][:, 0] >= 0).all()
