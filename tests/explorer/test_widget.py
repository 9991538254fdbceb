"""The widget: the same front end and the same session in a notebook."""

from __future__ import annotations

import hashlib
import sys
from types import ModuleType
from typing import Any

import pytest

from pxgen_plugins.explorer import Session, explore, serve
from pxgen_plugins.testing.examples import LinearModel
from pxgen_plugins.utils.errors import MissingDependencyError, ParameterError
from pxgen_plugins.utils.optional import install_line
from tests.explorer.conftest import explained, request

Z = [0.5, 0.0, -0.5]


class Trait:
    """A trait as traitlets has it, as far as the widget needs one: checked when it is set."""

    def __init__(self, *arguments: Any) -> None:
        self.default = arguments[-1] if len(arguments) > 1 else None

    def tag(self, **_: Any) -> Trait:
        return self

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else instance.__dict__.get(self.name, self.default)

    def __set__(self, instance: Any, value: Any) -> None:
        for check in vars(type(instance)).values():
            if getattr(check, "checks", None) == self.name:
                value = check(instance, {"value": value})
        instance.__dict__[self.name] = value


class TraitError(Exception):
    """As of traitlets."""


class Widget:
    """A widget without a notebook: what it sends is kept."""

    def __init__(self, **traits: Any) -> None:
        self.sent: list[Any] = []
        for name, value in traits.items():
            setattr(self, name, value)

    def on_msg(self, callback: Any) -> None:
        self.callback = callback

    def send(self, content: Any, buffers: Any = None) -> None:
        self.sent.append((content, buffers))


@pytest.fixture
def without_notebook(monkeypatch):
    """Modules with the names of anywidget and traitlets that need no notebook."""

    def validate(name: str) -> Any:
        def mark(function: Any) -> Any:
            function.checks = name
            return function

        return mark

    for name, entries in {
        "anywidget": {"AnyWidget": Widget},
        "traitlets": {"Dict": Trait, "List": Trait, "Int": Trait, "Float": Trait, "Enum": Trait,
                      "validate": validate, "TraitError": TraitError},
    }.items():  # fmt: skip
        module = ModuleType(name)
        vars(module).update(entries)
        monkeypatch.setitem(sys.modules, name, module)


def check(widget: Any, error: type[Exception], send: Any, sent: Any) -> None:
    """What holds for a widget in a notebook and for one without."""
    assert widget.info["shape"] == [3]
    assert widget.info["anchors"]["n"] == 30
    assert widget.info["anchors"]["thumbnails"] is None
    send({"id": 5, "kind": "decode", "z": Z, "client": "page"})
    content, buffers = sent()
    alone = widget.session.handle({"id": 5, "kind": "decode", "z": Z})
    assert (content["id"], content["image"]) == (5, {"buffer": 0})
    assert [bytes(one) for one in buffers] == alone.buffers
    send({"id": 6, "kind": "nonsense"})
    assert "kind must be one of" in sent()[0]["error"]
    widget.selected = [4, 2]
    assert widget.session.selected == widget.selected == [4, 2]
    with pytest.raises(error, match="indices"):
        widget.selected = [30]
    widget.code = Z
    assert widget.code == Z
    with pytest.raises(error, match="3 numbers"):
        widget.code = [1.0]
    with pytest.raises(error, match="float32"):
        widget.code = [float("nan"), 0.0, 0.0]
    assert widget.code == Z
    assert widget.theme == "dark"
    check_that_it_goes_both_ways(widget, send)


def check_that_it_goes_both_ways(widget: Any, send: Any) -> None:
    """What Python does to the session is in the traits, and what is set in them in the session."""
    session = widget.session
    assert session.code == Z  # set above
    session.answer("select", indices=[7, 1])
    assert widget.selected == [7, 1]
    session.select([2])
    assert widget.selected == [2]
    session.answer("decode", z=Z, amounts={"1": 1.5})
    assert widget.code == session.code == [0.5, 1.5, -0.5]
    state = session.state()
    session.answer("reset")
    assert widget.code == Z
    session.restore({**state, "selected": [4, 5]})
    assert (widget.code, widget.selected) == ([0.5, 1.5, -0.5], [4, 5])
    session.answer("decode", z=[9.0, 9.0, 9.0], alone=True)  # a slider on its way
    assert widget.code == [0.5, 1.5, -0.5]
    # the page reports by itself what it shows: its sliders stay where they are
    send({"id": 7, "kind": "decode", "z": Z, "amounts": {"0": 1.0}, "client": "page"})
    widget.code = [1.5, 0.0, -0.5]
    assert session.state()["amounts"] == {"0": 1.0}
    widget.code = Z  # Python goes elsewhere
    assert (session.code, session.state()["amounts"]) == (Z, {})


def test_it_answers_messages_and_its_traits_are_checked(without_notebook):
    model, explainer, images = explained()
    widget = explore(model, images, None, explainer, theme="dark")
    check(
        widget,
        TraitError,
        lambda message: widget.callback(widget, message, []),
        lambda: widget.sent[-1],
    )


def test_in_a_notebook_too(monkeypatch):
    """With the real anywidget, whose connection to a page is a stub."""
    pytest.importorskip("anywidget")
    comm = pytest.importorskip("comm")
    traitlets = pytest.importorskip("traitlets")
    sent: list[Any] = []

    class Stub(comm.base_comm.BaseComm):
        def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
            if data and data.get("method") == "custom":
                sent.append((data["content"], buffers))

    monkeypatch.setattr(comm, "create_comm", Stub)
    model, explainer, images = explained()
    widget = explore(model, images, None, explainer, theme="dark")

    def send(message: Any) -> None:
        widget._handle_custom_msg(message, [])

    check(widget, traitlets.TraitError, send, lambda: sent[-1])


def test_the_javascript_of_both_hosts_is_the_same_file(without_notebook):
    session = Session(LinearModel())
    widget = explore(session)
    assert widget.session is session
    with serve(session, open_browser=False) as server:
        for name, own in (("explorer.js", widget._esm), ("explorer.css", widget._css)):
            served = request(server, b"", method="GET", path=f"/{name}")[1]
            assert hashlib.sha256(served).digest() == hashlib.sha256(own.encode()).digest()


def test_without_anywidget_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)  # what import of it then raises for
    with pytest.raises(MissingDependencyError, match="explore: anywidget must be") as caught:
        explore(LinearModel())
    assert install_line("widget") in str(caught.value)


def test_a_session_is_taken_as_it_is_and_alone(without_notebook):
    with pytest.raises(ParameterError, match="explore: model must be alone"):
        explore(Session(LinearModel()), [1])
