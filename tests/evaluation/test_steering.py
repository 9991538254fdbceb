"""The reconstruction task: planted renderer, slow loops, killed sessions, and what may not pass."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from ellipse_renderer import PAIR, EllipseRenderer
from torch import Tensor

from pxgen_plugins.axes import Axis, dimensions
from pxgen_plugins.evaluation import (
    ReconstructionTask,
    RotatedCodes,
    TaskLog,
    compare_representations,
    counterbalance,
)
from pxgen_plugins.evaluation.steering import HOSTS, IoU, Overlap, Tolerance
from pxgen_plugins.evaluation.steering.comparison import randomisation_test
from pxgen_plugins.models.base import GenerativeModel
from pxgen_plugins.testing.examples import LinearModel
from pxgen_plugins.utils.errors import CapabilityError, ParameterError, PXGenWarning

HOSTILE = "<script>alert(1)</script>|`x`\x1b[31m\u202e$x^2$"


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def linear_task(**options: Any) -> ReconstructionTask:
    model = LinearModel()
    settings = {"n_questions": 4, "goal": 0.97, **options}
    return ReconstructionTask(model, model.sample(40, seed=0), **settings)


@pytest.fixture(name="planted", scope="module")
def _planted() -> SimpleNamespace:
    model = EllipseRenderer()
    tasks = {
        label: ReconstructionTask(one, model.pictures, n_questions=40, goal=0.9, label=label)
        for label, one in (
            ("factors", model),
            ("pair", RotatedCodes(model, PAIR)),
            ("all", RotatedCodes(model)),
        )
    }
    return SimpleNamespace(model=model, tasks=tasks)


def test_a_sweeper_sees_that_all_factors_are_mixed_and_not_that_two_like_ones_are(planted):
    found = compare_representations(list(planted.tasks.values()))
    assert [s.value("solved") for s in found.summaries.values()] == [1.0] * 3
    mixture = found.row("drags", "all")
    assert mixture["ratio"] >= 1.4
    assert mixture["ratio_low"] > 1
    assert mixture["p_value"] < 0.01
    pair = found.row("drags", "pair")
    assert pair["ratio_low"] < 1 < pair["ratio_high"] < mixture["ratio"]


def test_a_random_walker_solves_at_most_a_tenth(planted):
    summary = planted.tasks["factors"].simulate("random").summary()
    assert summary.value("solved") <= 0.1
    assert {row["drags"] for row in summary.questions if not row["solved"]} == {200}


def test_whoever_knows_the_slopes_needs_far_fewer_drags(planted):
    task = planted.tasks["factors"]
    summary = task.simulate("gradient", noise=0.0).summary()
    assert summary.value("solved") == 1.0
    assert summary.value("drags") < 12 < 18 < task.simulate("sweeper").summary().value("drags")


def test_the_rotated_model_has_the_same_pictures_goal_and_targets(planted):
    model = planted.model
    x = model.pictures[:50]
    for seed in range(3):
        other = RotatedCodes(model, seed=seed)
        codes = model.encode(x)[0]
        torch.testing.assert_close(other.decode(other.embed(x)), model.decode(codes))
        np.testing.assert_allclose(other.rotation @ other.rotation.T, np.eye(4), atol=1e-12)
        gram = other.embed(x) @ other.embed(x).T
        torch.testing.assert_close(gram, codes @ codes.T, atol=1e-5, rtol=0)
    some = RotatedCodes(model, dimensions=[3, 1]).embed(x)
    torch.testing.assert_close(some[:, [0, 2]], codes[:, [0, 2]])
    torch.testing.assert_close(some[:, [1, 3]].norm(dim=1), codes[:, [1, 3]].norm(dim=1))
    assert (some[:, [1, 3]] - codes[:, [1, 3]]).abs().max() > 0.1
    for wrong in ({"rotation": 2 * np.eye(4)}, {"dimensions": [4]}, {"rotation": "x"}):
        with pytest.raises(ParameterError, match=f"RotatedCodes: {next(iter(wrong))} must be"):
            RotatedCodes(model, **wrong)
    own, turned = (ReconstructionTask(m, x, n_questions=8) for m in (model, other))
    assert own.goal == pytest.approx(turned.goal, abs=1e-5)
    assert own.targets == turned.targets
    for one, two in zip(own.questions, turned.questions, strict=True):
        torch.testing.assert_close(one.picture, two.picture, atol=1e-5, rtol=0)


def test_the_goal_is_the_median_agreement_of_two_posterior_draws():
    """By more draws than the task takes, of the same anchors."""
    for spread in (0.02, 0.2):
        model = EllipseRenderer(spread=spread)
        goal = ReconstructionTask(model, model.pictures, n_questions=2).goal
        rng = torch.Generator().manual_seed(1)
        codes = model.factors.repeat(5, 1)
        one, other = (
            model.decode(codes + spread * torch.randn(codes.shape, generator=rng)) for _ in (0, 1)
        )
        assert goal == pytest.approx(Overlap()(one, other).median().item(), abs=0.25 * (1 - goal))


def test_targets_can_be_reached_and_starts_differ_in_every_slider(planted):
    for seed, task in itertools.product(range(3), ("factors", "all")):
        known = planted.tasks[task]
        new = ReconstructionTask(
            known.model, planted.model.pictures, n_questions=20, seed=seed, goal=0.9
        )
        span = new.sliders.span
        for at, question in enumerate(new.questions):
            assert (np.abs(question.start - question.target) >= 0.1 * span).all()
            for place in (question.start, question.target):
                assert (place >= new.sliders.low).all()
                assert (place <= new.sliders.high).all()
            x = new.pictures([question.target, question.start], at)
            agreement = Overlap()(x, question.picture.expand_as(x)).numpy()
            assert agreement[0] > 0.999
            assert agreement[1] < 0.899
        assert len({question.anchor for question in new.questions}) == 20


def slow_measures(rows: list[dict[str, Any]], low: Any, high: Any) -> dict[str, float]:
    """The measures of one question, row by row, in plain Python."""
    drags, distance, switches, turns = 0, 0.0, 0, 0
    time = area = 0.0
    slider, direction, last, free = None, 0, None, True
    for before, row in itertools.pairwise(rows):
        gap = row["t"] - before["t"]
        if gap < 3.0:
            time += gap
            area += gap * (1 - before["agreement"])
        if row["event"] == "end":
            break
        places = zip(before["positions"], row["positions"], low, high, strict=True)
        moves = [(b - a) / (end - begin) for a, b, begin, end in places]
        distance += sum(map(abs, moves))
        if any(moves):
            j = max(range(len(moves)), key=lambda i: abs(moves[i]))
            if free or j != slider:
                drags += 1
                switches += last is not None and last != j
                last = j
            turns += j == slider and moves[j] * direction < 0
            slider, direction, free = j, moves[j], False
        free = free or row["release"]
    return {
        "solved": float(rows[-1]["status"] == "solved"),
        "seconds": time,
        "drags": drags,
        "distance": distance,
        "error_auc": area / time if time else 1 - rows[0]["agreement"],
        "switches": switches,
        "turns": turns,
    }


def test_a_summary_is_what_a_slow_loop_says():
    task = linear_task()
    clock = Clock()
    rng = np.random.default_rng(0)
    with task.session(clock=clock) as session:
        session.start(consent=True)
        for question in task.questions:
            for _ in range(40):
                clock.now += float(rng.choice([0.0, 0.2, 1.0, 2.999, 3.0, 50.0]))
                place = np.array(session.state()["positions"])
                j = rng.integers(3)
                place[j] = rng.uniform(task.sliders.low[j], task.sliders.high[j])
                session.step(place, release=bool(rng.random() < 0.4))
            if not session.over and rng.random() < 0.5 and session.state()["may_skip"]:
                session.skip()
            session.step(question.target)
            session.next()
    logs = [session.log, task.simulate("sweeper", seed=1), task.simulate("random", budget=7)]
    for log in logs:
        summary = log.summary()
        for row in summary.questions:
            rows = [r for r in log.rows if r.get("question") == row["question"]]
            wanted = slow_measures(rows, log.about["low"], log.about["high"])
            assert {name: row[name] for name in wanted} == pytest.approx(wanted)
        for row in summary.measures:
            values = [r[row["measure"]] for r in summary.questions]
            assert row["mean"] == pytest.approx(np.mean(values))
            assert row["median"] == pytest.approx(np.median(values))
            assert row["low"] <= row["mean"] + 1e-9
            assert row["mean"] <= row["high"] + 1e-9
        for name in ("drags", "distance"):
            total = sum(r[name] for r in summary.per_axis)
            assert total == pytest.approx(summary.value(name))


def test_a_log_gives_every_agreement_again(tmp_path):
    model = RotatedCodes(EllipseRenderer(60))
    shapes = ReconstructionTask(model, model.wrapped.pictures, n_questions=4)
    for task, user in ((shapes, "sweeper"), (linear_task(), "gradient")):
        log = task.simulate(user, budget=20)
        log.write(tmp_path / "log.jsonl")
        again = TaskLog.read(tmp_path / "log.jsonl")
        assert again.rows == log.rows
        assert again.about == log.about
        kept = [row["agreement"] for row in again.rows if "agreement" in row]
        np.testing.assert_allclose(task.replay(again), kept, atol=1e-6)
        assert task.simulate(user, budget=20).rows == log.rows
    with pytest.raises(ParameterError, match="one that differs in seed"):
        linear_task(seed=1).replay(linear_task().simulate())


KILLED = """
import os, signal, sys
sys.path[:0] = [sys.argv[2], sys.argv[2] + '/examples']
from tests.evaluation.test_steering import linear_task
session = linear_task().session(sys.argv[1], participant=3)
session.start(consent=True)
session.step(session.task.questions[0].target)
session.next()
state = session.state()
middle = [(a + b) / 2 for a, b in zip(state["low"], state["high"])]
session.step([middle[0], *state["positions"][1:]], release=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_session_goes_on_where_it_was(tmp_path):
    path = tmp_path / "folder" / "log.jsonl"
    command = [sys.executable, "-W", "ignore", "-c", KILLED, path, Path(__file__).parents[2]]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert path.stat().st_mode & 0o077 == 0
    before = path.read_bytes()
    path.write_bytes(before + b'{"event":"step","t":9')  # and the disk kept half a line
    task, clock = linear_task(), Clock()
    with pytest.raises(ParameterError, match="differs in participant"):
        task.session(path)
    with task.session(path, participant=3, clock=clock) as session:
        with pytest.raises(ParameterError, match="in use"):
            task.session(path, participant=3)
        state = session.start(consent=True)
        assert (state["index"], state["solved"], state["n"]) == (1, False, 4)
        middle = (task.sliders.low + task.sliders.high) / 2
        assert state["positions"][0] == pytest.approx(middle[0])
        active = state["active"]
        clock.now += 1.0
        assert session.step(state["positions"])["active"] == pytest.approx(active + 1.0)
        for question in task.questions[1:]:
            state = session.step(question.target)
            assert state["solved"]
            session.next()
        assert session.state()["done"]
        session.answer(ease=6, plan=4)
    assert path.read_bytes().startswith(before)
    log = TaskLog.read(path)
    assert log.rows == session.log.rows
    assert [trial.status for trial in log.trials] == ["solved"] * 4
    assert log.answers == {"ease": 6, "plan": 4}
    assert [row["event"] for row in log.rows].count("resume") == 1
    assert log.rows[0] == {"event": "consent", "t": 0.0}
    for other in (linear_task(seed=2), linear_task(goal=0.9), linear_task(axes=2)):
        with pytest.raises(ParameterError, match="new, or of the same task"):
            other.session(path, participant=3)
    assert path.read_bytes().startswith(before)


def test_a_file_that_is_no_log_is_not_touched(tmp_path):
    good = linear_task().simulate().to_jsonl().splitlines()
    head, start, step = good[:3]
    wrong = {
        "text": "my notes",
        "other": '{"a": 1}\n',
        "version": head.replace("steering 1", "steering 2") + "\n",
        "no number": "\n".join([head, start.replace('"agreement":', '"agreement":NaN,"x":'), ""]),
        "beyond": "\n".join([head, start.replace('"question":0', '"question":99'), ""]),
        "order": "\n".join([head, step, ""]),
        "short": "\n".join([head, json.dumps({**json.loads(start), "positions": [0.0]}), ""]),
        "deep": "[" * 100_000 + "\n",
        "huge number": "\n".join([head, start.replace('"t":0.0', '"t":1e999'), ""]),
    }
    for name, text in wrong.items():
        path = tmp_path / name
        path.write_text(text)
        for read in (TaskLog.read, linear_task().session):
            if name == "text" and read is TaskLog.read:
                continue
            with pytest.raises(ParameterError, match="path must be"):
                read(path)
        assert path.read_text() == text
    (tmp_path / "folder").mkdir()
    with pytest.raises((ParameterError, OSError)):
        linear_task().session(tmp_path / "folder")


def test_the_page_can_skip_after_thirty_seconds_of_active_time_and_sliders_lock():
    clock = Clock()
    task = linear_task()
    session = task.session(clock=clock)
    with pytest.raises(ParameterError, match=r"begun.*Call start"):
        session.step([0, 0, 0])
    with pytest.raises(ParameterError, match=r"consent must be True"):
        session.start()
    state = session.start(consent=True)
    assert {"question", "target", "z", "agreement", "goal", "solved", "index", "n"} <= set(state)
    assert state["target"].shape == state["picture"].shape == (1, 8, 8)
    for _ in range(20):
        clock.now += 100.0  # somebody is away
        state = session.step(state["positions"])
    assert state["active"] == 0.0
    with pytest.raises(ParameterError, match=r"skip must be called after 30 s of active time"):
        session.skip()
    for _ in range(15):
        clock.now += 2.0
        assert not state["may_skip"]
        state = session.step(state["positions"])
    assert state["may_skip"]
    with pytest.raises(ParameterError, match="when the question is over"):
        session.next()
    state = session.skip()
    assert state["over"]
    assert not state["solved"]
    rows = len(session.log.rows)
    assert session.step(task.questions[0].target)["agreement"] == state["agreement"]
    assert len(session.log.rows) == rows
    state = session.next()
    assert (state["index"], state["active"], state["over"]) == (1, 0.0, False)
    for wrong in ([0, 0], [0, 0, np.nan], "abc", [0, 0, 1e9], None, [[0, 0, 0]], {}):
        with pytest.raises(ParameterError, match=r"TaskSession.step: positions must be 3 numbers"):
            session.step(wrong)
    for wrong_answer in ({"ease": 8}, {"plan": 0}, {"name": 3}, {"ease": "Ann"}):
        with pytest.raises(ParameterError):
            session.answer(**wrong_answer)


def test_agreement_is_what_other_tools_say():
    from sklearn.metrics import jaccard_score

    rng = np.random.default_rng(0)
    a, b = rng.random((2, 6, 5, 5)).astype(np.float32)
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    slow = [
        1 - sum(abs(p - q) for p, q in zip(u, v, strict=True)) / (0.01 + sum(u) + sum(v))
        for u, v in zip(a.reshape(6, -1).tolist(), b.reshape(6, -1).tolist(), strict=True)
    ]
    np.testing.assert_allclose(Overlap()(x, y), slow, rtol=1e-6)
    np.testing.assert_allclose(Overlap(-1.0)(2 * x - 1, 2 * y - 1), [
        1 - 2 * np.abs(u - v).sum() / (0.01 + 2 * u.sum() + 2 * v.sum())
        for u, v in zip(a.astype(float), b.astype(float), strict=True)
    ], rtol=1e-5)  # fmt: skip
    wanted = [jaccard_score(v.ravel() > 0.5, u.ravel() > 0.5) for u, v in zip(a, b, strict=True)]
    np.testing.assert_allclose(IoU()(x, y), wanted)
    close = [(np.abs(u - v) <= 0.3).mean() for u, v in zip(a, b, strict=True)]
    np.testing.assert_allclose(Tolerance(0.3)(x, y), close)
    assert IoU()(torch.zeros(1, 3), torch.zeros(1, 3)).tolist() == [1.0]


def test_the_test_of_paired_differences_is_scipys():
    from scipy.stats import permutation_test

    rng = np.random.default_rng(0)
    for n, tolerance in ((6, 1e-12), (30, 0.02)):
        pairs = rng.normal(0.4, 1, n)
        wanted = permutation_test(
            (pairs, np.zeros(n)), lambda a, b: np.mean(a - b), permutation_type="samples",
            n_resamples=20_000, rng=np.random.default_rng(1),
        ).pvalue  # fmt: skip
        assert randomisation_test(pairs, 20_000, 0) == pytest.approx(wanted, abs=tolerance)


def test_orders_are_balanced():
    for n in range(1, 8):
        orders = np.array([counterbalance(range(n), p) for p in range(n if n % 2 == 0 else 2 * n)])
        for place in range(n):
            counts = np.bincount(orders[:, place], minlength=n)
            assert (counts == len(orders) // n).all()
        follows = np.zeros((n, n), dtype=int)
        for order in orders:
            for a, b in itertools.pairwise(order):
                follows[a, b] += 1
        assert len(set(follows[~np.eye(n, dtype=bool)].tolist())) <= 1


class Wide(GenerativeModel):
    """40 dimensions, of which dimension j moves one pixel by ``weights[j]``."""

    capabilities = frozenset({"embed", "decode"})
    sample_shape = latent_shape = (40,)
    data_range = (0.0, 1.0)

    def __init__(self, weights: Any) -> None:
        self.weights = torch.as_tensor(weights, dtype=torch.float32)

    def embed(self, x: Tensor) -> Tensor:
        return x

    def decode(self, z: Tensor) -> Tensor:
        return z * self.weights


def test_many_dimensions_are_offered_as_the_most_visible_ones():
    rng = np.random.default_rng(0)
    strong = np.sort(rng.choice(40, 12, replace=False))
    weights = np.where(np.isin(np.arange(40), strong), 1.0, 0.01)
    model, x = Wide(weights), rng.random((30, 40)).astype(np.float32)
    options: dict[str, Any] = {"goal": 0.99, "n_questions": 3}
    with pytest.warns(PXGenWarning, match="of 40 latent dimensions the 12 most visible ones"):
        task = ReconstructionTask(model, x, **options)
    assert task.sliders.labels == [f"z{j}" for j in strong]
    every = ReconstructionTask(model, x, axes=40, **options)
    assert [row["axis"] for row in every.table() if row["active"]] == task.sliders.labels
    # what no slider moves is the target's own
    for question, state in zip(task.questions, (0, 1, 2), strict=True):
        start = task.pictures([question.start], state)[0].numpy()
        others = np.setdiff1d(np.arange(40), strong)
        np.testing.assert_allclose(start[others], question.picture.numpy()[others], atol=1e-6)
        assert (np.abs(start[strong] - question.picture.numpy()[strong]) > 0.05).all()


def test_axes_of_a_user_need_not_be_orthogonal_and_may_keep_to_the_shell():
    rng = np.random.default_rng(1)
    model, x = Wide(np.ones(40)), rng.random((30, 40)).astype(np.float32)
    vectors = rng.normal(size=(3, 40))
    for keep in ("free", "shell"):
        axes = [Axis(f"a{i}", v, scale=0.5, keep=keep) for i, v in enumerate(vectors)]
        task = ReconstructionTask(model, x, axes=axes, goal=0.99, n_questions=5)
        for at, question in enumerate(task.questions):
            np.testing.assert_allclose(
                task.pictures([question.target], at)[0], x[question.anchor], atol=1e-5
            )
            norms = np.linalg.norm(task.pictures([question.start, question.target], at), axis=1)
            assert (norms[0] == pytest.approx(norms[1], rel=1e-5)) == (keep == "shell")
    twice = [*axes, Axis("sum", vectors[0] + vectors[1])]
    with pytest.raises(ParameterError, match="linearly independent"):
        ReconstructionTask(model, x, axes=twice, goal=0.9)


def test_a_dead_dimension_has_a_slider_and_is_counted():
    class Half(LinearModel):
        def decode(self, z: Tensor) -> Tensor:
            return super().decode(z * torch.tensor([1.0, 0.0, 1.0]))

    model = Half()
    task = ReconstructionTask(model, model.sample(40, seed=0), goal=0.97)
    assert [row["active"] for row in task.table()] == [True, False, True]
    assert "3 sliders, 2 active" in repr(task)
    assert "2 of 3 sliders change the picture" in task.simulate().summary().to_markdown()


def test_logs_of_people_are_averaged_by_question_and_compared():
    model = LinearModel()
    x = model.sample(40, seed=0)
    tasks = [
        ReconstructionTask(one, x, n_questions=6, goal=0.97, label=label)
        for label, one in (("own", model), ("turned", RotatedCodes(model)))
    ]
    logs = [task.simulate(seed=seed) for seed in range(3) for task in tasks]
    found = compare_representations(logs)
    row = found.row("drags")
    each = [[t.measures()["drags"] for t in log.trials] for log in logs]
    own, turned = (np.mean(each[start::2], axis=0) for start in (0, 1))
    assert row["n"] == 6
    assert row["difference"] == pytest.approx((turned - own).mean())
    assert row["ratio"] == pytest.approx(turned.mean() / own.mean())
    assert found.summaries["own"].about["n_logs"] == 3
    easy = ReconstructionTask(model, x, n_questions=6, goal=0.9, label="easy")
    with pytest.warns(PXGenWarning, match="goals from 0.9 to 0.97 make questions unequally hard"):
        compare_representations([tasks[0], easy], budget=5)
    other = ReconstructionTask(model, x, n_questions=6, goal=0.97, label="other", seed=1)
    for wrong in ([tasks[0]], [tasks[0], other], [tasks[0], 3], "ab", tasks[0]):
        with pytest.raises(ParameterError, match="compare_representations: tasks must be"):
            compare_representations(wrong, budget=2)


def test_names_are_shown_inert(tmp_path):
    axes = [Axis(HOSTILE, axis.vector) for axis in dimensions((3,))]
    one, other = (linear_task(label=HOSTILE + sign, axes=axes) for sign in "ab")
    log = one.simulate(budget=3)
    found = compare_representations([log, other], budget=3)
    shown = [
        one._repr_html_(), log._repr_html_(), found._repr_html_(), found.to_markdown(),
        log.to_markdown(), repr(one),
    ]  # fmt: skip
    for text in shown:
        assert not {"\x1b", "\u202e"} & set(text)
        assert text is shown[-1] or "<script" not in text
    log.write(tmp_path / "log.jsonl")
    assert TaskLog.read(tmp_path / "log.jsonl").label == HOSTILE + "a"


def test_a_user_of_ones_own_drags_looks_and_gives_up():
    task = linear_task()

    def cheat(hand: Any) -> None:
        question = next(q for q in task.questions if np.allclose(q.start, hand.positions))
        assert hand.look(question.target)[0] == pytest.approx(1.0)
        for j in range(3):
            place = hand.positions.copy()
            place[j] = question.target[j]
            hand.move(place)
        pytest.fail("the question was over")

    summary = task.simulate(cheat, noise=0.0).summary()
    assert summary.value("solved") == 1.0
    assert summary.value("drags") <= 3
    assert summary.about["user"] == "cheat"
    for wrong in ([0, 0], [[0, 0, 1e9]], "abc", [np.nan] * 3):
        with pytest.raises(ParameterError, match="positions must be 3 numbers inside the limits"):
            task.simulate(lambda hand, wrong=wrong: hand.move(wrong))
    idle = task.simulate(lambda hand: None)
    assert [trial.status for trial in idle.trials] == ["skipped"] * 4
    assert idle.summary().value("drags") == 0


def test_play_needs_a_host_and_gives_it_a_session(monkeypatch):
    task = linear_task()
    monkeypatch.setattr(HOSTS, "_items", {})
    with pytest.raises(ParameterError, match=r"import pxgen_plugins\.explorer"):
        task.play()

    def show(session: Any, speed: int) -> None:
        session.start(consent=True)
        for question in task.questions[:speed]:
            session.step(question.target)
            session.next()

    HOSTS.register("script")(show)
    assert task.play(speed=2).summary().value("solved") == pytest.approx(2 / 3)


def test_what_does_not_fit_is_refused_by_name():
    model = LinearModel()
    x = model.sample(40, seed=0)

    class NoPosterior(LinearModel):
        capabilities = frozenset({"embed", "decode"})

        def embed(self, x: Tensor) -> Tensor:
            return LinearModel.encode(self, x)[0]

    class Blind(LinearModel):
        capabilities = frozenset({"decode"})

    class Sampler(LinearModel):
        capabilities = frozenset({"sample"})

    class Unbounded(LinearModel):
        data_range = None  # type: ignore[assignment]

    cases: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
        (
            NoPosterior(),
            {},
            ParameterError,
            "got None, and NoPosterior has no posterior",
        ),
        (Blind(), {}, CapabilityError, "embed"),
        (Sampler(), {}, CapabilityError, "decode"),
        (Unbounded(), {"agreement": "iou"}, ParameterError, "agreement must be"),
        (model, {"n_questions": 21}, ParameterError, "at least 42 usable anchors"),
        (model, {"agreement": "overlaps"}, ParameterError, "Did you mean 'overlap'"),
        (model, {"goal": 0.01}, ParameterError, "above the agreement of the starts"),
        (model, {"goal": 1.5}, ParameterError, "goal must be"),
        (model, {"limits": (0.9, 0.1)}, ParameterError, "limits must be two rising quantiles"),
        (model, {"limits": 3}, ParameterError, "limits must be two rising quantiles"),
        (model, {"axes": 4}, ParameterError, "axes must be an integer >= 1 and <= 3"),
        (model, {"axes": ["z0"]}, ParameterError, "axes must be axes"),
        (model, {"axes": "z0"}, ParameterError, "axes must be axes"),
        (model, {"axes": True}, ParameterError, "axes must be an integer"),
        (model, {"axes": dimensions((5,))}, ParameterError, r"of shape \(3,\)"),
        (model, {"agreement": lambda a, b: 3}, ParameterError, "returns . numbers|numbers in"),
        (model, {"agreement": lambda a, b: a.sum()}, ParameterError, "numbers in"),
        (model, {"agreement": lambda a, b: "x"}, ParameterError, "numbers in"),
    ]
    for one, options, error, text in cases:
        with pytest.raises(error, match=text) as caught:
            ReconstructionTask(one, x, **options)
        assert str(caught.value).startswith("ReconstructionTask: ")
    with pytest.raises(ParameterError, match="at least 10 usable anchors; got 0"):
        ReconstructionTask(model, x[:0])
    assert ReconstructionTask(model, x, goal=0.97, axes=dimensions((3,))[1]).sliders.labels == [
        "z1"
    ]
    task = linear_task()
    for wrong_call in (([[0.0]], 0), ([[0.0] * 3], 4), ([0.0] * 3, 0)):
        with pytest.raises(ParameterError, match=r"ReconstructionTask\.pictures: "):
            task.pictures(*wrong_call)
    for options in ({"user": "sweep"}, {"noise": -1}, {"budget": 0}, {"noise": float("nan")}):
        with pytest.raises(ParameterError):
            task.simulate(**options)
    holes = x.clone()
    holes[3] = torch.nan
    with pytest.warns(PXGenWarning, match="1 anchors cannot be used"):
        part = ReconstructionTask(model, holes, n_questions=19, goal=0.97)
    assert 3 not in {question.anchor for question in part.questions}


def test_two_models_of_other_scales_are_asked_for_the_same_anchors():
    class Signed(LinearModel):
        data_range = (-1.0, 1.0)

        def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return super().encode((x + 1) / 2)

        def decode(self, z: Tensor) -> Tensor:
            return 2 * super().decode(z) - 1

    x = (255 * LinearModel().sample(40, seed=0)).to(torch.uint8).numpy()
    tasks = [
        ReconstructionTask(model, x, n_questions=4, label=label)
        for label, model in (("one", LinearModel()), ("other", Signed()))
    ]
    assert tasks[0].goal == pytest.approx(tasks[1].goal, abs=1e-4)  # the ground is each one's own
    found = compare_representations(tasks, noise=0.0)
    assert {row["measure"]: row["ratio"] for row in found.rows}["drags"] == pytest.approx(
        1, abs=0.1
    )


def test_a_change_of_a_columns_unit_changes_no_agreement():
    class Table(GenerativeModel):
        capabilities = frozenset({"embed", "decode"})
        sample_shape = latent_shape = (2,)
        columns = ("a", "b")

        def __init__(self, unit: float) -> None:
            self.unit = torch.tensor([1.0, unit])

        def features(self, x: Tensor) -> Tensor:
            return x / self.unit

        def embed(self, x: Tensor) -> Tensor:
            return x / self.unit

        def decode(self, z: Tensor) -> Tensor:
            return z * self.unit

    x = np.random.default_rng(0).random((20, 2)).astype(np.float32)
    logs = [
        ReconstructionTask(
            Table(unit), x * [1.0, unit], n_questions=3, goal=0.98, agreement=agreement
        ).simulate(noise=0.0, budget=10)
        for unit in (1.0, 1000.0)
        for agreement in ("overlap", Tolerance(0.02))
    ]
    for one, other in zip(logs[:2], logs[2:], strict=True):
        for a, b in zip(one.trials, other.trials, strict=True):
            np.testing.assert_allclose(a.agreement, b.agreement, atol=1e-4)


def test_batches_do_not_change_the_task():
    model = EllipseRenderer(60)
    one, other = (
        ReconstructionTask(model, model.pictures, n_questions=4, batch_size=size)
        for size in (1, 256)
    )
    assert one.goal == pytest.approx(other.goal, abs=1e-6)
    for a, b in zip(one.questions, other.questions, strict=True):
        np.testing.assert_allclose(a.start, b.start, atol=1e-6)
        torch.testing.assert_close(a.picture, b.picture)
