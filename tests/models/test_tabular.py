"""Synthesizers of tables: rows and back, what the callables must give, explanations of rows.

SDV and CTGAN are no dependencies of the tests: the synthesizers here have their methods, with the
same arguments, results and ways to seed them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from pxgen_plugins import PXGen, describe
from pxgen_plugins.anchors import open_for
from pxgen_plugins.criteria import GowerNearest
from pxgen_plugins.criteria.gower import contributions
from pxgen_plugins.models import Tabular
from pxgen_plugins.testing import check_model
from pxgen_plugins.testing.guards import moved_generators, random_state
from pxgen_plugins.thresholds import Quantile
from pxgen_plugins.utils.errors import (
    AnchorError,
    CapabilityError,
    ModelError,
    ParameterError,
    PXGenWarning,
)


def people(n, seed=0):
    drawn = np.random.default_rng(seed)
    age = drawn.integers(20, 60, n)
    income = age * 100.0 + drawn.normal(0, 50, n)
    return pd.DataFrame(
        {
            "age": age,
            "income": income,
            "member": age > 40,
            "since": pd.Timestamp("2001-01-01")
            + pd.to_timedelta(drawn.integers(0, 10**8, n) * 1e-3, unit="s"),
            "city": drawn.choice(["Bern", "Oslo", "Rome"], n),
            "size": pd.Categorical(drawn.choice(["S", "L"], n), ["S", "M", "L"], ordered=True),
        }
    )


LIKE = people(200)
PLAIN = LIKE[["age", "income", "city"]]


class GaussianCopula:
    """Ranks of the data joined by a normal copula, drawn from numpy's global generator."""

    def __init__(self, table):
        self.table = table.apply(lambda column: column.sort_values(ignore_index=True))
        ranks = np.stack([table[name].rank(method="first") for name in table], 1)
        self.factor = np.linalg.cholesky(np.corrcoef(norm.ppf(ranks / (len(table) + 1)).T))

    def sample(self, num_rows, batch_size=None):
        z = np.random.standard_normal((num_rows, len(self.factor))) @ self.factor.T  # noqa: NPY002
        return pd.DataFrame(
            {name: self.quantile(name, norm.cdf(z[:, i])) for i, name in enumerate(self.table)}
        )

    def quantile(self, name, share):
        values = self.table[name].to_numpy()
        if values.dtype == object:
            return values[(share * len(values)).astype(int)]
        found = np.quantile(values, share)
        return found.round().astype(int) if values.dtype.kind == "i" else found


class Stateful:
    """As SDV does it: a generator of its own, which goes on from call to call."""

    def __init__(self, table):
        self.table, self.random, self.resets = table, np.random.RandomState(3), 0

    def sample(self, num_rows):
        return self.table.iloc[self.random.randint(0, len(self.table), num_rows)]

    def reset_sampling(self):
        self.resets += 1

    def _set_random_state(self, random_state):
        self.random = np.random.RandomState(random_state)


def with_row(**changes):
    return LIKE.head(3).astype(object).assign(**changes)


class TestRows:
    def test_a_table_and_back_is_the_same_table(self):
        model = Bag(LIKE.assign(wide=LIKE["age"].astype("Int32")))
        table = LIKE.assign(wide=LIKE["age"].astype("Int32"))
        back = model.frame(model.rows(table))
        pd.testing.assert_frame_equal(back, table)

    @settings(deadline=None, max_examples=30)
    @given(st.data())
    def test_any_order_of_columns_and_rows_gives_the_same_numbers(self, data):
        model = Bag(LIKE)
        order = data.draw(st.permutations(list(LIKE.columns)))
        places = data.draw(st.lists(st.integers(0, 199), min_size=1, max_size=5))
        found = model.rows(LIKE[order].iloc[places])
        torch.testing.assert_close(found, model.rows(LIKE)[places])

    def test_numbers_are_values_and_categories_codes(self):
        model = Bag(LIKE)
        one = {"age": [30], "income": [2.5], "member": [True], "since": ["2001-01-02 12:00"]}
        found = model.rows(one | {"city": ["Rome"], "size": ["M"]})
        assert found.tolist() == [[30.0, 2.5, 1.0, 11324.5, 2.0, 1.0]]
        assert [column.categorical for column in model.columns] == [False] * 4 + [True] * 2
        assert model.columns[2].width == 1.0

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"age": [20, None, 30]}, "column 'age': nan is no finite value"),
            ({"age": [20, np.inf, 30]}, "column 'age': inf is no finite value"),
            ({"age": [20, "old", 30]}, "column 'age': 'old' is no finite value"),
            ({"member": [True, None, False]}, "column 'member': None is no finite value"),
            ({"since": ["2001-01-01", "soon", "2002-01-01"]}, "column 'since': 'soon' is no"),
            ({"city": ["Rome", "Ulm", "Oslo"]}, "'Ulm' is none of the 3 known categories"),
            ({"city": ["Rome", None, "Oslo"]}, "column 'city' has no value"),
            ({"size": ["S", float("nan"), "L"]}, "column 'size' has no value"),
        ],
    )
    def test_a_row_with_a_gap_is_a_bad_anchor_that_names_the_column(self, changes, why):
        model = Bag(LIKE)
        anchors = model.open_anchors(with_row(**changes))
        numbers, failed = anchors.read(slice(None))
        assert set(failed) == {1}
        assert why in failed[1]
        assert np.isfinite(numbers).all()
        assert model.rows(with_row(**changes)).isfinite().all(1).tolist() == [True, False, True]

    def test_other_types_of_the_same_column_give_the_same_numbers(self):
        model = Bag(LIKE)
        table = LIKE.head(4)
        texts = table.astype({"age": str, "income": str, "member": str})
        texts["since"] = [  # a mixture of formats, read one by one
            *table["since"].astype(str)[:2], *(t.isoformat() + "Z" for t in table["since"][2:]),
        ]  # fmt: skip
        numbers = table.astype({"age": "float32", "member": int, "income": object, "size": str})
        for other in (texts, numbers, table.astype({"age": "category", "member": "boolean"})):
            torch.testing.assert_close(model.rows(other), model.rows(table))

    def test_a_date_is_no_number_and_a_number_no_date(self):
        model = Bag(LIKE)
        for changes in ({"age": LIKE["since"][:3]}, {"since": [1, 2, 3]}, {"age": [1j] * 3}):
            assert not model.rows(LIKE.head(3).assign(**changes)).isfinite().any()

    def test_numbers_beyond_a_type_go_to_its_ends(self):
        like = pd.DataFrame(
            {
                "byte": np.array([3, 7], dtype=np.int8),
                "long": [3, 7],
                "day": pd.to_datetime(["2001-01-01", "2002-01-01"]).tz_localize("Europe/Zurich"),
            }
        )
        table = Bag(like).frame(torch.tensor([[1e30] * 3, [-1e30] * 3], dtype=torch.float64))
        assert table["byte"].tolist() == [127, -128]
        assert table["long"].tolist() == [2**63 - 1024, -(2**63)]
        assert table["day"].dt.year.tolist() == [2260, 1679]
        pd.testing.assert_frame_equal(Bag(like).frame(Bag(like).rows(like)), like)

    def test_a_missing_category_is_one_of_its_own_where_the_reference_has_any(self):
        like = pd.DataFrame(
            {
                "city": ["Rome", None, "Bern"],
                "size": pd.Categorical(["S", None, "L"]),
                "code": pd.Series([3, "", "7"], dtype=object),
            }
        )
        model = Bag(like)
        assert model.rows(like).tolist() == [[1.0, 1.0, 0.0], [2.0, 2.0, 2.0], [0.0, 0.0, 1.0]]
        back = model.frame(model.rows(like))
        assert back.isna().sum().tolist() == [1, 1, 1]

    def test_a_column_of_the_reference_is_no_label(self):
        like = PLAIN.rename(columns={"city": "label"})
        anchors = Bag(like).open_anchors(like.assign(y=range(200)))
        assert anchors.labels.tolist() == [str(i) for i in range(200)]
        assert anchors.ids is None

    def test_files_give_the_rows_of_the_table(self, tmp_path):
        like = LIKE.assign(zip=[f"0{i % 7}" for i in range(len(LIKE))])
        like.loc[::5, "city"] = "NA"  # not a missing value
        model = Bag(like)
        like.to_csv(tmp_path / "x.csv", index=False)
        like.to_parquet(tmp_path / "x.parquet")
        for name in ("x.csv", "x.parquet"):
            torch.testing.assert_close(model.rows(tmp_path / name), model.rows(like))
            torch.testing.assert_close(model.rows(str(tmp_path / name)), model.rows(like))
        (tmp_path / "bad.parquet").write_bytes(b"no table")
        for name in ("bad.parquet", "absent.csv"):
            with pytest.raises(AnchorError, match=name):
                model.rows(tmp_path / name)

    def test_dates_in_text_are_of_one_format_or_refused(self):
        days = pd.DataFrame({"day": pd.to_datetime(["2001-01-01", "2004-01-01"])})
        model = Bag(days)
        read = {
            "by day": (["01/02/2003", "13/02/2003"], ["2003-02-01", "2003-02-13"]),
            "by month": (["01/02/2003", "01/13/2003"], ["2003-01-02", "2003-01-13"]),
            "with times": (["3.4.2003 10:30", "25.4.2003 00:00"],
                           ["2003-04-03 10:30", "2003-04-25"]),
            "names": (["Feb 1, 2003", "Mar 2, 2003"], ["2003-02-01", "2003-03-02"]),
            "alike": (["05/05/2003"], ["2003-05-05"]),
            "ISO": (["2003-02-01", "2003-02-01T00:00:00Z", "20030201"], ["2003-02-01"] * 3),
        }  # fmt: skip
        for given_texts, wanted in read.values():
            numbers = model.rows({"day": given_texts})
            # read as a whole: a batch of one row could not tell the format
            anchors = model.open_anchors({"day": given_texts})
            rows = [anchors.read(slice(i, i + 1))[0][0, 0] for i in range(len(given_texts))]
            torch.testing.assert_close(
                numbers, model.rows({"day": [pd.Timestamp(t) for t in wanted]})
            )
            assert rows == numbers[:, 0].tolist()
        for texts in (
            ["01/02/2003", "03/04/2003"],
            ["13/02/2003", "02/14/2003"],
            ["13/02/2003", "2003-02-14"],
            ["1.2.2003", "13/02/2003"],
        ):
            with pytest.raises(AnchorError, match="dates of one format in column 'day'"):
                model.open_anchors({"day": texts})
        _, failed = model.open_anchors({"day": ["13/02/2003", "soon", None]}).read(slice(None))
        assert sorted(failed) == [1, 2]

    def test_what_floats_cannot_hold_is_said(self):
        like = pd.DataFrame({"n": [1, 2], "t": pd.to_datetime(["2001-01-01", "2002-01-01"])})
        model = Bag(like)
        table = like.assign(n=[2**53 + 1, 2])
        with pytest.warns(PXGenWarning, match=r"beyond 2\*\*53 in column 'n'"):
            model.rows(table)
        table = like.assign(t=like["t"] + pd.Timedelta(7, "ns"))
        with pytest.warns(PXGenWarning, match="microsecond in column 't'"):
            model.rows(table)

    def test_csv_files_are_read_as_written(self, tmp_path):
        model = Bag(PLAIN)
        text = PLAIN.head(3).to_csv(index=False)
        for name, content in {
            "mark.csv": b"\xef\xbb\xbf" + text.encode(),
            "CAPITALS.CSV": text.encode(),
            "crlf.csv": text.replace("\n", "\r\n").encode(),
        }.items():
            (tmp_path / name).write_bytes(content)
            torch.testing.assert_close(model.rows(tmp_path / name), model.rows(PLAIN.head(3)))
        lines = text.splitlines()
        for name, content, why in (
            ("short.csv", [*lines, "20,1.5"], "line 5 has 2 values for 3 columns"),
            ("long.csv", [lines[0], *(line + ",7" for line in lines[1:])], "line 2 has 4 values"),
        ):
            (tmp_path / name).write_text("\n".join(content))
            with pytest.raises(AnchorError, match=why):
                model.rows(tmp_path / name)
        (tmp_path / "wide.csv").write_bytes(text.encode("utf-16"))
        with pytest.raises(AnchorError, match="UTF-16"):
            model.rows(tmp_path / "wide.csv")

    def test_columns_that_the_user_names_hold_labels_and_ids(self, tmp_path):
        model = Bag(PLAIN)
        table = PLAIN.head(3).assign(key=["a", "b", "c"], extra=1, label=[3, 4, 5])
        table.to_csv(tmp_path / "a.csv", index=False)
        for X in (table, tmp_path / "a.csv"):
            anchors = open_for(model, X, columns=list(PLAIN), labels="city", ids="key")
            assert anchors.labels.tolist() == PLAIN["city"].head(3).tolist()
            assert anchors.ids.tolist() == ["a", "b", "c"]
            assert "not used: columns 'extra', 'label'" in anchors.describe()
        with pytest.raises(AnchorError, match="like decides"):
            open_for(model, table, columns=["age"])
        assert Bag(PLAIN).open_anchors(PLAIN.rename_axis("id")).ids[:2].tolist() == ["0", "1"]

    def test_other_columns_are_refused_by_name(self):
        model = Bag(PLAIN)
        with pytest.raises(AnchorError, match=r"without \['income'\]"):
            model.rows(PLAIN.drop(columns="income"))
        with pytest.raises(AnchorError, match=r"\['size'\] besides"):
            model.rows(LIKE[[*PLAIN.columns, "size"]])
        with pytest.raises(AnchorError, match="distinct"):
            model.rows(PLAIN[["age", "income", "city", "age"]])
        with pytest.raises(AnchorError, match="a table"):
            model.rows({"age": [1, 2], "income": [1.0], "city": ["Rome"]})
        with pytest.raises(AnchorError, match="must be a table"):
            model.rows(np.zeros((2, 3)))

    def test_rows_are_shown_as_names_and_values(self):
        model = Tabular(GaussianCopula(PLAIN), PLAIN)
        x = torch.tensor([[30.2, 1234.5678, 1.6], [20.0, 1.0, -3.0]])
        assert model.render(x) == [
            "age=30, income=1235, city=Rome",
            "age=20, income=1, city=Bern",
        ]
        for bad in (torch.zeros(2, 2), torch.full((1, 3), torch.nan)):
            with pytest.raises(AnchorError, match="finite, of shape"):
                model.frame(bad)

    def test_features_put_two_categories_and_two_ends_of_a_range_at_distance_1(self):
        model = Bag(PLAIN)
        low, high = PLAIN["age"].min(), PLAIN["age"].max()
        table = {"age": [low, high, low], "income": [5.0] * 3, "city": ["Rome", "Rome", "Oslo"]}
        found = model.features(model.rows(table))
        gaps = torch.cdist(found, found)[0]
        torch.testing.assert_close(gaps, torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64))

    @pytest.mark.parametrize(
        ("like", "message"),
        [
            (PLAIN.to_numpy(), "a DataFrame with rows"),
            (PLAIN.head(0), "a DataFrame with rows"),
            (PLAIN.set_axis([0, 1, 2], axis=1), "distinct strings"),
            (PLAIN.set_axis(["a", "a", "b"], axis=1), "distinct strings"),
            (PLAIN.assign(age=np.nan), "without gaps among numbers"),
            (PLAIN.assign(age=[[1]] * len(PLAIN)), "of single values"),
            (PLAIN.assign(age=1j), "numbers, dates and categories"),
            (PLAIN.assign(city=[3, "3"] * 100), "distinct texts"),
        ],
    )
    def test_a_reference_that_fixes_nothing_is_refused(self, like, message):
        with pytest.raises(ParameterError, match=message):
            Tabular(GaussianCopula(PLAIN), like)


class Bag(Tabular):
    """A model that draws rows of its reference again."""

    def __init__(self, like, **functions):
        super().__init__(Stateful(like), like, **functions)


class TestSynthesizer:
    def test_samples_are_those_of_the_seeded_synthesizer(self):
        copula = GaussianCopula(PLAIN)
        model = Tabular(copula, PLAIN)
        before = random_state()
        one, again, other = (model.sample(20, seed) for seed in (5, 5, 6))
        assert not moved_generators(before)
        assert torch.equal(one, again)
        assert not torch.equal(one, other)
        check_model(model)

    def test_correlations_of_the_data_are_in_the_samples(self):
        drawn = Tabular(GaussianCopula(PLAIN), PLAIN).sample(2000, 0)
        assert np.corrcoef(drawn[:, :2].T.numpy())[0, 1] > 0.95

    def test_a_generator_of_its_own_is_seeded(self):
        bag = Stateful(PLAIN)
        model = Tabular(bag, PLAIN)
        assert torch.equal(model.sample(9, 2**40), model.sample(9, 2**40))
        assert bag.resets == 4  # two of the check, two here
        seeds = []

        def reseed(seed):
            seeds.append(seed)
            bag._set_random_state(seed)

        Tabular(bag, PLAIN, reseed=reseed).sample(3, 7)
        assert seeds == [1, 1, 7]

    def test_the_number_of_rows_is_given_by_whatever_name(self):
        class Named:
            def sample(self, *, num_rows):
                return PLAIN.head(num_rows)

        class Unnamed:
            def sample(self, count, /, condition=None):
                return PLAIN.head(count)

        for synthesizer in (Named(), Unnamed()):
            assert len(Tabular(synthesizer, PLAIN).sample(7, 0)) == 7

    def test_what_does_not_repeat_is_told(self):
        class Deaf:
            random = np.random.default_rng(0)

            def sample(self, n):
                return PLAIN.iloc[self.random.integers(0, 200, n)]

        with pytest.raises(ModelError, match="reseed=f"):
            Tabular(Deaf(), PLAIN)

    def test_a_mapping_of_one_table_is_that_table(self):
        class OneTable(Stateful):
            def sample(self, num_rows):
                return {"people": super().sample(num_rows)}

        one, other = Tabular(OneTable(PLAIN), PLAIN), Tabular(Stateful(PLAIN), PLAIN)
        assert torch.equal(one.sample(9, 4), other.sample(9, 4))

    def test_columns_that_the_reference_lacks_are_not_read(self):
        model = Tabular(Stateful(LIKE.assign(id=range(200))), PLAIN)
        assert model.sample(3, 0).shape == (3, 3)

    @pytest.mark.parametrize(
        ("back", "message"),
        [
            (lambda n: PLAIN.to_numpy()[:n], "got ndarray"),
            (lambda n: PLAIN.head(n + 1), "rows with the columns"),
            (lambda n: PLAIN.head(n)[["age"]], r"3 rows of \['age'\]"),
            (lambda n: PLAIN.head(n).assign(city="Ulm"), "'Ulm' is none of"),
            (lambda n: PLAIN.head(n).assign(age=np.nan), "complete"),
            (lambda n: 1 / 0, "ZeroDivisionError"),
        ],
    )
    def test_samples_that_are_no_rows_are_told(self, back, message):
        class Broken:
            def sample(self, n):
                return back(n)

        with pytest.raises(ModelError, match=message):
            Tabular(Broken(), PLAIN)

    def test_wrong_arguments_are_named(self):
        bag = Stateful(PLAIN)
        with pytest.raises(ParameterError, match="synthesizer"):
            Tabular(PLAIN.to_numpy(), PLAIN)
        with pytest.raises(ParameterError, match="reconstruct must be callable"):
            Tabular(bag, PLAIN, reconstruct=3, modules=())
        for more in ({}, {"encode": len, "reconstruct": len}):
            with pytest.raises(ParameterError, match="together with encode"):
                Tabular(bag, PLAIN, decode=len, modules=(), **more)


class TestCallables:
    def test_capabilities_are_what_was_given(self):
        codes = lambda table: table[["age", "income"]].to_numpy()  # noqa: E731
        back = lambda z: PLAIN.head(len(z)).assign(age=z[:, 0], income=z[:, 1])  # noqa: E731
        plain = {"sample"}
        assert Bag(PLAIN).capabilities == plain
        assert Bag(PLAIN, encode=codes, modules=()).capabilities == plain | {"embed"}
        assert Bag(PLAIN, encode=codes, decode=back, modules=()).capabilities == plain | {
            "embed", "decode", "reconstruct",
        }  # fmt: skip
        pair = Bag(
            PLAIN, encode=lambda table: (codes(table), codes(table) * 0), decode=back, modules=()
        )
        assert pair.capabilities == plain | {"embed", "encode", "decode", "reconstruct"}
        assert pair.latent_shape == (2,)
        x = pair.rows(PLAIN.tail(4))
        torch.testing.assert_close(pair.encode(x)[0], x[:, :2])
        torch.testing.assert_close(pair.reconstruct(x)[:, :2], x[:, :2])
        density = Bag(PLAIN, log_prob=lambda table: -table["age"], modules=())
        torch.testing.assert_close(density.log_prob(x), -x[:, 0])
        with pytest.raises(CapabilityError, match="decode"):
            density.decode(torch.zeros(1, 2))

    def test_decode_is_given_codes_of_the_kind_that_encode_gives(self):
        seen = []

        def back(z):
            seen.append((type(z), z.dtype))
            return PLAIN.head(len(z))

        arrays = lambda table: table[["age"]].to_numpy(np.float32)  # noqa: E731
        tensors = lambda table: torch.tensor(table[["age"]].to_numpy())  # noqa: E731
        Bag(PLAIN, encode=arrays, decode=back, modules=())
        Bag(PLAIN, encode=tensors, decode=back, modules=())
        assert seen == [(np.ndarray, np.float32), (torch.Tensor, torch.int64)]

    @pytest.mark.parametrize(
        ("functions", "message"),
        [
            ({"encode": lambda table: np.zeros(len(table))}, "codes of shape"),
            ({"encode": lambda table: (1, 2, 3)}, "codes or a pair"),
            ({"encode": lambda table: table["city"]}, "encode's result must be numbers"),
            ({"reconstruct": lambda table: table.head(1)}, "reconstruct's result"),
            ({"reconstruct": lambda table: table["absent"]}, "KeyError"),
            ({"log_prob": lambda table: np.zeros((len(table), 2))}, "log_prob's result"),
        ],
    )
    def test_what_does_not_fit_is_told_at_once(self, functions, message):
        with pytest.raises(ModelError, match=message):
            Bag(PLAIN, modules=(), **functions)

    def test_modules_behind_the_callables_are_evaluated_and_put_back(self):
        net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.5))
        encode = lambda table: net(  # noqa: E731
            torch.tensor(table[["age", "income"]].to_numpy(np.float32))
        )
        with pytest.raises(ParameterError, match="Tabular: modules must be given"):
            Bag(PLAIN, encode=encode)
        model = Bag(PLAIN, encode=encode, modules=net)
        x = model.rows(PLAIN.head(5))
        assert torch.equal(model.embed(x), model.embed(x))
        assert net.training


class TestExplanations:
    def explainer(self, model, **more):
        return PXGen(
            model,
            intrinsic=[{"name": "latent_neighbours", "k": 1}],
            extrinsic=["gower", GowerNearest(k=1, n_fit=100)],
            threshold=Quantile(0.99, 200, 2),
            selectors=["k_center"],
            **more,
        )

    def model(self):
        codes = lambda table: table[["age", "income"]].to_numpy()  # noqa: E731
        back = lambda z: pd.DataFrame(  # noqa: E731
            {"age": z[:, 1] / 100, "income": z[:, 1], "city": "Rome"}
        )
        return Tabular(GaussianCopula(PLAIN), PLAIN, encode=codes, decode=back, modules=())

    def test_rows_are_explained_with_the_labels_and_ids_of_the_frame(self, tmp_path):
        model = self.model()
        known = people(40, seed=1)[list(PLAIN.columns)]
        foreign = known.assign(income=known["income"].to_numpy()[::-1] * 3)
        table = pd.concat([known, foreign], ignore_index=True)
        table.loc[3, "city"] = "Ulm"
        table = table.assign(id=[f"p{i}" for i in range(80)], label=["own"] * 40 + ["other"] * 40)
        explainer = self.explainer(model)
        explainer.fit(PLAIN)
        with pytest.warns(UserWarning, match="'Ulm' is none of"):
            found = explainer.explain(table)
        assert list(found.labels) == list(table["label"])
        assert list(found.ids) == list(table["id"])
        assert list(found.invalid) == [3]
        own = np.delete(np.arange(40), 3)
        hihe = [np.mean(found.group[index] == "HIHE") for index in (own, np.arange(40, 80))]
        assert hihe[0] > 0.8
        assert hihe[1] < 0.1
        parts = contributions(explainer.criteria[2], model, table.iloc[40:])
        np.testing.assert_allclose(parts.mean(axis=1), found.values[40:, 2])
        assert parts.mean().idxmax() == "income"
        # a saved explainer gives the same values of the same rows in a file
        explainer.save(tmp_path / "saved")
        table.to_csv(tmp_path / "x.csv", index=False)
        loaded = PXGen.load(tmp_path / "saved", model)
        with pytest.warns(UserWarning, match="'Ulm' is none of"):
            again = loaded.explain(tmp_path / "x.csv")
        np.testing.assert_allclose(again.values, found.values, equal_nan=True)
        assert list(again.ids) == list(found.ids)

    def test_a_synthesizer_alone_is_explained_by_its_samples(self):
        model = Tabular(GaussianCopula(PLAIN), PLAIN)
        described = describe(model)
        assert "gower_nearest" in described.extrinsic
        assert "sample_rank" in described.intrinsic
        explainer = PXGen(
            model,
            intrinsic=[{"name": "sample_rank", "n_fit": 100, "network": model.features}],
            extrinsic=[{"name": "gower_nearest", "n_fit": 100}],
            threshold=Quantile(0.95, 100, 2),
            selectors=["top"],
        )
        explainer.fit()
        found = explainer.explain(people(30, seed=2)[list(PLAIN.columns)])
        far = explainer.explain({"age": [20, 59], "income": [6e3, 2e3], "city": ["Rome", "Bern"]})
        assert np.mean(found.group == "HIHE") > 0.7
        assert list(far.group) == ["LILE", "LILE"]

    def test_numbers_as_the_model_gives_them_are_anchors(self):
        model = self.model()
        explainer = self.explainer(model)
        explainer.fit(PLAIN)
        x = model.sample(10, 3)
        found = explainer.explain(x.numpy())
        np.testing.assert_allclose(found.values, explainer.explain(model.frame(x)).values)

    @pytest.mark.slow
    def test_a_trained_vae_tells_known_wines_from_others(self, example):
        module = example("family_models.tabular")
        model, _, _, known, others, reference = module.build()
        explainer = PXGen(
            model,
            intrinsic="mahalanobis",
            extrinsic=["gower", "gower_nearest"],
            threshold=Quantile(0.99, 300, 2),
            selectors=(),
        )
        explainer.fit(reference)
        own = np.asarray(explainer.explain(known).values)
        for kind, table in others.items():
            values = np.asarray(explainer.explain(table).values)
            for column in (1, 2):
                truth = np.r_[np.zeros(len(own)), np.ones(len(values))]
                area = roc_auc_score(truth, np.r_[own[:, column], values[:, column]])
                assert area > 0.75, (kind, explainer.criteria[column].name)
