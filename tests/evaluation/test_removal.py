"""Removal experiments: every distance, the statistics, going on after a kill, processes, errors."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import trapezoid

from pxgen_plugins.evaluation import RemovalResult
from pxgen_plugins.evaluation.removal_plan import Plan, Point
from pxgen_plugins.utils.errors import ModelError, ParameterError, PXGenWarning
from tests.evaluation import toy_removal as toy

ROOT = Path(__file__).parents[2]


def plain(result: RemovalResult) -> Any:
    """All of a result but the seconds."""
    points = [{k: v for k, v in p.items() if "seconds" not in k} for p in result.points]
    return points, result.same_model, result.plan


def trained(log: Path) -> int:
    return len(log.read_text().splitlines()) if log.exists() else 0


@pytest.fixture(scope="module")
def result() -> RemovalResult:
    return toy.experiment().run()


# Distances


def test_every_distance_is_that_of_a_model_without_the_first_samples_of_the_ranking(
    result: RemovalResult,
) -> None:
    reference = toy.level(np.arange(len(toy.DATA)), 1, False)
    for ranking in ("falling", "rising"):
        order = list(toy.RANKINGS[ranking])
        for schedule, amounts in toy.AMOUNTS.items():
            curve = result.curve(ranking, schedule)
            assert curve.amount.tolist() == [0, *amounts]
            for amount, row in zip([0, *amounts], curve.values, strict=True):
                for seed, found in zip(toy.SEEDS, row, strict=True):
                    steps = schedule == "steps" and amount > 0
                    own = toy.level(sorted(order[amount:]), seed, steps)
                    assert found == pytest.approx(abs(own - reference), abs=1e-12)


def test_there_is_one_model_per_point_and_the_full_set_is_shared(tmp_path: Path) -> None:
    log = tmp_path / "log"
    found = toy.experiment(toy.Train(log)).run()
    assert len(found.points) == toy.N_POINTS
    assert trained(log) == toy.N_POINTS + 1
    full = [p for p in found.points if p["amount"] == 0]
    assert [(p["seed"], p["n_kept"]) for p in full] == [(seed, 40) for seed in toy.SEEDS]


def test_the_reference_is_no_distance_from_itself_and_other_seeds_are(
    result: RemovalResult,
) -> None:
    floor = result.floor()
    assert result.same_model == {toy.NAME: [0.0, 0.0, 0.0]}
    assert floor["same_model"].mean == 0.0
    assert floor["seed_to_seed"].mean == pytest.approx(
        abs(toy.DATA.mean()) * np.mean([0.01, 0.02, 0.04])
    )


def test_every_distance_is_taken_in_every_feature_space() -> None:
    def twice(samples: torch.Tensor) -> torch.Tensor:
        return 2 * samples

    def squared(a: Any, b: Any) -> float:
        return toy.gap(a, b) ** 2

    features = {"value": toy.value, "twice": twice}
    found = toy.experiment(features=features, distances={"gap": toy.gap, "squared": squared}).run()
    assert found.distances == [
        "gap (value)",
        "squared (value)",
        "gap (twice)",
        "squared (twice)",
    ]
    base = found.curve("rising").values
    np.testing.assert_allclose(found.curve("rising", distance="gap (twice)").values, 2 * base)
    np.testing.assert_allclose(
        found.curve("rising", distance="squared (twice)").values, 4 * base**2
    )


@given(
    n=st.integers(2, 60),
    amounts=st.lists(st.integers(1, 59), min_size=1, max_size=5),
    seeds=st.lists(st.integers(1, 1000), min_size=1, max_size=3, unique=True),
)
def test_a_larger_amount_drops_the_same_samples_and_more(
    n: int, amounts: list[int], seeds: list[int]
) -> None:
    amounts = sorted({amount % (n - 1) + 1 for amount in amounts})
    order = np.random.default_rng(n).permutation(n)
    plan = Plan(n, {"given": order, "r": "random"}, amounts, None, seeds, 0, 5, ["d"], "")
    assert len(set(plan.points)) == len({plan.name(point) for point in plan.points})
    for ranking in plan.rankings:
        for seed in seeds:
            before = set(range(n))
            for amount in amounts:
                kept = plan.indices(Point("steps", ranking, amount, seed))
                assert len(kept) == n - amount
                assert (np.diff(kept) > 0).all()
                assert set(kept.tolist()) < before
                before = set(kept.tolist())
                if ranking == "given":
                    assert before == set(order[amount:].tolist())


def test_random_removal_is_another_for_each_seed_and_the_same_for_each_schedule() -> None:
    plan = toy.experiment().plan
    kept = [plan.indices(Point("epochs", "random", 16, seed)).tolist() for seed in toy.SEEDS]
    assert len({tuple(k) for k in kept}) == len(toy.SEEDS)
    for seed, one in zip(toy.SEEDS, kept, strict=True):
        assert plan.indices(Point("steps", "random", 16, seed)).tolist() == one


# Statistics


def test_intervals_are_those_of_scipys_t_tests(result: RemovalResult) -> None:
    for row in result.table():
        curve = result.curve(row["ranking"], row["schedule"])
        at = curve.amount.tolist().index(row["amount"])
        own = stats.ttest_1samp(curve.values[at], 0.0).confidence_interval(0.95)
        assert (row["low"], row["high"]) == pytest.approx(tuple(own))
        paired = stats.ttest_rel(curve.values[at], curve.values[0]).confidence_interval(0.95)
        assert (row["rise_low"], row["rise_high"]) == pytest.approx(tuple(paired))
        assert row["mean"] == pytest.approx(curve.values[at].mean())
        assert row["fraction"] == row["amount"] / 16
        assert row["n_kept"] == 40 - row["amount"]
    assert len(result.table()) == 3 * 3 + 3


def test_area_and_slope_are_those_of_scipy_and_numpy(result: RemovalResult) -> None:
    for row in result.summary():
        curve = result.curve(row["ranking"], row["schedule"])
        rise = curve.values - curve.values[0]
        areas = trapezoid(rise, curve.fraction, axis=0) / curve.fraction[-1]
        slopes = [np.polyfit(curve.fraction, curve.values[:, s], 1)[0] for s in range(3)]
        assert row["area_mean"] == pytest.approx(np.mean(areas))
        assert row["slope_mean"] == pytest.approx(np.mean(slopes))
        bounds = stats.ttest_1samp(slopes, 0.0).confidence_interval(0.95)
        assert (row["slope_low"], row["slope_high"]) == pytest.approx(tuple(bounds))


def test_contrasts_pair_the_seeds(result: RemovalResult) -> None:
    rows = result.contrasts()
    assert len(rows) == 2 * 3
    for row in rows:
        one, other = (result.curve(row[key], row["schedule"]) for key in ("first", "second"))
        ends = stats.ttest_rel(one.values[-1], other.values[-1]).confidence_interval(0.95)
        assert (row["end_low"], row["end_high"]) == pytest.approx(tuple(ends))
        areas = stats.ttest_rel(one.area(), other.area()).confidence_interval(0.95)
        assert (row["area_low"], row["area_high"]) == pytest.approx(tuple(areas))


def test_one_seed_has_means_and_no_intervals() -> None:
    found = toy.experiment(seeds=[2]).run()
    row = found.table()[0]
    assert row["mean"] > 0
    assert row["low"] is row["high"] is row["rise_low"] is None
    assert np.isnan(found.curve("rising").band).all()
    assert "None" not in found.to_markdown()


def test_fractions_are_of_the_whole() -> None:
    found = toy.experiment(whole=32).run()
    assert found.curve("rising").fraction.tolist() == [0, 0.125, 0.25, 0.5]


def test_json_is_strict_and_brings_everything_back(result: RemovalResult) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for one in (result, toy.experiment(seeds=[2]).run()):
        content = json.loads(one.to_json(), parse_constant=refuse)
        again = RemovalResult.from_json(one.to_json())
        assert again == one
        assert content["table"] == again.table()
        assert content["summary"] == again.summary()
        assert content["contrasts"] == again.contrasts()


def test_what_is_no_result_is_refused(result: RemovalResult) -> None:
    content = json.loads(result.to_json())
    fewer = {**content, "points": content["points"][1:]}
    empty = json.loads(result.to_json())
    empty["points"][4]["distances"][toy.NAME] = None
    bad = ["", "[]", "{}", json.dumps({**content, "format": "x"}), json.dumps(fewer)]
    for text in [*bad, json.dumps(empty)]:
        with pytest.raises(ParameterError, match=r"from_json: text must be a result"):
            RemovalResult.from_json(text)


def test_markdown_has_a_row_per_amount_and_a_column_per_ranking(result: RemovalResult) -> None:
    lines = result.to_markdown().splitlines()
    assert lines.count("| dropped | falling | rising | random |") == 2
    row = next(line for line in lines if line.startswith("| 16 (100%) |"))
    means = [float(cell.split()[0]) for cell in row.split("|")[2:-1]]
    table = [r["mean"] for r in result.table() if (r["schedule"], r["amount"]) == ("epochs", 16)]
    assert means == pytest.approx(table, rel=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: r.curve("fallin"), "ranking must be one of .* Did you mean 'falling'"),
        (lambda r: r.curve("falling", "epoch"), "schedule must be .* Did you mean 'epochs'"),
        (lambda r: r.curve("falling", distance="g"), r"distance must be one of 'gap \(value\)'"),
        (lambda r: r.floor("g"), r"distance must be one of 'gap \(value\)'"),
    ],
)
def test_an_unknown_curve_is_refused_with_those_there_are(
    result: RemovalResult, call: Any, message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        call(result)


# Going on


def test_a_run_goes_on_from_what_is_stored(tmp_path: Path, result: RemovalResult) -> None:
    log, folder = tmp_path / "log", tmp_path / "points"
    toy.experiment(toy.Train(log), folder=folder).run()
    done = trained(log)
    files = sorted((folder / "points").iterdir())
    assert len(files) == toy.N_POINTS
    assert plain(toy.experiment(toy.Train(log), folder=folder).run()) == plain(result)
    assert trained(log) == done
    for file in files[::5]:
        file.unlink()
    assert plain(toy.experiment(toy.Train(log), folder=folder).run()) == plain(result)
    assert trained(log) == done + len(files[::5])


@pytest.mark.parametrize("content", ["", "{", "[1]", "{}", '{"point": null}', "\xff", "nan"])
def test_a_damaged_point_is_trained_again_with_a_warning(
    tmp_path: Path, result: RemovalResult, content: str
) -> None:
    log = tmp_path / "log"
    toy.experiment(folder=tmp_path).run()
    file = sorted((tmp_path / "points").iterdir())[7]
    whole = json.loads(file.read_text())
    text = content
    if content == "nan":
        whole["distances"][toy.NAME] = float("nan")
        text = json.dumps(whole)
    file.write_text(text, encoding="latin-1")
    with pytest.warns(PXGenWarning, match=r"cannot be used .* trained again"):
        again = toy.experiment(toy.Train(log), folder=tmp_path).run()
    assert plain(again) == plain(result)
    assert trained(log) == 1


@pytest.mark.parametrize("name", ["reference.json", "reference.safetensors"])
def test_a_damaged_reference_is_trained_again_with_a_warning(
    tmp_path: Path, result: RemovalResult, name: str
) -> None:
    log = tmp_path / "log"
    toy.experiment(folder=tmp_path).run()
    content = bytearray((tmp_path / name).read_bytes())
    content[-12] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.warns(PXGenWarning, match="trained again"):
        again = toy.experiment(toy.Train(log), folder=tmp_path).run()
    assert plain(again) == plain(result)
    assert trained(log) == 1


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"seeds": (2, 3)}, "seeds"),
        ({"reference_seed": 9}, "reference_seed"),
        ({"amounts": [4]}, "amounts"),
        ({"rankings": {**toy.RANKINGS, "rising": np.arange(40)}}, "rankings"),
        ({"n_samples": 6}, "n_samples"),
        ({"distances": {"other": toy.gap}}, "measures"),
        ({"tag": "longer"}, "tag"),
        ({"whole": 20}, "whole"),
    ],
)
def test_the_folder_of_another_experiment_is_refused_and_left_alone(
    tmp_path: Path, changed: dict[str, Any], named: str
) -> None:
    toy.experiment(folder=tmp_path).run()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ParameterError, match=rf"differs in: .*{named}"):
        toy.experiment(folder=tmp_path, **changed).run()
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_damaged_plan_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(ParameterError, match="unreadable"):
        toy.experiment(folder=tmp_path).run()
    with pytest.raises(ParameterError, match="must be a folder"):
        toy.experiment(folder=tmp_path / "plan.json").run()


def test_the_bar_starts_at_what_is_stored(tmp_path: Path, capfd: Any) -> None:
    toy.experiment(folder=tmp_path).run()
    file = next((tmp_path / "points").iterdir())
    file.unlink()
    capfd.readouterr()
    toy.experiment(folder=tmp_path, verbose=True).run()
    out, err = capfd.readouterr()
    assert out == ""
    assert f"{toy.N_POINTS}.0/{toy.N_POINTS + 1}.0 [00:00<?" in err  # stored ones count as no work


SCRIPT = """
import sys
from pathlib import Path
from tests.evaluation import toy_removal as toy
if __name__ == "__main__":
    folder, jobs = Path(sys.argv[1]), int(sys.argv[2])
    toy.experiment(toy.Train(folder / "log", wait=0.1), folder=folder, n_jobs=jobs).run()
"""


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
def test_a_killed_run_leaves_no_process_and_goes_on_where_it_was(
    tmp_path: Path, result: RemovalResult
) -> None:
    script, log, points = tmp_path / "script.py", tmp_path / "log", tmp_path / "points"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    arguments = [sys.executable, str(script), str(tmp_path), "2"]
    process = subprocess.Popen(arguments, env=environment)
    try:
        deadline = time.monotonic() + 60
        while not points.exists() or len(list(points.glob("*.json"))) < 4:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    workers = {int(line) for line in log.read_text().splitlines()}
    while any(running(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    stored = len(list(points.glob("*.json")))
    assert 4 <= stored < toy.N_POINTS
    before = trained(log)
    again = toy.experiment(toy.Train(log), folder=tmp_path).run()
    assert trained(log) == before + toy.N_POINTS - stored
    assert plain(again) == plain(result)


# Processes


@pytest.mark.slow
def test_two_processes_find_what_one_finds_and_keep_the_rest_when_one_dies(
    tmp_path: Path, result: RemovalResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a new process gets this one's path, and has to find the toy functions in this folder
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    log = tmp_path / "log"
    with pytest.raises(ModelError, match=r"a worker process must be alive .* fewer n_jobs"):
        toy.experiment(toy.Train(die_at=16), folder=tmp_path, n_jobs=2).run()
    stored = len(list((tmp_path / "points").glob("*.json")))
    assert stored > 0
    found = toy.experiment(toy.Train(log), folder=tmp_path, n_jobs=2).run()
    assert plain(found) == plain(result)
    assert trained(log) == toy.N_POINTS - stored
    assert str(os.getpid()) not in log.read_text().split()


@pytest.mark.parametrize("name", ["train", "features", "distances"])
def test_a_function_that_cannot_be_sent_is_named_before_anything_is_trained(
    tmp_path: Path, name: str
) -> None:
    log = tmp_path / "log"

    def local(*_: Any) -> Any:
        raise AssertionError

    changed: dict[str, Any] = {"train": toy.Train(log)}
    changed[name] = local if name == "train" else {"mine": local}
    with pytest.raises(ParameterError, match=rf"{name}.* must be a function that can be sent"):
        toy.experiment(n_jobs=2, **changed).run()
    assert trained(log) == 0


@pytest.mark.slow
def test_functions_of_a_shell_give_the_same_error() -> None:
    code = (
        "from tests.evaluation import toy_removal as toy\n"
        "class Own(toy.Train): pass\n"
        "toy.experiment(Own(), n_jobs=2).run()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(
        "pxgen_plugins.utils.errors.ParameterError: RemovalExperiment.run: train,"
    )
    assert "Define it with def or class at the top level of a file" in last


def test_threads_are_left_as_they_were() -> None:
    threads = torch.get_num_threads()
    found: list[int] = []

    def train(index: Any, seed: int, equal_steps: bool) -> Any:
        found.append(torch.get_num_threads())
        return toy.Constant(1.0)

    torch.set_num_threads(3)
    try:
        toy.experiment(train).run()
        assert set(found) == {1}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


# Errors


def test_a_point_that_fails_is_named_and_the_others_are_kept(
    tmp_path: Path, result: RemovalResult
) -> None:
    log = tmp_path / "log"
    pattern = r"ValueError: 8 are too many at falling, 8 dropped, .* seed 2 \(and 8 more\)"
    with pytest.raises(ModelError, match=pattern) as caught:
        toy.experiment(toy.Train(fail_at=8), folder=tmp_path).run()
    assert 'raise ValueError(f"{removed} are too many")' in str(caught.value.__cause__)
    again = toy.experiment(toy.Train(log), folder=tmp_path).run()
    assert trained(log) == 9
    assert plain(again) == plain(result)


def test_a_reference_that_fails_stops_the_run_at_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(ModelError, match="ValueError: 0 are too many at the reference"):
        toy.experiment(toy.Train(log, fail_at=0)).run()
    assert trained(log) == 1


def test_samples_that_are_not_finite_are_an_error_of_their_point() -> None:
    with pytest.raises(ModelError, match=r"features\['value'\] must be finite.* falling, 4 drop"):
        toy.experiment(toy.Train(diverge_at=4)).run()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"features": {"f": lambda s: s[:, 0]}}, r"features\['f'\] must be finite, of shape"),
        ({"features": {"f": lambda s: s[1:]}}, r"features\['f'\] must be finite, of shape"),
        ({"distances": {"d": lambda a, b: float("inf")}}, r"distances\['d'\] must be finite"),
        ({"distances": {"d": lambda a, b: None}}, "TypeError"),
        ({"train": lambda *_: 3}, "'int' object has no attribute 'sample'"),
    ],
)
def test_a_function_that_does_not_do_its_work_is_named(
    changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        toy.experiment(**changed).run()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train": 3}, "train must be a function"),
        ({"n_train": 1}, "n_train must be an integer >= 2"),
        ({"n_samples": 1}, "n_samples must be an integer >= 2"),
        ({"rankings": {}}, "rankings must be a mapping"),
        ({"rankings": [1, 2]}, "rankings must be a mapping"),
        ({"rankings": {"": "random"}}, "a ranking's name must be a non-empty string"),
        ({"rankings": {"a": "rndom"}}, r"rankings\['a'\] must be 'random', or at least 16"),
        ({"rankings": {"a": np.arange(15)}}, "at least 16 distinct indices in"),
        ({"rankings": {"a": np.zeros(40, dtype=int)}}, "distinct indices"),
        ({"rankings": {"a": np.arange(40) + 30}}, r"in \[0, 40\)"),
        ({"rankings": {"a": np.arange(40.0)}}, "distinct indices"),
        ({"rankings": {"a": [[1], [2, 3]]}}, "distinct indices"),
        ({"rankings": {"a": None}}, "distinct indices"),
        ({"amounts": []}, "amounts must be counts"),
        ({"amounts": [0]}, "amounts must be counts"),
        ({"amounts": [0.5]}, "not fractions"),
        ({"amounts": [40]}, "0 to n_train - 1 = 39"),
        ({"amounts": [-1, 3]}, "amounts must be counts"),
        ({"amounts": 7}, "amounts must be counts"),
        ({"amounts": {}}, "amounts must be counts by schedule"),
        ({"amounts": {"epoch": [3]}}, "Did you mean 'epochs'"),
        ({"seeds": ()}, "seeds must be distinct integers"),
        ({"seeds": (2, 2)}, "seeds must be distinct integers"),
        ({"seeds": (1, 2)}, "other than reference_seed"),
        ({"seeds": 3}, "seeds must be distinct integers"),
        ({"seeds": (-2,)}, "seeds must be distinct integers"),
        ({"whole": 0}, "whole must be an integer >= 1"),
        ({"tag": None}, "tag must be a string"),
        ({"features": {}}, "features must be a non-empty mapping"),
        ({"distances": {"d": 3}}, "distances must be a non-empty mapping"),
        ({"n_jobs": 0}, "n_jobs must be an integer >= 1"),
        ({"verbose": 1}, "verbose must be True or False"),
    ],
)
def test_a_wrong_argument_gives_one_clear_error(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        toy.experiment(**changed)


def test_amounts_for_both_schedules_are_sorted_and_counted_once() -> None:
    plan = toy.experiment(amounts=[8, 0, 4, 8]).plan
    assert plan.amounts == {"epochs": [4, 8], "steps": [4, 8]}
    assert plan.whole == 8
