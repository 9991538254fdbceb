"""Gower's distance against its formula written out, and what it says of columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pxgen_plugins import criteria
from pxgen_plugins.criteria import Batch, Gower, GowerNearest
from pxgen_plugins.criteria.gower import contributions
from pxgen_plugins.models import Tabular
from pxgen_plugins.testing.examples import EchoModel
from pxgen_plugins.utils import neighbours
from pxgen_plugins.utils.errors import CapabilityError, ModelError, ParameterError

LIKE = pd.DataFrame(
    {
        "age": [20, 30, 60, 40],
        "city": ["Rome", "Bern", "Oslo", "Rome"],
        "income": [0.0, 1.5, 2.0, 0.5],
        "planet": [3.0, 3.0, 3.0, 3.0],
    }
)


class Bootstrap:
    def __init__(self, table=LIKE):
        self.table = table

    def sample(self, n):
        return self.table.sample(n, replace=True)


def model(back=None):
    return Tabular(Bootstrap(), LIKE, reconstruct=back, modules=())


def row(age, city, income, planet=3.0):
    return {"age": age, "city": city, "income": income, "planet": planet}


def table(*rows):
    return pd.DataFrame(list(rows))


def by_hand(one, other):
    """Gower's distance of two rows, by the names and ranges of LIKE."""
    parts = [
        abs(one["age"] - other["age"]) / 40,
        float(one["city"] != other["city"]),
        abs(one["income"] - other["income"]) / 2,
        float(one["planet"] != other["planet"]),
    ]
    return sum(parts) / len(parts)


def fit(used, frame, size=3, **params):
    criterion = GowerNearest(**{"k": 1, "n_fit": 50} | params)
    criterion.fit(iter([Batch(used, part) for part in torch.split(used.rows(frame), size)]))
    return criterion


ROWS = st.builds(
    row,
    st.integers(0, 90),
    st.sampled_from(["Rome", "Bern", "Oslo"]),
    st.floats(-3, 3),
    st.sampled_from([3.0, 4.0]),
)


class TestGower:
    def test_a_value_worked_out_by_hand(self):
        # |20 - 30| / 40 = 1/4, another city = 1, |0 - 1.5| / 2 = 3/4, the same planet = 0
        target = row(30, "Bern", 1.5)
        used = model(lambda frame: frame.assign(**target))
        x = used.rows(table(row(20, "Rome", 0.0)))
        assert Gower()(Batch(used, x)).tolist() == [0.5]

    @settings(deadline=None, max_examples=40)
    @given(st.lists(ROWS, min_size=1, max_size=5), ROWS)
    def test_it_is_the_formula(self, rows, target):
        used = model(lambda frame: frame.assign(**target))
        found = Gower()(Batch(used, used.rows(table(*rows))))
        np.testing.assert_allclose(found, [by_hand(one, target) for one in rows], atol=1e-12)

    def test_it_is_0_for_the_same_row_and_1_for_opposite_ends(self):
        ends = {"age": 60, "city": "Oslo", "income": 2.0, "planet": 4.0}
        same, far = model(lambda frame: frame), model(lambda frame: frame.assign(**ends))
        x = same.rows(table(row(20, "Rome", 0.0)))
        assert float(Gower()(Batch(same, x))) == 0.0
        assert float(Gower()(Batch(far, x))) == 1.0

    def test_the_scale_and_origin_of_a_number_do_not_matter(self):
        other = LIKE.assign(age=LIKE["age"] * 1000.0 - 7.0)
        one = fit(model(), LIKE.iloc[:2])(Batch(model(), model().rows(LIKE)))
        scaled = Tabular(Bootstrap(), other)
        two = fit(scaled, other.iloc[:2])(Batch(scaled, scaled.rows(other)))
        np.testing.assert_allclose(one, two, atol=1e-12)

    def test_elements_of_a_model_without_columns_are_numbers_in_its_range(self):
        used = EchoModel((1, 4, 4), (-1.0, 3.0), blend=0.5)
        x = torch.rand(3, 1, 4, 4)
        gap = (x - used.reconstruct(x)).abs().flatten(1).mean(1)
        torch.testing.assert_close(Gower()(Batch(used, x)), gap / 4.0)
        with pytest.raises(CapabilityError, match="data_range"):
            Gower()(Batch(EchoModel((4,), None), torch.rand(2, 4)))

    def test_a_missing_number_has_no_distance_whatever_the_column(self):
        used = model(lambda frame: frame)
        for place in range(4):
            x = used.rows(LIKE.head(2))
            x[0, place] = torch.nan
            batch = Batch(used, x)
            batch.reconstruction = used.rows(LIKE.head(2))
            found = Gower()(batch)
            assert found[0].isnan()
            assert found[1] == 0.0


class TestNearest:
    @settings(deadline=None, max_examples=40)
    @given(
        st.lists(ROWS, min_size=3, max_size=8), st.lists(ROWS, min_size=1, max_size=4),
        st.integers(1, 3),
    )  # fmt: skip
    def test_it_is_the_kth_smallest_distance(self, bank, rows, k):
        used = model()
        found = fit(used, table(*bank), k=k)(Batch(used, used.rows(table(*rows))))
        slow = [sorted(by_hand(one, other) for other in bank)[k - 1] for one in rows]
        np.testing.assert_allclose(found, slow, atol=1e-12)

    def test_a_sample_has_itself_as_its_nearest(self):
        used = model()
        assert fit(used, LIKE)(Batch(used, used.rows(LIKE))).tolist() == [0.0] * 4

    def test_blocks_do_not_change_the_values(self, monkeypatch):
        used = model()
        drawn = Bootstrap().sample(30)
        whole = fit(used, drawn, k=3)(Batch(used, used.rows(LIKE)))
        monkeypatch.setattr(neighbours, "_BLOCK", 1)
        torch.testing.assert_close(fit(used, drawn, k=3)(Batch(used, used.rows(LIKE))), whole)

    def test_a_table_of_categories_alone_counts_those_that_differ(self):
        like = pd.DataFrame({"a": list("xyz"), "b": list("xxy")})
        used = Tabular(Bootstrap(like), like)
        found = fit(used, like)(Batch(used, used.rows({"a": ["z"], "b": ["x"]})))
        assert found.tolist() == [0.5]

    def test_gradients_follow_the_numbers_to_the_sample(self):
        used = EchoModel((2,), (0.0, 10.0))
        criterion = GowerNearest(k=1)
        criterion.fit(iter([Batch(used, torch.tensor([[0.0, 0.0], [9.0, 9.0]]))]))
        x = torch.tensor([[1.0, 2.0]], requires_grad=True)
        criterion(Batch(used, x)).sum().backward()
        torch.testing.assert_close(x.grad, torch.tensor([[0.05, 0.05]]))

    def test_too_few_or_broken_samples_are_told(self):
        used = model()
        with pytest.raises(ModelError, match="at least k=5"):
            fit(used, LIKE, k=5)
        with pytest.raises(ModelError, match="at least k=1"):
            GowerNearest(k=1).fit(iter([]))
        with pytest.raises(ModelError, match="1 of 4 that are not"):
            fit(used, LIKE.astype({"income": float}).replace({"income": {2.0: np.inf}}))
        with pytest.raises(ModelError, match="of 4 columns"):
            fit(used, LIKE)(Batch(EchoModel((2,), (0.0, 1.0)), torch.rand(1, 2)))

    @pytest.mark.parametrize("params", [{"k": 0}, {"k": 7, "n_fit": 6}, {"k": 1.5}])
    def test_a_wrong_parameter_is_named(self, params):
        with pytest.raises(ParameterError, match=next(reversed(params))):
            GowerNearest(**params)


class TestContributions:
    def test_parts_average_to_the_value_and_name_the_column(self):
        used = model(lambda frame: frame.assign(age=20))
        parts = contributions(Gower(), used, LIKE)
        assert list(parts.columns) == list(LIKE.columns)
        assert parts["age"].tolist() == [0.0, 0.25, 1.0, 0.5]
        assert not parts.drop(columns="age").to_numpy().any()
        values = Gower()(Batch(used, used.rows(LIKE)))
        np.testing.assert_allclose(parts.mean(axis=1), values, atol=1e-12)

    def test_they_belong_to_the_nearest_sample(self):
        used = model()
        criterion = fit(used, LIKE)
        parts = contributions(criterion, used, table(row(30, "Rome", 1.5)))
        # to the last row of the table, 3/4 in all; to the second, whose city is another, 1
        assert parts.iloc[0].tolist() == [0.25, 0.0, 0.5, 0.0]

    def test_a_bad_row_has_no_parts(self):
        used = model(lambda frame: frame)
        parts = contributions(Gower(), used, table(row(20, "Ulm", 0.0), row(20, "Rome", 0.0)))
        assert parts.iloc[0].isna().all()
        assert (parts.iloc[1] == 0).all()

    def test_other_criteria_and_models_are_refused(self):
        with pytest.raises(ParameterError, match="a Gower or a GowerNearest"):
            contributions(criteria.get("mse")(), model(), LIKE)
        with pytest.raises(ParameterError, match="Tabular"):
            contributions(Gower(), EchoModel(), LIKE)
