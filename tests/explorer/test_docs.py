"""The page docs/explorer.md runs as it stands, and says what is so."""

from __future__ import annotations

import json

import torch

from pxgen_plugins.explorer import server
from pxgen_plugins.testing.examples import LinearModel
from tests.pages import read_page, run_page

PAGE = read_page("explorer.md")


def test_the_code_of_the_page_runs_and_says_what_it_says(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    space = run_page("explorer.md")
    model, answer = space["model"], space["answer"]
    assert space["picture"].startswith(b"\x89PNG")
    assert len(space["nearest"]) == 5
    assert answer.content["group"] in ("HIHE", "HILE", "LIHE", "LILE")
    for criterion in space["server"].session.answer("open").content["criteria"]:
        name = criterion["name"]
        gap = criterion["threshold"] - answer.content["values"][name]
        assert abs(answer.content["distances"][name] - gap) < 1e-9
    assert tuple(space["instance"].shape) == (1, 1, 28, 28)
    code = torch.tensor([space["anchor"]["z"]])
    code[0, 0] += 1.5
    torch.testing.assert_close(space["instance"], model.decode(code))
    assert space["html"].count("<img") == 70
    assert json.loads(space["state"])["amounts"] == {"0": 1.5}
    assert len(space["session"].scene.axes) == 13


def test_the_numbers_of_the_page_are_those_of_the_server():
    assert f"token of {server._TOKEN} random bytes" in PAGE
    assert server._BODY == 2**20
    assert server._HOST in PAGE
    with server.serve(LinearModel(), open_browser=False) as running:
        assert len(running._http.contents) == 4
