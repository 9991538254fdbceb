"""Every registered criterion under the suite for criteria, and the suite itself."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from pxgen_plugins import criteria
from pxgen_plugins.criteria import Criterion
from pxgen_plugins.testing import (
    CriterionCase,
    check_criterion,
    criterion_checks,
    parametrize_with_checks,
)
from pxgen_plugins.testing.criteria import criterion_case
from pxgen_plugins.testing.examples import LinearModel

from .cases import white
from .support import failing

SPECS = [
    *criteria.names(),
    {"name": "mse", "reduction": "sum"},
    {"name": "elbo", "n_draws": 3, "likelihood": "gaussian", "scale": 0.5},
]


@parametrize_with_checks([criterion_case(spec) for spec in SPECS], criterion_checks())
def test_a_registered_criterion_keeps_the_contract(subject, check):
    check(subject)


@parametrize_with_checks(
    [criterion_case(s, white()) for s in criteria.for_model(white())], criterion_checks()
)
def test_a_registered_criterion_keeps_the_contract_on_a_vae(subject, check):
    check(subject)


class Good(Criterion):
    name = "good"
    kind = "extrinsic"
    requires: ClassVar = frozenset({"reconstruct"})
    unit = "value"

    def __init__(self, *, power: float = 1.0) -> None:
        self.power = power

    def __call__(self, batch):
        return (batch.x - batch.reconstruction).abs().pow(self.power).flatten(1).mean(1)


class BadKind(Good):
    kind = "interior"


class BadName(Good):
    name = "mse"


class ForgetsParameters(Good):
    def __init__(self, *, power: float = 1.0) -> None:
        super().__init__(power=2 * power)


class Scalar(Good):
    def __call__(self, batch):
        return super().__call__(batch).mean()


class BatchNormalised(Good):
    def __call__(self, batch):
        values = super().__call__(batch)
        return values / values.sum()


class Positional(Good):
    def __call__(self, batch):
        values = super().__call__(batch)
        return values * torch.arange(1, len(values) + 1)


class Detached(Good):
    def __call__(self, batch):
        return super().__call__(batch).detach()


class HidesNaN(Good):
    def __call__(self, batch):
        return super().__call__(batch).nan_to_num()


class Overwrites(Good):
    def __call__(self, batch):
        values = super().__call__(batch)
        with torch.no_grad():
            batch.x.mul_(0.5)
        return values


class Noisy(Good):
    def __call__(self, batch):
        return super().__call__(batch) + torch.rand(len(batch))


class TakesAnything(Good):
    def check(self, model):
        return None


class Reversed(Good):
    def __call__(self, batch):
        return -super().__call__(batch)


MUTANTS = {
    BadKind: "declares_itself",
    BadName: "registered_name_is_its_name",
    ForgetsParameters: "parameters_rebuild_it",
    Scalar: "one_finite_value_per_anchor",
    BatchNormalised: "batch_size_does_not_matter",
    Positional: "order_does_not_matter",
    Noisy: "same_seed_gives_the_same_values",
    Detached: "gradient_reaches_the_anchor",
    HidesNaN: "bad_anchors_stay_alone",
    Overwrites: "input_is_not_modified",
    TakesAnything: "missing_capability_is_named",
    Reversed: "smaller_is_closer",
}


def test_a_good_criterion_passes():
    check_criterion(Good)
    check_criterion(Good(power=2.0))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda cls: cls.__name__)
def test_a_broken_criterion_is_noticed(mutant):
    assert MUTANTS[mutant] in failing(criterion_checks(), criterion_case(mutant))


def test_every_check_is_shown_to_fail():
    elsewhere = {"global_random_state_is_left_alone"}
    assert {*MUTANTS.values(), *elsewhere} == {check.name for check in criterion_checks()}


def test_use_of_global_randomness_is_noticed():
    assert "global_random_state_is_left_alone" in failing(criterion_checks(), criterion_case(Noisy))


def test_every_failure_is_listed_by_name():
    with pytest.raises(AssertionError) as caught:
        check_criterion(Scalar)
    for name in failing(criterion_checks(), criterion_case(Scalar)):
        assert f"- {name}: " in str(caught.value)


def test_a_model_of_ones_own_is_used():
    class Narrow(LinearModel):
        capabilities = frozenset({"encode"})

    check_criterion("kld", Narrow())
    with pytest.raises(AssertionError, match="reconstruct"):
        check_criterion("mse", Narrow())


def test_a_case_can_be_written_out():
    case = CriterionCase("mine", Good, expected_failures={})
    assert failing(criterion_checks(), case) == set()
