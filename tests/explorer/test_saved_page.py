"""The saved page stands alone: pictures of every strip, and nothing that runs or loads."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from pxgen_plugins.axes import Axis
from pxgen_plugins.explorer import Session
from pxgen_plugins.testing.examples import LinearModel
from pxgen_plugins.utils.errors import ParameterError
from tests.explorer.conftest import vector_model

HOSTILE = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onload='alert(1)",
    "</style><style>*{display:none}", "a\u202eb\u200b", "&lt;b&gt;", "javascript:alert(1)",
)  # fmt: skip


class Tags(HTMLParser):
    """Every tag of a page with its attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def page() -> str:
    axes = [Axis(label, np.eye(3)[i % 3], source=label) for i, label in enumerate(HOSTILE)]
    session = Session({label: LinearModel() for label in HOSTILE}, axes=axes, title=HOSTILE[0])
    session.answer("decode", z=[0.5, -0.5, 0.25])
    return session.save_page()


def test_nothing_on_it_runs_or_loads(page):
    tags = Tags(page).tags
    allowed = {"html", "head", "meta", "title", "style", "h1", "h2", "p", "section", "figure",
               "figcaption", "img", "code"}  # fmt: skip
    assert {tag for tag, _ in tags} <= allowed
    assert [tag for tag, _ in tags].count("style") == 1
    for tag, attributes in tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert "href" not in attributes
        if "src" in attributes:
            assert re.fullmatch(r"data:image/png;base64,[A-Za-z0-9+/=]+", attributes["src"] or "")
    (policy,) = [a["content"] for t, a in tags if a.get("http-equiv")]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert "http://" not in page.replace("http-equiv", "")
    assert "https://" not in page


def test_hostile_labels_are_shown_as_they_are_but_for_what_nobody_sees(page):
    text = " ".join(Tags(page).text)
    for label in HOSTILE:
        shown = label.replace("\u202e", "\\u202e").replace("\u200b", "\\u200b")
        assert text.count(shown) >= 2, label
    assert "\u202e" not in page


def test_every_strip_holds_what_the_model_makes_along_its_axis(page):
    images = [attributes["src"] or "" for tag, attributes in Tags(page).tags if tag == "img"]
    assert len(images) == 7 * len(HOSTILE)
    session = Session(LinearModel())
    first = HOSTILE.index(HOSTILE[0])
    order = re.findall(r"<h2>(.*?)</h2>", page)
    row = next(i for i, label in enumerate(order) if label.startswith("&lt;script"))
    for step, amount in enumerate((-3, -2, -1, 0, 1, 2, 3)):
        z = (torch.tensor([0.5, -0.5, 0.25]) + amount * torch.eye(3)[first % 3]).tolist()
        file = session.answer("decode", z=z).buffers[0]
        assert base64.b64decode(images[7 * row + step].partition(",")[2]) == file
    middles = {images[7 * row + 3] for row in range(len(HOSTILE))}
    assert len(middles) == 1


def test_it_begins_at_a_drawn_code_where_nothing_was_shown_and_takes_the_axes_named():
    session = Session(LinearModel())
    assert session.save_page() == session.save_page()
    assert session.save_page([2]).count("<img") == 7
    assert session.answer("save_page", axes=[2]).content["html"] == session.save_page([2])
    for axes in ([3], [0, 0], "0", [0.5]):
        with pytest.raises(ParameterError, match=r"Session\.save_page: axes"):
            session.save_page(axes)
    assert Session(vector_model()).save_page([0]).count("<img") == 7
