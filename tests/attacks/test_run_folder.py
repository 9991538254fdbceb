"""A run folder that somebody changed: read as data, refused, or scored again; never run."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from pxgen_plugins.audit.cli import INCOMPLETE, PASSED, USAGE, run
from tests.attacks import corpus
from tests.attacks.corpus import MARKER
from tests.audit.runs import finished_run, reseal

pytest.importorskip("yaml")
pytest.importorskip("jinja2")
SETTINGS = """
model: {shipped: mnist_vae}
anchors: {shipped: mnist, limit: 60}
threshold: {name: Quantile, n_samples: 40, n_repeats: 1}
shard_size: 32
output: run
conditions: ["HIHE.count >= 0"]
"""
READ = ("manifest.json", "explanation.json", "calibration.json", "conditions.json",
        "anchors.parquet", "pictures.safetensors")  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    return finished_run(tmp_path_factory, SETTINGS)


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of the settings and the run, with a secret beside them."""
    shutil.copytree(finished, tmp_path / "work")
    (tmp_path / "secret.txt").write_text("secret content")
    return tmp_path / "work"


def again(folder: Path) -> int:
    return run(["audit", str(folder / "audit.yaml"), "--quiet"])


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("kind", ["pickle", "nested", "cut", "empty", "link", "folder", "zero"])
def test_a_changed_result_is_one_clear_error(name: str, kind: str, folder: Path, capsys):
    corpus.damage(folder / "run" / name, kind, folder.parent / "secret.txt")
    for command in (["show"], ["report"], ["compare", str(folder / "run")]):
        assert run([*command, str(folder / "run")]) == USAGE
        err = capsys.readouterr().err
        assert "internal error" not in err
        assert "secret" not in err
        assert len(err) < 2000
    assert not list(folder.rglob(MARKER))


@pytest.mark.parametrize("name", ["changes.json", "evidence.json"])
@pytest.mark.parametrize("content", [b"[" * 100_000, b"[[1, [2]]]", b'{"n": 1}', b"7", b"\xff"])
def test_a_changed_file_of_the_report_alone_is_one_clear_error(
    name: str, content: bytes, folder: Path, capsys
):
    (folder / "run" / name).write_bytes(content)
    for change in (list, lambda: reseal(folder / "run")):  # with and without its checksum
        change()
        assert run(["report", str(folder / "run")]) == USAGE
        assert name in capsys.readouterr().err


def test_results_that_disagree_in_length_are_refused(folder: Path, capsys):
    path = folder / "run" / "anchors.parquet"
    table = parquet.read_table(path)
    parquet.write_table(pa.concat_tables([table] * 3), path)
    reseal(folder / "run")
    assert run(["show", str(folder / "run")]) == USAGE
    assert "anchors" in capsys.readouterr().err


LISTS = pa.array([["a"]] * 60)


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("anchor_value", pa.array(["1.5"] * 60), "no numbers"),
        ("kld_high_affinity", pa.array(["False"] * 60), "no numbers"),
        ("id", pa.array(range(60)), "no texts"),
        ("id", pa.array(["a", None] * 30), "without a text"),
        ("group", LISTS, "no column 'group'"),
        ("kld", LISTS, "no column 'kld'"),
        ("kld.x", LISTS, ""),
    ],
)
def test_a_column_of_another_type_is_refused(column, values, words: str, folder: Path, capsys):
    path = folder / "run" / "anchors.parquet"
    table = parquet.read_table(path)
    kept = [name for name in table.column_names if name != column]
    parquet.write_table(table.select(kept).append_column(column, values), path)
    reseal(folder / "run")
    assert run(["show", str(folder / "run")]) == (USAGE if words else PASSED)
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("name", ["kld", "representative_of"])
def test_a_list_that_is_called_like_a_column_is_not_decoded(name: str, folder: Path, capsys):
    """By the name of a part, ``a.b``, pyarrow finds that part of a column ``a`` as well."""
    path = folder / "run" / "anchors.parquet"
    table = parquet.read_table(path)
    part = pa.StructArray.from_arrays([LISTS], ["x"])
    columns = [*table.columns, part, table["kld"]]
    parquet.write_table(pa.table(columns, [*table.column_names, name, f"{name}.x"]), path)
    reseal(folder / "run")
    assert run(["show", str(folder / "run")]) == USAGE
    assert "column" in capsys.readouterr().err


def test_a_footer_that_counts_other_rows_is_refused(folder: Path, capsys):
    path = folder / "run" / "anchors.parquet"
    content = path.read_bytes()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    place = content.index(b"\x16\x78\x19", footer) + 1  # a field that is 60, before a list: rows
    path.write_bytes(content[:place] + b"\x7a" + content[place + 1 :])  # 61
    reseal(folder / "run")
    assert run(["show", str(folder / "run")]) == USAGE
    assert "60 rows, and 61" in capsys.readouterr().err


def test_going_on_writes_no_file_outside_and_mends_what_was_changed(folder: Path, capsys):
    clean = {p.name: p.read_bytes() for p in (folder / "run").iterdir() if p.is_file()}
    for name in ("report.html", "summary.md", "anchors.parquet"):
        (folder / "run" / name).unlink()
        (folder / "run" / name).symlink_to(folder.parent / "secret.txt")
    shard = next((folder / "run" / "shards").iterdir())
    shard.write_bytes(corpus.pickled(folder))
    assert again(folder) == PASSED, capsys.readouterr().err
    assert (folder.parent / "secret.txt").read_text() == "secret content"
    after = {p.name: p.read_bytes() for p in (folder / "run").iterdir() if p.is_file()}
    assert after == clean
    assert not list(folder.rglob(MARKER))


@pytest.mark.parametrize("values", [np.zeros((32, 3)), np.zeros((32, 2), np.float32),
                                    np.zeros((31, 2)), np.zeros(64)])  # fmt: skip
def test_a_shard_of_another_form_is_scored_again(values, folder: Path, capsys):
    from safetensors.numpy import save_file

    clean = (folder / "run" / "anchors.parquet").read_bytes()
    shard = min((folder / "run" / "shards").iterdir())
    save_file({"values": values}, shard, {"reasons": "{}"})
    assert again(folder) == PASSED, capsys.readouterr().err
    assert (folder / "run" / "anchors.parquet").read_bytes() == clean


def test_a_plan_that_names_another_factory_is_not_followed(folder: Path, capsys):
    path = folder / "run" / "plan.json"
    plan = json.loads(path.read_text())
    plan["settings"]["model"] |= {"factory": "os:system", "shipped": None,
                                  "arguments": {"command": f"touch {folder / MARKER}"}}  # fmt: skip
    path.write_text(json.dumps(plan))
    next((folder / "run" / "shards").iterdir()).unlink()
    assert again(folder) == PASSED, capsys.readouterr().err
    assert not (folder / MARKER).exists()


@pytest.mark.parametrize("kind", ["a file", "not ours", "a link to others", "read-only parent"])
def test_an_output_that_is_no_place_for_a_run_is_refused(kind: str, folder: Path, capsys):
    shutil.rmtree(folder / "run")
    if kind == "a file":
        (folder / "run").write_text("mine")
    elif kind == "not ours":
        (folder / "run").mkdir()
        (folder / "run" / "thesis.tex").write_text("mine")
    elif kind == "a link to others":
        (folder / "run").symlink_to(folder.parent)
    else:
        (folder / "run").symlink_to("/proc/self/nothing")
    for extra in ([], ["--fresh"]):
        code = run(["audit", str(folder / "audit.yaml"), "--quiet", *extra])
        assert code == USAGE, capsys.readouterr().err
        assert "internal error" not in capsys.readouterr().err
    assert (folder.parent / "secret.txt").exists()
    if kind == "not ours":
        assert (folder / "run" / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize("digests", [[1], "x", None, {"model": 3}])
def test_a_plan_whose_digests_were_changed_is_one_clear_error(digests, folder: Path, capsys):
    path = folder / "run" / "plan.json"
    plan = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(plan | {"digests": digests}), encoding="utf-8")
    assert run(["audit", str(folder / "audit.yaml"), "--quiet"]) == USAGE
    error = capsys.readouterr().err
    assert "output must be" in error
    assert "internal error" not in error


BLOCKED = """
import socket, sys
def refuse(*args, **options):
    open({marker!r}, "w")
    raise OSError("no network here")
for name in ("connect", "connect_ex", "sendto", "listen"):  # urllib3 binds when it is imported
    setattr(socket.socket, name, refuse)
socket.getaddrinfo = socket.create_connection = refuse
from pxgen_plugins.audit.cli import run
sys.exit(run(["audit", {settings!r}, "--quiet", "--fresh"]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_a_whole_audit_opens_no_socket(executor: str, folder: Path):
    text = SETTINGS + f"executor: {{name: {executor}, workers: 2}}\nadapters: {{names: [lrp]}}\n"
    (folder / "audit.yaml").write_text(text, encoding="utf-8")
    code = BLOCKED.format(marker=str(folder / MARKER), settings=str(folder / "audit.yaml"))
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=os.environ | {"PYTHONPATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == PASSED, done.stderr
    assert not (folder / MARKER).exists()


def _as_nobody(arguments: list[str], end: Any) -> None:
    """Send the exit code and the message of a command that may write to no file of root."""
    if os.geteuid() == 0:
        os.setegid(65534)
        os.seteuid(65534)
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        code = run(arguments)
    end.send((code, err.getvalue()))


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs users as POSIX has them")
@pytest.mark.parametrize("command", ["report", "resume", "show"])
def test_a_run_that_cannot_be_written_is_said(command: str, finished: Path):
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        folder = Path(name)
        shutil.copytree(finished, folder, dirs_exist_ok=True)
        before = {path: path.stat().st_mtime_ns for path in (folder / "run").rglob("*")}
        folder.chmod(0o755)
        for path in (folder / "run", folder / "run" / "fit", folder / "run" / "shards"):
            path.chmod(0o555)
        arguments = [command, str(folder / "run")]
        if command == "resume":
            arguments = ["audit", str(folder / "audit.yaml"), "--quiet"]
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        process = context.Process(target=_as_nobody, args=(arguments, theirs))
        process.start()
        theirs.close()
        code, err = ours.recv() if ours.poll(120) else (None, "")
        process.kill()
        process.join()
        assert code == (PASSED if command == "show" else INCOMPLETE), err
        assert command == "show" or "could not be read or written: Permission denied" in err
        for path in (folder / "run", folder / "run" / "fit", folder / "run" / "shards"):
            path.chmod(0o755)
        assert {path: path.stat().st_mtime_ns for path in (folder / "run").rglob("*")} == before
