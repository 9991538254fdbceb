"""A space gets the same thing wherever it is given: anchors as the model takes them, a tensor."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pxgen_plugins import PXGen
from pxgen_plugins.adapters import AlibiProtoSelect, LatentView, ProtoDash
from pxgen_plugins.thresholds import MeanMax
from tests.adapters.nets import mlp_vae

X = np.random.default_rng(0).integers(0, 256, (30, 1, 8, 8), dtype=np.uint8)


@pytest.mark.parametrize("kind", [PXGen, ProtoDash, AlibiProtoSelect, LatentView])
def test_a_space_gets_a_tensor_of_anchors_in_the_models_range(kind):
    if kind is AlibiProtoSelect:
        pytest.importorskip("alibi")
    parts = []

    def space(x):
        parts.append(x.clone())
        return x.flatten(1)[:, :5]

    model = mlp_vae()
    if kind is PXGen:
        PXGen(model, threshold=MeanMax(20, 2), space=space).fit().explain(X)
    else:
        kind(model, space=space).explain(X)
    assert {type(x) for x in parts} == {torch.Tensor}
    whole = np.unique(torch.cat(parts).numpy(), axis=0)  # PXGen asks group by group
    np.testing.assert_allclose(whole, np.unique(X / np.float32(255.0), axis=0), atol=1e-6)
