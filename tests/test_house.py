"""The rules of the house that a reader can check without running anything."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PARTS = {"pxgen_plugins": "pxgen_plugins", "adapters": "pxgen_plugins.adapters"}
FILES = [path for folder in PARTS for path in sorted((REPOSITORY / folder).rglob("*.py"))]
IDS = [str(path.relative_to(REPOSITORY)) for path in FILES]
each_file = pytest.mark.parametrize("path", FILES, ids=IDS)

# What each part may import of the others; a part that is not listed may import any.
ARROWS: dict[str, set[str]] = {
    "anchors": set(),
    "conversion": {"anchors"},
    "criteria": {"models"},
    "datasets": set(),
    "groups": set(),
    "intervals": {"groups"},
    "fitting": {"anchors", "criteria", "models", "scoring"},
    "models": {"anchors", "conversion"},
    "plots": {"groups", "selection"},
    "scoring": {"anchors", "conversion", "criteria", "models"},
    "selection": set(),
    "thresholds": {"anchors", "criteria", "models", "scoring"},
}
FREE = {
    "errors", "lazy", "neighbours", "optional", "progress", "registry", "seeds", "threads",
    "validation",
}  # fmt: skip
NEAR_THE_HOST = {
    "adapters", "assembly", "audit", "comparison", "evaluation", "explainer", "explanation",
    "persistence", "predictor", "reports", "tables", "testing",
}  # fmt: skip
FORBIDDEN = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "jsonpickle", "torchvision"}
ON_USE_ONLY = {"captum", "shap", "lime", "umap", "openTSNE", "aix360", "tensorflow", "mlflow"}
SEEDING = {
    "np.random.seed", "numpy.random.seed", "random.seed", "torch.cuda.manual_seed",
    "torch.cuda.manual_seed_all", "torch.manual_seed", "torch.random.manual_seed", "torch.seed",
}  # fmt: skip


def module(path: Path) -> str:
    """The dotted name under which a file of the repository is installed."""
    first, *rest = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join([PARTS[first], *(part for part in rest if part != "__init__")])


def part(name: str) -> str:
    """The part of the package that a module belongs to; "" for the package itself and others."""
    pieces = name.split(".")
    return pieces[1] if pieces[0] == "pxgen_plugins" and len(pieces) > 1 else ""


def imported(nodes: Iterator[ast.AST], path: Path) -> Iterator[tuple[str, int]]:
    """Every module that ``nodes`` import, as a full name, with the line."""
    package = module(path) if path.name == "__init__.py" else module(path).rpartition(".")[0]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            name = ".".join(
                [*(base if node.level else []), *([node.module] if node.module else [])]
            )
            yield name, node.lineno
            if name == "pxgen_plugins":
                yield from ((f"{name}.{alias.name}", node.lineno) for alias in node.names)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@each_file
def test_a_file_holds_one_noun_in_fewer_than_400_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 400


@each_file
def test_nothing_imports_what_can_run_code_from_a_file_or_needs_torchvision(path: Path) -> None:
    found = [(n, line) for n, line in imported(ast.walk(parsed(path)), path)]
    assert [entry for entry in found if entry[0].split(".")[0] in FORBIDDEN] == []


@each_file
def test_imports_follow_the_one_direction_in_which_data_flows(path: Path) -> None:
    here = part(module(path))
    against = []
    for name, line in imported(ast.walk(parsed(path)), path):
        there = part(name)
        allowed = ARROWS.get(here)
        if allowed is not None and there in ARROWS and there not in {here, *allowed}:
            against.append(f"line {line}: {here} imports {there}")
        if here not in NEAR_THE_HOST and there in NEAR_THE_HOST and here != "":
            against.append(f"line {line}: {here} imports {there}")
        if here in FREE and there not in {"", *FREE}:
            against.append(f"line {line}: {here} imports {there}")
    assert against == []


@each_file
def test_alibi_is_imported_only_by_what_shows_its_face(path: Path) -> None:
    if part(module(path)) in NEAR_THE_HOST:
        return
    found = [n for n, _ in imported(ast.walk(parsed(path)), path) if n.split(".")[0] == "alibi"]
    assert found == []


@each_file
def test_optional_libraries_are_imported_when_used_not_when_loaded(path: Path) -> None:
    top = imported(iter(parsed(path).body), path)
    assert [name for name, _ in top if name.split(".")[0] in ON_USE_ONLY] == []


@each_file
def test_no_call_unpickles_or_seeds_global_random_state(path: Path) -> None:
    wrong = []
    for node in ast.walk(parsed(path)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        options = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
        if name == "torch.load" and options.get("weights_only") is not True:
            wrong.append(f"line {node.lineno}: torch.load without weights_only=True")
        if name in {"np.load", "numpy.load"} and options.get("allow_pickle") is True:
            wrong.append(f"line {node.lineno}: np.load with allow_pickle=True")
        if name in SEEDING:
            wrong.append(f"line {node.lineno}: {name}")
    assert wrong == []


@each_file
def test_nothing_is_printed(path: Path) -> None:
    calls = [n for n in ast.walk(parsed(path)) if isinstance(n, ast.Call)]
    assert [n.lineno for n in calls if ast.unparse(n.func) == "print"] == []


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import a.b", ["a.b"]),
        ("from a import b", ["a"]),
        ("from . import b", ["pxgen_plugins.models"]),
        ("from .base import B", ["pxgen_plugins.models.base"]),
        ("from ..scoring import s", ["pxgen_plugins.scoring"]),
        ("from pxgen_plugins import plots", ["pxgen_plugins", "pxgen_plugins.plots"]),
    ],
)
def test_the_reader_of_imports_resolves_each_form(source: str, names: list[str]) -> None:
    path = REPOSITORY / "pxgen_plugins" / "models" / "vae.py"
    assert [name for name, _ in imported(ast.walk(ast.parse(source)), path)] == names
