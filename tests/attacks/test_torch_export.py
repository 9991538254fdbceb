"""Archives of torch.export that were changed run nothing and end in one clear error."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pxgen_plugins.errors import ModelError
from pxgen_plugins.models import from_torch_export
from pxgen_plugins.models.sources.torch_export import ExportedFile
from tests.attacks.corpus import MARKER, Payload, pickled

GRAPH, WEIGHTS = "models/model.json", "data/weights/model_weights_config.json"
Parts = dict[str, bytes]


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> Parts:
    path = tmp_path_factory.mktemp("export") / "net.pt2"
    free = ({0: torch.export.Dim("n", max=99)},)
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU()).eval()
    torch.export.save(torch.export.export(net, (torch.rand(2, 4),), dynamic_shapes=free), path)
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def written(path: Path, parts: Parts, packed: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", packed) as archive:
        for name, content in parts.items():
            archive.writestr(f"net/{name}", content)
    return path


def edited(parts: Parts, name: str, change: Callable[[Any], None]) -> Parts:
    content = json.loads(parts[name])
    change(content)
    return parts | {name: json.dumps(content).encode()}


def nodes(content: Any) -> list[Any]:
    return content["graph_module"]["graph"]["nodes"]


def first(content: Any) -> Any:
    return next(iter(content["config"].values()))


def operator(target: str, *arguments: dict[str, Any]) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        given = [{"name": f"a{i}", "arg": a, "kind": 1} for i, a in enumerate(arguments)]
        nodes(content)[-1].update(target=target, inputs=given)

    return change


def test_the_archive_is_good_before_it_is_changed(parts, tmp_path):
    assert ExportedFile(written(tmp_path / "net.pt2", parts), "encoder").shape == (4,)


def test_what_is_pickled_is_not_opened_where_it_is_not_needed(parts, tmp_path):
    hostile = io.BytesIO()
    torch.save(Payload(tmp_path), hostile)
    changed = parts | {"data/sample_inputs/model.pt": hostile.getvalue(), "extra/code.py": b"1/0"}
    ExportedFile(written(tmp_path / "net.pt2", changed), "encoder")
    assert not list(tmp_path.rglob(MARKER))


def test_expressions_are_not_evaluated(parts, tmp_path):
    code = f"open({str(tmp_path / MARKER)!r}, 'w')"

    def change(content):
        content["guards_code"] = [code]
        content["range_constraints"] = {code: {"min_val": 1, "max_val": 9}}
        graph = content["graph_module"]["graph"]
        graph["sym_int_values"] = {"s0": {"as_expr": {"expr_str": code, "hint": None}}}
        for value in graph["tensor_values"].values():
            value["sizes"][0] = {"as_expr": {"expr_str": code, "hint": None}}

    path = written(tmp_path / "net.pt2", edited(parts, GRAPH, change))
    assert ExportedFile(path, "encoder")(torch.rand(3, 4)).shape == (3, 4)
    assert not list(tmp_path.rglob(MARKER))


OPERATORS = {
    "a file of the machine": operator(
        "torch.ops.aten.from_file.default", {"as_string": "/etc/passwd"}, {"as_bool": False},
        {"as_int": 16},
    ),
    "another namespace": operator("torch.ops.profiler._record_function_enter.default"),
    "Python": operator("os.system", {"as_string": "true"}),
    "builtins": operator("builtins.eval", {"as_string": "1"}),
    "attributes": operator("torch.ops.aten.__class__.__init__"),
    "a private operator": operator("torch.ops.aten._unsafe_index.Tensor"),
    "storage": operator("torch.ops.aten.set_.source_Tensor"),
    "a graph in a graph": operator("torch.ops.higher_order.cond"),
    "an object": operator("torch.ops.aten.relu.default", {"as_custom_obj": {"name": "x"}}),
    "an operator as argument": operator("torch.ops.aten.relu.default", {"as_operator": "a.b"}),
    "an unknown name": operator("torch.ops.aten.relu.default", {"as_tensor": {"name": "q"}}),
    "no arguments": operator("torch.ops.aten.add.Tensor"),
    "two fields": operator("torch.ops.aten.relu.default", {"as_int": 1, "as_none": True}),
    "itself": lambda content: nodes(content).insert(0, nodes(content)[-1]),
    "no nodes": lambda content: nodes(content).clear(),
    "another version": lambda content: content["schema_version"].update(major=9),
    "an output that is kept": lambda content: content["graph_module"]["signature"].update(
        output_specs=[{"token": {"arg": {"name": "x"}}}]
    ),
    "no outputs": lambda content: content["graph_module"]["signature"].update(output_specs=[]),
    "no inputs": lambda content: content["graph_module"]["signature"].update(input_specs=[]),
    "no graph": lambda content: content.clear(),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_graphs_that_ask_for_more_than_arithmetic(name, parts, tmp_path):
    path = written(tmp_path / "net.pt2", edited(parts, GRAPH, OPERATORS[name]))
    with pytest.raises(ModelError) as found:
        from_torch_export({"encoder": path, "decoder": path}, data_range=None)
    assert len(str(found.value)) < 1000
    assert "root:" not in str(found.value)


PAYLOADS: dict[str, Callable[[Any], Any]] = {
    "pickled": lambda p: p.update(use_pickle=True),
    "pickled, by another word": lambda p: p.update(use_pickle=1),
    "an object": lambda p: p.update(tensor_meta=None),
    "larger than the bytes": lambda p: p["tensor_meta"].update(sizes=[{"as_int": 2**20}] * 2),
    "more than memory": lambda p: p["tensor_meta"].update(sizes=[{"as_int": 2**62}] * 2),
    "outside": lambda p: p["tensor_meta"].update(storage_offset={"as_int": 10**9}),
    "before": lambda p: p["tensor_meta"].update(storage_offset={"as_int": -4}),
    "strides outside": lambda p: p["tensor_meta"].update(
        strides=[{"as_int": 9}, {"as_int": 10**9}]
    ),
    "sizes as code": lambda p: p["tensor_meta"].update(
        sizes=[{"as_expr": {"expr_str": "exit()", "hint": None}}] * 2
    ),
    "no such type": lambda p: p["tensor_meta"].update(dtype=99),
    "a path outside": lambda p: p.update(path_name="../../models/model.json"),
    "an absolute path": lambda p: p.update(path_name="/etc/passwd"),
}


@pytest.mark.parametrize("name", PAYLOADS)
def test_weights_that_are_not_what_they_say(name, parts, tmp_path):
    changed = edited(parts, WEIGHTS, lambda content: PAYLOADS[name](first(content)))
    place = json.loads(changed[WEIGHTS])["config"]["0.weight"]["path_name"]
    if name.startswith("pickled"):
        changed[f"data/weights/{place}"] = pickled(tmp_path)
    with pytest.raises(ModelError) as found:
        ExportedFile(written(tmp_path / "net.pt2", changed), "encoder")
    assert len(str(found.value)) < 1000
    assert not list(tmp_path.rglob(MARKER))


def test_archives_that_are_none(parts, tmp_path):
    whole = written(tmp_path / "whole.pt2", parts).read_bytes()
    deep = b"[" * 100_000 + b"]" * 100_000
    files = {
        "empty": b"", "text": b"no archive", "pickle": pickled(tmp_path), "cut": whole[:-200],
        "head": whole[200:],
    }  # fmt: skip
    paths = [tmp_path / f"{name}.pt2" for name in files]
    for path, content in zip(paths, files.values(), strict=True):
        path.write_bytes(content)
    for at, (name, content) in enumerate(
        [(GRAPH, deep), (WEIGHTS, deep), (GRAPH, b"{}"), (GRAPH, b"\xff"), (GRAPH, b"9" * 100_000),
         ("byteorder", b"big"), ("models/other.json", parts[GRAPH])]
    ):  # fmt: skip
        paths.append(written(tmp_path / f"{at}.pt2", parts | {name: content}))
    for name in (GRAPH, WEIGHTS, "byteorder", "data/weights/weight_0"):
        rest = {other: content for other, content in parts.items() if other != name}
        paths.append(written(tmp_path / f"without {len(paths)}.pt2", rest))
    bomb = parts | {"data/weights/weight_0": bytes(1 << 24)}
    paths.append(written(tmp_path / "bomb.pt2", bomb, zipfile.ZIP_DEFLATED))
    for path in paths:
        with pytest.raises(ModelError) as found:
            ExportedFile(path, "encoder")
        assert len(str(found.value)) < 1000, path
    assert not list(tmp_path.rglob(MARKER))


def test_graphs_with_a_changed_byte_end_in_one_clear_error_or_compute(parts, tmp_path):
    draws = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        name = (GRAPH, WEIGHTS)[int(draws.integers(2))]
        content = bytearray(parts[name])
        content[int(draws.integers(len(content)))] = int(draws.integers(32, 127))
        path = written(tmp_path / "net.pt2", parts | {name: bytes(content)})
        try:
            from_torch_export({"encoder": path, "decoder": path}, sample_shape=(4,),
                              latent_shape=(4,), data_range=None)  # fmt: skip
        except ModelError:
            refused += 1
    assert refused > 50
