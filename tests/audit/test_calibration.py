"""Calibration in units: the numbers of an undivided fit, whoever computes them."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pxgen_plugins import PXGen, thresholds
from pxgen_plugins.audit import engine, work
from pxgen_plugins.audit.estimate import cost
from pxgen_plugins.audit.inputs import build_explainer, build_model, open_set
from pxgen_plugins.audit.run_folder import Run
from pxgen_plugins.audit.samples import Samples
from pxgen_plugins.audit.settings import Config, config_of
from pxgen_plugins.models import SampleBank
from pxgen_plugins.testing.examples import LinearModel
from pxgen_plugins.utils.errors import ParameterError
from pxgen_plugins.utils.storage import Place, storage_of
from pxgen_plugins.utils.threads import one_thread
from tests.audit.folders import content, remove

pytest.importorskip("jinja2")

DATA = {"path": "reference.npy"}
LEARNING = {
    "model": {"shipped": "mnist_vae"},
    "intrinsic": ["aggregate_mahalanobis", "latent_neighbours"], "extrinsic": ["nearest_sample"],
}  # fmt: skip
CASES = {
    "one repeat is many units": {"threshold": {"name": "Quantile", "n_samples": 1_700,
                                               "n_repeats": 2}},
    "a unit is many repeats": {"threshold": {"name": "MeanMax", "n_samples": 40,
                                             "n_repeats": 37}},
    "a tolerance stops": {"threshold": {"name": "MeanMax", "n_samples": 200, "n_repeats": 60,
                                        "tolerance": 0.04}},
    "reference data": {"threshold": {"name": "Conformal", "alpha": 0.1, "source": "reference"},
                       "reference": DATA},
    "criteria learn from samples": LEARNING | {"threshold": {"name": "Quantile", "n_samples": 300,
                                                             "n_repeats": 2}},
    "criteria and thresholds take data": LEARNING | {"reference": DATA, "threshold": {
        "name": "Conformal", "alpha": 0.1, "source": "reference"}},
    "fixed": {"threshold": {"name": "Fixed", "values": 1.0}},
}  # fmt: skip


def settings(folder: Path, **changes) -> Config:
    draws, side = np.random.default_rng(0), 28 if "model" in changes else 8
    for name, n in (("anchors", 90), ("reference", 1_300)):
        rows = draws.random((n, 1, side, side), np.float32)
        if name == "reference":
            rows[[5, 700]] = np.nan
        np.save(folder / f"{name}.npy", rows)
    values = {
        "model": {"factory": "pxgen_plugins.testing.examples:LinearModel"},
        "anchors": {"path": "anchors.npy"},
        "threshold": {"name": "MeanMax", "n_samples": 600, "n_repeats": 3},
        "shard_size": 512,
        "batch_size": 100,
        "seed": 3,
        "output": "run",
    }
    return config_of(values | changes, folder)


def audited(config: Config, **options) -> None:
    assert engine.audit(config, **options) is not None


def units_of(folder: Place) -> list[str]:
    return sorted(name for name in content(folder) if name.startswith("calibration/"))


@pytest.fixture
def written(monkeypatch) -> list[tuple[str, int]]:
    """Return the units that are written from now on, by stage and number."""
    places, write = [], work.units.write

    def note(folder, stage, index, *rest):
        write(folder, stage, index, *rest)
        places.append((stage.name, index))

    monkeypatch.setattr(work.units, "write", note)
    return places


@pytest.mark.filterwarnings("ignore::pxgen_plugins.utils.errors.PXGenWarning")
@pytest.mark.parametrize("case", CASES)
def test_units_give_the_numbers_of_an_undivided_fit(case: str, tmp_path: Path):
    """To the last bit: samples have the seeds, and batches the members, that they have in fit."""
    config = settings(tmp_path, **CASES[case])
    audited(config)
    model = build_model(config)
    with one_thread():  # as units are computed
        whole = build_explainer(config, model).fit(open_set(config, "reference", model))
    found = PXGen.load(tmp_path / "run" / "fit", model)
    for name, expected in vars(whole.calibration).items():
        assert np.array_equal(getattr(found.calibration, name), expected), name
    for one, other in zip(found.criteria, whole.criteria, strict=True):
        for name, expected in getattr(other, "state", {}).items():
            assert np.array_equal(one.state[name].ravel(), expected.ravel()), name
    n_units = len(units_of(tmp_path / "run"))
    assert n_units == 0 if case == "fixed" else n_units > 1
    if case == "a tolerance stops":
        assert 5 < found.calibration.n_repeats < 60
        assert n_units <= 1.5 * 200 / 512 * found.calibration.n_repeats + 2


@pytest.mark.parametrize("size", [64, 8_192])
def test_the_size_of_units_changes_no_threshold(size: int, tmp_path: Path):
    found = []
    for shard_size in (512, size):
        config = settings(tmp_path, shard_size=shard_size, output=f"run{shard_size}")
        audited(config)
        found.append((config.output / "calibration.json").read_bytes())
    assert found[0] == found[1]


def test_units_of_samples_are_a_partition():
    """Every sample of every repeat is in one unit, and units are no larger than they may be."""
    draws = np.random.default_rng(0)
    for _ in range(60):
        n, repeats, size = (int(x) for x in draws.integers(1, [3_000, 40, 4_000]))
        explainer = PXGen(LinearModel(), threshold=thresholds.MeanMax(n, repeats))
        stage = Samples(explainer, size)
        seen = np.zeros((repeats, n), dtype=int)
        for index in range(len(stage)):
            pieces = list(stage.pieces(index))
            assert stage.n_instances(index) <= max(size, 512)
            for repeat, rows in pieces:
                assert rows.start % 512 == 0  # samples of a block share a seed
                seen[repeat, rows.start : rows.stop] += 1
                assert index in stage.of_repeats(repeat, repeat + 1)
        assert (seen == 1).all()


def test_a_part_of_a_finite_number_of_samples_is_that_of_all():
    bank = SampleBank(np.random.default_rng(0).random((4_000, 1, 4, 4)))
    explainer = PXGen(bank, threshold=thresholds.Quantile(0.9, 1_500, 1))
    scorer = explainer.scorer()
    whole = [x for _, x in scorer.samples(1_500, 7)]
    parts = [x for rows in (range(512), range(512, 1_500))
             for _, x in scorer.samples(1_500, 7, rows=rows)]  # fmt: skip
    assert [x.tolist() for x in whole] == [x.tolist() for x in parts]


class Killed(BaseException):
    """A kill between two units."""


def test_what_is_there_is_not_computed_again(tmp_path: Path, run: Place, monkeypatch, written):
    """Stopped after each of its units, an audit ends with the bytes of an undisturbed one."""
    case = CASES["criteria learn from samples"] if isinstance(run, Path) else {}  # seconds, or one
    config = settings(tmp_path, **case, output=str(run))
    audited(config)
    expected = content(run)
    remove(run)
    write = work.units.write
    written.clear()

    def write_one(*given):
        write(*given)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(work.units, "write", write_one)
        for _ in range(100):
            try:
                audited(config)
                break
            except Killed:
                pass
    n_units = len(units_of(run)) + 1  # and one shard
    assert len(written) == len(set(written)) == n_units
    assert content(run) == expected


def test_damaged_units_are_computed_again_and_a_damaged_fit_from_units(
    tmp_path: Path, run: Place, written
):
    config = settings(tmp_path, **CASES["one repeat is many units"], output=str(run))
    audited(config)
    expected, storage = content(run), storage_of(run)
    names = units_of(run)
    storage.remove("fit")
    storage.write(names[0], b"")
    storage.write(names[1], storage.read(names[2]))  # whole, but another's
    storage.remove(names[3])
    written.clear()
    audited(config)
    assert [index for _, index in written] == [0, 1, 3]
    assert content(run) == expected
    storage.write("fit/calibration.safetensors", b"damage")
    written.clear()
    audited(config)
    assert written == []
    assert content(run) == expected


def test_parts_share_calibration_and_one_alone_ends(tmp_path: Path, run: Place, written):
    config = settings(tmp_path, shard_size=20, output=str(run))
    audited(config)
    expected = content(run)
    remove(run)
    written.clear()
    assert engine.audit(config, part=(1, 2)) is None
    samples = [index for stage, index in written if stage == "calibration/samples"]
    assert samples == [1, 3, 5, 2, 4, 0]  # its own; then the others', from a place of its own
    assert [index for stage, index in written if stage == "shards"] == [1, 3]
    written.clear()
    audited(config, part=(0, 2))
    assert written == [("shards", 0), ("shards", 2), ("shards", 4)]
    assert content(run) == expected


# that Ray gives the same bytes, calibration included, is tested in test_engine.py, too
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("processes", marks=pytest.mark.slow),
        pytest.param("ray", marks=pytest.mark.long),
    ],
)
def test_every_executor_writes_the_same_units(name: str, tmp_path: Path):
    if name == "ray":
        pytest.importorskip("ray")
    changes = CASES["criteria and thresholds take data"] | {"shard_size": 100}
    audited(settings(tmp_path, **changes))
    expected = content(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    audited(settings(tmp_path, **changes, executor={"name": name, "workers": 2}))
    assert content(tmp_path / "run") == expected


class OwnDraws(thresholds.MeanMax):
    """Draws with seeds of its own, so that its samples are no units."""

    def calibrate(self, scorer, seed, verbose=False, reference=None):
        return super().calibrate(scorer, seed + 1, verbose, reference)


def test_a_rule_that_draws_in_its_own_way_gives_its_own_thresholds(tmp_path: Path, monkeypatch):
    thresholds.REGISTRY.register("OwnDraws")(OwnDraws)
    try:
        rule = {"name": "OwnDraws", "n_samples": 50, "n_repeats": 3}
        config = settings(tmp_path, threshold=rule)
        audited(config)
        model = build_model(config)
        whole = build_explainer(config, model).fit()
        found = PXGen.load(tmp_path / "run" / "fit", model)
        assert np.array_equal(found.calibration.repeats, whole.calibration.repeats)
        assert units_of(tmp_path / "run") == []
    finally:
        thresholds.REGISTRY._items.pop("OwnDraws", None)


def test_the_bar_counts_both_halves(tmp_path: Path, monkeypatch):
    bars = []

    class Bar(contextlib.nullcontext):
        def __init__(self, total, *given):
            super().__init__(self)
            self.n, self.total = 0.0, total
            bars.append(self)

        def update(self, n):
            self.n += n

    monkeypatch.setattr(engine, "bar", Bar)
    config = settings(tmp_path, **CASES["criteria and thresholds take data"])
    audited(config)
    learning = 2 * 650 + 1_000  # two criteria learn from half of the data, one from samples
    assert bars[0].n == pytest.approx(bars[0].total)
    assert bars[0].total == learning + 650 + 90


def test_the_plan_knows_the_units_and_who_waits_for_whom(tmp_path: Path):
    changes = CASES["criteria and thresholds take data"] | {"shard_size": 40}
    config = settings(tmp_path, **changes, executor={"name": "serial", "workers": 2})
    plan, explainer = engine.make_plan(config)
    complete = config.complete(explainer.meta["params"])
    found = cost(plan, explainer, complete)
    audited(config)
    written = [name for name in units_of(tmp_path / "run") if "learned" not in name]
    assert (found.calibration.units, found.scoring.units) == (len(written), 3)
    assert found.calibration.instances == 2 * 650 + 1_000 + 650
    assert found.calibration.largest == 512  # samples of a block share a seed
    assert found.scoring.largest == 40
    # the anchors are 40, 40 and 10: of two workers one has 50
    ratio = found.scoring.seconds_of_largest / found.scoring.seconds
    assert ratio == pytest.approx(40 / 50)
    assert found.memory > 2**26


def test_a_disk_that_fails_one_write_in_ten_costs_no_unit_twice(
    tmp_path: Path, monkeypatch, written
):
    """Each failure ends the audit; run again and again, it ends with an undisturbed run's bytes."""
    config = settings(tmp_path, shard_size=20, threshold={"name": "Quantile", "n_samples": 900})
    audited(config)
    expected = content(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    written.clear()
    draws, n_failed, fsync = np.random.default_rng(1), 0, os.fsync

    def fail(descriptor):
        if draws.random() < 0.1:
            raise OSError(errno.ENOSPC, "No space left")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        for _ in range(100):
            try:
                audited(config)
                break
            except OSError:
                n_failed += 1
                assert not list((tmp_path / "run").rglob(".*"))  # no draft is left
    assert n_failed > 1
    assert len(written) == len(set(written)) == len(units_of(tmp_path / "run")) + 5
    assert content(tmp_path / "run") == expected


HOLDS = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDONLY)
fcntl.flock(descriptor, fcntl.LOCK_SH if sys.argv[2] == "part" else fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_of_two_audits_of_one_folder_one_goes_on_and_the_other_says_so(tmp_path: Path):
    pytest.importorskip("fcntl")
    config = settings(tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    for other, options, refused in (
        ("whole", {}, True),
        ("whole", {"fresh": True}, True),
        ("whole", {"part": (0, 2)}, True),
        ("part", {}, True),
        ("part", {"part": (0, 2)}, False),
    ):
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDS, str(run), other],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        try:
            assert holder.stdout.readline() == b"held\n"
            before = content(run)
            if refused:
                with pytest.raises(ParameterError, match="a folder where no other audit runs"):
                    engine.audit(config, **options)
                assert content(run) == before
            else:
                audited(config, **options)
        finally:
            holder.kill()  # and with it the lock is gone
            holder.communicate()
    audited(config)


def test_a_clock_that_is_ahead_costs_nothing(tmp_path: Path, monkeypatch):
    """Another process, whose clock is a day ahead, takes a draft of ours for one that was left."""
    config = settings(tmp_path)
    audited(config)
    expected = content(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    fsync, swept = os.fsync, []

    def sweep(descriptor):
        fsync(descriptor)
        drafts = list((tmp_path / "run").glob("*/**/.*"))
        if drafts and len(swept) < 2:
            with monkeypatch.context() as patch:
                now = time.time() + 86_400
                patch.setattr(work.time, "time", lambda: now)
                work.sweep(tmp_path / "run")
            swept.extend(path for path in drafts if not path.exists())

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", sweep)
        with contextlib.suppress(FileNotFoundError):
            audited(config)
    assert swept
    audited(config)
    assert content(tmp_path / "run") == expected


SLOW = """
import time
import torch
from pxgen_plugins.testing.examples import LinearModel
from pxgen_plugins.utils.errors import ParameterError

class Slow(LinearModel):
    def decode(self, z):
        time.sleep(0.02)
        return super().decode(z)

def load():
    return Slow()
"""
SMALL = """
import torch
from pxgen_plugins.testing.examples import LinearModel

class Small(LinearModel):
    def encode(self, x):
        if len(x) > 30:
            raise torch.OutOfMemoryError("Tried to allocate 2 GiB")
        return super().encode(x)

def load():
    return Small()
"""


def test_where_memory_runs_out_batches_are_halved_and_the_manifest_says_so(
    tmp_path: Path, monkeypatch
):
    (tmp_path / "small_model.py").write_text(SMALL)
    monkeypatch.syspath_prepend(tmp_path)
    audited(settings(tmp_path))
    expected = Run.open(tmp_path / "run")
    assert "halved_batches" not in expected.manifest
    values = settings(tmp_path, output="small").values
    values |= {"model": values["model"] | {"factory": "small_model:load"}, "allow": ["small_model"]}
    said: list[str] = []
    audited(Config(values), say=said.append)
    found = Run.open(tmp_path / "small")
    names = [f"calibration/samples/00000{i}" for i in range(6)] + ["shards/000000"]
    # a batch of 100 is halved until it fits; the last ones of a block are fewer from the first
    assert found.manifest["halved_batches"].keys() == set(names)
    assert set(found.manifest["halved_batches"].values()) <= {22, 23, 25}
    assert "memory ran out in 7 units, which went on in batches of 22 or more" in said
    np.testing.assert_allclose(found.result.values, expected.result.values, rtol=1e-5)
    np.testing.assert_allclose(found.result.thresholds, expected.result.thresholds, rtol=1e-5)


KILLED = """
import sys
from pathlib import Path
from pxgen_plugins.audit import engine
from pxgen_plugins.utils.threads import one_thread
from tests.audit.test_calibration import slow_settings
if __name__ == "__main__":
    engine.audit(slow_settings(Path(sys.argv[1]), {"name": "processes", "workers": 2}))
"""


def slow_settings(folder: Path, executor: dict) -> Config:
    changes = {
        "allow": ["slow_model"],
        "model": {"factory": "slow_model:load"},
        "anchors": {"path": "anchors.npy"},
        "threshold": {"name": "MeanMax", "n_samples": 600, "n_repeats": 9},
        "shard_size": 20,
        "batch_size": 100,
        "executor": executor,
        "output": "run",
    }
    return config_of(changes, folder, allow=["slow_model"])


@pytest.mark.slow
def test_a_killed_driver_loses_what_its_workers_had_begun_and_no_more(tmp_path: Path, monkeypatch):
    """A real kill (SIGKILL) of a driver with two workers, in the middle of calibration."""
    settings(tmp_path)  # writes the anchors
    (tmp_path / "slow_model.py").write_text(SLOW)
    (tmp_path / "killed.py").write_text(KILLED)
    monkeypatch.syspath_prepend(tmp_path)
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join([str(tmp_path), root, *sys.path])
    samples = tmp_path / "run" / "calibration" / "samples"
    driver = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(tmp_path / "killed.py"), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": path},
    )
    while len(list(samples.glob("0*"))) < 4 and driver.poll() is None:
        time.sleep(0.005)
    assert driver.poll() is None
    driver.kill()
    driver.wait()
    time.sleep(2.0)  # until the workers have noticed
    there = {file.name: file.stat().st_mtime_ns for file in samples.glob("0*")}
    assert 4 <= len(there) < 18
    config = slow_settings(tmp_path, {"name": "serial"})
    audited(config)
    for name, written in there.items():
        assert (samples / name).stat().st_mtime_ns == written  # was not computed again
    found = content(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    audited(config)
    drafts = {name for name in found if "/." in name}
    assert len(drafts) <= 2
    assert {name: found[name] for name in found.keys() - drafts} == content(tmp_path / "run")
