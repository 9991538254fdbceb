"""Descriptions in audits: who may be asked, what it costs, what is kept, what the report says."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pxgen_plugins.audit import engine
from pxgen_plugins.audit.cli import FAILED, PASSED, USAGE, run
from pxgen_plugins.audit.settings import Config, config_of
from pxgen_plugins.describers import frames_of, read_question
from pxgen_plugins.utils.errors import ParameterError
from tests.describers.stub import Stub, completion, pictures_of, send

pytest.importorskip("jinja2")
pytest.importorskip("yaml")
KEY = "sk-of-the-audit/s-test"
HOSTILE = (
    "<script>alert(1)</script> ![x](http://evil.example/a.png) [a](javascript:alert(1)) | `x` "
    "$\\frac{ \u202e'\"><img src=x onerror=alert(2)>"
)
NAMES = ["latent_description", "group_description"]


def answer(handler: Any, request: Any) -> None:
    """Says how brightness goes where it goes steadily, in a sentence that is hostile."""
    text, images = pictures_of(request)
    question = read_question(text)
    light = [[frame.mean() for frame in frames_of(i, question.n_frames)] for i in images]
    if question.task == "match":
        ways = [row[-1] - row[0] for row in light]
        said: dict[str, Any] = {"choice": "ABCDEFGH"[int(np.argmax(ways))]}
    else:
        steps = np.diff(light[0] + light[-1][-1:])
        steady = bool((steps >= 0).all() or (steps <= 0).all()) and abs(steps.sum()) > 1.0
        way = "more" if steps.sum() > 0 else "less"
        said = {
            "changes": bool(steady),
            "attribute": "light",
            "direction": way,
            "sentence": HOSTILE,
        }
    send(200, completion(json.dumps(said) + f" [{KEY}]"))(handler, request)


@pytest.fixture(name="stub")
def _stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    monkeypatch.setenv("AUDIT_KEY", KEY)
    stub = Stub()
    stub.script = [answer]
    yield stub
    stub.close()


def values(folder: Path, stub: Stub, **changes: Any) -> dict[str, Any]:
    describer = {"base_url": stub.url, "model": "m", "key_variable": "AUDIT_KEY", "per_minute": 1e6}
    return {
        "model": {"shipped": "mnist_vae"},
        "anchors": {"shipped": "mnist", "limit": 300},
        "threshold": {"name": "Quantile", "q": 0.99, "n_samples": 100, "n_repeats": 2},
        "adapters": {"names": NAMES, "describer": describer},
        "output": str(folder),
        **changes,
    }


def settings(folder: Path, stub: Any, *names: str) -> Config:
    given = values(folder, stub)
    given["adapters"]["names"] = list(names or NAMES)
    return config_of(given, folder.parent, allow=[stub.url])


def audited(config: Config) -> Any:
    plan, explainer = engine.make_plan(config)
    assert engine.score(config, plan, explainer)
    return engine.finish(config, plan)


class Page(HTMLParser):
    """Collects tags and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found |= {f"{name}={value}" for name, value in attrs}


@pytest.mark.slow
def test_the_report_says_what_was_said_and_paid_and_answers_are_inert(stub, tmp_path):
    audited(settings(tmp_path / "run", stub))
    methods, *tables = json.loads((tmp_path / "run/evidence.json").read_text())
    assert [row[0] for row in methods[1][1:]] == NAMES
    assert [row[-1] for row in methods[1][1:]] == ["", ""]  # both were run
    calls = [int(title.split(": ")[1].split(" calls")[0]) for title, _ in tables]
    assert sum(calls) == len(stub.requests)
    assert [title.split(",")[0] for title, _ in tables] == NAMES
    said = [dict(zip(head, row, strict=True)) for _, (head, *rows) in tables for row in rows]
    assert {one["in words"] for one in said if one["in words"].startswith("no ")} <= {
        "no visible change", "no clear explanation",
    }  # fmt: skip
    hostile = [one for one in said if "<script>" in one["in words"]]
    assert hostile  # which is shown below
    assert all("needed 0.60; finds its film in" in one["how far to believe it"] for one in hostile)
    assert said[-1]["what"] == "HILE against HIHE"
    report = (tmp_path / "run/report.html").read_text()
    assert "&lt;script&gt;alert(1)" in report
    assert "<script>alert" not in report
    assert "\u202e" not in report
    assert not {"src=x", "onerror=alert(2)", "href=javascript:alert(1)"} & Page(report).found
    assert "evil.example/a.png)" not in (tmp_path / "run/summary.md").read_text()
    assert {headers["Authorization"] for headers in stub.headers} == {f"Bearer {KEY}"}
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert {"questions.jsonl"} <= {path.name for path in files}
    assert all(KEY.encode() not in path.read_bytes() for path in files)


KILLED = """
import sys
from pathlib import Path
from types import SimpleNamespace
from tests.audit.test_descriptions import audited, settings
audited(settings(Path(sys.argv[1]), SimpleNamespace(url=sys.argv[2]), "group_description"))
"""


@pytest.mark.slow
def test_an_audit_that_is_killed_while_it_asks_goes_on_where_it_was(stub, tmp_path):
    name = "group_description"
    audited(settings(tmp_path / "whole", stub, name))
    total = len(stub.requests)
    folder, root = tmp_path / "run", Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder), stub.url], cwd=root)
    try:
        end = time.monotonic() + 120
        while len(stub.requests) < total + 30:
            assert process.poll() is None, "it ended before it was killed"
            assert time.monotonic() < end
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    log = folder / "questions" / name / "questions.jsonl"
    kept = log.read_bytes().count(b"\n")
    assert kept >= 20
    before = len(stub.requests)
    audited(settings(folder, stub, name))
    assert len(stub.requests) - before == total - kept
    audited(settings(folder, stub, name))
    assert len(stub.requests) - before == total - kept  # nothing is asked, or paid, again
    for name in ("evidence.json", "evidence.png", "report.html"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_nobody_is_asked_whom_the_command_line_does_not_name(stub, tmp_path, capsys):
    """The settings may be of others: theirs is the address, and the variable that is sent there."""
    path = tmp_path / "audit.yaml"
    path.write_text(json.dumps(values(tmp_path / "run", stub)))
    for allow in ([], ["--allow", "http://127.0.0.1:1/v1"], ["--allow", stub.url + "/more"]):
        assert run(["audit", str(path), "--quiet", *allow]) == USAGE
        words = capsys.readouterr().err
        assert f"--allow {stub.url}" in words
        assert "AUDIT_KEY" in words
        assert KEY not in words
    assert stub.requests == []
    assert run(["audit", str(path), "--plan", "--allow", stub.url]) == PASSED
    assert "the describer: at most 379 calls with 921 pictures" in capsys.readouterr().out
    assert run(["audit", str(path), "--plan", "--json", "--allow", stub.url]) == PASSED
    plan = json.loads(capsys.readouterr().out)
    assert plan["describer"] == {"calls": 379, "images": 921}
    assert stub.requests == []
    far = values(tmp_path / "far", stub)
    far["adapters"]["describer"]["base_url"] = "http://example.org/v1"
    with pytest.raises(ParameterError, match="base_url"):
        engine.make_plan(config_of(far, tmp_path, allow=["http://example.org/v1"]))


def test_without_a_describer_there_is_a_reason(stub, tmp_path):
    given = values(tmp_path / "run", stub, adapters={"names": NAMES})
    audited(config_of(given, tmp_path))
    ((_, rows),) = json.loads((tmp_path / "run/evidence.json").read_text())
    assert all("needs describe" in row[-1] for row in rows[1:])


@pytest.mark.slow
def test_fresh_forgets_the_answers_and_no_link_leads_out_of_the_folder(stub, tmp_path):
    path, folder = tmp_path / "audit.yaml", tmp_path / "run"
    adapters = {**values(folder, stub)["adapters"], "names": ["group_description"]}
    path.write_text(json.dumps(values(folder, stub, adapters=adapters)))
    command = ["audit", str(path), "--quiet", "--allow", stub.url]
    assert run(command) != USAGE
    total = len(stub.requests)
    assert run(command) != USAGE
    assert len(stub.requests) == total
    assert run([*command, "--fresh"]) != USAGE
    assert len(stub.requests) == 2 * total
    elsewhere = tmp_path / "elsewhere"
    (folder / "questions").rename(elsewhere)
    (folder / "questions").symlink_to(elsewhere)
    before = (elsewhere / "group_description/questions.jsonl").read_bytes()
    assert run(command) in (USAGE, FAILED)
    assert (elsewhere / "group_description/questions.jsonl").read_bytes() == before
