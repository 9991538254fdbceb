"""The explorer in a notebook, by anywidget: the same front end as in the browser."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pxgen_plugins.explorer import front_end
from pxgen_plugins.explorer.session import THEMES, Session
from pxgen_plugins.utils import optional
from pxgen_plugins.utils.errors import PXGenError, caller

__all__ = ["explore"]

_EXTRA = "widget"


@caller("explore")
def explore(
    model: Any = None,
    X: Any = None,
    axes: Any = None,
    explainer: Any = None,
    **options: Any,
) -> Any:
    """Return the explorer as a widget, which a notebook shows.

    ``widget.selected`` (positions of anchors) and ``widget.code`` (the code that is shown) can be
    read and set; ``widget.session`` is the :class:`~pxgen_plugins.explorer.Session` behind it.

    Args:
        model: A model, several by name, or a Session.
        X: Anchors; see :class:`~pxgen_plugins.explorer.Session`, as for those that follow.
        axes: What sliders move.
        explainer: A fitted PXGen, or several by name.
        options: ``labels``, ``units``, ``task``, ``tools``, ``title``, ``theme``.

    Raises:
        MissingDependencyError: Without the extra ``widget``; ``serve`` needs none.
        ParameterError: When an argument is not allowed.
    """
    anywidget = optional.load("anywidget", _EXTRA)
    traitlets = optional.load("traitlets", _EXTRA)
    return _widget_class(anywidget, traitlets)(Session.of(model, X, axes, explainer, options))


def _widget_class(anywidget: Any, traitlets: Any) -> type[Any]:
    """Return the class of the widget; anywidget is imported by then."""

    class Explorer(anywidget.AnyWidget):  # type: ignore[misc]
        """The explorer of a session."""

        _esm = front_end.script()
        _css = front_end.content("explorer.css")
        info = traitlets.Dict().tag(sync=True)
        selected = traitlets.List(traitlets.Int()).tag(sync=True)
        code = traitlets.List(traitlets.Float()).tag(sync=True)
        theme = traitlets.Enum(THEMES, "auto").tag(sync=True)

        def __init__(self, session: Session) -> None:
            self.session, self._page = session, 0
            # pictures of the anchors come with the answer to "open": a trait holds JSON alone
            content = {**session.answer("open").content}
            content["anchors"] = {**content["anchors"], "thumbnails": None}
            super().__init__(
                info=content, selected=session.selected, code=session.code, theme=session.theme
            )
            self.on_msg(self._respond)
            session.watch(self._follow)

        def _respond(self, _widget: Any, message: Any, _buffers: Any) -> None:
            with self._knowing():
                answer = self.session.handle(message)
            self.send(answer.content, answer.buffers)

        @contextmanager
        def _knowing(self) -> Iterator[None]:
            """Leave the traits to who changes the session now, in this thread: the page or them."""
            before, self._page = self._page, threading.get_ident()
            try:
                yield
            finally:
                self._page = before

        def _follow(self) -> None:
            """Show what Python, or a page in a browser, has changed in the session."""
            if self._page == threading.get_ident():
                return
            with self._knowing():
                self.selected = self.session.selected
                if not self.session.history.present.model:
                    self.code = self.session.code

        @traitlets.validate("selected")  # type: ignore[untyped-decorator]
        def _check_selected(self, proposal: Any) -> Any:
            self._pass(self.session.select, proposal["value"])
            return self.session.selected

        @traitlets.validate("code")  # type: ignore[untyped-decorator]
        def _check_code(self, proposal: Any) -> Any:
            if proposal["value"]:  # nothing is shown before the first picture
                self._pass(self.session.show, proposal["value"])
            return proposal["value"]

        def _pass(self, method: Callable[[Any], None], value: Any) -> None:
            try:
                with self._knowing():
                    method(value)
            except PXGenError as error:
                raise traitlets.TraitError(str(error)) from error

    return Explorer
