"""The table of adapters and odd nets: a slow computation's numbers, or a named refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from pxgen_plugins import adapters
from pxgen_plugins.utils.errors import MissingDependencyError, ModelError, ParameterError

from . import oracles
from .odd_nets import NETS, wrap
from .oracles import Case
from .slow import Slow


@dataclass(frozen=True)
class Row:
    """How an adapter is tried on every net.

    Attributes:
        check: Compares it with a slow computation.
        options: Arguments of its constructor, on every net.
        refusals: By net, the error that comes instead, and what its message says.
    """

    check: Callable[[Case], None]
    options: Mapping[str, Any] = field(default_factory=dict)
    refusals: Mapping[str, tuple[type[Exception], str]] = field(default_factory=dict)


NO_MAPS = dict.fromkeys(
    ("shared_activation", "one_dimension", "saturated"), (ModelError, "layer must be")
)
NO_IMAGE = dict.fromkeys(
    ("shared_activation", "one_dimension", "saturated"),
    (ParameterError, "predictor must be of images"),
)
NO_KERAS = ((ParameterError, MissingDependencyError), "tf.keras.Model|tensorflow")
EIGHT = {"n_steps": 8}

ROWS: dict[str, Row] = {
    "saliency": Row(oracles.attribution(oracles.saliency)),
    "input_x_gradient": Row(oracles.attribution(oracles.input_x_gradient)),
    "integrated_gradients": Row(oracles.attribution(oracles.integrated), EIGHT),
    "gradient_shap": Row(oracles.gradient_shap, {"n_samples": 200, "baseline": None}),
    "deep_lift": Row(
        oracles.attribution(oracles.rescaled),
        refusals={
            "shared_activation": (ModelError, "'act' \\(2 times\\)"),
            "in_place": (ModelError, "in-place activation is dropped"),
        },
    ),
    "lrp": Row(
        oracles.attribution(oracles.relevance),
        {"epsilon": 0.0},
        {
            "group_norm": (ModelError, "'k' \\(GroupNorm\\)"),
            "attention": (ModelError, "'ln' \\(LayerNorm\\)"),
        },
    ),
    "occlusion": Row(oracles.attribution(oracles.covered, "input")),
    "latent_ablation": Row(oracles.attribution(oracles.ablated, "latent")),
    "grad_cam": Row(oracles.grad_cam, refusals=NO_MAPS),
    "group_anchor_image": Row(
        oracles.group_anchor, {"segmentation": "grid", "n_segments": 4}, NO_IMAGE
    ),
    "latent_shap": Row(oracles.latent_shap),
    "alibi_kernel_shap": Row(oracles.latent_shap),
    "latent_lime": Row(oracles.latent_lime),
    "latent_ale": Row(oracles.latent_ale, {"min_bin_points": 2}),
    "latent_partial_dependence": Row(oracles.partial_dependence),
    "latent_contrast": Row(oracles.contrast),
    "latent_view": Row(oracles.view),
    "protodash": Row(oracles.protodash),
    "protoselect": Row(oracles.protoselect),
    "training_neighbours": Row(oracles.training_neighbours),
    "vae_tracin": Row(oracles.tracin),
    "alibi_gradient_similarity": Row(oracles.similarity),
    "activation_statistics": Row(oracles.statistics),
    "activation_maximisation": Row(oracles.maximisation),
    "tensorflow_integrated_gradients": Row(Case.make, {}, dict.fromkeys(NETS, NO_KERAS)),
}


def needed(name: str) -> set[str]:
    """The packages behind an adapter."""
    library = adapters.get(name).library
    return ({library} if library else set()) | ({"shap"} if name == "alibi_kernel_shap" else set())


INSIDE = ("directions", "units", "description", "localisation")


def test_every_adapter_has_a_row():
    # those that another installed package registers are its own business
    ours = {n for n in adapters.names() if adapters.get(n).__module__.startswith("pxgen_plugins.")}
    # those that look inside have planted truths in test_directions.py, test_units.py and
    # test_descriptions.py, those of prompts in test_text_to_image.py
    classes = {n: adapters.get(n) for n in ours}
    inside = {
        n
        for n, c in classes.items()
        if c.evidence in INSIDE or "prompt" in getattr(c, "requires", ())
    }
    assert set(ROWS) | inside == ours, "say in ROWS what a new adapter equals, or how it refuses"


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("name", ROWS)
def test_an_adapter_is_right_or_says_why_not(name, net):
    row = ROWS[name]
    for library in needed(name):
        pytest.importorskip(library)
    case = Case(name, net, wrap(net), Slow(net), NETS[net].anchors(6), row.options)
    if net not in row.refusals:
        row.check(case)
        return
    error, words = row.refusals[net]
    with pytest.raises(error, match=words):
        row.check(case)
