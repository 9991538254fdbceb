"""One page that needs no server: a strip of pictures for each axis."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import Any

from pxgen_plugins import __version__
from pxgen_plugins.explorer.history import Place
from pxgen_plugins.explorer.scene import Scene
from pxgen_plugins.utils import validation
from pxgen_plugins.utils.errors import ParameterError
from pxgen_plugins.utils.html import escape, table
from pxgen_plugins.utils.text import html_page, number

__all__ = ["page_of", "strips"]

_FRAMES = 7
_MOST_AXES = 100
_SIDE = 96  # pixels of a picture on the page
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = (
    ":root{color-scheme:light dark}section{overflow-x:auto}figure{display:inline-block;"
    "margin:0 .4em .4em 0;text-align:center}figcaption{font-size:85%}"
    "img{image-rendering:pixelated}code{overflow-wrap:anywhere}"
)


def page_of(body: Sequence[str], title: str) -> str:
    """Return the page of what :func:`strips` yields: nothing in it runs or loads anything."""
    meta = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    page = html_page(escape(title, 200), "".join(body), _STYLE)
    return page.replace("<meta charset='utf-8'>", f"<meta charset='utf-8'>{meta}", 1)


def strips(scene: Scene, place: Place, axes: Sequence[int] | None) -> Iterator[str]:
    """Yield the parts of the page, at most one picture each; every text is escaped.

    Args:
        scene: What is explored.
        place: Where the strips begin; where nothing was shown yet, a code that the model draws.
        axes: Axes, by position; None takes those that are shown.

    Raises:
        ParameterError: When there is no such axis, or there are too many.

    Cost: a decoder pass for each of the seven pictures of a strip.
    """
    chosen = [slider.index for slider in scene.sliders if slider.shown]
    if axes is not None:
        chosen = validation.positions(axes, "axes", len(scene.axes))
    if len(chosen) > _MOST_AXES:
        hint = "Save them on several pages."
        raise ParameterError("axes", f"at most {_MOST_AXES}", f"{len(chosen):,}", hint)
    if not place.z:
        code = scene.first.some_codes(1)
        place = Place(() if code is None else tuple(code.flatten().tolist()))
    yield _about(scene)
    if place.z:
        for index in chosen:
            yield from _strip(scene, place, index)
        yield f"<p>The middle of each strip: <code>{_python(scene, place)}</code></p>"


def _about(scene: Scene) -> str:
    names = ", ".join(subject.name for subject in scene.subjects)
    about = f"Model: {names}. Each strip moves one axis, {_FRAMES} pictures from left to right, "
    return f"<p>{escape(about + 'and leaves the others.', 500)} PXGen plugins {__version__}.</p>"


def _python(scene: Scene, place: Place) -> str:
    return escape(scene.python(place) or "", 100_000)


def _strip(scene: Scene, place: Place, index: int) -> Iterator[str]:
    slider = next(one for one in scene.sliders if one.index == index)
    data = slider.to_data()
    low, high = float(data["min"]), float(data["max"])
    visible = "not measured" if slider.visible is None else number(slider.visible, 3)
    yield f"<h2>{escape(slider.axis.label, 200)}</h2>"
    yield f"<p>{escape(slider.axis.source, 200)}; mean change by a step: {visible}</p>"
    yield "<section tabindex='0'>"
    rows = []
    for step in range(_FRAMES):
        amount = low + (high - low) * step / (_FRAMES - 1)
        amounts = {**place.amounts, index: amount}
        x = scene.instance(Place(place.z, amounts, place.strokes, place.model))
        shown = scene.first.view.show(x)
        caption = f"{amount:+.3g}" if amount else "0"
        if "image" in shown:
            yield _figure(shown["image"], f"{slider.axis.label} {caption}", caption)
        else:
            rows.append([caption, *[value for _, value in shown.get("row", [])]])
            yield ""  # a decode is over
    if rows:
        yield table(["steps", *scene.first.view.columns], rows)
    yield "</section>"


def _figure(picture: bytes, words: Any, caption: str) -> str:
    url = "data:image/png;base64," + base64.b64encode(picture).decode()
    image = f'<img src="{url}" alt="{escape(words, 200)}" width="{_SIDE}">'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"
