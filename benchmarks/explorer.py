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

from pxgen_plugins import PXGen
from pxgen_plugins.datasets import load_mnist, load_mnist_conv_vae, load_mnist_gan
from pxgen_plugins.explorer import Server, Session
from pxgen_plugins.models import GAN, VAE
from pxgen_plugins.thresholds import Quantile
from pxgen_plugins.utils.threads import one_thread

TARGET = 3.0
_ANCHORS = 200


def run(quick: bool = False) -> Iterator[Row]:
    """Yield what a step takes over what the bare picture takes: the medians of their wall times.

    Wall time, because waiting for an acknowledgement takes no processor time. Steps and bare
    pictures take turns, so that what else the machine does slows both. While a slider moves, a page
    asks for the picture alone; what is known of it, the second row of each model, follows when
    nothing newer is asked, and has no target. Where all cores are taken, each of the two threads
    waits for its turn, which the bare picture does not: the least times in the note say more there.
    """
    steps = 5 if quick else 100
    for setting, session in sessions(quick).items():
        with one_thread(), Server(session) as server:
            times = turns(server, steps)
        middle, least = ({k: f(v) for k, v in times.items()} for f in (median, min))
        for name, case, target in (
            ("explorer: slider step over HTTP / bare picture", "picture", TARGET),
            ("explorer: step with all that is known / bare picture", "all", None),
        ):
            yield Row(
                name,
                f"{setting}, {steps} steps",
                middle[case] / middle["bare"],
                "x wall time",
                target=target,
                note=f"least {least[case] / least['bare']:.2f}; bare decode + PNG: "
                f"{1e3 * middle['bare']:.2f} ms",
            )


def sessions(quick: bool) -> dict[str, Session]:
    """Return the shipped models as a person opens them: one alone, one with all evidence."""
    generator, discriminator = load_mnist_gan()
    gan = GAN(generator, discriminator=discriminator, latent_shape=(generator.latent_size,))
    vae = VAE(load_mnist_conv_vae(), sample_shape=(1, 28, 28), data_range=(0.0, 1.0))
    images, labels = load_mnist("test")
    rule = Quantile(0.99, 50 if quick else 500, 3)
    explainer = PXGen(vae, threshold=rule).fit()
    evidence = Session(vae, images[:_ANCHORS], explainer, labels=labels[:_ANCHORS])
    return {
        "DCGAN of 28 x 28": Session(gan),
        f"VAE of 28 x 28 with groups and {_ANCHORS} anchors": evidence,
    }


class Client:
    """One connection, as a page keeps it."""

    def __init__(self, server: Server) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        self._headers = {"X-Token": server.token, "Content-Type": "application/json"}
        self._number = 0

    def ask(self, z: list[float], amount: float, alone: bool) -> Any:
        """Return the answer to a step."""
        self._number += 1
        message = {"id": self._number, "kind": "decode", "z": z, "amounts": {"0": amount}}
        body = json.dumps({**message, "alone": alone})
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


def turns(server: Server, steps: int) -> dict[str, list[float]]:
    """Return the wall times of each case; they take turns, and the first three do not count."""
    subject = server.session.scene.first
    z = [float(value) for value in np.linspace(-1.0, 1.0, subject.size)]
    client = Client(server)
    cases: dict[str, Callable[[float], object]] = {
        "bare": lambda amount: bare(subject.model, z, amount),
        "picture": lambda amount: client.ask(z, amount, True),
        "all": lambda amount: client.ask(z, amount, False),
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    for step in range(steps + 3):
        for name, case in cases.items():
            start = time.perf_counter()
            case(0.02 * step)
            times[name].append(time.perf_counter() - start)
    client.close()
    return {name: some[3:] for name, some in times.items()}
