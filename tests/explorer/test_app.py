"""``pxgen app`` shows what an audit's settings name, with the thresholds of its run."""

from __future__ import annotations

import numpy as np
import pytest

from pxgen_plugins.audit import app, engine
from pxgen_plugins.audit.settings import load_config
from pxgen_plugins.result import Result
from tests.explorer.settings import SETTINGS

NAMED = f"name: zeros <b>\n{SETTINGS}"


@pytest.fixture
def config(tmp_path):
    (tmp_path / "settings.yaml").write_text(NAMED)
    return load_config(tmp_path / "settings.yaml")


def test_groups_are_those_of_the_audit_whether_it_has_run_or_not(config):
    said: list[str] = []
    fresh = app.open_session(config, said.append).answer("open").content
    assert any(text.startswith("calibrating") for text in said)
    run = engine.audit(config)
    again = app.open_session(config, said.append).answer("open").content
    assert said[-2].startswith("thresholds of ")
    assert again == fresh
    result = Result.of(run.result)
    names = np.array([*again["groups"], "invalid"])
    assert names[again["plane"]["group"]].tolist() == result.group.tolist()
    assert again["title"] == "zeros <b>"
    assert again["anchors"]["labels"] == result.labels.tolist()


def test_of_many_anchors_some_are_shown_and_it_says_so(config, monkeypatch):
    monkeypatch.setattr(app, "_MOST", 10)
    said: list[str] = []
    session = app.open_session(config, said.append)
    assert session.answer("open").content["anchors"]["n"] == 10
    assert "10 of the anchors are shown, evenly spread; sample: picks others" in said
