"""Every committed number has a command, and what moved is told from what did not."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from result_changes import changes_of_files, changes_of_table
from results import COMMANDS, Command

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
FILES = {path.name for path in RESULTS.iterdir()}


def names(key: str) -> list[str]:
    return [name for command in COMMANDS for name in getattr(command, key)]


def test_every_file_of_the_results_is_made_by_exactly_one_command():
    pages = {Path(page).name for page in names("tables")}
    written = names("files")
    assert len(written) == len(set(written))
    assert set(written) | pages == FILES
    assert set(written) & pages == set()
    folders = (ROOT / "docs/images", ROOT / "docs/gallery")
    pictures = {path.relative_to(ROOT).as_posix() for one in folders for path in one.iterdir()}
    assert sorted(names("pictures")) == sorted(pictures)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_page_names_the_command_that_makes_it(command: Command):
    pages = [name for name in command.files if name.endswith(".md")]
    pages += [Path(page).name for page in command.tables]
    for name in pages:
        assert f"`{command.words}" in (RESULTS / name).read_text("utf-8"), name


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_command_names_a_script_and_options_that_it_has(command: Command, monkeypatch):
    program, script, *options = shlex.split(f"{command.words} {command.quick} --output here")
    assert program == "python"
    source = (ROOT / script).read_text("utf-8")
    for option in options:
        if option.startswith("--"):
            assert f'"{option}"' in source, option


def test_what_pages_say_of_scripts_and_targets_is_there():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        text = page.read_text("utf-8")
        for script in re.findall(r"`python ((?:examples|benchmarks)/\w+\.py)", text):
            assert (ROOT / script).exists(), f"{page.name}: {script}"
        for target in re.findall(r"`make ([a-z][\w-]*)", text):
            assert target in targets, f"{page.name}: make {target}"
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


OLD: dict[str, Any] = {
    "rows": [{"case": "zeros", "share": 0.96, "interval": [0.95, 0.968], "seconds": 3.0}],
    "fractions": {"HIHE": 0.5, "HILE": 0.2},
    "intervals": {"HIHE": [0.4, 0.6], "HILE": [0.1, 0.3]},
    "rise_mean": 1.0,
    "rise_low": 0.5,
    "rise_high": 1.5,
    "passed": True,
}


def changed(tmp_path: Path, new: dict[str, Any]) -> list[str]:
    for name, content in (("old", OLD), ("new", new)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    found = changes_of_files(tmp_path / "old.json", tmp_path / "new.json", ("seconds",))
    return [str(change) for change in found if change.moved(1e-6)]


def test_numbers_of_json_are_compared_with_the_intervals_beside_them(tmp_path):
    assert changed(tmp_path, OLD) == []
    new = json.loads(json.dumps(OLD))
    new["rows"][0] |= {"share": 0.94, "seconds": 30.0}
    new["fractions"] |= {"HIHE": 0.55, "HILE": 0.2 * (1 + 1e-9)}
    new |= {"rise_mean": 1.2, "passed": False, "more": 1}
    assert changed(tmp_path, new) == [
        "old.json.rows[0: zeros].share: 0.96 -> 0.94, outside its interval 0.95 to 0.968",
        "old.json.fractions.HIHE: 0.5 -> 0.55, inside its interval 0.4 to 0.6",
        "old.json.rise_mean: 1 -> 1.2, inside its interval 0.5 to 1.5",
        "old.json.passed: True -> False",
        "old.json.more: False -> True",
    ]


PAGE = """# Shares

Words around it, 17 of them.

| digit | HIHE (95%) | s |
|--:|--:|--:|
| 0 | 96.0% (95.0 to 96.8) | 3.1 |
| 1 | 2,641 [-0.5, 3,000] | 4 |

Made by `python examples/old.py`.
"""


def test_numbers_of_tables_are_compared_line_by_line(tmp_path):
    page, new = tmp_path / "page.md", tmp_path / "new.md"
    page.write_text(PAGE)
    table = "\n".join(line for line in PAGE.splitlines() if line.startswith("|"))
    new.write_text(table.replace("| 3.1 |", "| 9.9 |"))
    assert list(changes_of_table(page, new, ("s",))) == []
    new.write_text(table.replace("96.0%", "94.0%").replace("2,641", "2,642"))
    assert [str(change) for change in changes_of_table(page, new)] == [
        "page.md, line 3 (0|96.0% (95.0 to 96.8)|3.1): 96 -> 94, outside its interval 95 to 96.8",
        "page.md, line 4 (1|2,641 [-0.5, 3,000]|4): 2641 -> 2642, inside its interval -0.5 to 3000",
    ]
    new.write_text(table.replace("| digit |", "| label |"))
    (change,) = changes_of_table(page, new)
    assert "no table with this header" in str(change)
    new.write_text(PAGE.replace("old.py", "other.py").replace("17", "18"))
    (change,) = changes_of_files(page, new)
    assert str(change) == "page.md, line 2 (Words around it, 17 of them.): 17 -> 18"


SCRIPT = """
import argparse, json, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--value", type=float)
parser.add_argument("--output", type=pathlib.Path)
given = parser.parse_args()
if given.value < 0:
    raise SystemExit(1)
(given.output / "number.json").write_text(json.dumps({"n": given.value}))
"""


@pytest.mark.parametrize(
    ("value", "options", "code", "said"),
    [
        ("1.0", [], 0, "as committed"),
        ("1.5", [], 1, "number.json.n: 1 -> 1.5"),
        ("1.5", ["--quick"], 0, "ran"),
        ("-1.0", [], 2, "failed"),
    ],
)
def test_the_exit_code_says_whether_something_moved(
    value, options, code, said, example, tmp_path, monkeypatch, capsys
):
    results = example("results")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    (tmp_path / results.RESULTS).mkdir(parents=True)
    (tmp_path / results.RESULTS / "number.json").write_text('{"n": 1.0}')
    words = f"python {script} --value {value}"
    command = results.Command("number", words, 1, files=("number.json",))
    absent = results.Command("other", words, 1, files=("other.json",), needs=("nowhere.npz",))
    monkeypatch.setattr(results, "COMMANDS", (command, absent))
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setattr(results.Command.changes, "__defaults__", (tmp_path,))
    assert results.main([*options, "--output", str(tmp_path / "new")]) == code
    text = capsys.readouterr().out
    assert said in text
    assert "left out: shared/nowhere.npz is not beside the repository" in text


def test_the_table_of_the_study_is_that_of_its_json(example, tmp_path):
    rows = json.loads((RESULTS / "mnist_zeros.json").read_text("utf-8"))["rows"]
    table = tmp_path / "table.md"
    table.write_text(example("mnist_zeros_study").as_text(rows), encoding="utf-8")
    assert list(changes_of_table(RESULTS / "mnist_zeros.md", table, ("s",))) == []


def test_a_script_whose_data_are_absent_says_so(example, tmp_path, monkeypatch, capsys):
    script = example("airplane_influence")
    monkeypatch.setattr("family_models.common.SHARED", tmp_path)
    with pytest.raises(SystemExit):
        script.main(["--output", str(tmp_path)])
    assert "is kept beside the repository" in capsys.readouterr().err
