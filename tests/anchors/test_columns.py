"""A column is what its user meant: features, labels and ids, wherever they stand."""

from __future__ import annotations

import datetime
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.utils.data import Subset, TensorDataset

from pxgen_plugins import PXGen, compare
from pxgen_plugins.anchors import open_anchors
from pxgen_plugins.anchors.documents import open_texts
from pxgen_plugins.anchors.label_text import as_ids, as_labels
from pxgen_plugins.models import VAE
from pxgen_plugins.thresholds import Quantile
from pxgen_plugins.utils.errors import AnchorError, ParameterError, PXGenWarning

N = 3


def table(*names: str) -> pd.DataFrame:
    return pd.DataFrame({name: np.arange(N) + 10.0 * at for at, name in enumerate(names)})


def both(frame: pd.DataFrame, folder: Path) -> list[Any]:
    frame.to_parquet(folder / "a.parquet")
    return [frame, folder / "a.parquet"]


@pytest.mark.parametrize(
    ("columns", "d", "features", "label", "identity"),
    [
        ("x y z", 3, "x y z", None, None),  # coordinates
        ("x y", 2, "x y", None, None),
        ("x y", 1, "x", "y", None),
        ("y", 1, "y", None, None),
        ("a b y", 2, "a b", "y", None),
        ("id a label b", 4, "id a label b", None, None),
        ("id a label b", 2, "a b", "label", "id"),
        ("a label y", 2, "a y", "label", None),
        ("a b class target path text", 6, "a b class target path text", None, None),
        ("a b y", None, "a b", "y", None),
        ("id a b", None, "a b", None, "id"),
    ],
)
def test_the_models_number_of_features_says_what_a_usual_name_means(
    columns: str, d: Any, features: str, label: Any, identity: Any, tmp_path: Path
) -> None:
    frame = table(*columns.split())
    for source in both(frame, tmp_path):
        anchors = open_anchors(source, sample_shape=None if d is None else (d,))
        rows, failed = anchors.read(slice(None))
        np.testing.assert_array_equal(rows, frame[features.split()])
        assert not failed
        for values, name in ((anchors.labels, label), (anchors.ids, identity)):
            if name is None:
                assert values is None
            else:
                assert values.tolist() == [f"{value:g}" for value in frame[name]]
                assert f"column {name!r}" in anchors.describe()


@pytest.mark.parametrize(("columns", "d"), [("y id a b", 3), ("x y", None), ("x y a", None)])
def test_where_nobody_can_tell_the_user_is_asked(columns: str, d: Any, tmp_path: Path) -> None:
    shape = None if d is None else (d,)
    frame = table(*columns.split())
    for source in both(frame, tmp_path):
        with pytest.raises(AnchorError, match=r"features can be told.*columns=\[\.\.\.\]"):
            open_anchors(source, sample_shape=shape)
        names = [name for name in frame if name != "id"]
        anchors = open_anchors(source, sample_shape=shape, columns=names)
        np.testing.assert_array_equal(anchors.read(slice(None))[0], frame[names])
        anchors = open_anchors(source, sample_shape=None, columns=["a", "y"][-1:], labels="y")
        assert anchors.labels is not None


def test_what_the_user_names_decides_and_is_said(tmp_path: Path) -> None:
    frame = table("a", "b", "y", "key").assign(kind=list("pqr"))
    for source in both(frame, tmp_path):
        anchors = open_anchors(
            source, sample_shape=(2,), columns=["y", "a"], labels="kind", ids="key"
        )
        np.testing.assert_array_equal(anchors.read(slice(None))[0], frame[["y", "a"]])
        assert anchors.labels.tolist() == list("pqr")
        assert anchors.ids.tolist() == ["30", "31", "32"]
        assert anchors.describe() == (
            "3 anchors from columns 'y', 'a'; labels from column 'kind'; ids from column 'key'; "
            "not used: column 'b'"
        )
        with pytest.raises(AnchorError, match=r"columns must be a column of the table.*'c'"):
            open_anchors(source, sample_shape=(2,), columns=["a", "c"])
        with pytest.raises(AnchorError, match=r"columns of numbers.*'kind' \(other\)"):
            open_anchors(source, sample_shape=(2,), columns=["a", "kind"])
    for wrong in ([], [3], ["a", "a"], 5):
        with pytest.raises(ParameterError, match="columns must be"):
            open_anchors(frame, sample_shape=(2,), columns=wrong)
    for X in (np.eye(3), open_anchors(np.eye(3), sample_shape=None)):
        with pytest.raises(AnchorError, match="no columns"):
            open_anchors(X, sample_shape=(3,), labels="y")


def test_a_level_of_the_index_may_hold_labels_and_ids(tmp_path: Path) -> None:
    frame = table("a", "b").assign(label=list("xyz"), id=list("pqr"))
    for index in ("id", "label", ["label", "id"]):
        for source in both(frame.set_index(index), tmp_path):
            anchors = open_anchors(source, sample_shape=(2,))
            assert anchors.labels.tolist() == list("xyz")
            assert anchors.ids.tolist() == list("pqr")
    for source in both(table("a", "b").set_index(pd.Index([7, 7, 8], name="day")), tmp_path):
        anchors = open_anchors(source, sample_shape=(2,))
        assert anchors.ids is None
        assert open_anchors(source, sample_shape=(2,), labels="day").labels.tolist() == list("778")


@pytest.mark.parametrize(
    "first",
    [np.nan, None, pd.NA, float("nan")],
    ids=["NaN", "None", "NA", "nan"],
)
def test_a_gap_in_front_does_not_hide_a_column_of_anchors(first: Any) -> None:
    frame = pd.DataFrame({"x": [first, [1.0, 2.0], [3.0, 4.0]], "age": [30.0, 40.0, 50.0]})
    for shape in (None, (2,)):
        anchors = open_anchors(frame, sample_shape=shape)
        rows, failed = anchors.read(slice(None))
        assert rows.tolist() == [[0, 0], [1, 2], [3, 4]]
        assert failed == {0: "it is missing"}
        assert "not used: column 'age'" in anchors.describe()


VALUES = [1, 0, 1]


@pytest.mark.parametrize(
    "labels",
    [
        np.array(VALUES)[:, None],
        torch.tensor(VALUES)[:, None],
        pd.DataFrame({"y": VALUES}),
        pd.Series(VALUES, dtype="Int64"),
        pd.Series(VALUES, dtype="int64[pyarrow]"),
        pd.Series(VALUES, dtype="category"),
        pd.Categorical(VALUES),
        pd.Series([1.0, 0.0, 1.0], index=[5, 5, 5]),
        pd.array(VALUES, dtype="UInt8"),
        pa.array(VALUES),
        pa.chunked_array([VALUES]),
        torch.tensor(VALUES, dtype=torch.bfloat16),
        (str(v) for v in VALUES),
    ],
    ids=lambda labels: f"{type(labels).__name__}",
)
def test_labels_of_every_type_are_the_same_strings(labels: Any) -> None:
    if not hasattr(labels, "__len__"):
        labels = list(labels)
    assert as_labels(labels, 3).tolist() == ["1", "0", "1"]
    data = TensorDataset(torch.rand(3, 2), torch.tensor(VALUES)[:, None])
    for X in (data, Subset(data, range(3))):
        anchors = open_anchors(X, sample_shape=(2,))
        anchors.read(slice(None))
        assert anchors.labels.tolist() == ["1", "0", "1"]


BIG = 2**53 + 1


@pytest.mark.parametrize(
    "labels",
    [
        pd.Series([BIG, None, 3], dtype="Int64"),
        pd.Series([BIG, None, 3], dtype="int64[pyarrow]"),
        pd.Series([BIG, None, 3], dtype="object"),
        pd.Series(pd.Categorical(pd.Series([BIG, None, 3], dtype="Int64"))),
        pa.array([BIG, None, 3]),
        [BIG, None, 3],
        np.ma.array([BIG, 7, 3], mask=[False, True, False]),
    ],
    ids=lambda labels: f"{type(labels).__name__}",
)
def test_a_gap_beside_large_labels_rounds_none_of_them(labels: Any) -> None:
    assert as_labels(labels, 3).tolist() == [str(BIG), "", "3"]


def test_integers_that_floats_cannot_hold_are_not_rounded_in_silence(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "key": [BIG, BIG + 1, 5]})
    pq.write_table(pa.table({"v": [[1, BIG], [2, 3]]}), tmp_path / "lists.parquet")
    sources = [*both(frame, tmp_path), frame.to_numpy(), frame.astype("Int64"),
               tmp_path / "lists.parquet"]  # fmt: skip
    for source in sources:
        with pytest.warns(PXGenWarning, match=r"integers beyond 2\*\*53"):
            open_anchors(source, sample_shape=(2,)).read(slice(None))
    for source in both(frame, tmp_path):
        anchors = open_anchors(source, sample_shape=(1,), ids="key")
        assert anchors.ids.tolist() == [str(BIG), str(BIG + 1), "5"]


@pytest.mark.parametrize("kind", [set, frozenset])
def test_what_has_no_order_names_no_anchors(kind: type) -> None:
    for read in (as_labels, as_ids):
        with pytest.raises(AnchorError, match="per anchor; got"):
            read(kind("abc"), 3)
    with pytest.raises(AnchorError, match="X must be texts"):
        open_texts(kind("abc"), 8)


def test_times_as_labels_are_the_same_in_every_library() -> None:
    times = [datetime.datetime(2001, 2, 3), datetime.datetime(2001, 2, 3, 4, 5, 6, 7000), None]
    frame = pd.Series(times)
    nano = np.array([np.datetime64(t, "ns") for t in times])
    for labels in (times, frame, nano, nano.astype("datetime64[ms]"), pa.array(times)):
        found = as_labels(labels, 3).tolist()
        assert found == ["2001-02-03", "2001-02-03T04:05:06.007000", ""]
    assert as_labels([datetime.date(2001, 2, 3)], 1).tolist() == ["2001-02-03"]


def test_extension_types_are_features_like_any_other() -> None:
    plain = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0.0, 1.0, 0.0]})
    others = {
        "nullable": plain.astype({"a": "Float64", "b": "Int8"}),
        "Arrow": plain.astype({"a": "double[pyarrow]", "b": "int64[pyarrow]"}),
        "sparse": plain.astype({"b": pd.SparseDtype("float64", 0.0)}),
        "boolean": plain.astype({"b": "boolean"}),
    }
    for kind, frame in others.items():
        rows, failed = open_anchors(frame, sample_shape=(2,)).read(np.array([2, 0]))
        np.testing.assert_array_equal(rows, plain.iloc[[2, 0]], err_msg=kind)
        assert not failed
    lists = pd.Series([[1.0, 2.0], [3.0, 4.0]], dtype=pd.ArrowDtype(pa.list_(pa.float64())))
    anchors = open_anchors(pd.DataFrame({"v": lists, "age": [1, 2]}), sample_shape=(2,))
    assert anchors.read(slice(None))[0].tolist() == [[1, 2], [3, 4]]


def test_items_of_several_numbers_are_no_anchor_of_one() -> None:
    class Points:
        def __len__(self) -> int:
            return 2

        def __getitem__(self, i: int) -> dict[str, float]:
            return {"x": 1.0, "y": 2.0, "z": 3.0}

    with pytest.raises(AnchorError, match="no key out of"):
        open_anchors(Points(), sample_shape=None)


def test_a_column_of_lists_is_no_column_of_labels_and_given_ones_decide(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.eye(2), y=np.eye(2))
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0], "label": [[1], [2]]})
    for source in (tmp_path / "a.npz", frame):
        for given in (None, ["p", "q"]):
            with pytest.warns(PXGenWarning, match="holds no labels and was left out"):
                anchors = open_anchors(source, sample_shape=(2,), labels=given)
            assert anchors.labels is None if given is None else anchors.labels.tolist() == given
    with pytest.raises(AnchorError, match="labels must be a sequence with one value per anchor"):
        open_anchors(frame, sample_shape=(2,), labels="label")


def test_a_second_column_of_a_usual_name_is_left_out_where_the_shape_says_so(
    tmp_path: Path,
) -> None:
    frame = table("a", "b", "y", "label", "id").assign(key=list("uvw"), id=7)
    for source in both(frame, tmp_path):
        anchors = open_anchors(source, sample_shape=(2,), ids="key")
        np.testing.assert_array_equal(anchors.read(slice(None))[0], frame[["a", "b"]])
        assert anchors.labels.tolist() == ["30", "31", "32"]
        assert "not used: columns 'y', 'id'" in anchors.describe()


def test_a_table_of_pyarrow_is_a_table() -> None:
    anchors = open_anchors(
        pa.table({"a": [1.0, None], "n": [BIG, 3], "label": [5, None]}),
        sample_shape=(1,), columns="a", ids="n",
    )  # fmt: skip
    rows, failed = anchors.read(slice(None))
    assert (rows.tolist(), failed) == ([[1], [0]], {1: "column 'a' is null"})
    assert (anchors.labels.tolist(), anchors.ids.tolist()) == (["5", ""], [str(BIG), "3"])


VIEWS = {
    "plain": (pa.string(), pa.list_(pa.float64())),
    "large": (pa.large_string(), pa.large_list(pa.float64())),
}
if hasattr(pa, "string_view"):  # as polars gives them
    VIEWS["views"] = (pa.string_view(), pa.list_view(pa.float64()))
    VIEWS["large views"] = (pa.string_view(), pa.large_list_view(pa.float64()))


@pytest.mark.parametrize("kind", VIEWS)
def test_a_table_means_the_same_in_every_layout_of_arrow(kind: str) -> None:
    text, many = VIEWS[kind]
    pixels, names = np.random.default_rng(0).random((3, 4)), ["a", None, "é"]
    columns = {"label": pa.array(names, text), "id": pa.array(list("uvw"), text)}
    for table, expected in (
        (pa.table({"x": pa.array(pixels.tolist(), many), **columns}), pixels),
        (pa.table({"p": pixels[:, 0], "q": pixels[:, 1], **columns}), pixels[:, :2]),
    ):
        anchors = open_anchors(table, sample_shape=expected.shape[1:])
        np.testing.assert_allclose(anchors.read(slice(None))[0], expected, rtol=1e-6)
        assert (anchors.labels.tolist(), anchors.ids.tolist()) == (["a", "", "é"], list("uvw"))
    texts = open_texts(pa.table({"text": pa.array(names, text), "id": columns["id"]}), 8)
    assert (len(texts), texts.ids.tolist()) == (3, list("uvw"))


def test_a_frame_of_polars_is_a_table() -> None:
    if importlib.util.find_spec("polars") is None:
        pytest.skip("polars is not among the packages that the tests install")
    import polars

    frame = polars.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0], "label": ["u", None]})
    anchors = open_anchors(frame, sample_shape=(2,))
    np.testing.assert_array_equal(anchors.read(slice(None))[0], [[1, 3], [2, 4]])
    assert anchors.labels.tolist() == ["u", ""]
    assert len(open_texts(polars.DataFrame({"text": ["ab", "c"]}), 8)) == 2


def test_fit_and_compare_take_the_columns_and_the_range_that_explain_takes():
    model = VAE(
        encode=lambda x: (x[:, :2] * 4 - 2, x[:, 2:] - 1),
        decode=lambda z: torch.cat([z, z], 1).sigmoid(),
        modules=(), sample_shape=(4,),
    )  # fmt: skip
    scaled = np.random.default_rng(0).integers(0, 256, (60, 4)).astype(np.float32)
    plain = scaled / 255
    frame = pd.DataFrame(scaled, columns=list("abcd")).assign(height=7.0, kind=["u", "v"] * 30)
    options = {"columns": list("abcd"), "anchors_range": (0, 255)}
    rule = Quantile(0.9, source="reference")
    one, two = (PXGen(model, threshold=rule) for _ in range(2))
    one.fit(plain)
    two.fit(frame, **options)
    np.testing.assert_allclose(two.calibration.thresholds, one.calibration.thresholds, rtol=1e-5)
    table = compare(model, frame, "kind", ["saliency"], one, quality=False, **options)
    expected = one.explain(plain, ["u", "v"] * 30)
    np.testing.assert_allclose(table.groups.values, expected.values, rtol=1e-5)
    assert table.groups.labels.tolist() == expected.labels.tolist()
