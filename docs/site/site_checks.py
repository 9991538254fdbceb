"""What is wrong with a built site: links that lead nowhere, and requests to other hosts."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["broken_links", "foreign_requests"]

# Attributes whose address is fetched as soon as the page is shown; an <a> is followed by hand.
_FETCHED = {
    "audio": "src", "embed": "src", "iframe": "src", "img": "src", "input": "src", "link": "href",
    "object": "data", "script": "src", "source": "src", "track": "src", "video": "src",
}  # fmt: skip
_NOT_FETCHED = {"canonical", "author", "license", "next", "prev", "search"}
_IN_STYLE = re.compile(r"""(?:url\(\s*|@import\s+)["']?\s*((?:https?:)?//[^"')\s]+)""")
_IN_SCRIPT = re.compile(r"""(?:fetch|import|importScripts)\(\s*["'`]((?:https?:)?//[^"'`]+)""")


class _Page(HTMLParser):
    """The identifiers, links, fetched addresses and styles of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        passive = tag == "link" and set(values.get("rel", "").split()) <= _NOT_FETCHED
        if tag in _FETCHED and _FETCHED[tag] in values and not passive:
            self.fetched.append(values[_FETCHED[tag]])
        self.fetched += [part.split()[0] for part in values.get("srcset", "").split(",") if part]
        self.fetched += _IN_STYLE.findall(values.get("style", ""))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "style":
            self.fetched += _IN_STYLE.findall(data)
        elif self.cdata_elem == "script":
            self.fetched += _IN_SCRIPT.findall(data)


def _pages(folder: Path) -> dict[Path, _Page]:
    return {path: _Page(path) for path in sorted(folder.rglob("*.html"))}


def broken_links(folder: Path) -> list[str]:
    """Return ``page: link`` for every link or picture to a file or heading that is not there."""
    pages = _pages(folder)
    broken = []
    for path, page in pages.items():
        for link in [*page.links, *page.fetched]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            known = pages[target].ids if target in pages else set()
            missing = anchor and target in pages and anchor not in known
            if not target.exists() or missing:
                broken.append(f"{path.relative_to(folder)}: {link}")
    return broken


def foreign_requests(folder: Path) -> list[str]:
    """Return ``file: address`` for everything that a browser would fetch from another host."""
    found = [
        f"{path.relative_to(folder)}: {address}"
        for path, page in _pages(folder).items()
        for address in page.fetched
        if urlsplit(address).netloc
    ]
    for pattern, ending in ((_IN_STYLE, "css"), (_IN_SCRIPT, "js")):
        for path in sorted(folder.rglob(f"*.{ending}")):
            text = path.read_text(encoding="utf-8")
            found += [f"{path.relative_to(folder)}: {address}" for address in pattern.findall(text)]
    return found
