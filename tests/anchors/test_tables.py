"""Parquet files and data frames: columns, nulls, damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pxgen_plugins.anchors import Anchors, _blocks, open_anchors
from pxgen_plugins.anchors.tables import choose
from pxgen_plugins.utils.errors import AnchorError, PXGenWarning


def _write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def _open(path: Any, shape: Any) -> Anchors:
    return open_anchors(path, sample_shape=shape)


@pytest.mark.parametrize(
    ("columns", "chosen", "label", "identity"),
    [
        ({"a": "number", "b": "number"}, "a b", None, None),
        ({"id": "number", "a": "number", "label": "other", "b": "number"}, "a b", "label", "id"),
        ({"y": "number", "ids": "other", "v": "list"}, "v", "y", "ids"),
        ({"y": "number", "label": "number", "v": "list"}, "v", "label", None),
        ({"v": "list", "image": "image", "w": "list"}, "image", None, None),
        ({"x": "number", "z": "number"}, "x z", None, None),
        ({"x": "number", "v": "image"}, "v", None, None),
    ],
)
def test_columns_play_the_documented_parts(
    columns: Any, chosen: str, label: Any, identity: Any
) -> None:
    found = choose(columns.items())
    assert found.names == tuple(chosen.split())
    assert (found.texts.get("label"), found.texts.get("id")) == (label, identity)


@pytest.mark.parametrize(
    "columns", [{"v": "list", "w": "image"}, {"a": "other", "y": "number"}, {}]
)
def test_a_table_that_does_not_say_where_the_anchors_are_is_refused(columns: Any) -> None:
    with pytest.raises(AnchorError, match=r"^X must be a table with .*'anchor'"):
        choose(columns.items())


def test_columns_that_are_no_numbers_are_left_out_with_a_warning(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.parquet", {"a": [1.0], "city": ["Rome"], "b": [2.0]})
    with pytest.warns(PXGenWarning, match=r"columns \['city'\] hold no numbers"):
        rows, _ = _open(path, (2,)).read(slice(None))
    assert rows.tolist() == [[1, 2]]
    with pytest.warns(PXGenWarning, match="city"):
        rows, _ = _open(pd.read_parquet(path), (2,)).read(slice(None))
    assert rows.tolist() == [[1, 2]]


def test_ids_and_labels_come_from_their_columns(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "y": [3.0, None], "id": ["p", "q"]}, index=[8, 9])
    frame.to_parquet(tmp_path / "a.parquet")
    for source in (tmp_path / "a.parquet", frame):
        anchors = _open(source, (1,))
        assert anchors.labels is not None
        assert anchors.ids is not None
        assert anchors.labels.tolist() == ["3", ""]
        assert anchors.ids.tolist() == ["p", "q"]
        assert anchors.read(slice(None))[0].tolist() == [[1], [2]]


@pytest.mark.parametrize("frame", [False, True])
def test_ids_that_repeat_are_refused_unless_others_are_given(frame: bool, tmp_path: Path) -> None:
    path: Any = _write(tmp_path / "a.parquet", {"a": [1.0, 2.0], "id": [5, 5]})
    source = pd.read_parquet(path) if frame else path
    with pytest.raises(AnchorError, match=r"ids must be distinct.*'5' again at position 1"):
        _open(source, (1,))
    assert len(open_anchors(source, sample_shape=(1,), ids=["a", "b"])) == 2


TYPES = [
    (pa.uint8(), "uint8"),
    (pa.int8(), "float32"),
    (pa.int64(), "float64"),
    (pa.float16(), "float16"),
    (pa.float32(), "float32"),
    (pa.float64(), "float64"),
    (pa.bool_(), "float32"),
]


@pytest.mark.parametrize(("stored", "expected"), TYPES, ids=lambda one: str(one))
@pytest.mark.parametrize("kind", ["features", "list", "large_list", "fixed", "nested"])
@pytest.mark.parametrize("nulls", [False, True])
def test_every_type_and_container_keeps_its_numbers_and_fails_on_nulls(
    stored: pa.DataType, expected: str, kind: str, nulls: bool, tmp_path: Path
) -> None:
    values = np.array([[1, 0, 1, 1], [0, 1, 0, 1], [1, 1, 1, 0], [0, 0, 1, 0]])
    convert = np.float16 if stored == pa.float16() else stored.to_pandas_dtype()
    rows: list[Any] = [[convert(v) for v in row] for row in values]
    if nulls:
        rows[1][2] = None
    columns: dict[str, Any]
    if kind == "features":
        columns = {f"f{j}": pa.array([row[j] for row in rows], stored) for j in range(4)}
    elif kind == "nested":
        column = [[row[:2], row[2:]] for row in rows]
        columns = {"v": pa.array(column, pa.list_(pa.list_(stored)))}
    else:
        types = {"list": pa.list_(stored), "large_list": pa.large_list(stored)}
        columns = {"v": pa.array(rows, types.get(kind, pa.list_(stored, 4)))}
    whole = nulls and kind not in ("features", "fixed")  # pyarrow reads no null among the latter
    if whole:
        columns["v"] = pa.concat_arrays([columns["v"][:3], pa.nulls(1, columns["v"].type)])
    path = _write(tmp_path / "a.parquet", columns, row_group_size=3)
    found, failed = _open(path, (1, 2, 2)).read(np.array([3, 2, 1, 0, 1]))
    bad = ([0] if whole else []) + ([2, 4] if nulls else [])
    assert sorted(failed) == bad
    assert all("null" in reason for reason in failed.values())
    wanted = values[[3, 2, 1, 0, 1]].reshape(5, 1, 2, 2).astype(expected)
    wanted[bad] = 0
    np.testing.assert_array_equal(found, wanted, strict=True)


def test_a_null_among_fixed_size_lists_fails_its_row_group_with_the_reason(tmp_path: Path) -> None:
    column = pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], pa.list_(pa.float64(), 2))
    column = pa.concat_arrays([column, pa.nulls(1, column.type)])
    anchors = _open(_write(tmp_path / "a.parquet", {"v": column}, row_group_size=2), (2,))
    rows, failed = anchors.read(slice(None))
    assert sorted(failed) in ([2, 3], [3])  # the second once pyarrow learns to
    assert rows[:2].tolist() == [[1, 2], [3, 4]]


def test_lists_of_another_length_fail_alone(tmp_path: Path) -> None:
    rows = [[9.0], None, [1.0, 2.0], [], [3.0, None], [4.0, 5.0], [1.0, 2.0, 3.0]]
    path = _write(tmp_path / "a.parquet", {"anchor": rows})
    found, failed = _open(path, (2,)).read(slice(None))
    assert sorted(failed) == [0, 1, 3, 4, 6]
    assert failed[1] == "column 'anchor' is null"
    assert "shape other than (2,)" in failed[6]
    assert found.tolist() == [[0, 0], [0, 0], [1, 2], [0, 0], [0, 0], [4, 5], [0, 0]]


def test_uneven_inner_lists_fail_alone(tmp_path: Path) -> None:
    rows = [[[1, 2], [3, 4]], [[1, 2], [3]], [[1, 2]], [[1, 2], None], [[5, 6], [7, 8]]]
    path = _write(tmp_path / "a.parquet", {"anchor": rows})
    found, failed = _open(path, (1, 2, 2)).read(slice(None))
    assert sorted(failed) == [1, 2, 3]
    assert found[[0, 4]].reshape(2, 4).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


@pytest.mark.parametrize("column", [pa.list_(pa.float32()), pa.list_(pa.list_(pa.uint8()))])
def test_when_every_row_is_null_each_row_says_so(column: pa.DataType, tmp_path: Path) -> None:
    path = _write(tmp_path / "a.parquet", {"anchor": pa.nulls(3, column)})
    found, failed = _open(path, (1, 2, 2)).read(slice(None))
    assert sorted(failed) == [0, 1, 2]
    assert found.shape == (3, 1, 2, 2)
    with pytest.raises(AnchorError, match="readable lists"):
        _open(path, None)


def test_a_tensor_column_in_another_order_of_axes_is_put_right(tmp_path: Path) -> None:
    pixels = np.arange(48, dtype=np.float32).reshape(2, 2, 3, 4)  # stored as (H, W, C)
    kind = pa.fixed_shape_tensor(pa.float32(), (2, 3, 4), permutation=[2, 0, 1])
    storage = pa.FixedSizeListArray.from_arrays(pa.array(pixels.reshape(-1)), 24)
    path = _write(tmp_path / "a.parquet", {"x": pa.ExtensionArray.from_storage(kind, storage)})
    found, _ = _open(path, (4, 2, 3)).read(slice(None))
    np.testing.assert_array_equal(found, pixels.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("image", [None, b"", b"rubbish", {"bytes": None, "path": "/etc/passwd"}])
def test_an_image_that_does_not_decode_fails_alone(image: Any, tmp_path: Path, pixels: Any) -> None:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels[0, 0]).save(buffer, "PNG")
    good = (
        {"bytes": buffer.getvalue(), "path": None} if isinstance(image, dict) else buffer.getvalue()
    )
    path = _write(tmp_path / "a.parquet", {"image": [image, good]})
    found, failed = _open(path, (1, 6, 5)).read(slice(None))
    assert sorted(failed) == [0]
    np.testing.assert_array_equal(found[1], pixels[0])
    assert _open(path, None).read(slice(None))[0].shape == (2, 1, 6, 5)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", b"x" * 1000])
def test_a_file_that_is_no_parquet_is_one_clear_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    for source in (tmp_path / "a.parquet", tmp_path):
        with pytest.raises(AnchorError, match=r"a readable Parquet file; got 'a.parquet'"):
            _open(source, (2,))


def test_a_damaged_row_group_fails_its_rows_alone(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(300, 4))
    path = _write(
        tmp_path / "a.parquet",
        {"anchor": list(values)},
        row_group_size=100,
        write_page_checksum=True,
        use_dictionary=False,
    )
    place = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset + 400
    content = bytearray(path.read_bytes())
    content[place : place + 8] = b"\xff" * 8
    path.write_bytes(content)
    anchors = _open(path, (4,))
    for index in (slice(None), np.arange(299, -1, -1), slice(50, 250)):
        found, failed = anchors.read(index)
        asked = np.arange(300)[index]
        assert [int(asked[place]) for place in sorted(failed)] == [
            i for i in asked if 100 <= i < 200
        ]
        assert all("row group 1 of 'a.parquet'" in reason for reason in failed.values())
        np.testing.assert_array_equal(
            found, np.where((asked // 100 == 1)[:, None], 0, values[asked])
        )


def test_a_file_that_vanishes_fails_its_rows(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.parquet", {"a": [1.0, 2.0]})
    anchors = _open(path, (1,))
    path.unlink()
    assert sorted(anchors.read(slice(None))[1]) == [0, 1]


def test_files_of_one_folder_must_agree(tmp_path: Path) -> None:
    _write(tmp_path / "a.parquet", {"a": [1.0]})
    _write(tmp_path / "b.parquet", {"b": [1.0]})
    with pytest.raises(AnchorError, match=r"'b.parquet' with other columns than 'a.parquet'"):
        _open(tmp_path, (1,))


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    secret = _write(tmp_path / "secret.parquet", {"a": [1.0]})
    (tmp_path / "in").mkdir()
    _write(tmp_path / "in" / "a.parquet", {"a": [1.0]})
    (tmp_path / "in" / "b.parquet").symlink_to(secret)
    with pytest.raises(AnchorError, match=r"a folder that no link leaves; got .*'b.parquet'"):
        _open(tmp_path / "in", (1,))


def test_an_empty_table_is_an_empty_set(tmp_path: Path) -> None:
    columns = {"anchor": pa.array([], pa.list_(pa.float32())), "y": pa.array([], pa.string())}
    anchors = _open(_write(tmp_path / "a.parquet", columns), (1, 2, 2))
    assert anchors.read(slice(None))[0].shape == (0, 1, 2, 2)
    anchors = _open(pd.DataFrame({"a": [], "b": []}), (2,))
    assert anchors.read(slice(None))[0].shape == (0, 2)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.integers(1, 60),
    group=st.integers(1, 25),
    block=st.integers(1, 300),
    reads=st.lists(st.lists(st.integers(0, 10**6), max_size=8), max_size=6),
)
def test_any_reads_in_any_order_agree_with_the_table(
    tmp_path: Path, rows: int, group: int, block: int, reads: list[list[int]]
) -> None:
    values = np.arange(rows * 2.0).reshape(rows, 2)
    _write(tmp_path / "a.parquet", {"anchor": list(values)}, row_group_size=group)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_blocks, "BLOCK_BYTES", block)
        anchors = _open(tmp_path / "a.parquet", (2,))
        for read in reads:
            index = np.array(read, np.int64) % rows
            np.testing.assert_array_equal(anchors.read(index)[0], values[index], strict=True)


def test_reading_forwards_decodes_each_row_group_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(
        tmp_path / "a.parquet", {"anchor": [[float(i)] for i in range(100)]}, row_group_size=40
    )
    anchors = _open(path, (1,))
    entered: list[int] = []
    iter_batches = pq.ParquetFile.iter_batches

    def note(file: pq.ParquetFile, *args: Any, row_groups: list[int], **options: Any) -> Any:
        entered.extend(row_groups)
        return iter_batches(file, *args, row_groups=row_groups, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", note)
    for start in range(0, 100, 7):
        anchors.read(slice(start, start + 7))
    assert entered in ([0, 1, 2], [1, 2])


@pytest.mark.parametrize(
    ("dtype", "expected", "failed"),
    [("float32", "float32", []), ("Float64", "float64", [1]), ("Int8", "float32", [1])],
)
def test_missing_values_of_a_frame(dtype: Any, expected: str, failed: list[int]) -> None:
    frame = pd.DataFrame({"a": [1, None], "b": [3, 4]}).astype(dtype)
    rows, bad = _open(frame, (2,)).read(slice(None))
    assert rows.dtype == expected
    assert sorted(bad) == failed
    np.testing.assert_array_equal(rows[1], [0, 0] if failed else [np.nan, 4])


def test_a_frame_is_neither_changed_nor_copied_as_a_whole() -> None:
    frame = pd.DataFrame(np.zeros((4, 3)), columns=[0, 1, "y"])
    anchors = _open(frame, (2,))
    frame.iloc[:, 0] = 5.0
    assert frame.columns.tolist() == [0, 1, "y"]
    assert anchors.read(slice(0, 1))[0].tolist() in ([[5, 0]], [[0, 0]])  # a view, or copy-on-write


def test_a_frame_with_repeated_columns_is_refused() -> None:
    frame = pd.DataFrame(np.zeros((2, 2)), columns=["a", "a"])
    with pytest.raises(AnchorError, match="distinct column names"):
        _open(frame, (2,))


def test_a_frame_of_unnamed_columns_is_a_table_of_features() -> None:
    rows, _ = _open(pd.DataFrame(np.eye(3)), (3,)).read(np.array([2, 0]))
    assert rows.tolist() == [[0, 0, 1], [1, 0, 0]]
