"""The describer that asks an endpoint, against a stub on loopback that does everything wrong."""

from __future__ import annotations

import base64
import io
import pickle
import time
import traceback
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pxgen_plugins.adapters import LatentDescription
from pxgen_plugins.describers import OpenAICompatible, read_question
from pxgen_plugins.utils.errors import ModelError, ParameterError, PXGenWarning
from tests.adapters.planted import FACTORS, Renderer, Truthful

from .stub import Stub, completion, pictures_of, send

KEY = "sk-a-secret/of=these+tests"
IMAGE = np.arange(48, dtype=np.uint8).reshape(6, 8)


@pytest.fixture(name="stub")
def _stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    monkeypatch.setenv("STUB_KEY", KEY)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # must not be asked for this machine
    stub = Stub()
    yield stub
    stub.close()


def cut(handler: Any, _: Any) -> None:
    """Half of an answer, then the end of the connection."""
    handler.send_response(200)
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.wfile.write(completion("It grows.")[:20])
    handler.close_connection = True


def drip(handler: Any, _: Any) -> None:
    """A byte now and then, so that no single wait is long."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    trickle(handler, b" " * 100)


def drip_head(handler: Any, _: Any) -> None:
    trickle(handler, b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20)


def drip_chunks(handler: Any, _: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    trickle(handler, b"0" * 100)


def trickle(handler: Any, content: bytes) -> None:
    for byte in content:
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        time.sleep(0.05)


def silence(*_: Any) -> None:
    time.sleep(2.0)


def describer(stub: Stub, **options: Any) -> OpenAICompatible:
    given = {"key_variable": "STUB_KEY", "per_minute": None, "timeout": 5.0, **options}
    return OpenAICompatible(stub.url, "a-model", **given)


@pytest.fixture(name="waits")
def _waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited for; nobody waits."""
    waits: list[float] = []
    # the module's own name: threads of the stub, which sleep too, are left alone
    clock = SimpleNamespace(sleep=waits.append, monotonic=time.monotonic, time=time.time)
    monkeypatch.setattr("pxgen_plugins.describers.openai_compatible.time", clock)
    return waits


def test_a_request_holds_prompt_pictures_and_the_key_in_its_header(stub):
    stub.script = [send(200, completion("It grows."))]
    colour = np.zeros((4, 5, 3), np.uint8)
    colour[..., 0] = 200
    describe = describer(stub, options={"max_tokens": None, "max_completion_tokens": 7})
    assert describe([IMAGE, colour], "What changes?", seed=2**40 + 5) == "It grows."
    (request,), (headers,) = stub.requests, stub.headers
    assert request["model"] == "a-model"
    assert request["seed"] == (2**40 + 5) % 2**31
    assert "max_tokens" not in request
    assert request["max_completion_tokens"] == 7
    assert headers["Authorization"] == f"Bearer {KEY}"
    (message,) = request["messages"]
    text, *pictures = message["content"]
    assert text == {"type": "text", "text": "What changes?"}
    for part, image in zip(pictures, [IMAGE, colour], strict=True):
        head, _, data = part["image_url"]["url"].partition(",")
        assert head == "data:image/png;base64"
        np.testing.assert_array_equal(
            np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), image
        )


@pytest.mark.parametrize(
    ("fault", "retried", "words"),
    [
        (send(429, b"slow down", Retry_After="7"), True, "status 429"),
        (send(500, b"oops"), True, "status 500"),
        (send(503, b""), True, "status 503"),
        (send(200, completion("It grows.")[:-9]), True, "no completion in JSON"),
        (send(200, b"[" * 5000), True, "no completion in JSON"),
        (send(200, b'{"choices": []}'), True, "no completion in JSON"),
        (cut, True, "no"),
        (send(401, b"bad key " + KEY.encode()), False, "status 401"),
        (send(404, b"<html>"), False, "status 404"),
        (send(200, b" " * 2**21), False, "more than 1,048,576 bytes"),
        (send(200, completion(None)), False, "without text"),
        (send(307, b"", Location="http://127.0.0.1:9/"), False, "redirect"),
        (send(302, b"", Location="http://example.org/"), False, "redirect"),
        (send(429, b"", Retry_After="86400"), False, "86400 seconds"),
    ],
    ids=["429", "500", "503", "truncated", "deep", "empty", "cut", "401", "404", "2 MB", "no text",
         "307", "302", "a day"],
)  # fmt: skip
def test_what_may_pass_is_tried_again_and_all_else_is_one_error(stub, waits, fault, retried, words):
    stub.script = [fault, send(200, completion("It grows."))]
    if retried:
        assert describer(stub)([IMAGE], "?", seed=0) == "It grows."
        assert len(stub.requests) == 2
        assert waits[-1] == 7.0 or 0.5 <= waits[-1] <= 1.0
        stub.script = [fault]
    with pytest.raises(ModelError, match=words) as caught:
        describer(stub)([IMAGE], "?", seed=0)
    assert len(stub.requests) == (5 if retried else 1)
    shown = "".join(traceback.format_exception(caught.value))
    assert KEY not in shown
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("slow", [silence, drip, drip_head, drip_chunks])
def test_a_slow_answer_ends_in_time(stub, slow):
    stub.script = [slow]
    start = time.monotonic()
    with pytest.raises(ModelError, match="endpoint"):
        describer(stub, timeout=0.3, retries=0)([IMAGE], "?", seed=0)
    assert time.monotonic() - start < 1.5


def test_requests_keep_their_distance(stub, waits):
    stub.script = [send(200, completion("It grows."))]
    describe = describer(stub, per_minute=0.06)  # one in 1,000 seconds
    for _ in range(3):
        describe([], "?", seed=0)
    assert waits[0] == 0.0
    assert 900 < waits[1] <= 1000
    assert 1900 < waits[2] <= 2000


def test_the_key_is_nowhere_but_in_the_header(stub, monkeypatch):
    stub.script = [send(200, completion(f"Your key is {KEY}."))]
    describe = describer(stub)
    assert describe([IMAGE], "?", seed=0) == "Your key is ${STUB_KEY}."
    held = [repr(describe), str(vars(describe)), pickle.dumps(describe).decode("latin1")]
    assert all(KEY not in text for text in held)
    for value in ("", "two words", "line\nbreak", "caf\u00e9"):
        monkeypatch.setenv("STUB_KEY", value)
        with pytest.raises(ParameterError, match="STUB_KEY") as caught:
            describe([IMAGE], "?", seed=0)
        assert not value or value not in str(caught.value)
    assert len(stub.requests) == 1


def test_a_key_that_is_no_secret_leaves_answers_alone(stub, monkeypatch):
    monkeypatch.setenv("STUB_KEY", "x")
    stub.script = [send(200, completion('{"attribute": "x position"}'))]
    assert describer(stub)([], "?", seed=0) == '{"attribute": "x position"}'


def test_what_answers_depend_on_is_in_the_repr_and_in_the_log(stub, tmp_path):
    """Answers of another model, or at another temperature, are no answers to this question."""
    stub.script = [send(200, completion('{"changes": false}'))]
    options = ({}, {"temperature": 0.2}, {"max_tokens": 9}, {"options": {"top_p": 0.5}})
    assert len({repr(describer(stub, **one)) for one in options}) == len(options)
    for n, one in enumerate([*options, {}], start=1):
        adapter = LatentDescription(Renderer(), describer(stub, **one), folder=tmp_path)
        calls = adapter.explain(None).n_calls
        assert len(stub.requests) == calls * min(n, len(options))
    long = "m" * 150
    adapters = [
        LatentDescription(
            Renderer(),
            OpenAICompatible(stub.url, long + end, key_variable=None, per_minute=None),
            folder=tmp_path,
        )
        for end in "ab"
    ]
    before = len(stub.requests)
    assert sum(one.explain(None).n_calls for one in adapters) == len(stub.requests) - before


@pytest.mark.parametrize(
    "address",
    ["http://models.example.org/v1", "ftp://127.0.0.1/", "https://user:pass@example.org/v1",
     "https://example.org/v1?key=abc", "https://", "127.0.0.1:80", "http://127.0.0.1.example.org",
     "file:///etc/passwd", None, "http://[::1", "https://example.org:port/"],
)  # fmt: skip
def test_only_https_or_this_machine(address):
    with pytest.raises(ParameterError, match="base_url") as caught:
        OpenAICompatible(address, "m", key_variable="K")
    assert "pass@" not in str(caught.value)
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["http://localhost:8000/v1", "http://[::1]:80", "http://127.9.0.1"]
)
def test_this_machine_may_do_without_https(address):
    assert OpenAICompatible(address, "m", key_variable=None).base_url == address


def test_a_description_by_an_endpoint_that_fails_says_what_is_missing_and_goes_on(stub, tmp_path):
    """Cut off after ten answers; the second run asks only what is missing, the third nothing."""
    truthful = Truthful()

    def answer(handler: Any, request: Any) -> None:
        text, images = pictures_of(request)
        said = truthful(images, text, seed=request["seed"])
        send(200, completion(said + f" [{KEY}]"))(handler, request)

    def describe_axes() -> Any:
        describe = describer(stub, retries=0)
        return LatentDescription(Renderer(), describe, folder=tmp_path / "run").explain(None)

    stub.script = [answer] * 10 + [send(500, b"down " + KEY.encode())]
    with pytest.warns(PXGenWarning, match="have no answer"):
        first = describe_axes()
    assert len(stub.requests) == 13  # three failures in a row end it
    assert [bool(why) for why in first.missing] == [True] * 4 + [False]
    assert len(first.answers[0]) == len(first.answers[1]) == 5  # these lack only the null films
    assert first.status == ["missing"] * 4 + ["not visible"]  # without null films nothing is clear
    assert first.sentence == ["no answer"] * 4 + ["no visible change"]
    stub.script = [answer]
    second = describe_axes()
    assert len(stub.requests) == 13 + second.n_calls - 10
    attributes = [factor[0] if factor else "" for factor in FACTORS.values()]
    assert second.attribute == attributes
    assert second.confirmed.tolist() == [True] * 4 + [False]
    third = describe_axes()
    assert len(stub.requests) == 13 + second.n_calls - 10
    assert third.to_json() == second.to_json()
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    for content in [*written, *(one.to_json().encode() for one in (first, second))]:
        assert KEY.encode() not in content
    assert all(read_question(prompt).task for prompt in second.prompts)
