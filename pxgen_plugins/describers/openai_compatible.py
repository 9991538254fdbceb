"""An endpoint of the user's that speaks the chat protocol of OpenAI.

This and ``pxgen log`` are the places of the package that open a connection to another machine.
"""

from __future__ import annotations

import email.utils
import http.client
import ipaddress
import json
import os
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import IO, Any
from urllib.parse import quote, urlsplit

from pxgen_plugins.describers.base import Picture
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ModelError, ParameterError, caller, short_repr
from pxgen_plugins.utils.json_files import parse_json
from pxgen_plugins.utils.thumbnails import png_url

__all__ = ["OpenAICompatible"]

_LARGEST_ANSWER = 2**20  # bytes
_LONGEST_WAIT = 60.0  # seconds that a server may ask us to wait
_RETRIED = (408, 425, 429, 500, 502, 503, 504)
_CHUNK = 2**16
_SHORTEST = 5  # characters of a key that is looked for in answers
_LOCK = threading.Lock()  # of no describer, so that each can be copied and saved


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: pictures and key go to the host that was named, and nowhere else."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class _Fault(Exception):
    """An attempt that failed.

    Args:
        got: What happened, in words.
        again: Whether another attempt may succeed.
        wait: Seconds that the server asked for; None without.
    """

    def __init__(self, got: str, again: bool, wait: float | None = None) -> None:
        super().__init__(got)
        self.got, self.again, self.wait = got, again, wait


class OpenAICompatible:
    """Asks a multimodal language model behind a user's own endpoint.

    The request is ``POST {base_url}/chat/completions`` with one user message: the prompt, then the
    pictures as PNG files in ``data:`` addresses. It goes to ``base_url`` and nowhere else, no
    redirect is followed, and there is no default address. The key is read from the environment
    variable at every call; it is in no attribute, no file and no error.

    Args:
        base_url: Address in front of ``/chat/completions``: https, or http on this machine.
        model: Name of the model at the endpoint.
        key_variable: Environment variable that holds the key; None sends none.
        temperature: Of the answers, >= 0. At 0 all answers to one question are equal, and their
            agreement says nothing.
        timeout: Seconds for one attempt, > 0.
        retries: Further attempts after a failure that may pass, >= 0.
        max_tokens: Most tokens of an answer, >= 1.
        per_minute: Most requests a minute, > 0; None for any number.
        options: Further fields of the request; None as a value leaves a field out, as in
            ``{"max_tokens": None, "max_completion_tokens": 200}``.

    Raises:
        ParameterError: When an argument is not allowed.

    Example:
        >>> OpenAICompatible("https://models.example.org/v1", "a-model", key_variable="MODELS_KEY")
        OpenAICompatible('https://models.example.org/v1', 'a-model', key_variable='MODELS_KEY')
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        key_variable: str | None,
        temperature: float = 0.7,
        timeout: float = 60.0,
        retries: int = 2,
        max_tokens: int = 200,
        per_minute: float | None = 60.0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        with caller("OpenAICompatible"):
            self.base_url, self._local = _address(base_url)
            self.model = _name(model, "model")
            self.key_variable = (
                None if key_variable is None else _name(key_variable, "key_variable")
            )
            self.temperature = validation.real(temperature, "temperature", minimum=0.0)
            self.timeout = validation.real(timeout, "timeout", above=0.0)
            self.retries = validation.integer(retries, "retries", minimum=0)
            self.max_tokens = validation.integer(max_tokens, "max_tokens", minimum=1)
            self.per_minute = per_minute
            if per_minute is not None:
                self.per_minute = validation.real(per_minute, "per_minute", above=0.0)
        self.options = dict(options or {})
        self._next = 0.0  # on the monotonic clock

    def __repr__(self) -> str:
        # all that answers depend on: folders of answers tell describers apart by it
        parts = [f"{self.base_url!r}, {self.model!r}, key_variable={self.key_variable!r}"]
        given = {"temperature": 0.7, "max_tokens": 200, "options": {}}
        parts += [f"{k}={getattr(self, k)!r}" for k, v in given.items() if getattr(self, k) != v]
        return f"OpenAICompatible({', '.join(parts)})"

    def __call__(self, images: list[Picture], prompt: str, *, seed: int) -> str:
        """Return the answer of the model.

        Args:
            images: Bytes, (h, w) or (h, w, 3) each.
            prompt: The question.
            seed: Sent with the request; whether it has an effect is up to the endpoint.

        Raises:
            ParameterError: When the environment variable holds no key.
            ModelError: When the endpoint gives no answer, after all attempts.
        """
        with caller("OpenAICompatible"):
            body = self._body(images, prompt, seed)
            key = self._key()
            jitter = random.Random(seed)
            for attempt in range(self.retries + 1):
                self._pace()
                try:
                    return _without(key, self.key_variable, self._ask(body, key))
                except _Fault as fault:
                    wait = fault.wait
                    if wait is None:
                        wait = 0.5 * 2**attempt * (1.0 + jitter.random())
                    last = attempt == self.retries or not fault.again or wait > _LONGEST_WAIT
                    if last:
                        got = _without(key, self.key_variable, fault.got)
                        break
                time.sleep(wait)
            hint = f"Look at {self.base_url} and at the model's name, or ask again later."
            tries = f", in {attempt + 1} attempts" if attempt else ""
            raise ModelError("endpoint", "one that answers", got + tries, hint)

    def _body(self, images: list[Picture], prompt: str, seed: int) -> bytes:
        parts: list[dict[str, Any]] = [{"type": "text", "text": prompt}]
        for image in images:
            pixels = image[..., None] if image.ndim == 2 else image
            url = png_url(pixels, max(image.shape[:2]))[0]
            parts.append({"type": "image_url", "image_url": {"url": url}})
        request = {
            "model": self.model,
            "messages": [{"role": "user", "content": parts}],
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": seed % 2**31,  # what servers in C take
            **self.options,
        }
        request = {name: value for name, value in request.items() if value is not None}
        return json.dumps(request).encode()

    def _key(self) -> str:
        """Return the key; an error names the variable, never what it holds."""
        if self.key_variable is None:
            return ""
        key = os.environ.get(self.key_variable, "").strip()
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            got = "one with characters that no header may hold" if key else "none"
            hint = f"Set {self.key_variable} in the environment of this process."
            allowed = "an environment variable that holds a key"
            raise ParameterError("key_variable", allowed, got, hint)
        return key

    def _pace(self) -> None:
        """Wait until the next request is due; threads queue."""
        if self.per_minute is None:
            return
        with _LOCK:
            now = time.monotonic()
            due = max(now, self._next)
            self._next = due + 60.0 / self.per_minute
        time.sleep(due - now)

    def _ask(self, body: bytes, key: str) -> str:
        """Return the text of one answer, or raise :class:`_Fault`, after ``timeout`` at the latest.

        In a thread that is left alone then: a socket's own timeout bounds one wait, not the time
        that names, handshakes or headers take which come byte by byte.
        """
        found: list[bytes | BaseException] = []

        def attempt() -> None:
            try:
                found.append(self._exchange(body, key))
            except BaseException as error:  # raised again below
                found.append(error)

        thread = threading.Thread(target=attempt, name="OpenAICompatible", daemon=True)
        thread.start()
        thread.join(self.timeout)
        if not found:
            raise _Fault("no whole answer in time", again=True)
        if isinstance(found[0], BaseException):
            raise found[0]
        return _text(found[0])

    def _exchange(self, body: bytes, key: str) -> bytes:
        """Return the body of one answer, or raise :class:`_Fault`."""
        request = urllib.request.Request(f"{self.base_url}/chat/completions", data=body)
        request.add_header("Content-Type", "application/json")
        request.add_header("Accept", "application/json")
        if key:
            request.add_unredirected_header("Authorization", f"Bearer {key}")
        handlers: list[Any] = [_NoRedirects]
        if self._local:  # a proxy would take the request, and the key, off this machine
            handlers.append(urllib.request.ProxyHandler({}))
        end = time.monotonic() + self.timeout
        try:
            opener = urllib.request.build_opener(*handlers)
            with opener.open(request, timeout=self.timeout) as response:
                return _read(response, end)
        except urllib.error.HTTPError as error:
            raise _refusal(error, end) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            got = f"no whole answer ({type(reason).__name__}: {str(reason)[:200]})"
            raise _Fault(got, again=True) from None


def _read(response: IO[bytes], end: float) -> bytes:
    """Return the body, of at most the largest size and before the end; a slow one is a fault."""
    content = bytearray()
    read = getattr(response, "read1", response.read)  # returns what has come, not all of it
    while chunk := read(_CHUNK):
        content += chunk
        if len(content) > _LARGEST_ANSWER:
            got = f"an answer of more than {_LARGEST_ANSWER:,} bytes"
            raise _Fault(got, again=False)
        if time.monotonic() > end:
            raise _Fault("no whole answer in time", again=True)
    return bytes(content)


def _refusal(error: urllib.error.HTTPError, end: float) -> _Fault:
    """Return the fault of a status that is no success, with the server's own words."""
    with error:
        try:
            words = _read(error, end)[:300].decode("utf-8", "replace")
        except (OSError, http.client.HTTPException, _Fault):
            words = ""
    got = f"status {error.code}" + (f" ({short_repr(words)})" if words else "")
    if 300 <= error.code < 400:
        got = f"a redirect (status {error.code}), which is not followed"
    wait = _retry_after(error.headers.get("Retry-After"))
    if wait is not None and wait > _LONGEST_WAIT:
        got += f"; it asks to wait for {wait:.0f} seconds"
    return _Fault(got, error.code in _RETRIED, wait)


def _retry_after(text: str | None) -> float | None:
    """Return the seconds of a Retry-After header, a number or a date; None without one.

    Example:
        >>> _retry_after("7"), _retry_after("soon")
        (7.0, None)
    """
    if text is None:
        return None
    if text.strip().isdecimal() and len(text) < 10:
        return float(text)
    try:
        date = email.utils.parsedate_to_datetime(text)
        return max(0.0, date.timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _text(content: bytes) -> str:
    """Return the text of a completion; what is none is a fault that another attempt may mend."""
    try:
        answer = parse_json(content)
        text = answer["choices"][0]["message"]["content"]
    except (ValueError, RecursionError, KeyError, IndexError, TypeError):
        got = f"{len(content):,} bytes that are no completion in JSON"
        raise _Fault(got, again=True) from None
    if not isinstance(text, str):
        raise _Fault("a completion without text", again=False)
    return text


def _without(key: str, variable: str | None, text: str) -> str:
    """Return a text without the key, which an endpoint may repeat.

    A key of fewer than five characters, such as "none", is no secret, and stands in many texts.
    """
    if len(key) < _SHORTEST:
        return text
    for form in {key, json.dumps(key)[1:-1], quote(key, safe="")} - {""}:
        text = text.replace(form, f"${{{variable}}}")
    return text


def _name(value: Any, parameter: str) -> str:
    if not isinstance(value, str) or not value or not value.isprintable() or "=" in value:
        hint = "Give its name."
        raise ParameterError(parameter, "a name", short_repr(value), hint)
    return value


def _address(value: Any) -> tuple[str, bool]:
    """Return an address without its last slash, and whether it is on this machine."""
    allowed = "an https address, or an http address on this machine"
    hint = "Give it as in 'https://models.example.org/v1', without user, key, query or fragment."
    try:
        parts = urlsplit(str(value))
        host, user, _ = parts.hostname or "", parts.username, parts.port
    except ValueError:
        raise ParameterError("base_url", allowed, "none", hint) from None
    value = str(value)
    if user is not None or parts.query or parts.fragment or not value.isprintable():
        # not shown: this is where somebody may have put a key
        got = "one with a user, a query or a fragment"
        raise ParameterError("base_url", allowed, got, hint)
    local = _is_loopback(host)
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and local)):
        raise ParameterError("base_url", allowed, short_repr(value), hint)
    return value.rstrip("/"), local


def _is_loopback(host: str) -> bool:
    """Return whether a host is this machine, by its name alone: nothing is looked up."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
