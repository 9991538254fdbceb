"""The site: a page for every public name, no dead link, and no request to another host."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from docstrings import escape
from layer_diagram import as_svg
from site_checks import broken_links, foreign_requests
from weight_cards import FOLDERS, as_page

import pxgen_plugins

ROOT = Path(__file__).parents[1]
# Rooms whose names users meet only through other packages.
INNER = {"host", "scoring", "utils"}
# What the contract names as public (DESIGN, section 5), one from each package.
PROMISED = {
    "pxgen_plugins": ["PXGen", "compare", "describe"],
    "pxgen_plugins.models": ["VAE", "GAN", "TextToImage", "wrap"],
    "pxgen_plugins.thresholds": ["Conformal", "MeanMax"],
    "pxgen_plugins.adapters": [
        "ActivationDirections", "AssessorDirection", "CausalTrace", "ClassDirections",
        "CrossAttentionLocalisation", "LatentDescription", "PredictableDirections",
        "UnitDissection", "UnitEffects", "WeightDirections",
    ],
    "pxgen_plugins.painting": ["paint"],
    "pxgen_plugins.editing": ["ConceptEdit"],
    "pxgen_plugins.evaluation": ["ReconstructionTask"],
    "pxgen_plugins.explorer": ["Session", "explore", "serve"],
}  # fmt: skip
OFFLINE = """
import socket

def refuse(*_):
    raise OSError("The build of the site opens a connection.")

socket.socket.connect = refuse
"""


def test_every_package_is_in_the_reference_or_an_inner_room():
    import api_pages

    folders = {path.parent.name for path in (ROOT / "pxgen_plugins").glob("*/__init__.py")}
    described = {name.split(".")[1] for name in api_pages.PACKAGES if "." in name}
    assert folders - described == INNER
    for package, names in PROMISED.items():
        assert set(names) <= set(api_pages.public_names(package))


def test_pages_are_written_for_all_names_of_every_package(tmp_path):
    import api_pages

    api_pages.write_pages(tmp_path / "api")
    for package in {**api_pages.PACKAGES, **api_pages.MODULES}:
        module = importlib.import_module(package)
        for name in set(module.__all__) - {"__version__"}:
            text = (tmp_path / "api" / f"{package}.{name}.rst").read_text("utf-8")
            assert f":: {package}.{name}\n" in text


def test_the_citation_names_this_version_and_the_paper():
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {pxgen_plugins.__version__}\n" in text
    assert "2501.11827" in text
    assert pxgen_plugins.__version__ in (ROOT / "docs" / "cite.md").read_text("utf-8")


def test_every_page_is_reached_from_the_first_one():
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    listed = {
        line.strip() for block in re.findall(r"```{toctree}(.*?)```", index, re.DOTALL)
        for line in block.splitlines() if line.strip() and not line.startswith(":")
    }  # fmt: skip
    docs = ROOT / "docs"
    pages = [*docs.glob("*.md"), *docs.glob("extending/*.md"), *docs.glob("start/*.ipynb")]
    names = {page.relative_to(docs).with_suffix("").as_posix() for page in pages} - {"index"}
    made = {"api/index", "results/index", "weights", "changelog", "contributing", "security"}
    assert listed == names | made


def test_every_file_of_weights_has_its_card_on_the_page():
    page = as_page(ROOT)
    files = [path for folder in FOLDERS for path in (ROOT / folder).glob("*.safetensors")]
    assert all(f"`{path.name}`" in page for path in files)
    assert page.count("| licence | ") == page.count("\n### ") == len(files) > 10


def test_stars_that_mark_nothing_are_escaped():
    assert escape("(b, *shape), *word* and ``*x`` |a|") == r"(b, \*shape), *word* and ``*x`` \|a\|"
    assert escape("**bold** 2 * 3 of :class:`*X*`") == r"**bold** 2 \* 3 of :class:`*X*`"


def test_a_diagram_shows_every_room_once():
    picture = as_svg("flowchart TD\n    a & b --> c\n    c --> d & e\n")
    assert re.findall(r">(\w)</text>", picture) == ["a", "b", "c", "d", "e"]


def test_dead_links_and_requests_to_other_hosts_are_seen(tmp_path):
    (tmp_path / "a.html").write_text(
        '<h1 id="top">x</h1><a href="#top">fine</a><a href="b.html#here">fine</a>'
        '<a href="b.html#gone">no heading</a><a href="c.html">no file</a>'
        '<a href="https://example.org">a reader may go there</a><img src="no.png">'
        '<link rel="canonical" href="https://example.org/a.html">'
    )
    (tmp_path / "b.html").write_text(
        '<p id="here"><script src="//cdn.example.org/x.js"></script>'
        '<link rel="preload stylesheet" href="https://fonts.example.org/f.css">'
        "<style>a { background: url('https://example.org/p.png') }</style>"
        "<script>fetch('https://example.org/count')</script>"
    )
    (tmp_path / "s.css").write_text("@import 'https://example.org/s.css'; b {background: url(x)}")
    assert broken_links(tmp_path) == ["a.html: b.html#gone", "a.html: c.html", "a.html: no.png"]
    assert foreign_requests(tmp_path) == [
        "b.html: //cdn.example.org/x.js",
        "b.html: https://fonts.example.org/f.css",
        "b.html: https://example.org/p.png",
        "b.html: https://example.org/count",
        "s.css: https://example.org/s.css",
    ]


@pytest.mark.slow(minutes=2)
def test_the_site_builds_from_nothing_without_a_warning(tmp_path):
    pytest.importorskip("sphinx")
    pytest.importorskip("myst_nb")
    pytest.importorskip("furo")
    import api_pages

    (tmp_path / "sitecustomize.py").write_text(OFFLINE)
    done = subprocess.run(
        [sys.executable, "docs/site/build_site.py", "--output", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "WARNING" not in done.stderr
    for package in {**api_pages.PACKAGES, **api_pages.MODULES}:
        for name in api_pages.public_names(package):
            page = (tmp_path / "site" / "api" / f"{package}.{name}.html").read_text("utf-8")
            again = package == "pxgen_plugins.comparison" and hasattr(pxgen_plugins, name)
            assert f"<h1>{name}<" in page
            assert f'id="{package}.{name}"' in page or again
    index = (tmp_path / "site" / "searchindex.js").read_text("utf-8")
    assert all(word in index for word in ("pxgen_plugins.models.VAE", "threshold", "delusion"))
