"""What a hand, a keyboard and an eye do with the explorer in headless Chromium."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.audit.browser import Browser

BRUSH = "canvas.px-brush"
KEYS = {
    "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Home": 36, "End": 35,
    " ": 32, "Enter": 13, "Escape": 27, "Tab": 9, "b": 66, "z": 90,
}  # fmt: skip


def visit(browser: Browser, url: str, width: int = 1280, height: int = 900) -> None:
    """Open the page and wait until the first picture is there."""
    browser.send(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=height, deviceScaleFactor=1, mobile=False,
    )  # fmt: skip
    browser.send("Page.navigate", url="about:blank")
    browser.settle()
    browser.events.clear()  # what the page before still loaded is not this one's
    browser.send("Page.navigate", url=url)
    browser.wait("document.querySelector('.px-explorer')?.dataset.ready === ''", 30)
    browser.settle()


def key(browser: Browser, name: str, modifiers: int = 0) -> None:
    """Press and release a key so that native controls take it too; modifiers: 2 Ctrl, 8 Shift."""
    text = {" ": " ", "Enter": "\r"}.get(name)
    for kind in ("keyDown", "keyUp"):
        more = {"text": text} if text and kind == "keyDown" else {}
        browser.send(
            "Input.dispatchKeyEvent",
            type=kind, key=name, windowsVirtualKeyCode=KEYS[name], modifiers=modifiers, **more,
        )  # fmt: skip
    browser.settle()


def run(browser: Browser, selector: str, script: str) -> Any:
    """Return a JavaScript expression of ``it``, the element of a selector."""
    return browser.run(f"((it) => {script})(document.querySelector({json.dumps(selector)}))")


def text(browser: Browser, selector: str) -> str:
    """Return an element's text."""
    return str(run(browser, selector, "it.textContent"))


def fill(browser: Browser, selector: str, value: Any) -> None:
    """Give a control a value, as a person who leaves it then."""
    events = "['input', 'change'].forEach((one) => it.dispatchEvent(new Event(one)))"
    run(browser, selector, f"(it.value = {json.dumps(str(value))}, {events})")
    idle(browser)


def prefer(browser: Browser, **features: str) -> None:
    """Set media features of the browser, with _ for -; without any, reset them."""
    pairs = [{"name": k.replace("_", "-"), "value": value} for k, value in features.items()]
    browser.send("Emulation.setEmulatedMedia", features=pairs)


def click(browser: Browser, words: str) -> None:
    """Click the button, tab or option of these words."""
    browser.run(
        "[...document.querySelectorAll('button, label, select')]"
        f".find((one) => one.textContent.trim() === {json.dumps(words)}"
        f" || one.getAttribute('aria-label') === {json.dumps(words)}).click()"
    )
    browser.settle()


def box(browser: Browser, selector: str) -> tuple[float, float, float, float]:
    """Return left, top, width and height of an element, which is brought into sight."""
    script = (
        "(it.scrollIntoView({block: 'center', behavior: 'instant'}),"
        " (({left, top, width, height}) => [left, top, width, height])(it.getBoundingClientRect()))"
    )
    left, top, width, height = run(browser, selector, script)
    return left, top, width, height


def place(browser: Browser, selector: str, x: float, y: float = 0.5) -> tuple[float, float]:
    """Return the place in the window of a share of an element."""
    left, top, width, height = box(browser, selector)
    return left + x * width, top + y * height


def slide(browser: Browser, axis: int, start: float, end: float) -> None:
    """Drag the slider of an axis from one share of its track to another."""
    selector = f'input[data-axis="{axis}"]'
    browser.drag(place(browser, selector, start), place(browser, selector, end))
    idle(browser)


def idle(browser: Browser) -> None:
    """Wait until nothing is asked any more."""
    browser.settle()
    browser.wait("document.querySelector('.px-explorer').dataset.asking === undefined", 30)
    browser.settle()


def pixels(browser: Browser, part: str = "now") -> NDArray[np.int64]:
    """Return the grey values of a picture, (height, width), as the page shows it."""
    script = """
        (async () => {
          const it = document.querySelector('[data-part="%s"] img');
          await it.decode();
          const canvas = document.createElement('canvas');
          [canvas.width, canvas.height] = [it.naturalWidth, it.naturalHeight];
          canvas.getContext('2d').drawImage(it, 0, 0);
          return canvas.toDataURL('image/png');
        })()
    """
    import base64

    url = browser.run(script % part)
    image = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    return np.asarray(image.convert("L")).astype(np.int64)


def centre(picture: NDArray[np.int64]) -> tuple[float, float]:
    """Return the centre of mass, x and y."""
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    return (columns * picture).sum() / picture.sum(), (rows * picture).sum() / picture.sum()


def controls(browser: Browser) -> list[tuple[str, str]]:
    """Return role and name of everything in the accessibility tree that takes the focus."""
    nodes = browser.send("Accessibility.getFullAXTree")["nodes"]
    pairs = []
    for node in nodes:
        properties = {one["name"]: one["value"].get("value") for one in node.get("properties", [])}
        if properties.get("focusable") and not node.get("ignored"):
            role = node["role"]["value"]
            pairs.append((role, str(node.get("name", {}).get("value", "")).strip()))
    return [pair for pair in pairs if pair[0] != "RootWebArea"]
