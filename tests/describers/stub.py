"""An endpoint on loopback that answers as a test says."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image


class Stub:
    """An endpoint whose answers a test writes: a status, headers, a body, and how it is sent."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.script: list[Any] = []  # of what comes before the last entry, which is repeated
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                stub.requests.append(json.loads(content))
                stub.headers.append(dict(self.headers))
                step = stub.script.pop(0) if len(stub.script) > 1 else stub.script[0]
                with contextlib.suppress(OSError):
                    step(self, stub.requests[-1])

            do_GET = do_POST

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def send(status: int, body: bytes, **headers: str) -> Any:
    def step(handler: Any, _: Any) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return step


def pictures_of(request: Any) -> tuple[str, list[Any]]:
    """Return the prompt of a request, and its pictures."""
    text, *parts = request["messages"][0]["content"]
    data = [base64.b64decode(part["image_url"]["url"].partition(",")[2]) for part in parts]
    return text["text"], [np.asarray(Image.open(io.BytesIO(one))) for one in data]


def completion(text: Any) -> bytes:
    return json.dumps({"choices": [{"message": {"content": text}}]}).encode()
