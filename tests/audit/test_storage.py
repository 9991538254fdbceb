"""Run folders and anchors by URL: the bytes of a local run, one audit at a time, no strangers."""

from __future__ import annotations

import errno
import itertools
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jinja2")
pytest.importorskip("fsspec")

import fsspec

from pxgen_plugins.audit import cli, engine
from pxgen_plugins.audit.local_copy import local_copy
from pxgen_plugins.audit.run_folder import Run
from pxgen_plugins.audit.settings import Config, config_of
from pxgen_plugins.utils import remote, tickets
from pxgen_plugins.utils.errors import AnchorError, ParameterError
from pxgen_plugins.utils.limits import RUN_FILE, LimitError
from pxgen_plugins.utils.locks import BusyError
from pxgen_plugins.utils.remote import Remote
from tests.audit.folders import content, faulty_file_system, remove

URL = "memory://bucket/anchors.npy"


@pytest.fixture(autouse=True)
def memory(monkeypatch, tmp_path: Path):
    """An empty file system in memory, with anchors in it; a cache of the test's own; no waits."""
    fs = fsspec.filesystem("memory")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "_WAIT", 0.0)
    monkeypatch.setattr(tickets, "_LOOK", 0.01)
    put(90)
    yield fs
    fs.store.clear()


def put(n: int) -> None:
    with fsspec.open(URL, "wb") as file:
        np.save(file, np.random.default_rng(n).random((n, 1, 8, 8), np.float32))


def settings(output: object, folder: Path = Path("/"), **changes) -> Config:
    values = {
        "model": {"factory": "pxgen_plugins.testing.examples:LinearModel"},
        "anchors": {"path": URL},
        "threshold": {"name": "MeanMax", "n_samples": 600, "n_repeats": 3},
        "conditions": ["HIHE.count >= 0"],
        "shard_size": 20,
        "batch_size": 10,
        "output": str(output),
    }
    return config_of(values | changes, folder)


def audited(config: Config) -> Run:
    run = engine.audit(config)
    assert run is not None
    return run


def test_a_run_by_url_has_the_bytes_of_a_local_one(tmp_path: Path):
    audited(settings(tmp_path / "run"))
    expected = content(tmp_path / "run")
    audited(settings("memory://bucket/run"))
    assert content(Remote("memory://bucket/run")) == expected
    assert not Remote("memory://bucket/run").names(tickets.FOLDER)
    assert Run.open("memory://bucket/run").result.n == 90


@pytest.mark.slow
def test_processes_need_no_folder_in_common(tmp_path: Path):
    """Workers read plan and anchors by URL, and write units there."""
    np.save(tmp_path / "anchors.npy", np.random.default_rng(0).random((90, 1, 8, 8), np.float32))
    anchors = {"path": f"file://{tmp_path}/anchors.npy"}
    audited(settings(tmp_path / "run", anchors=anchors))
    executor = {"name": "processes", "workers": 2}
    audited(settings(f"file://{tmp_path}/other", anchors=anchors, executor=executor))
    assert content(Remote(f"file://{tmp_path}/other")) == content(tmp_path / "run")


def test_writes_that_fail_are_tried_again_and_change_nothing(tmp_path: Path, monkeypatch):
    audited(settings(tmp_path / "run"))
    n_failed = 0
    for seed in range(3):
        fs = faulty_file_system(seed=seed)
        with monkeypatch.context() as patch:
            patch.setattr(remote, "_file_system", lambda url, fs=fs: (fs, url[8:]))
            audited(settings(f"memory://bucket/run{seed}"))
        n_failed += type(fs).n_failed
        assert content(Remote(f"memory://bucket/run{seed}")) == content(tmp_path / "run")
    assert n_failed > 0


def test_what_is_wrong_with_a_limit_is_no_fault_of_the_storage(monkeypatch):
    place = Remote("memory://bucket")
    assert place.read_large("anchors.npy", RUN_FILE).tobytes() == place.read("anchors.npy")
    monkeypatch.setenv("PXGEN_MAX_RUN_FILE", "7")
    with pytest.raises(LimitError, match="PXGEN_MAX_RUN_FILE"):
        place.read_large("anchors.npy", RUN_FILE)
    monkeypatch.setenv("PXGEN_MAX_RUN_FILE", "much")
    with pytest.raises(ParameterError, match="a positive integer"):
        place.read_large("anchors.npy", RUN_FILE)


def test_where_no_try_succeeds_the_audit_says_so_and_goes_on_later(
    tmp_path: Path, monkeypatch, capsys
):
    (tmp_path / "audit.yaml").write_text(
        "model: {factory: 'pxgen_plugins.testing.examples:LinearModel'}\n"
        f"anchors: {{path: '{URL}'}}\n"
        "threshold: {name: MeanMax, n_samples: 600, n_repeats: 3}\n"
        "shard_size: 20\noutput: memory://bucket/run\n"
    )
    command = ["audit", str(tmp_path / "audit.yaml"), "--quiet"]
    writes, put = itertools.count(), Remote._put

    def fail(self, fs, path, given):
        if next(writes) > 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        put(self, fs, path, given)

    with monkeypatch.context() as patch:
        patch.setattr(Remote, "_put", fail)
        assert cli.run(command) == cli.INCOMPLETE
    said = capsys.readouterr().err
    assert said.startswith("pxgen: a file could not be read or written: No space left on device (")
    assert "memory://bucket/run/" in said
    assert "what was scored is kept" in said
    there = set(content(Remote("memory://bucket/run")))
    assert len(there) > 3
    assert cli.run(command) == cli.PASSED
    for words in (["show", "memory://bucket/run"], ["report", "memory://bucket/run"],
                  ["compare", "memory://bucket/run", "memory://bucket/run"]):  # fmt: skip
        assert cli.run(words) == cli.PASSED
    assert "memory://bucket/run/report.html" in capsys.readouterr().out


def test_a_full_disk_is_said_and_what_was_scored_is_kept(tmp_path: Path, monkeypatch, capsys):
    (tmp_path / "audit.yaml").write_text(
        "model: {factory: 'pxgen_plugins.testing.examples:LinearModel'}\n"
        f"anchors: {{path: '{URL}'}}\nshard_size: 20\noutput: run\n"
        "threshold: {name: MeanMax, n_samples: 600, n_repeats: 3}\n"
    )
    command = ["audit", str(tmp_path / "audit.yaml"), "--quiet"]
    assert cli.run(command) == cli.PASSED
    expected = content(tmp_path / "run")
    remove(tmp_path / "run")
    writes, fsync = itertools.count(), os.fsync

    def fail(descriptor):
        if next(writes) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        assert cli.run(command) == cli.INCOMPLETE
    said = capsys.readouterr().err
    assert "a file could not be read or written: No space left on device (0" in said  # a unit
    assert said.rstrip().endswith("what was scored is kept")
    kept = content(tmp_path / "run")
    assert len(kept) > 3
    assert cli.run(command) == cli.PASSED
    assert content(tmp_path / "run") == expected
    assert all(expected[name] == one for name, one in kept.items())


def test_anchors_are_copied_once_and_again_when_they_change(monkeypatch):
    copied = []
    download = Remote.download
    monkeypatch.setattr(
        Remote, "download", lambda self, *given: copied.append(given) or download(self, *given)
    )
    first = local_copy(URL, "anchors.path")
    assert local_copy(URL, "anchors.path") == first
    assert (len(copied), len(np.load(first))) == (1, 90)
    put(30)
    assert len(np.load(local_copy(URL, "anchors.path"))) == 30
    folder = fsspec.filesystem("memory")
    for name in ("zeros/1.png", "ones/2.png"):
        folder.pipe_file(f"/bucket/pictures/{name}", name.encode())
    copy = Path(local_copy("memory://bucket/pictures", "anchors.path"))
    assert (copy / "zeros" / "1.png").read_bytes() == b"zeros/1.png"
    assert copy.name == "pictures"


def test_anchors_that_change_meanwhile_are_noticed(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(engine, "write_results", None)
        patch.setattr(engine, "evidence_of", lambda *given: put(80))
        with pytest.raises(ParameterError, match="anchors must be the same from the start"):
            audited(settings("memory://bucket/run"))
    assert not Remote("memory://bucket/run").exists("plan.json")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://host/run", "a URL of file://, gs://, memory://, s3://"),
        ("simplecache::s3://bucket/run", "must be"),
        ("s3://key:secret@bucket/run", "Credentials are taken from the environment"),
        ("s3://bucket/../run", "dots as names"),
        ("s3://bucket/run", "with --allow s3://bucket/run"),
    ],
)
def test_urls_of_strangers_and_with_secrets_are_refused(url, words):
    with pytest.raises(ParameterError) as caught:
        settings(url)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_url_is_allowed_by_what_it_begins_with():
    values = {"model": {"shipped": "mnist_vae"}, "anchors": {"shipped": "mnist"},
              "output": "s3://bucket/runs/first"}  # fmt: skip
    for allowed in ("s3://bucket", "s3://bucket/runs/", "s3://bucket/runs/first"):
        assert str(config_of(values, Path("/"), allow=[allowed]).output) == "s3://bucket/runs/first"
    for other in ("s3://bucket/run", "s3://buck", "s3", "gs://bucket"):
        with pytest.raises(ParameterError, match="a URL that you allow"):
            config_of(values, Path("/"), allow=[other])


def test_anchors_that_are_not_there_or_lie_apart_are_refused():
    for path, words in (
        ("memory://bucket/none.npy", "what is there"),
        ("memory://bucket/a.csv", "a .csv"),
    ):
        with pytest.raises(AnchorError, match=words):
            engine.make_plan(settings("memory://bucket/run", anchors={"path": path}))


class TestTickets:
    """Locks without a lock of the file system's."""

    store = Remote("memory://bucket/run")

    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch):
        monkeypatch.setattr(tickets, "_BEAT", 0.02)
        monkeypatch.setattr(tickets, "_LOOK", 0.01)
        monkeypatch.setattr(tickets, "_PATIENCE", 50)

    def held(self, shared: bool = False):
        return tickets.held(self.store, self.store.url, shared=shared)

    def test_of_two_the_second_says_so_whichever_name_is_lower(self):
        for name in ("0" * 16, "f" * 16):
            other = tickets._Ticket(self.store, False)
            self.store.remove(f"{tickets.FOLDER}/{other.name}")
            other.name, other.holds = name, True
            other.write()
            try:
                with pytest.raises(ParameterError, match="where no other audit runs"):
                    engine.audit(settings(self.store.url))
            finally:
                other.close()
        audited(settings(self.store.url))

    def test_parts_share(self):
        other = tickets._Ticket(self.store, True)
        other.holds = True
        try:
            with self.held(shared=True):
                pass
            with pytest.raises(BusyError), self.held():
                pass
        finally:
            other.close()

    def test_of_many_that_come_at_once_one_wins(self, monkeypatch):
        """Each as a process of its own, with what it holds for itself."""
        inside, most, busy = [], [], []

        def come() -> None:
            ticket = tickets._Ticket(self.store, False)
            try:
                tickets._wait(self.store, ticket, self.store.url, time.sleep)
                ticket.holds = True
                ticket.write()
                inside.append(ticket)
                most.append(len(inside))
                time.sleep(0.4)
                inside.remove(ticket)
            except BusyError:
                busy.append(ticket)
            finally:
                ticket.close()

        threads = [threading.Thread(target=come) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(most) == {1}
        assert len(most) + len(busy) == 6
        assert busy

    def test_what_a_killed_audit_left_is_removed_after_patience_and_not_before(self):
        left = '{"shared": false, "holds": true, "number": 7}'
        self.store.write(f"{tickets.FOLDER}/{'a' * 16}", left.encode())
        looks = []
        own = tickets._Ticket(self.store, False)
        try:
            tickets._wait(self.store, own, self.store.url, looks.append)
        finally:
            own.close()
        assert len(looks) == 50 - 1
        assert self.store.names(tickets.FOLDER) == []

    def test_no_jump_of_a_clock_takes_a_lock(self, monkeypatch):
        """Clocks that jump by days between any two looks, of whoever comes and of who is there."""
        jumps = itertools.count(1)
        for name in ("time", "monotonic"):
            monkeypatch.setattr(time, name, lambda: (-1) ** next(jumps) * 1e6 * next(jumps))
        with self.held():
            own = tickets._Ticket(self.store, False)
            try:
                with pytest.raises(BusyError):
                    tickets._wait(self.store, own, self.store.url, lambda wait: own._end.wait(0.01))
            finally:
                own.close()
            tickets.check(self.store.url)

    def test_whoever_was_taken_for_dead_writes_no_more(self):
        """As after a machine was suspended: another one holds the folder by now."""
        held = self.held()
        held.__enter__()
        own = tickets._held[self.store.url]
        self.store.remove(f"{tickets.FOLDER}/{own.name}")
        own._thread.join(10.0)
        assert own.lost
        with pytest.raises(BusyError):
            self.store.write("report.html", b"late")
        with pytest.raises(BusyError):
            held.__exit__(None, None, None)
        assert self.store.names() == []
