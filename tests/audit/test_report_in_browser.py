"""The report in headless Chromium: hover, brush, drag, keys, dark mode, print, and silence."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pxgen_plugins.audit.conditions import Condition, parse
from pxgen_plugins.audit.verdicts import judge
from pxgen_plugins.result import Result
from tests.audit.browser import Browser, find
from tests.audit.reported import PAYLOADS, data_of, grid, judgement, pictures_of
from tests.audit.reported import report as report_text
from tests.audit.test_report import hostile

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium is installed")

SHIFT = 8
BOX = "(() => {const r = document.getElementById('canvas').getBoundingClientRect();"
TITLE = "PXGen audit: Failed"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture
def report(browser: Browser, tmp_path: Path) -> Iterator[Browser]:
    """The browser at a report of 401 anchors, the last far from all others."""
    path = tmp_path / "report.html"
    data = data_of(grid(), labels=PAYLOADS)
    text = report_text({"seed": 0}, data, pictures_of([0, 10, 11, 12, 400]), [judgement()])
    path.write_text(text, encoding="utf-8")
    yield from visit(browser, path)


@pytest.fixture
def attacked(browser: Browser, tmp_path: Path) -> Iterator[Browser]:
    """The browser at a report with a payload at every place that takes text."""
    path = tmp_path / "hostile.html"
    path.write_text(hostile(), encoding="utf-8")
    yield from visit(browser, path)


def visit(browser: Browser, path: Path) -> Iterator[Browser]:
    browser.events.clear()
    browser.send("Emulation.clearDeviceMetricsOverride")
    browser.send("Emulation.setEmulatedMedia", media="", features=[])
    browser.open(path)
    browser.run(
        "document.getElementById('canvas').scrollIntoView({block:'center',behavior:'instant'})"
    )
    browser.mouse("mouseMoved", 1, 1)
    browser.settle()
    yield browser
    assert browser.said() == []
    assert browser.requested() == [path.as_uri()]
    assert browser.run("document.title") == TITLE


def at(browser: Browser, x: float, y: float) -> tuple[float, float]:
    """The place in the window of values on linear axes from 1 to 40, padded by 4 percent."""
    left, top, width, height = browser.run(f"{BOX} return [r.left, r.top, r.width, r.height]}})()")
    across, up = ((value - 1 + 0.04 * 39) / (1.08 * 39) for value in (x, y))
    return left + 64 + across * (width - 78), top + height - 46 - up * (height - 58)


def text(browser: Browser, name: str) -> str:
    found = browser.run(f"document.getElementById('{name}').textContent")
    assert isinstance(found, str)
    return found


def click(browser: Browser, name: str) -> None:
    x, y = browser.run(
        f"(() => {{const r = document.getElementById('{name}').getBoundingClientRect();"
        "return [r.left + r.width / 2, r.top + r.height / 2]})()"
    )
    browser.mouse("mouseMoved", x, y)
    browser.mouse("mousePressed", x, y)
    browser.mouse("mouseReleased", x, y)
    browser.settle()


def counts(browser: Browser) -> list[int]:
    rows = "[...document.querySelectorAll('[data-row]')].map(row => Number(row.dataset.count))"
    found: list[int] = browser.run(rows)
    return found


def counted(kld: float, mse: float) -> list[int]:
    values = grid()
    low = 2 * (values[:, 0] >= kld) + (values[:, 1] >= mse)
    return np.bincount(low, minlength=4).tolist()


def test_hovering_shows_the_anchor_with_its_pictures(report: Browser) -> None:
    assert report.run("document.getElementById('tip').hidden")
    report.mouse("mouseMoved", *at(report, 40, 40))
    report.settle()
    assert "#400" in text(report, "tip")
    assert report.run("document.querySelectorAll('#tip svg').length") == 2
    report.mouse("mouseMoved", *at(report, 30, 30))
    report.settle()
    assert report.run("document.getElementById('tip').hidden")


def test_a_brushed_rectangle_shows_its_anchors(report: Browser) -> None:
    report.drag(at(report, 35, 35), at(report, 41, 41))
    assert text(report, "selected") == "1 selected, 1 with pictures in this file"
    report.drag(at(report, 0.5, 0.5), at(report, 5.5, 3.5))
    assert text(report, "selected") == "15 selected, 1 with pictures in this file"
    assert report.run("document.querySelectorAll('#grid figure').length") == 15
    assert report.run("document.querySelectorAll('#grid svg.pic').length") == 2
    report.run("document.getElementById('clear').click()")
    assert report.run("document.getElementById('selection').hidden")


def test_a_dragged_threshold_recounts_the_groups_and_comes_out_as_conditions(
    report: Browser,
) -> None:
    assert counts(report) == counted(10.5, 10.5)
    report.drag(at(report, 10.5, 30), at(report, 4.5, 30))
    report.drag(at(report, 30, 10.5), at(report, 30, 14.5))
    report.settle()
    assert counts(report) == counted(4.5, 14.5)
    lines = report.run("document.getElementById('yaml').value").splitlines()
    yaml = pytest.importorskip("yaml")
    found = [parse(one) for one in yaml.safe_load("\n".join(lines))["conditions"]]
    limits = [one.limit for one in found]
    assert 4 < limits[0] < 5
    assert 14 < limits[1] < 15
    assert limits[2] < counted(4.5, 14.5)[0] / 401
    assert limits[3] > counted(4.5, 14.5)[1] / 401
    click(report, "copy")
    assert text(report, "copied") == "Copied"
    click(report, "reset")
    report.settle()
    assert counts(report) == counted(10.5, 10.5)


def test_the_conditions_that_the_page_proposes_hold_on_its_own_run(
    browser: Browser, tmp_path: Path
) -> None:
    values = grid()
    values[[3, 77, 200]] = np.nan  # anchors without a group may belong to any
    data = data_of(values)
    data["calibration"]["repeats"] = np.array([[10.0, 10.1], [11.0, 10.9]])
    data["anchor_value"] = values.sum(1)
    path = tmp_path / "report.html"
    path.write_text(report_text({"seed": 0}, data), encoding="utf-8")
    browser.open(path)
    browser.settle()
    yaml = pytest.importorskip("yaml")
    found = yaml.safe_load(browser.run("document.getElementById('yaml').value"))["conditions"]
    assert len(found) == 4
    for judged in judge([Condition(text) for text in found], Result.of(data)):
        assert judged.state == "passed", judged


def test_everything_in_the_plot_is_done_by_keys_too(report: Browser) -> None:
    report.run("document.getElementById('canvas').focus()")
    report.press("ArrowRight")
    first = text(report, "status")
    assert "#" in first
    report.press("ArrowRight")
    assert text(report, "status") != first
    report.press("Enter")
    assert text(report, "selected").startswith("1 selected")
    report.press("b")
    for key in ("ArrowLeft", "ArrowLeft", "ArrowDown", "ArrowDown"):
        report.press(key)
    report.press("b")
    assert text(report, "selected").startswith("9 selected")
    before = report.run("document.getElementById('canvas').dataset.lines").split()
    report.press("ArrowLeft", SHIFT)
    report.settle()
    after = report.run("document.getElementById('canvas').dataset.lines").split()
    assert float(after[0]) < float(before[0])
    assert after[1] == before[1]
    report.press("Escape")
    assert report.run("document.getElementById('selection').hidden")


def test_sliders_and_fields_move_thresholds_by_keys(report: Browser) -> None:
    report.run("document.getElementById('slide0').focus()")
    for _ in range(3):
        report.press("ArrowRight")
    assert counts(report)[0] >= counted(10.5, 10.5)[0]
    script = "(f => {f.value = '7.5'; f.dispatchEvent(new Event('change'))})"
    report.run(f"{script}(document.getElementById('field0'))")
    report.settle()
    assert counts(report) == counted(7.5, 10.5)


def test_the_logarithmic_view_keeps_order_and_counts(report: Browser) -> None:
    x, y = map(float, report.run("document.getElementById('canvas').dataset.lines").split())
    report.run("document.getElementById('log').click()")
    report.settle()
    log = report.run("document.getElementById('canvas').dataset.lines").split()
    assert float(log[0]) > x
    assert float(log[1]) < y
    assert counts(report) == counted(10.5, 10.5)


def test_payloads_are_inert_in_a_browser(attacked: Browser) -> None:
    attacked.run("document.getElementById('canvas').focus()")
    attacked.press("ArrowRight")
    assert "#" in text(attacked, "status")
    attacked.press("Enter")
    attacked.drag(at(attacked, 0, 0), at(attacked, 41, 41))
    assert attacked.run("document.querySelectorAll('img, #grid script, b').length") == 0
    assert "</script><img" in text(attacked, "labels")


def test_the_page_is_dark_where_that_is_preferred_and_light_on_paper(report: Browser) -> None:
    corner = (
        "(() => {const p = document.createElement('canvas').getContext('2d', "
        "{willReadFrequently: true}); p.drawImage(document.getElementById('canvas'), 0, 0); "
        "return p.getImageData(2, 2, 1, 1).data[0]})()"
    )
    assert report.run(corner) > 200
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    report.send("Emulation.setEmulatedMedia", features=dark)
    report.settle()
    assert report.run(corner) < 60
    report.run("dispatchEvent(new Event('beforeprint'))")
    assert report.run(corner) > 200
    report.run("dispatchEvent(new Event('afterprint'))")
    assert report.run(corner) < 60
    assert base64.b64decode(report.send("Page.printToPDF")["data"]).startswith(b"%PDF")


def test_a_narrow_window_needs_no_sideways_scrolling(report: Browser) -> None:
    phone = {"width": 360, "height": 700, "deviceScaleFactor": 2, "mobile": True}
    report.send("Emulation.setDeviceMetricsOverride", **phone)
    report.settle()
    assert report.run("document.documentElement.scrollWidth") <= 360
