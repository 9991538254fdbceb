"""The server answers its own page on this machine, and nobody else."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
import yaml

from pxgen_plugins.explorer import Session, front_end, serve
from pxgen_plugins.testing.examples import LinearModel
from pxgen_plugins.utils.errors import ParameterError
from tests.explorer.conftest import request
from tests.explorer.settings import SETTINGS

OPEN = {"id": 1, "kind": "open"}
DECODE = {"id": 2, "kind": "decode", "z": [0.1, 0.2, 0.3]}


def raw(port: int, text: bytes, wait: float = 10.0) -> bytes:
    """Send bytes as they are and return all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(65_536):
            parts.append(part)
        return b"".join(parts)


def test_a_message_is_answered_with_the_pictures_of_the_session(server):
    status, body, headers = request(server, DECODE)
    content, answer = json.loads(body), server.session.handle(DECODE)
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert base64.b64decode(content["image"]["png"]) == answer.buffers[0]
    assert content["values"] == answer.content["values"]


@pytest.mark.parametrize("path", ["/", "/explorer.js", "/explorer.css", "/page.js"])
def test_the_page_and_its_files_come_without_a_token(server, path):
    status, body, headers = request(server, b"", method="GET", path=path, headers={"X-Token": None})
    assert status == 200
    name = "page.html" if path == "/" else path[1:]
    own = front_end.script() if path == "/explorer.js" else front_end.content(name)
    assert body == own.encode()
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["img-src"] == "data: blob:"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Access-Control-Allow-Origin"] is None
    assert server.token.encode() not in body


ATTACKS = {
    "a name that resolves here (DNS rebinding)": ({"Host": "evil.example"}, 403),
    "the same with our port": ({"Host": "evil.example:PORT"}, 403),
    "another port": ({"Host": "127.0.0.1:1"}, 403),
    "an address like ours": ({"Host": "127.0.0.1.evil.example:PORT"}, 403),
    "any address": ({"Host": "0.0.0.0:PORT"}, 403),
    "a page of another site": ({"Origin": "https://evil.example"}, 403),
    "a page of another server here": ({"Origin": "http://127.0.0.1:1"}, 403),
    "a page of a file": ({"Origin": "null"}, 403),
    "the same over https": ({"Origin": "https://127.0.0.1:PORT"}, 403),
    "a name before ours": ({"Origin": "http://127.0.0.1:PORT@evil.example"}, 403),
    "another site, said by the browser": ({"Sec-Fetch-Site": "cross-site"}, 403),
    "no token": ({"X-Token": None}, 403),
    "an empty token": ({"X-Token": ""}, 403),
    "another token": ({"X-Token": "x" * 43}, 403),
    "a token that is no ASCII": ({"X-Token": "\xe9"}, 403),
    "a form": ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    "plain text, which needs no preflight": ({"Content-Type": "text/plain"}, 415),
    "no type": ({"Content-Type": None}, 415),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_message_from_elsewhere_is_refused(server, attack):
    headers, expected = ATTACKS[attack]
    sent = {k: v and v.replace("PORT", str(server.port)) for k, v in headers.items()}
    status, body, answered = request(server, DECODE, headers=sent)
    assert status == expected
    assert len(body) < 60
    assert answered["Access-Control-Allow-Origin"] is None
    if "Host" in headers or "Sec-Fetch-Site" in headers:
        get = request(server, b"", method="GET", path="/explorer.js", headers=sent)
        assert get[0] == 403


def test_the_page_of_this_server_may_ask_by_both_of_its_names(server):
    for name in ("127.0.0.1", "localhost"):
        own = {"Host": f"{name}:{server.port}", "Origin": f"http://{name}:{server.port}",
               "Sec-Fetch-Site": "same-origin"}  # fmt: skip
        assert request(server, DECODE, headers=own)[0] == 200


def test_a_link_on_another_site_opens_the_page_and_no_more(server):
    linked = {"Sec-Fetch-Site": "cross-site"}
    assert request(server, b"", method="GET", path="/", headers=linked)[0] == 200
    assert request(server, b"", method="GET", path="/page.js", headers=linked)[0] == 403


PATHS = [
    "/../../etc/passwd", "/..%2f..%2fetc%2fpasswd", "/%2e%2e/session.py", "/session.py",
    "/front/page.html", "/explorer.js/", "/explorer.js?x", "/explorer.js%00", "/./explorer.js",
    "/message", "/favicon.ico", "http://127.0.0.1/", "/\\..\\server.py", "*", "/PAGE.JS",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_no_other_path_is_answered(server, path):
    text = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode()
    answer = raw(server.port, text)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"root:" not in answer


@pytest.mark.parametrize(
    "method", ["PUT", "DELETE", "OPTIONS", "HEAD", "TRACE", "CONNECT", "X" * 99]
)
def test_no_other_method_is_answered(server, method):
    text = f"{method} / HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode()
    answer = raw(server.port, text)
    assert re.match(rb"HTTP/1\.1 (405|501) ", answer)
    assert method.encode() * 2 not in answer
    assert b"PXGen" not in answer.split(b"\r\n\r\n")[-1]


def post(server: Any, headers: str, body: bytes) -> bytes:
    own = f"Host: 127.0.0.1:{server.port}\r\nX-Token: {server.token}\r\n"
    head = f"POST /message HTTP/1.1\r\n{own}Content-Type: application/json\r\n{headers}\r\n"
    return raw(server.port, head.encode() + body)


def test_a_body_of_ten_megabytes_is_refused_before_it_is_read(server):
    start = time.monotonic()
    answer = post(server, f"Content-Length: {10 * 2**20}\r\n", b"")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert time.monotonic() - start < 5
    body = b'{"id": 1, "kind": "decode", "z": [' + b"0.0," * (10 * 2**18)
    assert request(server, body)[0] == 413
    assert request(server, DECODE)[0] == 200
    padded = json.dumps(DECODE).encode()
    assert request(server, padded + b" " * (2**20 - len(padded)))[0] == 200
    assert request(server, padded + b" " * (2**20 - len(padded) + 1))[0] == 413


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ("", b"{}", b"411"),
        ("Content-Length: -1\r\n", b"{}", b"411"),
        ("Content-Length: 2\r\nContent-Length: 20\r\n", b"{}", b"411"),
        ("Content-Length: 1e3\r\n", b"{}", b"411"),
        ("Content-Length: 99999999999999999999\r\n", b"{}", b"413"),
        ("Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n", b"411"),
        ("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", b"{}", b"411"),
        ("Content-Length: 1\r\n", b"{", b"400"),
        ("Content-Length: 4\r\n", b"\xff\xfe\x00\x01", b"400"),
        ("Content-Length: 200000\r\n", b"[" * 200_000, b"400"),
        ("Content-Length: 6001\r\n", b"1" * 6_001, b"400"),
        ("Content-Length: 50\r\n", b"{}", b""),  # the rest never comes
        ("Content-Length: 2\r\n", b"{}", b"200"),
    ],
)
def test_each_of_these_bodies_has_its_answer(server, headers, body, expected):
    answer = post(server, headers, body)
    assert answer.split(b" ")[1:2] == ([expected] if expected else [])
    if expected == b"200":
        assert b'"error"' in answer


def test_what_is_no_http_closes_the_connection_and_nothing_else(server, capfd):
    for text in (
        b"\x00" * 10,
        b"GET /\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"A" * 70_000 + b"\r\n",
    ):
        assert b"200" not in raw(server.port, text).split(b"\r\n")[0]
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"POST /message HTTP/1.1\r\nHost")  # a page that is closed meanwhile
    assert request(server, DECODE)[0] == 200
    assert capfd.readouterr() == ("", "")


def test_two_tabs_are_answered_side_by_side(server):
    answers: dict[str, list[Any]] = {"one": [], "two": []}

    def tab(name: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        headers = {"X-Token": server.token, "Content-Type": "application/json"}
        for number in range(20):
            z = [0.1 * number, float(name == "one"), 0.0]
            message = {"id": number, "kind": "decode", "z": z, "client": name}
            connection.request("POST", "/message", json.dumps(message), headers)
            answers[name].append((z, json.loads(connection.getresponse().read())))
        connection.close()

    tabs = [threading.Thread(target=tab, args=(name,)) for name in answers]
    for one in tabs:
        one.start()
    for one in tabs:
        one.join(60)
    for name, got in answers.items():
        assert [answer["id"] for _, answer in got] == list(range(20)), name
        for z, answer in got:
            alone = server.session.handle({"id": 0, "kind": "decode", "z": z})
            assert base64.b64decode(answer["image"]["png"]) == alone.buffers[0]


def own_threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("pxgen-explorer")]


def test_stopping_frees_the_port_and_every_thread():
    assert own_threads() == []
    server = serve(LinearModel(), open_browser=False)
    kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    kept.request("GET", "/")
    kept.getresponse().read()  # a browser keeps it open
    assert len(own_threads()) == 2
    start = time.monotonic()
    server.stop()
    assert time.monotonic() - start < 2.0
    assert own_threads() == []
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server.port), timeout=2)
    server.stop()
    with serve(LinearModel(), port=server.port, open_browser=False) as again:
        assert again.port == server.port
        assert again.token != server.token
        assert len(base64.urlsafe_b64decode(again.token + "=")) == 32
        assert again.url == f"http://127.0.0.1:{again.port}/#{again.token}"
        with pytest.raises(ParameterError, match="port must be free"):
            serve(LinearModel(), port=again.port, open_browser=False)
        old = {"X-Token": server.token}
        assert request(again, DECODE, headers=old)[0] == 403


def test_an_answer_that_takes_long_does_not_hold_up_the_page(server):
    session = Session(LinearModel())
    with serve(session, open_browser=False) as slow, session._turns.alone():
        assert request(slow, b"", method="GET", path="/")[0] == 200


@pytest.mark.parametrize("port", [-1, 65_536, 1.5, "80"])
def test_a_port_is_checked(port):
    with pytest.raises(ParameterError, match="serve: port"):
        serve(LinearModel(), port=port, open_browser=False)


def test_a_session_is_served_as_it_is_and_alone():
    session = Session(LinearModel(), title="mine")
    with serve(session, open_browser=False) as server:
        assert server.session is session
    with pytest.raises(ParameterError, match="alone"):
        serve(session, title="yours", open_browser=False)


@pytest.mark.slow
def test_the_command_serves_what_settings_name_and_a_killed_one_frees_its_port(tmp_path):
    (tmp_path / "settings.yaml").write_text(SETTINGS)
    command = [sys.executable, "-m", "pxgen_plugins.audit.cli", "app", "settings.yaml"]

    def start(*options: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [*command, "--no-browser", *options], cwd=tmp_path, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            # a shell's background job ignores Ctrl-C, and hands that on
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    process, url = start()
    try:
        port, token = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/#(.{43})", url).groups()
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30)
        headers = {"X-Token": token, "Content-Type": "application/json"}
        connection.request("POST", "/message", json.dumps(OPEN), headers)
        info = json.loads(connection.getresponse().read())
        assert info["anchors"]["n"] == 40
        assert [one["name"] for one in info["criteria"]] == ["kld", "mse"]
        assert info["title"] == "audit"
        connection.close()
    finally:
        process.kill()
        process.communicate()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(port)), timeout=2)
    process, again = start("--port", port)
    assert again.startswith(f"http://127.0.0.1:{port}/#")
    assert token not in again
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert said.splitlines()[-1] == "stopped"
    assert yaml.safe_load(SETTINGS)["anchors"]["limit"] == 40
