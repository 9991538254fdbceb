"""The widget in a real marimo, which hosts anywidgets as it is: run to its end, and by hand."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.audit.browser import Browser, find

# no part of the extra `test`: 26 packages for one page
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("marimo") is None or importlib.util.find_spec("anywidget") is None,
        reason="marimo and anywidget are not installed",
    ),
]

NOTEBOOK = """
import marimo

app = marimo.App()


@app.cell
def _():
    import json
    import marimo as mo
    from pxgen_plugins import PXGen
    from pxgen_plugins.explorer import explore
    from pxgen_plugins.testing.examples import LinearModel
    from pxgen_plugins.thresholds import MeanMax

    model = LinearModel()
    explainer = PXGen(model, threshold=MeanMax(50, 2)).fit()
    inner = explore(model, model.sample(20, seed=0), explainer=explainer)
    inner.code = [0.5, 0.0, -0.5]
    widget = mo.ui.anywidget(inner)
    there = {"z": [1.0, 1.0, 1.0], "amounts": {"0": 0.5}}
    go = mo.ui.button(label="go", on_click=lambda _: inner.session.answer("decode", **there))
    mo.vstack([widget, go])
    return inner, json, mo, widget


@app.cell
def _(inner, json, mo, widget):
    read = [[float(x) for x in widget.value["code"]], widget.value["selected"]]
    state = inner.session.state()
    held = [inner.session.code, state["selected"], state["z"], state["amounts"]]
    mo.md(f"Python reads {json.dumps(read)} of {json.dumps(held)}")
    return


if __name__ == "__main__":
    app.run()
"""
FIND = """
    (() => {
      const search = (root) => {
        for (const one of root.querySelectorAll('*')) {
          if (one.matches('%s')) return one;
          const inner = one.shadowRoot && search(one.shadowRoot);
          if (inner) return inner;
        }
        return null;
      };
      return search(document);
    })()
"""
EXPLORER = FIND % ".px-explorer"
READS = "document.body.innerText.match(/Python reads .*/)?.[0] ?? ''"


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    path = tmp_path / "notebook.py"
    path.write_text(NOTEBOOK, encoding="utf-8")
    return path


@pytest.fixture
def url(notebook: Path) -> Iterator[str]:
    """The notebook as an app."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "marimo", "run", str(notebook), "--headless", "--no-token"]
    with subprocess.Popen(
        [*command, "--port", str(port), "--host", "127.0.0.1"],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        yield f"http://127.0.0.1:{port}/"
        process.terminate()


def test_a_notebook_runs_to_its_end_and_holds_the_widget(notebook):
    page = notebook.with_suffix(".html")
    command = [sys.executable, "-m", "marimo", "export", "html", str(notebook), "-o", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    text = page.read_text(encoding="utf-8")
    assert "marimo-anywidget" in text
    assert "Python reads [[0.5, 0.0, -0.5], []] of [[0.5, 0.0, -0.5], []" in text


@pytest.mark.skipif(find() is None, reason="no Chromium is installed")
def test_what_a_hand_does_on_the_page_is_read_in_python(url, tmp_path):
    def act(script: str) -> None:
        browser.run(f"((it) => {{ {script} }})({EXPLORER})")

    with Browser(tmp_path / "chromium") as browser:
        browser.send("Page.navigate", url=url)
        while browser.run("location.protocol") != "http:":  # marimo does not listen yet
            time.sleep(0.2)
            browser.send("Page.navigate", url=url)
        browser.wait(f"{EXPLORER}?.dataset.ready === ''", 120)
        # what Python set before the page was there
        browser.wait(f"({READS}).startsWith('Python reads [[0.5, 0.0, -0.5], []]')", 30)
        act("""
            const slider = it.querySelector('input[data-axis="1"]');
            slider.value = 1;
            for (const name of ['input', 'change']) slider.dispatchEvent(new Event(name));
        """)
        moved = "[0.5, 1.0, -0.5]"
        browser.wait(f"({READS}).startsWith('Python reads [{moved}, []] of [{moved}')", 30)
        assert browser.run(READS).endswith('[0.5, 0.0, -0.5], {"1": 1.0}]')  # the slider stays
        members = "[...it.querySelectorAll('.px-legend button')]"
        act(f"{members}.find((one) => !one.textContent.endsWith(' 0')).click()")
        browser.wait(f"!({READS}).includes('[]')", 30)
        read, held = (json.loads(part) for part in browser.run(READS)[13:].split(" of "))
        assert read[1] == held[1] != []
        # what Python does, the page follows: the code that the session went to, and no slider moved
        browser.run(f"{FIND % 'marimo-button'}.shadowRoot.querySelector('button').click()")
        shown = "it.querySelector('.px-slider:has(input[data-axis=\"1\"]) output').textContent"
        browser.wait(f"((it) => {shown})({EXPLORER}) === '0.00'", 30)
        browser.wait(f"({READS}).startsWith('Python reads [[1.5, 1.0, 1.0]')", 30)
