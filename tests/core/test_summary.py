"""Summaries and HTML for notebooks: what they say, and that nothing in them runs or is large."""

from __future__ import annotations

import base64
import copy
import io
import pickle
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pxgen_plugins import describe, host
from pxgen_plugins.comparison import Comparison, ModelComparison
from pxgen_plugins.comparison.outcome import Outcome
from pxgen_plugins.evaluation import Scorecard
from pxgen_plugins.evaluation.checks import Row
from pxgen_plugins.groups import GROUPS
from pxgen_plugins.result import Result, from_json
from pxgen_plugins.result.explanation import build
from pxgen_plugins.result.summary import next_steps
from pxgen_plugins.testing.examples import LinearModel
from pxgen_plugins.utils.html import rows_card

HOSTILE = "<img src=x onerror=alert(1)>\"'&\u202e\x1b[31m\n</td></table><script>" + "&" * 3_000
LIMIT = 50_000
TAGS = {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td", "img", "svg", "rect"}
ATTRIBUTES = {
    "align", "alt", "aria-label", "fill", "height", "role", "src", "stroke", "stroke-width",
    "title", "width", "x", "y",
}  # fmt: skip


class Reader(HTMLParser):
    """Collects tags, attributes, text and pictures of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: dict[str, list[str]] = {}
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, []).append(value)

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"

    def pictures(self) -> list[np.ndarray]:
        head = "data:image/png;base64,"
        files = [base64.b64decode(url.removeprefix(head)) for url in self.attributes["src"]]
        return [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]


def explained(
    counts: tuple[int, int, int, int], labels: Any = None, shape: Any = None, **changes: Any
) -> Any:
    """PXGen's explanation with so many anchors in each group, and pictures of representatives."""
    n = sum(counts)
    group = np.repeat(GROUPS, counts)
    first = np.cumsum([0, *counts[:-1]])
    picks = [
        np.arange(start, start + min(count, 10)) for start, count in zip(first, counts, strict=True)
    ]
    names = [str(label) for label in labels] if labels is not None else [""] * n
    groups = {}
    for name, rows, count in zip(GROUPS, picks, counts, strict=True):
        members = [names[row] for row in np.flatnonzero(group == name)]
        groups[name] = {
            "count": count,
            "fraction": count / n,
            "interval": [max(count / n - 0.01, 0.0), count / n + 0.01],
            "labels": {one: members.count(one) for one in members[:50]},
            "representatives": {"k_center": rows},
        }
    rows = np.concatenate(picks)
    rng = np.random.default_rng(0)
    examples = None
    if shape is not None:
        pixels = rng.integers(0, 256, (2, len(rows), *shape)).astype(np.uint8)
        examples = {"indices": rows, "anchors": pixels[0], "reconstructions": pixels[1]}
    data = {
        "criteria": ["kld", "mse"],
        "kinds": ["intrinsic", "extrinsic"],
        "units": ["nats", "squared value"],
        "values": rng.uniform(size=(n, 2)),
        "thresholds": {"kld": 24.3, "mse": 0.0175},
        "group": group,
        "groups": groups,
        "labels": None if labels is None else np.asarray(names),
        "examples": examples,
        "calibration": {
            "method": "MeanMax",
            "n_samples": 1000,
            "n_repeats": 10,
            "repeats": np.ones((10, 2)),
            "share_std": {"HIHE": 0.001, "HILE": 0.028},
        },
    }
    meta = {"name": "PXGen", "params": {"model": {"family": "VAE"}}}
    return build(meta, {**data, **changes})


def test_the_summary_says_what_was_done_and_what_came_out() -> None:
    one = explained((149, 1150, 0, 701), labels=["0", "4"] * 1000)
    text = one.summary()
    for part in (
        "VAE", "KLD (nats), high affinity below 24.3", "MSE (squared value)",
        "MeanMax, 1,000 samples of the model x 10", "2,000, 2 labels",
        "95 %, for other anchors and another calibration", "moves HILE by 2.8 points",
        "at most 10 of a group by k_center",
        'Conformal(0.05, source="reference")', "plot_delusion(explanation) shows the 1,150 HILE",
    ):  # fmt: skip
        assert part in text, part
    rows = {line.split()[0]: line for line in text.splitlines() if line[:4] in GROUPS}
    assert re.search(r"149 +7\.4 % +6\.5 % to 8\.4 %", rows["HIHE"])
    assert re.search(r"1,150 +57\.5 %", rows["HILE"])
    assert max(map(len, text.splitlines())) <= 110
    # the same on paper, printed and in a notebook
    assert str(one) == text
    shown = Reader(one._repr_html_()).text
    for cell in (*GROUPS, "57.5 %", "6.5 % to 8.4 %", "0 (75), 4 (74)", "2,000, 2 labels"):
        assert cell in shown
    few = explained((1000, 16, 10, 10)).summary()
    assert "source=" not in few
    assert "<0.1 %" in explained((199_984, 16, 0, 0)).summary()


def test_it_stays_alibis_explanation_through_pickle_copy_and_json() -> None:
    one = explained((5, 4, 3, 2), labels=list("abcdefghijklmn"), shape=(1, 8, 8))
    one.data["values"][0, 0] = np.nan
    assert isinstance(one, host.Explanation)
    text, page = one.summary(), one._repr_html_()
    for other in (
        pickle.loads(pickle.dumps(one)),
        copy.deepcopy(one),
        from_json(one.to_json()),
        type(one).from_json(one.to_json()),
    ):
        assert type(other) is type(one)
        assert other == one
        assert (other.summary(), other._repr_html_()) == (text, page)
    plain = host.Explanation.from_json(one.to_json())
    assert one == plain
    assert plain == one
    assert plain.to_json() == one.to_json()
    other = copy.deepcopy(one)
    other.data["values"][1, 1] += 1e-9
    assert other != one
    assert repr(one).startswith("Explanation(meta=")


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 28, 28), (28, 28), (5,), (16, 9, 9), None])
def test_a_large_explanation_with_hostile_labels_is_small_and_inert(shape: Any) -> None:
    labels = [f"{i}{HOSTILE}" for i in range(10_000)]
    one = explained(
        (4000, 3000, 2000, 1000),
        labels,
        shape,
        notes=[HOSTILE] * 50,
        ids=np.asarray([label[:200] for label in labels]),
        units=[HOSTILE, HOSTILE],
    )
    assert_inert(one._repr_html_())
    assert len(one.summary()) < 10_000
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", one.summary())


def comparison() -> Comparison:
    outcomes = [Outcome(f"{i}{HOSTILE}", error=HOSTILE) for i in range(200)]
    some = np.zeros((1, 1, 2, 2), dtype=np.float32)
    agreement = {HOSTILE: {f"{i}{HOSTILE}": 0.5 for i in range(300)}}
    return Comparison(None, some, np.zeros(1, np.int64), None, outcomes, {}, agreement)


def model_comparison() -> ModelComparison:
    one = replace(comparison(), groups=explained((3, 2, 1, 1)))
    return ModelComparison({HOSTILE: one, "b": one}, {}, {}, {}, notes=[HOSTILE] * 50)


OBJECTS = {
    "attribution": lambda: build(
        {"name": HOSTILE, "params": {"target": HOSTILE}},
        {
            "evidence": HOSTILE,
            "attributions": np.random.default_rng(0).normal(size=(500, 3, 64, 64)),
            **{f"key_{i}": HOSTILE for i in range(200)},
        },
        {},
    ),
    "comparison": comparison,
    "models": model_comparison,
    "scorecard": lambda: Scorecard(
        [Row.of("check", HOSTILE, "share", 0.4, interval=(0.3, 0.5), low=0.2)] * 400
    ),
    "description": lambda: describe(LinearModel()),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_what_a_notebook_shows_is_small_and_inert(name: str) -> None:
    assert_inert(OBJECTS[name]()._repr_html_())


@pytest.mark.parametrize("name", ["comparison", "models", "scorecard"])
def test_a_console_shows_tables_and_no_fields(name: str) -> None:
    one = OBJECTS[name]()
    assert str(one) + "\n" == one.to_markdown()
    assert len(repr(one)) < 100
    if name != "scorecard":  # a method that cannot, or failed, says why
        assert f"failed: {HOSTILE[:3]}" in str(one)


def test_rows_of_any_number_fit() -> None:
    rows = [{"step": HOSTILE, "seconds": 1.25 * i, "warm": True} for i in range(10_000)]
    page = rows_card("Estimate", rows, [HOSTILE] * 500)
    assert_inert(page)
    assert "more rows are not shown" in page
    assert "1.25" in page


def test_representatives_are_the_pictures_above_their_reconstructions() -> None:
    one = explained((3, 2, 1, 1), shape=(1, 28, 28))
    page = Reader(one._repr_html_())
    pictures = page.pictures()
    assert len(pictures) == 7
    for k, picture in enumerate(pictures):
        both = np.concatenate(
            [one.examples["anchors"][k, 0], one.examples["reconstructions"][k, 0]]
        )
        factor = len(picture) // len(both)
        np.testing.assert_array_equal(picture[::factor, ::factor, 0], both)
    assert page.attributes["alt"] == [f"anchor {k}" for k in range(7)]


def test_maps_are_drawn_red_where_they_raise_and_blue_where_they_lower() -> None:
    maps = np.zeros((2, 1, 8, 8))
    maps[:, 0, 0, 0], maps[:, 0, 7, 7] = 2.0, -1.0
    one = build({"name": "Saliency"}, {"evidence": "attribution", "attributions": maps}, {})
    assert "how much each element of an anchor moves the target" in one.summary()
    pictures = Reader(one._repr_html_()).pictures()
    assert len(pictures) == 2
    for picture in pictures:
        red, blue, rest = (picture[at].astype(int) for at in ((0, 0), (-1, -1), (0, -1)))
        assert red[0] > red[2] + 100
        assert blue[2] > blue[0] + 50
        assert rest.tolist() == [255, 255, 255]


def assert_inert(page: str) -> None:
    """Only known tags and attributes, no foreign markup, no address but those of pictures."""
    reader = Reader(page)
    assert len(page.encode()) < LIMIT
    assert reader.tags <= TAGS, reader.tags - TAGS
    assert set(reader.attributes) <= ATTRIBUTES, set(reader.attributes) - ATTRIBUTES
    assert all(url.startswith("data:image/png;base64,") for url in reader.attributes.get("src", []))
    assert not re.search(r"[\x00-\x1f\u202e]", page)


def test_next_steps_fit_what_there_is() -> None:
    """One anchor is no plural, reference data has no repeats, and nothing is nothing to draw."""
    result = Result.of(explained((3, 2, 1, 1)))
    assert any("shows the LIHE anchor." in step for step in next_steps(result))
    noisy = replace(result.calibration, share_std={"HIHE": 0.05})
    for source, more in (("samples", "repeats"), ("reference", "reference data")):
        steps = next_steps(replace(result, calibration=replace(noisy, source=source)))
        assert any(step.endswith(f"calibrate with more {more}.") for step in steps)
