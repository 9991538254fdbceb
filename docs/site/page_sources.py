"""Puts the sources of the site together: the pages of ``docs/``, some of the root, and the API."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path, PurePosixPath

from layer_diagram import as_svg
from PIL import Image
from weight_cards import as_page

__all__ = ["ROOT", "collect"]

ROOT = Path(__file__).resolve().parents[2]
ROOT_PAGES = {  # pages outside docs/, and their names in the site
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
THUMBNAIL = 640  # pixels of a small picture, at most
_LINK = re.compile(r"(\]\()([^)#\s]+)(#[^)\s]*)?\)")
_DIAGRAM = re.compile(r"```mermaid\n(.*?)```", re.DOTALL)


def collect(folder: Path) -> None:
    """Write the sources of all pages but the API's into an empty folder.

    A link of a page to a file of the repository goes to where that file is in the site; a file that
    is no page (a script, a licence) is copied below ``repository/`` and becomes a download.

    Args:
        folder: Where to write.
    """
    ignored = shutil.ignore_patterns("__pycache__", ".*", "site")
    shutil.copytree(ROOT / "docs", folder, ignore=ignored, dirs_exist_ok=True)
    for original, copy in ROOT_PAGES.items():
        shutil.copy(ROOT / original, folder / copy)
    _list_results(folder / "results")
    _shrink_pictures(folder / "gallery.md")
    (folder / "weights.md").write_text(as_page(ROOT), encoding="utf-8")
    originals = {copy: ROOT / original for original, copy in ROOT_PAGES.items()}
    for page in sorted(folder.rglob("*.md")):
        name = page.relative_to(folder).as_posix()
        _mend(page, originals.get(name, ROOT / "docs" / name), folder)


def _mend(page: Path, original: Path, folder: Path) -> None:
    """Rewrite a page in place: links, diagrams, and a title where it has none."""
    text = page.read_text("utf-8")
    text = _LINK.sub(lambda link: _moved(link, original, page, folder), text)
    for number, diagram in enumerate(_DIAGRAM.findall(text)):
        picture = page.with_name(f"{page.stem}-{number}.svg")
        picture.write_text(as_svg(diagram), encoding="utf-8")
        text = text.replace(f"```mermaid\n{diagram}```", f"![rooms]({picture.name})")
    if not text.startswith("# "):
        text = f"# {page.stem.replace('_', ' ').capitalize()}\n\n{text}"
    page.write_text(text, encoding="utf-8")


def _shrink_pictures(page: Path) -> None:
    """Put small copies of large pictures into a page, which lead to the large ones."""
    text = page.read_text("utf-8")
    for link, title, name in re.findall(r"(!\[([^]]*)\]\(((?!gallery/)[^)]+)\))", text):
        small = page.parent / "gallery" / f"{Path(name).stem}-small.png"
        with Image.open(page.parent / name) as image:
            image.thumbnail((THUMBNAIL, 2 * THUMBNAIL))
            image.convert("RGB").quantize(96).save(small, optimize=True)
        text = text.replace(link, f"[![{title}](gallery/{small.name})]({name})")
    page.write_text(text, encoding="utf-8")


def _list_results(folder: Path) -> None:
    """Write the page that lists the pages of measurements."""
    names = sorted(page.stem for page in folder.glob("*.md"))
    about = "Every number of this site is made by a command that its page names."
    lines = ["# Measurements", "", about, "", *(f"- [](<{name}.md>)" for name in names)]
    lines += ["", "```{toctree}", ":hidden:", "", *names, "```"]
    (folder / "index.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _moved(link: re.Match[str], original: Path, page: Path, folder: Path) -> str:
    """Return a link of a page as it is in the site."""
    start, target, anchor = link[1], link[2], link[3] or ""
    path = (original.parent / target).resolve()
    if "://" in target or not path.is_relative_to(ROOT) or not path.exists():
        return link[0]
    name = path.relative_to(ROOT).as_posix()
    if name in ROOT_PAGES:
        place = folder / ROOT_PAGES[name]
    elif name == "README.md":
        place = folder / "index.md"
    elif path.is_relative_to(ROOT / "docs"):
        place = folder / path.relative_to(ROOT / "docs")
        place = place / "index.md" if path.is_dir() else place
    else:
        place = folder / "repository" / name
        if path.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
    moved = PurePosixPath(os.path.relpath(place, page.parent)).as_posix()
    return f"{start}{moved}{anchor})"
