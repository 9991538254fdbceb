"""The map of the house shows what is there, and the layers that are checked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pxgen_plugins import testing

REPOSITORY = Path(__file__).parents[1]
PAGE = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
MOST = 10  # files that a walk may open


def section(heading: str) -> str:
    (text,) = [part for part in PAGE.split("\n## ")[1:] if part.startswith(heading)]
    return text


def names(line: str, separator: str) -> frozenset[str]:
    return frozenset(part.strip() for part in line.split(separator))


def layers() -> list[frozenset[str]]:
    """The layers that import-linter checks, from the top."""
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    (block,) = re.findall(r"^layers = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    return [names(line, "|") for line in re.findall(r'"(.*)"', block)]


def test_every_path_on_the_page_exists():
    paths = re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", PAGE)
    paths += [f"docs/{link}" for link in re.findall(r"\]\((?!#)([^)]+)\)", PAGE)]
    assert len(paths) > 2 * MOST
    assert [path for path in paths if not (REPOSITORY / path).exists()] == []


def test_the_diagram_shows_the_layers_that_are_checked():
    arrows = [line.split("-->") for line in section("The rooms").splitlines() if "-->" in line]
    drawn = [(names(upper, "&"), names(lower, "&")) for upper, lower in arrows]
    assert drawn == list(zip(layers()[:-1], layers()[1:], strict=True))


def test_the_list_names_the_rooms_of_the_diagram_layer_by_layer():
    entries = re.split(r"\n\d+\. ", section("The rooms").partition("\nA single noun")[0])[1:]
    assert [frozenset(re.findall(r"`(\w+)`:", entry)) for entry in entries] == layers()


@pytest.mark.parametrize("walk", ["From `PXGen", "From `pxgen audit"])
def test_a_walk_opens_ten_files_at_most(walk):
    steps = re.findall(r"^\d+\. `([\w/]+\.py)`", section(walk), re.MULTILINE)
    files = re.findall(r"`([\w/]+/\w+\.py)`", section(walk))
    assert 1 < len(set(files)) <= MOST
    assert files == steps


def test_every_page_on_extending_is_in_the_table_and_every_check_is_exported():
    table = section("Where a new part goes")
    pages = {page.stem for page in (REPOSITORY / "docs" / "extending").glob("*.md")}
    assert set(re.findall(r"\]\(extending/(\w+)\.md\)", table)) == pages
    checks = re.findall(r"`(check_\w+)`", table)
    assert set(checks) <= set(testing.__all__)


def test_the_glossary_begins_with_the_word_that_alibi_uses_otherwise():
    (first, *_) = re.findall(r"^- \*\*(\w+)\*\*", section("Glossary"), re.MULTILINE)
    assert first == "anchor"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_the_map_is_linked_from_where_people_begin(name):
    assert "](docs/architecture.md" in (REPOSITORY / name).read_text(encoding="utf-8")
