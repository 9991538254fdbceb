"""Sessions of pictures, rows, vectors and texts, and a client for the server."""

from __future__ import annotations

import http.client
import io
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pxgen_plugins import PXGen
from pxgen_plugins.datasets import load_mnist_conv_vae
from pxgen_plugins.explorer import Server, Session, serve
from pxgen_plugins.models import VAE, LanguageModel, Tabular
from pxgen_plugins.thresholds import MeanMax
from tests.conftest import tiny_vae

Z = [0.3, -1.1, 0.7]
COLUMNS = ("age", "height", "weight", "income", "city", "member")


def pixels(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)))


def expected(x: torch.Tensor) -> np.ndarray:
    """The bytes of a picture (1, 1, h, w) of values in [0, 1]."""
    return np.rint(255 * x.detach()[0, 0].clamp(0, 1).double().numpy()).astype(np.uint8)


def run(line: str, **names: Any) -> torch.Tensor:
    """Execute a line of Python, as a user would paste it, and return what it calls x."""
    exec(compile(line, "copied", "exec"), names)
    return names["x"]


def shipped_vae(**options: Any) -> Session:
    vae = VAE(load_mnist_conv_vae(), sample_shape=(1, 28, 28), data_range=(0.0, 1.0))
    return Session(vae, **options)


def explained(seed: int = 0) -> tuple[Any, PXGen, Any]:
    """A small VAE, its fitted explainer, and anchors."""
    model = tiny_vae(seed)
    explainer = PXGen(model, threshold=MeanMax(n_samples=50, n_repeats=4)).fit()
    images = np.random.default_rng(0).random((30, 1, 8, 8), dtype=np.float32)
    return model, explainer, images


def table_model() -> tuple[Any, Any]:
    """A synthesizer of a table of six columns that can encode and decode, and the table."""
    import pandas as pd

    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "age": rng.integers(18, 90, 40),
            "height": rng.normal(170, 8, 40),
            "weight": rng.normal(70, 9, 40),
            "income": rng.lognormal(8, 1, 40),
            "city": rng.choice(["Bern", "Rome", "<b>Oslo</b>"], 40),
            "member": rng.choice([True, False], 40),
        }
    )

    class Linear:
        """Two codes: age and height; the rest follows from them."""

        def sample(self, n: int) -> Any:
            return table.sample(n, replace=True).reset_index(drop=True)

        def encode(self, frame: Any) -> Any:
            return np.stack([(frame["age"] - 50) / 20, (frame["height"] - 170) / 8], 1)

        def decode(self, z: Any) -> Any:
            first, second = z[:, 0], z[:, 1]
            return pd.DataFrame(
                {
                    "age": np.rint(50 + 20 * first).astype(int),
                    "height": 170 + 8 * second,
                    "weight": 70 + 9 * second,
                    "income": np.exp(8 + first),
                    "city": np.where(first > 0, "Bern", "Rome"),
                    "member": first > 0.5,
                }
            )

    return Tabular(Linear(), table, encode="encode", decode="decode", modules=()), table


def text_model() -> Any:
    """A model of letters: a is likely, b less, others hardly."""
    chances = {"a": 0.6, "b": 0.3}
    return LanguageModel(
        log_probs=lambda texts: [[math.log(chances.get(c, 1e-6)) for c in text] for text in texts],
        generate=lambda prompts, counts: ["a" * count for count in counts],
        sample=lambda n, seed: ["ab" * (1 + (seed + i) % 4) for i in range(n)],
        modules=(),
        max_chars=20,
    )


def vector_model() -> Any:
    """Two codes to six numbers without a stated range."""
    weight = torch.arange(12.0).reshape(2, 6)
    return VAE(
        encode=lambda x: (x[:, :2], torch.zeros_like(x[:, :2])),
        decode=lambda z: z @ weight,
        modules=(),
        latent_shape=(2,),
        sample_shape=(6,),
        data_range=None,
        check=False,
    )


@pytest.fixture(scope="module")
def session() -> Session:
    model, explainer, images = explained()
    return Session(model, images, explainer, labels=[f"<i>{i % 3}" for i in range(30)])


@pytest.fixture
def server(session: Session) -> Iterator[Server]:
    with serve(session, open_browser=False) as running:
        yield running


Ask = Callable[..., Any]


@pytest.fixture
def ask(session: Session) -> Ask:
    """Ask the session; an error fails the test."""

    def send(kind: str, **entries: Any) -> Any:
        answer = session.handle({"id": 1, "kind": kind, **entries})
        assert "error" not in answer.content, answer.content
        return answer

    return send


def request(
    server: Server,
    body: Any,
    *,
    method: str = "POST",
    path: str = "/message",
    headers: dict[str, str] | None = None,
) -> tuple[int, bytes, Any]:
    """Send one request to a server; what ``headers`` holds replaces what a page would send."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    usual = {"X-Token": server.token, "Content-Type": "application/json"}
    sent = {k: v for k, v in {**usual, **(headers or {})}.items() if v is not None}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        connection.request(method, path, content if method == "POST" else None, sent)
        response = connection.getresponse()
        return response.status, response.read(), response.headers
    finally:
        connection.close()
