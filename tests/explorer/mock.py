"""A host of the front end with a session that only pretends: planted truth, hostile words, delays.

The model draws an ellipse: its first axis moves it across, the second down, the third makes it
larger, the fourth changes nothing. So a test knows what must change, and how.
"""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pxgen_plugins.explorer import front_end

TOKEN = "k" * 43
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data: blob:; "
    "connect-src 'self'"
)
TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
GROUPS = ["HIHE", "HILE", "LIHE", "LILE"]
SIDE = 28

Handler = Callable[[dict[str, Any]], dict[str, Any]]


class Mock:
    """Serves the front end on loopback; ``handle`` answers messages, pictures as bytes."""

    def __init__(self, handle: Handler) -> None:
        self.messages: list[dict[str, Any]] = []
        self.failure: str | None = None  # what every decode fails with
        mock = self

        class Answers(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_GET(self) -> None:
                name = self.path.split("?")[0].strip("/") or "page.html"
                content = front_end.script() if name == "explorer.js" else front_end.content(name)
                self.reply(200, TYPES[name.rsplit(".")[-1]], content.encode())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers["X-Token"] != TOKEN:
                    return self.reply(403, "text/plain", b"Forbidden")
                message = json.loads(body)
                mock.messages.append(message)
                answer = {"id": message["id"], "kind": message["kind"]}
                if mock.failure and message["kind"] == "decode":
                    answer["error"] = mock.failure
                else:
                    answer |= handle(message)
                return self.reply(200, "application/json", json.dumps(inline(answer)).encode())

            def reply(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", f"{kind}; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Security-Policy", POLICY)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        loop = self._server.serve_forever
        self._thread = threading.Thread(target=loop, args=(0.02,), daemon=True)
        self.origin = f"http://127.0.0.1:{self._server.server_port}/"
        self.url = f"{self.origin}#{TOKEN}"

    def __enter__(self) -> Mock:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server, as a crash of its process would."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def inline(value: Any) -> Any:
    """Return content with pictures as the server writes them."""
    if isinstance(value, bytes):
        return {"png": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        sheet = isinstance(value.get("buffer"), bytes)
        entries = {key: inline(one) for key, one in value.items() if key != "buffer"}
        return {**entries, **inline(value["buffer"])} if sheet else entries
    return [inline(one) for one in value] if isinstance(value, list) else value


def ellipse(z: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return a picture, (28, 28), of a code (4,)."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    x, y = SIDE / 2 + 3 * z[0], SIDE / 2 + 3 * z[1]
    radius = np.clip(6 + 1.5 * z[2], 1, 13)
    inside = np.hypot((columns - x) / radius, (rows - y) / (0.7 * radius)) - 1
    return np.uint8(255 * np.clip(0.5 - 3 * inside, 0, 1))


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class Ellipses:
    """A session over ellipses with 60 anchors; the value of each criterion is one of the code.

    Args:
        labels: Of the anchors.
        delay: Seconds of a full decode.
        **info: What else the first answer says.
    """

    def __init__(self, labels: list[str] | None = None, delay: float = 0.0, **info: Any) -> None:
        self.codes = np.random.default_rng(0).normal(size=(60, 4))
        self.labels = labels or [str(i % 10) for i in range(60)]
        self.delay = delay
        self.more = info

    def __call__(self, message: dict[str, Any]) -> dict[str, Any]:
        """Answer a message."""
        answers: dict[str, Any] = getattr(self, message["kind"])(message)
        return answers

    def values(self, z: NDArray[np.float64]) -> tuple[dict[str, float], str]:
        """Return the criteria of a code, and its group: both thresholds are 1."""
        one, other = np.exp(z[0]), np.exp(z[1])
        return {"kld": float(one), "mse": float(other)}, GROUPS[2 * int(one >= 1) + int(other >= 1)]

    def open(self, _: dict[str, Any]) -> dict[str, Any]:
        tiles = np.stack([ellipse(z) for z in self.codes]).reshape(3, 20, SIDE, SIDE)
        sheet = {"buffer": png(tiles.swapaxes(1, 2).reshape(3 * SIDE, 20 * SIDE)), "columns": 20}
        places = [self.values(z) for z in self.codes]
        names = [group for _, group in places]
        axes = [
            {"index": i, "label": label, "source": "dimension", "scale": 1.0, "min": -3.0,
             "max": 3.0, "step": 0.05, "visible": [0.07, 0.05, 0.04, 0.0][i], "shown": i < 3}
            for i, label in enumerate(["across", "down", "size", "nothing"])
        ]  # fmt: skip
        return {
            "version": "0", "title": "Ellipses", "shape": [4], "models": ["A", "B"], "axes": axes,
            "data": {"kind": "image", "height": SIDE, "width": SIDE, "channels": 1, "columns": []},
            "tools": ["sliders", "groups", "paint", "walk", "compare", "task"], "groups": GROUPS,
            "criteria": [{"name": "kld", "threshold": 1.0}, {"name": "mse", "threshold": 1.0}],
            "plane": {
                "x_label": "intrinsic: KLD", "y_label": "extrinsic: MSE", "log": [True, True],
                "x": [v["kld"] for v, _ in places], "y": [v["mse"] for v, _ in places],
                "group": [GROUPS.index(g) for g in names], "thresholds": [1.0, 1.0],
            },
            "representatives": {g: [i for i, n in enumerate(names) if n == g][:5] for g in GROUPS},
            "anchors": {
                "n": 60, "labels": self.labels,
                "thumbnails": {**sheet, "width": SIDE, "height": SIDE, "indices": list(range(60))},
            },
            "paint": {"layers": [
                {"name": "up.3", "units": 8, "height": 14, "width": 14,
                 "concepts": [{"name": "stroke", "units": [1, 4]}, {"name": "edge", "units": [2]}]},
            ]},
            "slow": self.delay > 0.3, "consent": "Not recorded: your name.", **self.more,
        }  # fmt: skip

    def code(self, message: dict[str, Any]) -> NDArray[np.float64]:
        z = np.array(message["z"], dtype=float)
        for index, amount in message.get("amounts", {}).items():
            z[int(index)] += amount
        return z

    def decode(self, message: dict[str, Any]) -> dict[str, Any]:
        """Units are lit or dark where a brush went."""
        time.sleep(self.delay / 8 if message.get("small") else self.delay)
        z = self.code(message)
        before, now = ellipse(np.array(message["z"], dtype=float)), ellipse(z)
        for stroke in message["strokes"]:
            height, width = stroke["mask"]["size"]
            mask = np.frombuffer(base64.b64decode(stroke["mask"]["cells"]), np.uint8)
            now[mask.reshape(height, width) > 0] = 255 if stroke["value"] == "on" else 0
        if message.get("alone"):
            return {"image": png(now)}
        values, group = self.values(z)
        near = np.argsort(np.linalg.norm(self.codes - z, axis=1))[:5]
        change = np.abs(now / 255 - before / 255).mean()
        return {
            "image": png(now), "before": png(before), "difference": png(np.abs(now - before)),
            "change": float(change), "group": group, "values": values, "code": z.tolist(),
            "distances": {name: 1.0 - value for name, value in values.items()}, "firmness": 0.93,
            "point": list(values.values()), "python": f"model.decode({z.tolist()})",
            "nearest": [
                {"index": int(i), "label": self.labels[i], "image": png(ellipse(self.codes[i])),
                 "distance": float(np.linalg.norm(self.codes[i] - z))} for i in near
            ], "seconds": self.delay,
        }  # fmt: skip

    def anchor(self, message: dict[str, Any]) -> dict[str, Any]:
        return {"index": message["index"], "z": self.codes[message["index"]].tolist()}

    def sample(self, message: dict[str, Any]) -> dict[str, Any]:
        z = np.random.default_rng(message["seed"]).normal(size=4) / 2
        return {"z": z.tolist(), "seed": message["seed"]}

    def select(self, message: dict[str, Any]) -> dict[str, Any]:
        names = [self.values(self.codes[i])[1] for i in message["indices"]]
        return {"n": len(names), "groups": {group: names.count(group) for group in GROUPS}}

    def walk(self, message: dict[str, Any]) -> dict[str, Any]:
        ends = [self.codes[one] if isinstance(one, int) else np.array(one)
                for one in (message["from"], message["to"])]  # fmt: skip
        codes = np.linspace(*ends, message["steps"])
        places = [self.values(z) for z in codes]
        return {
            "frames": [png(ellipse(z)) for z in codes], "groups": [g for _, g in places],
            "values": [v for v, _ in places], "codes": codes.tolist(),
        }  # fmt: skip

    def compare(self, message: dict[str, Any]) -> dict[str, Any]:
        z = self.codes[message["anchor"]] if "anchor" in message else np.array(message["z"])
        values, group = self.values(z)
        other = {"name": "B", "image": png(255 - ellipse(z)), "group": None, "values": {}}
        return {"models": [
            {"name": "A", "image": png(ellipse(z)), "group": group, "values": values}, other,
        ]}  # fmt: skip

    def state(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"state": {"version": 1, "z": [0.0, 0.0, 1.0, 0.0]}}

    def restore(self, message: dict[str, Any]) -> dict[str, Any]:
        return {"z": message["state"]["z"], "amounts": {}, "strokes": []}

    def python(self, message: dict[str, Any]) -> dict[str, Any]:
        return {"python": f"model.decode({self.code(message).tolist()})"}

    def save_page(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"html": "<!doctype html><title>saved</title>"}

    def task_start(self, _: dict[str, Any]) -> dict[str, Any]:
        self.index = getattr(self, "index", -1) + 1
        self.positions, self.over = [0.0, 0.0], False
        return self.task()

    def task_step(self, message: dict[str, Any]) -> dict[str, Any]:
        self.positions = message["z"]
        self.over = self.agreement >= 0.9
        return self.task()

    def task_skip(self, _: dict[str, Any]) -> dict[str, Any]:
        self.over = True
        return self.task()

    @property
    def agreement(self) -> float:
        """One at the target, (1, -1)."""
        return float(1 - np.abs(np.subtract(self.positions, [1.0, -1.0])).mean() / 3)

    def task(self) -> dict[str, Any]:
        """Return what a task's session says: two questions, two sliders."""
        return {
            "question": "q", "index": self.index, "n": 2, "goal": 0.9, "agreement": self.agreement,
            "target": png(ellipse(np.array([1.0, -1.0, 0.0]))), "labels": ["across", "down"],
            "picture": png(ellipse(np.array([*self.positions, 0.0]))), "low": [-3.0, -3.0],
            "high": [3.0, 3.0], "positions": self.positions, "solved": self.agreement >= 0.9,
            "over": self.over, "done": self.over and self.index == 1, "may_skip": self.index == 1,
        }  # fmt: skip
