"""The reconstruction task in the explorer: its questions, from the first to the last."""

from __future__ import annotations

import io
import json
import threading
import time
import urllib.parse
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pxgen_plugins.evaluation import ReconstructionTask
from pxgen_plugins.evaluation.steering import HOSTS
from pxgen_plugins.explorer import Session, server
from pxgen_plugins.testing.examples import LinearModel
from pxgen_plugins.utils.errors import ParameterError
from tests.explorer.conftest import request


def task(n: int = 2) -> ReconstructionTask:
    model = LinearModel()
    return ReconstructionTask(model, model.sample(20, seed=0), n_questions=n, goal=0.97)


def test_a_person_who_knows_the_answers_solves_it():
    questions = task()
    session = Session(task=questions)
    info = session.answer("open").content
    assert "task" in info["tools"]
    assert info["consent"] == questions.consent
    for index, question in enumerate(questions.questions):
        start = session.answer("task_start")
        content = start.content
        assert (content["index"], content["n"], content["solved"]) == (index, 2, False)
        target = np.asarray(Image.open(io.BytesIO(start.buffers[content["target"]["buffer"]])))
        wanted = np.rint(255 * question.picture[0].double().numpy().clip(0, 1))
        np.testing.assert_array_equal(target, wanted)
        again = session.answer("task_start").content  # a page that is loaded again
        assert again["positions"] == content["positions"]
        aim = [float(value) for value in question.target]
        step = session.answer("task_step", z=aim, axis=0).content
        assert step["solved"]
        assert step["done"] == (index == 1)
        assert step["agreement"] >= step["goal"]
    assert session.task.done
    log = session.task.session.log
    assert [trial.status for trial in log.trials] == ["solved", "solved"]


def test_what_a_task_refuses_is_a_sentence():
    session = Session(task=task())
    for message in ({"kind": "task_step", "z": [0.0, 0.0, 0.0]}, {"kind": "task_skip"}):
        assert "begun" in session.handle({"id": 1, **message}).content["error"]
    session.answer("task_start")
    for z in ([0.0], [99.0] * 3):
        answer = session.handle({"id": 1, "kind": "task_step", "z": z}).content
        assert "positions must be" in answer["error"]
    early = session.handle({"id": 1, "kind": "task_skip"}).content
    assert "skip must be called after" in early["error"]
    with pytest.raises(ParameterError, match="a reconstruction task"):
        Session(LinearModel(), task=3)


def test_play_serves_the_questions_until_the_last_one_is_over(monkeypatch):
    assert {"auto", "browser", "notebook"} <= set(HOSTS.names())
    questions, opened = task(1), []
    monkeypatch.setattr(server.webbrowser, "open", opened.append)
    result: list[Any] = []
    person = threading.Thread(target=lambda: result.append(questions.play(host="browser")))
    person.start()
    while not opened:
        time.sleep(0.01)
    url = urllib.parse.urlsplit(opened[0])

    class Page:
        port, token = url.port, url.fragment

    assert request(Page, {"id": 1, "kind": "task_start"})[0] == 200
    aim = [float(value) for value in questions.questions[0].target]
    body = request(Page, {"id": 2, "kind": "task_step", "z": aim})[1]
    assert json.loads(body)["done"]
    person.join(20)
    assert [trial.status for trial in result[0].trials] == ["solved"]
    with pytest.raises(OSError, match="refused"):
        request(Page, {"id": 3, "kind": "task_start"})
