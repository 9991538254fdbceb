"""Bytes that change, links that lead away, and disks that fill up: no other verdict, no exit 4.

Each attack is small: a model of two numbers, 40 anchors, three shards.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pxgen_plugins.anchors import open_anchors
from pxgen_plugins.audit import digests, engine, run_folder, shards, work
from pxgen_plugins.audit.cli import FAILED, INCOMPLETE, INTERNAL, PASSED, USAGE, run
from pxgen_plugins.models.files import files_behind
from pxgen_plugins.utils import files
from pxgen_plugins.utils.errors import AnchorError
from tests.attacks import corpus

pytest.importorskip("yaml")
pytest.importorskip("jinja2")
MODEL = """
import numpy as np
import torch
from pxgen_plugins.models import VAE

def load(data=None):
    net = torch.nn.Linear(1, 1)
    scale = 1.0 if data is None else float(np.load(data).sum())
    def encode(x):
        return x.flatten(1)[:, :2] * scale, torch.zeros(len(x), 2)
    def decode(z):
        return z.repeat(1, 2).reshape(-1, 1, 2, 2)
    return VAE(encode=encode, decode=decode, modules=(), sample_shape=(1, 2, 2), latent_shape=(2,),
               data_range=None)
"""
SETTINGS = """
model: {{factory: "model_of_faults:load", arguments: {{data: {data}}}}}
allow: [model_of_faults]
anchors: {{path: {anchors}}}
threshold: {{name: Quantile, n_samples: 50, n_repeats: 2}}
shard_size: 16
output: run
conditions: ["median.kld <= 10"]
"""
ALLOW = ("--allow", "model_of_faults")


class Project:
    """A folder with a model, its data, anchors and settings."""

    def __init__(self, folder: Path, capsys) -> None:
        self.folder, self.capsys, self.run = folder, capsys, folder / "run"
        (folder / "model_of_faults.py").write_text(MODEL)
        np.save(folder / "data.npy", np.ones(1))
        np.save(folder / "anchors.npy", np.random.default_rng(0).random((40, 1, 2, 2), np.float32))
        self.settings(folder / "anchors.npy")

    def settings(self, anchors: Path) -> None:
        text = SETTINGS.format(data=self.folder / "data.npy", anchors=anchors)
        (self.folder / "audit.yaml").write_text(text)

    def audit(self, *extra: str) -> tuple[int, str]:
        return self.command("audit", str(self.folder / "audit.yaml"), "--quiet", *ALLOW, *extra)

    def command(self, *arguments: str) -> tuple[int, str]:
        """Return the exit code, and what was said of a fault."""
        start = time.monotonic()
        self.capsys.readouterr()
        work._cache.clear()
        code = run(list(arguments))
        err = self.capsys.readouterr().err
        assert code != INTERNAL, err
        assert time.monotonic() - start < 60
        return code, err

    def content(self) -> dict[str, bytes]:
        return {
            path.relative_to(self.run).as_posix(): path.read_bytes()
            for path in sorted(self.run.rglob("*"))
            if path.is_file()
        }


@pytest.fixture
def project(tmp_path: Path, monkeypatch, capsys) -> Project:
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("model_of_faults", None)
    return Project(tmp_path, capsys)


@pytest.fixture
def finished(project: Project) -> Project:
    assert project.audit()[0] == PASSED
    return project


# 11: bytes that change


def test_no_flipped_bit_of_a_run_folder_gives_another_verdict(finished: Project):
    """A bit of every file, at several places: mended on resuming, and an error where it is read."""
    clean, draws = finished.content(), np.random.default_rng(0)
    shown = finished.command("show", str(finished.run), "--json")
    stored = [name for name in clean if name in run_folder.RESULTS or "/" in name]
    assert {"fit/pxgen.json", "shards/000002.safetensors", "anchors.parquet"} <= set(stored)
    for name in [*stored, *stored]:
        path, content = finished.run / name, bytearray(clean[name])
        at = int(draws.integers(len(content)))
        content[at] ^= 1 << int(draws.integers(8))
        path.write_bytes(bytes(content))
        if "/" not in name:
            for command in ("show", "report", "log"):
                code, err = finished.command(command, str(finished.run))
                assert (code, name in err) == (USAGE, True), (command, name, at, err)
        code, err = finished.audit()
        assert code == PASSED, (name, at, err)
        now = finished.content()
        values = {"anchors.parquet", "conditions.json", "calibration.json", "checksums.json"}
        assert {n: now[n] for n in values} == {n: clean[n] for n in values}, (name, at)
    assert finished.command("show", str(finished.run), "--json") == shown


def test_a_shard_in_another_one_s_place_is_scored_again(finished: Project):
    clean = finished.content()
    one, two = (finished.run / "shards" / f"00000{i}.safetensors" for i in (0, 1))
    shutil.copy(one, two)
    assert finished.audit()[0] == PASSED
    assert finished.content() == clean


def test_a_fit_of_another_run_is_not_taken(finished: Project, tmp_path: Path):
    clean = finished.content()
    other = finished.folder / "other"
    code, _ = finished.audit("--output", str(other), "--set", "threshold.q=0.5")
    assert code in {PASSED, FAILED}
    shutil.rmtree(finished.run / "fit")
    shutil.copytree(other / "fit", finished.run / "fit")
    assert finished.audit()[0] == PASSED
    assert finished.content() == clean


def test_a_fit_beyond_the_limit_is_called_too_large(project: Project, monkeypatch):
    monkeypatch.setenv("PXGEN_MAX_RUN_ARRAYS", "1000")
    code, err = project.audit()
    assert code == USAGE
    assert "within the limit" in err
    assert "bytes of a file of arrays, more than 1,000" in err
    assert "PXGEN_MAX_RUN_ARRAYS" in err
    assert "changed" not in err
    monkeypatch.delenv("PXGEN_MAX_RUN_ARRAYS")
    assert project.audit()[0] in {PASSED, FAILED}


def test_an_edited_verdict_is_not_shown(finished: Project):
    assert finished.audit("--limit", "1=0.0001")[0] == FAILED
    path = finished.run / "conditions.json"
    path.write_text(path.read_text().replace('"failed"', '"passed"'))
    code, err = finished.command("show", str(finished.run))
    assert code == USAGE
    assert "conditions.json was changed" in err


def test_a_file_that_the_factory_reads_is_part_of_the_model(finished: Project):
    np.save(finished.folder / "data.npy", np.full(1, 2.0))
    code, err = finished.audit()
    assert code == USAGE
    assert "other model" in err


def test_an_array_that_the_factory_finds_by_itself_is_part_of_the_model(project: Project):
    path = project.folder / "data.npy"
    text = MODEL.replace("scale = 1.0 if data is None else float(np.load(data).sum())",
                         f"scale = torch.tensor(np.load({str(path)!r}))")  # fmt: skip
    (project.folder / "model_of_faults.py").write_text(text)
    settings = project.folder / "audit.yaml"
    settings.write_text(settings.read_text().replace(f"data: {path}", ""))
    assert project.audit()[0] == PASSED
    np.save(path, np.full(1, 2.0))
    code, err = project.audit()
    assert (code, "other model" in err) == (USAGE, True)


@pytest.mark.parametrize("name", ["anchors", "model", "code"])
def test_what_changes_while_a_run_goes_on_is_an_error_and_leaves_nothing(
    name: str, project: Project, monkeypatch
):
    gather = shards.gather

    def change(*arguments):
        if name == "anchors":
            np.save(project.folder / "anchors.npy", np.zeros((40, 1, 2, 2), np.float32))
        elif name == "model":
            np.save(project.folder / "data.npy", np.full(1, 2.0))
        else:
            (project.folder / "model_of_faults.py").write_text(MODEL + "\n# another\n")
        return gather(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(shards, "gather", change)
        code, err = project.audit()
    assert code == USAGE
    assert f"{'model' if name == 'code' else name} must be the same from the start" in err
    assert not list(project.run.glob("*"))
    sys.modules.pop("model_of_faults", None)
    assert project.audit()[0] in {PASSED, FAILED}


def test_a_link_among_the_anchors_that_is_retargeted_is_another_set(project: Project):
    folder = project.folder / "images"
    for at, name in enumerate(["a", "b", ".one", ".two"]):
        corpus.written(folder / f"{name}.png", corpus.png(2, 2, rows=bytes([0, at, at, 0, at, 9])))
    (folder / "c.png").symlink_to(".one.png")
    project.settings(folder)
    config = engine_config(project)
    before = digests.anchors_digest(config, "anchors")
    (folder / "c.png").unlink()
    (folder / "c.png").symlink_to(".two.png")
    assert digests.anchors_digest(config, "anchors") != before
    (folder / "c.png").unlink()
    (folder / "c.png").symlink_to("/etc/passwd")  # is read by nobody
    outside = digests.anchors_digest(config, "anchors")
    (folder / "c.png").unlink()
    (folder / "c.png").symlink_to("/etc/group")
    assert digests.anchors_digest(config, "anchors") == outside


def engine_config(project: Project):
    from pxgen_plugins.audit.settings import load_config

    return load_config(project.folder / "audit.yaml", allow=ALLOW[1:])


def test_weights_beside_an_onnx_file_belong_to_it(tmp_path: Path):
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    values = {name: np.full((2, 4), 1.0 + at, np.float32) for at, name in enumerate("uvwq")}
    tensors = [numpy_helper.from_array(array, name) for name, array in values.items()]
    branch = helper.make_graph(
        [helper.make_node("Identity", ["q"], ["z"])], "branch", [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, (2, 4))], [tensors[3]],
    )  # fmt: skip
    constant = helper.make_node("Constant", [], ["v"], value=tensors[1])
    graph = helper.make_graph(
        [constant, helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)],
        "g", [helper.make_tensor_value_info("c", TensorProto.BOOL, ())],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (2, 4))], [tensors[0], tensors[2]],
    )  # fmt: skip
    model = helper.make_model(graph)
    graph = model.graph
    for at, tensor in enumerate([graph.initializer[0], graph.initializer[1],
                                 graph.node[0].attribute[0].t,
                                 graph.node[1].attribute[0].g.initializer[0]]):  # fmt: skip
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", f"weights/{at}.bin"
    model = onnx.ModelProto.FromString(model.SerializeToString())
    path = corpus.written(tmp_path / "m.onnx", model.SerializeToString())
    assert set(files_behind(path)) == {"m.onnx", *(f"weights/{at}.bin" for at in range(4))}
    for kind in ("pickle", "cut", "empty"):  # what is no graph has no others
        corpus.damage(path, kind, tmp_path)
        assert "m.onnx" in files_behind(path)
        path.write_bytes(model.SerializeToString())


def test_files_behind_a_folder_an_index_and_a_shard(tmp_path: Path):
    blobs = tmp_path / "blobs"
    corpus.written(blobs / "1234", b"weights")
    hub = tmp_path / "snapshot"
    hub.mkdir()
    (hub / "model.safetensors").symlink_to(blobs / "1234")  # as the cache of a hub lies
    (hub / "unet").symlink_to(blobs)
    (hub / "loop").symlink_to(hub)
    before = digests.path_digest(hub)
    assert set(files_behind(hub)) == {"model.safetensors", "unet/1234"}
    (blobs / "1234").write_bytes(b"others!")
    assert digests.path_digest(hub) != before
    names = [f"w-0000{i}-of-00002.safetensors" for i in (1, 2)]
    for name in names:
        corpus.written(tmp_path / name, b"")
    content = json.dumps({"weight_map": dict(zip("ab", names, strict=True))}).encode()
    index = corpus.written(tmp_path / "w.safetensors.index.json", content)
    assert set(files_behind(index)) == {*names, index.name}
    assert set(files_behind(tmp_path / names[0])) == set(names)


# 12: inside means inside, and regular files only


@pytest.mark.parametrize("name", ["shards", "fit"])
def test_nothing_is_written_or_deleted_behind_a_link(name: str, finished: Project):
    outside = finished.folder / "outside"
    old = corpus.written(outside / f".note.{'0' * 16}", b"mine")
    os.utime(old, (0, 0))
    shutil.rmtree(finished.run / name)
    (finished.run / name).symlink_to(outside)
    code, err = finished.audit()
    assert (code, f"{name} is a link" in err) == (USAGE, True)
    assert [path.name for path in outside.iterdir()] == [old.name]
    assert finished.audit("--fresh")[0] == PASSED
    assert [path.name for path in outside.iterdir()] == [old.name]


def test_a_write_below_a_root_follows_no_link(tmp_path: Path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "shards").symlink_to(tmp_path / "outside")
    for walks in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files, "_CAN_WALK", walks and files._CAN_WALK)
            with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
                files.write_atomic(tmp_path / "run/shards/1", b"x", root=tmp_path / "run")
            files.write_atomic(tmp_path / "run/a/b/1", b"x", root=tmp_path / "run")
    assert not list((tmp_path / "outside").iterdir())
    assert (tmp_path / "run/a/b/1").read_bytes() == b"x"


def test_a_folder_that_becomes_a_link_between_look_and_open_is_not_entered(
    tmp_path: Path, monkeypatch
):
    corpus.written(tmp_path / "outside" / "a.png", b"secret")
    corpus.written(tmp_path / "in" / "sub" / "a.png", b"anchor")
    root, real = str(tmp_path / "in"), os.path.realpath
    with os.fdopen(files.open_inside(root, "sub/a.png"), "rb") as file:
        assert file.read() == b"anchor"

    def swap(path, **options):
        found = real(path, **options)
        shutil.rmtree(tmp_path / "in" / "sub")
        (tmp_path / "in" / "sub").symlink_to(tmp_path / "outside")
        return found

    monkeypatch.setattr(os.path, "realpath", swap)
    with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
        os.close(files.open_inside(root, "sub/a.png"))


KINDS: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "loop": lambda path: path.symlink_to(path.name),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_regular_file_is_one_error_at_once(kind: str, finished: Project):
    units = [path for path in sorted(finished.run.rglob("*")) if path.is_file()]
    names = [path.relative_to(finished.run).as_posix() for path in units]
    kept = finished.folder / "kept"
    shutil.copytree(finished.run, kept)
    for name in names:
        shutil.rmtree(finished.run)
        shutil.copytree(kept, finished.run)
        (finished.run / name).unlink()
        KINDS[kind](finished.run / name)
        for command in ("show", "report"):
            code, err = finished.command(command, str(finished.run))
            assert code == (USAGE if name in run_folder.RESULTS else code), (command, name, err)
        code, err = finished.audit()
        assert code in {PASSED, USAGE, INCOMPLETE}, (name, err)
        assert (code == PASSED) == (not err), (name, err)
    for path in (finished.folder / "anchors.npy", finished.folder / "audit.yaml"):
        path.unlink()
        KINDS[kind](path)
        code, err = finished.audit()
        assert (code, bool(err)) == (USAGE, True)


@pytest.mark.parametrize("suffix", [".txt", ".jsonl", ".csv", ".parquet", ".npz", ".npy"])
@pytest.mark.parametrize("kind", KINDS)
def test_anchors_that_are_no_regular_file(kind: str, suffix: str, tmp_path: Path):
    from pxgen_plugins.anchors.documents import open_texts

    path = tmp_path / f"anchors{suffix}"
    KINDS[kind](path)
    for opened in (lambda: open_texts(path, 8), lambda: open_anchors(path, sample_shape=(4,))):
        with pytest.raises(AnchorError):
            opened()


# 14: faults of the machine


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("place", ["write", "rename"])
def test_a_disk_that_fails_anywhere_leaves_no_verdict_and_is_said(
    code: int, place: str, finished: Project, monkeypatch
):
    """Whatever write it is that fails first, the old verdict is gone, and a run again mends it."""
    clean = finished.content()
    name = "fsync" if place == "write" else "replace"
    real = getattr(os, name)
    for left in (0, 1, 4, 9):
        shutil.rmtree(finished.run / "shards")
        todo = [left]

        def fail(*given, todo=todo, **options):
            todo[0] -= 1
            if todo[0] < 0:
                raise OSError(code, os.strerror(code), "a file")
            return real(*given, **options)

        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            exit_code, err = finished.audit()
        assert exit_code == INCOMPLETE, (left, err)
        assert os.strerror(code) in err
        assert "internal" not in err
        assert not (finished.run / "junit.xml").exists()
        assert finished.command("show", str(finished.run))[0] == USAGE
        assert not [path for path in finished.run.rglob(".*") if path.is_file()]
        assert finished.audit()[0] == PASSED
        assert finished.content() == clean


def test_a_full_memory_is_said(finished: Project, monkeypatch):
    def full(*given):
        raise MemoryError("4 GiB")

    monkeypatch.setattr(shards, "gather", full)
    code, err = finished.audit()
    assert (code, "the memory is full" in err) == (INCOMPLETE, True)


def test_a_mapped_file_that_is_cut_short_is_an_error(tmp_path: Path):
    path = tmp_path / "a.npy"
    np.save(path, np.ones((4096, 4), np.float32))
    anchors = open_anchors(path, sample_shape=(4,))
    assert anchors.read(slice(0, 2))[0].shape == (2, 4)
    for size in (path.stat().st_size - 1, 10_000, 0):
        os.truncate(path, size)
        with pytest.raises(AnchorError, match="keeps its length"):
            anchors.read(slice(4000, 4096))
    np.save(path, np.ones((4096, 4), np.float32))
    mapped = open_anchors(np.load(path, mmap_mode="r"), sample_shape=(4,))
    os.truncate(path, 4096)
    with pytest.raises(AnchorError, match="keeps its length"):
        mapped.read(np.array([4095, 0]))


# 9: two runs of one audit are equal


def test_what_a_model_raises_is_stored_without_addresses(project: Project):
    bad = "if (x == 0.125).all(1).any(): raise ValueError(f'bad {object()!r}')"
    head = "def encode(x):"
    text = MODEL.replace(head, f"{head}\n        x = x.flatten(1)\n        {bad}")
    rows = np.load(project.folder / "anchors.npy")
    rows[35] = 0.125
    np.save(project.folder / "anchors.npy", rows)
    (project.folder / "model_of_faults.py").write_text(text)
    settings = project.folder / "audit.yaml"
    settings.write_text(settings.read_text().replace("shard_size: 16", "shard_size: 32"))
    first = project.audit()[0], project.content()
    assert first[0] in {PASSED, FAILED}
    assert b"at 0x..." in first[1]["shards/000001.safetensors"]
    keep = [object() for _ in range(1000)]  # so that others get other addresses
    assert (project.audit("--fresh")[0], project.content()) == first
    del keep


def test_the_plan_is_checked_by_whoever_scores(finished: Project):
    (finished.run / "shards" / "000001.safetensors").unlink()
    path = finished.run / "plan.json"
    plan = json.loads(path.read_text())
    plan["settings"]["batch_size"] = 3
    path.write_text(json.dumps(plan))
    work._cache.clear()
    with pytest.raises(ValueError, match="the plan must be as it was written"):
        work.do_unit(finished.run, "shards", 1)
    assert engine.audit(engine_config(finished)) is not None
