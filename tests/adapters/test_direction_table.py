"""The table of directions: one assessor a row, and controls beside every number."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pxgen_plugins.adapters import AssessorDirection
from pxgen_plugins.result import direction_table, from_json
from pxgen_plugins.utils.errors import ParameterError

from .test_directions import linear_model


def test_a_direction_of_a_number_with_a_floor_is_found_though_it_does_not_rise_at_every_step():
    for seed in range(2):
        model, weight = linear_model(seed=seed)
        read = torch.tensor(np.random.default_rng(seed).normal(size=40), dtype=torch.float32)
        spread = float(np.linalg.norm(weight.T @ read.numpy()))

        def redness(x, read=read, spread=spread):  # 0 for half of the instances
            return (x @ read / spread).clamp_min(0.0)

        def hidden(x):
            return x.square().sum(1).mul(1e4).sin()  # that no direction raises

        found = AssessorDirection(
            model, redness, assessors={"hidden": hidden, "negative": lambda x: -redness(x)},
            keep="free", realism=None, n_steps=50, span=3.0, seed=seed,
        ).explain(None)  # fmt: skip
        (row,) = direction_table(found)
        assert row["assessor"] == "redness"
        assert row["monotone"] < max(0.2, row["random_monotone"] + 0.05)  # hides it
        assert row["ends"] > 0.8 > row["random_ends"]
        assert row["p_value"] == row["least_p_value"] == 0.05
        # each column is that assessor's alone, whatever stands beside it
        for column, name in enumerate(found.assessors):
            (own,) = direction_table(found, name)
            for key in ("slope", "ends", "monotone", "p_value"):
                assert own[key] == found.data[key][0, column]
            for key in ("ends", "monotone"):
                control = found.data[f"control_{key}"][0, :, column].mean()
                assert own[f"random_{key}"] == pytest.approx(control, rel=1e-12)
        (mirrored,) = direction_table(found, "negative")
        assert mirrored["slope"] == pytest.approx(-row["slope"], rel=1e-4)
        (nothing,) = direction_table(found, "hidden")
        assert abs(nothing["slope"]) < 0.2 < abs(row["slope"])
        words = found.summary()
        assert "p 0.05 (least possible 0.05)" in words
        assert direction_table(from_json(found.to_json())) == direction_table(found)
    with pytest.raises(ParameterError, match="direction_table: assessor must be one of"):
        direction_table(found, "green")
    with pytest.raises(ParameterError, match="must be directions"):
        direction_table(None)
