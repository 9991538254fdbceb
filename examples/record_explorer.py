"""Pictures of the explorer for the documentation: a screenshot and a short recording.

    python examples/record_explorer.py --output docs/images

Opens what ``examples/explore.py`` opens in headless Chromium, drags a slider and paints a stroke,
and writes ``explorer.png`` and ``explorer.gif``. Needs Chromium, and the repository's tests for its
driver; takes about a minute.
"""

from __future__ import annotations

import argparse
import io
import itertools
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from explore import open_session
from PIL import Image, ImageDraw

from pxgen_plugins.explorer import Server
from pxgen_plugins.utils.files import write_atomic

sys.path.append(str(Path(__file__).parents[1]))
driver: Any = import_module("tests.audit.browser")
page: Any = import_module("tests.explorer.actions")

_SIZE = (1280, 840)
_SHOWN = (960, 630)  # of the recording
_COLOURS = 160
_INKS = ("#004f80", "#d55e00", "#56b4e9", "#f8cb73", "#b0478a", "#868b93", "#ffffff")
_MILLISECONDS = 70  # of a frame
_POINTER = [(0, 0), (0, 17), (4, 13), (7, 19), (10, 18), (7, 12), (12, 12)]

Point = tuple[float, float]


def way(*corners: Point, frames: int) -> Iterator[Point]:
    """Yield places on the way from corner to corner, slow at both ends."""
    for start, end in itertools.pairwise(corners):
        for k in range(1, frames + 1):
            share = 0.5 - 0.5 * np.cos(np.pi * k / frames)
            x, y = (a + share * (b - a) for a, b in zip(start, end, strict=True))
            yield x, y


class Recording:
    """Frames of the page with a pointer drawn in."""

    def __init__(self, browser: Any) -> None:
        self.browser, self.frames = browser, list[Image.Image]()
        self.at: Point = (640.0, 700.0)

    def keep(self, times: int = 1) -> None:
        """Keep what is seen now."""
        self.frames += [pointed(screenshot(self.browser), self.at)] * times

    def move(self, to: Point, frames: int = 8, pressed: bool = False) -> None:
        """Move the pointer, pressed or not."""
        for point in way(self.at, to, frames=frames):
            self.browser.mouse("mouseMoved", *point, pressed=pressed)
            self.at = point
            if pressed:
                page.idle(self.browser)
            self.keep()

    def drag(self, *corners: Point, frames: int) -> None:
        """Drag from the first corner over the others."""
        self.move(corners[0])
        self.browser.mouse("mousePressed", *self.at)
        for corner in corners[1:]:
            self.move(corner, frames, pressed=True)
        self.browser.mouse("mouseReleased", *self.at)
        page.idle(self.browser)
        self.keep(12)

    def write(self, path: Path) -> None:
        """Write the frames as an animated GIF in one palette."""
        small = [frame.resize(_SHOWN, Image.Resampling.LANCZOS) for frame in self.frames]
        palette = palette_of(small[:: max(1, len(small) // 4)])
        flat = [one.quantize(palette=palette, dither=Image.Dither.NONE) for one in small]
        file = io.BytesIO()
        options: dict[str, Any] = {"duration": _MILLISECONDS, "loop": 0, "optimize": True}
        flat[0].save(file, "GIF", save_all=True, append_images=flat[1:], **options)
        write_atomic(path, file.getvalue())


def palette_of(images: Sequence[Image.Image]) -> Image.Image:
    """Return the palette of pictures and of the page's colours, however little these cover."""
    stack = Image.new("RGB", (_SHOWN[0], _SHOWN[1] * len(images) + 40 * len(_INKS)))
    for k, image in enumerate(images):
        stack.paste(image, (0, k * _SHOWN[1]))
    for k, ink in enumerate(_INKS):
        top = _SHOWN[1] * len(images) + 40 * k
        stack.paste(ink, (0, top, _SHOWN[0], top + 40))
    return stack.quantize(_COLOURS, dither=Image.Dither.NONE)


def screenshot(browser: Any) -> Image.Image:
    """Return what is seen, as a picture."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shot.png"
        browser.shot(path)
        return Image.open(io.BytesIO(path.read_bytes())).convert("RGB")


def pointed(image: Image.Image, at: Point) -> Image.Image:
    """Return a picture with a mouse pointer drawn in."""
    corners = [(at[0] + x, at[1] + y) for x, y in _POINTER]
    ImageDraw.Draw(image).polygon(corners, fill="black", outline="white")
    return image


def record(browser: Any, folder: Path) -> None:
    """Drag a slider, paint, and write both files."""
    browser.send("Emulation.setScrollbarsHidden", hidden=True)
    page.run(
        browser, "[aria-label='Representatives of HIHE'] .px-anchor:nth-child(2)", "it.click()"
    )
    page.idle(browser)
    browser.run("scrollTo(0, 0)")
    recording = Recording(browser)
    recording.keep(8)
    slider = ".px-slider:nth-child(1) input"
    places = [page.place(browser, slider, share) for share in (0.5, 0.88, 0.3)]
    browser.run("scrollTo(0, 0)")
    recording.drag(*places, frames=14)
    page.click(browser, "Off")
    brush = [page.place(browser, page.BRUSH, *share) for share in ((0.25, 0.68), (0.75, 0.68))]
    recording.drag(*brush, frames=14)
    recording.keep(14)
    recording.write(folder / "explorer.gif")
    recording.browser.mouse("mouseMoved", 640, 10)
    browser.settle()
    file = io.BytesIO()
    screenshot(browser).save(file, "PNG", optimize=True)
    write_atomic(folder / "explorer.png", file.getvalue())


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("docs/images"))
    parser.add_argument("--anchors", type=int, default=400)
    options = parser.parse_args(arguments)
    with (
        Server(open_session(n_anchors=options.anchors)) as server,
        tempfile.TemporaryDirectory() as folder,
        driver.Browser(Path(folder), _SIZE) as browser,
    ):
        page.visit(browser, server.url, *_SIZE)
        record(browser, options.output)


if __name__ == "__main__":
    main()
