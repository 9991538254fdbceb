"""English sentences that every installation has: the prose of scipy's docstrings."""

from __future__ import annotations

import ast
import hashlib
import random
import re
from importlib.util import find_spec
from pathlib import Path

__all__ = ["code_lines", "sentences", "shuffled"]

_SENTENCE = re.compile(r"[A-Z][a-z]+(?: [A-Za-z]+[,;]?){5,22}\.")
_LONGEST = 120


def _files(package: str) -> list[Path]:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"the package {package} is not installed")
    folder = Path(spec.submodule_search_locations[0])
    return sorted(p for p in folder.rglob("*.py") if "tests" not in p.parts)


def sentences(held_out: bool, package: str = "scipy") -> list[str]:
    """Return the distinct sentences of a package's docstrings, sorted; one in ten is held out.

    Which ones are held out is decided by a digest of the sentence, whatever the version.
    """
    found: set[str] = set()
    for path in _files(package):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                text = " ".join((ast.get_docstring(node) or "").split())
                found.update(match.group() for match in _SENTENCE.finditer(text))
    chosen = [s for s in sorted(found) if len(s) <= _LONGEST]
    return [s for s in chosen if (hashlib.sha256(s.encode()).digest()[0] < 26) == held_out]


def code_lines(n: int, package: str = "scipy", seed: int = 0) -> list[str]:
    """Return ``n`` lines of the package's code, 40 to 120 characters long."""
    lines: set[str] = set()
    for path in _files(package)[:200]:
        for line in path.read_text(encoding="utf-8", errors="ignore").splitlines():
            line = line.strip()
            if 40 <= len(line) <= _LONGEST and line.isascii() and re.search(r"[=()\[\]]{2}", line):
                lines.add(line)
    return random.Random(seed).sample(sorted(lines), n)


def shuffled(texts: list[str], words: bool, seed: int = 0) -> list[str]:
    """Return texts with their words, or their characters, in random order."""
    draws = random.Random(seed)
    made = []
    for text in texts:
        parts = text.split(" ") if words else list(text)
        draws.shuffle(parts)
        made.append((" " if words else "").join(parts))
    return made
