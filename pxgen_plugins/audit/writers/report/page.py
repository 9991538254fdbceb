"""report.html: everything in one file, and nothing that a browser would fetch or obey."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pxgen_plugins.audit.changes import Changes, finite
from pxgen_plugins.audit.escaping import visible
from pxgen_plugins.audit.run_folder import NO_EVIDENCE, Evidence
from pxgen_plugins.audit.verdicts import Judgement, overall_verdict
from pxgen_plugins.audit.writers.report import sections
from pxgen_plugins.audit.writers.report.choice_of_pictures import STRIP
from pxgen_plugins.audit.writers.report.copies import copies_section
from pxgen_plugins.audit.writers.report.points import pack_points
from pxgen_plugins.audit.writers.report.sections import LABEL, Detail
from pxgen_plugins.audit.writers.report.sprites import Sprites, pack_pictures
from pxgen_plugins.plots.style import criterion_name
from pxgen_plugins.result import Result
from pxgen_plugins.utils.errors import ParameterError, caller
from pxgen_plugins.utils.files import plain
from pxgen_plugins.utils.optional import load
from pxgen_plugins.utils.text import number

if TYPE_CHECKING:
    from pxgen_plugins.evaluation import Copies

__all__ = ["LIMIT", "build_report"]

_SCRIPTS = ("plot.js", "cards.js", "main.js")  # one module, in this order
LIMIT = 5_000_000
"""Most bytes of a report."""

# Bytes of pictures, bytes of points before base64 (100,000 anchors of two criteria take the first),
# and how much else is shown; the first that keeps the limit is taken.
_TRIES = (
    (2_200_000, 1_300_000, Detail()),
    (1_000_000, 1_300_000, Detail()),
    (600_000, 900_000, Detail(conditions=100, anchors=12, labels=100, rows=20, cell=100, pairs=12)),
    (100_000, 300_000, Detail(conditions=50, anchors=4, labels=20, rows=5, cell=40, pairs=4)),
)
_CARD_VALUES = 6  # criteria below a picture
_STRIPS = {"delusion": "HILE", "alignment": "LIHE"}
_MOST_FIGURE = 600_000  # bytes
_LONGEST = 400  # characters of a text from users, besides the texts that are anchors

_VERDICTS = {
    "failed": "Failed",
    "error": "Not judged",
    "warning": "Passed with warnings",
    "passed": "Passed",
    "skipped": "Nothing judged",
}


@caller("build_report")
def build_report(
    manifest: Mapping[str, Any],
    result: Result,
    judgements: Sequence[Judgement] = (),
    changes: Changes | None = None,
    evidence: Evidence = NO_EVIDENCE,
    copies: Copies | None = None,
) -> str:
    r"""Return the report of an audit as one HTML page of at most 5,000,000 bytes.

    The page opens offline. Its Content-Security-Policy lets nothing load and nothing run but the
    style and the script inside, by their hashes. Text from users is escaped, and its control and
    direction characters are written out. The same arguments give the same bytes.

    Args:
        manifest: What was run: versions, digests, seed, machine. ``seed`` seeds the sample that
            is drawn when the anchors are too many; the page says so.
        result: Of n anchors and m criteria. At most 1,000 of its examples are shown, made smaller
            when they are large.
        judgements: Of the conditions.
        changes: Since the baseline, or None.
        evidence: What other methods say; a figure of more than 600,000 bytes is left out.
        copies: What the search for training data found, or None.

    Raises:
        MissingDependencyError: Without Jinja2.
        ParameterError: When the page cannot be kept within the limit.

    Cost: O(n m) time.

    Example:
        >>> values = np.array([[1.0, 1.0], [1.0, 9.0], [9.0, 1.0], [9.0, 9.0]])
        >>> result = Result.of({
        ...     "criteria": ["kld", "mse"],
        ...     "kinds": ["intrinsic", "extrinsic"],
        ...     "values": values,
        ...     "thresholds": {"kld": 5.0, "mse": 5.0},
        ...     "group": np.array(["HIHE", "HILE", "LIHE", "LILE"]),
        ...     "groups": {},
        ... })
        >>> build_report({"seed": 0}, result)[:15]
        '<!doctype html>'
    """
    examples = result.examples
    with_picture = set() if examples is None else set(examples.indices.tolist())
    for picture_bytes, point_bytes, detail in _TRIES:
        tables = sections.evidence_section(evidence.tables, detail)
        context = {
            "conditions": sections.conditions_section(judgements, detail),
            "groups": sections.groups_section(result),
            "intervals": sections.intervals_note(result),
            "invalid": sections.invalid_section(result),
            "labels": sections.labels_section(result, detail),
            "changes": sections.changes_section(changes, with_picture),
            "copies": copies_section(copies, detail.pairs, detail.cell),
            "evidence": tables,
            "n_tables_left": len(evidence.tables) - len(tables),
            "figure": _image_url(evidence.figure),
            "provenance": sections.provenance_section(manifest, result),
            "strips": {k: result.foremost(name, STRIP).tolist() for k, name in _STRIPS.items()},
        }
        sprites = pack_pictures(examples, _anchors(context), picture_bytes)
        page = _render(manifest, result, judgements, context, sprites, point_bytes)
        if len(page.encode()) <= LIMIT:
            return page
    got = f"{len(page.encode()):,} bytes at the least"
    hint = "Audit with fewer criteria, or give fewer conditions and adapters."
    raise ParameterError("result", f"what fits into {LIMIT:,} bytes", got, hint)


def _image_url(figure: bytes | None) -> str | None:
    """Return a picture as an address; None for what is no PNG, or too large."""
    if figure is None or len(figure) > _MOST_FIGURE or not figure.startswith(b"\x89PNG\r\n\x1a\n"):
        return None
    return "data:image/png;base64," + base64.b64encode(figure).decode()


def _anchors(context: Mapping[str, Any]) -> list[int]:
    """Return the anchors that the page shows, evidence first."""
    anchors: list[int] = [i for row in context["conditions"]["rows"] for i in row["anchors"]]
    for group in context["groups"]:
        anchors += [i for selection in group["representatives"] for i in selection["anchors"]]
    anchors += [i for strip in context["strips"].values() for i in strip]
    if context["changes"] is not None:
        anchors += [i for way in context["changes"]["ways"] for i in way["anchors"]]
    return anchors


def _render(
    manifest: Mapping[str, Any],
    result: Result,
    judgements: Sequence[Judgement],
    context: Mapping[str, Any],
    sprites: Sprites,
    point_bytes: int,
) -> str:
    jinja2 = load("jinja2", "jinja2")
    style, script = _asset("report.css"), "\n".join(map(_asset, _SCRIPTS))
    with_picture = np.array(sorted(sprites.place), dtype=np.int64)
    seed = manifest.get("seed")
    points = pack_points(result, with_picture, seed if isinstance(seed, int) else 0, point_bytes)
    embedded = {"points": points, "pictures": _pictures(sprites, result)}
    state, counts = overall_verdict(judgements)
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_finalize,
    )
    # Ours, or made so that nothing in it ends the element: put in as it is.
    trusted = load("markupsafe", "markupsafe").Markup
    template = environment.from_string(_asset("report.html.jinja"))
    page: str = template.render(
        **{**context, "figure": trusted(context["figure"] or "")},
        style=trusted(style),
        script=trusted(script),
        embedded=trusted(_json(embedded)),
        policy=trusted(_policy(style, script)),
        state=state,
        verdict=_VERDICTS[state],
        counts=counts,
        n_conditions=len(judgements),
        sprites=sprites,
        sampled=points["n_sample"] < points["n"],
        n_sample=f"{points['n_sample']:,}",
        n=f"{points['n']:,}",
        manifest=manifest,
        notes=result.notes,
        card=_cards(result),
        text=trusted,
    )
    return page


def _finalize(value: Any) -> Any:
    """Escape text from users; our own markup is kept."""
    ours = not isinstance(value, str) or hasattr(value, "__html__")
    return value if ours else visible(value, _LONGEST)


def _cards(result: Result) -> Any:
    """Return a function that gives what stands below the picture of an anchor."""
    names = [visible(criterion_name(name), LABEL) for name in result.criteria[:_CARD_VALUES]]

    def text(column: NDArray[np.str_] | None, index: int) -> str | None:
        return None if column is None else visible(column[index], LABEL)

    def card(index: int) -> dict[str, Any] | None:
        if not 0 <= index < result.n:  # a condition may come from another run
            return None
        values = result.values[index].tolist()
        return {
            "index": index,
            "group": str(result.group[index]),
            "label": text(result.labels, index),
            "id": text(result.ids, index),
            "values": [
                (name, number(finite(value), 3)) for name, value in zip(names, values, strict=False)
            ],
        }

    return card


def _pictures(sprites: Sprites, result: Result) -> dict[str, Any]:
    """Return what the script needs to show pictures: where they are, not the pixels."""
    ids = result.ids
    places = sorted(sprites.place, key=sprites.place.__getitem__)
    return {
        "indices": places,
        "ids": None if ids is None else [visible(ids[i], LABEL) for i in places],
        "width": sprites.width,
        "height": sprites.height,
        "each": sprites.each,
        "columns": sprites.columns,
        "rows": sprites.rows,
        "texts": sprites.texts,
    }


def _json(content: Any) -> str:
    """Return strict JSON without a character that HTML or JavaScript would read as its own."""
    text = json.dumps(plain(content), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(style: str, script: str) -> str:
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (style, script)
    ]
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{hashes[0]}'; "
        f"script-src 'sha256-{hashes[1]}'; base-uri 'none'; form-action 'none'"
    )


@cache
def _asset(name: str) -> str:
    return (files("pxgen_plugins.audit.writers.report") / name).read_text(encoding="utf-8")
