"""Where ``ReconstructionTask.play`` shows its questions: the browser, or the notebook."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from pxgen_plugins.evaluation.steering.hosts import HOSTS
from pxgen_plugins.utils import optional
from pxgen_plugins.utils.errors import MissingDependencyError

__all__ = ["play_in_browser", "play_in_notebook", "play_where_it_is"]

_log = logging.getLogger(__name__)
_PAUSE = 0.2  # seconds between two looks whether the person is done


@HOSTS.register("browser")
def play_in_browser(
    session: Any, *, port: int = 0, open_browser: bool = True, wait: bool = True
) -> None:
    """Show the questions in a browser.

    Args:
        session: The person's session.
        port: As for :func:`~pxgen_plugins.explorer.serve`, as is ``open_browser``.
        open_browser: See there; the address is logged where it is False.
        wait: Return when the last question is over, or the wait is interrupted; else at once.
    """
    from pxgen_plugins.explorer.server import serve
    from pxgen_plugins.explorer.session import Session

    explorer = Session(session.task.model, task=session, tools=["task"])
    server = serve(explorer, port=port, open_browser=open_browser)
    if not open_browser:
        _log.warning("open %s", server.url)
    if not wait:
        return
    try:
        while not getattr(explorer.task, "done", False):
            time.sleep(_PAUSE)
    except KeyboardInterrupt:
        _log.warning("stopped; what was done is in the log")
    finally:
        server.stop()
        session.close()


@HOSTS.register("notebook")
def play_in_notebook(session: Any) -> None:
    """Show the questions below the cell; the log grows meanwhile.

    Raises:
        MissingDependencyError: Without the extra ``widget``.
    """
    from pxgen_plugins.explorer.widget import explore

    widget = explore(session.task.model, task=session, tools=["task"])
    optional.load("IPython.display", "widget").display(widget)


@HOSTS.register("auto")
def play_where_it_is(session: Any, **options: Any) -> None:
    """Show the questions in the notebook that runs this, else in a browser."""
    kernel = sys.modules.get("ipykernel")  # which only a notebook imports
    if kernel is not None and not options:
        try:
            play_in_notebook(session)
            return
        except MissingDependencyError:
            options = {"wait": False}  # the kernel answers other cells meanwhile
    play_in_browser(session, **options)
