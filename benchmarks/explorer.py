"""A slider step of the explorer over loopback against a bare decode and PNG."""

from __future__ import annotations

import http.client
import io
import json
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image
from rows import Row

from pxgen_plugins.datasets import load_mnist_gan
from pxgen_plugins.explorer import Server, Session
from pxgen_plugins.models import GAN
from pxgen_plugins.utils.threads import one_thread

TARGET = 3.0


def run(quick: bool = False) -> Iterator[Row]:
    """Yield the least time of a step, as a page asks for it, over that of the bare picture.

    Wall time, because waiting for an acknowledgement takes no processor time; the least of all
    steps, because a step of two threads is interrupted more often on a busy machine than a call of
    one. The two take turns. The ratio of the medians stands in the note.
    """
    steps = 5 if quick else 100
    generator, discriminator = load_mnist_gan()
    gan = GAN(generator, discriminator=discriminator, latent_shape=(generator.latent_size,))
    with one_thread(), Server(Session(gan)) as server:
        z = [float(value) for value in np.linspace(-1.0, 1.0, generator.latent_size)]
        client = Client(server)
        for name, small in (("picture alone", True), ("all that is shown", False)):
            cases: dict[str, Callable[[int], object]] = {
                "bare": lambda step: bare(gan, z, 0.02 * step),
                "http": lambda step, s=small: client.ask(z, 0.02 * step, s),  # type: ignore[misc]
            }
            times = turns(cases, steps)
            least, middle = ({k: f(v) for k, v in times.items()} for f in (min, median))
            yield Row(
                "explorer: slider step over HTTP / bare picture",
                f"DCGAN of 28 x 28, {name}, {steps} steps",
                least["http"] / least["bare"],
                "x wall time",
                target=TARGET,
                note=f"medians {middle['http'] / middle['bare']:.2f}; bare decode + PNG: "
                f"{1e3 * least['bare']:.2f} ms",
            )
        client.close()


class Client:
    """One connection, as a page keeps it."""

    def __init__(self, server: Server) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        self._headers = {"X-Token": server.token, "Content-Type": "application/json"}
        self._number = 0

    def ask(self, z: list[float], amount: float, small: bool) -> Any:
        """Return the answer to a step."""
        self._number += 1
        message = {"id": self._number, "kind": "decode", "z": z, "amounts": {"0": amount}}
        body = json.dumps({**message, "small": small})
        self._connection.request("POST", "/message", body, self._headers)
        answer = json.loads(self._connection.getresponse().read())
        assert "image" in answer, answer
        return answer

    def close(self) -> None:
        """Close it."""
        self._connection.close()


def bare(model: Any, z: list[float], amount: float) -> bytes:
    """Return the PNG of a code, made as directly as can be."""
    code = torch.tensor([z])
    code[0, 0] += amount
    with torch.no_grad():
        x = model.decode(code)[0, 0].numpy()
    pixels = np.rint(255.0 * np.clip(x, 0.0, 1.0)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def turns(cases: dict[str, Callable[[int], object]], steps: int) -> dict[str, list[float]]:
    """Return the wall times of each case; they take turns, and the first three do not count."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for step in range(steps + 3):
        for name, case in cases.items():
            start = time.perf_counter()
            case(step)
            times[name].append(time.perf_counter() - start)
    return {name: some[3:] for name, some in times.items()}
