"""The explorer in a browser: a server of the standard library on this machine alone."""

from __future__ import annotations

import hmac
import json
import secrets
import socket
import threading
import webbrowser
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from pxgen_plugins.explorer import front_end
from pxgen_plugins.explorer.session import Session
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError, caller
from pxgen_plugins.utils.json_files import parse_json

__all__ = ["Server", "serve"]

_HOST = "127.0.0.1"
_BODY = 2**20  # bytes of a message
_SECONDS = 30.0  # that a connection may stay silent
_LINGER = 0.5  # that a refused body is still read
_TOKEN = 32  # bytes
_PATIENCE = 2.0  # seconds that stopping waits for an answer that is being made
_NAME = "pxgen-explorer"  # of threads
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_PAGE_HEADERS = {
    **_HEADERS,
    "Content-Security-Policy": _POLICY,
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_STATIC = {
    "/": ("page.html", "text/html"),
    "/explorer.css": ("explorer.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}


class Server:
    """A running server; a context manager that stops it.

    Args:
        session: What it answers by.
        port: Where it listens, on 127.0.0.1; 0 takes a free one.

    Attributes:
        session: See above.
        port: Where it listens.
        token: The secret that every message must carry; new with each start.

    Raises:
        ParameterError: When the port cannot be had.
    """

    def __init__(self, session: Session, port: int = 0) -> None:
        self.session, self.token = session, secrets.token_urlsafe(_TOKEN)
        try:
            self._http = _Http((_HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            hint = "Leave it out: a free one is taken."
            raise ParameterError("port", "free on this machine", str(port), hint) from error
        self._http.session, self._http.token = session, self.token
        self._http.contents = {
            path: (front_end.content(name).encode(), f"{kind}; charset=utf-8")
            for path, (name, kind) in _STATIC.items()
        }
        script = front_end.script().encode()
        self._http.contents["/explorer.js"] = (script, "text/javascript; charset=utf-8")
        self.port = int(self._http.server_address[1])
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True,
            name=_NAME,
        )  # fmt: skip
        self._thread.start()

    @property
    def url(self) -> str:
        """Address of the page; the token stands behind ``#``, which browsers do not send."""
        return f"http://{_HOST}:{self.port}/#{self.token}"

    def stop(self) -> None:
        """Stop answering, close all connections and free the port; twice is as good as once."""
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()

    def wait(self) -> None:
        """Return when the server has been stopped."""
        while self._thread.is_alive():
            self._thread.join(0.2)  # a join without a limit could not be interrupted everywhere

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Server on port {self.port}: open .url in a browser>"


@caller("serve")
def serve(
    model: Any = None,
    X: Any = None,
    axes: Any = None,
    explainer: Any = None,
    *,
    port: int = 0,
    open_browser: bool = True,
    **options: Any,
) -> Server:
    """Start the explorer in a browser, on this machine alone, and return at once.

    Args:
        model: A model, several by name, or a :class:`~pxgen_plugins.explorer.Session`.
        X: Anchors; see :class:`~pxgen_plugins.explorer.Session`, as for those that follow.
        axes: What sliders move.
        explainer: A fitted PXGen, or several by name.
        port: Where to listen; 0 takes a free port.
        open_browser: Open the page in the browser.
        options: ``labels``, ``units``, ``task``, ``tools``, ``title``, ``theme``.

    Returns:
        The server: ``server.url`` is the page, ``server.stop()`` ends it, as ``with`` does.

    Raises:
        ParameterError: When an argument is not allowed, or the port is taken.

    Example:
        >>> from pxgen_plugins.testing.examples import LinearModel
        >>> with serve(LinearModel(), open_browser=False) as server:
        ...     server.url.startswith("http://127.0.0.1:")
        True
    """
    port = validation.integer(port, "port", minimum=0, maximum=65_535)
    validation.boolean(open_browser, "open_browser")
    session = Session.of(model, X, axes, explainer, options)
    server = Server(session, port)
    if open_browser:
        webbrowser.open(server.url)
    return server


class _Http(ThreadingHTTPServer):
    """The sockets: every connection has a thread, and both end when the server stops."""

    allow_reuse_address = True
    request_queue_size = 64
    session: Session
    token: str
    contents: dict[str, tuple[bytes, str]]

    def __init__(self, *arguments: Any) -> None:
        self._threads_of: dict[Any, threading.Thread] = {}
        self._opening = threading.Lock()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        arguments = (request, client_address)
        thread = threading.Thread(
            target=self.process_request_thread, args=arguments, daemon=True, name=f"{_NAME}-page"
        )
        with self._opening:
            self._threads_of[request] = thread
        thread.start()

    def shutdown_request(self, request: Any) -> None:
        with self._opening:
            self._threads_of.pop(request, None)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        with self._opening:
            left = dict(self._threads_of)
        for request in left:  # browsers keep connections open: their threads wait for a message
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)
        for thread in left.values():
            thread.join(_PATIENCE)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Leave a connection that broke without a word: a page was closed."""


class _Handler(BaseHTTPRequestHandler):
    """Answers GET for the page's files, and POST /message."""

    server: _Http
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else every answer waits 40 ms for an acknowledgement
    wbufsize = -1
    timeout = _SECONDS

    def do_GET(self) -> None:
        """Answer with one of the page's files."""
        if not self._is_local():
            return
        content = self.server.contents.get(self.path)  # the path as it came: there is no folder
        if content is None:
            self._refuse(HTTPStatus.NOT_FOUND)
        else:
            self._send(HTTPStatus.OK, *content)

    def do_POST(self) -> None:
        """Answer a message."""
        if not self._is_local():
            return
        if self.path != "/message":
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        given = self.headers.get("X-Token", "").encode("utf-8", "replace")
        if not hmac.compare_digest(given, self.server.token.encode()):
            self._refuse(HTTPStatus.FORBIDDEN)
            return
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
            return
        lengths = self.headers.get_all("Content-Length") or []
        length = lengths[0] if len(lengths) == 1 else ""
        if not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in self.headers:
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
            return
        if len(length) > 9 or int(length) > _BODY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            self._drain()
            return
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            return
        try:
            message: Any = parse_json(body)
        except (ValueError, RecursionError):
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        answer = self.server.session.handle(message).inline()
        text = json.dumps(answer, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
        self._send(HTTPStatus.OK, text.encode(), "application/json")

    def _is_local(self) -> bool:
        """Return whether a request is for this server by its loopback name, from its own page.

        A page of another site can have its name resolve to 127.0.0.1 (DNS rebinding): then it is
        in the header Host.
        """
        port = self.server.server_address[1]
        hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        given = self.headers.get_all("Host") or []
        origins = self.headers.get_all("Origin") or []
        site = self.headers.get("Sec-Fetch-Site", "none")
        good = len(given) == 1 and given[0].lower() in hosts
        good = good and all(_is_own(origin, hosts) for origin in origins)
        # a link on another site may open the page; nothing else of it may ask
        if site not in ("none", "same-origin"):
            good = good and self.command == "GET" and self.path == "/"
        if not good:
            self._refuse(HTTPStatus.FORBIDDEN)
        return good

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no request, or another method: without repeating what was sent."""
        self._refuse(HTTPStatus(code))

    def _refuse(self, status: HTTPStatus) -> None:
        self.close_connection = True  # what was not read of the request must not be the next one
        self._send(status, status.phrase.encode(), "text/plain; charset=utf-8")

    def _drain(self) -> None:
        """Read what is still sent, for a moment: a closed door would hide the answer."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(_LINGER)
            left = 32 * _BODY
            while left > 0 and (part := self.connection.recv(2**16)):
                left -= len(part)

    def _send(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response_only(status)  # neither date nor version: a slider waits
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        headers = _HEADERS if kind == "application/json" else _PAGE_HEADERS
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if getattr(self, "command", None) != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Write no log: addresses hold tokens."""


def _is_own(origin: str, hosts: set[str]) -> bool:
    parts = urlsplit(origin)
    return parts.scheme == "http" and parts.netloc.lower() in hosts and not parts.path
