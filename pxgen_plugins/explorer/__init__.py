"""The explorer: one page, in a notebook and in a browser, on which a model is felt.

``explore`` shows it in a notebook (extra ``widget``), ``serve`` in a browser; ``Session`` holds all
of its logic and needs neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pxgen_plugins.explorer import task_hosts as task_hosts  # where tasks are played
from pxgen_plugins.utils.lazy import attach

if TYPE_CHECKING:
    from pxgen_plugins.explorer.messages import Answer
    from pxgen_plugins.explorer.server import Server, serve
    from pxgen_plugins.explorer.session import Session
    from pxgen_plugins.explorer.widget import explore

__all__ = ["Answer", "Server", "Session", "explore", "serve"]

_HOMES = {
    "Answer": "messages",
    "Server": "server",
    "Session": "session",
    "explore": "widget",
    "serve": "server",
}

__getattr__, __dir__ = attach(__name__, _HOMES)
