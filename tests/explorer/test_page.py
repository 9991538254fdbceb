"""The explorer's page in headless Chromium, on the real server and on one that only pretends."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pxgen_plugins import PXGen
from pxgen_plugins.datasets import load_mnist, load_mnist_conv_vae
from pxgen_plugins.evaluation import ReconstructionTask
from pxgen_plugins.explorer import Session
from pxgen_plugins.explorer.server import Server
from pxgen_plugins.models import VAE
from pxgen_plugins.testing.examples import LinearModel
from pxgen_plugins.thresholds import Quantile
from tests.audit.browser import Browser, find
from tests.audit.reported import PAYLOADS
from tests.explorer.actions import (
    BRUSH,
    box,
    centre,
    click,
    controls,
    fill,
    idle,
    key,
    pixels,
    place,
    prefer,
    run,
    slide,
    text,
    visit,
)
from tests.explorer.mock import GROUPS, TOKEN, Ellipses, Mock

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium is installed")

CTRL, SHIFT = 2, 8
PLANE = "canvas.px-plane"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture
def mock(browser: Browser) -> Iterator[Mock]:
    """A host with ellipses, open in the browser; nothing may be logged or leave the origin."""
    with Mock(Ellipses()) as host:
        visit(browser, host.url)
        yield host
        assert quiet(browser, host.origin)


@pytest.fixture(scope="module")
def session() -> Session:
    images, labels = load_mnist("test")
    model = VAE(load_mnist_conv_vae(), sample_shape=(1, 28, 28), data_range=(0.0, 1.0))
    explainer = PXGen(model, threshold=Quantile(0.95, n_samples=200, n_repeats=2)).fit()
    return Session(model, images[:150], explainer, labels=labels[:150])


@pytest.fixture
def real(browser: Browser, session: Session) -> Iterator[Server]:
    """The real server with the shipped VAE of digits, open in the browser."""
    with Server(session) as server:
        visit(browser, server.url)
        yield server
        assert quiet(browser, server.url.partition("#")[0])


def quiet(browser: Browser, origin: str) -> bool:
    """Whether nothing was logged, and every request went to the page's own origin."""
    asked = [url.removeprefix("blob:") for url in browser.requested()]
    elsewhere = [url for url in asked if not url.startswith((origin, "about:"))]
    assert (browser.said(), elsewhere) == ([], [])
    return True


def decodes(mock: Mock) -> list[dict[str, Any]]:
    return [one for one in mock.messages if one["kind"] == "decode"]


def test_a_drag_moves_the_picture_as_the_model_says(browser: Browser, mock: Mock) -> None:
    start = centre(pixels(browser))
    mock.messages.clear()
    slide(browser, 0, 0.5, 0.25)
    amount = float(run(browser, 'input[data-axis="0"]', "it.value"))
    assert amount == pytest.approx(-1.5, abs=0.2)
    moved = centre(pixels(browser))
    # an ellipse moves by 3 pixels a step along its first axis, and does not rise or fall
    assert moved[0] - start[0] == pytest.approx(3 * amount, abs=0.1)
    assert moved[1] - start[1] == pytest.approx(0.0, abs=0.1)
    assert centre(pixels(browser, "before")) == start
    assert decodes(mock)[-1]["amounts"] == {"0": amount}
    group = Ellipses().values(Ellipses().code(decodes(mock)[-1]))[1]
    assert text(browser, ".px-headline .px-badge") == group
    assert group in text(browser, '[data-live="group"]')  # it was another before: said aloud


def test_while_a_slider_moves_the_picture_comes_first_and_then_the_rest(
    browser: Browser, mock: Mock
) -> None:
    """The hand does not wait for values; they follow as soon as nothing newer is asked."""
    at = place(browser, 'input[data-axis="0"]', 0.5)
    browser.mouse("mouseMoved", *at)
    browser.mouse("mousePressed", *at)
    mock.messages.clear()
    to = place(browser, 'input[data-axis="0"]', 0.75)
    browser.mouse("mouseMoved", *to, pressed=True)
    idle(browser)  # the slider is still held
    first, second = decodes(mock)
    assert (first["alone"], first["small"], "alone" in second) == (True, False, False)
    assert first["amounts"] == second["amounts"] != {}
    group = Ellipses().values(Ellipses().code(second))[1]
    assert text(browser, ".px-headline .px-badge") == group
    browser.mouse("mouseReleased", *to)
    idle(browser)


def test_the_axes_of_the_plane_reach_the_current_code(browser: Browser, mock: Mock) -> None:
    def point() -> tuple[float, float]:
        x, y = run(browser, PLANE, "it.dataset.point").split()
        return float(x), float(y)

    start = point()
    for axis, share in ((0, 1.0), (1, 0.0)):  # far to the right, then far down
        slide(browser, axis, 0.5, share)
    width, height = run(browser, PLANE, "[it.clientWidth, it.clientHeight]")
    assert start[0] < point()[0] < width - 14  # inside, and not on the border
    assert start[1] < point()[1] < height - 42


def test_keys_move_sliders_and_undo_and_reset(browser: Browser, mock: Mock) -> None:
    first = pixels(browser)
    run(browser, 'input[data-axis="1"]', "it.focus()")
    for _ in range(4):
        key(browser, "ArrowRight")
    idle(browser)
    assert decodes(mock)[-1]["amounts"] == {"1": 0.2}
    key(browser, "End")
    idle(browser)
    assert decodes(mock)[-1]["amounts"] == {"1": 3.0}
    assert centre(pixels(browser))[1] > centre(first)[1] + 5
    key(browser, "z", CTRL)
    idle(browser)
    assert decodes(mock)[-1]["amounts"] == {"1": 0.2}
    assert run(browser, 'input[data-axis="1"]', "it.value") == "0.2"
    click(browser, "Reset down")
    idle(browser)
    assert (pixels(browser) == first).all()
    key(browser, "End")
    click(browser, "Reset all")
    idle(browser)
    assert (pixels(browser) == first).all()


def test_a_brush_returns_the_anchors_inside_it(browser: Browser, mock: Mock) -> None:
    truth = Ellipses()
    names = [truth.values(z)[1] for z in truth.codes]
    left, top, _, _ = box(browser, PLANE)
    # from the upper left corner to where the thresholds cross: the anchors of HILE
    x, y = (float(part) for part in run(browser, PLANE, "it.dataset.thresholds").split())
    browser.drag((left + 62, top + 14), (left + x - 0.1, top + y - 0.1))
    idle(browser)
    wanted = [i for i, name in enumerate(names) if name == "HILE"]
    assert mock.messages[-1]["indices"] == wanted
    assert f"{len(wanted)} selected: {len(wanted)} HILE" == text(browser, ".px-selection")
    click(browser, "Clear the selection")
    assert mock.messages[-1]["indices"] == []
    # the same without a mouse: a corner, another corner, and everything between
    run(browser, PLANE, "it.focus()")
    key(browser, "ArrowRight")
    corners = [text(browser, '[data-live="anchor"]')]
    key(browser, "b")
    for _ in range(4):
        key(browser, "ArrowUp")
    for _ in range(3):
        key(browser, "ArrowLeft")
    corners.append(text(browser, '[data-live="anchor"]'))
    key(browser, "b")
    idle(browser)
    one, other = (truth.codes[int(words.split()[1].rstrip(","))][:2] for words in corners)
    low, high = np.minimum(one, other), np.maximum(one, other)
    inside = ((truth.codes[:, :2] >= low) & (truth.codes[:, :2] <= high)).all(axis=1)
    assert mock.messages[-1]["indices"] == np.flatnonzero(inside).tolist()
    assert inside.sum() >= 2
    key(browser, "Escape")
    key(browser, " ")
    idle(browser)
    assert len(mock.messages[-1]["indices"]) == 1
    # a click starts from an anchor, as Enter does
    key(browser, "Enter")
    idle(browser)
    picked = int(text(browser, '[data-live="anchor"]').split()[1].rstrip(","))
    assert decodes(mock)[-1]["z"] == truth.codes[picked].tolist()
    assert text(browser, ".px-origin") == f"From anchor {picked} ({picked % 10})."
    key(browser, "z", CTRL)
    idle(browser)
    assert text(browser, ".px-origin") == ""  # what is shown now comes from elsewhere


def test_painting_changes_what_was_brushed(browser: Browser, mock: Mock) -> None:
    first = pixels(browser)
    browser.drag(place(browser, BRUSH, 0.1, 0.1), place(browser, BRUSH, 0.3, 0.1))
    idle(browser)
    stroke = decodes(mock)[-1]["strokes"][0]
    assert (stroke["layer"], stroke["units"], stroke["value"]) == ("up.3", [1, 4], "on")
    cells = np.frombuffer(base64.b64decode(stroke["mask"]["cells"]), np.uint8)
    mask = cells.reshape(stroke["mask"]["size"]) > 0
    rows, columns = np.nonzero(mask)
    # a brush of 14% of 28 pixels, drawn from 10 to 30% of the width at 10% of the height
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (1, 9, 1, 4)
    painted = pixels(browser)
    assert (painted[mask] == 255).all()
    assert (painted[~mask] == first[~mask]).all()
    # the same brush again: one stroke more for the hand, none more for the message
    run(browser, BRUSH, "it.focus()")
    for _ in range(3):
        key(browser, "ArrowDown", SHIFT)
    key(browser, " ")
    idle(browser)
    assert len(decodes(mock)[-1]["strokes"]) == 1
    assert (pixels(browser) == 255).sum() > (painted == 255).sum()
    click(browser, "Off")
    run(browser, BRUSH, "it.focus()")
    key(browser, " ")
    idle(browser)
    assert [one["value"] for one in decodes(mock)[-1]["strokes"]] == ["on", "off"]
    key(browser, "z", CTRL)
    key(browser, "z", CTRL)
    idle(browser)
    assert (pixels(browser) == painted).all()
    click(browser, "Clear painting")
    idle(browser)
    assert (pixels(browser) == first).all()


def test_a_slow_model_stays_usable(browser: Browser) -> None:
    with Mock(Ellipses(delay=1.6)) as host:
        visit(browser, host.url)
        host.messages.clear()
        browser.mouse("mouseMoved", *place(browser, 'input[data-axis="0"]', 0.5))
        browser.mouse("mousePressed", *place(browser, 'input[data-axis="0"]', 0.5))
        begun = time.monotonic()
        for part in np.linspace(0.5, 1.0, 40):
            at = place(browser, 'input[data-axis="0"]', float(part))
            browser.mouse("mouseMoved", *at, pressed=True)
        seconds = time.monotonic() - begun
        browser.mouse("mouseReleased", *at)
        browser.wait("document.querySelector('.px-explorer').dataset.busy === ''", 2)
        idle(browser)
        asked = decodes(host)
        # one at a time, the newest next: no more than the drag has room for, and one at its end
        assert len(asked) <= seconds / 0.2 + 3
        small = [one.get("small", False) for one in asked]
        assert small == [True] * (len(asked) - 1) + [False]
        assert asked[-1]["amounts"] == {"0": 3.0}
        assert run(browser, ".px-explorer", "it.dataset.busy") is None
        assert quiet(browser, host.origin)


def test_a_dead_server_is_one_sentence(browser: Browser) -> None:
    with Mock(Ellipses()) as host:
        visit(browser, host.url)
        assert browser.run("location.hash") == ""  # the token has left the address bar
        host.stop()
        slide(browser, 0, 0.5, 0.6)
        words = text(browser, ".px-alert")
        assert words.startswith("The server does not answer any more")
        assert run(browser, ".px-alert", "it.getAttribute('role')") == "alert"
        assert run(browser, ".px-explorer", "it.dataset.busy") is None
    with Mock(Ellipses()) as host:
        browser.send("Page.navigate", url=host.origin)
        browser.wait("document.querySelector('.px-alert')?.hidden === false")
        assert "no key" in text(browser, ".px-alert")
        browser.send("Page.navigate", url="about:blank")
        browser.send("Page.navigate", url=host.origin + "#wrong")
        browser.wait("document.querySelector('.px-alert')?.hidden === false")
        assert "not valid any more" in text(browser, ".px-alert")


def test_a_silent_server_is_noticed_and_asked_again(browser: Browser) -> None:
    sooner = "const later = setTimeout; setTimeout = (f, ms) => later(f, ms === 30000 ? 600 : ms);"
    added = browser.send("Page.addScriptToEvaluateOnNewDocument", source=sooner)
    answering = threading.Event()

    class Silent(Ellipses):
        def decode(self, message: dict[str, Any]) -> dict[str, Any]:
            if message["amounts"] and not answering.is_set():
                answering.wait(20)
            return super().decode(message)

    with Mock(Silent()) as host:
        visit(browser, host.url)
        fill_without_wait = "(it.value = 1, it.dispatchEvent(new Event('input')))"
        run(browser, 'input[data-axis="0"]', fill_without_wait)
        browser.wait("document.querySelector('.px-alert').hidden === false", 5)
        assert text(browser, ".px-alert").startswith("No answer for 30 seconds")
        answering.set()
        click(browser, "Try again")
        idle(browser)
        assert run(browser, ".px-alert", "it.hidden") is True
        assert centre(pixels(browser))[0] > 16
        assert quiet(browser, host.origin)
    browser.send("Page.removeScriptToEvaluateOnNewDocument", identifier=added["identifier"])


def test_an_error_is_one_sentence_until_the_next_answer(browser: Browser, mock: Mock) -> None:
    mock.failure = "the model raised RuntimeError: <b>no</b> memory"
    slide(browser, 0, 0.5, 0.6)
    assert text(browser, ".px-alert") == mock.failure
    assert run(browser, ".px-alert", "it.querySelector('b')") is None
    mock.failure = None
    slide(browser, 0, 0.6, 0.7)
    assert run(browser, ".px-alert", "it.hidden") is True


def test_hostile_words_are_inert(browser: Browser) -> None:
    axes = [{"index": i, "label": words, "source": words, "scale": 1.0, "visible": 0.1,
             "shown": True, "min": -3.0, "max": 3.0, "step": 0.1,
             "sentence": words, "certainty": 0.9, "confirmed": True}
            for i, words in enumerate(PAYLOADS[:4])]  # fmt: skip
    labels = [PAYLOADS[i % len(PAYLOADS)].encode("utf-8", "replace").decode() for i in range(60)]
    with Mock(Ellipses(labels, title=PAYLOADS[0], axes=axes, models=PAYLOADS[:2])) as host:
        visit(browser, host.url)
        browser.run("window.alert = () => { window.attacked = true; }")
        run(browser, PLANE, "it.focus()")
        for name in ("ArrowLeft", "ArrowUp", "Enter"):
            key(browser, name)
        click(browser, "Two models")
        idle(browser)
        foreign = "script:not([src='page.js']), svg, iframe, style, img:not([src^='blob:'])"
        assert run(browser, f".px-explorer :is({foreign})", "it?.outerHTML ?? null") in (None, "")
        assert browser.run("window.attacked") is None
        assert browser.run("document.title") == "PXGen explorer"
        assert PAYLOADS[0] in text(browser, "h1")
        assert f"{PAYLOADS[0]} certainty 0.9, confirmed" in text(browser, ".px-sentence")
        described = (
            "it.getAttribute('aria-describedby') === document.querySelector('.px-sentence').id"
        )
        assert run(browser, ".px-slider input", described)
        assert "\u202e" not in text(browser, ".px-explorer")
        assert quiet(browser, host.origin)


def test_every_control_has_a_name(browser: Browser, mock: Mock) -> None:
    for tab in ("Walk", "Two models", "Task", "Paint"):
        click(browser, tab)
        unnamed = [role for role, name in controls(browser) if not name]
        assert unnamed == [], tab
    names = {name for _, name in controls(browser)}
    assert {"across", "Seed", "New sample", "Copy as Python", "Strength"} <= names
    assert any("Plane of anchors" in name for name in names)
    # by Tab alone, every one of them is reached, and the focus is seen
    browser.run("document.activeElement.blur()")
    reached = set()
    for _ in range(80):
        key(browser, "Tab")
        focus = "document.activeElement"
        reached.add(browser.run(f"{focus}.dataset.axis ?? {focus}.className"))
    assert {"0", "1", "2", "px-plane", "px-brush px-pixelated", "px-anchor"} <= reached


def test_a_walk_steps_and_plays(browser: Browser, mock: Mock) -> None:
    click(browser, "Walk")
    fill(browser, ".px-page:not([hidden]) select", "anchor")
    prefer(browser, prefers_reduced_motion="reduce")
    run(browser, ".px-page:not([hidden]) .px-line button", "it.click()")
    idle(browser)
    assert mock.messages[-1] | {"from": 0, "to": 1, "steps": 9} == mock.messages[-1]
    frames = ".px-film img"
    assert browser.run(f"document.querySelectorAll('{frames}').length") == 9
    play = ".px-walk .px-line button"
    assert run(browser, play, "[it.textContent, it.hidden]") == ["Play", True]  # nothing moves
    run(browser, ".px-walk input", "it.focus()")
    for _ in range(3):
        key(browser, "ArrowRight")
    assert text(browser, ".px-walk output").startswith("Step 4 of 9")
    click(browser, "Start from here")
    idle(browser)
    truth = Ellipses().codes
    assert decodes(mock)[-1]["z"] == pytest.approx(truth[0] + 3 / 8 * (truth[1] - truth[0]))
    prefer(browser)
    run(browser, ".px-page:not([hidden]) .px-line button", "it.click()")
    idle(browser)
    browser.wait("document.querySelector('.px-walk output').textContent.startsWith('Step 9')")
    assert run(browser, play, "[it.textContent, it.hidden]") == ["Play", False]


def test_the_task_asks_for_consent_locks_and_goes_on(browser: Browser, mock: Mock) -> None:
    click(browser, "Task")
    assert "Not recorded: your name" in text(browser, ".px-consent")
    assert not [one for one in mock.messages if one["kind"].startswith("task")]
    click(browser, "I agree: start")
    idle(browser)
    assert text(browser, ".px-task h2").startswith("Question 1 of 2")
    enabled = (
        "[...document.querySelectorAll('.px-task button:not([hidden])')]"
        ".map((one) => [one.textContent, !one.disabled])"
    )
    assert browser.run(enabled) == [["Skip", False]]
    # by keys, a hundredth of the slider a press; the goal locks both sliders and offers the next
    for slider, name, presses in ((1, "ArrowRight", 17), (2, "ArrowLeft", 15)):
        run(browser, f".px-task .px-field:nth-child({slider}) input", "it.focus()")
        for _ in range(presses):
            key(browser, name)
    idle(browser)
    assert run(browser, ".px-agreement", "it.hasAttribute('data-solved')")
    assert run(browser, ".px-agreement", "it.getAttribute('aria-valuetext')").endswith("goal 90 %")
    assert run(browser, ".px-task input", "it.disabled") is True
    assert text(browser, '[data-live="task"]').startswith("Solved. Agreement 9")
    click(browser, "Next")
    idle(browser)
    assert text(browser, ".px-task h2").startswith("Question 2 of 2")
    assert browser.run(enabled) == [["Skip", True]]  # the task says that it may be skipped
    click(browser, "Skip")
    idle(browser)
    assert "last question" in text(browser, ".px-task")
    assert browser.run(enabled) == []


def test_the_real_task_is_solved_on_the_page(browser: Browser) -> None:
    model = LinearModel()
    task = ReconstructionTask(model, model.sample(20, seed=0), n_questions=2, goal=0.97)
    session = Session(task=task, tools=["task"])
    with Server(session) as server:
        visit(browser, server.url)
        click(browser, "I agree: start")
        for index, question in enumerate(task.questions):
            idle(browser)
            assert text(browser, ".px-task h2").startswith(f"Question {index + 1} of 2")
            for k, aim in enumerate(question.target):
                slider = f".px-task .px-field:nth-child({k + 1}) input"
                fill(browser, slider, aim)
            assert text(browser, '[data-live="task"]').startswith("Solved.")
            click(browser, "Next")
        (log,) = [session.task.session.log]
        assert [trial.status for trial in log.trials] == ["solved", "solved"]
        assert any(trial.release.any() for trial in log.trials)
        assert quiet(browser, server.url.partition("#")[0])


def test_a_participant_sees_the_task_alone(browser: Browser) -> None:
    with Mock(Ellipses(tools=["task"])) as host:
        visit(browser, host.url)
        names = {name for _, name in controls(browser)}
        assert "I agree: start" in names
        assert not names & {"across", "Seed", "Undo", "Copy as Python"}
        assert quiet(browser, host.origin)


def test_other_data_have_views_of_their_own(browser: Browser) -> None:
    data = {"kind": "table", "columns": ["age", "city"], "height": None, "width": None}

    class Rows(Ellipses):
        def decode(self, message: dict[str, Any]) -> dict[str, Any]:
            moved = bool(message["amounts"])
            row = [["age", "41" if moved else "40"], ["city", "Oslo"]]
            old = [["age", "40"], ["city", "Oslo"]]
            return {**super().decode(message), "image": None, "difference": None, "row": row,
                    "before": old if moved else None, "nearest": []}  # fmt: skip

    with Mock(Rows(data=data, paint=None)) as host:
        visit(browser, host.url)
        assert text(browser, ".px-row").endswith("age40cityOslo")
        slide(browser, 0, 0.5, 0.8)
        assert text(browser, ".px-row tbody tr") == "age4041+1"
        assert run(browser, ".px-row tbody tr:last-child", "it.className") == ""

    class Vectors(Ellipses):
        def decode(self, message: dict[str, Any]) -> dict[str, Any]:
            return {**super().decode(message), "row": [["x0", "1.5"]]}

    data = {"kind": "vector", "columns": ["x0"], "height": None, "width": None}
    with Mock(Vectors(data=data, paint=None)) as host:
        visit(browser, host.url)
        slide(browser, 0, 0.5, 0.8)
        assert text(browser, ".px-row tbody") == "x01.5"
        assert quiet(browser, host.origin)

    class Texts(Ellipses):
        def anchor(self, message: dict[str, Any]) -> dict[str, Any]:
            return {"index": message["index"], "z": [], "text": "to be", "group": "HIHE",
                    "tokens": [["to", 0.5], [" be", 2.0]], "values": {"kld": 2.0, "mse": 0.5},
                    "distances": {"kld": -1.0, "mse": 0.5}, "firmness": None, "point": [2.0, 0.5],
                    "continuation": {"own": " or not", "model": " is"}, "nearest": []}  # fmt: skip

    data = {"kind": "text", "columns": [], "height": None, "width": None}
    with Mock(Texts(data=data, paint=None, axes=[])) as host:
        visit(browser, host.url)
        assert text(browser, ".px-text") == "to be"
        shade = "[it.title, it.style.getPropertyValue('--cost')]"
        assert run(browser, ".px-token:last-child", shade) == ["2 nats", "100%"]
        assert text(browser, ".px-ends") == "Its own end or notThe model goes on is"
        assert "1 outside the threshold 1" in text(browser, ".px-criteria")
        assert quiet(browser, host.origin)


@pytest.mark.parametrize("width", [360, 700, 1280])
def test_nothing_is_wider_than_the_window(browser: Browser, mock: Mock, width: int) -> None:
    visit(browser, mock.url, width, 800)
    for tab in ("Walk", "Two models", "Task", "Paint"):
        click(browser, tab)
        idle(browser)
        assert browser.run("document.documentElement.scrollWidth") <= width, tab


def test_the_real_model_moves_and_undoes(browser: Browser, real: Server) -> None:
    session = real.session
    first = pixels(browser)
    slide(browser, 4, 0.5, 0.9)
    moved = pixels(browser)
    assert np.abs(moved - first).mean() > 2
    code = session.code
    assert session.state()["amounts"].keys() == {"4"}
    x = session.scene.first.decode(session.scene.first.code(code))
    assert np.abs(session.scene.first.view.pixels(x)[0, ..., 0] - moved).max() <= 1
    key(browser, "z", CTRL)
    idle(browser)
    assert (pixels(browser) == first).all()
    assert text(browser, ".px-headline .px-badge") in GROUPS
    browser.run("document.querySelector('.px-near .px-anchor').click()")
    idle(browser)
    assert text(browser, ".px-origin").startswith("From anchor ")


def test_the_real_model_is_painted_where_the_brush_was(browser: Browser, real: Server) -> None:
    fill(browser, 'input.px-short[max="149"]', 3)
    first = pixels(browser)
    layer = real.session.info()["paint"]["layers"][0]
    every = ", ".join(map(str, range(layer["units"])))
    run(browser, ".px-fields input[type=text]", f"it.value = '{every}'")
    click(browser, "Off")
    fill(browser, ".px-fields label:last-child input", 0.5)
    browser.drag(place(browser, BRUSH, 0.1, 0.2), place(browser, BRUSH, 0.9, 0.2))
    idle(browser)
    change = np.abs(pixels(browser) - first)
    assert change[:12].mean() > 5 * change[18:].mean()
    click(browser, "Clear painting")
    idle(browser)
    assert (pixels(browser) == first).all()


def test_what_is_copied_makes_the_picture_again(browser: Browser, real: Server) -> None:
    browser.run(
        "Object.defineProperty(navigator, 'clipboard', {configurable: true, value:"
        " {writeText: async (words) => { window.copied = words; }}})"
    )
    slide(browser, 4, 0.5, 0.8)
    shown = pixels(browser)
    click(browser, "Copy as Python")
    browser.wait("window.copied")
    session = real.session
    names: dict[str, Any] = {"model": session.scene.first.model}
    exec(browser.run("window.copied"), names)
    assert (session.scene.first.view.pixels(names["x"])[0, ..., 0] == shown).all()
    # a state that is copied is put back from the box, slider and all
    click(browser, "Copy state")
    browser.wait("window.copied.startsWith('{')")
    click(browser, "Reset all")
    idle(browser)
    assert (pixels(browser) != shown).any()
    click(browser, "Restore state")
    run(browser, "textarea", "it.value = window.copied")
    click(browser, "Restore this state")
    idle(browser)
    assert (pixels(browser) == shown).all()
    assert float(run(browser, 'input[data-axis="4"]', "it.value")) != 0
    # without a clipboard, as in some frames, the words are shown and chosen
    browser.run("navigator.clipboard.writeText = async () => { throw Error('no'); }")
    click(browser, "Copy as Python")
    browser.wait("document.querySelector('textarea').value.startsWith('import')")
    chosen = run(browser, "textarea", "it.value.slice(it.selectionStart, it.selectionEnd)")
    assert chosen == browser.run("document.querySelector('textarea').value")


def test_a_model_with_other_codes_starts_from_its_own(browser: Browser) -> None:
    class Other(Ellipses):
        def __call__(self, message: dict[str, Any]) -> dict[str, Any]:
            other = message.get("model") == 1
            if message["kind"] == "decode" and other != (len(message["z"]) == 2):
                return {"error": "z must be of another size"}
            if message["kind"] == "sample" and other:
                return {"z": [1.0, 1.0], "seed": 0}
            z = [*message.get("z", []), 0.0, 0.0][:4] if other else message.get("z")
            return super().__call__({**message, "z": z})

    with Mock(Other()) as host:
        visit(browser, host.url)
        for model, usable in ((1, False), (0, True)):
            fill(browser, ".px-head select", model)
            assert run(browser, 'input[data-axis="0"]', "!it.disabled") is usable
            assert run(browser, ".px-alert", "it.hidden") is True
        assert quiet(browser, host.origin)


def test_the_page_is_saved_as_a_file(browser: Browser, real: Server, tmp_path: Path) -> None:
    behaviour = {"behavior": "allow", "downloadPath": str(tmp_path)}
    browser.send("Page.setDownloadBehavior", **behaviour)
    click(browser, "Save page")
    idle(browser)
    end = time.monotonic() + 10
    while not (files := list(tmp_path.glob("*.html"))):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert files[0].read_text(encoding="utf-8").count("<h2>") == 10  # a strip for each axis


def test_the_brush_reaches_python(browser: Browser, real: Server) -> None:
    left, top, width, height = box(browser, PLANE)
    browser.drag((left + 61, top + 13), (left + width - 13, top + height - 41))
    idle(browser)
    assert real.session.selected == list(range(150))
    click(browser, "Clear the selection")
    idle(browser)
    assert real.session.selected == []


NOTEBOOK = """
    window.traits = {selected: [], code: [], theme: 'dark'};
    window.listeners = [];
    const fire = (name, ...values) =>
      listeners.filter((one) => one.name === name).forEach((one) => one.listener(...values));
    window.model = {
      get: (name) => traits[name],
      set: (name, value) => {
        if (JSON.stringify(traits[name]) === JSON.stringify(value)) return;
        traits[name] = value;
        fire('change:' + name);
      },
      on: (name, listener) => listeners.push({name, listener}),
      off: (name, listener) => {
        window.listeners = listeners.filter((one) => one.listener !== listener);
      },
      save_changes: () => {},
      send: async (message) => {
        const headers = {'Content-Type': 'application/json', 'X-Token': '%s'};
        const body = JSON.stringify(message);
        const answer = await (await fetch('message', {method: 'POST', headers, body})).text();
        const buffers = [];
        const content = JSON.parse(answer, (_, value) => {
          if (typeof value?.png !== 'string') return value;
          const bytes = Uint8Array.from(atob(value.png), (letter) => letter.charCodeAt(0));
          buffers.push(new DataView(bytes.buffer));
          const {png, ...others} = value;
          return {...others, buffer: buffers.length - 1};
        });
        fire('msg:custom', content, buffers);
      },
    };
    import('/explorer.js').then(({default: widget}) => {
      widget.initialize({model});
      document.body.replaceChildren();
      window.ends = [1, 2].map(() => {
        const el = document.createElement('div');
        document.body.append(el);
        return widget.render({model, el});
      });
    })
"""


def test_a_notebook_reads_and_sets_code_and_selection(browser: Browser) -> None:
    with Mock(Ellipses()) as host:
        visit(browser, host.url)
        browser.run(NOTEBOOK % TOKEN)
        both = "[...document.querySelectorAll('.px-explorer')]"
        browser.wait(f"{both}.length === 2 && {both}.every((one) => one.dataset.ready === '')")
        idle(browser)
        assert browser.run(f"{both}.map((one) => one.dataset.theme)") == ["dark", "dark"]
        sample = Ellipses().sample({"seed": 0})["z"]
        assert browser.run("traits.code") == sample
        # what Python sets, both views of the widget show; what one of them does, Python reads
        browser.run("model.set('code', [0.5, -0.5, 0, 0])")
        idle(browser)
        assert centre(pixels(browser)) == pytest.approx((15.5, 12.5), abs=0.1)
        browser.run("model.set('selected', [3, 5])")
        words = f"{both}.map((one) => one.querySelector('.px-selection').textContent)"
        assert browser.run(words) == ["2 selected", "2 selected"]
        slide(browser, 0, 0.5, 0.75)
        amount = float(run(browser, 'input[data-axis="0"]', "it.value"))
        assert browser.run("traits.code") == pytest.approx([0.5 + amount, -0.5, 0, 0])
        run(browser, f"{PLANE}", "it.focus()")
        key(browser, "ArrowUp")
        key(browser, " ")
        idle(browser)
        assert len(browser.run("traits.selected")) == 3
        browser.run("ends.forEach((end) => end())")
        assert browser.run("listeners.length") == 0  # nothing is left behind
        assert quiet(browser, host.origin)
